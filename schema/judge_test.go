// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

func workload(name string, mode Mode, m Match, rules ...Rule) Workload {
	w := Workload{Name: name, Match: m, Rules: rules}
	planes := map[Plane]bool{}
	for i, r := range rules {
		w.Rules[i].ID = NewRuleID("rule", name, string(r.Plane), string(r.Verb), r.Object)
		planes[r.Plane] = true
	}
	for _, p := range []Plane{PlaneExec, PlaneImage} {
		if planes[p] {
			w.Closures = append(w.Closures, Closure{ID: NewRuleID("closure", name, string(p)), Plane: p, Mode: mode})
		}
	}
	return w
}

func execRule(object string, parents ...string) Rule {
	return Rule{Plane: PlaneExec, Verb: VerbExec, Object: object, Parents: parents}
}

func imageRule(object string) Rule { return Rule{Plane: PlaneImage, Verb: VerbRun, Object: object} }

func TestJudge(t *testing.T) {
	shop := Match{Namespace: "shop", Labels: map[string]string{"app": "pay"}}
	pay := workload("pay", ModeEnforce, shop, execRule("/usr/bin/pay"), execRule("/usr/bin/curl", "/usr/bin/pay"), execRule("/opt/**"),
		imageRule("r.example.com/shop/*"))
	extra := workload("extra", ModeAudit, Match{Namespace: "shop"}, execRule("/usr/bin/date"))
	host := workload("host", ModeLearn, Match{Cgroup: "/system/*"}, execRule("/usr/bin/x"))
	p := &Policy{Workloads: []Workload{extra, host, pay}}
	in := Subject{Namespace: "shop", Labels: map[string]string{"app": "pay", "x": "y"}}
	rule := func(w Workload, i int) RuleID { return w.Rules[i].ID }
	closure := func(w Workload, p Plane) RuleID { c, _ := w.Closure(p); return c.ID }
	both := []string{"extra", "pay"}
	for _, c := range []struct {
		name string
		e    Event
		want Verdict
	}{
		{"listed", Event{Subject: in, Verb: VerbExec, Object: "/usr/bin/pay", Origin: "", Parent: ""}, Verdict{ActionAllow, ReasonRule, rule(pay, 0), both}},
		{"of the other workload", Event{Subject: in, Verb: VerbExec, Object: "/usr/bin/date", Origin: "", Parent: ""}, Verdict{ActionAllow, ReasonRule, rule(extra, 0), both}},
		{"not listed", Event{Subject: in, Verb: VerbExec, Object: "/bin/sh", Origin: "", Parent: ""}, Verdict{ActionDeny, ReasonNoRule, closure(pay, PlaneExec), both}},
		{"parent", Event{Subject: in, Verb: VerbExec, Object: "/usr/bin/curl", Origin: "", Parent: "/usr/bin/pay"}, Verdict{ActionAllow, ReasonRule, rule(pay, 1), both}},
		{"other parent", Event{Subject: in, Verb: VerbExec, Object: "/usr/bin/curl", Origin: "", Parent: "/bin/sh"}, Verdict{ActionDeny, ReasonParent, rule(pay, 1), both}},
		{"unknown parent", Event{Subject: in, Verb: VerbExec, Object: "/usr/bin/curl", Origin: "", Parent: ""}, Verdict{ActionDeny, ReasonParent, rule(pay, 1), both}},
		{"directory", Event{Subject: in, Verb: VerbExec, Object: "/opt/a/b", Origin: "", Parent: ""}, Verdict{ActionAllow, ReasonRule, rule(pay, 2), both}},
		{"memfd", Event{Subject: in, Verb: VerbExec, Object: "/usr/bin/pay", Origin: OriginMemfd, Parent: ""}, Verdict{ActionDeny, ReasonOrigin, closure(pay, PlaneExec), both}},
		{"foreign", Event{Subject: in, Verb: VerbExec, Object: "/usr/bin/pay", Origin: OriginForeign, Parent: ""}, Verdict{ActionDeny, ReasonOrigin, closure(pay, PlaneExec), both}},
		{"image", Event{Subject: in, Verb: VerbRun, Object: "r.example.com/shop/pay:v1", Origin: "", Parent: ""}, Verdict{ActionAllow, ReasonRule, rule(pay, 3), both}},
		{"other image", Event{Subject: in, Verb: VerbRun, Object: "nginx", Origin: "", Parent: ""}, Verdict{ActionDeny, ReasonNoRule, closure(pay, PlaneImage), both}},
		{"broken image", Event{Subject: in, Verb: VerbRun, Object: "NGINX", Origin: "", Parent: ""}, Verdict{ActionDeny, ReasonReference, closure(pay, PlaneImage), both}},
		{"open image", Event{Subject: Subject{Namespace: "shop"}, Verb: VerbRun, Object: "nginx", Origin: "", Parent: ""}, Verdict{ActionAllow, ReasonOpen, 0, []string{"extra"}}},
		{"learn", Event{Subject: Subject{Cgroup: "/system/a/b"}, Verb: VerbExec, Object: "/z", Origin: "", Parent: ""}, Verdict{ActionLearn, ReasonNoRule, closure(host, PlaneExec), []string{"host"}}},
		{"uncovered", Event{Subject: Subject{Cgroup: "/system"}, Verb: VerbExec, Object: "/z", Origin: "", Parent: ""}, Verdict{ActionAllow, ReasonUncovered, 0, nil}},
		{"another label", Event{Subject: Subject{Namespace: "shop", Labels: map[string]string{"app": "web"}}, Verb: VerbExec, Object: "/z", Origin: "", Parent: ""},
			Verdict{ActionAudit, ReasonNoRule, closure(extra, PlaneExec), []string{"extra"}}},
	} {
		if got := Judge(p, c.e, time.Time{}); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v; want %+v", c.name, got, c.want)
		}
	}
}

