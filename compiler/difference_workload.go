// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/writ-sec/writ/schema"
)

func (d *differ) workloads() {
	name := func(w *schema.Workload) string { return w.Name }
	// Workloads that select the same containers are the same under another name, whatever their rules.
	byMatch := func(w *schema.Workload) string { return diffJSON(w.Match) }
	twins := diffPair(d.base.Workloads, d.head.Workloads, name, byMatch)
	for _, t := range twins {
		if t.renamed {
			d.renames(PolicyChange{Kind: "workload", Name: t.head.Name, Owner: t.head.Owner}, t.base.Name, t.head.Name, t.head.Pos)
		}
	}
	for _, t := range twins {
		switch {
		case t.base == nil:
			d.workloadAdded(t.head)
		case t.head == nil:
			d.workloadRemoved(t.base)
		default:
			d.workload(t.base, t.head)
		}
	}
}

func (d *differ) workloadAdded(w *schema.Workload) {
	c := PolicyChange{Effect: EffectNarrowed, Risk: RiskNone, Kind: "workload", Name: w.Name, Msg: "added", Owner: w.Owner,
		After: workloadText(w), Details: diffRuleDetails(w.Rules)}
	if len(w.Closures) == 0 {
		c.Effect, c.Msg = EffectChanged, "added, and mentions no plane"
	}
	if diffEnforces(w) {
		c.Risk = RiskLow
	}
	d.add(c, w.Pos)
	for i := range w.Closures {
		d.reaches(w, w.Closures[i].Plane, w.Rules)
	}
	d.admits(w, nil)
}

func (d *differ) workloadRemoved(w *schema.Workload) {
	c := PolicyChange{Effect: EffectWidened, Risk: RiskMedium, Kind: "workload", Name: w.Name, Owner: w.Owner, Before: workloadText(w),
		Msg: "removed; what it closed is open", Details: diffRuleDetails(w.Rules)}
	if len(w.Closures) == 0 {
		c.Risk, c.Msg = RiskLow, "removed; bounds for what a workload selects may not hold any more"
	}
	if diffEnforces(w) {
		c.Risk = RiskHigh
	}
	d.gone(c, w.Pos)
}

// workloadText says what a workload selects and closes.
func workloadText(w *schema.Workload) string {
	s := diffMatchText(w.Match)
	for i := range w.Closures {
		s += fmt.Sprintf("; %s %s", w.Closures[i].Plane, diffModeOf(&w.Closures[i]))
	}
	return s
}

func diffModeOf(c *schema.Closure) diffMode { return diffMode{c.Mode, c.Then, c.After} }

func diffEnforces(w *schema.Workload) bool {
	return slices.ContainsFunc(w.Closures, func(c schema.Closure) bool { return diffModeOf(&c).strictest() == schema.ModeEnforce })
}

// workload compares two sides of one workload.
func (d *differ) workload(b, h *schema.Workload) {
	if sameWorkload(b, h) {
		return
	}
	c := PolicyChange{Kind: "workload", Name: h.Name, Owner: h.Owner}
	d.words(c, "owner", b.Owner, h.Owner, h.Pos)
	d.flag(c, "shared", "other workloads may select the same containers", b.Shared, h.Shared, h.Pos)
	d.flag(c, "open", "files of other folders may add rules", b.Open, h.Open, h.Pos)
	if !sameJSON(b.Match, h.Match) {
		d.workloadMatch(c, b, h)
	}
	for _, p := range schema.Planes {
		bc, inBase := b.Closure(p)
		hc, inHead := h.Closure(p)
		switch c.Plane = p; {
		case inBase && inHead:
			d.plane(c, b, h, &bc, &hc)
		case inBase:
			d.planeOpened(c, b, &bc)
		case inHead:
			d.planeClosed(c, h, &hc)
		}
	}
}

// sameWorkload reports whether two workloads are the same but for names, IDs and lines.
func sameWorkload(a, b *schema.Workload) bool {
	equalClosure := func(a, b schema.Closure) bool {
		return a.Plane == b.Plane && diffModeOf(&a) == diffModeOf(&b) && slices.Equal(a.Verbs, b.Verbs)
	}
	return a.Owner == b.Owner && a.Shared == b.Shared && a.Open == b.Open && a.Profile == b.Profile && sameJSON(a.Match, b.Match) &&
		slices.EqualFunc(a.Closures, b.Closures, equalClosure) && sameRules(a.Rules, b.Rules)
}

// flag compares what an author may permit to others. Nothing happens at once, but others may now widen.
func (d *differ) flag(c PolicyChange, aspect, what string, base, head bool, at []schema.Pos) {
	if base == head {
		return
	}
	c.Aspect, c.Effect, c.Risk, c.Msg = aspect, EffectNarrowed, RiskNone, "no longer so: "+what
	if head {
		c.Effect, c.Risk, c.Msg = EffectWidened, RiskMedium, what
	}
	d.add(c, at)
}

// workloadMatch compares what is selected. What is no longer selected is free of the rules; what is newly selected is under them, which widens
// what other workloads allow there.
func (d *differ) workloadMatch(c PolicyChange, b, h *schema.Workload) {
	c.Aspect, c.Before, c.After = "match", diffMatchText(b.Match), diffMatchText(h.Match)
	fewer, more := !d.cover.match(h.Match, b.Match), !d.cover.match(b.Match, h.Match)
	switch {
	case fewer && more:
		c.Effect, c.Msg = EffectWidened, "may no longer select some containers, and selects others"
	case fewer:
		c.Effect, c.Msg = EffectWidened, "selects fewer containers"
	case more:
		c.Effect, c.Msg = EffectNarrowed, "selects more containers"
	default:
		c.Effect, c.Msg = EffectNote, "is said in other words"
	}
	switch {
	case fewer && diffEnforces(b):
		c.Risk = RiskHigh
	case fewer:
		c.Risk = RiskMedium
	case more && diffEnforces(h):
		c.Risk = RiskLow
	}
	d.add(c, h.Pos)
	if more {
		for i := range h.Closures {
			d.reaches(h, h.Closures[i].Plane, h.Rules)
		}
		d.admits(h, b)
	}
}

