// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/writ-sec/writ/schema"
)

// nearTime is how long before a date it is near.
const nearTime = 14 * 24 * time.Hour

// due warns of what is past or near at an instant: exceptions, what benchmarks skip, and planned modes. Dates that are not valid are errors
// of check. of returns an entry as it is stated.
func due(p *schema.Policy, of func(kind, name string) stated, at time.Time) []Diagnostic {
	d := &dates{at: at}
	for i := range p.Exceptions {
		x := &p.Exceptions[i]
		d.ends(of("exception", x.Name), []string{"expires"}, "the exception", x.Expires, "what it excepted is denied again")
	}
	for i := range p.Benchmarks {
		b := &p.Benchmarks[i]
		for _, number := range slices.Sorted(maps.Keys(b.Skip)) {
			d.ends(of("benchmark", b.Name), []string{"skip", number, "expires"}, fmt.Sprintf("skip %q", number), b.Skip[number].Expires, "the check counts again")
		}
	}
	for i := range p.Workloads {
		w := &p.Workloads[i]
		s := of("workload", w.Name)
		for _, c := range w.Closures {
			d.changes(s, modeWay(s, []string{"mode"}, c.Plane), c.Then, c.After)
		}
	}
	for i := range p.Bounds {
		b := &p.Bounds[i]
		d.changes(of("bound", b.Name), []string{"mode"}, b.Then, b.After)
	}
	for i := range p.Responses {
		v := &p.Responses[i]
		d.changes(of("response", v.Name), []string{"mode"}, v.Then, v.After)
	}
	for i := range p.Clusters {
		d.cluster(of("cluster", p.Clusters[i].Name), &p.Clusters[i])
	}
	return sortDiagnostics(d.warnings)
}

type dates struct {
	at       time.Time
	warnings []Diagnostic
}

// cluster looks at the modes that a cluster replaces.
func (d *dates) cluster(s stated, c *schema.Cluster) {
	for _, m := range c.Modes {
		d.changes(s, modeWay(s, []string{"mode"}, m.Plane), m.Then, m.After)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Workloads)) {
		for _, m := range c.Workloads[name] {
			d.changes(s, modeWay(s, []string{"workload", name, "mode"}, m.Plane), m.Then, m.After)
		}
	}
}

// modeWay is where the mode of a plane is stated: by itself, for the network, or for all.
func modeWay(s stated, where []string, p schema.Plane) []string {
	if p == "" {
		return where
	}
	if s.has(way(where, string(p))...) {
		return way(where, string(p))
	}
	if (p == schema.PlaneEgress || p == schema.PlaneIngress) && s.has(way(where, networkMode)...) {
		return way(where, networkMode)
	}
	return where
}

// when says how an instant stands to a date: past, near, or neither.
func (d *dates) when(date schema.Date) (code string, left time.Duration) {
	if date == "" {
		return "", 0
	}
	instant, err := date.Instant()
	if err != nil {
		return "", 0
	}
	left = instant.Sub(d.at)
	switch {
	case left <= 0:
		return codePast, left
	case left <= nearTime:
		return codeNear, left
	}
	return "", left
}

func (d *dates) warn(code string, s stated, where []string, format string, args ...any) {
	w := s.fail(s.at(where...), format, args...)
	w.Code = code
	d.warnings = append(d.warnings, w)
}

// ends looks at something that ends on a date.
func (d *dates) ends(s stated, where []string, what string, date schema.Date, then string) {
	switch code, left := d.when(date); code {
	case codePast:
		d.warn(code, s, where, "%s ended with %s: %s; want it removed, or a later date", what, date, then)
	case codeNear:
		d.warn(code, s, where, "%s ends with %s, in %s: then %s; want it done by then, or a later date", what, date, daysText(left), then)
	}
}

// changes looks at a planned mode.
func (d *dates) changes(s stated, where []string, then schema.Mode, after schema.Date) {
	if then == "" {
		return
	}
	switch code, left := d.when(after); code {
	case codePast:
		d.warn(code, s, way(where, "after"), "%s has been %q since the end of %s; want this one word", dotted(where), then, after)
	case codeNear:
		d.warn(code, s, way(where, "after"), "%s becomes %q after %s, in %s; want the workloads ready by then, or a later date", dotted(where), then, after, daysText(left))
	}
}

// daysText says how long something is left, in whole days or less than one.
func daysText(left time.Duration) string {
	switch days := int(left / (24 * time.Hour)); days {
	case 0:
		return "less than a day"
	case 1:
		return "a day"
	default:
		return fmt.Sprintf("%d days", days)
	}
}
