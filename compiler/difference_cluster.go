// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"maps"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// clusters compares targets: what differs there from the modes and folders of the repository.
func (d *differ) clusters() {
	name := func(c *schema.Cluster) string { return c.Name }
	for _, t := range diffPair(d.base.Clusters, d.head.Clusters, name) {
		switch b, h := t.base, t.head; {
		case b == nil:
			d.add(PolicyChange{Effect: EffectChanged, Risk: RiskLow, Kind: "cluster", Name: h.Name, Owner: h.Owner, Why: h.Why, Msg: "added",
				After: clusterText(h)}, h.Pos)
		case h == nil:
			d.gone(PolicyChange{Effect: EffectChanged, Risk: RiskLow, Kind: "cluster", Name: b.Name, Owner: b.Owner, Why: b.Why,
				Msg: "removed; nothing is compiled for it any more", Before: clusterText(b)}, b.Pos)
		default:
			d.cluster(b, h)
		}
	}
}

func clusterText(c *schema.Cluster) string {
	if len(c.Folders) == 0 {
		return "all folders"
	}
	return "folders " + diffList(c.Folders)
}

func (d *differ) cluster(b, h *schema.Cluster) {
	c := PolicyChange{Kind: "cluster", Name: h.Name, Owner: h.Owner, Why: h.Why}
	d.words(c, "owner", b.Owner, h.Owner, h.Pos)
	d.words(PolicyChange{Kind: c.Kind, Name: c.Name, Owner: c.Owner}, "why", b.Why, h.Why, h.Pos)
	if !sameJSON(b.Folders, h.Folders) {
		d.compared(c, diffComparison{aspect: "folders", base: clusterText(b), head: clusterText(h), wider: !coversFolders(h.Folders, b.Folders),
			narrower: !coversFolders(b.Folders, h.Folders), more: "counts fewer folders", less: "counts more folders"}, h.Pos)
	}
	d.fields(c, &diffThing{fields: []diffField{admissionField("admission", b.Admission)}}, &diffThing{at: h.Pos, fields: []diffField{admissionField("admission", h.Admission)}})
	c.Aspect = "mode"
	d.overrides(c, b.Modes, h.Modes, h.Pos)
	base, head := map[string][]schema.PlaneMode{}, h.Workloads
	for name, modes := range b.Workloads {
		base[d.headName("workload", name)] = modes
	}
	names := maps.Clone(base)
	maps.Copy(names, head)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c.Key = name
		d.overrides(c, base[name], head[name], h.Pos)
	}
}

// coversFolders reports whether all of narrow lies in a folder of broad. No folder is all of them.
func coversFolders(broad, narrow schema.Names) bool {
	if len(broad) == 0 || len(narrow) == 0 {
		return len(broad) == 0
	}
	return !slices.ContainsFunc(narrow, func(n string) bool {
		return !slices.ContainsFunc(broad, func(b string) bool { return isWithin(n, b) })
	})
}

// overrides compares the modes that replace others. Where one comes or goes, the one that it replaces is not known here: only enforce cannot
// be weaker, and only learn cannot be stricter.
func (d *differ) overrides(c PolicyChange, base, head []schema.PlaneMode, at []schema.Pos) {
	plane := func(m *schema.PlaneMode) string { return string(m.Plane) }
	for _, t := range diffPair(base, head, plane) {
		c := c
		switch b, h := t.base, t.head; {
		case b == nil:
			m := diffMode{h.Mode, h.Then, h.After}
			c.Plane, c.After = h.Plane, m.String()
			c.Effect, c.Risk, c.Msg = EffectWidened, RiskMedium, "replaces the mode, perhaps with a weaker one"
			if m.weakest() == schema.ModeEnforce {
				c.Effect, c.Risk, c.Msg = EffectNarrowed, RiskLow, "replaces the mode"
			}
			d.add(c, at)
		case h == nil:
			m := diffMode{b.Mode, b.Then, b.After}
			c.Plane, c.Before = b.Plane, m.String()
			c.Effect, c.Risk, c.Msg = EffectWidened, guardRisk(m), "no longer replaces the mode, which may be weaker"
			if m.strictest() == schema.ModeLearn {
				c.Effect, c.Risk, c.Msg = EffectNarrowed, RiskLow, "no longer replaces the mode"
			}
			d.add(c, at)
		default:
			c.Plane = h.Plane
			d.modes(c, diffMode{b.Mode, b.Then, b.After}, diffMode{h.Mode, h.Then, h.After}, at)
		}
	}
}

func (p diffMode) weakest() schema.Mode {
	if p.then == "" || diffRank(p.now) < diffRank(p.then) {
		return p.now
	}
	return p.then
}
