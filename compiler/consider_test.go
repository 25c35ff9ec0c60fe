// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// considered is one case: the verdict and what decides, why, what else was considered, and the line to change.
type considered struct {
	name    string
	e       schema.Event
	verdict string // "denied payments exec closing" and so on: action, then Reference of what decides
	because string
	others  []string
	change  string
}

func (c considered) check(t *testing.T, p *schema.Policy) {
	t.Helper()
	got := Consider(p, c.e, noon)
	verdict := ActionWord(got.Verdict.Action)
	if got.By != nil {
		verdict += " by " + got.By.Reference()
	}
	change := ""
	if got.Change != nil {
		change = fmt.Sprintf("%s: %s", got.Change.Pos, got.Change.Text)
	}
	if verdict != c.verdict || got.Because != c.because || change != c.change {
		t.Errorf("%s: %s, because %q, change %q; want %s, because %q, change %q", c.name, verdict, got.Because, change, c.verdict, c.because, c.change)
	}
	if others := told(got); !slices.Equal(others, append([]string{}, c.others...)) {
		t.Errorf("%s: considered\n  %s\nwant\n  %s", c.name, strings.Join(others, "\n  "), strings.Join(c.others, "\n  "))
	}
}

const (
	extraCloses   = "closes extra: it closes exec, in mode audit"
	shellsHold    = "holds no-shells: it forbids 2 objects of exec, and not this"
	xmlHolds      = "holds shop-xml: it forbids 1 object of exec, and not this"
	zipExpired    = "expired shop-zip: it stood through 2026-12-31"
	execClosed    = "exec is closed and no rule names it"
	closingOfExec = "denied by the closing of exec by workload payments"
	addExec       = "shop/payments.cue:2:2: add a rule to exec of workload payments"
)

func TestConsider(t *testing.T) {
	p := shop()
	for _, c := range []considered{
		{"a rule allows", execOf("/usr/bin/curl", "/usr/bin/payments"), "allowed by the rule /usr/bin/curl of workload payments", "a rule allows it",
			[]string{extraCloses, shellsHold, xmlHolds, zipExpired}, ""},
		{"another caller", execOf("/usr/bin/curl", "/usr/bin/x"), "denied by the rule /usr/bin/curl of workload payments", "the rule names the program, but not for this caller",
			[]string{extraCloses, shellsHold, xmlHolds, zipExpired}, "shop/payments.cue:4:2: widen this rule, or add one beside it"},
		{"of the other workload", execOf("/usr/bin/date", ""), "allowed by the rule /usr/bin/date of workload extra", "a rule allows it",
			[]string{"closes payments: it closes exec, in mode enforce", shellsHold, xmlHolds, zipExpired}, ""},
		{"the same name", execOf("/bin/curl", ""), closingOfExec, execClosed,
			[]string{"near /usr/bin/curl: it has the same name in another folder, for the callers /usr/bin/payments", extraCloses, shellsHold, xmlHolds, zipExpired}, addExec},
		{"deeper", execOf("/opt/tools/a/b", ""), closingOfExec, execClosed,
			[]string{"near /opt/tools/*: its \"*\" is one segment, and the path lies deeper", extraCloses, shellsHold, xmlHolds, zipExpired}, addExec},
		{"capital letters", execOf("/usr/bin/Payments", ""), closingOfExec, execClosed,
			[]string{"near /usr/bin/payments: it differs in upper and lower case", extraCloses, shellsHold, xmlHolds, zipExpired}, addExec},
		{"memfd", schema.Event{Subject: inShop, Verb: schema.VerbExec, Object: "x", Origin: schema.OriginMemfd}, closingOfExec,
			"it was reached in a way that leaves no path that a rule could allow", []string{extraCloses, shellsHold, xmlHolds, zipExpired}, ""},
	} {
		c.check(t, p)
	}
}

func TestConsiderUncovered(t *testing.T) {
	p := shop()
	e := execOf("/bin/sh", "")
	e.Subject = schema.Subject{Namespace: "shop2", Labels: map[string]string{"app": "payments"}}
	considered{"another namespace", e, "allowed", "no workload selects this container", []string{"unselected payments: it demands namespace shop"}, ""}.check(t, p)
	e.Subject = schema.Subject{Cgroup: "/other/1"}
	considered{"another cgroup", e, "allowed", "no workload selects this container", nil, ""}.check(t, p)
}

// TestConsiderTwoRules tells of a second rule that would decide if the first were not there.
func TestConsiderTwoRules(t *testing.T) {
	h := &handmade{file: "x.cue"}
	p := &schema.Policy{Workloads: []schema.Workload{h.workload("w", schema.Match{Host: true}, schema.ModeEnforce, rule(schema.VerbExec, "/opt/**"), rule(schema.VerbExec, "/opt/a"))}}
	e := schema.Event{Subject: schema.Subject{Host: true}, Verb: schema.VerbExec, Object: "/opt/a"}
	considered{"broader", e, "allowed by the rule /opt/a of workload w", "a rule allows it", []string{"allows /opt/**: it allows it as well"}, ""}.check(t, p)
	e.Object = "/opt"
	considered{"the folder", e, "denied by the closing of exec by workload w", execClosed,
		[]string{"near /opt/**: it is for what lies below that folder, not for the folder itself"}, "x.cue:2:2: add a rule to exec of workload w"}.check(t, p)
}

