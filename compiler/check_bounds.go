// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// boundLimits is a bound made ready for comparing many rules with it.
type boundLimits struct {
	bound *schema.Bound
	never map[schema.Plane]*limitIndex
	only  map[schema.Plane]*limitIndex
}

// limitIndex holds what a bound says of one plane.
type limitIndex struct {
	rules []*schema.Rule
	paths *patternIndex // exec and file; of valid patterns, in the order of rules
	pos   []schema.Pos
	never bool
}

func limitsOf(b *schema.Bound) *boundLimits {
	l := &boundLimits{bound: b, never: map[schema.Plane]*limitIndex{}, only: map[schema.Plane]*limitIndex{}}
	byPlane := map[schema.Plane][]schema.Rule{}
	for _, r := range b.Never {
		byPlane[r.Plane] = append(byPlane[r.Plane], r)
	}
	for plane, rules := range byPlane {
		l.never[plane] = newLimitIndex(plane, rules, nil)
		l.never[plane].never = true
	}
	for _, limit := range b.Only {
		l.only[limit.Plane] = newLimitIndex(limit.Plane, limit.Rules, limit.Pos)
	}
	return l
}

func newLimitIndex(plane schema.Plane, rules []schema.Rule, pos []schema.Pos) *limitIndex {
	x := &limitIndex{pos: pos}
	var patterns []string
	for i := range rules {
		r := &rules[i]
		switch plane {
		case schema.PlaneExec, schema.PlaneFile:
			if schema.CheckPattern(r.Object) != nil {
				continue
			}
			patterns = append(patterns, r.Object)
		case schema.PlaneEgress, schema.PlaneIngress:
			if r.Peer == nil {
				continue
			}
		}
		x.rules = append(x.rules, r)
	}
	x.paths = newPatternIndex(patterns)
	return x
}

// covering returns what includes all that a rule allows, or nil.
func (x *limitIndex) covering(r *schema.Rule, work *int) *schema.Rule {
	switch r.Plane {
	case schema.PlaneExec, schema.PlaneFile:
		if i := x.paths.covering(r.Object, work, func(int) bool { return true }); i >= 0 {
			return x.rules[i]
		}
		return nil
	}
	return x.find(func(limit *schema.Rule) bool { return ruleCovers(limit, r, work) })
}

// meeting returns what includes a part of what a rule allows, which nothing includes whole, or nil.
func (x *limitIndex) meeting(r *schema.Rule, work *int) *schema.Rule {
	switch r.Plane {
	case schema.PlaneCapability:
		return nil // has no parts
	case schema.PlaneExec, schema.PlaneFile:
		if schema.PatternKind(r.Object) == schema.KindExact {
			return nil
		}
		if i := x.paths.meeting(r.Object, work); i >= 0 {
			return x.rules[i]
		}
		return nil
	}
	return x.find(func(limit *schema.Rule) bool { return !(x.never && aboutTags(limit, r)) && ruleMeets(limit, r, work) })
}

// aboutTags reports whether a limit speaks of tags or digests alone and a rule of neither. A pattern cannot say "any tag but this one", so there is
// nothing that its author could narrow.
func aboutTags(limit, r *schema.Rule) bool {
	if r.Plane != schema.PlaneImage {
		return false
	}
	l, errL := schema.ParseImagePattern(limit.Object)
	p, errP := schema.ParseImagePattern(r.Object)
	return errL == nil && errP == nil && tagAlone(l) && p.Tag == ""
}

func (x *limitIndex) find(ok func(*schema.Rule) bool) *schema.Rule {
	if i := slices.IndexFunc(x.rules, ok); i >= 0 {
		return x.rules[i]
	}
	return nil
}

// ruleCovers compares a limit with a rule of the same plane, paths apart.
func ruleCovers(limit, r *schema.Rule, work *int) bool {
	switch r.Plane {
	case schema.PlaneCapability:
		return limit.Object == r.Object
	case schema.PlaneEgress, schema.PlaneIngress:
		return peerCovers(limit.Peer, r.Peer)
	case schema.PlaneImage:
		l, errL := schema.ParseImagePattern(limit.Object)
		p, errP := schema.ParseImagePattern(r.Object)
		return errL == nil && errP == nil && imageCovers(l, p, work)
	case schema.PlanePod:
		return limit.Object == r.Object && len(r.Values) > 0 && !slices.ContainsFunc(r.Values, func(v string) bool { return !podValueIn(limit, v, work) })
	}
	return false
}

func ruleMeets(limit, r *schema.Rule, work *int) bool {
	switch r.Plane {
	case schema.PlaneEgress, schema.PlaneIngress:
		return peersMeet(limit.Peer, r.Peer)
	case schema.PlaneImage:
		l, errL := schema.ParseImagePattern(limit.Object)
		p, errP := schema.ParseImagePattern(r.Object)
		return errL == nil && errP == nil && imageMeets(l, p, work)
	case schema.PlanePod:
		return limit.Object == r.Object && slices.ContainsFunc(r.Values, func(v string) bool {
			return podValueIn(limit, v, work) || r.Object == string(schema.PodHostPaths) &&
				slices.ContainsFunc(limit.Values, func(l string) bool { return bothPaths(l, v) && meetsWithin(l, v, work) })
		})
	}
	return false
}

