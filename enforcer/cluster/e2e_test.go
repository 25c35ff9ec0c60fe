// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// way is what enforces at admission.
type way struct {
	by string
	Config
}

// warnings is how often people are warned of one violation: by each that enforces.
func (w way) warnings() int {
	if w.by == "both" {
		return 2
	}
	return 1
}

// patient is a Gatekeeper that the API server waits for, so that a busy machine does not change verdicts.
var patient = &Gatekeeper{FailurePolicy: admissionv1.Fail, Timeout: 30 * time.Second}

// ways are those that a policy may ask for.
var ways = []way{
	{"gatekeeper", Config{Gatekeeper: patient}},
	{"vap", Config{}},
	{"both", Config{Gatekeeper: patient}},
}

// TestE2EAdmission puts a policy in force and asks the API server for every verdict that people meet.
func TestE2EAdmission(t *testing.T) {
	for _, w := range ways {
		t.Run(w.by, func(t *testing.T) {
			c := Start(t, w.Config)
			c.Namespaces("shop", "stage", "lab", "free")
			before := beforePolicy(c)
			c.Apply(rolloutDefinition())
			c.ApplyBundle(compileAt(t, repository(t, "shop", w.by), time.Time{}).Bundle)
			c.inForce(w)
			t.Run("pods", func(t *testing.T) { testPods(t, c.In(t)) })
			t.Run("makers", func(t *testing.T) { testMakers(t, c.In(t)) })
			t.Run("modes", func(t *testing.T) { testModes(t, c.In(t), w.warnings()) })
			t.Run("debug", func(t *testing.T) { testDebug(t, c.In(t)) })
			t.Run("updates", func(t *testing.T) { testUpdates(t, c.In(t), before) })
		})
	}
}

// inForce waits until each that enforces denies in the namespace shop and warns in stage: what the API server reads by itself says nowhere
// that it was read. Of both, ValidatingAdmissionPolicy comes first, and so denies.
func (c *Cluster) inForce(w way) {
	c.t.Helper()
	Eventually(c.t, "the policy is in force", func() error {
		denied := c.Review(pod("shop", badImage)).Denied
		if strings.Contains(denied, "ValidatingAdmissionPolicy") != (w.by != "gatekeeper") || denied == "" {
			return fmt.Errorf("the denial is %q", denied)
		}
		if warned := c.Review(pod("stage", badImage)).Warnings; len(warned) != w.warnings() {
			return fmt.Errorf("warnings are %q", warned)
		}
		return nil
	})
}

// existing is what was there before the policy.
type existing struct {
	pod        *corev1.Pod
	deployment *appsv1.Deployment
}

// beforePolicy makes objects that the policy would not let in.
func beforePolicy(c *Cluster) existing {
	c.t.Helper()
	e := existing{pod("shop", badImage, named("old")), makers("shop", podSpec(badImage))["Deployment"].(*appsv1.Deployment)}
	e.pod.Finalizers = []string{"example.com/hold"}
	e.deployment.Name = "old"
	for _, o := range []client.Object{e.pod, e.deployment} {
		if err := c.Client.Create(c.t.Context(), o); err != nil {
			c.t.Fatal(err)
		}
	}
	return e
}

// want is part of a denial, or admitted.
type want string

const admitted want = ""

func (w want) check(t *testing.T, a Answer) {
	t.Helper()
	switch {
	case w == admitted && a.Denied != "":
		t.Errorf("denied: %s", a.Denied)
	case w != admitted && a.Denied == "":
		t.Errorf("admitted; want a denial with %q", w)
	case !strings.Contains(a.Denied, string(w)):
		t.Errorf("denied: %s\nwant %q in it", a.Denied, w)
	case len(a.Warnings) > 0:
		t.Errorf("warnings %q; want none", a.Warnings)
	}
}

