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
	byName map[string]*indexed
}

// indexed is a workload with its exact exec rules apart.
type indexed struct {
	workload *schema.Workload
	exact    map[string][]schema.Rule
	others   []schema.Rule
}

func newJudge(p *schema.Policy) *judge {
	j := &judge{byName: make(map[string]*indexed, len(p.Workloads))}
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

// verdict judges an observation under the current policy. known is false when none of its workloads exists any more.
func (j *judge) verdict(o Observation) (v schema.Verdict, known bool) {
	var selected []*schema.Workload
	for _, name := range o.Workloads {
		if x, ok := j.byName[name]; ok {
			w := *x.workload
			w.Rules = slices.Concat(x.exact[string(o.Object)], x.others)
			selected = append(selected, &w)
		}
	}
	e := schema.Event{Verb: o.Verb, Object: o.Object, Origin: o.Origin, Parent: o.Parent}
	return schema.JudgeWorkloads(selected, e, time.Time{}), len(selected) > 0
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
