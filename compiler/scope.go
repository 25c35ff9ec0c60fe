// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"path"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// workloadNamed returns what a reference names: "payments", or "shop/payments" where the workload selects the namespace shop alone. Nil if
// there is none.
func (sc *scope) workloadNamed(ref string) *head {
	if ref == "" {
		return nil
	}
	namespace, name, ok := strings.Cut(ref, "/")
	if !ok {
		return sc.workloads[ref]
	}
	if h := sc.workloads[name]; h != nil && h.match.Namespace == namespace {
		return h
	}
	return nil
}

// folderOwner is the owner of what stands in a folder and names none: of the entry with the longest path that names one.
func (sc *scope) folderOwner(dir string) string {
	for f := sc.given.to(dir); f != nil; f = sc.given.to(path.Dir(f.Path)) {
		if f.Owner != "" {
			return f.Owner
		}
	}
	return ""
}

// clusterModes returns the modes that the cluster replaces in a workload.
func (sc *scope) clusterModes(workload string) []schema.PlaneMode {
	if sc.cluster == nil {
		return nil
	}
	return append(slices.Clone(sc.cluster.Workloads[workload]), sc.cluster.Modes...)
}

// counts reports whether a folder counts in the cluster.
func (sc *scope) counts(dir string) bool {
	return sc.cluster == nil || len(sc.cluster.Folders) == 0 ||
		slices.ContainsFunc(sc.cluster.Folders, func(f string) bool { return isWithin(dir, f) })
}