func testPods(t *testing.T, c *Cluster) {
	always := corev1.ContainerRestartPolicyAlways
	second := func(image string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "second", Image: image})
		}
	}
	initial := func(policy *corev1.ContainerRestartPolicy) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "first", Image: badImage, RestartPolicy: policy}}
		}
	}
	for name, test := range map[string]struct {
		pod  *corev1.Pod
		want want
	}{
		"an image that a rule allows":      {pod("shop", goodImage), admitted},
		"one of Docker Hub, written short": {pod("shop", "busybox:1.37"), admitted},
		"the same, written in full":        {pod("shop", "index.docker.io/library/busybox:1.37"), admitted},
		"another tag":                      {pod("shop", "busybox"), `image "busybox"`},
		"another registry":                 {pod("shop", badImage), `container "web": image "` + badImage + `"`},
		"not a reference":                  {pod("shop", "https://registry.example.com/shop/web"), "is not an image reference"},
		"a bad second container":           {pod("shop", goodImage, second(badImage)), `container "second"`},
		"two good containers":              {pod("shop", goodImage, second(goodImage)), admitted},
		"a bad init container":             {pod("shop", goodImage, initial(nil)), `container "first"`},
		"a bad sidecar":                    {pod("shop", goodImage, initial(&always)), `container "first"`},
		"privileged":                       {pod("shop", goodImage, privileged), `privileged is "true", permitted: "false"`},
		"labels that nothing selects":      {pod("shop", badImage, func(p *corev1.Pod) { p.Labels = nil }), admitted},
		"a namespace without policy":       {pod("free", badImage), admitted},
		"the same, on the node's network":  {pod("free", badImage, hostNetwork), `hostNetwork is "true", forbidden: "true"`},
	} {
		t.Run(name, func(t *testing.T) { test.want.check(t, c.In(t).Review(test.pod)) })
	}
	t.Run("what a denial says", func(t *testing.T) {
		c := c.In(t)
		for _, test := range []struct {
			pod   *corev1.Pod
			parts []string
		}{
			{pod("shop", badImage), []string{`container "web": image "` + badImage + `"`, "workload web (owner team-shop)", "rule ", " at shop/web.cue:7", "use an image"}},
			{pod("shop", goodImage, privileged), []string{`container "web": privileged is "true"`, "workload web (owner team-shop)", " at shop/web.cue:11"}},
			{pod("free", goodImage, hostNetwork), []string{"bound no-node (owner platform)", " at writ.cue:15", "why: a Pod on the network of its node reaches the kubelet"}},
		} {
			denial := c.Review(test.pod).Denied
			for _, part := range test.parts {
				if !strings.Contains(denial, part) {
					t.Errorf("denial lacks %q:\n%s", part, denial)
				}
			}
		}
	})
}

func testMakers(t *testing.T, c *Cluster) {
	good, bad := makers("shop", podSpec(goodImage)), makers("shop", podSpec(badImage))
	for _, kind := range slices.Sorted(maps.Keys(good)) {
		t.Run(kind, func(t *testing.T) {
			c := c.In(t)
			admitted.check(t, c.Review(good[kind]))
			want(badImage).check(t, c.Review(bad[kind]))
		})
	}
	t.Run("Rollout", func(t *testing.T) {
		c := c.In(t)
		admitted.check(t, c.Review(rollout("shop", goodImage)))
		want(badImage).check(t, c.Review(rollout("shop", badImage)))
	})
}

// testModes: who creates what is audited is told, what is learnt from says nothing, and both are admitted.
func testModes(t *testing.T, c *Cluster, warnings int) {
	answer := c.Review(pod("stage", badImage))
	if answer.Denied != "" || len(answer.Warnings) != warnings {
		t.Errorf("in audit: %+v; want it admitted with %d warnings", answer, warnings)
	}
	for _, warning := range answer.Warnings {
		if !strings.Contains(warning, badImage) || !strings.Contains(warning, "owner team-stage") {
			t.Errorf("warning %q; want the image and the owner in it", warning)
		}
	}
	for _, p := range []*corev1.Pod{pod("lab", badImage), pod("stage", goodImage), pod("lab", goodImage)} {
		admitted.check(t, c.Review(p))
	}
}

// testDebug: what kubectl debug does is judged as what it makes.
func testDebug(t *testing.T, c *Cluster) {
	target := pod("shop", goodImage, named("debugged"))
	if err := c.Client.Create(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	attach := func(image string) Answer {
		return c.Try(func(ctx context.Context) error {
			patch := fmt.Sprintf(`{"spec":{"ephemeralContainers":[{"name":"debugger","image":%q,"targetContainerName":"web"}]}}`, image)
			return c.Client.SubResource("ephemeralcontainers").Patch(ctx, target.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(patch)),
				client.DryRunAll)
		})
	}
	admitted.check(t, attach("busybox:1.37"))
	want(`container "debugger"`).check(t, attach(badImage))
	t.Run("a copy with another image", func(t *testing.T) { // kubectl debug --copy-to --set-image
		c := c.In(t)
		admitted.check(t, c.Review(pod("shop", goodImage, named("copy"))))
		want(badImage).check(t, c.Review(pod("shop", badImage, named("copy"))))
	})
}

