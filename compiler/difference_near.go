// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"maps"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// diffNeighbours finds the workloads of base that may select containers of another one, by namespace.
type diffNeighbours struct {
	byNamespace map[string][]*schema.Workload // "": any namespace
	left        int                           // pairs that may still be looked at
}

// maxNeighbours bounds the pairs of workloads that one Diff looks at, where nothing but the namespace keeps workloads apart: as many are done
// in half a second.
const maxNeighbours = 2_000_000

func (d *differ) neighbours() *diffNeighbours {
	if d.near == nil {
		d.near = &diffNeighbours{byNamespace: map[string][]*schema.Workload{}, left: maxNeighbours}
		for _, all := range [][]schema.Workload{d.base.Workloads, d.same} {
			for i := range all {
				ns := all[i].Match.Namespace
				d.near.byNamespace[ns] = append(d.near.byNamespace[ns], &all[i])
			}
		}
	}
	return d.near
}

// around returns the names, sorted, of workloads other than w that base has, and that may select what w selects in head, if they meet a
// condition. When there are too many to look at, the last name says so.
func (d *differ) around(w *schema.Workload, wanted func(*schema.Workload) bool) []string {
	var names []string
	near := d.neighbours()
	look := func(namespace string) {
		for _, n := range near.byNamespace[namespace] {
			if near.left--; near.left < 0 {
				return
			}
			if d.headName("workload", n.Name) != w.Name && wanted(n) && d.cover.meets(n.Match, w.Match) {
				names = append(names, n.Name)
			}
		}
	}
	if w.Match.Namespace != "" {
		look(w.Match.Namespace)
		look("")
	} else {
		for _, namespace := range slices.Sorted(maps.Keys(near.byNamespace)) {
			look(namespace)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); near.left < 0 {
		names = append(names, "others that are too many to compare")
	}
	return names
}

// reaches tells that rules which a workload brings to a plane hold, too, for containers where another workload has closed it already: the
// rules of several are united.
func (d *differ) reaches(w *schema.Workload, p schema.Plane, rules []schema.Rule) {
	if rules = diffPlaneRules(rules, p); len(rules) == 0 || p.Condition() {
		return
	}
	names := d.around(w, func(n *schema.Workload) bool {
		_, closed := n.Closure(p)
		return closed && !d.coversRules(n.Rules, rules)
	})
	if len(names) == 0 {
		return
	}
	c := PolicyChange{Effect: EffectWidened, Risk: RiskMedium, Kind: "workload", Name: w.Name, Plane: p, Aspect: "reach", Owner: w.Owner,
		Msg: "its rules now hold, too, in containers of other workloads, which closed the plane without them", By: diffList(names),
		Details: diffRuleDetails(rules)}
	d.add(c, w.Pos)
}

// coversRules reports whether some rules allow all that others do.
func (d *differ) coversRules(broad, narrow []schema.Rule) bool {
	x := newDiffIndex(broad, false)
	return !slices.ContainsFunc(narrow, func(r schema.Rule) bool { return d.coversAll(x, &r) == nil })
}

// admits tells that a workload selects Pods that a bound refuses as long as no workload does.
func (d *differ) admits(w, before *schema.Workload) {
	for i := range d.base.Bounds {
		b := &d.base.Bounds[i]
		if !b.Require.Workload || !b.Match.Zero() && !d.cover.meets(b.Match, w.Match) || w.Match.Host {
			continue
		}
		c := PolicyChange{Effect: EffectWidened, Risk: RiskLow, Kind: "workload", Name: w.Name, Plane: schema.PlaneImage, Aspect: "reach", Owner: w.Owner,
			Msg: "admits Pods that a bound refuses as long as no workload selects them", By: "bound " + b.Name, After: diffMatchText(w.Match)}
		if before != nil {
			c.Before = diffMatchText(before.Match)
		}
		d.add(c, w.Pos)
		return
	}
}
