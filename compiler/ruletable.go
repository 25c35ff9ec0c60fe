// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// RuleTables returns the rule tables of a policy, one for each workload in the policy's order, then that of the policy as a whole.
func RuleTables(p *schema.Policy) []bundle.RuleTable {
	tables := make([]bundle.RuleTable, 0, len(p.Workloads)+1)
	for i := range p.Workloads {
		tables = append(tables, WorkloadTable(&p.Workloads[i]))
	}
	return append(tables, PolicyTable(p))
}

// WorkloadTable returns the rule table of a workload. It reads nothing else, so it changes only with the workload.
func WorkloadTable(w *schema.Workload) bundle.RuleTable {
	t := bundle.RuleTable{Workload: w.Name, Owner: w.Owner, Match: w.Match, Pos: w.Pos, Entries: []bundle.RuleEntry{}}
	for i := range w.Closures {
		t.Entries = append(t.Entries, closureEntry(&w.Closures[i]))
	}
	for i := range w.Rules {
		t.Entries = append(t.Entries, ruleEntry(&w.Rules[i]))
	}
	sortEntries(t.Entries)
	return t
}

func closureEntry(c *schema.Closure) bundle.RuleEntry {
	return bundle.RuleEntry{ID: c.ID, Plane: c.Plane, Verbs: c.Verbs, Mode: c.Mode, Then: c.Then, After: c.After, Pos: c.Pos}
}

func ruleEntry(r *schema.Rule) bundle.RuleEntry {
	e := bundle.RuleEntry{ID: r.ID, Plane: r.Plane, Verb: r.Verb, Object: r.Object, Parents: r.Parents, Peer: r.Peer, HTTP: r.HTTP, GRPC: r.GRPC,
		TLS: r.TLS, L4: r.L4, Values: r.Values, Why: r.Why, Pos: r.Pos}
	if e.Peer != nil && e.Peer.Match != nil { // it is in the table of the workload that it is of
		peer := *e.Peer
		peer.Match = nil
		e.Peer = &peer
	}
	return e
}

func sortEntries(entries []bundle.RuleEntry) {
	slices.SortStableFunc(entries, func(a, b bundle.RuleEntry) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), comparePositions(a.Pos, b.Pos))
	})
}

func comparePositions(a, b []schema.Pos) int { return slices.CompareFunc(a, b, schema.Pos.Compare) }

// ErrNoMatch is returned for rule tables of an older version, which do not say what workloads select.
var ErrNoMatch = errors.New("the bundle does not say what its workloads select")

// PolicyOf returns the part of a policy that verdicts follow from: workloads, bounds and exceptions with what they forbid. It is the inverse
// of [RuleTables]: Judge says the same under both.
func PolicyOf(tables []bundle.RuleTable) (*schema.Policy, error) {
	p := &schema.Policy{Workloads: []schema.Workload{}}
	matches := map[string]*schema.Match{}
	for i := range tables {
		t := &tables[i]
		if t.Workload == "" {
			restOf(p, t)
			continue
		}
		if t.Match.Zero() {
			return nil, fmt.Errorf("workload %s: %w", t.Workload, ErrNoMatch)
		}
		p.Workloads = append(p.Workloads, workloadOf(t))
		matches[t.Workload] = &t.Match
	}
	for i := range p.Workloads {
		findPeers(p.Workloads[i].Rules, matches)
	}
	for i := range p.Bounds {
		findPeers(p.Bounds[i].Never, matches)
	}
	for i := range p.Exceptions {
		findPeers(p.Exceptions[i].Patch, matches)
	}
	slices.SortFunc(p.Workloads, func(a, b schema.Workload) int { return cmp.Compare(a.Name, b.Name) })
	return p, nil
}

func workloadOf(t *bundle.RuleTable) schema.Workload {
	w := schema.Workload{Name: t.Workload, Owner: t.Owner, Match: t.Match, Pos: t.Pos}
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Verb != "" {
			w.Rules = append(w.Rules, e.Rule())
			continue
		}
		w.Closures = append(w.Closures, schema.Closure{ID: e.ID, Plane: e.Plane, Verbs: e.Verbs, Mode: e.Mode, Then: e.Then, After: e.After, Pos: e.Pos})
	}
	slices.SortFunc(w.Closures, func(a, b schema.Closure) int { return cmp.Compare(a.Plane, b.Plane) })
	slices.SortFunc(w.Rules, schema.CompareRules)
	return w
}

// findPeers gives the rules copies of their peers with what those select.
func findPeers(rules []schema.Rule, matches map[string]*schema.Match) {
	for i, r := range rules {
		if r.Peer != nil && r.Peer.Workload != "" {
			peer := *r.Peer
			peer.Match = matches[peer.Workload]
			rules[i].Peer = &peer
		}
	}
}

// restOf adds the bounds and exceptions of the policy's own table.
func restOf(p *schema.Policy, t *bundle.RuleTable) {
	bounds, exceptions := map[string]*schema.Bound{}, map[string]*schema.Exception{}
	for i := range t.Entries {
		switch e := &t.Entries[i]; e.Kind {
		case bundle.KindBound:
			bounds[e.Name] = boundOf(e)
		case bundle.KindException:
			exceptions[e.Name] = &schema.Exception{Name: e.Name, Images: e.Images, Findings: e.Values, Why: e.Why, Owner: e.Owner, Expires: e.After, Pos: e.Pos}
		}
	}
	for i := range t.Entries {
		e := &t.Entries[i]
		if b := bounds[e.Name]; b != nil && e.Kind == bundle.KindNever {
			b.Never = append(b.Never, e.Rule())
		}
		if x := exceptions[e.Name]; x != nil && e.Kind == bundle.KindPatch {
			x.Patch = append(x.Patch, e.Rule())
		}
	}
	for _, b := range bounds {
		slices.SortFunc(b.Never, schema.CompareRules)
		p.Bounds = append(p.Bounds, *b)
	}
	for _, x := range exceptions {
		slices.SortFunc(x.Patch, schema.CompareRules)
		p.Exceptions = append(p.Exceptions, *x)
	}
	slices.SortFunc(p.Bounds, func(a, b schema.Bound) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(p.Exceptions, func(a, b schema.Exception) int { return cmp.Compare(a.Name, b.Name) })
}

func boundOf(e *bundle.RuleEntry) *schema.Bound {
	b := &schema.Bound{ID: e.ID, Name: e.Name, Owner: e.Owner, Why: e.Why, Mode: e.Mode, Then: e.Then, After: e.After, Pos: e.Pos}
	if e.Match != nil {
		b.Match = *e.Match
	}
	b.Require.Workload = slices.Contains(e.Requires, "workload")
	return b
}
