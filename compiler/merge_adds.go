// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// ruleFields holds where the rules of a workload stand to which a folder below may add: for each plane the maps of rules, as paths below the
// plane. image and pod are conditions, so they are not among them: one more image is one more that may run.
var ruleFields = map[string][][]string{"exec": {{}}, "file": {{"read"}, {"write"}}, "capability": {{}}, "egress": {{}}, "ingress": {{}}}

// onlyAdds reports what a folder below changes about an entry other than adding rules. base states the entry, and above is the nearest folder
// above that speaks of it. A rule that a folder above states is not changed below it either, in any field: it can be repeated, and no more.
// Nor is a plane mentioned first, which would close what the workload leaves open.
func (s *statement) onlyAdds(base, above *statement) []Diagnostic {
	if s.Kind != workloadKind {
		if equalValues(s.Node, above.Node) && len(s.below(s.Node)) == 0 {
			return nil
		}
		return []Diagnostic{s.fail(s.deepest(s.Node, above.Node), "is stated in folder %q and in folder %q above it; want it in folder %q alone: nothing of a %s is changed below it",
			s.Folder, base.Folder, base.Folder, s.Kind)}
	}
	a := &adding{s: s, base: base, above: above}
	for _, f := range s.Node.Fields {
		o := above.Node.get(f.Name)
		switch fields, known := ruleFields[f.Name]; {
		case o != nil && equalValues(f.Node, o):
		case !known:
			a.fail(f.Node, o, "%s is changed in folder %q%s; want it in folder %q, which states the workload: below it only rules are added", f.Name, s.Folder, a.by(f.Node, o), base.Folder)
		case o == nil:
			a.fail(f.Node, nil, "%s is mentioned first in folder %q, which closes it; want \"%s: {}\" in folder %q, which states the workload: below it only rules are added",
				f.Name, s.Folder, f.Name, base.Folder)
		default:
			for _, path := range fields {
				a.rules(way([]string{f.Name}, path...), f.Node.get(path...), o.get(path...))
			}
		}
	}
	for _, f := range above.Node.Fields {
		if s.Node.get(f.Name) == nil {
			a.fail(nil, f.Node, "%s is lost in folder %q%s; want it as in folder %q, which states the workload", f.Name, s.Folder, a.by(nil, f.Node), base.Folder)
		}
	}
	if len(a.errs) == 0 && a.added && !base.Node.truth("open") {
		a.errs = append(a.errs, s.fail(a.at, "rules are added in folder %q; want \"open: true\" at %s, or the rules in folder %q, which states the workload",
			s.Folder, first(base.Node.places()), base.Folder))
	}
	return a.errs
}

// adding is the work of one onlyAdds.
type adding struct {
	s, base, above *statement
	added          bool         // some rule is
	at             []schema.Pos // where the first rule is added
	errs           []Diagnostic
}

func (a *adding) fail(n, above *node, format string, args ...any) {
	a.errs = append(a.errs, a.s.fail(a.s.deepest(n, above), format, args...))
}

// rules compares one map of rules with that of the folder above.
func (a *adding) rules(path []string, n, above *node) {
	if n == nil {
		n = &node{}
	}
	for _, f := range n.Fields {
		o := above.get(f.Name)
		switch {
		case o == nil && !a.added:
			a.added, a.at = true, a.s.deepest(f.Node, nil)
		case o == nil, equalValues(f.Node, o):
		default:
			a.fail(f.Node, o, "rule %s %q, which folder %q states, is changed in folder %q%s; want it as it is, or a rule with a name of its own: below it rules are added, and none is changed",
				dotted(path), f.Name, a.above.Folder, a.s.Folder, a.by(f.Node, o))
		}
	}
	if above == nil {
		return
	}
	for _, f := range above.Fields {
		if n.get(f.Name) == nil {
			a.fail(n, above, "rule %s %q, which folder %q states, is lost in folder %q%s; want it as it is: below it rules are added, and none is taken away",
				dotted(path), f.Name, a.above.Folder, a.s.Folder, a.by(n, above))
		}
	}
}

// by says which hidden fields may be what changed a value that the folder below states nowhere.
func (a *adding) by(n, above *node) string {
	if deepestChange(n, above, a.s.below) != nil || len(a.s.Overrides) == 0 {
		return ""
	}
	var names []string
	for _, o := range a.s.Overrides {
		names = append(names, o.Name)
	}
	return fmt.Sprintf(", by %s that it states too", list(slices.Compact(names), "or"))
}

// below returns the places of a value in the files of the statement's folder: they are the ones to change.
func (s *statement) below(n *node) []schema.Pos {
	var at []schema.Pos
	for _, p := range append(slices.Clone(n.places()), n.patterns()...) {
		if strings.HasPrefix(p.File, s.Folder+"/") {
			at = append(at, p)
		}
	}
	return at
}

// deepest returns where the statement's folder changes a value. If it states nothing of it, then what it refers to has been changed there:
// that is the hidden field if there is but one, else the entry is named.
func (s *statement) deepest(n, above *node) []schema.Pos {
	if at := deepestChange(n, above, s.below); len(at) > 0 {
		return at
	}
	if len(s.Overrides) == 1 {
		return []schema.Pos{s.Overrides[0].Pos}
	}
	return s.below(s.Node)
}

// deepestChange returns where a lower folder states what differs from the folder above, as deep as it goes.
func deepestChange(n, above *node, lower func(*node) []schema.Pos) []schema.Pos {
	if n == nil {
		return nil
	}
	at := lower(n)
	for _, f := range n.Fields {
		if o := above.get(f.Name); o == nil || !equalValues(f.Node, o) {
			if deeper := deepestChange(f.Node, o, lower); len(deeper) > 0 {
				return deeper
			}
		}
	}
	return at
}
