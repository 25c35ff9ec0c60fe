// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"slices"
	"strings"
	"time"
)

// Action is what an enforcer does with an event.
type Action string

// The actions.
const (
	ActionAllow Action = "allow" // a rule allows it, or nothing forbids it
	ActionLearn Action = "learn" // no rule allows it; it happens and is marked as new
	ActionAudit Action = "audit" // no rule allows it; it happens and is reported
	ActionDeny  Action = "deny"  // no rule allows it; it does not happen
)

// Reason is why a verdict is what it is, from a closed vocabulary.
type Reason string

// The reasons.
const (
	ReasonRule      Reason = "rule"      // Rule allows it
	ReasonOpen      Reason = "open"      // no workload of this container mentions the plane
	ReasonUncovered Reason = "uncovered" // no workload selects the container
	ReasonNoRule    Reason = "no-rule"   // the plane is closed and no rule names the object
	ReasonParent    Reason = "parent"    // Rule names the object, but for another caller
	ReasonOrigin    Reason = "origin"    // the object has no path that a rule could allow
	ReasonReference Reason = "reference" // the image reference does not parse
)

// Verdict is the answer to an event.
type Verdict struct {
	Action    Action   `json:"action"`
	Reason    Reason   `json:"reason"`
	Rule      RuleID   `json:"rule"`                // the rule or closure that decides; zero if none does
	Workloads []string `json:"workloads,omitempty"` // the workloads that were judged, sorted
}

// Judge is the meaning of policy: what p says of e. It is the reference for every enforcer. It has no state and no clock; at is
// the instant at which dated rules are decided, and no rule of this version has a date.
//
// The workloads that select the event's subject act as one: the plane is closed if one closes it, the mode is the strictest,
// the rules are the union. Of several rules that allow an event, the one that decides is the first by [CompareSpecific]; of several
// closures that deny it, the strictest, then the one with the lowest ID.
func Judge(p *Policy, e Event, at time.Time) Verdict {
	var selected []*Workload
	for i := range p.Workloads {
		if p.Workloads[i].Match.Selects(e.Subject) {
			selected = append(selected, &p.Workloads[i])
		}
	}
	return JudgeWorkloads(selected, e, at)
}

// JudgeWorkloads is [Judge] for a container whose workloads are known already; the event's subject is not read.
func JudgeWorkloads(selected []*Workload, e Event, _ time.Time) Verdict {
	v := Verdict{Action: ActionAllow, Reason: ReasonUncovered}
	for _, w := range selected {
		v.Workloads = append(v.Workloads, w.Name)
	}
	slices.Sort(v.Workloads)
	if len(selected) == 0 {
		return v
	}
	switch e.Verb.Plane() {
	case PlaneExec:
		judgeExec(&v, selected, e)
	case PlaneImage:
		judgeImage(&v, selected, e)
	default:
		v.Reason = ReasonOpen
	}
	return v
}

// judgeExec decides on a closed plane: one matching rule of any workload suffices.
func judgeExec(v *Verdict, selected []*Workload, e Event) {
	closure, closed := unite(selected, PlaneExec)
	if !closed {
		v.Reason = ReasonOpen
		return
	}
	v.Action, v.Reason, v.Rule = closure.Mode.action(), ReasonNoRule, closure.ID
	if e.Origin != OriginPath {
		v.Reason = ReasonOrigin
		return
	}
	for _, r := range sortedRules(selected, PlaneExec) {
		if !MatchPath(r.Object, string(e.Object)) {
			continue
		}
		if r.allowsParent(string(e.Parent)) {
			v.Action, v.Reason, v.Rule = ActionAllow, ReasonRule, r.ID
			return
		}
		if v.Reason == ReasonNoRule {
			v.Reason, v.Rule = ReasonParent, r.ID // the most specific near miss is what the reader wants to see
		}
	}
}

// judgeImage decides on a condition: each workload that names images must have one that matches.
func judgeImage(v *Verdict, selected []*Workload, e Event) {
	v.Reason = ReasonOpen
	ref, err := ParseImage(string(e.Object))
	for _, w := range byStrictness(selected, PlaneImage) {
		closure, _ := w.Closure(PlaneImage)
		rule, ok := Rule{}, false
		if err == nil {
			rule, ok = matchImage(w, ref)
		}
		if !ok {
			v.Action, v.Reason, v.Rule = closure.Mode.action(), ReasonNoRule, closure.ID
			if err != nil {
				v.Reason = ReasonReference
			}
			return
		}
		if v.Reason != ReasonRule {
			v.Reason, v.Rule = ReasonRule, rule.ID
		}
	}
}

func matchImage(w *Workload, ref Image) (Rule, bool) {
	for _, r := range sortedRules([]*Workload{w}, PlaneImage) {
		if pattern, err := ParseImagePattern(r.Object); err == nil && pattern.Matches(ref) {
			return r, true
		}
	}
	return Rule{}, false
}

// unite returns the closure that decides for a plane: the strictest, then the one with the lowest ID.
func unite(selected []*Workload, p Plane) (Closure, bool) {
	ws := byStrictness(selected, p)
	if len(ws) == 0 {
		return Closure{}, false
	}
	c, _ := ws[0].Closure(p)
	return c, true
}

// byStrictness returns the workloads that mention a plane, the one whose closure decides first.
func byStrictness(selected []*Workload, p Plane) []*Workload {
	var ws []*Workload
	for _, w := range selected {
		if _, ok := w.Closure(p); ok {
			ws = append(ws, w)
		}
	}
	slices.SortFunc(ws, func(a, b *Workload) int {
		ca, _ := a.Closure(p)
		cb, _ := b.Closure(p)
		if d := cb.Mode.strictness() - ca.Mode.strictness(); d != 0 {
			return d
		}
		return compareID(ca.ID, cb.ID)
	})
	return ws
}

// sortedRules returns the rules of a plane in the order in which they are tried.
func sortedRules(selected []*Workload, p Plane) []Rule {
	var rules []Rule
	for _, w := range selected {
		for _, r := range w.Rules {
			if r.Plane == p {
				rules = append(rules, r)
			}
		}
	}
	slices.SortFunc(rules, CompareSpecific)
	return rules
}

func (r Rule) allowsParent(parent string) bool {
	if len(r.Parents) == 0 {
		return true
	}
	return parent != "" && slices.ContainsFunc(r.Parents, func(p string) bool { return MatchPath(p, parent) })
}

// action is what a closed plane does with an event that no rule allows. An unknown mode denies.
func (m Mode) action() Action {
	switch m {
	case ModeLearn:
		return ActionLearn
	case ModeAudit:
		return ActionAudit
	}
	return ActionDeny
}

// CompareSpecific orders rules from the most specific to the least, which is the order in which enforcers try them: exact
// objects, then directories (dir/**) from the longest to the shortest, then all other patterns from the longest to the
// shortest; ties by object, then by ID.
func CompareSpecific(a, b Rule) int {
	ka, kb := PatternKind(a.Object), PatternKind(b.Object)
	if ka != kb {
		return int(ka) - int(kb)
	}
	if d := len(b.Object) - len(a.Object); d != 0 {
		return d
	}
	if d := strings.Compare(a.Object, b.Object); d != 0 {
		return d
	}
	return compareID(a.ID, b.ID)
}

func compareID(a, b RuleID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
