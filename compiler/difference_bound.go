// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"

	"github.com/writ-sec/writ/schema"
)

func (d *differ) bounds() {
	name := func(b *schema.Bound) string { return b.Name }
	for _, t := range diffPair(d.base.Bounds, d.head.Bounds, name, boundKey) {
		switch {
		case t.base == nil:
			d.boundAdded(t.head)
		case t.head == nil:
			d.boundRemoved(t.base)
		default:
			if t.renamed {
				d.renames(PolicyChange{Kind: "bound", Name: t.head.Name, Owner: t.head.Owner}, t.base.Name, t.head.Name, t.head.Pos)
			}
			d.bound(t.base, t.head)
		}
	}
}

// boundKey is what a bound says, whatever it is called.
func boundKey(b *schema.Bound) string {
	c := *b
	c.Name, c.Owner, c.Why, c.ID, c.Pos, c.Never = "", "", "", 0, nil, plainRules(b.Never)
	c.Only = slices.Clone(b.Only)
	for i := range c.Only {
		c.Only[i].Pos, c.Only[i].Rules = nil, plainRules(c.Only[i].Rules)
	}
	return diffJSON(c)
}

// plainRules returns rules without what tells where they stand and why.
func plainRules(rules []schema.Rule) []schema.Rule {
	out := slices.Clone(rules)
	for i := range out {
		out[i].ID, out[i].Pos, out[i].Why = 0, nil, ""
	}
	return out
}

func (d *differ) boundAdded(b *schema.Bound) {
	c := PolicyChange{Effect: EffectNarrowed, Risk: narrowedRisk(boundMode(b)), Kind: "bound", Name: b.Name, Owner: b.Owner, Why: b.Why, Msg: "added",
		After: boundText(b), Details: boundDetails(b)}
	if d.boundElsewhere(b, d.base.Bounds) {
		c.Effect, c.Risk, c.Msg = EffectNote, RiskNone, "added, and says nothing new"
	}
	d.add(c, b.Pos)
}

func (d *differ) boundRemoved(b *schema.Bound) {
	c := PolicyChange{Effect: EffectWidened, Risk: max(RiskMedium, guardRisk(boundMode(b))), Kind: "bound", Name: b.Name, Owner: b.Owner, Why: b.Why,
		Msg: "removed", Before: boundText(b), Details: boundDetails(b)}
	if d.boundElsewhere(b, d.head.Bounds) {
		c.Effect, c.Risk, c.Msg = EffectNote, RiskNone, "removed, and still said elsewhere"
	}
	d.gone(c, b.Pos)
}

func boundMode(b *schema.Bound) diffMode { return diffMode{b.Mode, b.Then, b.After} }

// boundText says for whom a bound holds, and what it is made of.
func boundText(b *schema.Bound) string {
	s := matchOrAll(b.Match)
	if len(b.Never) > 0 {
		s += fmt.Sprintf("; %d forbidden, %s", len(b.Never), boundMode(b))
	}
	for _, l := range b.Only {
		s += fmt.Sprintf("; %s within limits", l.Plane)
	}
	if b.Require != (schema.Require{}) {
		s += "; has requirements"
	}
	return s
}

func boundDetails(b *schema.Bound) []string {
	out := diffRuleDetails(b.Never)
	for i := range out {
		out[i] = "never " + out[i]
	}
	for _, l := range b.Only {
		if len(l.Rules) == 0 {
			out = append(out, "only "+string(l.Plane)+": nothing")
		}
		for _, r := range diffRuleDetails(l.Rules) {
			out = append(out, "only "+r)
		}
	}
	for _, r := range requirements(b.Require) {
		if r.value != "" {
			out = append(out, "require "+r.name)
		}
	}
	return out
}

func matchOrAll(m schema.Match) string {
	if m.Zero() {
		return "every workload"
	}
	return diffMatchText(m)
}

// boundElsewhere reports whether other bounds say all that one does. Limits and requirements are not looked for.
func (d *differ) boundElsewhere(b *schema.Bound, others []schema.Bound) bool {
	return len(b.Only) == 0 && b.Require == (schema.Require{}) && len(b.Never) > 0 &&
		!slices.ContainsFunc(b.Never, func(r schema.Rule) bool { return d.boundForbids(b, &r, others) == "" })
}

// boundForbids names one of some bounds that forbids all of a rule wherever a bound does, in a mode that is always as strict.
func (d *differ) boundForbids(b *schema.Bound, r *schema.Rule, others []schema.Bound) string {
	for i := range others {
		o := &others[i]
		if !asStrict(boundMode(o), boundMode(b)) || !d.cover.bound(o.Match, b.Match) {
			continue
		}
		if d.coversAll(newDiffIndex(o.Never, true), r) != nil {
			return "bound " + o.Name
		}
	}
	return ""
}

// asStrict reports whether a mode is at least as strict as another at every instant.
func asStrict(a, b diffMode) bool {
	for _, t := range append(a.instants(), b.instants()...) {
		if diffRank(a.at(t)) < diffRank(b.at(t)) {
			return false
		}
	}
	return true
}

