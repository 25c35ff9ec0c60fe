// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/types"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
)

// finding is one violation in a form that both sides can state. Of what is about the Pod as a whole, container and value are empty.
type finding struct {
	who              string // "workload w", "bound b"
	rule             string
	container, value string
	field            string
	action           schema.Action
	reason           schema.Reason
}

func (f finding) String() string {
	return fmt.Sprintf("%s %s %s %q %q %s %s", f.who, f.rule, f.field, f.container, f.value, f.action, f.reason)
}

var actions = map[string]schema.Action{"deny": schema.ActionDeny, "warn": schema.ActionAudit, "dryrun": schema.ActionLearn}

var rank = map[schema.Action]int{schema.ActionAllow: 0, schema.ActionLearn: 1, schema.ActionAudit: 2, schema.ActionDeny: 3}

// found reads the engine's answer. Each message must name what its details name.
func found(t testing.TB, results []*types.Result) []finding {
	t.Helper()
	var fs []finding
	for _, r := range results {
		details, _ := r.Metadata["details"].(map[string]any)
		text := func(key string) string {
			s, _ := details[key].(string)
			return s
		}
		f := finding{rule: text("rule"), field: text("field"), action: actions[r.EnforcementAction], reason: schema.Reason(text("reason"))}
		for _, kind := range []string{"workload", "bound"} {
			if name := text(kind); name != "" {
				f.who = kind + " " + name
			}
		}
		if f.field == "" && f.reason != schema.ReasonRequire {
			f.container, f.value = text("container"), text("value")
		}
		if f.who == "" || !strings.Contains(r.Msg, f.who) || !strings.Contains(r.Msg, "rule "+f.rule) || !strings.Contains(r.Msg, f.field) {
			t.Fatalf("message %q does not name %v", r.Msg, f)
		}
		fs = append(fs, f)
	}
	return sorted(fs)
}

