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

const (
	// maxReported bounds how many overlaps of one workload are reported: one label forgotten can make it overlap with all others.
	maxReported = 5
	// pairwise is how many workloads are compared each with each rather than sorted by a label first.
	pairwise = 16
)

// overlapping finds workloads that can select the same container. Each pair is looked at once at most; those that differ in their namespace
// or in a label that both state are never looked at.
func overlapping(all []*head) (errs, warnings []Diagnostic) {
	o := overlapper{reported: map[*head]int{}}
	stating := slices.DeleteFunc(slices.Clone(all), func(h *head) bool { return h.match.Zero() }) // an error of its own
	slices.SortFunc(stating, func(a, b *head) int { return strings.Compare(a.name, b.name) })
	pairing(o.pairs).within(stating)
	return o.errs, o.warnings
}

type overlapper struct {
	reported       map[*head]int
	errs, warnings []Diagnostic
}

// pairing is called with pairs of workloads that do not differ in what both state literally, each pair once at most: one workload, and
// several others.
type pairing func(a *head, others []*head)

// namespaceKey stands for the namespace among the keys of labels; no label is called so.
const namespaceKey = ""

// literal returns what a workload states literally for a key.
func (h *head) literal(key string) (string, bool) {
	if key == namespaceKey {
		return h.match.Namespace, h.match.Namespace != ""
	}
	if v, ok := h.match.Labels[key]; ok {
		return v, true
	}
	if x, ok := h.match.Expressions[key]; ok && len(x.In) == 1 {
		return x.In[0], true
	}
	return "", false
}

// within compares the workloads of a group with each other.
func (p pairing) within(group []*head) {
	key, ok := dividing(group)
	if !ok {
		for i, a := range group {
			p(a, group[i+1:])
		}
		return
	}
	byValue, rest := divide(group, key)
	for _, value := range slices.Sorted(maps.Keys(byValue)) {
		p.within(byValue[value])
		p.between(rest, byValue[value])
	}
	p.within(rest)
}

// between compares each workload of one group with each of another.
func (p pairing) between(as, bs []*head) {
	if len(as) == 0 || len(bs) == 0 {
		return
	}
	key, ok := dividing(slices.Concat(as, bs))
	if !ok || len(as)+len(bs) <= pairwise {
		for _, a := range as {
			p(a, bs)
		}
		return
	}
	aBy, aRest := divide(as, key)
	bBy, bRest := divide(bs, key)
	for _, value := range slices.Sorted(maps.Keys(aBy)) {
		p.between(aBy[value], bBy[value])
		p.between(aBy[value], bRest)
	}
	for _, value := range slices.Sorted(maps.Keys(bBy)) {
		p.between(aRest, bBy[value])
	}
	p.between(aRest, bRest)
}

// dividing returns the key that most of a group state, with at least two values, if the group is big enough to gain by it.
func dividing(group []*head) (string, bool) {
	if len(group) <= pairwise {
		return "", false
	}
	type use struct {
		n       int
		first   string
		several bool
	}
	uses := map[string]*use{}
	count := func(key, value string) {
		u := uses[key]
		if u == nil {
			u = &use{first: value}
			uses[key] = u
		}
		u.n++
		u.several = u.several || value != u.first
	}
	for _, h := range group {
		if h.match.Namespace != "" {
			count(namespaceKey, h.match.Namespace)
		}
		for k, v := range h.match.Labels {
			count(k, v)
		}
		for k := range h.match.Expressions {
			if v, ok := h.literal(k); ok && h.match.Labels[k] == "" {
				count(k, v)
			}
		}
	}
	best, most := "", 0
	for key, u := range uses {
		if u.several && (u.n > most || u.n == most && key < best) {
			best, most = key, u.n
		}
	}
	return best, most > 0
}

// divide sorts a group by what it states for a key; rest states nothing.
func divide(group []*head, key string) (byValue map[string][]*head, rest []*head) {
	byValue = map[string][]*head{}
	for _, h := range group {
		if v, ok := h.literal(key); ok {
			byValue[v] = append(byValue[v], h)
		} else {
			rest = append(rest, h)
		}
	}
	return byValue, rest
}

func (o *overlapper) pairs(a *head, others []*head) {
	for _, b := range others {
		if o.reported[a] >= maxReported {
			return
		}
		o.pair(a, b)
	}
}

func (o *overlapper) pair(a, b *head) {
	if a.shared && b.shared || o.reported[b] >= maxReported || apart(&a.match, &b.match) {
		return
	}
	both, ok := matchWitness(&a.match, &b.match)
	if !ok {
		return
	}
	o.reported[a]++
	o.reported[b]++
	if d := overlapOf(a, b, both); d.Code == "" {
		o.errs = append(o.errs, d)
	} else {
		o.warnings = append(o.warnings, d)
	}
}

// overlapOf says that two workloads meet. The one of the lower folder is the one to change, else the later one by name.
func overlapOf(a, b *head, both schema.Subject) Diagnostic {
	above := a.folder != b.folder && isWithin(b.folder, a.folder)
	if !above && (a.name > b.name || a.folder != b.folder && isWithin(a.folder, b.folder)) {
		a, b = b, a
	}
	at := inFolder(b.folder, b.matchPos, b.pos)
	msg := fmt.Sprintf("selects the same containers as workload %s at %s, for example %s", a.name, posText(a.matchPos), subjectText(both))
	const want = "; want selectors that exclude each other, or \"shared: true\" in both"
	switch s := b.stated(); {
	case matchInside(&a.match, &b.match) || matchInside(&b.match, &a.match):
		return s.fail(at, "%s; one selector lies inside the other%s", msg, want)
	case a.folder != b.folder:
		return s.fail(at, "%s; they stand in the folders %q and %q%s", msg, a.folder, b.folder, want)
	default:
		d := s.fail(at, "%s%s", msg, want)
		d.Code = codeOverlap
		return d
	}
}

// subjectText describes a container.
func subjectText(s schema.Subject) string {
	var parts []string
	if s.Namespace != "" {
		parts = append(parts, "namespace "+s.Namespace)
	}
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		parts = append(parts, "label "+k+"="+s.Labels[k])
	}
	if s.Container != "" {
		parts = append(parts, "container "+s.Container)
	}
	if s.Cgroup != "" {
		parts = append(parts, "cgroup "+s.Cgroup)
	}
	if s.Host {
		parts = append(parts, "the host")
	}
	return strings.Join(parts, ", ")
}
