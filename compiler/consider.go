// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// Considered is a verdict with everything that was looked at for it.
type Considered struct {
	Event   schema.Event    `json:"event"`
	At      time.Time       `json:"at"` // the instant at which dates were decided
	Verdict schema.Verdict  `json:"verdict"`
	By      *Stated         `json:"by,omitempty"` // what decides; nil: nothing does
	Because string          `json:"because"`      // why, in a sentence
	Others  []Consideration `json:"others"`       // what else was considered, the weightiest first
	More    int             `json:"more,omitempty"`
	Change  *Fix            `json:"change,omitempty"` // what would make it allowed, where it is not; nil if no single line would
}

// Consideration is one thing that was looked at and did not decide.
type Consideration struct {
	Outcome Outcome `json:"outcome"`
	Because string  `json:"because"`
	Stated  Stated  `json:"stated"`
	near    int     // of OutcomeNear: how little is missing, 0 the least
}

// Fix is the line to change.
type Fix struct {
	Pos  schema.Pos `json:"pos"`
	Text string     `json:"text"` // what to do there
}

// Outcome is what became of something that was considered, from a closed vocabulary.
type Outcome string

// The outcomes, the weightiest first, which is the order in which they are told.
const (
	OutcomeForbids    Outcome = "forbids"    // a bound or a patch that forbids it as well
	OutcomeFails      Outcome = "fails"      // a condition that does not hold either
	OutcomeAllows     Outcome = "allows"     // a rule that allows it as well, or a condition that holds
	OutcomeNear       Outcome = "near"       // a rule that nearly allows it
	OutcomeCloses     Outcome = "closes"     // a workload that closes the plane, and of which nothing decides
	OutcomeOpen       Outcome = "open"       // a workload that does not mention the plane
	OutcomeHolds      Outcome = "holds"      // a bound or a patch that holds for the container and does not forbid this
	OutcomeUnknown    Outcome = "unknown"    // a patch of which is not known whether it holds
	OutcomeExpired    Outcome = "expired"    // an exception with a patch, whose last day is past
	OutcomeUnselected Outcome = "unselected" // a workload that nearly selects the container
)

var outcomes = []Outcome{OutcomeForbids, OutcomeFails, OutcomeAllows, OutcomeNear, OutcomeCloses, OutcomeOpen, OutcomeHolds, OutcomeUnknown, OutcomeExpired, OutcomeUnselected}

// maxOthers bounds how much is told of what did not decide: what a screen holds.
const maxOthers = 12

// Consider judges an event and says what else was considered.
func Consider(p *schema.Policy, e schema.Event, at time.Time) *Considered {
	return consider(p, p.Select(e.Subject), e, at)
}

// ConsiderWorkloads is Consider for an event of which the workloads are known rather than the subject, as in a report. A bound counts if
// it is for every container, since the others can't be decided, and no patch does.
func ConsiderWorkloads(p *schema.Policy, workloads []string, e schema.Event, at time.Time) *Considered {
	var sel schema.Selection
	for i := range p.Workloads {
		if slices.Contains(workloads, p.Workloads[i].Name) {
			sel.Workloads = append(sel.Workloads, &p.Workloads[i])
		}
	}
	for i := range p.Bounds {
		if p.Bounds[i].Match.Zero() {
			sel.Bounds = append(sel.Bounds, &p.Bounds[i])
		}
	}
	return consider(p, sel, e, at)
}

func consider(p *schema.Policy, sel schema.Selection, e schema.Event, at time.Time) *Considered {
	c := considerAll(p, sel, e, at)
	out := &Considered{Event: e, At: at, Verdict: c.verdict, By: c.by, Because: c.because(), Others: c.others, Change: c.change(schema.ActionAllow)}
	if len(c.others) > maxOthers {
		out.Others, out.More = c.others[:maxOthers], len(c.others)-maxOthers
	}
	return out
}

// considerAll judges an event and looks at everything.
func considerAll(p *schema.Policy, sel schema.Selection, e schema.Event, at time.Time) *considering {
	c := &considering{policy: p, sel: sel, event: e, at: at, plane: e.Verb.Plane(), verdict: sel.Judge(e, at), others: []Consideration{}}
	if s, ok := findStated(p, sel, c.verdict.Rule); ok {
		c.by = &s
	}
	switch {
	case len(sel.Workloads) == 0:
		c.unselected()
	case c.plane == schema.PlaneImage || c.plane == schema.PlanePod:
		c.conditions()
	default:
		c.closed()
	}
	c.bounds()
	c.patches()
	slices.SortStableFunc(c.others, compareConsiderations)
	return c
}

