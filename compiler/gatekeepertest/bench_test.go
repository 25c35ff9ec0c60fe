// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
)

// restricted returns workloads of the profile restricted with image rules, spread over namespaces.
func restricted(workloads, namespaces int) string {
	var b strings.Builder
	b.WriteString("package policy\n")
	for i := range workloads {
		fmt.Fprintf(&b, `workload: "w%d": {match: {namespace: "ns%d", labels: app: "w%[1]d"}, owner: "team-%[2]d", mode: "enforce", image: from: {"registry.example.com/team-%[2]d/**": {}, "registry.example.com/base/app:v1": {}}, pod: profile: "restricted"}`+"\n", i, i%namespaces)
	}
	return b.String()
}

// goodPod is one that holds all of that.
func goodPod(workload, namespace int) object {
	container := object{
		"name": "app", "image": fmt.Sprintf("registry.example.com/team-%d/app:v1", namespace), "ports": []any{object{"containerPort": 8080}},
		"securityContext": object{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": object{"drop": []any{"ALL"}}},
		"resources":       object{"limits": object{"cpu": "1", "memory": "1Gi"}}, "env": []any{object{"name": "A", "value": "b"}, object{"name": "C", "value": "d"}},
	}
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "p", "labels": object{"app": fmt.Sprint("w", workload)}}, "spec": object{
		"containers":      []any{container},
		"volumes":         []any{object{"name": "v", "emptyDir": object{}}},
		"securityContext": object{"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": object{"type": "RuntimeDefault"}},
	}}
}

// BenchmarkReview asks about a Pod that holds the conditions of its workload.
func BenchmarkReview(b *testing.B) {
	for _, c := range []struct{ workloads, namespaces int }{{1, 1}, {20, 1}, {1000, 50}} {
		b.Run(fmt.Sprintf("workloads=%d", c.workloads), func(b *testing.B) {
			e := newEngine(b)
			e.load(b, compile(b, restricted(c.workloads, c.namespaces)).Bundle)
			r := request(b, admissionv1.Create, "ns0", goodPod(0, 0), nil)
			if got := e.review(b, r); len(got) > 0 {
				b.Fatal(got[0].Msg)
			}
			for b.Loop() {
				e.review(b, r)
			}
		})
	}
}

// trivial demands a label, and is what the least constraint costs.
const trivial = `apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: writpod}
spec:
  crd: {spec: {names: {kind: WritPod}, validation: {openAPIV3Schema: {type: object, properties: {labels: {type: array, items: {type: string}}}}}}}
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package trivial
        violation[{"msg": msg}] {
          provided := {label | input.review.object.metadata.labels[label]}
          required := {label | label := input.parameters.labels[_]}
          missing := required - provided
          count(missing) > 0
          msg := sprintf("you must provide labels: %v", [missing])
        }
---
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: WritPod
metadata: {name: trivial}
spec: {match: {kinds: [{apiGroups: [""], kinds: ["Pod"]}]}, parameters: {labels: ["app"]}}
`

// BenchmarkTrivial is what BenchmarkReview is held against.
func BenchmarkTrivial(b *testing.B) {
	e := newEngine(b)
	var files [][]byte
	for text := range strings.SplitSeq(trivial, "---\n") {
		files = append(files, []byte(text))
	}
	e.loadFiles(b, files)
	r := request(b, admissionv1.Create, "ns0", goodPod(0, 0), nil)
	if got := e.review(b, r); len(got) > 0 {
		b.Fatal(got[0].Msg)
	}
	for b.Loop() {
		e.review(b, r)
	}
}
