// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var ruleID = regexp.MustCompile("rule [0-9a-f]{16}")

// matching counts the constraints that Gatekeeper's own matcher takes for an object.
func (e *engine) matching(t *testing.T, namespace string, o object) (names []string) {
	t.Helper()
	handler := &target.K8sValidationTarget{}
	r := request(t, admissionv1.Create, namespace, o, nil)
	review := target.AugmentedReview{AdmissionRequest: r, IsAdmission: true}
	if namespace != "" {
		review.Namespace = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	}
	handled, got, err := handler.HandleReview(review)
	if err != nil || !handled {
		t.Fatalf("%v, %v", handled, err)
	}
	for _, c := range e.constraints {
		matcher, err := handler.ToMatcher(c)
		if err != nil {
			t.Fatalf("%s: %v", c.GetName(), err)
		}
		if ok, err := matcher.Match(got); err != nil {
			t.Fatal(err)
		} else if ok {
			names = append(names, c.GetName())
		}
	}
	return names
}

// TestAtMostThree holds that at most one constraint of each action matches a Pod, whatever its namespace, and which holds what.
func TestAtMostThree(t *testing.T) {
	var b strings.Builder
	b.WriteString(restricted(1000, 50))
	for i, mode := range []string{"enforce", "audit", "learn"} {
		fmt.Fprintf(&b, "workload: \"any%d\": {match: labels: any: \"%[1]d\", mode: %q, image: from: \"r.example.com/*\": {}}\n", i, mode)
		fmt.Fprintf(&b, "workload: \"some%d\": {match: {namespace: \"ns%[1]d\", labels: some: \"x\"}, shared: true, mode: %q, image: from: \"r.example.com/*\": {}}\n", i, mode)
		fmt.Fprintf(&b, "bound: \"b%d\": {mode: %q, never: pod: hostPID: \"true\": {}, require: workload: true}\n", i, mode)
	}
	for i := range 300 { // a namespace of many
		fmt.Fprintf(&b, "workload: \"many%d\": {match: {namespace: \"many\", labels: app: \"m%[1]d\"}, mode: \"enforce\", image: from: \"r.example.com/*\": {}}\n", i)
	}
	e := newEngine(t)
	e.load(t, compile(t, b.String()).Bundle)
	if len(e.constraints) < 8 {
		t.Fatalf("only %d constraints", len(e.constraints))
	}
	for _, namespace := range []string{"ns0", "ns1", "ns2", "ns49", "many", "other", ""} {
		for _, o := range []object{goodPod(0, 0), made(goodPod(0, 0), makers[0])} {
			names := e.matching(t, namespace, o)
			actions := map[string]int{}
			for _, name := range names {
				actions[strings.Split(name, "-")[2]]++
			}
			if len(names) != 3 || len(actions) != 3 {
				t.Errorf("namespace %q: %v", namespace, names)
			}
		}
	}
	if names := e.matching(t, "ns0", object{"apiVersion": "v1", "kind": "Service", "metadata": object{"name": "s"}}); len(names) > 0 {
		t.Errorf("a Service matches %v", names)
	}
	for _, c := range e.constraints {
		if data, err := json.Marshal(c.Object); err != nil || len(data) > 1<<20 {
			t.Errorf("%s has %d bytes, %v", c.GetName(), len(data), err)
		}
	}
}
