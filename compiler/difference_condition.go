// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// diffConditions are those of the image plane, with what each demands.
var diffConditions = []struct {
	verb schema.Verb
	says string
}{
	{schema.VerbRun, "which images may run"},
	{schema.VerbSigned, "a signature"},
	{schema.VerbPass, "to pass a gate"},
}

// imagePlane compares the conditions on images. Each that is named must hold.
func (d *differ) imagePlane(c PolicyChange, base, head []schema.Rule, bc, hc *schema.Closure) {
	for _, condition := range diffConditions {
		c, verb := c, condition.verb
		c.Aspect = string(verb)
		b, h := d.rulesWithNames(diffVerbRules(base, verb)), diffVerbRules(head, verb)
		switch inBase, inHead := bc.Names(verb), hc.Names(verb); {
		case !inBase && !inHead:
		case inBase && !inHead:
			c.Effect, c.Risk, c.Msg = EffectWidened, guardRisk(diffModeOf(bc)), "no longer demands "+condition.says
			c.Before, c.Details = diffRuleTexts(b), diffRuleDetails(b)
			d.gone(c, bc.Pos)
		case !inBase && inHead:
			c.Effect, c.Risk, c.Msg = EffectNarrowed, narrowedRisk(diffModeOf(hc)), "now demands "+condition.says
			c.After, c.Details = diffRuleTexts(h), diffRuleDetails(h)
			d.add(c, hc.Pos)
		case verb == schema.VerbPass:
			d.gateNamed(c, b, h, bc, hc)
		default:
			c.Aspect = "rule"
			d.diffRules(&diffRuleSet{of: c, words: allowWords, base: b, head: h, risk: ruleRisk(bc, hc)})
		}
	}
}

// gateNamed compares the gates that images must pass, each of them. What passes one may not pass another.
func (d *differ) gateNamed(c PolicyChange, b, h []schema.Rule, bc, hc *schema.Closure) {
	named := func(all []schema.Rule, r schema.Rule) bool {
		return slices.ContainsFunc(all, func(x schema.Rule) bool { return x.Object == r.Object })
	}
	lost := slices.ContainsFunc(b, func(r schema.Rule) bool { return !named(h, r) }) || len(b) == 0 && len(h) > 0 // nothing passes no gate
	added := slices.ContainsFunc(h, func(r schema.Rule) bool { return !named(b, r) })
	if !lost && !added {
		return
	}
	c.Before, c.After, c.Effect, c.Risk, c.Msg = diffRuleTexts(b), diffRuleTexts(h), EffectWidened, guardRisk(diffModeOf(bc)), "demands to pass another gate"
	if !lost || len(h) == 0 {
		c.Effect, c.Risk, c.Msg = EffectNarrowed, narrowedRisk(diffModeOf(hc)), "demands to pass more gates"
	}
	at := hc.Pos
	if len(h) > 0 {
		at, c.Rule = h[0].Pos, h[0].ID
	}
	d.add(c, at)
}

func diffVerbRules(rules []schema.Rule, v schema.Verb) []schema.Rule {
	var out []schema.Rule
	for _, r := range rules {
		if r.Verb == v {
			out = append(out, r)
		}
	}
	return out
}

// rulesWithNames gives signers and gates that base's rules name the names that head has for them.
func (d *differ) rulesWithNames(rules []schema.Rule) []schema.Rule {
	for i := range rules {
		switch r := &rules[i]; r.Verb {
		case schema.VerbSigned:
			r.Object = d.headName("signer", r.Object)
		case schema.VerbPass:
			r.Object = d.headName("gate", r.Object)
		}
	}
	return rules
}

func diffRuleTexts(rules []schema.Rule) string {
	words := make([]string, len(rules))
	for i := range rules {
		words[i] = diffRuleText(&rules[i])
	}
	return diffList(words)
}

// podPlane compares the conditions on Pods, one for each field. Those that a profile spells out, and that change as it does, are its details.
func (d *differ) podPlane(c PolicyChange, b, h *schema.Workload, base, head []schema.Rule, bc, hc *schema.Closure) {
	outer := d.changes
	d.changes = nil
	c.Aspect = "field"
	risk := ruleRisk(bc, hc)
	// A field may have two conditions, one of the profile and one of its own: what is the same belongs together first.
	same := func(r *schema.Rule) string { return r.Object + "=" + diffJSON(r.Values) }
	for _, t := range diffPair(base, head, same, func(r *schema.Rule) string { return r.Object }) {
		c := c
		switch {
		case t.base == nil:
			c.Effect, c.Risk, c.Msg, c.After = EffectNarrowed, risk(t.head, false), "is a condition now", diffRuleText(t.head)
			c.Rule, c.Why = t.head.ID, t.head.Why
			d.add(c, t.head.Pos)
		case t.head == nil:
			c.Effect, c.Risk, c.Msg, c.Before = EffectWidened, risk(t.base, true), "is no longer a condition", diffRuleText(t.base)
			c.Rule, c.Why = t.base.ID, t.base.Why
			d.gone(c, t.base.Pos)
		default:
			d.diffRules(&diffRuleSet{of: c, words: allowWords, base: []schema.Rule{*t.base}, head: []schema.Rule{*t.head}, risk: risk})
		}
	}
	fields := d.changes
	d.changes = outer
	if b.Profile != h.Profile {
		c.Plane = schema.PlanePod
		fields = d.profile(c, b.Profile, h.Profile, fields, hc.Pos)
	}
	d.changes = append(d.changes, fields...)
}

// profile tells of another profile in one change, takes those of fields that go its way as details, and returns the others.
func (d *differ) profile(c PolicyChange, base, head string, fields []PolicyChange, at []schema.Pos) []PolicyChange {
	c.Aspect, c.Before, c.After, c.Effect, c.Msg = "profile", base, head, EffectNote, "changes no condition"
	way := EffectNarrowed
	if slices.Index(schema.Profiles, head) < slices.Index(schema.Profiles, base) {
		way = EffectWidened
	}
	var rest []PolicyChange
	for _, f := range fields {
		if f.Effect != way {
			rest = append(rest, f)
			continue
		}
		c.Effect, c.Risk = way, max(c.Risk, f.Risk)
		switch {
		case f.Before == "":
			c.Details = append(c.Details, fmt.Sprintf("%s: %s", f.Msg, f.After))
		case f.After == "":
			c.Details = append(c.Details, fmt.Sprintf("%s: %s", f.Msg, f.Before))
		default:
			c.Details = append(c.Details, fmt.Sprintf("%s: %s, was %s", f.Msg, f.After, f.Before))
		}
	}
	switch c.Effect {
	case EffectWidened:
		c.Msg = "a weaker profile"
	case EffectNarrowed:
		c.Msg = "a stricter profile"
	}
	slices.Sort(c.Details)
	d.add(c, at)
	return rest
}
