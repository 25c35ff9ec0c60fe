// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"path"
	"slices"
	"strings"
	"time"
)

// judgeImage decides on conditions: each workload that mentions images must have each condition hold that it names.
func judgeImage(v *Verdict, selected []*Workload, e *Event, at time.Time) {
	v.Reason = ReasonOpen
	ref, err := ParseImage(string(e.Object))
	for _, w := range byStrictness(selected, PlaneImage, at) {
		closure, _ := w.Closure(PlaneImage)
		rule, reason := RuleID(0), ReasonReference
		if err == nil {
			rule, reason = w.admits(&closure, e, ref)
		}
		if reason != ReasonRule {
			v.Action, v.Reason, v.Rule = closure.ModeAt(at).action(), reason, orClosure(rule, &closure)
			return
		}
		if v.Reason == ReasonOpen {
			v.Reason, v.Rule = ReasonRule, orClosure(rule, &closure)
		}
	}
}

func orClosure(rule RuleID, c *Closure) RuleID {
	if rule == 0 {
		return c.ID
	}
	return rule
}

// admits tests the conditions that a workload names. It returns the rule by which the first of them holds, with [ReasonRule], or the rule
// that does not hold, if there is one, with the reason.
func (w *Workload) admits(c *Closure, e *Event, ref Image) (RuleID, Reason) {
	first := RuleID(0)
	for _, verb := range []Verb{VerbRun, VerbSigned, VerbPass} {
		if !c.Names(verb) {
			continue
		}
		rule, reason := w.condition(verb, e, ref)
		if reason != ReasonRule {
			return rule, reason
		}
		if first == 0 {
			first = rule
		}
	}
	return first, ReasonRule
}

// condition tests one condition. Of patterns and signers one suffices, of gates each must be passed; without rules nothing holds.
func (w *Workload) condition(verb Verb, e *Event, ref Image) (RuleID, Reason) {
	var rules []Rule
	for _, r := range sortedRules([]*Workload{w}, PlaneImage) {
		if r.Verb == verb {
			rules = append(rules, r)
		}
	}
	switch verb {
	case VerbRun:
		if i := slices.IndexFunc(rules, func(r Rule) bool { return matchImage(r.Object, ref) }); i >= 0 {
			return rules[i].ID, ReasonRule
		}
		return 0, ReasonNoRule
	case VerbSigned:
		if i := slices.IndexFunc(rules, func(r Rule) bool { return slices.Contains(e.SignedBy, r.Object) }); i >= 0 {
			return rules[i].ID, ReasonRule
		}
		return firstID(rules), ReasonSigner
	}
	if i := slices.IndexFunc(rules, func(r Rule) bool { return !slices.Contains(e.Passes, r.Object) }); i >= 0 {
		return rules[i].ID, ReasonGate
	}
	if len(rules) == 0 {
		return 0, ReasonGate
	}
	return firstID(rules), ReasonRule
}

func firstID(rules []Rule) RuleID {
	if len(rules) == 0 {
		return 0
	}
	return rules[0].ID
}

// matchImage reports whether an image pattern matches a reference. One that does not parse matches nothing.
func matchImage(pattern string, ref Image) bool {
	p, err := ParseImagePattern(pattern)
	return err == nil && p.Matches(ref)
}

// judgePod decides on conditions: each rule of each workload must permit what the Pod sets.
func judgePod(v *Verdict, selected []*Workload, e *Event, at time.Time) {
	v.Reason = ReasonOpen
	for _, w := range byStrictness(selected, PlanePod, at) {
		closure, _ := w.Closure(PlanePod)
		for _, r := range sortedRules([]*Workload{w}, PlanePod) {
			if !r.permits(e.Set) {
				v.Action, v.Reason, v.Rule = closure.ModeAt(at).action(), ReasonField, r.ID
				return
			}
		}
		if v.Reason == ReasonOpen {
			v.Reason, v.Rule = ReasonHolds, closure.ID
		}
	}
}

// permits reports whether the values of the rule's field are permitted. Of capabilities to drop the rule says what must be there, of all
// else what may be there.
func (r *Rule) permits(set map[PodField]Names) bool {
	field := PodField(r.Object)
	have, said := set[field]
	if field == PodDropCapabilities {
		return !said || slices.Contains(have, "ALL") || !slices.ContainsFunc(r.Values, func(c string) bool { return !slices.Contains(have, c) })
	}
	return !slices.ContainsFunc(have, func(value string) bool {
		return !slices.ContainsFunc(r.Values, func(p string) bool { return field.permits(p, value) })
	})
}

// permits reports whether a permitted value covers a value that a Pod has.
func (f PodField) permits(permitted, value string) bool {
	switch {
	case value == Unread:
		return false
	case f == PodHostPaths:
		return MatchPath(permitted, trimSlashes(value))
	case f == PodSysctls, f == PodServiceAccount:
		return matchStars(permitted, value)
	}
	return permitted == value
}

// forbids reports whether a forbidden value covers a value that a Pod has. A path of the host that is not clean may be any, and whoever adds
// all capabilities adds each.
func (f PodField) forbids(forbidden, value string) bool {
	switch {
	case value == Unread, f == PodAddCapabilities && value == "ALL":
		return true
	case f != PodHostPaths:
		return f.permits(forbidden, value)
	}
	dir := trimSlashes(value)
	return path.Clean("/"+dir) != dir || ExposesPath(forbidden, dir)
}

// trimSlashes removes the slashes at the end of a path of the host, which change nothing there.
func trimSlashes(p string) string {
	if t := strings.TrimRight(p, "/"); t != "" || p == "" {
		return t
	}
	return "/"
}
