// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"maps"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// cluster checks a target of the repository.
func (r *report) cluster(v *schema.Cluster) {
	r.owner(nil, v.Owner)
	r.reason(v.Why)
	for _, dir := range v.Folders {
		if r.sc.folders[dir] || slices.ContainsFunc(r.sc.folders.sorted(), func(d string) bool { return below(d, dir) }) {
			continue
		}
		near := "; want the path of a folder that holds policy files"
		if n := nearest(dir, r.sc.folders.sorted()); n != "" {
			near = "; did you mean \"" + n + "\"?"
		}
		r.fail([]string{"folders", dir}, "folder %.200q does not exist%s", dir, near)
	}
	r.clusterModes([]string{"mode"}, v.Modes, func(schema.Plane) bool { return true }, "")
	for _, ref := range slices.Sorted(maps.Keys(v.Workloads)) {
		at := []string{"workload", ref}
		h := r.workload(at, "workload", ref)
		if h == nil {
			continue
		}
		r.clusterModes(way(at, "mode"), v.Workloads[ref], func(p schema.Plane) bool { return slices.Contains(h.planes, p) }, ref)
		if len(v.Folders) > 0 && !slices.ContainsFunc(v.Folders, func(dir string) bool { return below(h.folder, dir) }) {
			r.warn(codeNoEffect, at, "workload %q has no effect: it stands in folder %q, which does not count in this cluster; want the folder in \"folders\"", ref, h.folder)
		}
	}
}

// clusterModes checks modes that replace those of workloads.
func (r *report) clusterModes(where []string, modes []schema.PlaneMode, mentioned func(schema.Plane) bool, workload string) {
	r.modesAt(where, mentioned, func(at []string, value string, missing []string) {
		r.fail(at, "%s is %s, but workload %s does not mention %s; want a plane that it mentions", dotted(at), value, workload, strings.Join(missing, " or "))
	})
	if r.s.node != nil {
		return
	}
	for _, m := range modes {
		r.planned(where, m.Mode, m.Then, m.After)
	}
}
