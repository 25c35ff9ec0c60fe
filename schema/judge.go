// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Action is what an enforcer does with an event.
type Action string

// The actions, from the weakest to the strictest.
const (
	ActionAllow Action = "allow" // a rule allows it, or nothing forbids it
	ActionLearn Action = "learn" // no rule allows it; it happens and is marked as new
	ActionAudit Action = "audit" // no rule allows it; it happens and is reported
	ActionDeny  Action = "deny"  // no rule allows it; it does not happen
)

// strictness orders actions.
func (a Action) strictness() int {
	return slices.Index([]Action{ActionAllow, ActionLearn, ActionAudit, ActionDeny}, a)
}

// Reason is why a verdict is what it is, from a closed vocabulary.
type Reason string

// The reasons for which something is allowed.
const (
	ReasonRule      Reason = "rule"      // Rule allows it
	ReasonHolds     Reason = "holds"     // all conditions on the Pod hold; Rule is the closure that decides the mode
	ReasonBuiltin   Reason = "builtin"   // Rule is one without a line of policy: [BuiltinProbe]
	ReasonOpen      Reason = "open"      // no workload of this container mentions the plane
	ReasonUncovered Reason = "uncovered" // no workload selects the container
)

// The reasons for which something is not allowed by a closed plane.
const (
	ReasonNoRule  Reason = "no-rule"      // the plane is closed and no rule names the object
	ReasonParent  Reason = "parent"       // Rule names the program, but for another caller
	ReasonRead    Reason = "read-only"    // Rule names the file, but for reading alone
	ReasonPort    Reason = "port"         // Rule names the peer, but another port or protocol
	ReasonRequest Reason = "request"      // Rule names the peer and the port, but other requests
	ReasonPeer    Reason = "peer-unknown" // the address is a Pod's, nobody knows which, and no rule names the address
	ReasonOrigin  Reason = "origin"       // the object has no path that a rule could allow
)

// The reasons for which a condition does not hold. Image: [ReasonNoRule] if no pattern matches.
const (
	ReasonReference Reason = "reference" // the image reference does not parse
	ReasonSigner    Reason = "signer"    // no signer that the workload names has signed the image; Rule is the first of them
	ReasonGate      Reason = "gate"      // the image does not pass the gate that Rule names
	ReasonField     Reason = "field"     // a field of the Pod has a value that Rule does not permit
)

// The reasons that come from outside the workloads.
const (
	ReasonBound   Reason = "bound"   // Rule, of a bound, forbids it
	ReasonRequire Reason = "require" // a bound demands that some workload selects the Pod; Rule is the bound's ID
	ReasonPatch   Reason = "patch"   // Rule, a virtual patch, forbids it
)

// Reasons lists all reasons.
var Reasons = []Reason{
	ReasonRule, ReasonHolds, ReasonBuiltin, ReasonOpen, ReasonUncovered, ReasonNoRule, ReasonParent, ReasonRead, ReasonPort, ReasonRequest,
	ReasonPeer, ReasonOrigin, ReasonReference, ReasonSigner, ReasonGate, ReasonField, ReasonBound, ReasonRequire, ReasonPatch,
}

// Verdict is the answer to an event.
type Verdict struct {
	Action    Action   `json:"action"`
	Reason    Reason   `json:"reason"`
	Rule      RuleID   `json:"rule"`                // the rule or closure that decides; zero if none does
	Workloads []string `json:"workloads,omitempty"` // the workloads that were judged, sorted
}

// Judge is the meaning of policy: what p says of e. It is the reference for every enforcer. It has no state and no clock; at is
// the instant at which dated modes and exceptions are decided.
//
// The documentation of the package is its specification. In short: a probe is allowed; else the planes of the workloads that select
// the subject decide; else, where a bound is at least as strict, the bound; else, where a virtual patch forbids it, the patch.
func Judge(p *Policy, e Event, at time.Time) Verdict { return p.Select(e.Subject).Judge(e, at) }

// Selection is what holds for one container: the part of a policy that its verdicts follow from.
type Selection struct {
	Workloads []*Workload  // those that select it, sorted by name
	Bounds    []*Bound     // those that hold for it, sorted by name
	Patches   []*Exception // those with a patch that cover its image, sorted by name; which still stand is decided when an event is judged
}