// naiveJudge decides what happens, and no more, in the plainest words.
func naiveJudge(p *Policy, e Event) Action {
	closed, allowed, mode := false, false, 0
	for _, w := range p.Workloads {
		if !w.Match.Selects(e.Subject) {
			continue
		}
		for _, c := range w.Closures {
			if c.Plane == PlaneExec {
				closed = true
				mode = max(mode, map[Mode]int{ModeLearn: 1, ModeAudit: 2, ModeEnforce: 3}[c.Mode])
			}
		}
		for _, r := range w.Rules {
			parent := len(r.Parents) == 0
			for _, pp := range r.Parents {
				parent = parent || naiveMatch(pp, string(e.Parent))
			}
			allowed = allowed || r.Plane == PlaneExec && parent && e.Origin == "" && naiveMatch(r.Object, string(e.Object))
		}
	}
	if !closed || allowed {
		return ActionAllow
	}
	return map[int]Action{1: ActionLearn, 2: ActionAudit, 3: ActionDeny}[mode]
}

func TestJudgeGenerated(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	seen := map[Action]int{}
	for range 60_000 {
		p := generatePolicy(r)
		e := Event{Verb: VerbExec, Object: Path(generate(r, "ab", false)), Parent: Path(generate(r, "ab", false))}
		e.Subject.Cgroup = generate(r, "ab", false)
		if r.IntN(10) == 0 {
			e.Origin = OriginDeleted
		}
		got := Judge(p, e, time.Time{})
		if want := naiveJudge(p, e); got.Action != want {
			t.Fatalf("Judge(%+v, %+v) = %+v; want %s", p, e, got, want)
		}
		shuffled := &Policy{Workloads: slices.Clone(p.Workloads)}
		slices.Reverse(shuffled.Workloads)
		if again := Judge(shuffled, e, time.Time{}); !reflect.DeepEqual(got, again) {
			t.Fatalf("the order of workloads changes the verdict: %+v, %+v", got, again)
		}
		seen[got.Action]++
	}
	for _, a := range []Action{ActionAllow, ActionLearn, ActionAudit, ActionDeny} {
		if seen[a] < 1000 {
			t.Errorf("only %d cases end in %s; the test proves little", seen[a], a)
		}
	}
}

func generatePolicy(r *rand.Rand) *Policy {
	p := &Policy{}
	for i := range 1 + r.IntN(3) {
		var rules []Rule
		for range 1 + r.IntN(4) {
			rule := execRule(generate(r, "ab", true))
			if r.IntN(3) == 0 {
				rule.Parents = []string{generate(r, "ab", true)}
			}
			rules = append(rules, rule)
		}
		mode := []Mode{ModeLearn, ModeAudit, ModeEnforce}[r.IntN(3)]
		p.Workloads = append(p.Workloads, workload(fmt.Sprint("w", i), mode, Match{Cgroup: []string{"/**", "/*", "/a*/**"}[r.IntN(3)]}, rules...))
	}
	return p
}

func TestPathJSON(t *testing.T) {
	for p, want := range map[Path]string{
		"/bin/sh": "\"/bin/sh\"", "/\xff": "{\"base64\":\"L/8=\"}", "/\u00e9": "\"/\u00e9\"", "/\x1b[2J\n": "\"/\\u001b[2J\\n\"",
	} {
		data, err := json.Marshal(p)
		if err != nil || string(data) != want {
			t.Errorf("Marshal(%q) = %s, %v; want %s", string(p), data, err, want)
		}
		var again Path
		if err := json.Unmarshal(data, &again); err != nil || again != p {
			t.Errorf("Unmarshal(%s) = %q, %v; want %q", data, string(again), err, string(p))
		}
	}
	if err := json.Unmarshal([]byte("3"), new(Path)); err == nil {
		t.Error("a number reads as a path")
	}
}

func TestRuleIDText(t *testing.T) {
	id := NewRuleID("rule", "payments", "exec", "exec", "/usr/bin/curl")
	var again RuleID
	if err := again.UnmarshalText([]byte(id.String())); err != nil || again != id {
		t.Errorf("UnmarshalText(%s) = %s, %v", id, again, err)
	}
	for _, bad := range []string{"", "12", "zzzzzzzzzzzzzzzz", "00000000000000000"} {
		if err := again.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("UnmarshalText(%q) succeeded", bad)
		}
	}
	if NewRuleID("a", "bc") == NewRuleID("ab", "c") {
		t.Error("fields run together in a rule ID")
	}
}
