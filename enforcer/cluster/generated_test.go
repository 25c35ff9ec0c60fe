// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
)

// generator makes policies and Pods from few names, so that they meet often.
type generator struct{ *rand.Rand }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

// namespaces are those of the generated policy and Pods; the last one has no workload of its own. modes are what its workloads may have, so that
// each verdict is common somewhere.
var (
	namespaces = []string{"gen-a", "gen-b", "gen-c", "gen-none"}
	modes      = map[string][]string{"gen-a": {"enforce", "audit", "learn"}, "gen-b": {"audit", "learn"}, "gen-c": {"learn"}}
)

// image makes a reference, or a pattern of them. Some references are none: the API server takes every text.
func (g generator) image(pattern bool) string {
	host := pick(g, "", "", "docker.io/", "index.docker.io/", "registry.example.com/", "Registry.Example.com/", "registry.example.com:5000/")
	path := pick(g, "web", "shop/web", "shop/pay", "library/web", "a/b/c")
	if pattern {
		path = pick(g, path, path, "shop/*", "**", "a/**", "*/web", "shop/p*")
	}
	tag := pick(g, "", "", ":latest", ":1", ":2", "@sha256:"+strings.Repeat("0", 64))
	image := host + path + tag
	if !pattern && g.IntN(12) == 0 {
		at := g.IntN(len(image))
		image = image[:at] + pick(g, "//", ":", "@", "A", "..", "_", "*", "ä") + image[at:]
	}
	return image
}

func (g generator) labels() map[string]string {
	labels := map[string]string{}
	for range g.IntN(3) {
		labels[pick(g, "app", "tier", "example.com/x")] = pick(g, "a", "b", "")
	}
	return labels
}

// conditions are what a workload demands of the Pod's fields.
var conditions = []string{
	`privileged: false`, `hostNetwork: false`, `runAsNonRoot: true`, `readOnlyRootFilesystem: true`, `allowPrivilegeEscalation: false`,
	`profile: "baseline"`, `profile: "restricted"`, `volumes: {configMap: {}, emptyDir: {}}`, `hostPaths: "/var/log/**": {}`,
	`addCapabilities: NET_BIND_SERVICE: {}`, `serviceAccount: {default: {}, "web-a": {}}`, `hostPorts: {"80": {}, "443": {}}`,
	`seccomp: {RuntimeDefault: {}, Localhost: {}}`, `runAsUser: "1000": {}`,
}

// workload is one workload in CUE.
func (g generator) workload(name, namespace string) string {
	w := map[string]any{"match": map[string]any{"namespace": namespace, "labels": g.labels()}, "shared": true,
		"mode": pick(g, modes[namespace]...), "owner": "team-" + name}
	if g.IntN(4) > 0 {
		from := map[string]any{}
		for range 1 + g.IntN(5) {
			if image := g.image(true); isPattern(image) {
				from[image] = struct{}{}
			}
		}
		w["image"] = map[string]any{"from": from}
	}
	data, err := json.Marshal(w)
	if err != nil {
		panic(err)
	}
	text := fmt.Sprintf("workload: %q: %s\n", name, data)
	for range g.IntN(3) {
		if condition := pick(g, conditions...); !strings.Contains(text, "pod: "+strings.SplitAfter(condition, ":")[0]) {
			text += fmt.Sprintf("workload: %q: pod: %s\n", name, condition)
		}
	}
	return text
}

func isPattern(image string) bool {
	_, err := schema.ParseImagePattern(image)
	return err == nil
}

// repository makes a policy, with one workload in each namespace that denies a Pod which asks whether the policy is in force.
func (g generator) repository(by string, each int) map[string][]byte {
	var b strings.Builder
	fmt.Fprintf(&b, "package policy\nadmission: by: %q\n", by)
	for _, namespace := range namespaces[:len(namespaces)-1] {
		for i := range each {
			b.WriteString(g.workload(fmt.Sprintf("%s-%d", namespace, i), namespace))
		}
		fmt.Fprintf(&b, "workload: %q: {match: {namespace: %q, labels: asks: \"yes\"}, shared: true, mode: \"enforce\", image: from: {}}\n",
			"asked-"+namespace, namespace)
	}
	return map[string][]byte{"writ.cue": []byte(b.String())}
}

// pod makes a Pod that the API server finds valid.
func (g generator) pod(i int) *corev1.Pod {
	p := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", i), Namespace: pick(g, namespaces...), Labels: g.labels()}}
	for k := range 1 + g.IntN(3) {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", k), Image: g.image(false), SecurityContext: g.security()})
	}
	for k := range g.IntN(2) {
		p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: fmt.Sprintf("i%d", k), Image: g.image(false), SecurityContext: g.security()})
	}
	g.spec(&p.Spec)
	return p
}