// Select returns what holds for a subject.
func (p *Policy) Select(subject Subject) Selection {
	var s Selection
	for i := range p.Workloads {
		if p.Workloads[i].Match.Selects(subject) {
			s.Workloads = append(s.Workloads, &p.Workloads[i])
		}
	}
	for i := range p.Bounds {
		if p.Bounds[i].Selects(subject, len(s.Workloads) > 0) {
			s.Bounds = append(s.Bounds, &p.Bounds[i])
		}
	}
	for i := range p.Exceptions {
		if x := &p.Exceptions[i]; len(x.Patch) > 0 && subject.Image != "" && x.Covers(subject.Image) {
			s.Patches = append(s.Patches, x)
		}
	}
	return s
}

// JudgeWorkloads is [Judge] for a container whose workloads are known already, where no bound and no patch holds; the event's subject is not
// read.
func JudgeWorkloads(selected []*Workload, e Event, at time.Time) Verdict {
	return Selection{Workloads: selected}.Judge(e, at)
}

// Judge says what holds of an event; its subject is not read again.
func (s Selection) Judge(e Event, at time.Time) Verdict {
	v := Verdict{Action: ActionAllow, Reason: ReasonUncovered}
	for _, w := range s.Workloads {
		v.Workloads = append(v.Workloads, w.Name)
	}
	slices.Sort(v.Workloads)
	if e.probe() {
		v.Reason, v.Rule = ReasonBuiltin, BuiltinProbe
		return v
	}
	if len(s.Workloads) > 0 {
		judgePlane(&v, s.Workloads, &e, at)
	}
	s.judgeBounds(&v, &e, at)
	s.judgePatches(&v, &e, at)
	return v
}

// judgePlane decides by the workloads alone, of which there is one at least.
func judgePlane(v *Verdict, selected []*Workload, e *Event, at time.Time) {
	switch e.Verb.Plane() {
	case PlaneImage:
		judgeImage(v, selected, e, at)
	case PlanePod:
		judgePod(v, selected, e, at)
	default:
		judgeClosed(v, selected, e, at)
	}
}

// unite returns the closure that decides for a plane: the strictest, then the one with the lowest ID.
func unite(selected []*Workload, p Plane, at time.Time) (Closure, bool) {
	ws := byStrictness(selected, p, at)
	if len(ws) == 0 {
		return Closure{}, false
	}
	c, _ := ws[0].Closure(p)
	return c, true
}

// byStrictness returns the workloads that mention a plane, the one whose closure decides first.
func byStrictness(selected []*Workload, p Plane, at time.Time) []*Workload {
	var ws []*Workload
	for _, w := range selected {
		if _, ok := w.Closure(p); ok {
			ws = append(ws, w)
		}
	}
	slices.SortFunc(ws, func(a, b *Workload) int {
		ca, _ := a.Closure(p)
		cb, _ := b.Closure(p)
		if d := cb.ModeAt(at).strictness() - ca.ModeAt(at).strictness(); d != 0 {
			return d
		}
		return cmp.Compare(ca.ID, cb.ID)
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

// CompareSpecific orders the rules of one plane from the most specific to the least, which is the order in which enforcers try them: exact
// objects, then directories (dir/**) from the longest to the shortest, then all other patterns from the longest to the shortest; ties by
// object, then by ID. Where objects are no patterns (capability, egress, ingress, pod, signers, gates) the order is by object, then by ID. Of
// conditions on images, patterns come first, then signers, then gates.
func CompareSpecific(a, b Rule) int {
	if c := cmp.Compare(conditionOrder(a.Verb), conditionOrder(b.Verb)); c != 0 {
		return c
	}
	switch a.Verb {
	case VerbUse, VerbConnect, VerbAccept, VerbSet, VerbSigned, VerbPass:
		return cmp.Or(strings.Compare(a.Object, b.Object), cmp.Compare(a.ID, b.ID))
	}
	return cmp.Or(
		cmp.Compare(PatternKind(a.Object), PatternKind(b.Object)),
		cmp.Compare(len(b.Object), len(a.Object)),
		strings.Compare(a.Object, b.Object),
		cmp.Compare(a.ID, b.ID),
	)
}

// conditionOrder orders the conditions on images as they are tested.
func conditionOrder(v Verb) int { return slices.Index([]Verb{VerbSigned, VerbPass}, v) }
