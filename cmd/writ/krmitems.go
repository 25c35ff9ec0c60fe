// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"sigs.k8s.io/kustomize/kyaml/kio/kioutil"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/writ-sec/writ/compiler/admission"
	"github.com/writ-sec/writ/schema/bundle"
)

// generated returns the items with the objects of a bundle in the order in which they are applied, where the first of ours stood, or last. Items
// of ours that the bundle has not are left out, and one that it has stays as it is, comments and all, in its file. All others are not touched.
func generated(items []*yaml.RNode, b *bundle.Bundle) ([]*yaml.RNode, error) {
	made, err := krmObjects(b)
	if err != nil {
		return nil, err
	}
	old := map[identity]*yaml.RNode{}
	var others []*yaml.RNode
	at := -1
	for _, item := range items {
		if !admission.Ours(item.GetLabels(), item.GetAnnotations()) {
			others = append(others, item)
			continue
		}
		if at < 0 {
			at = len(others)
		}
		if id := identityOf(item); old[id] == nil {
			old[id] = item
		}
	}
	if at < 0 {
		at = len(others)
	}
	for i, node := range made {
		if made[i], err = kept(old[identityOf(node)], node); err != nil {
			return nil, err
		}
	}
	return slices.Insert(others, at, made...), nil
}

// identity is what tells objects of a cluster apart.
type identity struct{ group, kind, namespace, name string }

func identityOf(n *yaml.RNode) identity {
	group, _ := splitAPIVersion(n.GetApiVersion())
	return identity{group, n.GetKind(), n.GetNamespace(), n.GetName()}
}

func splitAPIVersion(s string) (group, version string) {
	for i := range s {
		if s[i] == '/' {
			return s[:i], s[i+1:]
		}
	}
	return "", s
}

// kept returns the item that is there if it is what is made, and else what is made, in the item's place. The notes of the program that runs
// functions stay, so that it puts the comments back.
func kept(have, made *yaml.RNode) (*yaml.RNode, error) {
	if have == nil {
		return made, nil
	}
	same, err := sameObject(have, made)
	if err != nil || same {
		return have, err
	}
	notes := have.GetAnnotations()
	maps.DeleteFunc(notes, func(k, _ string) bool { return !runnersOwn(k) })
	if notes[kioutil.PathAnnotation] != "" || notes[legacyPath] != "" {
		for k := range fileAnnotations("") {
			if err := made.PipeE(yaml.ClearAnnotation(k)); err != nil {
				return nil, err
			}
		}
	}
	return made, annotate(made, notes)
}

// sameObject compares objects but for such notes.
func sameObject(a, b *yaml.RNode) (bool, error) {
	x, err := withoutNotes(a)
	if err != nil {
		return false, err
	}
	y, err := withoutNotes(b)
	return reflect.DeepEqual(x, y), err
}

func withoutNotes(n *yaml.RNode) (map[string]any, error) {
	data, err := n.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	meta, _ := v["metadata"].(map[string]any)
	annotations, _ := meta["annotations"].(map[string]any)
	maps.DeleteFunc(annotations, func(k string, _ any) bool { return runnersOwn(k) })
	return v, nil
}

// The words of older programs, which some still read alone.
const (
	legacyPath  = "config.kubernetes.io/path"
	legacyIndex = "config.kubernetes.io/index"
)

// fileAnnotations says in which file an object is to stand, in the present words and those of older programs.
func fileAnnotations(path string) map[string]string {
	return map[string]string{kioutil.PathAnnotation: path, kioutil.IndexAnnotation: "0", legacyPath: path, legacyIndex: "0"}
}

func annotate(n *yaml.RNode, annotations map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		if err := n.PipeE(yaml.SetAnnotation(k, annotations[k])); err != nil {
			return err
		}
	}
	return nil
}
