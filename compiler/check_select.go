// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"maps"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// podCgroup is how the names of the cgroups begin that a kubelet makes, below the root of the hierarchy.
const podCgroup = "/kubepods"

// demand is what selectors demand of one label, taken together.
type demand struct {
	in     []string // nil: any value
	notIn  []string
	there  bool
	absent bool
}

func (d *demand) add(x schema.Expression) {
	if x.In != nil {
		d.there = true
		if d.in == nil {
			d.in = append([]string{}, x.In...)
		} else {
			d.in = slices.DeleteFunc(d.in, func(v string) bool { return !slices.Contains(x.In, v) })
		}
	}
	d.notIn = append(d.notIn, x.NotIn...)
	if x.Exists != nil {
		d.there, d.absent = d.there || *x.Exists, d.absent || !*x.Exists
	}
}

// value returns a value that meets the demand, or that the label is not there. ok is false if nothing does.
func (d *demand) value() (value string, there, ok bool) {
	switch {
	case d.absent:
		return "", false, !d.there
	case d.in != nil:
		for _, v := range d.in {
			if !slices.Contains(d.notIn, v) {
				return v, true, true
			}
		}
		return "", false, false
	case d.there:
		v := "x"
		for slices.Contains(d.notIn, v) {
			v += "x"
		}
		return v, true, true
	}
	return "", false, true
}

// demands collects what selectors demand, by label.
func demands(all ...schema.Selector) map[string]*demand {
	by := map[string]*demand{}
	of := func(key string) *demand {
		if by[key] == nil {
			by[key] = &demand{}
		}
		return by[key]
	}
	for _, s := range all {
		for key, value := range s.Labels {
			of(key).add(schema.Expression{In: schema.Names{value}})
		}
		for key, x := range s.Expressions {
			of(key).add(x)
		}
	}
	return by
}

// labelsWitness returns labels that all selectors select, if there are any.
func labelsWitness(all ...schema.Selector) (map[string]string, bool) {
	labels := map[string]string{}
	by := demands(all...)
	for _, key := range slices.Sorted(maps.Keys(by)) {
		value, there, ok := by[key].value()
		if !ok {
			return nil, false
		}
		if there {
			labels[key] = value
		}
	}
	return labels, true
}

// selectorInside reports whether all that a selects is selected by b. A yes is certain.
func selectorInside(a, b schema.Selector) bool {
	have := demands(a)
	for key, want := range demands(b) {
		d := have[key]
		if d == nil {
			d = &demand{}
		}
		if !d.implies(want) {
			return false
		}
	}
	return true
}

func (d *demand) implies(want *demand) bool {
	if d.absent {
		return !want.there && want.in == nil
	}
	if want.absent || want.there && !d.there {
		return false
	}
	if d.in == nil {
		return want.in == nil && !slices.ContainsFunc(want.notIn, func(v string) bool { return !slices.Contains(d.notIn, v) })
	}
	return !slices.ContainsFunc(d.in, func(v string) bool {
		return !slices.Contains(d.notIn, v) && (slices.Contains(want.notIn, v) || want.in != nil && !slices.Contains(want.in, v))
	})
}

func selectorOf(m *schema.Match) schema.Selector {
	return schema.Selector{Labels: m.Labels, Expressions: m.Expressions}
}

// ofPod reports whether the match has a field that only a Pod has.
func ofPod(m *schema.Match) bool {
	return m.Namespace != "" || len(m.Labels)+len(m.Expressions) > 0 || m.Container != ""
}

// apart reports whether two matches differ in a namespace or a label, which is what most pairs do. It allocates nothing.
func apart(a, b *schema.Match) bool {
	if a.Namespace != "" && b.Namespace != "" && a.Namespace != b.Namespace {
		return true
	}
	if len(a.Labels) > len(b.Labels) {
		a, b = b, a
	}
	for k, v := range a.Labels {
		if w, ok := b.Labels[k]; ok && v != w {
			return true
		}
	}
	return false
}

// matchWitness returns a container that both matches select, if there is one. The zero Match selects nothing.
func matchWitness(a, b *schema.Match) (schema.Subject, bool) {
	var s schema.Subject
	if a.Zero() || b.Zero() || apart(a, b) {
		return s, false
	}
	s.Host = a.Host || b.Host
	if s.Host && (ofPod(a) || ofPod(b)) {
		return s, false
	}
	s.Namespace = a.Namespace
	if s.Namespace == "" {
		s.Namespace = b.Namespace
	}
	labels, ok := labelsWitness(selectorOf(a), selectorOf(b))
	if !ok {
		return s, false
	}
	if len(labels) > 0 {
		s.Labels = labels
	}
	if s.Namespace == "" && s.Labels == nil && len(a.Expressions)+len(b.Expressions) > 0 {
		s.Namespace = "default" // labels can only be absent where there is a Pod
	}
	if s.Container, ok = containerWitness(a.Container, b.Container); !ok {
		return s, false
	}
	s.Cgroup, ok = cgroupsMeet(a, b)
	return s, ok
}

