// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"slices"
	"strings"
)

// Match selects containers. All fields that are set must hold; the zero Match selects nothing.
type Match struct {
	Namespace   string                `json:"namespace,omitempty"`   // the Kubernetes namespace, literally
	Labels      map[string]string     `json:"labels,omitempty"`      // each must be on the Pod with this very value
	Expressions map[string]Expression `json:"expressions,omitempty"` // each must hold for the Pod's label of this key
	Container   string                `json:"container,omitempty"`   // the container's name; "*" is any run of characters
	// Cgroup is a path pattern below the root of the cgroup2 hierarchy. A container is selected when the pattern matches its
	// cgroup or any cgroup above it.
	Cgroup string `json:"cgroup,omitempty"`
	Host   bool   `json:"host,omitempty"` // the processes of the host that are in no container
}

// Expression is a condition on one label. Every field that is set must hold. The zero Expression always holds.
type Expression struct {
	In     Names `json:"in,omitempty"`     // the label must be there with one of these values
	NotIn  Names `json:"notIn,omitempty"`  // the label must not be there with one of these values
	Exists *bool `json:"exists,omitempty"` // whether the label must be there; nil: either
}

// Holds reports whether the condition holds for a label's value, or for its absence.
func (x Expression) Holds(value string, present bool) bool {
	switch {
	case x.In != nil && (!present || !slices.Contains(x.In, value)):
		return false
	case present && slices.Contains(x.NotIn, value):
		return false
	case x.Exists != nil && *x.Exists != present:
		return false
	}
	return true
}

// Selector selects by labels. The zero Selector selects everything that has labels known, also none.
type Selector struct {
	Labels      map[string]string     `json:"labels,omitempty"`
	Expressions map[string]Expression `json:"expressions,omitempty"`
}

// Selects reports whether all of the selector holds for a set of labels.
func (s Selector) Selects(labels map[string]string) bool {
	for k, v := range s.Labels {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	for k, x := range s.Expressions {
		got, ok := labels[k]
		if !x.Holds(got, ok) {
			return false
		}
	}
	return true
}

// Zero reports whether no field is set.
func (m Match) Zero() bool {
	return m.Namespace == "" && len(m.Labels) == 0 && len(m.Expressions) == 0 && m.Container == "" && m.Cgroup == "" && !m.Host
}

// Subject is the container that does something, as far as the observer knows it.
type Subject struct {
	Namespace       string            `json:"namespace,omitempty"`
	NamespaceLabels map[string]string `json:"namespaceLabels,omitempty"` // of the Namespace
	Labels          map[string]string `json:"labels,omitempty"`
	Container       string            `json:"container,omitempty"` // the container's name in its Pod
	Cgroup          string            `json:"cgroup,omitempty"`    // absolute below the root of the cgroup2 hierarchy, e.g. "/kubepods/pod1/c1"
	Image           string            `json:"image,omitempty"`     // the reference that it runs
	Host            bool              `json:"host,omitempty"`      // a process of the host that is in no container
}

// pod reports whether the subject is known to be in Kubernetes. Labels can only be judged there: a label that must be absent says nothing of
// a process that has no labels at all.
func (s Subject) pod() bool { return s.Namespace != "" || len(s.Labels) > 0 }

// Known reports whether anything tells who the subject is.
func (s Subject) Known() bool { return s.pod() || s.Container != "" || s.Cgroup != "" || s.Host }

// Selects reports whether the match selects the subject.
func (m Match) Selects(s Subject) bool {
	if m.Zero() || m.Namespace != "" && m.Namespace != s.Namespace || m.Host && !s.Host {
		return false
	}
	if len(m.Labels)+len(m.Expressions) > 0 && (!s.pod() || !(Selector{m.Labels, m.Expressions}).Selects(s.Labels)) {
		return false
	}
	if m.Container != "" && (s.Container == "" || !matchSegment(m.Container, s.Container)) {
		return false
	}
	return m.Cgroup == "" || m.selectsCgroup(s.Cgroup)
}

// matchSegment matches one segment, in which "*" is any run of bytes.
func matchSegment(pattern, s string) bool {
	return !strings.Contains(pattern, "**") && !strings.Contains(s, "/") && MatchPath("/"+pattern, "/"+s)
}

// selectsCgroup tries the cgroup and every one above it: processes live at or below the cgroup that a pattern names.
func (m Match) selectsCgroup(cgroup string) bool {
	for c := cgroup; c != ""; c = c[:max(0, strings.LastIndexByte(c, '/'))] {
		if MatchPath(m.Cgroup, c) {
			return true
		}
	}
	return false
}
