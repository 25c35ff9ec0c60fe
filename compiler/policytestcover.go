// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"slices"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// Coverage says what no test touches. A rule is touched when it decides a test, when a verdict names it as the one that nearly allows, and
// when it is one of the conditions by which an image or a Pod is allowed.
type Coverage struct {
	Rules     Touched  `json:"rules"`     // of workloads
	Closings  Touched  `json:"closings"`  // of planes, by workloads
	Limits    Touched  `json:"limits"`    // what bounds never allow, and what virtual patches forbid
	Untouched []Stated `json:"untouched"` // sorted by position
}

// Touched counts.
type Touched struct {
	Touched int `json:"touched"`
	Of      int `json:"of"`
}

// CoverTests says what of a policy the tests with these results touch, whether they passed or not.
func CoverTests(p *schema.Policy, results []TestResult) Coverage {
	touched := map[schema.RuleID]bool{}
	for _, r := range results {
		for _, id := range r.touched {
			touched[id] = true
		}
	}
	c := Coverage{Untouched: []Stated{}}
	count := func(to *Touched, id schema.RuleID, s func() Stated) {
		if to.Of++; touched[id] {
			to.Touched++
			return
		}
		c.Untouched = append(c.Untouched, s())
	}
	limits := func(entries []bundle.RuleEntry) {
		for _, e := range entries {
			if e.Kind == bundle.KindNever || e.Kind == bundle.KindPatch {
				count(&c.Limits, e.ID, func() Stated { return entryStated(e) })
			}
		}
	}
	for i := range p.Workloads {
		w := &p.Workloads[i]
		for j := range w.Closures {
			count(&c.Closings, w.Closures[j].ID, func() Stated { return closureStated(w, &w.Closures[j]) })
		}
		for j := range w.Rules {
			count(&c.Rules, w.Rules[j].ID, func() Stated { return ruleStated(w, &w.Rules[j]) })
		}
	}
	for i := range p.Bounds {
		limits(boundEntries(&p.Bounds[i]))
	}
	for i := range p.Exceptions {
		limits(exceptionEntries(&p.Exceptions[i]))
	}
	slices.SortStableFunc(c.Untouched, func(a, b Stated) int { return comparePositions(a.Pos, b.Pos) })
	return c
}
