// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"slices"
	"time"

	"github.com/writ-sec/writ/schema"
)

// DiffResults is [Diff] of two compiled policies. Workloads that are the same in both are not read, so a small change of a big policy costs
// what changed. With an instant, what holds then is compared; with the zero Time, dates with both their sides are.
func DiffResults(base, head *Result, at time.Time) (*Difference, error) {
	same, changed, err := sameWorkloads(base.linked, head.linked)
	if err != nil {
		return nil, err
	}
	b, err := base.linked.without(changed)
	if err != nil {
		return nil, err
	}
	h, err := head.linked.without(changed)
	if err != nil {
		return nil, err
	}
	if !at.IsZero() {
		b, h = AsOf(b, at), AsOf(h, at)
		for i := range same {
			same[i].Closures = closuresAsOf(same[i].Closures, at)
		}
	}
	return DiffWorkloads(b, h, same), nil
}

// sameWorkloads returns what is known of the workloads that are the same on both sides, and the names of all others.
func sameWorkloads(base, head *linked) (same []schema.Workload, changed map[string]bool, err error) {
	changed = map[string]bool{}
	for name := range base.where {
		if _, both := head.where[name]; !both {
			changed[name] = true
		}
	}
	for name, at := range head.where {
		h := at.group.made.Workloads[at.i]
		if other, both := base.where[name]; !both || other.group.made.Workloads[other.i].Digest != h.Digest {
			changed[name] = true
			continue
		}
		w := schema.Workload{Name: name, Match: at.group.heads[at.i].match}
		if err := cborNodes.Unmarshal(h.Closed, &w.Closures); err != nil {
			return nil, nil, err
		}
		same = append(same, w)
	}
	slices.SortFunc(same, func(a, b schema.Workload) int { return compareStrings(a.Name, b.Name) })
	return same, changed, nil
}

// without returns the policy with only some of its workloads.
func (l *linked) without(changed map[string]bool) (*schema.Policy, error) {
	ws, err := l.some(changed)
	if err != nil {
		return nil, err
	}
	p := *l.kinds
	p.Workloads = ws
	return &p, nil
}
