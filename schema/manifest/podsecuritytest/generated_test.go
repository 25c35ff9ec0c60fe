// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package podsecuritytest

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/writ-sec/writ/schema"
)

const generated = 25_000

// TestGenerated changes fixtures at random, and compares with upstream's evaluator for both levels, and with each of its checks.
func TestGenerated(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 37))}
	upstream, seeds, controls := evaluator(t), fixtures(t), controlsOf(t)
	profiles, counts := map[api.Level]*schema.Policy{}, map[api.Level]map[bool]int{}
	for _, level := range levels {
		profiles[level], counts[level] = profiled(schema.ProfileRules(string(level))), map[bool]int{}
	}
	for range generated {
		pod := g.pod(seeds)
		data, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		events := podOf(t, data).Events()
		for _, level := range levels {
			want := policy.AggregateCheckResults(upstream.EvaluatePod(api.LevelVersion{Level: level, Version: version}, &pod.ObjectMeta, &pod.Spec))
			got, rules := allows(profiles[level], events)
			if got != want.Allowed {
				t.Fatalf("%s: got %v by rules %v, want %v: %s\n%s", level, got, rules, want.Allowed, want.ForbiddenDetail(), data)
			}
			counts[level][got]++
		}
		for _, c := range controls {
			want := c.check(&pod.ObjectMeta, &pod.Spec)
			got, rules := allows(c.rules, events)
			if got != want.Allowed {
				t.Fatalf("%s: got %v by rules %v, want %v: %s\n%s", c.id, got, rules, want.Allowed, want.ForbiddenDetail, data)
			}
			if got {
				c.allowed++
			} else {
				c.denied++
			}
		}
	}
	for level, n := range counts {
		t.Logf("%s: %d allowed, %d denied", level, n[true], n[false])
		if n[true] < generated/100 || n[false] < generated/10 {
			t.Errorf("%s: only %d allowed and %d denied; the test proves little", level, n[true], n[false])
		}
	}
	for _, c := range controls {
		if c.allowed < generated/50 || c.denied < generated/100 {
			t.Errorf("%s: only %d allowed and %d denied; the test proves little", c.id, c.allowed, c.denied)
		}
	}
}

// generator makes Pods.
type generator struct{ *rand.Rand }

// oneOf returns one of the values.
func oneOf[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

// maybe returns no value, or one of them.
func maybe[T any](g generator, from ...T) *T {
	if g.IntN(3) == 0 {
		return nil
	}
	return new(oneOf(g, from...))
}

// pod returns a fixture with some changes, as it would reach admission: without what an API server refuses, with what it fills in.
func (g generator) pod(seeds []fixture) *corev1.Pod {
	pod := seeds[g.IntN(len(seeds))].pod.DeepCopy()
	pod.APIVersion, pod.Kind = "v1", "Pod"
	for range g.IntN(8) {
		if g.IntN(2) == 0 {
			oneOf(g, ofPod...)(g, pod)
			continue
		}
		if c := g.container(&pod.Spec); c != nil {
			oneOf(g, ofContainer...)(g, c)
		}
	}
	if pod.Spec.OS != nil && pod.Spec.OS.Name == corev1.Windows {
		forWindows(&pod.Spec)
	}
	fillIn(&pod.Spec)
	return pod
}

// container returns one of the Pod's containers, of any kind.
func (g generator) container(spec *corev1.PodSpec) *corev1.Container {
	all := every(spec)
	if len(all) == 0 {
		return nil
	}
	return oneOf(g, all...)
}

// every returns all containers.
func every(spec *corev1.PodSpec) []*corev1.Container {
	var all []*corev1.Container
	for i := range spec.InitContainers {
		all = append(all, &spec.InitContainers[i])
	}
	for i := range spec.Containers {
		all = append(all, &spec.Containers[i])
	}
	for i := range spec.EphemeralContainers {
		all = append(all, (*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon))
	}
	return all
}

// forWindows removes what may not be set there (validateWindows in pkg/apis/core/validation/validation.go).
func forWindows(spec *corev1.PodSpec) {
	if spec.SecurityContext != nil {
		spec.SecurityContext.SeccompProfile = nil
	}
	for _, c := range every(spec) {
		if c.SecurityContext != nil {
			c.SecurityContext.SeccompProfile, c.SecurityContext.Capabilities, c.SecurityContext.AllowPrivilegeEscalation = nil, nil, nil
		}
	}
}

// fillIn does what pkg/apis/core/v1/defaults.go does, where a check reads it.
func fillIn(spec *corev1.PodSpec) {
	for i := range spec.Volumes {
		if spec.Volumes[i].VolumeSource == (corev1.VolumeSource{}) {
			spec.Volumes[i].EmptyDir = &corev1.EmptyDirVolumeSource{}
		}
	}
	for _, c := range every(spec) {
		for i := range c.Ports {
			if spec.HostNetwork && c.Ports[i].HostPort == 0 {
				c.Ports[i].HostPort = c.Ports[i].ContainerPort
			}
		}
	}
}
