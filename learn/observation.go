// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
)

// maxBytes bounds an object or a parent of a report in bytes: a path of the kernel with its final NUL.
const maxBytes = schema.MaxPath + 1

// maxSet bounds how many workloads one report may name.
const maxSet = 64

// Observation is one behaviour, folded from all its reports. Reports with the same ID are the same behaviour.
type Observation struct {
	ID        string        `json:"id"`        // of the reports, see [schema.NewReportID]
	Workloads []string      `json:"workloads"` // under which it was judged, sorted; at least one
	Verb      schema.Verb   `json:"verb"`
	Object    schema.Path   `json:"object"`
	Origin    schema.Origin `json:"origin,omitempty"`
	Parent    schema.Path   `json:"parent,omitempty"` // "" if not known
	Action    schema.Action `json:"action"`           // what was done with it: learn, audit or deny
	Reason    schema.Reason `json:"reason"`           // of the latest report
	Rule      schema.RuleID `json:"rule"`             // the rule or closure that the latest report names
	Count     uint64        `json:"count"`            // how often; at least 1; stays at its greatest value rather than wrap
	First     time.Time     `json:"first"`            // UTC
	Last      time.Time     `json:"last"`             // UTC
	Latest    Window        `json:"latest"`           // the report that ends at Last
}

// Window is the part of an observation that its latest report brought. A report that repeats it is not counted again.
type Window struct {
	First time.Time `json:"first"` // UTC
	Count uint64    `json:"count"`
}

// observe turns a report into an observation of its own. It says what is wrong with a report that can't be evidence.
func observe(r schema.Report) (Observation, error) {
	if err := foldable(r.Event); err != nil {
		return Observation{}, err
	}
	o := Observation{
		ID: r.ID, Workloads: slices.Clone(r.Verdict.Workloads), Verb: r.Verb, Object: r.Object, Origin: r.Origin, Parent: r.Parent,
		Action: r.Verdict.Action, Reason: r.Verdict.Reason, Rule: r.Verdict.Rule,
		Count: r.Count, First: r.First.UTC().Round(0), Last: r.Last.UTC().Round(0),
		Latest: Window{First: r.First.UTC().Round(0), Count: r.Count},
	}
	return o, o.check()
}

// foldable says why an event is none that an observation can hold. What a connection or a Pod's fields are would be lost, and with it what
// the report's ID is made of.
func foldable(e schema.Event) error {
	switch e.Verb {
	case schema.VerbConnect, schema.VerbRequest, schema.VerbAccept, schema.VerbServe, schema.VerbSet:
		return fmt.Errorf("is of the verb %q, and learning folds no connections and no fields of Pods; it proposes programs (exec) alone", e.Verb)
	case schema.VerbAccess, schema.VerbSigned, schema.VerbPass:
		return fmt.Errorf("is of the verb %q, which rules have and events do not", e.Verb)
	}
	if e.Flow != nil || e.Set != nil {
		return fmt.Errorf("is of the verb %q and holds a connection or a Pod's fields; want neither", e.Verb)
	}
	return nil
}

// check says why an observation, from a report or from a file, can't be one.
func (o *Observation) check() error {
	switch {
	case len(o.Workloads) == 0 || len(o.Workloads) > maxSet:
		return fmt.Errorf("names %d workloads; want 1 to %d", len(o.Workloads), maxSet)
	case !slices.IsSorted(o.Workloads):
		return fmt.Errorf("names the workloads %q, which are not sorted", o.Workloads)
	case o.Verb.Plane() == "":
		return fmt.Errorf("has the verb %q, which is not known", o.Verb)
	case len(o.Object) > maxBytes || len(o.Parent) > maxBytes:
		return fmt.Errorf("has an object of %d and a parent of %d bytes; want at most %d", len(o.Object), len(o.Parent), maxBytes)
	case o.Action != schema.ActionLearn && o.Action != schema.ActionAudit && o.Action != schema.ActionDeny:
		return fmt.Errorf("has the action %q; want learn, audit or deny", o.Action)
	case o.Count == 0 || o.Latest.Count == 0 || o.Latest.Count > o.Count:
		return fmt.Errorf("has a count of %d, the latest %d; want at least 1", o.Count, o.Latest.Count)
	}
	if err := o.checkTimes(); err != nil {
		return err
	}
	if err := foldable(schema.Event{Verb: o.Verb}); err != nil {
		return err
	}
	want := schema.NewReportID(schema.Event{Verb: o.Verb, Object: o.Object, Origin: o.Origin, Parent: o.Parent},
		schema.Verdict{Action: o.Action, Workloads: o.Workloads})
	if o.ID != want {
		return fmt.Errorf("has the ID %q; what it says has %q", o.ID, want)
	}
	return nil
}