func (d *differ) planeOpened(c PolicyChange, b *schema.Workload, bc *schema.Closure) {
	rules := diffPlaneRules(b.Rules, c.Plane)
	c.Effect, c.Risk, c.Aspect, c.Before, c.Details = EffectWidened, guardRisk(diffModeOf(bc)), "plane", diffModeOf(bc).String(), diffRuleDetails(rules)
	c.Msg = "is no longer closed; everything is allowed"
	if c.Plane.Condition() {
		c.Msg = "is no longer a condition"
	}
	d.gone(c, bc.Pos)
}

func (d *differ) planeClosed(c PolicyChange, h *schema.Workload, hc *schema.Closure) {
	rules := diffPlaneRules(h.Rules, c.Plane)
	c.Effect, c.Risk, c.Aspect, c.After, c.Details = EffectNarrowed, narrowedRisk(diffModeOf(hc)), "plane", diffModeOf(hc).String(), diffRuleDetails(rules)
	c.Msg = "is closed now; only its rules are allowed"
	switch {
	case c.Plane.Condition():
		c.Msg = "is a condition now"
	case len(rules) == 0:
		c.Msg = "is closed now without a rule; nothing is allowed"
	}
	d.add(c, hc.Pos)
	d.reaches(h, c.Plane, h.Rules)
}

// plane compares a plane that both sides mention.
func (d *differ) plane(c PolicyChange, b, h *schema.Workload, bc, hc *schema.Closure) {
	d.modes(c, diffModeOf(bc), diffModeOf(hc), hc.Pos)
	base, head := diffPlaneRules(b.Rules, c.Plane), diffPlaneRules(h.Rules, c.Plane)
	switch c.Plane {
	case schema.PlaneImage:
		d.imagePlane(c, base, head, bc, hc)
	case schema.PlanePod:
		d.podPlane(c, b, h, base, head, bc, hc)
	default:
		c.Aspect = "rule"
		d.diffRules(&diffRuleSet{of: c, words: allowWords, base: base, head: head, risk: ruleRisk(bc, hc)})
	}
}

// modes compares modes at every instant: before, between and after the dates of both.
func (d *differ) modes(c PolicyChange, base, head diffMode, at []schema.Pos) {
	if base == head {
		return
	}
	instants := append(base.instants(), head.instants()...)
	c.Aspect, c.Before, c.After = cmp.Or(c.Aspect, "mode"), base.String(), head.String()
	c.Effect, c.Msg = EffectNote, "mode is said in other words"
	for _, t := range instants {
		switch b, h := base.at(t), head.at(t); {
		case diffRank(h) < diffRank(b):
			c.Effect = EffectWidened
			c.Risk = max(c.Risk, guardRisk(diffMode{now: b}))
		case diffRank(h) > diffRank(b) && c.Effect != EffectWidened:
			c.Effect = EffectNarrowed
			c.Risk = max(c.Risk, narrowedRisk(diffMode{now: h}))
		}
	}
	switch {
	case c.Effect == EffectWidened && slices.ContainsFunc(instants, func(t time.Time) bool { return diffRank(head.at(t)) > diffRank(base.at(t)) }):
		c.Msg = "mode is weaker for a time"
	case c.Effect == EffectWidened:
		c.Msg = "mode is weaker"
	case c.Effect == EffectNarrowed:
		c.Msg = "mode is stricter"
	}
	d.add(c, at)
}

func (p diffMode) at(t time.Time) schema.Mode {
	return (&schema.Closure{Mode: p.now, Then: p.then, After: p.after}).ModeAt(t)
}

// instants returns one long before the date, and the date.
func (p diffMode) instants() []time.Time {
	if t, err := p.after.Instant(); err == nil && p.then != "" {
		return []time.Time{{}, t}
	}
	return []time.Time{{}}
}

func (p diffMode) strictest() schema.Mode {
	if p.then == "" || diffRank(p.now) > diffRank(p.then) {
		return p.now
	}
	return p.then
}

// diffRank orders modes by strictness, as schema does.
func diffRank(m schema.Mode) int {
	switch m {
	case schema.ModeLearn:
		return 0
	case schema.ModeAudit:
		return 1
	}
	return 2
}

// guardRisk is the risk of taking away something that stops things in a mode, or only reports them.
func guardRisk(m diffMode) Risk {
	switch m.strictest() {
	case schema.ModeLearn:
		return RiskLow
	case schema.ModeAudit:
		return RiskMedium
	}
	return RiskHigh
}

// narrowedRisk is that of forbidding something that happens today.
func narrowedRisk(m diffMode) Risk {
	if m.strictest() == schema.ModeEnforce {
		return RiskLow
	}
	return RiskNone
}

// diffPlaneRules returns those of a plane: rules are sorted by it. Of rules that are not, it returns all the same.
func diffPlaneRules(rules []schema.Rule, p schema.Plane) []schema.Rule {
	start := slices.IndexFunc(rules, func(r schema.Rule) bool { return r.Plane == p })
	if start < 0 {
		return nil
	}
	end := start
	for end < len(rules) && rules[end].Plane == p {
		end++
	}
	if !slices.ContainsFunc(rules[end:], func(r schema.Rule) bool { return r.Plane == p }) {
		return rules[start:end]
	}
	var out []schema.Rule
	for _, r := range rules {
		if r.Plane == p {
			out = append(out, r)
		}
	}
	return out
}
