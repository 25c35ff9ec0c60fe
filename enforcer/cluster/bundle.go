// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/writ-sec/writ/schema/bundle"
)

// ApplyBundle applies the objects of a bundle in the order that it states, and waits between the stages for what it says, and for nothing else: as an
// operator does. At last it waits until each object is in use. It returns them in that order.
func (c *Cluster) ApplyBundle(b *bundle.Bundle) []*unstructured.Unstructured {
	c.t.Helper()
	order, err := b.Order()
	if err != nil {
		c.t.Fatal(err)
	}
	var all []*unstructured.Unstructured
	for _, stage := range order.Stages {
		var objects []*unstructured.Unstructured
		for _, path := range stage.Objects {
			objects = append(objects, c.open(b, path))
		}
		c.apply(objects)
		c.waitFor(objects, func(o *unstructured.Unstructured) error { return c.ready(stage.Ready, o) })
		all = append(all, objects...)
	}
	c.waitFor(all, c.inUse)
	return all
}

// ready says why a stage that waits for something must wait for an object.
func (c *Cluster) ready(what string, o *unstructured.Unstructured) error {
	switch {
	case what == bundle.ReadyEstablished && o.GetKind() == "CustomResourceDefinition":
		return c.established(o.GetName())
	case what == bundle.ReadyCreated && o.GetKind() == "ConstraintTemplate":
		return c.created(o)
	}
	return nil
}

func (c *Cluster) open(b *bundle.Bundle, path string) *unstructured.Unstructured {
	c.t.Helper()
	data, err := b.Open(path)
	if err != nil {
		c.t.Fatal(err)
	}
	o := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict(data, &o.Object); err != nil {
		c.t.Fatalf("%s: %v", path, err)
	}
	return o
}
