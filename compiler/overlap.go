// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// maxOverlaps bounds how many overlaps of one workload are reported: one label forgotten can make it overlap with all others.
const maxOverlaps = 5

// kubernetesCgroup is how the names of the cgroups begin that a kubelet makes, below the root of the hierarchy.
const kubernetesCgroup = "/kubepods"

// overlaps finds workloads that can select the same container. Each pair is looked at once; workloads of different namespaces never meet.
func overlaps(all []*statement) (errs, warnings []Diagnostic) {
	byNamespace := map[string][]*statement{}
	for _, s := range all {
		if s.match.Zero() {
			continue // an error of its own
		}
		byNamespace[s.match.Namespace] = append(byNamespace[s.match.Namespace], s)
	}
	reported := map[*statement]int{}
	pair := func(a, b *statement) {
		if a.shared && b.shared || !meet(a.match, b.match) || reported[a] >= maxOverlaps || reported[b] >= maxOverlaps {
			return
		}
		reported[a]++
		reported[b]++
		if d := overlap(a, b); d.Code == "" {
			errs = append(errs, d)
		} else {
			warnings = append(warnings, d)
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		group := byNamespace[namespace]
		for i, a := range group {
			for _, b := range group[i+1:] {
				pair(a, b)
			}
			if namespace != "" {
				for _, b := range byNamespace[""] {
					pair(a, b)
				}
			}
		}
	}
	return errs, warnings
}

// overlap says that two workloads meet. The later one by name is the one to change.
func overlap(a, b *statement) Diagnostic {
	if a.name > b.name {
		a, b = b, a
	}
	at := func(s *statement) []schema.Pos { return s.at["match"] }
	both := fmt.Sprintf("selects the same containers as workload %s at %s, for example %s", a.name, at(a)[0], example(a.match, b.match))
	const want = "; want selectors that exclude each other, or \"shared: true\" in both"
	switch {
	case inside(a.match, b.match) || inside(b.match, a.match):
		return b.fail(at(b), "%s; one selector lies inside the other%s", both, want)
	case a.folder != b.folder:
		return b.fail(at(b), "%s; they stand in the folders %q and %q%s", both, a.folder, b.folder, want)
	}
	d := b.fail(at(b), "%s%s", both, want)
	d.Code = warnOverlap
	return d
}

// meet reports whether one container can be selected by both.
func meet(a, b schema.Match) bool {
	if a.Namespace != "" && b.Namespace != "" && a.Namespace != b.Namespace {
		return false
	}
	for k, v := range a.Labels {
		if w, ok := b.Labels[k]; ok && v != w {
			return false
		}
	}
	switch {
	case a.Cgroup != "" && b.Cgroup != "":
		return patternsMeet(a.Cgroup, b.Cgroup)
	case a.Cgroup != "":
		return a.Namespace != "" || len(a.Labels) > 0 || canBePod(a.Cgroup)
	case b.Cgroup != "":
		return b.Namespace != "" || len(b.Labels) > 0 || canBePod(b.Cgroup)
	}
	return true
}

// canBePod reports whether a cgroup pattern can match the cgroup of a Pod, or one above it.
func canBePod(pattern string) bool {
	literal, _, wild := strings.Cut(pattern, "*")
	if wild && !strings.Contains(literal[1:], "/") {
		return strings.HasPrefix(literal, kubernetesCgroup) || strings.HasPrefix(kubernetesCgroup, literal)
	}
	return strings.HasPrefix(pattern, kubernetesCgroup)
}

// inside reports whether everything that a selects is selected by b, as far as can be said without trying.
func inside(a, b schema.Match) bool {
	if b.Namespace != "" && a.Namespace != b.Namespace {
		return false
	}
	for k, v := range b.Labels {
		if w, ok := a.Labels[k]; !ok || v != w {
			return false
		}
	}
	if b.Cgroup == "" || a.Cgroup == b.Cgroup {
		return true
	}
	// Literal patterns are cgroups; a pattern selects what is below, too.
	return schema.PatternKind(a.Cgroup) == schema.KindExact && a.Cgroup != "" && b.Selects(schema.Subject(a))
}

// example describes a container that both select.
func example(a, b schema.Match) string {
	var parts []string
	if n := a.Namespace + b.Namespace; n != "" {
		if a.Namespace == b.Namespace {
			n = a.Namespace
		}
		parts = append(parts, "namespace "+n)
	}
	labels := maps.Clone(a.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, b.Labels)
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, "label "+k+"="+labels[k])
	}
	switch longer := a.Cgroup; {
	case len(b.Cgroup) > len(a.Cgroup):
		parts = append(parts, "cgroup "+b.Cgroup)
	case longer != "":
		parts = append(parts, "cgroup "+longer)
	}
	return strings.Join(parts, ", ")
}

// patternsMeet reports whether one cgroup, or one below it, can be selected by both patterns: whether some path begins with a path that the
// one matches and with a path that the other matches. It takes at most len(a)*len(b) steps for each pair of segments.
func patternsMeet(a, b string) bool {
	as, bs := strings.Split(a[1:], "/"), strings.Split(b[1:], "/")
	tried := map[[2]int]bool{}
	var meet func(i, j int) bool
	meet = func(i, j int) bool {
		if i == len(as) || j == len(bs) {
			return true // what follows in the other one lies below
		}
		key := [2]int{i, j}
		if tried[key] {
			return false
		}
		tried[key] = true
		if as[i] == "**" && meet(i+1, j) || bs[j] == "**" && meet(i, j+1) {
			return true
		}
		switch {
		case as[i] == "**" && bs[j] == "**":
			return true // both take anything
		case as[i] == "**":
			return meet(i, j+1)
		case bs[j] == "**":
			return meet(i+1, j)
		}
		return segmentsMeet(as[i], bs[j]) && meet(i+1, j+1)
	}
	return meet(0, 0)
}

// segmentsMeet reports whether one string can be matched by two segments in which "*" is any run of bytes.
func segmentsMeet(a, b string) bool {
	// row[j]: whether what is left of a from the current byte meets what is left of b from byte j.
	row := make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		next := make([]bool, len(b)+1)
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a) && j == len(b):
				next[j] = true
			case i < len(a) && a[i] == '*':
				next[j] = row[j] || j < len(b) && next[j+1]
			case j < len(b) && b[j] == '*':
				next[j] = next[j+1] || i < len(a) && row[j]
			case i < len(a) && j < len(b) && a[i] == b[j]:
				next[j] = row[j+1]
			}
		}
		row = next
	}
	return row[0]
}