// patch changes an object by a merge patch, for real.
func (c *Cluster) patch(o client.Object, patch string) Answer {
	c.t.Helper()
	return c.Try(func(ctx context.Context) error {
		return c.Client.Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(patch)))
	})
}

// testUpdates: what was there before the policy stays manageable, and does not become worse.
func testUpdates(t *testing.T, c *Cluster, e existing) {
	t.Run("a Deployment is scaled", func(t *testing.T) {
		c := c.In(t)
		admitted.check(t, c.patch(e.deployment, `{"spec":{"replicas":3}}`))
	})
	t.Run("a Deployment is repaired", func(t *testing.T) {
		c := c.In(t)
		fixed := `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":%q}]}}}}`
		want("registry.example.com/worse").check(t, c.patch(e.deployment, fmt.Sprintf(fixed, "registry.example.com/worse:1")))
		admitted.check(t, c.patch(e.deployment, fmt.Sprintf(fixed, goodImage)))
	})
	t.Run("a Pod gets a finaliser", func(t *testing.T) {
		c := c.In(t)
		admitted.check(t, c.patch(e.pod, `{"metadata":{"finalizers":["example.com/hold","example.com/more"]}}`))
	})
	t.Run("a Pod gets labels", func(t *testing.T) {
		c := c.In(t)
		want(badImage).check(t, c.patch(e.pod, `{"metadata":{"labels":{"tier":"frontend"}}}`))
	})
	t.Run("a Pod gets another image", func(t *testing.T) {
		c := c.In(t)
		want("registry.example.com/worse").check(t, c.patch(e.pod, `{"spec":{"containers":[{"name":"web","image":"registry.example.com/worse:1"}]}}`))
	})
	t.Run("a Pod is deleted", func(t *testing.T) {
		c := c.In(t)
		admitted.check(t, c.Try(func(ctx context.Context) error { return c.Client.Delete(ctx, e.pod) }))
		admitted.check(t, c.patch(e.pod, `{"metadata":{"finalizers":null}}`))
		err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(e.pod), &corev1.Pod{})
		if !apierrors.IsNotFound(err) {
			t.Errorf("after its finalisers are gone the Pod is still there: %v", err)
		}
	})
	t.Run("a Deployment is deleted", func(t *testing.T) {
		c := c.In(t)
		admitted.check(t, c.Try(func(ctx context.Context) error { return c.Client.Delete(ctx, e.deployment) }))
	})
}

// TestE2EReapply applies what is there once more. Nothing may change: what the API server fills in or drops would look like drift for ever.
func TestE2EReapply(t *testing.T) {
	for _, w := range ways {
		t.Run(w.by, func(t *testing.T) {
			c := Start(t, w.Config)
			c.Namespaces("shop", "stage", "lab")
			b := compileAt(t, repository(t, "shop", w.by), time.Time{}).Bundle
			objects := c.ApplyBundle(b)
			if len(objects) == 0 {
				t.Fatal("the bundle has no objects")
			}
			before := c.settled(objects)
			c.ApplyBundle(b)
			for i, o := range c.settled(objects) {
				if was, is := written(before[i]), written(o); !reflect.DeepEqual(was, is) {
					t.Errorf("%s %s was\n%s\nand is after it is applied again\n%s", o.GetKind(), o.GetName(), was, is)
				}
			}
		})
	}
}

// settled reads objects until the status of none changes any more.
func (c *Cluster) settled(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	c.t.Helper()
	var now []*unstructured.Unstructured
	Eventually(c.t, "objects settle", func() error {
		before := now
		now = nil
		for _, o := range objects {
			live, err := c.get(o)
			if err != nil {
				return err
			}
			now = append(now, live)
		}
		if before == nil || !reflect.DeepEqual(before, now) {
			time.Sleep(500 * time.Millisecond) // two readings, and between them time for a controller to write
			return fmt.Errorf("they change")
		}
		return nil
	})
	return now
}

// written is an object without what controllers report in its status: all of the rest is ours.
func written(o *unstructured.Unstructured) string {
	o = o.DeepCopy()
	if _, ok := o.Object["status"]; ok {
		delete(o.Object, "status")
		o.SetResourceVersion("") // counts writes of the status too
		o.SetManagedFields(slices.DeleteFunc(o.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return f.Subresource == "status" }))
	}
	data, err := json.MarshalIndent(o.Object, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(data)
}