func (g generator) spec(s *corev1.PodSpec) {
	s.HostNetwork = g.IntN(6) == 0
	s.HostPID = g.IntN(10) == 0
	if g.IntN(3) == 0 {
		s.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: pick(g, nil, new(true), new(false)), RunAsUser: pick(g, nil, new(int64(0)), new(int64(1000)))}
		if g.IntN(2) == 0 {
			s.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: pick(g, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)}
		}
	}
	s.ServiceAccountName = pick(g, "", "", "web-a", "other")
	if g.IntN(3) == 0 {
		volume := corev1.Volume{Name: "v"}
		switch g.IntN(3) {
		case 0:
			volume.HostPath = &corev1.HostPathVolumeSource{Path: pick(g, "/var/log", "/var/log/pods", "/etc")}
		case 1:
			volume.EmptyDir = &corev1.EmptyDirVolumeSource{}
		default:
			volume.Secret = &corev1.SecretVolumeSource{SecretName: "s"}
		}
		s.Volumes = append(s.Volumes, volume)
	}
	if g.IntN(6) == 0 {
		port := pick(g, int32(80), int32(8080))
		s.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: port, HostPort: port}}
	}
}

func (g generator) security() *corev1.SecurityContext {
	if g.IntN(2) == 0 {
		return nil
	}
	s := &corev1.SecurityContext{RunAsNonRoot: pick(g, nil, new(true)), ReadOnlyRootFilesystem: pick(g, nil, new(true))}
	switch g.IntN(4) {
	case 0:
		s.Privileged = new(true)
	case 1:
		s.AllowPrivilegeEscalation = new(false)
	}
	if g.IntN(2) == 0 {
		s.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{pick(g, corev1.Capability("ALL"), corev1.Capability("CHOWN"))}}
	}
	if g.IntN(4) == 0 {
		s.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{pick(g, corev1.Capability("NET_BIND_SERVICE"), corev1.Capability("SYS_ADMIN"))}}
	}
	return s
}

// strictest is what Judge says of a Pod: the strictest of its events.
func strictest(t testing.TB, p *schema.Policy, pod *corev1.Pod) schema.Action {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		t.Fatal(err)
	}
	read, ok := manifest.Builtin().Of(object, "")
	if !ok || len(read.Problems()) > 0 {
		t.Fatalf("the Pod cannot be read: %v", read.Problems())
	}
	action := schema.ActionAllow
	for _, event := range read.Events() {
		if a := schema.Judge(p, event, time.Time{}).Action; rank[a] > rank[action] {
			action = a
		}
	}
	return action
}

var rank = map[schema.Action]int{schema.ActionAllow: 0, schema.ActionLearn: 1, schema.ActionAudit: 2, schema.ActionDeny: 3}

// said is what the API server's answer amounts to. Nobody is told of what is learnt from.
func said(a Answer) schema.Action {
	switch {
	case a.Denied != "":
		return schema.ActionDeny
	case len(a.Warnings) > 0:
		return schema.ActionAudit
	}
	return schema.ActionAllow
}

// TestE2EJudge compares the verdicts of a real API server with Judge's.
func TestE2EJudge(t *testing.T) {
	for _, w := range ways {
		t.Run(w.by, func(t *testing.T) {
			c := Start(t, w.Config)
			c.Namespaces(namespaces...)
			g := generator{rand.New(rand.NewPCG(7, 1))}
			result := compileAt(t, g.repository(w.by, 12), time.Time{})
			policy := policyOf(t, result)
			c.ApplyBundle(result.Bundle)
			for _, namespace := range namespaces[:len(namespaces)-1] {
				c.asks(namespace)
			}
			count := map[schema.Action]int{}
			for i := range 400 {
				p := g.pod(i)
				want := strictest(t, policy, p)
				count[want]++
				if want == schema.ActionLearn {
					want = schema.ActionAllow
				}
				if answer := c.Review(p); said(answer) != want {
					data, _ := json.Marshal(p)
					t.Errorf("the API server says %v (%s %q) and Judge says %v of\n%s", said(answer), answer.Denied, answer.Warnings, want, data)
				}
			}
			t.Logf("verdicts %v", count)
			for action := range rank {
				if count[action] < 10 {
					t.Errorf("%d Pods are judged %v; want at least 10, or nothing is compared", count[action], action)
				}
			}
		})
	}
}

// asks waits until the policy is in force in a namespace of the generated policy.
func (c *Cluster) asks(namespace string) {
	c.t.Helper()
	Eventually(c.t, "the policy is in force in "+namespace, func() error {
		p := pod(namespace, goodImage, func(p *corev1.Pod) { p.Labels = map[string]string{"asks": "yes"} })
		if c.Review(p).Denied == "" {
			return fmt.Errorf("a Pod that no rule allows is admitted")
		}
		return nil
	})
}
