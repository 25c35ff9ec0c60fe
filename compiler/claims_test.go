// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// claimed are claims as lines "where backend part claim", without the reasons.
func claimed(s Stated) []string {
	var lines []string
	for _, e := range Claims(s) {
		lines = append(lines, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s: %s", e.Where, e.Backend, e.Part, e.Claim)), " "))
	}
	return lines
}

func TestClaims(t *testing.T) {
	cgroup, labels := &schema.Match{Cgroup: "/pay"}, &schema.Match{Namespace: "shop", Labels: map[string]string{"app": "pay"}}
	stated := func(m *schema.Match, mode schema.Mode, e bundle.RuleEntry) Stated {
		e.Match = m
		return Stated{Workload: "w", Mode: mode, RuleEntry: e}
	}
	const network = "network of the cluster NetworkPolicy "
	withheld := func(h bundle.Withholding) Stated {
		s := stated(labels, schema.ModeEnforce, bundle.RuleEntry{Plane: schema.PlaneIngress})
		s.Withheld = &h
		return s
	}
	execRule := bundle.RuleEntry{Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: "/bin/true"}
	parent := execRule
	parent.Parents = []string{"/bin/sh"}
	from := bundle.RuleEntry{Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: "nginx"}
	for _, c := range []struct {
		name string
		s    Stated
		want []string
	}{
		{"exec", stated(cgroup, schema.ModeEnforce, execRule), []string{
			"kernel of the node BPF LSM exec: program: prevent", "kernel of the node BPF LSM exec: script behind #!: prevent",
			"kernel of the node tracing exec: program: prevent", "kernel of the node tracing exec: script behind #!: none"}},
		{"parent", stated(cgroup, schema.ModeEnforce, parent), []string{
			"kernel of the node BPF LSM exec: program: prevent", "kernel of the node BPF LSM exec: script behind #!: prevent", "kernel of the node BPF LSM exec: parent: prevent",
			"kernel of the node tracing exec: program: prevent", "kernel of the node tracing exec: script behind #!: none", "kernel of the node tracing exec: parent: prevent"}},
		{"audit", stated(cgroup, schema.ModeAudit, execRule), []string{
			"kernel of the node BPF LSM exec: program: detect", "kernel of the node BPF LSM exec: script behind #!: detect",
			"kernel of the node tracing exec: program: detect", "kernel of the node tracing exec: script behind #!: none"}},
		{"labels on a node", stated(labels, schema.ModeEnforce, execRule), []string{"kernel of the node exec: none"}},
		{"image", stated(labels, schema.ModeEnforce, from), []string{"admission Gatekeeper image: from: prevent", "admission ValidatingAdmissionPolicy image: from: prevent"}},
		{"image, learn", stated(labels, schema.ModeLearn, from), []string{"admission Gatekeeper image: from: detect", "admission ValidatingAdmissionPolicy image: from: detect"}},
		{"image of a container", stated(&schema.Match{Container: "app"}, schema.ModeEnforce, from), []string{"admission Gatekeeper image: from: prevent", "admission ValidatingAdmissionPolicy image: from: prevent"}},
		{"image by a condition", stated(&schema.Match{Expressions: map[string]schema.Expression{"a": {In: schema.Names{"b"}}}}, schema.ModeEnforce, from),
			[]string{"admission Gatekeeper image: from: prevent", "admission ValidatingAdmissionPolicy image: from: prevent"}},
		{"image in a cgroup", stated(cgroup, schema.ModeEnforce, from), []string{"admission image: from: none"}},
		{"conditions", stated(labels, schema.ModeEnforce, bundle.RuleEntry{Plane: schema.PlaneImage, Verbs: []schema.Verb{schema.VerbPass, schema.VerbRun, schema.VerbSigned}}),
			[]string{"image: gate: none", "admission Gatekeeper image: from: prevent", "admission ValidatingAdmissionPolicy image: from: prevent", "image: signedBy: none"}},
		{"file", stated(cgroup, schema.ModeEnforce, bundle.RuleEntry{Plane: schema.PlaneFile, Verb: schema.VerbRead}), []string{"file: none"}},
		{"closing of egress in a cgroup", stated(cgroup, schema.ModeEnforce, bundle.RuleEntry{Plane: schema.PlaneEgress}), []string{network + "egress: none"}},
		{"closing of egress", stated(labels, schema.ModeEnforce, bundle.RuleEntry{Plane: schema.PlaneEgress}), []string{network + "egress: prevent"}},
		{"egress, audit", stated(labels, schema.ModeAudit, bundle.RuleEntry{Plane: schema.PlaneEgress}), []string{network + "egress: none"}},
		{"ingress, held back", withheld(bundle.Withholding{For: "v"}), []string{network + "ingress: none"}},
		{"ingress, wider", withheld(bundle.Withholding{For: "v", Wide: true}), []string{network + "ingress: prevent"}},
		{"requests", stated(labels, schema.ModeEnforce, bundle.RuleEntry{Plane: schema.PlaneEgress, Verb: schema.VerbConnect, TLS: []string{"api.example.com"},
			Peer: &schema.Peer{DNS: "api.example.com", Port: "443", Protocol: "tcp"}}),
			[]string{network + "egress: prevent", network + "egress: requests: none", "network of the cluster CiliumNetworkPolicy egress: prevent"}},
		{"pod", stated(labels, schema.ModeEnforce, bundle.RuleEntry{Plane: schema.PlanePod, Verb: schema.VerbSet}), []string{"admission Gatekeeper pod: prevent", "admission ValidatingAdmissionPolicy pod: prevent"}},
		{"closing of pod", stated(labels, schema.ModeAudit, bundle.RuleEntry{Plane: schema.PlanePod}), []string{"admission Gatekeeper pod: detect", "admission ValidatingAdmissionPolicy pod: detect"}},
		{"never of pod", Stated{Mode: schema.ModeEnforce, RuleEntry: bundle.RuleEntry{Kind: bundle.KindNever, Plane: schema.PlanePod, Verb: schema.VerbSet}},
			[]string{"admission Gatekeeper pod: prevent", "admission ValidatingAdmissionPolicy pod: prevent"}},
		{"never of image, audit", Stated{Mode: schema.ModeAudit, RuleEntry: bundle.RuleEntry{Kind: bundle.KindNever, Plane: schema.PlaneImage, Verb: schema.VerbRun, Match: labels}},
			[]string{"admission Gatekeeper image: detect", "admission ValidatingAdmissionPolicy image: detect"}},
		{"never of image, host", Stated{RuleEntry: bundle.RuleEntry{Kind: bundle.KindNever, Plane: schema.PlaneImage, Verb: schema.VerbRun, Match: &schema.Match{Host: true}}},
			[]string{"admission image: none"}},
		{"never of pod, container", Stated{RuleEntry: bundle.RuleEntry{Kind: bundle.KindNever, Plane: schema.PlanePod, Verb: schema.VerbSet, Match: &schema.Match{Container: "a"}}},
			[]string{"admission pod: none"}},
		{"require, cgroup", Stated{RuleEntry: bundle.RuleEntry{Kind: bundle.KindBound, Match: cgroup, Requires: schema.Names{"workload"}}}, []string{"admission require: workload: none"}},
		{"never", Stated{RuleEntry: bundle.RuleEntry{Kind: bundle.KindNever, Plane: schema.PlaneExec, Verb: schema.VerbExec}}, []string{"exec: none"}},
		{"only", Stated{RuleEntry: bundle.RuleEntry{Kind: bundle.KindOnly, Plane: schema.PlaneExec, Verb: schema.VerbExec}}, []string{"compile rules of exec: prevent"}},
		{"require", Stated{RuleEntry: bundle.RuleEntry{Kind: bundle.KindBound, Requires: schema.Names{"workload", "owner"}}}, []string{"admission Gatekeeper require: workload: prevent", "admission ValidatingAdmissionPolicy require: workload: prevent", "compile require: prevent"}},
		{"patch", Stated{RuleEntry: bundle.RuleEntry{Kind: bundle.KindPatch, Plane: schema.PlaneExec}}, []string{"exec: none"}},
		{"gate", Stated{RuleEntry: bundle.RuleEntry{Kind: bundle.KindAlternative}}, []string{"alternative: none"}},
		{"folder", Stated{RuleEntry: bundle.RuleEntry{Kind: bundle.KindFolder}}, nil},
	} {
		if got := claimed(c.s); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q; want %q", c.name, got, c.want)
		}
	}
}