func compareConsiderations(a, b Consideration) int {
	return cmp.Or(slices.Index(outcomes, a.Outcome)-slices.Index(outcomes, b.Outcome), a.near-b.near, comparePositions(a.Stated.Pos, b.Stated.Pos))
}

// considering is the work of one Consider.
type considering struct {
	policy  *schema.Policy
	sel     schema.Selection
	event   schema.Event
	at      time.Time
	plane   schema.Plane
	verdict schema.Verdict
	by      *Stated
	others  []Consideration
}

func (c *considering) add(o Outcome, s Stated, format string, args ...any) {
	c.others = append(c.others, Consideration{Outcome: o, Because: fmt.Sprintf(format, args...), Stated: s})
}

// reasonWords says in a sentence why a verdict is what it is; %s is the plane.
var reasonWords = map[schema.Reason]string{
	"rule":         "a rule allows it",
	"holds":        "every condition on the Pod holds",
	"builtin":      "it holds without a line of policy",
	"open":         "no workload of this container mentions %s, so it is open",
	"uncovered":    "no workload selects this container",
	"no-rule":      "%s is closed and no rule names it",
	"parent":       "the rule names the program, but not for this caller",
	"read-only":    "the rule names the file, but for reading alone",
	"port":         "the rule names the peer, but another port or protocol",
	"request":      "the rule names the peer and the port, but other requests",
	"peer-unknown": "nobody knows which Pod has the address, so no rule can name it",
	"origin":       "it was reached in a way that leaves no path that a rule could allow",
	"reference":    "the image reference does not parse",
	"signer":       "no signer that the workload names is known to have signed the image",
	"gate":         "the image is not known to pass the gate",
	"field":        "the Pod has a value that is not permitted",
	"bound":        "a bound forbids it",
	"require":      "a bound demands that a workload selects every Pod",
	"patch":        "a virtual patch forbids it",
}

// because says why the verdict is what it is. A reason that is not known here is told by its word.
func (c *considering) because() string {
	words := reasonWords[c.verdict.Reason]
	if words == "" {
		words = string(c.verdict.Reason)
	}
	words = strings.ReplaceAll(words, "%s", string(c.plane))
	if c.plane.Condition() && c.verdict.Reason == schema.ReasonNoRule {
		words = "no rule of the workload permits the image"
	}
	if c.by != nil && c.by.Workload == "" && c.by.Kind != bundle.KindBuiltin && c.by.Why != "" {
		words += ": " + escape(c.by.Why)
	}
	return words
}

// closed looks at the union of workloads on a plane that is closed by mention.
func (c *considering) closed() {
	for _, w := range c.sel.Workloads {
		closure, ok := w.Closure(c.plane)
		if !ok {
			c.add(OutcomeOpen, c.workload(w), "it does not mention %s", c.plane)
			continue
		}
		if c.by == nil || c.by.Workload != w.Name {
			c.add(OutcomeCloses, closureStated(w, &closure), "it closes %s, in mode %s", c.plane, DescribeMode(closure.Mode, closure.Then, closure.After))
		}
		for i := range w.Rules {
			if r := &w.Rules[i]; r.Plane == c.plane && r.ID != c.verdict.Rule {
				c.rule(w, r)
			}
		}
	}
}

// rule looks at a rule of a closed plane that does not decide.
func (c *considering) rule(w *schema.Workload, r *schema.Rule) {
	if allows(*r, c.event, c.at) {
		c.add(OutcomeAllows, ruleStated(w, r), "it allows it%s", also(c.verdict.Action))
		return
	}
	if miss, ok := nearMiss(*r, c.event, c.at); ok {
		c.others = append(c.others, Consideration{OutcomeNear, miss.text, ruleStated(w, r), miss.missing})
	}
}

// also marks what another rule does that does not decide.
func also(a schema.Action) string {
	if a == schema.ActionAllow {
		return " as well"
	}
	return ""
}

// workload is a workload as something stated.
func (c *considering) workload(w *schema.Workload) Stated {
	t := bundle.RuleTable{Workload: w.Name, Owner: w.Owner, Match: w.Match, Pos: w.Pos}
	for i := range w.Closures {
		t.Entries = append(t.Entries, closureEntry(&w.Closures[i]))
	}
	for i := range w.Rules {
		t.Entries = append(t.Entries, bundle.RuleEntry{Verb: w.Rules[i].Verb})
	}
	return StatedWorkload(&t)
}

