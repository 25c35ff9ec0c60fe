// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The large policy of the benchmark, and how often each of its clusters is asked.
const (
	benchNamespaces = 50
	benchEach       = 20 // workloads of a namespace
	benchWarm       = 100
	benchRequests   = 1000
)

// The bars. Ratios of one run, so that they hold on any machine.
const (
	growthP50Bar = 1.2 // of 1,000 workloads, against one
	growthP99Bar = 2.0
	shareBar     = 2.5 // of Gatekeeper's part of the latency, against that with one constraint that does next to nothing
	vapBar       = 2.5 // of ValidatingAdmissionPolicy, against no policy
)

// titles are the ways in names of benchmarks.
var titles = map[string]string{"gatekeeper": "Gatekeeper", "vap": "VAP", "both": "Both"}

// benchCase is a cluster with one policy.
type benchCase struct {
	name    string
	cluster *Cluster
	took    []time.Duration
}

// TestBenchAdmission measures the creation of one Pod, as a dry run, in clusters that differ in what judges it. The clusters run at the same
// time and are asked in turn, so that what disturbs the machine disturbs all of them.
func TestBenchAdmission(t *testing.T) {
	none := startBench(t, "None", Config{}, nil)
	trivial := startBench(t, "GatekeeperTrivial", Config{Gatekeeper: patient}, nil)
	trivial.cluster.applyTrivial()
	cases := []*benchCase{none, trivial}
	for _, w := range ways {
		for _, n := range []int{1, benchNamespaces * benchEach} {
			cases = append(cases, startBench(t, fmt.Sprintf("%s%d", titles[w.by], n), w.Config, benchRepository(w.by, n)))
		}
	}
	for i := range benchWarm + benchRequests {
		for k := range cases {
			c := cases[(i+k)%len(cases)]
			if took := c.ask(t); i >= benchWarm {
				c.took = append(c.took, took)
			}
		}
	}
	for _, c := range cases {
		slices.Sort(c.took)
		fmt.Printf("BenchmarkAdmission%s %d %.2f p50-ms %.2f p99-ms\n", c.name, len(c.took), c.at(0.5), c.at(0.99))
	}
	for i, w := range ways {
		one, many := cases[2+2*i], cases[3+2*i]
		bar(t, titles[w.by]+"GrowthP50", many.at(0.5)/one.at(0.5), growthP50Bar)
		bar(t, titles[w.by]+"GrowthP99", many.at(0.99)/one.at(0.99), growthP99Bar)
		switch w.by {
		case "gatekeeper":
			bar(t, "GatekeeperShare", (many.at(0.5)-none.at(0.5))/(trivial.at(0.5)-none.at(0.5)), shareBar)
		case "vap":
			bar(t, "VAPOfNone", many.at(0.5)/none.at(0.5), vapBar)
		}
	}
}

// bar prints a ratio, and fails when it is too large.
func bar(t *testing.T, what string, ratio, most float64) {
	t.Helper()
	fmt.Printf("BenchmarkAdmission%s 1 %.2f ratio %.1f bar\n", what, ratio, most)
	if ratio >= most {
		t.Errorf("%s is %.2f; want less than %.1f", what, ratio, most)
	}
}

// startBench starts a cluster with a policy, or with none.
func startBench(t *testing.T, name string, cfg Config, repository map[string][]byte) *benchCase {
	t.Helper()
	b := &benchCase{name: name, cluster: Start(t, cfg)}
	names := []string{"team-00"}
	for i := 1; i < benchNamespaces; i++ {
		names = append(names, fmt.Sprintf("team-%02d", i))
	}
	b.cluster.Namespaces(names...)
	if repository == nil {
		return b
	}
	b.cluster.ApplyBundle(compileAt(t, repository, time.Time{}).Bundle)
	Eventually(t, name+" is in force", func() error {
		p := benchPod()
		p.Spec.Containers[0].Image = badImage
		if b.cluster.Review(p).Denied == "" {
			return fmt.Errorf("a Pod that no rule allows is admitted")
		}
		return nil
	})
	return b
}