// TestClaimsSayWhy holds that nobody is left without a reason where the claim is weaker than prevent.
func TestClaimsSayWhy(t *testing.T) {
	p := shop()
	p.Workloads[3].Closures[0].Then, p.Workloads[3].Closures[0].After = schema.ModeEnforce, "2027-02-01"
	n := 0
	for _, table := range RuleTables(p) {
		for _, s := range StatedIn(&table) {
			for _, e := range Claims(s) {
				n++
				if e.Claim != ClaimPrevent && e.Why == "" {
					t.Errorf("%s: %+v says no reason", s.Headline(), e)
				}
				if e.Part == "" {
					t.Errorf("%s: %+v names no part", s.Headline(), e)
				}
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d claims", n)
	}
}

// TestClaimsOfAPlannedMode tells both sides of the date.
func TestClaimsOfAPlannedMode(t *testing.T) {
	planned := func(now, then schema.Mode, e bundle.RuleEntry, m schema.Match) Stated {
		e.Then, e.After, e.Match = then, "2027-02-01", &m
		return Stated{Workload: "w", Mode: now, RuleEntry: e}
	}
	execRule := bundle.RuleEntry{Plane: schema.PlaneExec, Verb: schema.VerbExec}
	from := bundle.RuleEntry{Plane: schema.PlaneImage, Verb: schema.VerbRun}
	cgroup, labels := schema.Match{Cgroup: "/a"}, schema.Match{Namespace: "shop"}
	for _, c := range []struct {
		s             Stated
		strength, why string
	}{
		{planned("audit", "enforce", execRule, cgroup), "detect through 2027-02-01, then prevent", "mode audit through 2027-02-01, then enforce"},
		{planned("enforce", "learn", execRule, cgroup), "prevent through 2027-02-01, then detect", "mode enforce through 2027-02-01, then learn"},
		{planned("learn", "audit", execRule, cgroup), "detect", "mode learn through 2027-02-01, then audit"},
		{planned("audit", "enforce", from, labels), "detect", "mode audit through 2027-02-01, then enforce; " + whyDated},
	} {
		if e := Claims(c.s)[0]; e.Strength() != c.strength || e.Why != c.why {
			t.Errorf("%s, because %q; want %s, because %q", e.Strength(), e.Why, c.strength, c.why)
		}
	}
}
