// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"slices"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// emitWorkload returns the files of one workload. It reads nothing but the lowered workload.
func emitWorkload(w *schema.Workload) map[string][]byte {
	files := map[string][]byte{bundle.RulesDir + "/" + w.Name + ".json": bundle.Encode(ruleTable(w))}
	if node, ok := nodePart(w); ok {
		files[bundle.NodeDir+"/"+w.Name+".json"] = bundle.Encode(node)
	}
	return files
}

// ruleTable explains the IDs of a workload.
func ruleTable(w *schema.Workload) bundle.RuleTable {
	t := bundle.RuleTable{Workload: w.Name, Owner: w.Owner, Pos: w.Pos, Entries: []bundle.RuleEntry{}}
	for _, c := range w.Closures {
		t.Entries = append(t.Entries, bundle.RuleEntry{ID: c.ID, Plane: c.Plane, Mode: c.Mode, Pos: c.Pos})
	}
	for _, r := range w.Rules {
		t.Entries = append(t.Entries, bundle.RuleEntry{ID: r.ID, Plane: r.Plane, Verb: r.Verb, Object: r.Object, Parents: r.Parents,
			Why: r.Why, Pos: r.Pos})
	}
	slices.SortFunc(t.Entries, func(a, b bundle.RuleEntry) int { return cmp.Compare(a.ID, b.ID) })
	return t
}

// nodePart returns what a node puts in force: the exec plane, without what only people read, so that moving a line or rewording a reason
// rewrites nothing. A workload that does not mention exec has no such part. The whole match stays: a node selects by it.
func nodePart(w *schema.Workload) (schema.Workload, bool) {
	c, ok := w.Closure(schema.PlaneExec)
	if !ok {
		return schema.Workload{}, false
	}
	c.Pos = nil
	node := schema.Workload{Name: w.Name, Match: w.Match, Shared: w.Shared, Closures: []schema.Closure{c}}
	for _, r := range w.Rules {
		if r.Plane == schema.PlaneExec {
			r.Pos, r.Why = nil, ""
			node.Rules = append(node.Rules, r)
		}
	}
	return node, true
}