// checkTimes keeps times in order, and within the years that JSON can state (RFC 3339).
func (o *Observation) checkTimes() error {
	for _, t := range []time.Time{o.First, o.Last, o.Latest.First} {
		if y := t.Year(); y < 1970 || y > 9999 {
			return fmt.Errorf("has a time in the year %d; want 1970 to 9999", y)
		}
	}
	if o.First.After(o.Last) || o.Latest.First.After(o.Last) || o.Latest.First.Before(o.First) {
		return fmt.Errorf("was first seen %s, lastly from %s, last %s; want that order", o.First, o.Latest.First, o.Last)
	}
	return nil
}

// fold adds b, a report of the same behaviour, to o, and reports whether it brought anything. The result does not depend on the order of
// different reports.
func (o *Observation) fold(b Observation) bool {
	if b.Last.Equal(o.Last) && b.Latest.First.Equal(o.Latest.First) && b.Latest.Count == o.Latest.Count {
		return false
	}
	if o.Count+b.Count < o.Count {
		o.Count = ^uint64(0)
	} else {
		o.Count += b.Count
	}
	if b.First.Before(o.First) {
		o.First = b.First
	}
	if b.later(o) {
		o.Last, o.Latest, o.Reason, o.Rule = b.Last, b.Latest, b.Reason, b.Rule
	}
	return true
}

// later orders reports of one behaviour by when they end, then by everything else, so that the order of folding does not matter.
func (o *Observation) later(p *Observation) bool {
	c := o.Last.Compare(p.Last)
	if c == 0 {
		c = o.Latest.First.Compare(p.Latest.First)
	}
	if c == 0 && o.Latest.Count != p.Latest.Count {
		return o.Latest.Count > p.Latest.Count
	}
	return c > 0
}

// set returns the workloads as one key. Names of workloads hold no NUL.
func (o *Observation) set() string { return strings.Join(o.Workloads, "\x00") }

// maxCandidates is how many observations an error about an ambiguous ID lists.
const maxCandidates = 8

// Find returns the observation whose ID is id or begins with it. The error lists candidates if there is not exactly one.
func Find(observations []Observation, id string) (Observation, error) {
	if id == "" || strings.Trim(id, "0123456789abcdef") != "" || len(id) > 16 {
		return Observation{}, fmt.Errorf("event ID %q: want 1 to 16 lower-case hexadecimal digits, as reports show them", id)
	}
	var found []Observation
	for _, o := range observations {
		if o.ID == id {
			return o, nil
		}
		if strings.HasPrefix(o.ID, id) {
			found = append(found, o)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Observation{}, fmt.Errorf("event ID %q: none of the %d observations has it; %s", id, len(observations), candidates("the latest are", observations))
	}
	return Observation{}, fmt.Errorf("event ID %q: %d observations begin with it; %s", id, len(found), candidates("give more digits of one of", found))
}

// candidates lists observations for an error, the latest first.
func candidates(intro string, found []Observation) string {
	if len(found) == 0 {
		return "no event was reported yet"
	}
	found = slices.Clone(found)
	slices.SortFunc(found, func(a, b Observation) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	var b strings.Builder
	b.WriteString(intro)
	for i, o := range found {
		if i == maxCandidates {
			fmt.Fprintf(&b, " and %d more", len(found)-i)
			break
		}
		fmt.Fprintf(&b, "\n  %s %s %s %s", o.ID, o.Action, o.Verb, plain(string(o.Object), 80))
	}
	return b.String()
}
