// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"errors"
	"reflect"
	"testing"
)

func TestOrder(t *testing.T) {
	want := Order{Stages: []Stage{{Name: "templates", Objects: []string{"admission/a.yaml"}, Ready: ReadyCreated}},
		FailurePolicies: FailurePolicies{Gatekeeper: &WebhookFailure{FailurePolicy: "Ignore"}}}
	b := New(map[string][]byte{OrderPath: Encode(want), "admission/a.yaml": []byte("a\n")}, Envelope{})
	again, err := Read(files(b))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Order(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the order is %+v, %v; want %+v", got, err, want)
	}
	if other := New(map[string][]byte{OrderPath: Encode(Order{}), "admission/a.yaml": []byte("a\n")}, Envelope{}); other.Manifest.Digest == b.Manifest.Digest {
		t.Error("the order is no part of the digest")
	}
	if got, err := sample().Order(); err != nil || len(got.Stages) > 0 {
		t.Errorf("without objects: %+v, %v; want no stages", got, err)
	}
	if _, err := New(map[string][]byte{OrderPath: []byte("{")}, Envelope{}).Order(); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged order: %v; want ErrDamaged", err)
	}
}