func (d *differ) bound(b, h *schema.Bound) {
	c := PolicyChange{Kind: "bound", Name: h.Name, Owner: h.Owner, Why: h.Why}
	d.words(c, "owner", b.Owner, h.Owner, h.Pos)
	d.words(PolicyChange{Kind: c.Kind, Name: c.Name, Owner: c.Owner}, "why", b.Why, h.Why, h.Pos)
	if !sameJSON(b.Match, h.Match) {
		d.boundMatch(c, b, h)
	}
	d.modes(c, boundMode(b), boundMode(h), h.Pos)
	risk := func(_ *schema.Rule, widened bool) Risk {
		if widened {
			return max(RiskMedium, guardRisk(boundMode(b)))
		}
		return narrowedRisk(boundMode(h))
	}
	elsewhere := func(r *schema.Rule, side string) string {
		if side == SideBase {
			return d.boundForbids(h, r, d.base.Bounds)
		}
		return d.boundForbids(b, r, d.head.Bounds)
	}
	for _, p := range schema.Planes {
		c := c
		c.Plane, c.Aspect = p, "never"
		base, head := diffPlaneRules(b.Never, p), diffPlaneRules(h.Never, p)
		d.diffRules(&diffRuleSet{of: c, words: forbidWords, forbids: true, base: base, head: head, risk: risk, elsewhere: elsewhere})
		d.limits(c, b, h)
	}
	d.requires(c, b, h)
}

func (d *differ) boundMatch(c PolicyChange, b, h *schema.Bound) {
	c.Aspect, c.Before, c.After = "match", matchOrAll(b.Match), matchOrAll(h.Match)
	switch fewer, more := !d.cover.bound(h.Match, b.Match), !d.cover.bound(b.Match, h.Match); {
	case fewer && more:
		c.Effect, c.Risk, c.Msg = EffectWidened, max(RiskMedium, guardRisk(boundMode(b))), "may no longer hold for some containers, and holds for others"
	case fewer:
		c.Effect, c.Risk, c.Msg = EffectWidened, max(RiskMedium, guardRisk(boundMode(b))), "holds for fewer containers"
	case more:
		c.Effect, c.Risk, c.Msg = EffectNarrowed, narrowedRisk(boundMode(h)), "holds for more containers"
	default:
		c.Effect, c.Msg = EffectNote, "is said in other words"
	}
	d.add(c, h.Pos)
}

// limits compares what rules of a plane must stay within. It acts on what may be written, not on what may happen today.
func (d *differ) limits(c PolicyChange, b, h *schema.Bound) {
	base, head := limitOf(b, c.Plane), limitOf(h, c.Plane)
	c.Aspect = "only"
	switch {
	case base == nil && head == nil:
	case base == nil:
		c.Effect, c.Msg = EffectNarrowed, "rules must now stay within a limit"
		c.After, c.Details = diffRuleTexts(head.Rules), diffRuleDetails(head.Rules)
		d.add(c, head.Pos)
	case head == nil:
		c.Effect, c.Risk, c.Msg = EffectWidened, RiskMedium, "rules need not stay within a limit any more"
		c.Before, c.Details = diffRuleTexts(base.Rules), diffRuleDetails(base.Rules)
		d.gone(c, base.Pos)
	default:
		risk := func(_ *schema.Rule, widened bool) Risk {
			if widened {
				return RiskMedium
			}
			return RiskNone
		}
		d.diffRules(&diffRuleSet{of: c, words: limitWords, base: base.Rules, head: head.Rules, risk: risk})
	}
}

func limitOf(b *schema.Bound, p schema.Plane) *schema.Limit {
	for i := range b.Only {
		if b.Only[i].Plane == p {
			return &b.Only[i]
		}
	}
	return nil
}

// requirements lists what a bound requires. The value of what is not required is "".
func requirements(r schema.Require) []diffField {
	flag := func(name string, is bool) diffField {
		if is {
			return diffField{name: name, value: "required"}
		}
		return diffField{name: name}
	}
	return []diffField{
		flag("workload", r.Workload), flag("owner", r.Owner), flag("why", r.Why), flag("exec", r.Exec), flag("file", r.File),
		flag("capability", r.Capability), flag("egress", r.Egress), flag("ingress", r.Ingress), flag("image", r.Image),
		flag("signedBy", r.SignedBy), flag("gate", r.Gate), {name: "profile", value: r.Profile},
	}
}

func (d *differ) requires(c PolicyChange, b, h *schema.Bound) {
	base, head := requirements(b.Require), requirements(h.Require)
	for i := range base {
		c := c
		c.Plane, c.Aspect, c.Before, c.After = "", "require", fieldText(base[i]), fieldText(head[i])
		was, is := slices.Index(schema.Profiles, base[i].value), slices.Index(schema.Profiles, head[i].value)
		switch {
		case base[i].value == head[i].value:
			continue
		case head[i].value == "" || is < was:
			c.Effect, c.Risk, c.Msg = EffectWidened, RiskMedium, "requires less"
		default:
			c.Effect, c.Risk, c.Msg = EffectNarrowed, narrowedRisk(boundMode(h)), "requires more"
		}
		d.add(c, h.Pos)
	}
}