// TestConsiderImages is for what holds of images in every version of Judge: patterns.
func TestConsiderImages(t *testing.T) {
	h := &handmade{file: "x.cue"}
	in := schema.Match{Namespace: "shop"}
	p := &schema.Policy{Workloads: []schema.Workload{
		h.workload("a", in, schema.ModeEnforce, rule(schema.VerbRun, "registry.example.com/shop/pay:v1"), rule(schema.VerbRun, "registry.example.com/base/*")),
		h.workload("b", in, schema.ModeAudit, rule(schema.VerbRun, "registry.example.com/**")),
		h.workload("c", in, schema.ModeAudit, rule(schema.VerbExec, "/bin/true")),
	}}
	run := func(image string) schema.Event {
		return schema.Event{Subject: schema.Subject{Namespace: "shop", Image: image}, Verb: schema.VerbRun, Object: schema.Path(image)}
	}
	const denied, no = "denied by the closing of image by workload a", "no rule of the workload permits the image"
	const open, add = "open c: it states no condition on image", "x.cue:7:2: add a rule to image of workload a"
	const bMet = "allows registry.example.com/**: its conditions are met"
	for _, c := range []considered{
		{"met", run("registry.example.com/base/x"), "allowed by the rule registry.example.com/base/* of workload a", "a rule allows it", []string{bMet, open}, ""},
		{"another tag", run("registry.example.com/shop/pay:v2"), denied, no, []string{bMet, "near registry.example.com/shop/pay:v1: it is for the tag v1", open},
			"x.cue:8:2: widen this rule: it is for the tag v1"},
		{"deeper", run("registry.example.com/base/x/y"), denied, no,
			[]string{bMet, "near registry.example.com/base/*: its \"*\" is one segment, and the repository lies deeper", open}, add},
		{"another registry", run("other.example.com/base/x"), denied, no,
			[]string{"fails b: no rule of the workload permits the image", "near registry.example.com/base/*: it is for the registry registry.example.com",
				"near registry.example.com/**: it is for the registry registry.example.com", open}, add},
		{"no reference", run("NGINX"), denied, "the image reference does not parse", []string{"fails b: the image reference does not parse", open}, ""},
	} {
		c.check(t, p)
	}
}

func TestConsiderBoundsWhatItTells(t *testing.T) {
	h := &handmade{file: "x.cue"}
	var rules []schema.Rule
	for i := range 40 {
		rules = append(rules, rule(schema.VerbExec, fmt.Sprintf("/opt/%d/tool", i)))
	}
	p := &schema.Policy{Workloads: []schema.Workload{h.workload("w", schema.Match{Host: true}, schema.ModeEnforce, rules...)}}
	got := Consider(p, schema.Event{Subject: schema.Subject{Host: true}, Verb: schema.VerbExec, Object: "/bin/tool"}, noon)
	if len(got.Others) != maxOthers || got.More != 40-maxOthers {
		t.Errorf("%d others and %d more; want %d and %d", len(got.Others), got.More, maxOthers, 40-maxOthers)
	}
}

// TestConsiderWorkloads is for a report, which names workloads and not the subject.
func TestConsiderWorkloads(t *testing.T) {
	got := ConsiderWorkloads(shop(), []string{"bare"}, schema.Event{Verb: schema.VerbExec, Object: "/usr/bin/true"}, noon)
	if got.Verdict.Action != schema.ActionLearn || got.By == nil || got.By.Workload != "bare" {
		t.Errorf("the verdict is %+v by %+v", got.Verdict, got.By)
	}
	if others := told(got); !slices.Equal(others, []string{"near /bin/true: it has the same name in another folder"}) {
		t.Errorf("considered %q", others)
	}
}

// TestConsiderGenerated holds that what is told of the rules that did not decide agrees with Judge, whatever the event, and that it reads back
// from JSON.
func TestConsiderGenerated(t *testing.T) {
	p := shop()
	r := rand.New(rand.NewPCG(9, 10))
	subjects := []schema.Subject{inShop, {Namespace: "shop"}, {Cgroup: "/payments.slice/x"}, {Namespace: "x"}, {}}
	objects := []schema.Path{"/usr/bin/curl", "/bin/sh", "/etc/payments/a", "/opt/tools/xmllint", "CAP_NET_RAW", imagePayments, "", "/\xff", "relative"}
	verbs := []schema.Verb{schema.VerbExec, schema.VerbRead, schema.VerbWrite, schema.VerbUse, schema.VerbConnect, schema.VerbRequest, schema.VerbAccept, schema.VerbServe, schema.VerbRun, schema.VerbSet, "nonsense"}
	flows := []*schema.Flow{nil, {}, {Names: schema.Names{"api.stripe.com"}, Port: 443, Protocol: "tcp"}, {Unknown: true, Port: 1, Protocol: "udp"}, {Probe: true}}
	for range 3000 {
		e := schema.Event{Subject: subjects[r.IntN(len(subjects))], Verb: verbs[r.IntN(len(verbs))], Object: objects[r.IntN(len(objects))], Parent: objects[r.IntN(3)],
			Flow: flows[r.IntN(len(flows))], Set: map[schema.PodField]schema.Names{schema.PodVolumes: {"secret"}}}
		got := Consider(p, e, noon)
		if want := schema.Judge(p, e, noon); !reflect.DeepEqual(got.Verdict, want) {
			t.Fatalf("Consider(%+v) says %+v; Judge says %+v", e, got.Verdict, want)
		}
		if (got.Verdict.Rule != 0) != (got.By != nil) || got.Because == "" {
			t.Fatalf("Consider(%+v): rule %s, by %+v, because %q", e, got.Verdict.Rule, got.By, got.Because)
		}
		if got.Verdict.Action == schema.ActionAllow && got.Change != nil {
			t.Fatalf("Consider(%+v) would change %+v, and it is allowed", e, got.Change)
		}
		data, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again Considered
		if err := json.Unmarshal(data, &again); err != nil || again.Because != got.Because || len(again.Others) != len(got.Others) {
			t.Fatalf("%s reads back as %+v, %v", data, again, err)
		}
	}
}
