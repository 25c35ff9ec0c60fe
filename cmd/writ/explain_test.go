// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

func TestEnforcedLines(t *testing.T) {
	lines := enforcedLines([]compiler.Enforcement{
		{Where: "kernel", Backend: "LSM", Part: "a", Claim: "prevent"}, {Where: "kernel", Backend: "tracing", Part: "a", Claim: "prevent", Why: "late"},
		{Where: "kernel", Backend: "LSM", Part: "b", Claim: "prevent"}, {Where: "kernel", Backend: "tracing", Part: "b", Claim: "none", Why: "unseen"},
		{Part: "file", Claim: "none", Why: "no enforcer"},
	})
	want := []string{"kernel, LSM: prevent (a, b)", "kernel, tracing: prevent (a): late", "kernel, tracing: none (b): unseen", "none (file): no enforcer"}
	if !slices.Equal(lines, want) {
		t.Errorf("lines are %q; want %q", lines, want)
	}
}

// testPolicy has a workload, and what no workload states.
func testPolicy() *schema.Policy {
	at := func(file string, line int) []schema.Pos { return []schema.Pos{{File: file, Line: line, Col: 2}} }
	closure := schema.Closure{ID: 1, Plane: schema.PlaneExec, Mode: schema.ModeAudit, Then: schema.ModeEnforce, After: "2027-01-15", Pos: at("a.cue", 4)}
	rule := schema.Rule{ID: 2, Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: "/bin/true", Why: "health check", Pos: at("a.cue", 5)}
	return &schema.Policy{
		Workloads: []schema.Workload{{Name: "web", Owner: "team-web", Match: schema.Match{Cgroup: "/web"}, Closures: []schema.Closure{closure}, Rules: []schema.Rule{rule}, Pos: at("a.cue", 2)}},
		Signers:   []schema.Signer{{Name: "ci", Key: "PEM", Owner: "team-ci", Pos: at("b.cue", 3)}},
		Gates:     []schema.Gate{{Name: "prod", Pos: at("b.cue", 6), Deny: []schema.Alternative{{ID: 3, Class: "secret", Name: "any", Pos: at("b.cue", 7)}}}},
	}
}

