// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	writadmission "github.com/writ-sec/writ/compiler/admission"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
	"github.com/writ-sec/writ/schema/testneed"
)

// objectsOf are the objects of a policy at an instant.
func objectsOf(t testing.TB, p *schema.Policy, at time.Time) []writadmission.Object {
	t.Helper()
	in := writadmission.Input{Policy: p, At: at, Config: schema.Admission{Makers: []schema.Maker{{Kind: "argoproj.io/Rollout", Path: "spec.template"}}}}
	for i := range p.Workloads {
		w := &p.Workloads[i]
		made, err := writadmission.Make(w, at, false)
		if err != nil {
			t.Fatal(err)
		}
		in.Workloads = append(in.Workloads, writadmission.Workload{Name: w.Name, Match: w.Match, Made: made})
	}
	objects, err := writadmission.Objects(in)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// vapMakers are the kinds of the tests.
func vapMakers() manifest.Makers {
	m := manifest.Builtin()
	m[manifest.Kind{Group: "argoproj.io", Kind: "Rollout"}] = []string{"spec", "template"}
	return m
}

// statement is one rule that does not allow something.
type statement struct {
	action schema.Action
	rule   schema.RuleID
	reason schema.Reason
	field  string
}

// stated lists everything that does not allow a Pod, each from Judge asked about one rule alone.
func stated(p *schema.Policy, events []schema.Event) map[statement]bool {
	all := map[statement]bool{}
	ask := func(alone *schema.Policy, field string, reasons ...schema.Reason) {
		for _, e := range events {
			if v := schema.Judge(alone, e, time.Time{}); v.Action != schema.ActionAllow && slices.Contains(reasons, v.Reason) {
				all[statement{v.Action, v.Rule, v.Reason, field}] = true
			}
		}
	}
	open := slices.Clone(p.Workloads) // they select, and say nothing
	for i, w := range p.Workloads {
		open[i].Closures, open[i].Rules = nil, nil
		image := w
		image.Rules = slices.DeleteFunc(slices.Clone(w.Rules), func(r schema.Rule) bool { return r.Plane != schema.PlaneImage })
		ask(&schema.Policy{Workloads: []schema.Workload{image}}, "", schema.ReasonNoRule, schema.ReasonReference)
		for _, r := range w.Rules {
			if r.Plane == schema.PlanePod {
				one := w
				one.Rules = []schema.Rule{r}
				ask(&schema.Policy{Workloads: []schema.Workload{one}}, r.Object, schema.ReasonField)
			}
		}
	}
	for _, b := range p.Bounds {
		one := b
		one.Never = nil
		ask(&schema.Policy{Workloads: open, Bounds: []schema.Bound{one}}, "", schema.ReasonRequire)
		one.Require.Workload = false
		for _, r := range b.Never {
			one.Never = []schema.Rule{r}
			ask(&schema.Policy{Bounds: []schema.Bound{one}}, r.Object, schema.ReasonBound)
		}
	}
	for _, x := range p.Exceptions {
		for _, r := range x.Patch {
			x.Patch = []schema.Rule{r}
			ask(&schema.Policy{Exceptions: []schema.Exception{x}}, "", schema.ReasonPatch)
		}
	}
	return all
}

var ruleOfMessage = regexp.MustCompile(`, rule ([0-9a-f]{16})`)

// told are the rules that the bindings name, by action.
func told(t testing.TB, answers []answer) map[schema.Action]map[schema.RuleID]bool {
	t.Helper()
	all := map[schema.Action]map[schema.RuleID]bool{}
	for _, a := range answers {
		if a.failed {
			t.Fatalf("binding %s: %s", a.binding, a.message)
		}
		action := map[string]schema.Action{"Deny": schema.ActionDeny, "Warn": schema.ActionAudit, "Audit": schema.ActionLearn}[string(a.actions[0])]
		if all[action] == nil {
			all[action] = map[schema.RuleID]bool{}
		}
		for _, m := range ruleOfMessage.FindAllStringSubmatch(a.message, -1) {
			var id schema.RuleID
			if err := id.UnmarshalText([]byte(m[1])); err != nil {
				t.Fatal(err)
			}
			all[action][id] = true
		}
		if len(a.message) > 5<<10 || strings.ContainsFunc(a.message, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			t.Fatalf("message of %d bytes %q", len(a.message), a.message)
		}
		if strings.HasSuffix(a.message, "...") && len(a.message) > 1200 {
			all[action][cutShort] = true
		}
	}
	return all
}

// cutShort stands for the rules that did not fit.
const cutShort = schema.RuleID(1)

// compareVAP holds the server's answer against the reference and returns what does not allow the Pod.
func compareVAP(t testing.TB, s *server, p *schema.Policy, o object) map[statement]bool {
	t.Helper()
	namespace := o["metadata"].(object)["namespace"].(string)
	var want map[statement]bool
	strictest := schema.ActionAllow
	if pod, ok := vapMakers().Of(o, namespace); ok {
		events := pod.Events()
		want = stated(p, events)
		for _, e := range events {
			if v := schema.Judge(p, e, time.Time{}); rank[v.Action] > rank[strictest] {
				strictest = v.Action
			}
		}
	}
	answers := s.ask(t, vapRequest{namespace: namespace, object: o})
	got := told(t, answers)
	rules := map[schema.Action]map[schema.RuleID]bool{}
	for st := range want {
		if rules[st.action] == nil {
			rules[st.action] = map[schema.RuleID]bool{}
		}
		rules[st.action][st.rule] = true
	}
	most := schema.ActionAllow
	for action := range got {
		if rank[action] > rank[most] {
			most = action
		}
	}
	same := most == strictest && len(got) == len(rules)
	for action, ids := range got {
		if cut := ids[cutShort]; cut {
			delete(ids, cutShort)
			for id := range ids {
				same = same && rules[action][id]
			}
			continue
		}
		same = same && maps.Equal(ids, rules[action])
	}
	if !same {
		object, _ := json.MarshalIndent(o, "", " ")
		policy, _ := json.Marshal(p)
		t.Fatalf("%s\n%s\n got %v\nwant %v\nstrictest %s, Judge %s\nanswers %v", policy, object, got, rules, most, strictest, answers)
	}
	return want
}

// vapCoverage counts what generated cases had on both sides.
type vapCoverage struct {
	cases, denied int
	seen          map[string]int
}

func (c *vapCoverage) add(p *schema.Policy, found map[statement]bool) {
	c.cases++
	if len(found) > 0 {
		c.denied++
	}
	for s := range found {
		c.seen[fmt.Sprint(s.reason, " ", s.field)]++
		c.seen[string(s.action)]++
	}
	for _, w := range p.Workloads {
		for _, r := range w.Rules {
			c.seen["rule "+r.Object]++
		}
	}
}

func (c *vapCoverage) check(t *testing.T) {
	t.Helper()
	t.Logf("%d cases, %d not allowed", c.cases, c.denied)
	if c.denied < c.cases/10 || c.denied > c.cases*95/100 {
		t.Errorf("%d of %d are not allowed; want both often", c.denied, c.cases)
	}
	least := c.cases / 4000
	var want []string
	for _, a := range []schema.Action{schema.ActionLearn, schema.ActionAudit, schema.ActionDeny} {
		want = append(want, string(a))
	}
	for _, r := range []schema.Reason{schema.ReasonNoRule, schema.ReasonReference, schema.ReasonRequire, schema.ReasonPatch} {
		want = append(want, string(r)+" ")
	}
	for _, f := range schema.PodFields {
		want = append(want, "field "+string(f))
		if f != schema.PodDropCapabilities {
			want = append(want, "bound "+string(f))
		}
	}
	for _, r := range schema.ProfileRules("restricted") {
		want = append(want, "field "+r.Object)
	}
	for _, w := range want {
		if c.seen[w] < least {
			t.Errorf("%d cases of %q; want at least %d", c.seen[w], w, least)
		}
	}
}

// runVAP compares cases in four parts of their own, for there are two processors at least.
func runVAP(t *testing.T, seed uint64, rounds, pods int) {
	t.Helper()
	percent := debug.SetGCPercent(400) // little is alive, and much is thrown away
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	for part := range uint64(4) {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			c := vapCoverage{seen: map[string]int{}}
			runVAPPart(t, vapGenerator{generator{rand.New(rand.NewPCG(seed, part))}}, &c, rounds/4, pods)
			c.check(t)
		})
	}
}

func runVAPPart(t *testing.T, g vapGenerator, c *vapCoverage, rounds, pods int) {
	t.Helper()
	s := newServer("")
	for round := range rounds {
		workloads := g.IntN(8)
		if round%100 == 99 {
			workloads = 400
		}
		at := instants[round%len(instants)]
		p := g.lowered(workloads)
		s.apply(t, objectsOf(t, p, at))
		p = decided(p, at)
		for range pods {
			c.add(p, compareVAP(t, s, p, g.made()))
		}
	}
}

// TestVAPGenerated compares the policy with Judge: the action of each binding and every rule that a message names.
func TestVAPGenerated(t *testing.T) { runVAP(t, 1, 1600, 16) }

// TestSoakVAPGenerated compares a million cases.
func TestSoakVAPGenerated(t *testing.T) {
	testneed.Soak(t)
	runVAP(t, 2, 20_000, 50)
}
