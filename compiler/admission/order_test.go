// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

func TestOrder(t *testing.T) {
	gatekeeper, vap := schema.AdmissionGatekeeper, schema.AdmissionVAP
	objects := []Object{
		{Name: "crd", Stage: StageDefinitions, By: vap}, {Name: "policy", Stage: StageTemplates, By: vap}, {Name: "writpod", Stage: StageTemplates, By: gatekeeper},
		{Name: "b", Stage: StageRules, By: gatekeeper}, {Name: "a", Stage: StageRules, By: vap}, {Name: "binding", Stage: StageBindings, By: vap},
		{Name: "shop-web", Stage: StageNetwork},
	}
	want := []bundle.Stage{
		{Name: "definitions", Objects: []string{"admission/crd.yaml"}, Ready: bundle.ReadyEstablished},
		{Name: "templates", Objects: []string{"admission/policy.yaml", "admission/writpod.yaml"}, Ready: bundle.ReadyCreated},
		{Name: "rules", Objects: []string{"admission/a.yaml", "admission/b.yaml"}, Ready: bundle.ReadyNone},
		{Name: "bindings", Objects: []string{"admission/binding.yaml"}, Ready: bundle.ReadyNone},
		{Name: "network", Objects: []string{"network/shop-web.yaml"}, Ready: bundle.ReadyNone},
	}
	var first []byte
	for range 20 {
		rand.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
		o := OrderOf(objects, schema.Admission{FailurePolicy: schema.FailurePolicies{Gatekeeper: "Fail"}})
		if !reflect.DeepEqual(o.Stages, want) {
			t.Fatalf("the stages are\n%+v\nwant\n%+v", o.Stages, want)
		}
		if o.FailurePolicies.Gatekeeper == nil || o.FailurePolicies.Gatekeeper.FailurePolicy != "Fail" || o.FailurePolicies.VAP == nil || o.FailurePolicies.VAP.FailurePolicy != "Fail" {
			t.Fatalf("failure policies are %+v", o.FailurePolicies)
		}
		data := bundle.Encode(o)
		if first == nil {
			first = data
		}
		if string(data) != string(first) {
			t.Fatalf("in another order the bytes are\n%s\nwant\n%s", data, first)
		}
	}
	o := OrderOf(objects[:0], schema.Admission{})
	if len(o.Stages) > 0 || o.FailurePolicies != (bundle.FailurePolicies{}) {
		t.Errorf("without objects: %+v", o)
	}
}
