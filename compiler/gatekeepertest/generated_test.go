// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
	"github.com/writ-sec/writ/schema/schematest"
	"github.com/writ-sec/writ/schema/testneed"
)

// coverage counts what came up.
type coverage struct {
	mu              sync.Mutex
	cases, denied   int
	permits, denies map[string]int // by field of a rule that was judged, or by reason
}

// note counts a case: which fields rules of workloads that select the Pod speak of, and which of them were violated.
func (c *coverage) note(p *schema.Policy, namespace string, o object, found []finding) {
	pod, ok := manifest.Builtin().Of(o, namespace)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cases++
	if len(found) > 0 {
		c.denied++
	}
	violated := map[string]bool{}
	for _, f := range found {
		c.denies[string(f.reason)]++
		violated[f.rule] = true
	}
	for i := range p.Workloads {
		w := &p.Workloads[i]
		if _, closed := w.Closure(schema.PlanePod); !closed || !w.Match.Selects(schema.Subject{Namespace: pod.Namespace, Labels: pod.Labels}) {
			continue
		}
		for _, r := range w.Rules {
			switch {
			case r.Verb != schema.VerbSet:
			case violated[r.ID.String()]:
				c.denies[r.Object]++
			default:
				c.permits[r.Object]++
			}
		}
	}
}

func newCoverage() *coverage { return &coverage{permits: map[string]int{}, denies: map[string]int{}} }

// check holds that each field and each reason came up, on both sides, and that neither answer was rare.
func (c *coverage) check(t *testing.T, cases int) {
	t.Helper()
	fields := []string{}
	for _, f := range schema.PodFields {
		fields = append(fields, string(f))
	}
	for _, r := range schema.ProfileRules("restricted") {
		fields = append(fields, r.Object)
	}
	for _, f := range fields {
		if c.permits[f] < 20 || c.denies[f] < 20 {
			t.Errorf("%s: %d Pods that a rule permits, %d that it does not; want both often", f, c.permits[f], c.denies[f])
		}
	}
	for _, r := range []schema.Reason{schema.ReasonNoRule, schema.ReasonReference, schema.ReasonField, schema.ReasonBound, schema.ReasonRequire} {
		if c.denies[string(r)] < 100 {
			t.Errorf("reason %s came up %d times", r, c.denies[string(r)])
		}
	}
	t.Logf("%d cases, %d with a violation", c.cases, c.denied)
	if c.cases < cases || c.denied < c.cases/10 || c.denied > c.cases*95/100 {
		t.Errorf("%d cases, %d with a violation; want at least %d, and both answers often", c.cases, c.denied, cases)
	}
}

// run compares many objects under many policies.
func (c *coverage) run(t *testing.T, seed uint64, policies, objects int) {
	g := newGenerator(seed)
	e := newEngine(t)
	for round := range policies {
		at := instants[round%len(instants)]
		var p *schema.Policy
		switch {
		case round%4 == 3:
			p = schematest.Policy(g.Rand)
			at = schematest.Instant(g.Rand)
		case round%25 == 24: // namespaces of many workloads, which have a section for each label
			p = g.policy(450)
		default:
			p = g.policy(8)
		}
		p = admitted(p)
		e.loadPolicy(t, p, at)
		for range objects {
			namespace, o := g.pick("shop", "shop", "web", "other", ""), g.object()
			if round%4 == 3 {
				namespace = g.pick("shop", "bank", "other")
			}
			c.note(p, namespace, decoded(t, o), compare(t, e, p, namespace, o, at))
		}
	}
}

// TestGenerated compares the engine with Judge.
func TestGenerated(t *testing.T) {
	generated(t, 0, 100)
}

// TestSoakGenerated does it a million times, with other seeds.
func TestSoakGenerated(t *testing.T) {
	testneed.Soak(t)
	generated(t, 1000, 1700)
}

func generated(t *testing.T, first uint64, policies int) {
	c := newCoverage()
	t.Run("group", func(t *testing.T) {
		for seed := first; seed < first+4; seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				c.run(t, seed, policies, 150)
			})
		}
	})
	if !t.Failed() {
		c.check(t, policies*500)
	}
}

// TestCompiled compares the engine with Judge under policies that are stated and compiled, in which bounds and workloads do not contradict each other.
func TestCompiled(t *testing.T) {
	g := newGenerator(7)
	e := newEngine(t)
	c := newCoverage()
	bounds := 0
	for round := range 24 {
		at := instants[round%len(instants)]
		stated := statable(g.policy(8))
		text := source(stated)
		res, err := tryCompile(t, text, at)
		if err != nil && strings.Contains(err.Error(), "is what bound") {
			stated.Bounds = nil
			text = source(stated)
			res, err = tryCompile(t, text, at)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		bounds += len(stated.Bounds)
		e.load(t, res.Bundle)
		p := admitted(policyOf(t, res))
		for range 100 {
			namespace, o := g.pick("shop", "shop", "web", "other"), g.object()
			c.note(p, namespace, decoded(t, o), compare(t, e, p, namespace, o, at))
		}
	}
	if t.Logf("%d cases, %d bounds", c.cases, bounds); bounds < 8 {
		t.Errorf("only %d bounds", bounds)
	}
}

// TestTenThousand compares Pods of very many containers.
func TestTenThousand(t *testing.T) {
	e := newEngine(t)
	res := compile(t, `package policy
workload: w: {match: namespace: "shop", mode: "enforce", image: from: "a": {}, pod: {profile: "restricted", addCapabilities: KILL: {}}}
bound: b: {mode: "audit", never: {image: "b": {}, pod: runAsUser: "0": {}}, require: workload: true}
`)
	e.load(t, res.Bundle)
	p := admitted(policyOf(t, res))
	for _, namespace := range []string{"shop", "other"} {
		var list []any
		for i := range 10_000 {
			list = append(list, object{"name": fmt.Sprint("c", i), "image": []string{"a", "b", "A", ""}[i%4], "securityContext": object{"runAsUser": i % 3}})
		}
		o := object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "p"}, "spec": object{"containers": list}}
		if found := compare(t, e, p, namespace, o, instants[1]); len(found) < 3 {
			t.Errorf("namespace %s: %v", namespace, found)
		}
	}
}
