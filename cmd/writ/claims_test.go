// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/enforcer/bpf"
	"github.com/writ-sec/writ/enforcer/node/wire"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// TestClaimsSpeakAsProbe holds that the table of claims and writ-node probe have the same words: the claims, and the parts of exec.
func TestClaimsSpeakAsProbe(t *testing.T) {
	for ours, theirs := range map[compiler.Claim]wire.Claim{
		compiler.ClaimPrevent: wire.ClaimPrevent, compiler.ClaimWhileRunning: wire.ClaimWhileRunning, compiler.ClaimDetect: wire.ClaimDetect, compiler.ClaimNone: wire.ClaimNone,
	} {
		if string(ours) != string(theirs) {
			t.Errorf("the claim %q is %q to writ-node", ours, theirs)
		}
	}
	backends := map[string]string{"BPF LSM": "lsm", "tracing": "tracing"}
	closing := compiler.Stated{Workload: "w", Mode: schema.ModeEnforce, RuleEntry: bundle.RuleEntry{Plane: schema.PlaneExec, Match: &schema.Match{Cgroup: "/a"}}}
	for name, backend := range backends {
		probe := bpf.Probe(backend) // without root every claim is none, and the parts are the same
		var parts, features []string
		claims := map[string]compiler.Claim{}
		for _, e := range compiler.Claims(closing) {
			if e.Backend == name {
				parts = append(parts, e.Part)
				claims[e.Part] = e.Claim
			}
		}
		for _, f := range probe.Features {
			features = append(features, f.Name)
			weaker := f.Name == "exec: parent" && backend == "tracing" && strings.Contains(f.Why, "6.10") // on an older kernel, which the table says
			if probe.Name != "none" && string(claims[f.Name]) != string(f.Claim) && !weaker {
				t.Errorf("%s: %s is %q here; the table of claims says %q", name, f.Name, f.Claim, claims[f.Name])
			}
		}
		slices.Sort(parts)
		slices.Sort(features)
		if !slices.Equal(parts, features) {
			t.Errorf("%s: the table of claims has the parts %q; writ-node probe has %q", name, parts, features)
		}
	}
}
