// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldManager is the name under which objects are applied.
const fieldManager = "writ"

// Apply applies objects by server-side apply, in the order given, and then waits until each is in use. A warning of the API server fails the test: an
// object that it warns of would be refused one day, or does not mean what it says.
func (c *Cluster) Apply(objects ...*unstructured.Unstructured) {
	c.t.Helper()
	c.apply(objects)
	c.waitFor(objects, c.inUse)
}

func (c *Cluster) apply(objects []*unstructured.Unstructured) {
	c.t.Helper()
	for _, o := range objects {
		Eventually(c.t, fmt.Sprintf("the API server serves the kind of %s %s", o.GetKind(), o.GetName()), func() error { return c.applyOne(o) })
	}
}

// applyOne returns an error where another attempt may succeed: discovery learns of a new kind a moment after it is established.
func (c *Cluster) applyOne(o *unstructured.Unstructured) error {
	c.t.Helper()
	var unknown error
	answer := c.Try(func(ctx context.Context) error {
		err := c.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o.DeepCopy()), client.FieldOwner(fieldManager), client.ForceOwnership)
		if meta.IsNoMatchError(err) {
			unknown = err
			return nil
		}
		return err
	})
	if answer.Denied != "" || len(answer.Warnings) > 0 {
		c.t.Fatalf("apply %s %s: %s", o.GetKind(), o.GetName(), strings.Join(append(answer.Warnings, answer.Denied), "; "))
	}
	return unknown
}

// waitFor waits until there is nothing to wait for, object by object.
func (c *Cluster) waitFor(objects []*unstructured.Unstructured, why func(*unstructured.Unstructured) error) {
	c.t.Helper()
	for _, o := range objects {
		Eventually(c.t, fmt.Sprintf("%s %s is in use", o.GetKind(), o.GetName()), func() error { return why(o) })
	}
}

// inUse says why what depends on an object cannot count on it yet. Of most kinds there is nothing to wait for.
func (c *Cluster) inUse(o *unstructured.Unstructured) error {
	gvk := o.GroupVersionKind()
	switch {
	case gvk.Kind == "CustomResourceDefinition":
		return c.definitionInUse(o.GetName())
	case gvk.Group == "templates.gatekeeper.sh":
		return c.templateInUse(o)
	case gvk.Group == "constraints.gatekeeper.sh":
		return c.constraintInUse(o)
	}
	return nil
}

// get reads an object anew.
func (c *Cluster) get(o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(o.GroupVersionKind())
	return now, c.Client.Get(c.t.Context(), client.ObjectKeyFromObject(o), now)
}

// definitionInUse asks for one object of the kind, as whoever comes first would.
func (c *Cluster) definitionInUse(name string) error {
	if err := c.established(name); err != nil {
		return err
	}
	crd, err := c.definition(name)
	if err != nil {
		return err
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: crd.Spec.Group, Version: crd.Spec.Versions[0].Name, Kind: crd.Spec.Names.Kind})
	return c.Client.List(c.t.Context(), list, client.Limit(1))
}

func (c *Cluster) definition(name string) (*apiextensionsv1.CustomResourceDefinition, error) {
	o, crd := &unstructured.Unstructured{}, &apiextensionsv1.CustomResourceDefinition{}
	o.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
	if err := c.Client.Get(c.t.Context(), client.ObjectKey{Name: name}, o); err != nil {
		return nil, err
	}
	return crd, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, crd)
}

func (c *Cluster) established(name string) error {
	crd, err := c.definition(name)
	if err != nil {
		return err
	}
	for _, condition := range crd.Status.Conditions {
		if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("it is not established: %v", crd.Status.Conditions)
}

// created says why there can be no constraint of a template yet.
func (c *Cluster) created(o *unstructured.Unstructured) error {
	now, err := c.get(o)
	if err != nil {
		return err
	}
	if created, _, _ := unstructured.NestedBool(now.Object, "status", "created"); !created {
		return fmt.Errorf("status is %v", now.Object["status"])
	}
	kind, _, _ := unstructured.NestedString(now.Object, "spec", "crd", "spec", "names", "kind")
	return c.established(strings.ToLower(kind) + ".constraints.gatekeeper.sh")
}

func (c *Cluster) templateInUse(o *unstructured.Unstructured) error {
	now, err := c.get(o)
	if err != nil {
		return err
	}
	pods, err := c.byPod(now)
	if err != nil {
		return err
	}
	if !observed(now, pods) {
		return fmt.Errorf("status is %v", now.Object["status"])
	}
	return c.created(o)
}

// byPod returns what each Pod of Gatekeeper says of a template or a constraint. That one refuses it is an error, which may pass: Gatekeeper tries again
// when it looked for the kind that it made too early.
func (c *Cluster) byPod(o *unstructured.Unstructured) ([]map[string]any, error) {
	list, _, err := unstructured.NestedSlice(o.Object, "status", "byPod")
	var pods []map[string]any
	for _, pod := range list {
		pod := pod.(map[string]any)
		if problems, _, _ := unstructured.NestedSlice(pod, "errors"); len(problems) > 0 {
			return nil, fmt.Errorf("Gatekeeper refuses %s %s: %v", o.GetKind(), o.GetName(), problems)
		}
		pods = append(pods, pod)
	}
	return pods, err
}

func (c *Cluster) constraintInUse(o *unstructured.Unstructured) error {
	now, err := c.get(o)
	if err != nil {
		return err
	}
	pods, err := c.byPod(now)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		if enforced, _, _ := unstructured.NestedBool(pod, "enforced"); !enforced {
			return fmt.Errorf("status of a Pod of Gatekeeper is %v", pod)
		}
	}
	if !observed(now, pods) {
		return fmt.Errorf("status is %v", now.Object["status"])
	}
	return nil
}

// observed says whether every Pod of Gatekeeper, and one at least, has seen the object as it is now.
func observed(o *unstructured.Unstructured, pods []map[string]any) bool {
	for _, pod := range pods {
		if generation, _, _ := unstructured.NestedInt64(pod, "observedGeneration"); generation != o.GetGeneration() {
			return false
		}
	}
	return len(pods) > 0
}