// podValueIn reports whether a bound lists a value of a Pod's field. Paths are patterns, and who adds all capabilities adds the listed ones.
func podValueIn(limit *schema.Rule, v string, work *int) bool {
	switch {
	case limit.Object == string(schema.PodAddCapabilities) && v == "ALL":
		return len(limit.Values) > 0
	case limit.Object != string(schema.PodHostPaths):
		return slices.Contains(limit.Values, v)
	}
	return slices.ContainsFunc(limit.Values, func(l string) bool { return bothPaths(l, v) && coversAny([]string{l}, v, work) })
}

func bothPaths(a, b string) bool {
	return schema.CheckPattern(a) == nil && schema.CheckPattern(b) == nil
}

// bounds compares the workload with every bound that can hold for its containers.
func (c *workloadCheck) bounds() {
	if c.w.Match.Zero() {
		return // an error of its own
	}
	var rules []*schema.Rule
	for i := range c.w.Rules {
		if r := &c.w.Rules[i]; c.comparable(r) {
			rules = append(rules, r)
		}
	}
	for _, l := range c.sc.limits {
		some, all := holdsFor(&l.bound.Match, &c.w.Match)
		if !some {
			continue
		}
		b := boundCheck{c: c, boundLimits: l, name: "bound " + l.bound.Name}
		if !all {
			both, _ := matchWitness(&l.bound.Match, &c.w.Match)
			b.name += ", which holds for a container of both (" + subjectText(both) + "),"
		}
		for _, r := range rules {
			b.rule(r)
		}
		b.open()
		b.require()
	}
}

// boundCheck compares one workload with one bound.
type boundCheck struct {
	*boundLimits
	c    *workloadCheck
	name string // how messages call the bound
}

// rule compares one rule.
func (b *boundCheck) rule(r *schema.Rule) {
	never, x := b.never[r.Plane], b.only[r.Plane]
	if never != nil {
		if limit := never.covering(r, &b.c.work); limit != nil {
			b.c.fail(b.valueWay(ruleWay(r), limit, r), "%s is what %s forbids at %s; want no such rule, or a match that the bound does not hold for", ruleText(r), b.name, posText(limit.Pos))
			return
		}
		if limit := never.meeting(r, &b.c.work); limit != nil {
			b.c.warn(codeCutInto, b.valueWay(ruleWay(r), limit, r), "%s allows what %s forbids in part, by %s at %s; want a narrower rule", ruleText(r), b.name, limitText(limit), posText(limit.Pos))
		}
	}
	if x == nil || x.covering(r, &b.c.work) != nil || b.insideTogether(x, r) {
		return
	}
	where := ruleWay(r)
	switch limit := x.meeting(r, &b.c.work); {
	case len(x.rules) == 0:
		b.c.fail(where, "%s is outside of %s, which permits no rule of %s at %s; want none", ruleText(r), b.name, r.Plane, posText(b.placeOf(x)))
	case limit != nil:
		b.c.fail(where, "%s is not wholly inside what %s permits, only partly by %s at %s; want a narrower rule", ruleText(r), b.name, limitText(limit), posText(limit.Pos))
	case r.Peer != nil && !b.sameKind(x, r):
		b.c.fail(where, "%s cannot be shown to lie inside what %s permits at %s; want a peer named as the bound names it", ruleText(r), b.name, posText(b.placeOf(x)))
	default:
		b.c.fail(where, "%s is outside of what %s permits at %s; want a rule inside of it", ruleText(r), b.name, posText(b.placeOf(x)))
	}
}

// valueWay is where a Pod's field lists the value that a limit forbids; other rules stand where they stand.
func (b *boundCheck) valueWay(where []string, limit, r *schema.Rule) []string {
	if r.Plane != schema.PlanePod {
		return where
	}
	i := slices.IndexFunc(r.Values, func(v string) bool {
		one := *r
		one.Values = []string{v}
		return ruleMeets(limit, &one, &b.c.work)
	})
	if i < 0 {
		return where
	}
	return way(where, r.Values[i])
}

func (b *boundCheck) placeOf(x *limitIndex) []schema.Pos {
	if len(x.pos) > 0 {
		return x.pos
	}
	return b.bound.Pos
}

// comparable reports whether a rule is one that bounds speak of, and valid. What is not is an error already.
func (c *workloadCheck) comparable(r *schema.Rule) bool {
	switch r.Plane {
	case schema.PlaneExec, schema.PlaneFile:
		return schema.CheckPattern(r.Object) == nil
	case schema.PlaneEgress, schema.PlaneIngress:
		return r.Peer != nil && len(c.peerStated(ruleWay(r), r.Peer)) == 1
	case schema.PlaneImage:
		return r.Verb == schema.VerbRun
	case schema.PlanePod: // what is dropped is not permitted but demanded
		return r.Object != string(schema.PodDropCapabilities)
	}
	return true
}