func sorted(fs []finding) []finding {
	slices.SortFunc(fs, func(a, b finding) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(fs)
}

// admitted is the part of a policy that these objects enforce: of conditions on images the patterns alone.
func admitted(p *schema.Policy) *schema.Policy {
	q := &schema.Policy{Bounds: p.Bounds}
	for _, w := range p.Workloads {
		v := w
		v.Closures, v.Rules = nil, nil
		for _, c := range w.Closures {
			if c.Plane == schema.PlanePod || c.Plane == schema.PlaneImage && c.Names(schema.VerbRun) {
				c.Verbs = nil
				v.Closures = append(v.Closures, c)
			}
		}
		for _, r := range w.Rules {
			if r.Verb == schema.VerbRun || r.Verb == schema.VerbSet {
				v.Rules = append(v.Rules, r)
			}
		}
		q.Workloads = append(q.Workloads, v)
	}
	return q
}

// judged is what the reference says of a Pod at an instant: each rule of each workload and bound by itself, and the strictest action of all.
func judged(p *schema.Policy, pod manifest.Pod, at time.Time) (all []finding, strictest schema.Action) {
	strictest = schema.ActionAllow
	events := pod.Events()
	for _, e := range events {
		if v := strictestOf(p, e, at); rank[v.Action] > rank[strictest] {
			strictest = v.Action
		}
	}
	for i := range p.Workloads {
		all = append(all, ofWorkload(&p.Workloads[i], events, at)...)
	}
	bare := make([]schema.Workload, len(p.Workloads))
	for i, w := range p.Workloads {
		bare[i] = schema.Workload{Name: w.Name, Match: w.Match}
	}
	for i := range p.Bounds {
		all = append(all, ofBound(&p.Bounds[i], bare, events, at)...)
	}
	return sorted(all), strictest
}

func ofWorkload(w *schema.Workload, events []schema.Event, at time.Time) (all []finding) {
	var images []finding
	for _, e := range events {
		if e.Verb == schema.VerbRun {
			if v := strictestOf(&schema.Policy{Workloads: []schema.Workload{*w}}, e, at); v.Action != schema.ActionAllow {
				images = append(images, finding{who: "workload " + w.Name, rule: v.Rule.String(), container: cut(e.Subject.Container), value: cut(string(e.Object)), action: v.Action, reason: v.Reason})
			}
			continue
		}
		for _, r := range w.Rules {
			if r.Verb != schema.VerbSet {
				continue
			}
			one := *w
			one.Rules = []schema.Rule{r}
			if v := strictestOf(&schema.Policy{Workloads: []schema.Workload{one}}, e, at); v.Action != schema.ActionAllow {
				all = append(all, finding{who: "workload " + w.Name, rule: v.Rule.String(), field: r.Object, action: v.Action, reason: v.Reason})
			}
		}
	}
	return append(all, ten(images, schema.ReasonNoRule)...)
}

func ofBound(b *schema.Bound, bare []schema.Workload, events []schema.Event, at time.Time) (all []finding) {
	ask := func(one schema.Bound, e schema.Event) schema.Verdict {
		return strictestOf(&schema.Policy{Workloads: bare, Bounds: []schema.Bound{one}}, e, at)
	}
	demand := *b
	demand.Never = nil
	for _, e := range events {
		if v := ask(demand, e); v.Action != schema.ActionAllow {
			all = append(all, finding{who: "bound " + b.Name, rule: v.Rule.String(), action: v.Action, reason: v.Reason})
		}
	}
	for _, r := range b.Never {
		one := *b
		one.Require, one.Never = schema.Require{}, []schema.Rule{r}
		var images []finding
		for _, e := range events {
			switch v := ask(one, e); {
			case v.Action == schema.ActionAllow:
			case e.Verb == schema.VerbSet:
				all = append(all, finding{who: "bound " + b.Name, rule: v.Rule.String(), field: r.Object, action: v.Action, reason: v.Reason})
			default:
				images = append(images, finding{who: "bound " + b.Name, rule: v.Rule.String(), container: cut(e.Subject.Container), value: cut(string(e.Object)), action: v.Action, reason: v.Reason})
			}
		}
		all = append(all, ten(images, schema.ReasonBound)...)
	}
	return all
}

// ten is how many containers are named; one more stands for the others.
func ten(all []finding, reason schema.Reason) []finding {
	if len(all) <= 10 {
		return all
	}
	more := all[10]
	more.container, more.value, more.reason = "", "", reason
	return append(all[:10:10], more)
}

func cut(s string) string {
	if runes := []rune(s); len(runes) > 200 {
		return string(runes[:200]) + "..."
	}
	return s
}

// strictestOf is the verdict at an instant or, of the zero Time, the strictest that there will ever be.
func strictestOf(p *schema.Policy, e schema.Event, at time.Time) schema.Verdict {
	v := schema.Judge(p, e, at)
	if at.IsZero() {
		if later := schema.Judge(p, e, afterAll); rank[later.Action] > rank[v.Action] {
			return later
		}
	}
	return v
}

// afterAll is after all dates.
var afterAll = time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)

// decoded returns an object as JSON gives it.
func decoded(t testing.TB, o object) object {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var back object
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// compare holds the engine's answer against the reference at the instant for which the policy is compiled. It returns what was found.
func compare(t testing.TB, e *engine, p *schema.Policy, namespace string, o object, at time.Time) []finding {
	t.Helper()
	got := found(t, e.review(t, request(t, admissionv1.Create, namespace, o, nil)))
	var want []finding
	strictest := schema.ActionAllow
	if pod, ok := manifest.Builtin().Of(decoded(t, o), namespace); ok {
		want, strictest = judged(p, pod, at)
	}
	if !slices.Equal(got, want) {
		data, _ := json.MarshalIndent(o, "", " ")
		policy, _ := json.Marshal(p)
		t.Fatalf("at %v, namespace %q: %s\nunder %s\n got %v\nwant %v", at, namespace, data, policy, minus(got, want), minus(want, got))
	}
	most := schema.ActionAllow
	for _, f := range got {
		if rank[f.action] > rank[most] {
			most = f.action
		}
	}
	if most != strictest {
		t.Fatalf("engine %q, Judge %q", most, strictest)
	}
	return got
}

func minus(a, b []finding) []finding {
	return slices.DeleteFunc(slices.Clone(a), func(f finding) bool { return slices.Contains(b, f) })
}
