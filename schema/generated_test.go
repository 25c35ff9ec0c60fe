// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/schematest"
)

// eventsPerPolicy is how many events are judged under one generated policy: making a policy costs ten times what judging does.
const eventsPerPolicy = 5

// compareSome judges generated events under one generated policy by both implementations, and hands each verdict to note.
func compareSome(t *testing.T, r *rand.Rand, note func(schema.Event, schema.Verdict)) {
	t.Helper()
	p := schematest.Policy(r)
	for range eventsPerPolicy {
		e, at := schematest.Event(r, p), schematest.Instant(r)
		got, want := schema.Judge(p, e, at), naiveJudge(p, e, at)
		if !reflect.DeepEqual(got, want) {
			policy, _ := json.MarshalIndent(p, "", " ")
			event, _ := json.Marshal(e)
			t.Fatalf("at %v\nJudge:  %+v\nnaive:  %+v\nevent: %s\npolicy: %s", at, got, want, event, policy)
		}
		note(e, got)
	}
}

// TestJudgeEqualsNaive compares the two implementations, and holds that the generator leaves nothing out.
func TestJudgeEqualsNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	seen := map[string]int{}
	for range 80_000 / eventsPerPolicy {
		compareSome(t, r, func(e schema.Event, v schema.Verdict) {
			seen["action "+string(v.Action)]++
			seen["reason "+string(v.Reason)]++
			seen[string(e.Verb)+" "+string(v.Action)]++
			seen[string(e.Verb)+" "+string(v.Reason)]++
			seen["origin "+string(e.Origin)]++
		})
	}
	enough := func(least int, what string) {
		if seen[what] < least {
			t.Errorf("only %d generated cases have %s; want at least %d", seen[what], what, least)
		}
	}
	actions := []schema.Action{schema.ActionAllow, schema.ActionLearn, schema.ActionAudit, schema.ActionDeny}
	for _, a := range actions {
		enough(5000, "action "+string(a))
		for _, verb := range schematest.Verbs {
			enough(300, string(verb)+" "+string(a))
		}
	}
	for _, reason := range schema.Reasons {
		enough(100, "reason "+string(reason))
	}
	for verb, reasons := range reasonsOf {
		for _, reason := range reasons {
			enough(20, string(verb)+" "+string(reason))
		}
	}
	for _, origin := range []schema.Origin{schema.OriginMemfd, schema.OriginDeleted, schema.OriginForeign, schema.OriginTooLong, schema.OriginUnknown} {
		enough(200, "origin "+string(origin))
	}
}

// reasonsOf lists the reasons that a verb can have beside those of every verb.
var reasonsOf = map[schema.Verb][]schema.Reason{
	schema.VerbExec:    {schema.ReasonRule, schema.ReasonOpen, schema.ReasonUncovered, schema.ReasonNoRule, schema.ReasonParent, schema.ReasonOrigin, schema.ReasonBound, schema.ReasonPatch},
	schema.VerbRead:    {schema.ReasonRule, schema.ReasonOpen, schema.ReasonUncovered, schema.ReasonNoRule, schema.ReasonOrigin, schema.ReasonBound, schema.ReasonPatch},
	schema.VerbWrite:   {schema.ReasonRule, schema.ReasonOpen, schema.ReasonUncovered, schema.ReasonNoRule, schema.ReasonRead, schema.ReasonOrigin, schema.ReasonBound, schema.ReasonPatch},
	schema.VerbUse:     {schema.ReasonRule, schema.ReasonOpen, schema.ReasonUncovered, schema.ReasonNoRule, schema.ReasonBound, schema.ReasonPatch},
	schema.VerbConnect: {schema.ReasonRule, schema.ReasonOpen, schema.ReasonUncovered, schema.ReasonNoRule, schema.ReasonPort, schema.ReasonPeer, schema.ReasonBound, schema.ReasonPatch},
	schema.VerbRequest: {schema.ReasonRule, schema.ReasonOpen, schema.ReasonUncovered, schema.ReasonNoRule, schema.ReasonPort, schema.ReasonRequest, schema.ReasonPeer, schema.ReasonBound, schema.ReasonPatch},
	schema.VerbAccept:  {schema.ReasonBuiltin, schema.ReasonRule, schema.ReasonOpen, schema.ReasonUncovered, schema.ReasonNoRule, schema.ReasonPort, schema.ReasonPeer, schema.ReasonBound, schema.ReasonPatch},
	schema.VerbServe:   {schema.ReasonBuiltin, schema.ReasonRule, schema.ReasonOpen, schema.ReasonUncovered, schema.ReasonNoRule, schema.ReasonPort, schema.ReasonRequest, schema.ReasonPeer, schema.ReasonBound, schema.ReasonPatch},
	schema.VerbRun:     {schema.ReasonRule, schema.ReasonOpen, schema.ReasonUncovered, schema.ReasonNoRule, schema.ReasonReference, schema.ReasonSigner, schema.ReasonGate, schema.ReasonBound, schema.ReasonRequire},
	schema.VerbSet:     {schema.ReasonHolds, schema.ReasonOpen, schema.ReasonUncovered, schema.ReasonField, schema.ReasonBound},
}

