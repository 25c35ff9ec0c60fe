// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// overlaps lets workloads share containers where they may: each source had policies that add up, and so do workloads.
func (im *importer) overlaps() {
	// Only workloads of one namespace can overlap, and those without one with all.
	var open []*group
	byNamespace := map[string][]*group{}
	for _, g := range im.order {
		if !g.stated() {
			continue
		}
		if g.match.Namespace == "" {
			open = append(open, g)
		}
		byNamespace[g.match.Namespace] = append(byNamespace[g.match.Namespace], g)
	}
	for _, name := range slices.Sorted(maps.Keys(byNamespace)) {
		for i, g := range byNamespace[name] {
			others := byNamespace[name][i+1:]
			if name != "" {
				others = append(slices.Clone(others), open...)
			}
			for _, h := range others {
				if mayOverlap(g.match, h.match) {
					g.shared, h.shared = true, true
				}
			}
		}
	}
}

// contradictions drops rules that lie inside of what a drafted bound forbids: a bound comes first whatever a rule says, so the policy would
// be an error at the rule. In the source the order of rules, or the kind of enforcer, decided.
func (im *importer) contradictions() {
	for _, g := range im.order {
		if !g.stated() {
			continue
		}
		for _, h := range im.order {
			if len(h.bounds) == 0 || !h.match.Zero() && !mayOverlap(g.match, h.match) {
				continue
			}
			for _, b := range h.sortedBounds() {
				g.dropInside(b)
			}
		}
	}
}

func (g *group) dropInside(b *bound) {
	lost := func(at value) {
		at.lost("is allowed here, and bound %s forbids it for another rule of the source; it is drafted as forbidden alone", b.name)
	}
	for _, path := range slices.Sorted(maps.Keys(g.exec)) {
		if within(path, b.exec) {
			lost(g.exec[path].at)
			delete(g.exec, path)
		}
	}
	drop := func(rules, never map[string]reason) {
		for _, key := range slices.Sorted(maps.Keys(rules)) {
			if within(key, never) {
				lost(rules[key].at)
				delete(rules, key)
			}
		}
	}
	drop(g.read, b.file)
	drop(g.write, b.file)
	drop(g.capability, b.capability)
	for _, plane := range []schema.Plane{schema.PlaneEgress, schema.PlaneIngress} {
		g.flows[plane] = slices.DeleteFunc(g.flows[plane], func(f *flow) bool {
			inside := slices.ContainsFunc(b.flows[plane], func(never *flow) bool { return never.covers(f) })
			if inside {
				lost(f.at)
			}
			return inside
		})
	}
}

// within reports whether a pattern, or a name, lies inside of what is forbidden.
func within(pattern string, never map[string]reason) bool {
	for n := range never {
		if covers(n, pattern) {
			return true
		}
	}
	return false
}

// covers reports whether all of another flow's connections are this one's. It says no when in doubt.
func (f *flow) covers(g *flow) bool {
	if f.peer.Protocol != "" && f.peer.Protocol != g.peer.Protocol || f.peer.Port != "" && f.peer.Port != "*" && f.peer.Port != g.peer.Port {
		return false
	}
	if f.to != nil && g.to != nil {
		return matchKey(*f.to) == matchKey(*g.to)
	}
	if f.to != nil || g.to != nil {
		return false
	}
	if f.peer.CIDR != "" && g.peer.CIDR != "" {
		wide, err1 := netip.ParsePrefix(f.peer.CIDR)
		narrow, err2 := netip.ParsePrefix(g.peer.CIDR)
		return err1 == nil && err2 == nil && wide.Bits() <= narrow.Bits() && wide.Contains(narrow.Addr())
	}
	same := func(p schema.Peer) schema.Peer { p.Port, p.Protocol = "", ""; return p }
	a, b := same(f.peer), same(g.peer)
	return selects(schema.Match{Namespace: a.Namespace}) == selects(schema.Match{Namespace: b.Namespace}) && a.DNS == b.DNS && a.CIDR == b.CIDR &&
		selectorKey(a.Namespaces) == selectorKey(b.Namespaces)
}

func selectorKey(s *schema.Selector) string {
	if s == nil {
		return ""
	}
	return matchKey(schema.Match{Container: "namespaces", Labels: s.Labels, Expressions: s.Expressions})
}
