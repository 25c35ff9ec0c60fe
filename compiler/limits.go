// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import "github.com/writ-sec/writ/schema"

// Limits tells of rules that a policy does not have yet whether its bounds would let them compile. It is not safe for concurrent use.
type Limits struct {
	bounds []*boundLimits
	holds  map[limitKey]bool
}

type limitKey struct {
	bound    *boundLimits
	workload string
}

// Limit is what keeps a rule from compiling.
type Limit struct {
	Bound *schema.Bound
	Rule  *schema.Rule // what the bound forbids, or nil: the rule lies outside of what it permits
	Pos   []schema.Pos // where the bound says so
}

// NewLimits reads the bounds of a policy, which must not change any more.
func NewLimits(p *schema.Policy) *Limits {
	l := &Limits{holds: map[limitKey]bool{}}
	for i := range p.Bounds {
		l.bounds = append(l.bounds, limitsOf(&p.Bounds[i]))
	}
	return l
}

// Forbids returns what keeps a rule from compiling in a workload of the policy, if anything does: a bound that may hold for a container of the
// workload, and of which the rule is wholly forbidden or not wholly permitted.
func (l *Limits) Forbids(w *schema.Workload, r *schema.Rule) (Limit, bool) {
	work := coverWork
	for _, b := range l.bounds {
		if !l.holdsFor(b, w) {
			continue
		}
		if never := b.never[r.Plane]; never != nil {
			if limit := never.covering(r, &work); limit != nil {
				return Limit{b.bound, limit, limit.Pos}, true
			}
		}
		check := boundCheck{boundLimits: b, c: &workloadCheck{work: work}}
		if only := b.only[r.Plane]; only != nil && only.covering(r, &work) == nil && !check.insideTogether(only, r) {
			return Limit{b.bound, nil, check.placeOf(only)}, true
		}
	}
	return Limit{}, false
}

func (l *Limits) holdsFor(b *boundLimits, w *schema.Workload) bool {
	key := limitKey{b, w.Name}
	some, known := l.holds[key]
	if !known {
		some, _ = holdsFor(&b.bound.Match, &w.Match)
		l.holds[key] = some
	}
	return some
}
