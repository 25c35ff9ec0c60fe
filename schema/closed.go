// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"slices"
	"time"
)

// judgeClosed decides on a plane that is closed by mention: one matching rule of any workload suffices.
func judgeClosed(v *Verdict, selected []*Workload, e *Event, at time.Time) {
	plane := e.Verb.Plane()
	closure, closed := unite(selected, plane, at)
	if !closed {
		v.Reason = ReasonOpen
		return
	}
	v.Action, v.Reason, v.Rule = closure.ModeAt(at).action(), ReasonNoRule, closure.ID
	switch {
	case plane.paths() && e.Origin != OriginPath:
		v.Reason = ReasonOrigin
		return
	case plane.flows() && e.flow().Unknown:
		v.Reason = ReasonPeer
	}
	for _, r := range sortedRules(selected, plane) {
		fit := r.fit(e)
		if fit == ReasonRule {
			v.Action, v.Reason, v.Rule = ActionAllow, ReasonRule, r.ID
			return
		}
		if nearness(fit) > nearness(v.Reason) { // the nearest miss, then the most specific, is what the reader wants to see
			v.Reason, v.Rule = fit, r.ID
		}
	}
}

// nearness orders what a rule lacks to allow an event. A miss of a rule says more than that there is none, but less than that the peer
// is unknown, which no edit of the rule would change.
func nearness(r Reason) int {
	switch r {
	case ReasonPort:
		return 1
	case ReasonParent, ReasonRead, ReasonRequest:
		return 2
	case ReasonPeer:
		return 3
	}
	return 0
}

// paths reports whether the objects of a plane are paths.
func (p Plane) paths() bool { return p == PlaneExec || p == PlaneFile }

// flows reports whether the events of a plane are connections.
func (p Plane) flows() bool { return p == PlaneEgress || p == PlaneIngress }

// fit says how far a rule of a closed plane fits an event of that plane: [ReasonRule] if it allows it, "" if it does not speak of it, else
// what is missing.
func (r *Rule) fit(e *Event) Reason {
	switch {
	case r.Plane.flows():
		return r.fitFlow(e)
	case r.Plane == PlaneCapability:
		return when(r.Object == string(e.Object), ReasonRule)
	case !MatchPath(r.Object, string(e.Object)):
		return ""
	case r.Plane == PlaneExec && !r.allowsParent(string(e.Parent)):
		return ReasonParent
	case r.Plane == PlaneFile && r.Verb != VerbWrite && e.Verb != VerbRead:
		return ReasonRead
	}
	return ReasonRule
}

func when(holds bool, r Reason) Reason {
	if holds {
		return r
	}
	return ""
}

func (r *Rule) allowsParent(parent string) bool {
	if len(r.Parents) == 0 {
		return true
	}
	return parent != "" && slices.ContainsFunc(r.Parents, func(p string) bool { return MatchPath(p, parent) })
}

// fitFlow is fit for connections and requests.
func (r *Rule) fitFlow(e *Event) Reason {
	f := e.flow()
	switch {
	case r.Peer == nil || !MatchPeer(r.Peer, f):
		return ""
	case f.Protocol == "" || r.Peer.Protocol != f.Protocol || !MatchPort(r.Peer.Port, f.Port, f.PortName):
		return ReasonPort
	case (e.Verb == VerbRequest || e.Verb == VerbServe) && !r.AllowsRequest(f):
		return ReasonRequest
	}
	return ReasonRule
}