// TestOrderDoesNotMatter shuffles what a policy lists: a verdict depends on what is listed alone.
func TestOrderDoesNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 10_000 {
		p := schematest.Policy(r)
		e, at := schematest.Event(r, p), schematest.Instant(r)
		want := schema.Judge(p, e, at)
		slices.Reverse(p.Workloads)
		slices.Reverse(p.Bounds)
		slices.Reverse(p.Exceptions)
		for i := range p.Workloads {
			slices.Reverse(p.Workloads[i].Rules)
		}
		if got := schema.Judge(p, e, at); !reflect.DeepEqual(got, want) {
			t.Fatalf("in another order the verdict on %+v is %+v; want %+v", e, got, want)
		}
	}
}

// TestJSONKeepsTheMeaning holds that what a policy and an event say survives their JSON form, in which they travel.
func TestJSONKeepsTheMeaning(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 3000 {
		p := schematest.Policy(r)
		e, at := schematest.Event(r, p), schematest.Instant(r)
		var p2 schema.Policy
		var e2 schema.Event
		again(t, p, &p2)
		again(t, e, &e2)
		if got, want := schema.Judge(&p2, e2, at), schema.Judge(p, e, at); !reflect.DeepEqual(got, want) {
			t.Fatalf("read back, the verdict on %+v is %+v; want %+v", e, got, want)
		}
	}
}

func again(t *testing.T, from, to any) {
	t.Helper()
	data, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(data, to)
	}
	if err != nil {
		t.Fatalf("%+v: %v", from, err)
	}
}

// TestGeneratorIsDeterministic holds what its users rely on: a seed names a case.
func TestGeneratorIsDeterministic(t *testing.T) {
	make := func() []any {
		r := rand.New(rand.NewPCG(11, 12))
		var out []any
		for range 100 {
			p := schematest.Policy(r)
			out = append(out, p, schematest.Event(r, p), schematest.Instant(r))
		}
		return out
	}
	if a, b := make(), make(); !reflect.DeepEqual(a, b) {
		t.Error("the same seed gives other values")
	}
}

// TestGeneratedRulesAreValid holds that enforcers and emitters can take what is generated.
func TestGeneratedRulesAreValid(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	check := func(rule schema.Rule, err error) {
		if err != nil {
			t.Errorf("the rule %+v %v", rule, err)
		}
	}
	for range 2000 {
		p := schematest.Policy(r)
		var rules []schema.Rule
		for _, w := range p.Workloads {
			rules = append(rules, w.Rules...)
		}
		for _, b := range p.Bounds {
			rules = append(rules, b.Never...)
		}
		for _, rule := range rules {
			if rule.ID == 0 || rule.Verb.Plane() != rule.Plane {
				t.Fatalf("the rule %+v has no ID, or a verb of another plane", rule)
			}
			switch rule.Plane {
			case schema.PlaneExec, schema.PlaneFile:
				check(rule, schema.CheckPattern(rule.Object))
			case schema.PlaneCapability:
				check(rule, schema.CheckCapability(rule.Object))
			}
			if rule.Peer == nil {
				continue
			}
			if rule.Peer.Port != "" {
				check(rule, schema.CheckPort(rule.Peer.Port))
			}
			if rule.Peer.CIDR != "" {
				_, err := schema.CheckCIDR(rule.Peer.CIDR)
				check(rule, err)
			}
			if rule.Peer.DNS != "" {
				check(rule, schema.CheckName(rule.Peer.DNS))
			}
			for _, h := range rule.HTTP {
				_, err := schema.ParseHTTPRule(h.Method + " " + h.Path)
				check(rule, err)
			}
			for _, call := range rule.GRPC {
				check(rule, schema.CheckGRPC(call))
			}
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64) {
		compareSome(t, rand.New(rand.NewPCG(seed1, seed2)), func(schema.Event, schema.Verdict) {})
	})
}