// insideTogether reports whether several limits include together what none of them does alone.
func (b *boundCheck) insideTogether(x *limitIndex, r *schema.Rule) bool {
	switch r.Plane {
	case schema.PlaneExec, schema.PlaneFile:
		return schema.PatternKind(r.Object) != schema.KindExact && coversAny(x.paths.patterns, r.Object, &b.c.work)
	}
	return false
}

// sameKind reports whether a bound names some peer in the way in which a rule does.
func (b *boundCheck) sameKind(x *limitIndex, r *schema.Rule) bool {
	kind := func(p *schema.Peer) [3]bool {
		return [3]bool{p.CIDR != "", p.DNS != "", p.Workload+p.Namespace != "" || p.Namespaces != nil}
	}
	return slices.ContainsFunc(x.rules, func(limit *schema.Rule) bool { return kind(limit.Peer) == kind(r.Peer) })
}

// limitText is how messages call a rule of a bound.
func limitText(r *schema.Rule) string {
	if r.Plane == schema.PlanePod {
		return quotedList(r.Values, "and")
	}
	return fmt.Sprintf("%.200q", r.Object)
}

// open warns of planes that the bound limits and the workload leaves open.
func (b *boundCheck) open() {
	for _, plane := range schema.Planes {
		x := b.only[plane]
		if x == nil || plane == schema.PlaneImage && b.bound.Require.Image || b.requires(plane) {
			continue
		}
		if plane == schema.PlaneImage && outsideAdmission(&b.c.w.Match) {
			continue
		}
		if cl, closed := b.c.w.Closure(plane); !closed || plane == schema.PlaneImage && !cl.Names(schema.VerbRun) {
			b.c.warn(codeOpen, nil, "does not mention %s, so everything is allowed, and %s limits it at %s; want rules within the bound, or %s: {} for none",
				ruleField(plane), b.name, posText(b.placeOf(x)), ruleField(plane))
		}
	}
}

// requires reports whether the bound demands that a plane is mentioned, which is an error of its own.
func (b *boundCheck) requires(plane schema.Plane) bool {
	q := b.bound.Require
	return map[schema.Plane]bool{schema.PlaneExec: q.Exec, schema.PlaneFile: q.File, schema.PlaneCapability: q.Capability,
		schema.PlaneEgress: q.Egress, schema.PlaneIngress: q.Ingress}[plane]
}

// require reports what the bound demands and the workload does not state.
func (b *boundCheck) require() {
	q, w := b.bound.Require, b.c.w
	missing := func(field string) {
		b.c.fail(nil, "states no %q, which %s requires at %s; want one", field, b.name, posText(b.bound.Pos))
	}
	if q.Owner && w.Owner == "" {
		missing("owner")
	}
	for _, plane := range schema.Planes {
		if _, closed := w.Closure(plane); !closed && b.requires(plane) {
			missing(string(plane))
		}
	}
	image, _ := w.Closure(schema.PlaneImage)
	for _, f := range []struct {
		want  bool
		verb  schema.Verb
		field string
	}{{q.Image, schema.VerbRun, "image.from"}, {q.SignedBy, schema.VerbSigned, "image.signedBy"}, {q.Gate, schema.VerbPass, "image.gate"}} {
		if f.want && !outsideAdmission(&w.Match) && (image.Plane == "" || !image.Names(f.verb)) {
			missing(f.field)
		}
	}
	if q.Profile != "" && !outsideAdmission(&w.Match) && w.Match.Container == "" && slices.Index(schema.Profiles, w.Profile) < slices.Index(schema.Profiles, q.Profile) {
		b.c.fail(b.profileWay(), "pod.profile is %q, and %s requires %q at %s; want that or a stricter one", w.Profile, b.name, q.Profile, posText(b.bound.Pos))
	}
	if q.Why {
		b.requireReasons()
	}
}

// outsideAdmission reports whether a match selects what passes no admission, so that neither images nor Pods can be spoken of there.
func outsideAdmission(m *schema.Match) bool { return m.Host || m.Cgroup != "" }

func (b *boundCheck) profileWay() []string {
	if b.c.s.has("pod", "profile") {
		return []string{"pod", "profile"}
	}
	return nil
}

// requireReasons reports rules without a reason, where one can be stated.
func (b *boundCheck) requireReasons() {
	for i := range b.c.w.Rules {
		r := &b.c.w.Rules[i]
		if r.Why == "" && r.Plane != schema.PlanePod && r.Verb != schema.VerbSigned && r.Verb != schema.VerbPass {
			b.c.fail(ruleWay(r), "%s states no \"why\", which %s requires at %s; want the reason", ruleText(r), b.name, posText(b.bound.Pos))
		}
	}
}
