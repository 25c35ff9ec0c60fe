// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema/bundle"
)

// Action is what happens to a part of the policy, from a closed vocabulary.
type Action string

// The actions.
const (
	Added    Action = "added"
	Changed  Action = "changed"
	Reworded Action = "reworded" // what is enforced stays; its lines, reasons or owner changed
	Removed  Action = "removed"
)

// Kind is what a [Change] speaks of.
type Kind string

// The kinds.
const (
	KindWorkload Kind = "workload" // Name is the workload's
	KindObject   Kind = "object"   // an object for the Kubernetes API server; Name is its file in the bundle, without folder and ending
	KindFile     Kind = "file"     // any other file of the bundle; Name is its path
)

// Change is one difference between the bundle that was in force and the one that now is.
type Change struct {
	Action Action `json:"action"`
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`
}

// String returns "changed workload payments".
func (c Change) String() string { return string(c.Action) + " " + string(c.Kind) + " " + c.Name }

// part is one workload, object or other file, with the digests of the files it is made of.
type part struct {
	enforced string // digest of what an enforcer reads
	told     string // digest of what only people read
}

type partKey struct {
	kind Kind
	name string
}

// Diff compares two bundles by the digests of their files, sorted by kind and name. No files mean that nothing was in force.
func Diff(before, after []bundle.File) []Change {
	old, now := parts(before), parts(after)
	var changes []Change
	for key, n := range now {
		o, was := old[key]
		switch {
		case !was:
			changes = append(changes, Change{Added, key.kind, key.name})
		case o.enforced != n.enforced:
			changes = append(changes, Change{Changed, key.kind, key.name})
		case o.told != n.told:
			changes = append(changes, Change{Reworded, key.kind, key.name})
		}
	}
	for key := range old {
		if _, is := now[key]; !is {
			changes = append(changes, Change{Removed, key.kind, key.name})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(-strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Name, b.Name)) // workloads first
	})
	return changes
}

func parts(files []bundle.File) map[partKey]part {
	m := make(map[partKey]part, len(files))
	for _, f := range files {
		dir, base := path.Split(f.Path)
		name := strings.TrimSuffix(base, path.Ext(base))
		key := partKey{KindFile, f.Path}
		switch strings.TrimSuffix(dir, "/") {
		case bundle.RulesDir, bundle.NodeDir:
			key = partKey{KindWorkload, name}
		case bundle.AdmissionDir:
			key = partKey{KindObject, name}
		}
		p := m[key]
		if dir == bundle.RulesDir+"/" {
			p.told = f.Digest
		} else {
			p.enforced = f.Digest
		}
		m[key] = p
	}
	return m
}
