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
	KindPolicy   Kind = "policy"   // what no workload states: Name is [bundle.File]'s below policy/, such as "bounds", or [OtherEntries]
	KindObject   Kind = "object"   // an object for the Kubernetes API server; Name is its file in the bundle, without folder and ending
	KindFile     Kind = "file"     // any other file of the bundle; Name is its path
)

// OtherEntries stands for entries of the policy beside workloads of which only what people read has changed, or which nothing enforces:
// bounds, gates, folders, tests and so on. A bundle holds what people read of them all in one file.
const OtherEntries = "entries beside workloads"

// Change is one difference between the bundle that was in force and the one that now is.
type Change struct {
	Action Action `json:"action"`
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`
}

// String returns "changed workload payments", or "changed bounds".
func (c Change) String() string {
	if c.Kind == KindPolicy {
		return string(c.Action) + " " + c.Name
	}
	return string(c.Action) + " " + string(c.Kind) + " " + c.Name
}

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
	changes = settleEntries(changes)
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(-strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Name, b.Name)) // workloads first
	})
	return changes
}

// settleEntries leaves out that entries beside workloads were reworded where one kind of them has changed, which rewords them too. Their coming and
// going as a whole is told by the kinds.
func settleEntries(changes []Change) []Change {
	told := slices.ContainsFunc(changes, func(c Change) bool { return c.Kind == KindPolicy && c.Name != OtherEntries })
	var out []Change
	for _, c := range changes {
		if c.Kind == KindPolicy && c.Name == OtherEntries {
			if told {
				continue
			}
			c.Action = Reworded
		}
		out = append(out, c)
	}
	return out
}

// comeAndGone returns the changes that do not depend on how files are written: what was not there before, and what is not there any more.
func comeAndGone(changes []Change) []Change {
	return slices.DeleteFunc(changes, func(c Change) bool { return c.Action != Added && c.Action != Removed })
}

func parts(files []bundle.File) map[partKey]part {
	m := make(map[partKey]part, len(files))
	for _, f := range files {
		dir, base := path.Split(f.Path)
		name := strings.TrimSuffix(base, path.Ext(base))
		key := partKey{KindFile, f.Path}
		switch dir := strings.TrimSuffix(dir, "/"); {
		case f.Path == bundle.PolicyTable:
			key = partKey{KindPolicy, OtherEntries}
		case dir == bundle.RulesDir, dir == bundle.NodeDir, dir == bundle.NetworkDir:
			key = partKey{KindWorkload, name}
		case dir == bundle.PolicyDir:
			key = partKey{KindPolicy, name}
		case dir == bundle.AdmissionDir && f.Path != bundle.OrderPath, dir == bundle.NetworkDir:
			key = partKey{KindObject, name}
		}
		p := m[key]
		if dir == bundle.RulesDir+"/" {
			p.told = f.Digest
		} else {
			p.enforced += f.Digest // of a workload in the kernel and in the network
		}
		m[key] = p
	}
	return m
}
