// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

var (
	// Kubernetes, "Labels and Selectors": syntax and character set.
	labelPartRE    = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	labelValuePart = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`)
	subdomainPart  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	// The name of a container is a DNS label; "*" stands for any run of its characters.
	containerRE = regexp.MustCompile(`^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$`)
)

// match checks the match of a workload or, where an empty one stands for every workload, of a bound.
func (r *report) match(m *schema.Match, ofBound bool) {
	where := []string{"match"}
	name := dotted(where)
	switch {
	case !m.Zero():
	case !ofBound:
		r.fail(where, "match is empty and would select nothing; want \"namespace\", \"labels\" or \"cgroup\", or another condition")
	case len(r.s.keys("match")) > 0: // such as host: false, which may be meant to exclude something
		r.fail(where, "match states no condition and would stand for every workload; want a condition, or no \"match\"")
	}
	if r.states(way(where, "namespace"), m.Namespace != "") && !entryRE.MatchString(m.Namespace) {
		r.fail(way(where, "namespace"), "%s.namespace %.100q is not a Kubernetes namespace; want at most 63 lower-case letters, digits and \"-\"",
			name, m.Namespace)
	}
	r.selector(where, selectorOf(m))
	if r.states(way(where, "container"), m.Container != "") {
		r.container(way(where, "container"), m.Container)
	}
	if r.states(way(where, "cgroup"), m.Cgroup != "") {
		if err := schema.CheckPattern(m.Cgroup); err != nil {
			r.fail(way(where, "cgroup"), "%s.cgroup %.200q %v", name, m.Cgroup, err)
		}
	}
	if m.Host && ofPod(m) {
		r.fail(way(where, "host"), "%s.host selects processes of the host that are in no container, which have no %s; want \"host\" alone or with \"cgroup\"",
			name, strings.Join(podFields(m), ", no "))
	}
}

// states reports whether the entry states a path. Without positions a value that is set does.
func (r *report) states(where []string, set bool) bool {
	if r.s.node == nil {
		return set
	}
	return r.s.has(where...)
}

// podFields names the fields of a match that only a Pod has.
func podFields(m *schema.Match) []string {
	var fields []string
	for _, f := range []struct {
		name string
		set  bool
	}{{"namespace", m.Namespace != ""}, {"labels", len(m.Labels)+len(m.Expressions) > 0}, {"container name", m.Container != ""}} {
		if f.set {
			fields = append(fields, f.name)
		}
	}
	return fields
}

func (r *report) container(where []string, pattern string) {
	const want = "want at most 63 lower-case letters, digits and \"-\", in which \"*\" is any run of characters"
	switch {
	case strings.Contains(pattern, "**"):
		r.fail(where, "%s %.100q has \"**\"; want one \"*\", which is any run of characters", dotted(where), pattern)
	case len(pattern) > 63 || !containerRE.MatchString(pattern):
		r.fail(where, "%s %.100q is not the name of a container; %s", dotted(where), pattern, want)
	}
}

// selector checks labels and expressions below a path.
func (r *report) selector(where []string, s schema.Selector) {
	labels := way(where, "labels")
	for _, key := range slices.Sorted(maps.Keys(s.Labels)) {
		r.labelKey(way(labels, key), dotted(labels), key)
		if !labelValuePart.MatchString(s.Labels[key]) {
			r.fail(way(labels, key), "%s: value %.100q of %q is not a Kubernetes label value; want at most 63 letters, digits and \"-_.\", with a letter or digit at both ends",
				dotted(labels), s.Labels[key], key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Expressions)) {
		r.expression(way(where, "expressions", key), key, s.Expressions[key])
	}
	r.contradictions(where, s)
}

func (r *report) labelKey(where []string, what, key string) {
	prefix, name, ok := strings.Cut(key, "/")
	if !ok {
		prefix, name = "", key
	}
	if !labelPartRE.MatchString(name) || ok && (len(prefix) > 253 || !subdomainPart.MatchString(prefix)) {
		r.fail(where, "%s: key %.320q is not a Kubernetes label; want such as \"app\" or \"example.com/app\"", what, key)
	}
}

func (r *report) expression(where []string, key string, x schema.Expression) {
	what := dotted(where[:len(where)-1])
	r.labelKey(where, what, key)
	for _, set := range []struct {
		name   string
		values schema.Names
	}{{"in", x.In}, {"notIn", x.NotIn}} {
		for _, v := range set.values {
			if !labelValuePart.MatchString(v) {
				r.fail(way(where, set.name, v), "%s: value %.100q of %q is not a Kubernetes label value; want at most 63 letters, digits and \"-_.\", with a letter or digit at both ends",
					what, v, key)
			}
		}
	}
	switch in := r.states(way(where, "in"), x.In != nil); {
	case in && len(x.In) == 0:
		r.fail(way(where, "in"), "%s: in of %q lists no value, so nothing is selected; want at least one", what, key)
	case !in && len(x.NotIn) == 0 && x.Exists == nil:
		r.fail(where, "%s: %q says nothing; want \"in\", \"notIn\" or \"exists\"", what, key)
	}
}

// contradictions reports labels that no Pod can have. An empty "in" is reported already.
func (r *report) contradictions(where []string, s schema.Selector) {
	by := demands(s)
	for _, key := range slices.Sorted(maps.Keys(s.Expressions)) {
		x, d := s.Expressions[key], by[key]
		if _, _, ok := d.value(); ok || x.In != nil && len(x.In) == 0 {
			continue
		}
		label, literal := s.Labels[key]
		at, what := way(where, "expressions", key), dotted(way(where, "expressions"))
		switch {
		case literal:
			r.fail(at, "%s: %q contradicts label %s=%s, so nothing is selected; want one of the two", what, key, key, label)
		case d.absent:
			r.fail(at, "%s: %q must have a value and must not exist, so nothing is selected; want one of the two", what, key)
		default:
			r.fail(at, "%s: notIn of %q takes away every value of in, so nothing is selected; want a value that remains", what, key)
		}
	}
}

// hostMatch checks what the host needs beside its match.
func (c *workloadCheck) hostMatch() {
	if c.w.Match.Host && c.w.Owner == "" {
		c.fail([]string{"match", "host"}, "match.host selects the host itself, and the workload has no owner; want \"owner\", the team to ask")
	}
}
