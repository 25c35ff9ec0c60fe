// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"slices"
	"testing"
)

func TestMaker(t *testing.T) {
	for _, c := range []struct {
		maker               Maker
		group, kind, plural string
	}{
		{Maker{Kind: "argoproj.io/Rollout"}, "argoproj.io", "Rollout", "rollouts"},
		{Maker{Kind: "Many"}, "", "Many", "manies"},
		{Maker{Kind: "a.net/Class"}, "a.net", "Class", "classes"},
		{Maker{Kind: "a.net/Key", Resource: "keys"}, "a.net", "Key", "keys"},
	} {
		group, kind := c.maker.GroupKind()
		if group != c.group || kind != c.kind || c.maker.Plural() != c.plural {
			t.Errorf("%+v is %q %q %q; want %q %q %q", c.maker, group, kind, c.maker.Plural(), c.group, c.kind, c.plural)
		}
	}
	if got := (Maker{Path: "spec.template"}).Fields(); !slices.Equal(got, []string{"spec", "template"}) {
		t.Errorf("fields %q", got)
	}
}

func TestAdmissionEffective(t *testing.T) {
	for by, want := range map[string][2]bool{"": {true, true}, AdmissionBoth: {true, true}, AdmissionGatekeeper: {true, false}, AdmissionVAP: {false, true}} {
		stated := Admission{By: by}
		a := stated.Effective()
		if got := [2]bool{a.Gatekeeper(), a.VAP()}; got != want || [2]bool{stated.Gatekeeper(), stated.VAP()} != want {
			t.Errorf("by %q: Gatekeeper and VAP are %v; want %v", by, got, want)
		}
		if a.By == "" || a.FailurePolicy != (FailurePolicies{Gatekeeper: FailurePolicyIgnore, VAP: FailurePolicyFail}) {
			t.Errorf("by %q: %+v", by, a)
		}
	}
	a := Admission{FailurePolicy: FailurePolicies{Gatekeeper: FailurePolicyFail, VAP: FailurePolicyIgnore}}.Effective()
	if a.FailurePolicy.Gatekeeper != FailurePolicyFail || a.FailurePolicy.VAP != FailurePolicyIgnore {
		t.Errorf("what is stated is lost: %+v", a)
	}
}
