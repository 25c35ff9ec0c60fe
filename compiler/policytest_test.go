// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// execTest is a test of exec in a workload.
func execTest(in, object string, is schema.Action, by string) schema.Test {
	return schema.Test{Name: "t", In: in, Event: schema.Event{Verb: schema.VerbExec, Object: schema.Path(object)}, Is: is, By: by}
}

// testCase is one case of RunTests: "" as problem is a pass.
type testCase struct {
	name    string
	t       schema.Test
	problem string
	change  string
}

func (o testCase) check(t *testing.T, p *schema.Policy) {
	t.Helper()
	with := *p
	with.Tests = []schema.Test{o.t}
	got := RunTests(&with, noon)[0]
	change := ""
	if got.Change != nil {
		change = fmt.Sprintf("%s: %s", got.Change.Pos, got.Change.Text)
	}
	if got.Problem != o.problem || got.Passed != (o.problem == "") || change != o.change {
		t.Errorf("%s: passed %v, problem %q, change %q; want problem %q, change %q", o.name, got.Passed, got.Problem, change, o.problem, o.change)
	}
}

func TestRunTests(t *testing.T) {
	p := shop()
	caller := execTest("payments", "/usr/bin/curl", schema.ActionAllow, "/usr/bin/curl")
	caller.Event.Parent = "/usr/bin/payments"
	for _, o := range []testCase{
		{"allowed", execTest("payments", "/usr/bin/payments", schema.ActionAllow, ""), "", ""},
		{"by a rule", caller, "", ""},
		{"by the near miss", execTest("payments", "/usr/bin/curl", schema.ActionDeny, "/usr/bin/curl"), "", ""},
		{"by a closing", execTest("shop/payments", "/bin/x", schema.ActionDeny, "exec"), "", ""},
		{"by nothing", execTest("payments", "/bin/x", schema.ActionDeny, "nothing"), "", ""},
		{"open", schema.Test{In: "bare", Event: schema.Event{Verb: schema.VerbRead, Object: "/x"}, Is: schema.ActionAllow, By: "nothing"}, "", ""},
		{"learned", execTest("bare", "/bin/x", schema.ActionLearn, ""), "", ""},
		{"of a subject", schema.Test{Event: schema.Event{Verb: schema.VerbExec, Object: "/bin/x", Subject: schema.Subject{Namespace: "shop"}}, Is: schema.ActionAudit}, "", ""},

		{"allowed, not denied", execTest("payments", "/usr/bin/payments", schema.ActionDeny, ""), "want denied, got allowed: a rule allows it",
			"shop/payments.cue:3:2: take out or narrow what allows it: workload payments may exec /usr/bin/payments"},
		{"denied, not allowed", execTest("payments", "/bin/x", schema.ActionAllow, ""), "want allowed, got denied: exec is closed and no rule names it", addExec},
		{"audited, not denied", execTest("extra", "/bin/x", schema.ActionDeny, ""), "want denied, got audited: exec is closed and no rule names it",
			"shop/payments.cue:25:2: the mode here is audit"},
		{"open, not denied", schema.Test{In: "bare", Event: schema.Event{Verb: schema.VerbRead, Object: "/x"}, Is: schema.ActionDeny},
			"want denied, got allowed: no workload of this container mentions file, so it is open", "hosts.cue:33:2: mention file in workload bare: what is not mentioned is open"},
		{"uncovered", schema.Test{Event: schema.Event{Verb: schema.VerbExec, Object: "/x", Subject: schema.Subject{Namespace: "x", Labels: inShop.Labels}}, Is: schema.ActionDeny},
			"want denied, got allowed: no workload selects this container", "shop/payments.cue:1:2: workload payments nearly selects this container: it demands namespace shop"},
		{"by another", execTest("payments", "/bin/x", schema.ActionDeny, "/usr/bin/curl"),
			"is denied, but by the closing of exec by workload payments; want by /usr/bin/curl", "shop/payments.cue:2:2: this decides instead"},
		{"by another that was considered", execTest("payments", "/bin/curl", schema.ActionDeny, "/usr/bin/curl"),
			"is denied, but by the closing of exec by workload payments; want by /usr/bin/curl (of that one: it has the same name in another folder, for the callers /usr/bin/payments)",
			"shop/payments.cue:2:2: this decides instead"},
		{"by what does not exist", execTest("payments", "/bin/x", schema.ActionDeny, "no-shell"),
			"is denied, but by the closing of exec by workload payments; want by no-shell, and nothing of that name is stated", "shop/payments.cue:2:2: this decides instead"},
		{"by nothing, but a rule", execTest("payments", "/usr/bin/payments", schema.ActionAllow, "nothing"),
			"is allowed, but by the rule /usr/bin/payments of workload payments; want by nothing", "shop/payments.cue:3:2: this decides instead"},

		{"no workload", execTest("paymnets", "/x", schema.ActionDeny, ""), `in: workload "paymnets" does not exist`, ""},
		{"another namespace", execTest("web/payments", "/x", schema.ActionDeny, ""), `in: workload "web/payments" does not exist; "payments" selects in the namespace "shop"`, ""},
		{"no peer", schema.Test{In: "payments", Peer: "x", Event: schema.Event{Verb: schema.VerbConnect, Flow: &schema.Flow{}}, Is: schema.ActionDeny}, `peer: workload "x" does not exist`, ""},
		{"no event", schema.Test{In: "payments", Is: schema.ActionDeny}, "the test is not complete: it has no event or does not say what must come out", ""},
		{"no date", schema.Test{In: "payments", Event: execOf("/x", ""), Is: schema.ActionDeny, At: "soon"},
			`date "soon" is not one; want a day such as "2027-01-31" or an instant such as "2027-01-31T12:00:00Z"`, ""},
		{"a subject beside the workload", schema.Test{In: "payments", Event: schema.Event{Verb: schema.VerbExec, Object: "/x", Subject: schema.Subject{Namespace: "x"}}, Is: schema.ActionDeny},
			`in: workload "payments" does not select namespace x, label app=payments`, ""},
		{"an unknown action", execTest("payments", "/x", "maybe", ""), "want maybe, got denied: exec is closed and no rule names it", "shop/payments.cue:2:2: the mode here is enforce"},
	} {
		o.check(t, p)
	}
}

