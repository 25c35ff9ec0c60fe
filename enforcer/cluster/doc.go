// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package cluster runs a real Kubernetes control plane for tests: etcd, kube-apiserver and, where asked for, kube-controller-manager and
// Gatekeeper, all on loopback with their data in temporary folders. It applies a bundle's objects as an operator would, and asks the API server
// what it says of a Pod.
//
// It is a module of its own, because nothing of writ links a Kubernetes client. Its tests are the end-to-end tests of admission
// (make e2e) and the benchmarks of its latency (make bench); both need the servers that make kube builds.
//
// # Decisions
//
// Every server ends with the process of the test, however that ends: each has its own process group and is killed by the kernel when its parent
// dies, so a test that panics or runs into its timeout leaves nothing behind. What is ended is what was started, by its process id.
//
// Gatekeeper runs as its release installs it: custom resource definitions, roles and webhook configuration come from the manifest of its own module,
// which make kube lays beside the program, and the process is the manifest's service account, with no right beyond its roles. Two things
// differ: the webhook is reached by URL, since there are no Services, and one process does what two deployments do.
//
// Objects are applied in the stages that the bundle states in admission/order.json, and what the stages wait for is waited for. Readiness is polled,
// never slept for.
package cluster
