// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"maps"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// newPolicy puts the lowered workloads together; they and their statements are sorted by name.
func newPolicy(merged []*statement, products []*product) (*schema.Policy, []Diagnostic) {
	p := &schema.Policy{Workloads: []schema.Workload{}}
	var errs []Diagnostic
	seen := map[schema.RuleID]claim{}
	for i, s := range merged {
		w := products[i].workload
		for _, c := range w.Closures {
			errs = append(errs, take(seen, c.ID, s, c.Pos, claim{w.Name, c.Plane, ""})...)
		}
		for _, r := range w.Rules {
			errs = append(errs, take(seen, r.ID, s, r.Pos, claim{w.Name, r.Plane, r.Object})...)
		}
		p.Workloads = append(p.Workloads, w)
	}
	return p, errs
}

// claim is who has an ID: a rule, or without an object the closing of a plane.
type claim struct {
	workload string
	plane    schema.Plane
	object   string
}

func (c claim) String() string {
	if c.object == "" {
		return fmt.Sprintf("the closing of %s of workload %s", c.plane, c.workload)
	}
	return fmt.Sprintf("%s %q of workload %s", c.plane, c.object, c.workload)
}

// take notes the owner of an ID. A second one is as likely as 2^-64 for each pair of rules, and an error.
func take(seen map[schema.RuleID]claim, id schema.RuleID, s *statement, at []schema.Pos, c claim) []Diagnostic {
	if other, taken := seen[id]; taken {
		return []Diagnostic{s.fail(at, "%s has the same ID %s as %s; want another name for one of them", c, id, other)}
	}
	seen[id] = c
	return nil
}

// workload lowers one statement.
func (s *statement) workload() schema.Workload {
	w := schema.Workload{Name: s.name, Owner: s.owner, Match: s.match, Shared: s.shared, Pos: s.pos}
	for _, p := range planes { // sorted by plane
		sp := s.planes[p.plane]
		if sp == nil {
			continue
		}
		w.Closures = append(w.Closures, schema.Closure{
			ID: schema.NewRuleID("closure", s.name, string(p.plane)), Plane: p.plane, Mode: s.mode(p.plane), Pos: sp.pos,
		})
		for _, key := range slices.Sorted(maps.Keys(sp.rules)) {
			r := sp.rules[key]
			w.Rules = append(w.Rules, schema.Rule{
				ID:    schema.NewRuleID("rule", s.name, string(p.plane), string(p.verb), key),
				Plane: p.plane, Verb: p.verb, Object: key, Parents: r.parents, Why: r.why, Pos: r.pos,
			})
		}
	}
	return w
}

// mode returns the mode of a plane: its own word, or the one for all, or the default.
func (s *statement) mode(p schema.Plane) schema.Mode {
	switch {
	case s.modes[p] != "":
		return s.modes[p]
	case s.word != "":
		return s.word
	}
	return schema.ModeAudit
}