// TestRunTestsNeverFails holds that a test that is damaged in any way is a result.
func TestRunTestsNeverFails(t *testing.T) {
	p := &schema.Policy{Workloads: []schema.Workload{{Name: "nobody"}}, Tests: []schema.Test{
		{}, {In: "nobody", Event: execOf("/x", ""), Is: schema.ActionDeny}, {Event: schema.Event{Verb: schema.VerbConnect}, Is: schema.ActionDeny, Peer: "nobody"},
		{Event: schema.Event{Verb: schema.VerbSigned}, Is: schema.ActionDeny}, {Event: schema.Event{Verb: schema.VerbSet}, Is: schema.ActionDeny, By: "x"},
	}}
	for i, r := range RunTests(p, noon) {
		if r.Passed || r.Problem == "" {
			t.Errorf("test %d: %+v; want a failure that says why", i, r)
		}
	}
}

func TestTestInstant(t *testing.T) {
	for d, want := range map[schema.Date]string{"2027-01-31": "2027-01-31T12:00:00Z", "2027-01-31T08:30:00+01:00": "2027-01-31T07:30:00Z", "nonsense": ""} {
		got, err := TestInstant(d)
		if (err != nil) != (want == "") || err == nil && got.Format(time.RFC3339) != want {
			t.Errorf("TestInstant(%q) = %v, %v; want %q", d, got, err, want)
		}
	}
}

func TestTestEvent(t *testing.T) {
	p := shop()
	container := schema.Subject{Namespace: "shop", Labels: map[string]string{"app": "payments"}, Image: imagePayments}
	flow := schema.Event{Verb: schema.VerbConnect, Flow: &schema.Flow{Port: 8443, Protocol: "tcp"}}
	e, err := TestEvent(p, schema.Test{In: "payments", Peer: "shop/ledger", Event: flow, Is: schema.ActionAllow})
	if err != nil || !reflect.DeepEqual(e.Subject, container) || !reflect.DeepEqual(e.Flow.Peer, schema.Subject{Namespace: "shop", Labels: map[string]string{"app": "ledger"}}) {
		t.Errorf("connect: %+v to %+v, %v", e.Subject, e.Flow, err)
	}
	if flow.Flow.Peer.Known() {
		t.Error("TestEvent changed the test")
	}
	e, err = TestEvent(p, schema.Test{In: "payments", Event: schema.Event{Verb: schema.VerbRun, Object: "nginx"}, Is: schema.ActionDeny})
	if err != nil || e.Subject.Image != "nginx" {
		t.Errorf("run: the subject is %+v, %v; want the image that is run", e.Subject, err)
	}
	said := schema.Subject{Image: "nginx:1", Container: "side", Labels: map[string]string{"tier": "a"}}
	e, err = TestEvent(p, schema.Test{In: "payments", Event: schema.Event{Verb: schema.VerbExec, Object: "/x", Subject: said}, Is: schema.ActionDeny})
	want := schema.Subject{Namespace: "shop", Labels: map[string]string{"app": "payments", "tier": "a"}, Image: "nginx:1", Container: "side"}
	if err != nil || !reflect.DeepEqual(e.Subject, want) {
		t.Errorf("a subject beside in: %+v, %v; want %+v", e.Subject, err, want)
	}
}