// conditions looks at each workload of an image or a Pod: all of them must be met.
func (c *considering) conditions() {
	for _, w := range c.sel.Workloads {
		closure, ok := w.Closure(c.plane)
		if !ok {
			c.add(OutcomeOpen, c.workload(w), "it states no condition on %s", c.plane)
			continue
		}
		v := schema.JudgeWorkloads([]*schema.Workload{w}, c.event, c.at)
		met := v.Action == schema.ActionAllow
		if s, ok := statedByWorkload(w, v.Rule); ok && v.Rule != c.verdict.Rule {
			if met {
				c.add(OutcomeAllows, s, "its conditions are met")
			} else {
				c.add(OutcomeFails, s, "%s", (&considering{verdict: v, plane: c.plane}).because())
			}
		}
		for i := range w.Rules {
			if r := &w.Rules[i]; r.Plane == c.plane && r.ID != v.Rule && r.ID != c.verdict.Rule {
				c.condition(w, &closure, r, met)
			}
		}
	}
}

// condition looks at one condition that does not decide for its workload. One of several that suffice is near rather than failing.
func (c *considering) condition(w *schema.Workload, closure *schema.Closure, r *schema.Rule, met bool) {
	holds := allows(*r, c.event, c.at)
	switch {
	case c.plane == schema.PlanePod && !holds:
		c.add(OutcomeFails, ruleStated(w, r), "the Pod has %s", either(c.event.Set[schema.PodField(r.Object)]))
	case c.plane == schema.PlanePod || !closure.Names(r.Verb):
		return
	case holds && r.Verb == schema.VerbRun:
		c.add(OutcomeAllows, ruleStated(w, r), "it permits the image as well")
	case holds || met:
		return
	case r.Verb == schema.VerbRun:
		if miss, ok := nearMiss(*r, c.event, c.at); ok {
			c.others = append(c.others, Consideration{OutcomeNear, miss.text, ruleStated(w, r), miss.missing})
		}
	case r.Verb == schema.VerbSigned:
		c.others = append(c.others, Consideration{OutcomeNear, "the image is not known to be signed by it", ruleStated(w, r), 2})
	default:
		c.add(OutcomeFails, ruleStated(w, r), "the image is not known to pass it")
	}
}

// bounds looks at the bounds that hold for the container.
func (c *considering) bounds() {
	for _, b := range c.sel.Bounds {
		c.limits(boundEntries(b), b.Never, "in mode "+DescribeMode(b.Mode, b.Then, b.After))
	}
}

// patches looks at the virtual patches for the image that runs; where it is not known, at those that might hold.
func (c *considering) patches() {
	for _, x := range c.sel.Patches {
		switch {
		case !x.Expires.Passed(c.at):
			c.limits(exceptionEntries(x), x.Patch, through(x.Expires))
		case slices.ContainsFunc(x.Patch, func(r schema.Rule) bool { return r.Plane == c.plane }):
			c.add(OutcomeExpired, entryStated(exceptionEntries(x)[0]), "it stood %s", through(x.Expires))
		}
	}
	if c.event.Subject.Image != "" {
		return
	}
	for i := range c.policy.Exceptions {
		x := &c.policy.Exceptions[i]
		for _, r := range x.Patch {
			if r.Plane == c.plane && !x.Expires.Passed(c.at) && forbids(r, c.event, c.at) {
				s, _ := statedAmong(exceptionEntries(x), r.ID)
				c.add(OutcomeUnknown, s, "it forbids it where such an image runs, and the event does not say which image does")
			}
		}
	}
}

// limits looks at what a bound or an exception forbids; entries are those of its table, itself first.
func (c *considering) limits(entries []bundle.RuleEntry, rules []schema.Rule, how string) {
	speaks, forbidden := 0, false
	for _, r := range rules {
		if r.Plane != c.plane {
			continue
		}
		speaks++
		if !forbids(r, c.event, c.at) {
			continue
		}
		forbidden = true
		if s, ok := statedAmong(entries, r.ID); ok && r.ID != c.verdict.Rule {
			c.add(OutcomeForbids, s, "it forbids it, %s", how)
		}
	}
	if speaks > 0 && !forbidden {
		c.add(OutcomeHolds, entryStated(entries[0]), "it forbids %s of %s, and not this", countOf(speaks, "object"), c.plane)
	}
}
