// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// Cost is what a policy is predicted to cost.
type Cost struct {
	NodeEntries int   `json:"nodeEntries"` // map entries on one node with a container of every workload on it
	NodeBytes   int64 `json:"nodeBytes"`   // the kernel memory of those
	Objects     int   `json:"objects"`     // admission objects
	ObjectBytes int64 `json:"objectBytes"` // of the largest of these
	// Estimated lists the planes that are counted with one entry for each rule, because no enforcer lays them out yet.
	Estimated []schema.Plane `json:"estimated,omitempty"`
}

// The layout of the exec plane on a node: enforcer/bpf/image.go and exec.h. A test compares the numbers.
const (
	imageCell       = 64 // bytes of one map entry: a header, eight buckets, or a part of a pattern's entry
	imageBucket     = 8
	imageEntryText  = 32 // offset of the text in an entry
	imageInlineText = 32

	// slotEntries are the entries in the maps "programs" and "slots" that one image takes, and their bytes: keys and values of 4 bytes.
	slotEntries = 2
	slotBytes   = 16
	pageBytes   = 4096
)

// Limits of the API server for one object.
const (
	// maxObject is 1 MiB: etcd takes 1.5 MiB (--max-request-bytes), and in JSON with what the API server adds an object is longer than here.
	maxObject = 1 << 20
)

// cost predicts what a policy costs on a node. The admission objects are counted by those who emit them.
func cost(p *schema.Policy) Cost {
	var c Cost
	estimated := map[schema.Plane]bool{}
	add := func(entries int, bytes int64) {
		c.NodeEntries += entries
		c.NodeBytes += bytes
	}
	note := func(rules []schema.Rule) {
		for i := range rules {
			if plane := rules[i].Plane; !plane.Condition() && plane != schema.PlaneExec {
				estimated[plane] = true
			}
		}
	}
	for i := range p.Workloads {
		add(workloadCost(&p.Workloads[i]))
		note(p.Workloads[i].Rules)
	}
	limits := func(rules []schema.Rule) {
		note(rules)
		for i := range rules {
			if plane := rules[i].Plane; !plane.Condition() {
				estimated[plane] = true
				add(estimate(&rules[i]))
			}
		}
	}
	for i := range p.Bounds {
		limits(p.Bounds[i].Never)
	}
	for i := range p.Exceptions {
		limits(p.Exceptions[i].Patch)
	}
	for _, plane := range schema.Planes {
		if estimated[plane] {
			c.Estimated = append(c.Estimated, plane)
		}
	}
	return c
}

// workloadCost predicts the map entries, and their bytes, of one workload on a node that runs it: of exec exactly, of the other planes
// one entry for each rule. A container that several workloads select has one image for their union, which is not more than theirs together
// but for rounding.
func workloadCost(w *schema.Workload) (entries int, bytes int64) {
	if _, closed := w.Closure(schema.PlaneExec); closed {
		cells := imageCells(w)
		entries += cells + slotEntries
		bytes += imageMemory(cells) + slotBytes
	}
	for i := range w.Rules {
		if r := &w.Rules[i]; !r.Plane.Condition() && r.Plane != schema.PlaneExec {
			e, b := estimate(r)
			entries, bytes = entries+e, bytes+b
		}
	}
	return entries, bytes
}

// estimate counts a rule of a plane that no enforcer lays out yet: one entry of the size that an exec rule has.
func estimate(r *schema.Rule) (entries int, bytes int64) {
	return 1, int64(entryCells(r.Object) * imageCell)
}

// imageCells is the number of map entries of the image of a workload's exec plane: the header, buckets for at least twice as many rules, and
// an entry for each rule and parent.
func imageCells(w *schema.Workload) int {
	rules, texts := 0, 0
	for i := range w.Rules {
		r := &w.Rules[i]
		if r.Plane != schema.PlaneExec {
			continue
		}
		rules++
		texts += entryCells(r.Object)
		for _, p := range r.Parents {
			texts += entryCells(p)
		}
	}
	const perCell = imageCell / imageBucket
	buckets := max(perCell, 1<<bits.Len(uint(2*rules)))
	return 1 + buckets/perCell + texts
}

// entryCells is how many cells a pattern takes. Of dir/** the entry holds dir.
func entryCells(pattern string) int {
	text := pattern
	if schema.PatternKind(pattern) == schema.KindDir {
		text = strings.TrimSuffix(pattern, "/**")
	}
	return (imageEntryText + max(len(text), imageInlineText) + imageCell - 1) / imageCell
}

// imageMemory is the kernel memory of an image: an array that can be mapped takes a page for its head and whole pages for its entries
// (array_map_alloc of kernel/bpf/arraymap.c).
func imageMemory(cells int) int64 {
	return pageBytes + int64((cells*imageCell+pageBytes-1)/pageBytes*pageBytes)
}

// overBudget reports what costs more than the budget permits, each at the budget's line, and what no API server takes. A negative budget is
// an error of its own.
func overBudget(b schema.Budget, s stated, nodeEntries int, nodeBytes int64, objects int, largest int64) []Diagnostic {
	var errs []Diagnostic
	for _, f := range []struct {
		name          string
		predicted, at int64
		what, want    string
	}{
		{"nodeEntries", int64(nodeEntries), int64(b.NodeEntries), "map entries on a node", "fewer rules, dir/** for many paths, or a bigger budget"},
		{"nodeBytes", nodeBytes, b.NodeBytes, "bytes of kernel memory on a node", "fewer or shorter rules, or a bigger budget"},
		{"objects", int64(objects), int64(b.Objects), "admission objects", "fewer namespaces with image or pod, or a bigger budget"},
		{"objectBytes", largest, b.ObjectBytes, "bytes in the largest admission object", "fewer image and pod rules in one namespace, shorter reasons, or a bigger budget"},
	} {
		if f.at > 0 && f.predicted > f.at {
			errs = append(errs, s.fail(s.at(f.name), "%s is %d, but the policy is predicted to take %d %s; want %s", f.name, f.at, f.predicted, f.what, f.want))
		}
	}
	if largest > maxObject {
		errs = append(errs, Diagnostic{Msg: fmt.Sprintf("the largest admission object has %d bytes, and an API server takes little more than %d (etcd's limit); want "+
			"fewer image and pod rules in one namespace or without a namespace, shorter reasons, or image patterns such as \"registry.example.com/team/**\" for many images",
			largest, maxObject)})
	}
	return errs
}