// containerWitness returns a name that both patterns match; an empty one matches any.
func containerWitness(a, b string) (string, bool) {
	switch {
	case a == "" && b == "":
		return "", true
	case a == "":
		a = b
	case b == "":
		b = a
	}
	name, ok := segmentWitness(a, b)
	// A name begins and ends with a letter or digit, and so does a pattern, where it does not with "*".
	if strings.HasPrefix(name, "-") {
		name = "x" + name
	}
	if strings.HasSuffix(name, "-") {
		name += "x"
	}
	return name, ok
}

func cgroupsMeet(a, b *schema.Match) (string, bool) {
	switch {
	case a.Cgroup == "" && b.Cgroup == "":
		return "", true
	case a.Cgroup == "":
		return cgroupsMeet(b, a)
	case b.Cgroup == "":
		return cgroupWitness(a.Cgroup, a.Cgroup), !ofPod(b) || ofPod(a) || canBePodCgroup(a.Cgroup)
	}
	cgroup := cgroupWitness(a.Cgroup, b.Cgroup)
	return cgroup, cgroup != ""
}

// canBePodCgroup reports whether a cgroup pattern can match the cgroup of a Pod, or one above it.
func canBePodCgroup(pattern string) bool {
	literal, _, wild := strings.Cut(pattern, "*")
	if wild && !strings.Contains(literal[min(1, len(literal)):], "/") {
		return strings.HasPrefix(literal, podCgroup) || strings.HasPrefix(podCgroup, literal)
	}
	return strings.HasPrefix(pattern, podCgroup)
}

// cgroupWitness returns a cgroup that both patterns select, or "": one that begins with a path that the one matches and with a path that
// the other matches. Patterns that are not valid select nothing.
func cgroupWitness(a, b string) string {
	if schema.CheckPattern(a) != nil || schema.CheckPattern(b) != nil {
		return ""
	}
	w := cgroupMeeting{as: strings.Split(a[1:], "/"), bs: strings.Split(b[1:], "/"), tried: map[[2]int]bool{}}
	if !w.from(0, 0) {
		return ""
	}
	slices.Reverse(w.path)
	return "/" + strings.Join(w.path, "/")
}

type cgroupMeeting struct {
	as, bs []string
	tried  map[[2]int]bool
	path   []string // from its end
}

// from finds a path for what is left of both. What is left when one has ended lies below.
func (m *cgroupMeeting) from(i, j int) bool {
	if i == len(m.as) || j == len(m.bs) {
		m.fill(m.as[i:])
		m.fill(m.bs[j:])
		return true
	}
	key := [2]int{i, j}
	if m.tried[key] {
		return false
	}
	m.tried[key] = true
	a, b := m.as[i], m.bs[j]
	switch {
	case a == "**" && m.from(i+1, j), b == "**" && m.from(i, j+1):
		return true
	case a == "**" && b == "**":
		return false
	case a == "**":
		return m.from(i, j+1) && m.take(b)
	case b == "**":
		return m.from(i+1, j) && m.take(a)
	}
	name, both := segmentWitness(a, b)
	return both && m.from(i+1, j+1) && m.take(name)
}

// take puts a segment before what was found.
func (m *cgroupMeeting) take(segment string) bool {
	if segment = strings.ReplaceAll(segment, "*", ""); segment == "" || segment == "." || segment == ".." {
		segment += "x"
	}
	m.path = append(m.path, segment)
	return true
}

// fill makes names of segments of one pattern.
func (m *cgroupMeeting) fill(segments []string) {
	for i, s := range slices.Backward(segments) {
		if s != "**" || i == len(segments)-1 {
			m.take(s)
		}
	}
}

// matchInside reports whether everything that a selects is selected by b. A yes is certain.
func matchInside(a, b *schema.Match) bool {
	if b.Zero() || b.Namespace != "" && a.Namespace != b.Namespace || b.Host && !a.Host {
		return false
	}
	sel := selectorOf(b)
	if len(sel.Labels)+len(sel.Expressions) > 0 {
		if a.Namespace == "" && len(a.Labels)+len(a.Expressions) == 0 || !selectorInside(selectorOf(a), sel) {
			return false
		}
	}
	if b.Container != "" && (a.Container == "" || !covers("/"+b.Container, "/"+a.Container)) {
		return false
	}
	if b.Cgroup == "" || a.Cgroup == b.Cgroup {
		return true
	}
	if a.Cgroup == "" || schema.CheckPattern(a.Cgroup) != nil || schema.CheckPattern(b.Cgroup) != nil {
		return false
	}
	work := coverWork // a pattern selects what is below, too
	return coversAny([]string{b.Cgroup, b.Cgroup + "/**"}, a.Cgroup, &work)
}

// holdsFor reports whether a bound can hold for a container of a workload, and whether it holds for all of them. A bound without a match
// holds for every workload.
func holdsFor(bound, workload *schema.Match) (some, all bool) {
	if bound.Zero() {
		return true, true
	}
	if _, some = matchWitness(bound, workload); !some {
		return false, false
	}
	return true, matchInside(workload, bound)
}
