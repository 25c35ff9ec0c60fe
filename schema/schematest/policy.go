// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package schematest makes policies and events by chance, for tests that hold an enforcer, an emitter or a second implementation against
// [schema.Judge]. The same seed gives the same values. The vocabulary is small, so that rules and events meet often; every verb, every
// kind of peer, condition, bound and patch comes up, dated and not, and what enforcers must survive as well: references that do not parse,
// dates that are none, subjects known in part.
//
// Policies are as lowering leaves them: sorted, with IDs by [schema.NewRuleID], with a closure for each plane that has rules. Patterns,
// ports, ranges and names are valid. It uses the standard library only.
package schematest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
)

// Base is the instant around which the dates of policies lie.
var Base = time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)

// Instant returns an instant within two days of Base, often one at which a date of a policy passes.
func Instant(r *rand.Rand) time.Time {
	at := Base.Truncate(24 * time.Hour).Add(time.Duration(r.IntN(5)-2) * 24 * time.Hour)
	return at.Add([]time.Duration{0, -1, time.Second, time.Duration(r.Int64N(int64(24 * time.Hour)))}[r.IntN(4)])
}

// Policy returns a policy with up to four workloads, three bounds and two exceptions.
func Policy(r *rand.Rand) *schema.Policy {
	p := &schema.Policy{Workloads: []schema.Workload{}}
	for i := range (1 + r.IntN(10)) / 2 { // seldom none
		p.Workloads = append(p.Workloads, Workload(r, fmt.Sprint("w", i), schema.Planes...))
	}
	for i := range r.IntN(4) {
		p.Bounds = append(p.Bounds, bound(r, fmt.Sprint("b", i)))
	}
	for i := range r.IntN(3) {
		p.Exceptions = append(p.Exceptions, exception(r, fmt.Sprint("x", i)))
	}
	return p
}

// Workload returns a workload that mentions some of the planes.
func Workload(r *rand.Rand, name string, planes ...schema.Plane) schema.Workload {
	w := schema.Workload{Name: name, Match: match(r)}
	for _, plane := range planes {
		if r.IntN(3) == 0 {
			continue
		}
		c := schema.Closure{ID: schema.NewRuleID("closure", name, string(plane)), Plane: plane}
		c.Mode, c.Then, c.After = planned(r)
		var rules []schema.Rule
		for range r.IntN(6) {
			rules = append(rules, Rule(r, plane))
		}
		if plane == schema.PlaneImage {
			c.Verbs = conditions(r, rules)
		}
		w.Closures = append(w.Closures, c)
		w.Rules = append(w.Rules, identify(rules, "rule", name)...)
	}
	return w
}

// identify gives rules their IDs, drops those whose key is there already, and sorts them.
func identify(rules []schema.Rule, kind ...string) []schema.Rule {
	slices.SortFunc(rules, func(a, b schema.Rule) int {
		return cmp.Or(strings.Compare(string(a.Plane), string(b.Plane)), strings.Compare(string(a.Verb), string(b.Verb)), strings.Compare(a.Object, b.Object))
	})
	rules = slices.CompactFunc(rules, func(a, b schema.Rule) bool {
		return a.Plane == b.Plane && a.Verb == b.Verb && a.Object == b.Object
	})
	for i := range rules {
		a := &rules[i]
		a.ID = schema.NewRuleID(append(slices.Clone(kind), string(a.Plane), string(a.Verb), a.Object)...)
	}
	return rules
}

// conditions names the conditions of rules, sometimes one more that has no rule, sometimes none, which is from alone.
func conditions(r *rand.Rand, rules []schema.Rule) []schema.Verb {
	var verbs []schema.Verb
	for _, a := range rules {
		verbs = append(verbs, a.Verb)
	}
	if r.IntN(8) == 0 {
		verbs = append(verbs, pick(r, schema.VerbRun, schema.VerbSigned, schema.VerbPass))
	}
	slices.Sort(verbs)
	return slices.Compact(verbs)
}

// planned returns a mode and, sometimes, its successor and the date of the change.
func planned(r *rand.Rand) (mode, then schema.Mode, after schema.Date) {
	mode = pick(r, schema.ModeLearn, schema.ModeAudit, schema.ModeEnforce)
	if r.IntN(4) == 0 {
		return mode, pick(r, schema.ModeLearn, schema.ModeAudit, schema.ModeEnforce), date(r)
	}
	return mode, "", ""
}

func date(r *rand.Rand) schema.Date {
	day := Base.AddDate(0, 0, r.IntN(3)-1)
	switch r.IntN(8) {
	case 0:
		return "some day"
	case 1, 2:
		return schema.Date(day.Format(time.RFC3339))
	}
	return schema.Date(day.Format(time.DateOnly))
}

// match returns what selects a workload's containers. The subjects of events are often among them.
func match(r *rand.Rand) schema.Match {
	m := schema.Match{Namespace: pick(r, "shop", "bank")}
	switch r.IntN(9) {
	case 0:
		return schema.Match{Host: true}
	case 1:
		return schema.Match{Cgroup: pick(r, "/a", "/a/*", "/**/b")}
	case 2:
		m.Container = pick(r, "app", "s*")
	case 3:
		m.Expressions = map[string]schema.Expression{"app": expression(r)}
	case 4, 5:
		m.Labels = map[string]string{"app": pick(r, "web", "db")}
	}
	return m
}

func expression(r *rand.Rand) schema.Expression {
	yes := r.IntN(2) == 0
	return pick(r, schema.Expression{In: schema.Names{"web", "job"}}, schema.Expression{NotIn: schema.Names{"db"}}, schema.Expression{Exists: &yes})
}

func bound(r *rand.Rand, name string) schema.Bound {
	b := schema.Bound{Name: name, ID: schema.NewRuleID("bound", name, "require")}
	if r.IntN(2) == 0 {
		b.Match = match(r)
	}
	b.Mode, b.Then, b.After = planned(r)
	b.Require.Workload = r.IntN(3) == 0
	for range r.IntN(4) {
		b.Never = append(b.Never, Forbidden(r, pick(r, schema.Planes...)))
	}
	b.Never = identify(b.Never, "bound", name, "never")
	return b
}

func exception(r *rand.Rand, name string) schema.Exception {
	x := schema.Exception{Name: name, Findings: schema.Names{"CVE-2026-1"}, Images: schema.Names{pick(r, imagePatterns...)}, Expires: date(r)}
	for range 1 + r.IntN(2) {
		x.Patch = append(x.Patch, Forbidden(r, pick(r, schema.Planes[:5]...)))
	}
	x.Patch = identify(x.Patch, "patch", name)
	return x
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// some returns a part of the values, sorted, at most three.
func some(r *rand.Rand, from []string) []string {
	var out []string
	for range r.IntN(4) {
		out = append(out, pick(r, from...))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
