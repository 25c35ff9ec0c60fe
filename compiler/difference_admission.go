// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import "github.com/writ-sec/writ/schema"

// admission compares by what the policy is enforced at admission. What is no longer judged, or by fewer, is wider; which of the two a cluster
// runs is not known, so that one instead of the other may be none.
func (d *differ) admission() {
	of := func(stated schema.Admission) diffThing {
		a := stated.Effective()
		t := diffThing{at: a.Pos, fields: []diffField{
			admissionField("by", a.By),
			{name: "failurePolicy gatekeeper", value: a.FailurePolicy.Gatekeeper, effect: failureEffect},
			{name: "failurePolicy vap", value: a.FailurePolicy.VAP, effect: failureEffect},
			{name: "cilium", value: flagText(a.Cilium), effect: guardEffect(func(_, _ string) bool { return true })},
		}}
		for _, m := range a.Makers {
			text := m.Path + " of " + m.Plural()
			t.fields = append(t.fields, diffField{name: "maker", key: m.Kind, value: text, effect: guardEffect(func(_, _ string) bool { return true })})
		}
		return t
	}
	b, h := of(d.base.Admission), of(d.head.Admission)
	d.fields(PolicyChange{Kind: "admission"}, &b, &h)
}

// admissionField is a field that says by what is enforced.
func admissionField(name, by string) diffField {
	return diffField{name: name, value: by, effect: func(_, head string) Effect {
		if head == schema.AdmissionBoth {
			return EffectNarrowed
		}
		return EffectWidened
	}}
}

func failureEffect(_, head string) Effect {
	if head == schema.FailurePolicyFail {
		return EffectNarrowed
	}
	return EffectWidened
}
