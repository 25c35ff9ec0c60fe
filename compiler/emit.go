// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"path"
	"reflect"
	"strings"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// emitWorkload returns the files of one workload but its policy of the network, which depends on others too. It reads nothing but the
// lowered workload.
func emitWorkload(w *schema.Workload) map[string][]byte {
	files := map[string][]byte{bundle.RulesDir + "/" + w.Name + ".json": bundle.Encode(WorkloadTable(w))}
	if node, ok := nodePart(w); ok {
		files[bundle.NodeDir+"/"+w.Name+".json"] = bundle.Encode(node)
	}
	return files
}

// workloadOfFile returns the workload that a file of the bundle is made of.
func workloadOfFile(name string) (string, bool) {
	dir, file := path.Split(name)
	if networkFile(name) {
		return strings.CutSuffix(file, ".yaml")
	}
	workload, ok := strings.CutSuffix(file, ".json")
	return workload, ok && (dir == bundle.RulesDir+"/" || dir == bundle.NodeDir+"/")
}

// networkFile reports whether a file of the bundle is a policy of the network.
func networkFile(name string) bool { return strings.HasPrefix(name, bundle.NetworkDir+"/") }

// nodePart returns what a node puts in force: the exec plane, without what only people read, so that moving a line or rewording a reason
// rewrites nothing. A workload that does not mention exec has no such part. The whole match stays: a node selects by it.
func nodePart(w *schema.Workload) (schema.Workload, bool) {
	c, ok := w.Closure(schema.PlaneExec)
	if !ok {
		return schema.Workload{}, false
	}
	c.Pos = nil
	node := schema.Workload{Name: w.Name, Match: w.Match, Shared: w.Shared, Closures: []schema.Closure{c}}
	for _, r := range w.Rules {
		if r.Plane == schema.PlaneExec {
			r.Pos, r.Why = nil, ""
			node.Rules = append(node.Rules, r)
		}
	}
	return node, true
}

// emitKinds returns the parts of the bundle that hold everything but workloads, each without positions. What is empty has no file.
func emitKinds(stated *schema.Policy) map[string][]byte {
	files := map[string][]byte{}
	p := schema.Unplaced(*stated)
	for name, list := range map[string]any{
		"bounds": p.Bounds, "gates": p.Gates, "exceptions": p.Exceptions, "signers": p.Signers, "registries": p.Registries,
		"responses": p.Responses, "notify": p.Notify, "benchmarks": p.Benchmarks, "checks": p.Checks,
	} {
		if reflect.ValueOf(list).Len() > 0 {
			files[bundle.PolicyDir+"/"+name+".json"] = bundle.Encode(list)
		}
	}
	if t := PolicyTable(stated); len(t.Entries) > 0 {
		files[bundle.PolicyTable] = bundle.Encode(t)
	}
	return files
}
