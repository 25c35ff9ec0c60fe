// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package manifest reads Kubernetes objects as they stand in a manifest or a review: which Pod an object is or makes, what is set in it, and
// where that stands. What it finds are the events that [schema.Judge] is asked at admission. It imports the standard library and schema only.
//
// An object is what JSON decodes to: maps, slices, strings, booleans, nil, and numbers as float64, int64, int or [encoding/json.Number].
//
// # Decisions
//
// A value of the wrong type, and null, count as not set. An API server refuses such an object before anybody is asked; what reads files instead
// looks at [Pod.Problems] too.
//
// # Bounds
//
// All work is linear in the size of the object, which whoever decodes it bounds. Nothing that decides is cut in silence: labels, images and
// what the Pod itself sets are read whole. The fields of more than [MaxContainers] containers are not read. Such a Pod has a problem, and its
// events fail closed: in each field that containers set, [schema.Unread] stands beside the values, which no rule of a workload permits and each
// rule of a bound forbids, and no capability is dropped. [Pod.Fields], which is there to point at lines, gives at most [MaxPlaces] places of
// each value.
package manifest

import (
	"maps"
	"slices"
	"strings"
)

// Kind names a kind of object. Version is not looked at.
type Kind struct{ Group, Kind string }

// Makers says, for kinds that make Pods, where the Pod's template lies: the fields from the object's root.
type Makers map[Kind][]string

// Builtin returns those of Kubernetes. Whoever has others adds them.
func Builtin() Makers {
	return Makers{
		{"", "PodTemplate"}:           {"template"},
		{"", "ReplicationController"}: {"spec", "template"},
		{"apps", "DaemonSet"}:         {"spec", "template"},
		{"apps", "Deployment"}:        {"spec", "template"},
		{"apps", "ReplicaSet"}:        {"spec", "template"},
		{"apps", "StatefulSet"}:       {"spec", "template"},
		{"batch", "CronJob"}:          {"spec", "jobTemplate", "spec", "template"},
		{"batch", "Job"}:              {"spec", "template"},
	}
}

// KindOf returns the kind that an object says it is.
func KindOf(object map[string]any) Kind {
	version, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	group, _, ok := strings.Cut(version, "/")
	if !ok {
		group = ""
	}
	return Kind{group, kind}
}

// Of returns the Pod that an object is or makes. ok is false for an object of another kind, and for one without a template. The Pod is in the
// namespace that the object names, else in the given one; what the metadata of a template says of that is not looked at, as in Kubernetes.
func (m Makers) Of(object map[string]any, namespace string) (pod Pod, ok bool) {
	kind := KindOf(object)
	path, ok := m[kind]
	if kind == (Kind{"", "Pod"}) {
		path, ok = nil, true
	}
	if !ok {
		return Pod{}, false
	}
	found := object
	for _, name := range path {
		if found, ok = found[name].(map[string]any); !ok {
			return Pod{}, false
		}
	}
	if metadata, _ := object["metadata"].(map[string]any); metadata != nil {
		if own, _ := metadata["namespace"].(string); own != "" {
			namespace = own
		}
	}
	metadata := node{found, nil, &scan{seen: map[string]bool{}}}.object("metadata")
	return Pod{Path: slices.Clone(path), Namespace: namespace, Labels: labels(metadata), Object: found}, true
}

// Items returns the objects of a list (v1 List, PodList, DeploymentList), and whether the object is one. Items that name no kind, as those that an
// API server sends, get the list's. What is no object is left out.
func Items(object map[string]any) ([]map[string]any, bool) {
	kind, isList := strings.CutSuffix(KindOf(object).Kind, "List")
	value, isThere := object["items"]
	list, ok := value.([]any)
	if !isList || !isThere || !ok && value != nil {
		return nil, false
	}
	items := make([]map[string]any, 0, len(list))
	for _, value := range list {
		item, ok := value.(map[string]any)
		if !ok {
			continue
		}
		if named, _ := item["kind"].(string); named == "" && kind != "" {
			item = maps.Clone(item)
			item["apiVersion"], item["kind"] = object["apiVersion"], kind
		}
		items = append(items, item)
	}
	return items, true
}
