// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"cmp"
	"slices"
	"time"
)

// ruling is what one bound says of an event.
type ruling struct {
	action Action
	reason Reason
	rule   Rule
}

// compareRulings orders rulings, the one that decides first: the strictest, then a rule before a demand, then by [CompareSpecific].
func compareRulings(a, b ruling) int {
	return cmp.Or(
		b.action.strictness()-a.action.strictness(),
		cmp.Compare(a.reason, b.reason), // "bound" before "require"
		CompareSpecific(a.rule, b.rule),
	)
}

// judgeBounds lets the bounds act on what the planes said: the strictest of them decides if it is at least as strict.
func (s Selection) judgeBounds(v *Verdict, e *Event, at time.Time) {
	var rulings []ruling
	for _, b := range s.Bounds {
		action := b.ModeAt(at).action()
		if b.Require.Workload && e.Verb == VerbRun && len(s.Workloads) == 0 {
			rulings = append(rulings, ruling{action, ReasonRequire, Rule{ID: b.ID}})
		}
		for _, r := range b.Never {
			if r.forbids(e) {
				rulings = append(rulings, ruling{action, ReasonBound, r})
			}
		}
	}
	if len(rulings) == 0 {
		return
	}
	if r := slices.MinFunc(rulings, compareRulings); r.action.strictness() >= v.Action.strictness() {
		v.Action, v.Reason, v.Rule = r.action, r.reason, r.rule.ID
	}
}

// judgePatches denies what a virtual patch forbids, whatever else was said.
func (s Selection) judgePatches(v *Verdict, e *Event, at time.Time) {
	var rules []Rule
	for _, x := range s.Patches {
		for _, r := range x.Patch {
			if !x.Expires.Passed(at) && r.forbids(e) {
				rules = append(rules, r)
			}
		}
	}
	if len(rules) > 0 {
		v.Action, v.Reason, v.Rule = ActionDeny, ReasonPatch, slices.MinFunc(rules, CompareSpecific).ID
	}
}

// forbids reports whether a rule of a bound or of a virtual patch speaks of an event. Where the event is known in part only, it speaks of
// it if it may be what the rule forbids.
func (r *Rule) forbids(e *Event) bool {
	if r.Plane != e.Verb.Plane() {
		return false
	}
	switch r.Plane {
	case PlaneExec:
		return r.forbidsPath(e)
	case PlaneFile:
		return (r.Verb == VerbAccess || r.Verb == e.Verb) && r.forbidsPath(e)
	case PlaneCapability:
		return r.Object == string(e.Object)
	case PlaneEgress, PlaneIngress:
		return r.forbidsFlow(e.flow())
	case PlaneImage:
		ref, err := ParseImage(string(e.Object))
		return err != nil || matchImage(r.Object, ref)
	case PlanePod:
		return r.forbidsValue(e.Set[PodField(r.Object)])
	}
	return false
}

// forbidsPath judges an object by its last known name. One that never had a name is not forbidden by name; one whose name could not be found
// out may be any.
func (r *Rule) forbidsPath(e *Event) bool {
	switch e.Origin {
	case OriginPath, OriginDeleted, OriginForeign:
		return MatchPath(r.Object, string(e.Object))
	case OriginMemfd:
		return false
	}
	return true
}

// forbidsFlow judges by the other end, the port and the protocol alone, so a forbidden peer is forbidden for requests too.
func (r *Rule) forbidsFlow(f *Flow) bool {
	p := r.Peer
	if p == nil {
		return true
	}
	if p.Protocol != "" && p.Protocol != f.Protocol || !MatchPort(p.Port, f.Port, f.PortName) {
		return false
	}
	return p.Anyone() || p.identity() && f.Unknown || MatchPeer(p, f)
}

func (r *Rule) forbidsValue(have Names) bool {
	return slices.ContainsFunc(have, func(value string) bool {
		return slices.ContainsFunc(r.Values, func(v string) bool { return PodField(r.Object).forbids(v, value) })
	})
}
