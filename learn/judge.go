// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"slices"
	"time"

	"github.com/writ-sec/writ/schema"
)

// judge says what a policy says of observations. It is [schema.JudgeWorkloads] on the rules that can matter: exact rules for other objects
// are left out beforehand, since sorting 10,000 rules for each of 10,000 observations takes minutes.
type judge struct {
	byName  map[string]*indexed
	bounds  map[schema.RuleID]*schema.Bound     // by what they forbid
	patches map[schema.RuleID]*schema.Exception // by what they forbid
	at      time.Time                           // of dated modes and exceptions; zero: when an observation was last seen
}

// indexed is a workload with its exact exec rules apart.
type indexed struct {
	workload *schema.Workload
	exact    map[string][]schema.Rule
	others   []schema.Rule
}

func newJudge(p *schema.Policy, at time.Time) *judge {
	j := &judge{byName: make(map[string]*indexed, len(p.Workloads)), bounds: map[schema.RuleID]*schema.Bound{},
		patches: map[schema.RuleID]*schema.Exception{}, at: at}
	for i := range p.Bounds {
		for _, r := range p.Bounds[i].Never {
			j.bounds[r.ID] = &p.Bounds[i]
		}
	}
	for i := range p.Exceptions {
		for _, r := range p.Exceptions[i].Patch {
			j.patches[r.ID] = &p.Exceptions[i]
		}
	}
	for i := range p.Workloads {
		w := &p.Workloads[i]
		x := &indexed{workload: w, exact: map[string][]schema.Rule{}}
		for _, r := range w.Rules {
			if r.Plane == schema.PlaneExec && schema.PatternKind(r.Object) == schema.KindExact {
				x.exact[r.Object] = append(x.exact[r.Object], r)
			} else {
				x.others = append(x.others, r)
			}
		}
		j.byName[w.Name] = x
	}
	return j
}

// verdict judges an observation under the current policy. known is false when none of its workloads exists any more. Which bounds and patches
// hold for a container cannot be told from its workloads; the one that its enforcer named does, as long as it stands.
func (j *judge) verdict(o Observation) (v schema.Verdict, known bool) {
	var s schema.Selection
	for _, name := range o.Workloads {
		if x, ok := j.byName[name]; ok {
			w := *x.workload
			w.Rules = slices.Concat(x.exact[string(o.Object)], x.others)
			s.Workloads = append(s.Workloads, &w)
		}
	}
	if b, ok := j.bounds[o.Rule]; ok {
		s.Bounds = []*schema.Bound{b}
	}
	if x, ok := j.patches[o.Rule]; ok {
		s.Patches = []*schema.Exception{x}
	}
	at := j.at
	if at.IsZero() {
		at = o.Last
	}
	e := schema.Event{Verb: o.Verb, Object: o.Object, Origin: o.Origin, Parent: o.Parent}
	return s.Judge(e, at), len(s.Workloads) > 0
}

// ruling returns the rule of a bound or patch, and what it is called.
func (j *judge) ruling(id schema.RuleID) (schema.Rule, string) {
	if b, ok := j.bounds[id]; ok {
		return b.Never[slices.IndexFunc(b.Never, func(r schema.Rule) bool { return r.ID == id })], "bound " + plain(b.Name, nameBytes)
	}
	x := j.patches[id]
	return x.Patch[slices.IndexFunc(x.Patch, func(r schema.Rule) bool { return r.ID == id })], "the patch of exception " + plain(x.Name, nameBytes)
}

// workloadOf returns the workload among those of an observation that states a rule or closure.
func (j *judge) workloadOf(o Observation, id schema.RuleID) (*schema.Workload, *schema.Rule) {
	for _, name := range o.Workloads {
		x, ok := j.byName[name]
		if !ok {
			continue
		}
		for _, c := range x.workload.Closures {
			if c.ID == id {
				return x.workload, nil
			}
		}
		for _, rules := range [][]schema.Rule{x.exact[string(o.Object)], x.others} {
			for i := range rules {
				if rules[i].ID == id {
					return x.workload, &rules[i]
				}
			}
		}
	}
	return nil, nil
}
