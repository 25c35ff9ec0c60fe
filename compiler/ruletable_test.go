// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// reread passes tables through their form in a bundle.
func reread(t *testing.T, tables []bundle.RuleTable) []bundle.RuleTable {
	t.Helper()
	again := make([]bundle.RuleTable, len(tables))
	for i, table := range tables {
		if err := json.Unmarshal(bundle.Encode(table), &again[i]); err != nil {
			t.Fatal(err)
		}
	}
	return again
}

// TestPolicyOf holds that the rule tables of a bundle hold all that verdicts follow from.
func TestPolicyOf(t *testing.T) {
	p := shop()
	p.Bounds[1].Then, p.Bounds[1].After, p.Bounds[1].Require.Workload = schema.ModeLearn, "2027-03-01", true
	p.Workloads[0].Closures[0].Then, p.Workloads[0].Closures[0].After = schema.ModeEnforce, "2027-02-01"
	again, err := PolicyOf(reread(t, RuleTables(p)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Workloads, p.Workloads) {
		t.Errorf("workloads are\n%+v; want\n%+v", again.Workloads, p.Workloads)
	}
	if !reflect.DeepEqual(again.Bounds, p.Bounds) {
		t.Errorf("bounds are\n%+v; want\n%+v", again.Bounds, p.Bounds)
	}
	if !reflect.DeepEqual(again.Exceptions, p.Exceptions) {
		t.Errorf("exceptions are\n%+v; want\n%+v", again.Exceptions, p.Exceptions)
	}
}

func TestPolicyOfAnOlderVersion(t *testing.T) {
	tables := RuleTables(shop())
	tables[0].Match = schema.Match{}
	if _, err := PolicyOf(tables); !errors.Is(err, ErrNoMatch) {
		t.Errorf("PolicyOf of tables without matches: %v; want ErrNoMatch", err)
	}
}

// TestPeersAreNotRepeated holds that a workload's table does not change with another workload's match.
func TestPeersAreNotRepeated(t *testing.T) {
	for _, table := range RuleTables(shop()) {
		for _, e := range table.Entries {
			if e.Peer != nil && e.Peer.Match != nil {
				t.Errorf("the entry %q holds what its peer selects", e.Object)
			}
		}
	}
	if p := shop(); p.Workloads[3].Rules[0].Peer != nil && p.Workloads[3].Rules[0].Peer.Match == nil {
		t.Error("making a table changed the policy")
	}
}

// everything is a policy with one of each kind that no workload states.
func everything() *schema.Policy {
	h := &handmade{file: "all.cue"}
	p := &schema.Policy{
		Bounds:     []schema.Bound{h.bound("b", schema.Match{Namespace: "shop"}, schema.ModeAudit, rule(schema.VerbAccess, "/etc/shadow"))},
		Exceptions: []schema.Exception{h.exception("x", "registry.example.com/**", "2027-01-31T08:00:00Z", rule(schema.VerbUse, "CAP_SYS_ADMIN"))},
		Gates: []schema.Gate{{Name: "g", Owner: "o", Why: "because", At: schema.GateAt{Build: true, Admission: true}, Grace: "168h", Fresh: "24h", Pos: h.pos(), Deny: []schema.Alternative{
			{ID: 7, Class: "vulnerability", Name: "worst", Severity: "HIGH", Fixable: new(true), Package: "openssl*", Finding: "CVE-2026-*", Pos: h.pos()},
			{ID: 8, Class: "image", Name: "old", OlderThan: "2160h", Base: "alpine", Root: new(true), Signed: new(false), Pos: h.pos()},
			{ID: 9, Class: "secret", Name: "any", Pos: h.pos()},
		}}},
		Signers:    []schema.Signer{{Name: "ci", Keyless: &schema.Keyless{Issuer: "https://i.example.com", Identity: "https://ci/*"}, Pos: h.pos()}, {Name: "key", Key: "PEM", Pos: h.pos()}},
		Registries: []schema.Registry{{Name: "r", Host: "registry.example.com", Repositories: map[string]schema.Repository{"shop/*": {}}, Every: "6h", Gate: "g", Pos: h.pos()}},
		Responses: []schema.Response{{Name: "shells", On: schema.Trigger{Bound: "b", Plane: "exec", Verdict: "deny", Count: 3, Within: "10m"},
			Do: schema.Actions{Notify: schema.Names{"oncall"}, Quarantine: "1h", Capture: "60s", Kill: true}, Mode: schema.ModeEnforce, Pos: h.pos()}},
		Notify:     []schema.Notify{{Name: "oncall", Kind: "slack", To: "https://hooks.example.com/x", Pos: h.pos()}},
		Benchmarks: []schema.Benchmark{{Name: "cis", Profile: "cis-kubernetes", Every: "24h", Skip: map[string]schema.Skip{"1.2.3": {}}, Pos: h.pos()}},
		Checks:     []schema.Check{{Name: "replicas", Of: schema.CheckOf{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop"}, Must: map[string]schema.Assertion{"spec.replicas": {}}, Pos: h.pos()}},
		Clusters: []schema.Cluster{{Name: "prod", Folders: schema.Names{"shop"}, Modes: []schema.PlaneMode{{Mode: "audit", Then: "enforce", After: "2027-02-01"}, {Plane: "file", Mode: "learn"}},
			Workloads: map[string][]schema.PlaneMode{"payments": nil}, Pos: h.pos()}},
		Folders: []schema.Folder{{Path: "shop", Namespaces: schema.Names{"shop"}, Owner: "team-shop", Host: true, Pos: h.pos()}},
		Tests: []schema.Test{{Name: "t", In: "payments", Peer: "ledger", Event: schema.Event{Verb: schema.VerbConnect, Flow: &schema.Flow{Port: 8443, Protocol: "tcp"}}, Is: schema.ActionDeny, By: "b",
			Pos: h.pos()}},
		Admission: schema.Admission{By: "vap", Makers: []schema.Maker{{Kind: "argoproj.io/Rollout", Path: "spec.template"}}, Cilium: true, Pos: h.pos()},
		Budget:    schema.Budget{NodeEntries: 10, ObjectBytes: 20, Pos: h.pos()},
	}
	p.Bounds[0].Require = schema.Require{Workload: true, Owner: true, Profile: "baseline"}
	p.Bounds[0].Only = []schema.Limit{{Plane: schema.PlaneExec, Pos: h.pos()}, {Plane: schema.PlaneImage, Rules: h.limits("bound", "b", []schema.Rule{rule(schema.VerbRun, "registry.example.com/**")})}}
	return p
}

func TestPolicyTable(t *testing.T) {
	table := PolicyTable(everything())
	kinds := map[string]bool{}
	var lines []string
	for _, s := range StatedIn(&table) {
		kinds[s.Kind] = true
		if s.At().Line == 0 {
			t.Errorf("%s has no position", s.Headline())
		}
		lines = append(lines, s.Headline())
	}
	slices.Sort(lines)
	want := []string{
		"admission: by ValidatingAdmissionPolicy, that of ValidatingAdmissionPolicy Fail, network by Cilium, Pods are also made by argoproj.io/Rollout",
		"benchmark cis: cis-kubernetes, level 1, every 24h, without 1.2.3",
		"bound b: holds for namespace shop, whose workloads must state workload, owner, profile baseline",
		"bound b: never read or write /etc/shadow (allowed and reported)",
		"bound b: no rule of exec",
		"bound b: rules of image only within run registry.example.com/**",
		"budget: at most 10 map entries on a node, at most 20 bytes in the largest object",
		"check replicas: Deployment of apps/v1, namespace shop, must hold: spec.replicas",
		"cluster prod: folders shop; mode: audit through 2027-02-01, then enforce, file learn; other modes for payments",
		"exception x: CVE-2026-12345 does not count in registry.example.com/** until 2027-01-31T08:00:00Z",
		"exception x: until 2027-01-31T08:00:00Z never use CAP_SYS_ADMIN, in registry.example.com/**",
		"folder shop: its files may speak of namespaces shop, the host",
		"gate g denies any: secret: any",
		"gate g denies old: image: older than 2160h, based on alpine, runs as root, not signed",
		"gate g denies worst: vulnerability: severity HIGH or above, finding CVE-2026-*, package openssl*, fixable",
		"gate g: stands at: build, admission; 3 alternatives; a finding denies only 168h after it is first known; a verdict older than 24h: warn; no verdict: deny",
		"notify oncall: slack to https://hooks.example.com/x",
		"registry r: registry.example.com: shop/*, every 6h, gate g",
		"response shells: on plane exec, verdict deny, bound b, 3 times, within 10m: notify oncall, quarantine for 1h, capture for 60s, kill",
		"signer ci: signs as https://ci/*, certified by https://i.example.com",
		"signer key: signs with a public key",
		"test t: connect to workload ledger port 8443/tcp in workload payments is denied by b",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("headlines are\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if len(kinds) != 18 {
		t.Errorf("kinds are %v", kinds)
	}
}

func TestStatedWorkload(t *testing.T) {
	p := shop()
	table := WorkloadTable(&p.Workloads[3])
	s := StatedWorkload(&table)
	want := "workload payments selects namespace shop, label app=payments; it mentions capability, egress, exec, file, image, ingress, pod, with 15 rules"
	if s.Headline() != want {
		t.Errorf("headline is %q; want %q", s.Headline(), want)
	}
	for _, s := range StatedIn(&table) {
		if s.Mode != schema.ModeEnforce || s.Match == nil || s.Owner != "team-payments" {
			t.Errorf("%s has the mode %q, the match %v and the owner %q", s.Headline(), s.Mode, s.Match, s.Owner)
		}
	}
}