// ask makes the request once.
func (b *benchCase) ask(t *testing.T) time.Duration {
	p := benchPod()
	began := time.Now()
	err := b.cluster.Client.Create(t.Context(), p, client.DryRunAll)
	took := time.Since(began)
	if err != nil {
		t.Fatalf("%s: %v", b.name, err)
	}
	return took
}

// at returns a quantile in milliseconds. What was measured is sorted.
func (b *benchCase) at(q float64) float64 {
	return float64(b.took[min(len(b.took)-1, int(q*float64(len(b.took))))].Microseconds()) / 1000
}

// benchRepository is a policy of n workloads, of which the first selects the Pod that is asked for. Each has conditions on images and on the Pod.
func benchRepository(by string, n int) map[string][]byte {
	files := map[string][]byte{"writ.cue": fmt.Appendf(nil, `package policy

admission: by: %q
`, by)}
	for i := range min(n, benchNamespaces) {
		var b strings.Builder
		b.WriteString("package policy\n")
		for k := range min(n, benchEach) {
			fmt.Fprintf(&b, `
workload: "team-%02[1]d-app-%02[2]d": {
	match: {namespace: "team-%02[1]d", labels: app: "app-%02[2]d"}
	mode:  "enforce"
	owner: "team-%02[1]d"
	image: from: {
		"registry.example.com/team-%02[1]d/app-%02[2]d": {}
		"registry.example.com/base/*": {}
		"registry.example.com/team-%02[1]d/tools/**": {}
	}
	pod: {
		profile:                      "restricted"
		readOnlyRootFilesystem:       true
		automountServiceAccountToken: false
	}
}
`, i, k)
		}
		files[fmt.Sprintf("team-%02d/apps.cue", i)] = []byte(b.String())
	}
	return files
}

// benchPod is what the first workload allows: of three containers, as Pods are.
func benchPod() *corev1.Pod {
	security := func() *corev1.SecurityContext {
		return &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), RunAsNonRoot: new(true),
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
	}
	p := pod("team-00", "")
	p.Labels = map[string]string{"app": "app-00", "tier": "backend", "app.kubernetes.io/version": "1.27.3"}
	p.Spec = corev1.PodSpec{AutomountServiceAccountToken: new(false),
		InitContainers: []corev1.Container{{Name: "migrate", Image: "registry.example.com/team-00/tools/db/migrate:3", SecurityContext: security()}},
		Containers: []corev1.Container{
			{Name: "app", Image: "registry.example.com/team-00/app-00:1.27.3", SecurityContext: security(),
				Env: []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}}, Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}},
			{Name: "proxy", Image: "registry.example.com/base/proxy:2", SecurityContext: security()},
		}}
	return p
}

// applyTrivial puts one constraint in force that does next to nothing: the least that Gatekeeper can cost.
func (c *Cluster) applyTrivial() {
	c.t.Helper()
	c.Apply(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate", "metadata": map[string]any{"name": "trivial"},
		"spec": map[string]any{
			"crd": map[string]any{"spec": map[string]any{"names": map[string]any{"kind": "Trivial"}}},
			"targets": []any{map[string]any{"target": "admission.k8s.gatekeeper.sh", "code": []any{map[string]any{"engine": "Rego", "source": map[string]any{
				"version": "v1",
				"rego":    "package trivial\n\nviolation contains {\"msg\": \"denied\"} if input.review.object.metadata.labels.denied == \"yes\"\n",
			}}}}},
		}}})
	c.Apply(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "Trivial", "metadata": map[string]any{"name": "trivial"},
		"spec": map[string]any{"match": map[string]any{"kinds": []any{map[string]any{"apiGroups": []any{""}, "kinds": []any{"Pod"}}}}},
	}})
	Eventually(c.t, "the trivial constraint is in force", func() error {
		p := benchPod()
		p.Labels["denied"] = "yes"
		if c.Review(p).Denied == "" {
			return fmt.Errorf("a Pod that it denies is admitted")
		}
		return nil
	})
}
