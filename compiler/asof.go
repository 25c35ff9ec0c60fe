// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"maps"
	"slices"
	"time"

	"github.com/writ-sec/writ/schema"
)

// AsOf returns what a policy says at one instant: planned modes are decided, and exceptions and skipped checks that have ended are gone. The
// policy itself stays as it is. Judged at that instant, both say the same.
func AsOf(p *schema.Policy, at time.Time) *schema.Policy {
	q := *p
	q.Workloads = slices.Clone(p.Workloads)
	for i := range q.Workloads {
		q.Workloads[i].Closures = closuresAsOf(q.Workloads[i].Closures, at)
	}
	q.Bounds = slices.Clone(p.Bounds)
	for i := range q.Bounds {
		b := &q.Bounds[i]
		b.Mode, b.Then, b.After = b.ModeAt(at), "", ""
	}
	q.Responses = slices.Clone(p.Responses)
	for i := range q.Responses {
		r := &q.Responses[i]
		r.Mode, r.Then, r.After = modeAsOf(r.Mode, r.Then, r.After, at), "", ""
	}
	q.Clusters = slices.Clone(p.Clusters)
	for i := range q.Clusters {
		c := &q.Clusters[i]
		c.Modes = modesAsOf(c.Modes, at)
		c.Workloads = maps.Clone(c.Workloads)
		for name, modes := range c.Workloads {
			c.Workloads[name] = modesAsOf(modes, at)
		}
	}
	q.Exceptions = keep(p.Exceptions, func(x *schema.Exception) bool { return !x.Expires.Passed(at) })
	q.Benchmarks = slices.Clone(p.Benchmarks)
	for i := range q.Benchmarks {
		b := &q.Benchmarks[i]
		b.Skip = maps.Clone(b.Skip)
		maps.DeleteFunc(b.Skip, func(_ string, s schema.Skip) bool { return s.Expires.Passed(at) })
	}
	return &q
}

func closuresAsOf(all []schema.Closure, at time.Time) []schema.Closure {
	all = slices.Clone(all)
	for i := range all {
		c := &all[i]
		c.Mode, c.Then, c.After = c.ModeAt(at), "", ""
	}
	return all
}

func modesAsOf(all []schema.PlaneMode, at time.Time) []schema.PlaneMode {
	all = slices.Clone(all)
	for i := range all {
		m := &all[i]
		m.Mode, m.Then, m.After = modeAsOf(m.Mode, m.Then, m.After, at), "", ""
	}
	return all
}

func modeAsOf(now, then schema.Mode, after schema.Date, at time.Time) schema.Mode {
	c := schema.Closure{Mode: now, Then: then, After: after}
	return c.ModeAt(at)
}