func TestRuleIndex(t *testing.T) {
	p := testPolicy()
	files := map[string][]byte{}
	for _, table := range compiler.RuleTables(p) {
		path := bundle.PolicyTable
		if table.Workload != "" {
			path = bundle.RulesDir + "/" + table.Workload + ".json"
		}
		files[path] = bundle.Encode(table)
	}
	env := bundle.Envelope{Commit: "c0ffee", Author: "Ann Author <ann@example.com>"}
	fromBundle, err := newRuleIndex(bundle.New(files, env))
	if err != nil {
		t.Fatal(err)
	}
	fromPolicy, err := newPolicyIndex(p, env)
	if err != nil {
		t.Fatal(err)
	}
	for name, ix := range map[string]*ruleIndex{"bundle": fromBundle, "policy": fromPolicy} {
		for id, want := range map[schema.RuleID]string{
			1: "workload web closes exec: what no rule names is allowed and reported through 2027-01-15, then denied", 2: "workload web may exec /bin/true", 3: "gate prod denies any: secret: any"} {
			if e, ok := ix.find(id); !ok || e.headline() != want || e.Envelope.Commit != "c0ffee" {
				t.Errorf("%s: ID %d is %q, %v; want %q", name, id, e.headline(), ok, want)
			}
		}
		if _, ok := ix.find(9); ok {
			t.Errorf("%s: an ID that nothing has is found", name)
		}
		if lines, err := ix.linesOf("b.cue"); err != nil || !slices.Equal(lines, []int{3, 6, 7}) {
			t.Errorf("%s: lines of b.cue are %v, %v", name, lines, err)
		}
		for at, want := range map[int]string{2: "workload web selects cgroup /web; it mentions exec, with 1 rule", 4: "workload web closes exec"} {
			if found, err := ix.at("a.cue", at); err != nil || len(found) != 1 || !strings.HasPrefix(found[0].headline(), want) {
				t.Errorf("%s: at a.cue:%d stands %+v, %v; want %q", name, at, found, err, want)
			}
		}
		if again, err := ix.policy(); err != nil || !reflect.DeepEqual(again.Workloads, p.Workloads) {
			t.Errorf("%s: the workloads are %+v, %v", name, again, err)
		}
	}
	var out bytes.Buffer
	e, _ := fromBundle.find(2)
	e.Enforced = compiler.Claims(e.Stated)
	e.print(&out)
	for _, want := range []string{"stated  a.cue:5:2\n", "why     health check\n", "mode    audit through 2027-01-15, then enforce\n", "owner   team-web\n", "rule    0000000000000002\n",
		"commit  c0ffee by Ann Author", "selects cgroup /web\n", "where   kernel of the node, BPF LSM: detect through 2027-01-15, then prevent (exec: program, exec: script behind #!): mode audit through"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

// TestRuleIndexBefore holds that the last events of a generation are explained after the next is in force, and no longer after that.
func TestRuleIndexBefore(t *testing.T) {
	p, empty := testPolicy(), &schema.Policy{}
	first, err := newPolicyIndex(p, bundle.Envelope{})
	if err != nil {
		t.Fatal(err)
	}
	second, _ := newPolicyIndex(empty, bundle.Envelope{})
	third, _ := newPolicyIndex(empty, bundle.Envelope{})
	second.succeed(first)
	if _, ok := second.find(2); !ok {
		t.Error("an ID of the generation before is not found")
	}
	if _, ok := second.inForce(2); ok {
		t.Error("an ID of the generation before is in force")
	}
	third.succeed(second)
	if _, ok := third.find(2); ok {
		t.Error("an ID of two generations before is found")
	}
}

// TestExplainedJSON holds the names of fields that programs read.
func TestExplainedJSON(t *testing.T) {
	ix, err := newPolicyIndex(testPolicy(), bundle.Envelope{Commit: "c0ffee"})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := ix.find(2)
	data, err := json.Marshal(explanation{Rules: []explained{e}})
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Rules []map[string]any `json:"rules"`
	}
	if err := json.Unmarshal(data, &out); err != nil || len(out.Rules) != 1 {
		t.Fatalf("%s: %v", data, err)
	}
	for field, want := range map[string]any{"workload": "web", "owner": "team-web", "mode": "audit", "id": "0000000000000002", "plane": "exec", "verb": "exec", "object": "/bin/true", "why": "health check"} {
		if out.Rules[0][field] != want {
			t.Errorf("%s is %v; want %v", field, out.Rules[0][field], want)
		}
	}
	if out.Rules[0]["envelope"].(map[string]any)["commit"] != "c0ffee" || len(out.Rules[0]["pos"].([]any)) != 1 {
		t.Errorf("envelope and pos are %v, %v", out.Rules[0]["envelope"], out.Rules[0]["pos"])
	}
}

func TestDecodeEvent(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"subject": {"namespace": "shop"}, "verb": "exec", "object": "/bin/sh"}`, ""},
		{`{"report": {"id": "0123456789abcdef", "subject": {"cgroup": "/a"}, "verb": "exec", "object": "/bin/sh", "verdict": {"action": "deny"}, "count": 1, "first": "2027-01-01T00:00:00Z", "last": "2027-01-01T00:00:00Z", "uid": 0, "ruleEntry": {"x": 1}}}`, ""},
		{`{"time": "2027-01-01T00:00:00Z", "report": {"subject": {}, "verb": "exec", "object": {"base64": "L/8="}}}`, ""},
		{`{"verb": "connect", "flow": {"address": "10.0.0.1", "port": 443}}`, ""},
		{`{"verb": "set", "set": {"hostNetwork": ["true"]}}`, ""},
		{``, "unexpected end of JSON"},
		{`[]`, "cannot unmarshal array"},
		{`{"verb": "exec", "objet": "/bin/sh"}`, `unknown field "objet"`},
		{`{"verb": "exec"}`, `has no "object"`},
		{`{"verb": "signed", "object": "ci"}`, `has the verb "signed"; want exec`},
		{`{"object": "/x"}`, `has the verb ""`},
		{`{"verb": "connect"}`, `has no "flow"`},
		{`{"verb": "exec", "object": "/x", "flow": {"port": 1, "protocol": "tcp"}}`, `has a "flow" with the verb "exec"`},
		{`{"verb": "accept", "flow": {"port": 70000}}`, "has the port 70000"},
		{`{"verb": "accept", "flow": {"port": 1, "protocol": "icmp"}}`, `has the protocol "icmp"`},
		{`{"verb": "set"}`, `has no "set"`},
		{`{"verb": "exec", "object": "/x"} {}`, "after top-level value"},
	} {
		_, err := decodeEvent([]byte(c.in))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("decodeEvent(%s): %v; want %q", c.in, err, c.want)
		}
	}
	if e, err := decodeEvent([]byte(`{"verb": "connect", "flow": {"port": 443}}`)); err != nil || e.Flow.Protocol != "tcp" {
		t.Errorf("without a protocol: %+v, %v; want tcp", e.Flow, err)
	}
}

func TestReadEvent(t *testing.T) {
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, bytes.Repeat([]byte(" "), maxEvent+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readEvent(stdio{}, big); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("a big file: %v", err)
	}
	if _, err := readEvent(stdio{}, big+"x"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
	e, err := readEvent(stdio{in: strings.NewReader(`{"verb": "run", "object": "nginx"}`)}, "-")
	if err != nil || e.Object != "nginx" {
		t.Errorf("standard input: %+v, %v", e, err)
	}
}

// FuzzDecodeEvent holds that whatever is read as an event can be considered and printed, and that nothing of it reaches the terminal raw.
func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte(`{"subject": {"namespace": "shop", "cgroup": "x"}, "verb": "exec", "object": "/bin/\u202esh", "parent": {"base64": "L/8="}}`))
	f.Add([]byte(`{"report": {"verb": "request", "flow": {"names": ["a"], "port": 1, "http": {"method": "\u001b", "path": "/"}}}}`))
	f.Add([]byte(`{"verb": "set", "set": {"volumes": ["x\n"]}}`))
	p := testPolicy()
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeEvent(data)
		if err != nil {
			return
		}
		var out bytes.Buffer
		(&explanation{Judged: compiler.Consider(p, e, policyTime)}).print(stdio{out: &out})
		for line := range strings.Lines(out.String()) {
			if text := strings.TrimSuffix(line, "\n"); text != "" && strings.ContainsFunc(text, unprintable) {
				t.Errorf("%q holds what is not printable", text)
			}
		}
	})
}
