// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
)

// Sizes of admission objects, in bytes of text. A review reads the sections of its own namespace only, but all of a constraint's parameters are
// held in memory and sent on each change, so a shard stays far below the 1.5 MiB that etcd takes.
const (
	shardBytes   = 256 << 10
	copiedBytes  = 128 << 10 // what holds in every namespace and stands in each shard
	manyInOne    = 100       // entries of a namespace from which on each label has a section of its own
	maxSections  = 64        // shards of one action; beyond it they grow
	anyNamespace = "*"
)

// layout is the sections of one enforcement action.
type layout struct {
	action string
	// byNamespace holds what is to be in force, anyNamespace what is in each.
	byNamespace map[string][]item
	// copied is what stands in each shard in any case: bounds that depend on whether a Pod has a workload, and all that says so.
	copied []item
	// demands are the namespaces in which a bound demands a workload; nil if no bound depends on whether there is one.
	demands map[string]bool
}

// bound adds the entry of a bound.
func (l *layout) bound(e *entry, it item) {
	namespace := cmp.Or(it.match.Namespace, anyNamespace)
	demanding := len(e.Demands) > 0
	if (demanding || e.Every) && l.demands == nil {
		l.demands = map[string]bool{}
	}
	if demanding {
		l.demands[namespace] = true
	}
	if namespace == anyNamespace && (demanding || e.Every) {
		l.copied = append(l.copied, it)
		return
	}
	l.byNamespace[namespace] = append(l.byNamespace[namespace], it)
}

// covers adds what says which Pods a workload selects, where a bound depends on that. stated says whether the layout has an entry of it.
func (l *layout) covers(namespace string, w *Workload, stated bool) {
	it := item{match: &w.Match, text: w.Bare, twin: stated}
	switch {
	case namespace == anyNamespace: // its Pods may be in any namespace
		l.copied = append(l.copied, it)
	case !stated && (l.demands[anyNamespace] || l.demands[namespace]):
		l.byNamespace[namespace] = append(l.byNamespace[namespace], it)
	}
}

// constraints returns the constraints of the action: for a Pod, one of them holds all that is about it. Only where what holds in every namespace
// is too big to be copied it stands in constraints of its own.
func (l *layout) constraints(kinds *kindsOf) []Object {
	shared, own := l.byNamespace[anyNamespace], []item(nil)
	demanded := l.copied
	if size(shared) > copiedBytes {
		shared, own = nil, shared
	} else {
		demanded = slices.DeleteFunc(slices.Clone(demanded), func(it item) bool { return it.twin })
	}
	shared = slices.Concat(demanded, shared)
	var copied []section
	if len(shared) > 0 {
		copied = sectionsOf(anyNamespace, shared)
	}
	var all []Object
	taken := map[string]bool{}
	for name, sections := range shards(l.byNamespace) {
		c := &constraint{kinds: kinds, action: l.action, name: name}
		for i := range sections {
			taken[sections[i].namespace] = true
		}
		c.namespaces = namespacesOf(sections)
		c.sections = append(sections, copied...)
		all = append(all, c.object())
	}
	if len(copied) > 0 {
		rest := &constraint{kinds: kinds, action: l.action, name: "rest", sections: copied, excluded: slices.Sorted(maps.Keys(taken))}
		all = append(all, rest.object())
	}
	if len(own) > 0 {
		parts := map[string][]section{}
		split(parts, "any", sectionsOf(anyNamespace, own))
		for name, sections := range parts {
			all = append(all, (&constraint{kinds: kinds, action: l.action, name: name, sections: sections}).object())
		}
	}
	return all
}

func size(items []item) (n int) {
	for i := range items {
		n += len(items[i].text) + 1
	}
	return n
}

func namespacesOf(sections []section) []string {
	names := map[string]bool{}
	for i := range sections {
		names[sections[i].namespace] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// shards lays out the sections of namespaces: small ones share shards by a stable hash, a namespace of many entries has its own. The result is
// by the end of the constraint's name.
func shards(byNamespace map[string][]item) map[string][]section {
	all := map[string][]section{}
	var small []section
	for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		if namespace == anyNamespace {
			continue
		}
		if sections := sectionsOf(namespace, byNamespace[namespace]); len(sections) > 1 {
			name := fmt.Sprintf("ns-%016x", hash(namespace))
			all[name] = append(all[name], sections...)
		} else {
			small = append(small, sections...)
		}
	}
	split(all, "shared", small)
	return all
}

// split spreads sections over a power of two of shards, so that a change moves few of them.
func split(all map[string][]section, name string, sections []section) {
	size, n := 0, 1
	for i := range sections {
		size += len(sections[i].text)
	}
	for n*shardBytes < size && n < maxSections {
		n *= 2
	}
	for _, s := range sections {
		shard := fmt.Sprintf("%s-%d-%d", name, n, hash(s.key)%uint64(n))
		all[shard] = append(all[shard], s)
	}
}

// hash spreads names over shards. It is no defence: who writes policy may fill a shard, and find names that share one.
func hash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// sectionsOf writes the entries of a namespace, in their order. Of many, those of each label have a section of their own.
func sectionsOf(namespace string, items []item) []section {
	labels := rarest(items)
	if len(items) <= manyInOne {
		return []section{newSection(namespace, namespace, items, labels)}
	}
	byLabel := map[string][]item{}
	for i, label := range labels {
		byLabel[label] = append(byLabel[label], items[i])
	}
	var sections []section
	for _, label := range slices.Sorted(maps.Keys(byLabel)) {
		items := byLabel[label]
		same := slices.Repeat([]string{label}, len(items))
		sections = append(sections, newSection(namespace, namespace+"/"+label, items, same))
	}
	return sections
}
