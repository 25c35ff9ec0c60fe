// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkVAP asks about a Pod that holds the conditions of its workload, in a namespace of so many workloads.
func BenchmarkVAP(b *testing.B) {
	for _, workloads := range []int{1, 20} {
		b.Run(fmt.Sprintf("workloads=%d", workloads), func(b *testing.B) {
			s := newServer("")
			s.apply(b, objectsOf(b, policyOf(b, compile(b, ordinary(workloads))), time.Time{}))
			r := vapRequest{namespace: "team", object: ordinaryPod()}
			if got := s.ask(b, r); len(got) > 0 {
				b.Fatal(got[0].message)
			}
			for b.Loop() {
				s.ask(b, r)
			}
		})
	}
}

// ordinary is a policy of workloads as people write them.
func ordinary(workloads int) string {
	text := "package policy\n"
	for i := range workloads {
		text += fmt.Sprintf(`workload: "app-%02d": {match: {namespace: "team", labels: app: "app-%02[1]d"}, owner: "team", mode: "enforce",
	image: from: {"registry.example.com/team/app-%02[1]d": {}, "registry.example.com/base/*": {}, "registry.example.com/team/tools/**": {}},
	pod: {profile: "restricted", readOnlyRootFilesystem: true, automountServiceAccountToken: false}}
`, i)
	}
	return text
}

// ordinaryPod is one that the first of them allows.
func ordinaryPod() object {
	container := func(name, image string) object {
		return object{"name": name, "image": image, "env": []any{object{"name": "LOG_LEVEL", "value": "info"}}, "ports": []any{object{"containerPort": int64(8080)}},
			"securityContext": object{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
				"capabilities": object{"drop": []any{"ALL"}}, "seccompProfile": object{"type": "RuntimeDefault"}}}
	}
	return object{"apiVersion": "v1", "kind": "Pod",
		"metadata": object{"name": "x", "namespace": "team", "labels": object{"app": "app-00", "tier": "backend", "app.kubernetes.io/version": "1.27.3"}},
		"spec": object{"automountServiceAccountToken": false,
			"initContainers": []any{container("migrate", "registry.example.com/team/tools/db/migrate:3")},
			"containers":     []any{container("app", "registry.example.com/team/app-00:1.27.3"), container("proxy", "registry.example.com/base/proxy:2")}}}
}