func TestDecidedBy(t *testing.T) {
	never := &Stated{RuleEntry: bundle.RuleEntry{Kind: bundle.KindNever, Name: "no-shells", Verb: schema.VerbExec, Object: "/bin/sh"}}
	patch := &Stated{RuleEntry: bundle.RuleEntry{Kind: bundle.KindPatch, Name: "xml", Verb: schema.VerbExec, Object: "/usr/bin/xmllint"}}
	closing := &Stated{Workload: "w", RuleEntry: bundle.RuleEntry{Plane: schema.PlaneExec}}
	rule := &Stated{Workload: "w", RuleEntry: bundle.RuleEntry{Plane: schema.PlaneEgress, Verb: schema.VerbConnect, Object: "ledger"}}
	builtin := &Stated{RuleEntry: bundle.RuleEntry{Kind: bundle.KindBuiltin, Name: "probe"}}
	require := &Stated{RuleEntry: bundle.RuleEntry{Kind: bundle.KindBound, Name: "covered"}}
	by := []string{"no-shells", "bound no-shells", "/bin/sh", "xml", "exception xml", "/usr/bin/xmllint", "exec", "nothing", "ledger", "builtin/probe", "covered", "bound covered", "egress", "w", "probe", "bound xml"}
	for _, c := range []struct {
		s    *Stated
		want []string
	}{
		{nil, []string{"nothing"}},
		{never, []string{"no-shells", "bound no-shells", "/bin/sh"}},
		{patch, []string{"xml", "exception xml", "/usr/bin/xmllint"}},
		{closing, []string{"exec", "nothing"}},
		{rule, []string{"ledger"}},
		{builtin, []string{"builtin/probe"}},
		{require, []string{"covered", "bound covered"}},
	} {
		for _, b := range by {
			if got := decidedBy(c.s, b); got != slices.Contains(c.want, b) {
				t.Errorf("decidedBy(%+v, %q) = %v", c.s, b, got)
			}
		}
	}
}

func TestCoverTests(t *testing.T) {
	p := shop()
	p.Tests = []schema.Test{
		execTest("payments", "/usr/bin/payments", schema.ActionAllow, ""), execTest("payments", "/usr/bin/curl", schema.ActionDeny, ""),
		execTest("payments", "/bin/x", schema.ActionAllow, ""), execTest("nowhere", "/bin/x", schema.ActionAllow, ""),
	}
	c := CoverTests(p, RunTests(p, noon))
	if want := (Touched{2, 18}); c.Rules != want {
		t.Errorf("rules are %+v; want %+v", c.Rules, want)
	}
	if want := (Touched{1, 10}); c.Closings != want {
		t.Errorf("closings are %+v; want %+v", c.Closings, want)
	}
	if want := (Touched{0, 5}); c.Limits != want {
		t.Errorf("limits are %+v; want %+v", c.Limits, want)
	}
	if want := 16 + 9 + 5; len(c.Untouched) != want {
		t.Errorf("%d untouched; want %d", len(c.Untouched), want)
	}
	if !slices.IsSortedFunc(c.Untouched, func(a, b Stated) int { return comparePositions(a.Pos, b.Pos) }) {
		t.Error("untouched is not sorted by position")
	}
	for _, s := range c.Untouched {
		if s.Object == "/usr/bin/curl" || s.Object == "/usr/bin/payments" || strings.Contains(s.Headline(), "payments closes exec") {
			t.Errorf("%s is untouched", s.Headline())
		}
	}
}
