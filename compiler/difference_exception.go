// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"
	"time"

	"github.com/writ-sec/writ/schema"
)

// exceptions compares what suppresses findings, and what is forbidden instead: an exception that ends earlier suppresses less, and its patch
// forbids less.
func (d *differ) exceptions() {
	name := func(x *schema.Exception) string { return x.Name }
	key := func(x *schema.Exception) string {
		c := *x
		c.Name, c.Owner, c.Why, c.Pos, c.Patch = "", "", "", nil, plainRules(x.Patch)
		return diffJSON(c)
	}
	for _, t := range diffPair(d.base.Exceptions, d.head.Exceptions, name, key) {
		if t.base != nil && t.head != nil {
			c := PolicyChange{Kind: "exception", Name: t.head.Name, Owner: t.head.Owner}
			if t.renamed {
				d.renames(c, t.base.Name, t.head.Name, t.head.Pos)
			}
			d.words(c, "owner", t.base.Owner, t.head.Owner, t.head.Pos)
			d.words(c, "why", t.base.Why, t.head.Why, t.head.Pos)
		}
		d.suppresses(t.base, t.head)
		d.patches(t.base, t.head)
	}
}

// suppresses compares the findings that are suppressed.
func (d *differ) suppresses(b, h *schema.Exception) {
	more := h != nil && !d.suppressed(h, d.base.Exceptions)
	less := b != nil && !d.suppressed(b, d.head.Exceptions)
	c := PolicyChange{Kind: "exception", Effect: EffectNote, Msg: "is said in other words"}
	at := describeException(&c, b, h)
	switch {
	case b != nil && h != nil && !more && !less && sameException(b, h):
		return
	case b == nil && more:
		c.Effect, c.Risk, c.Msg = EffectWidened, RiskHigh, "added; its findings no longer deny"
	case h == nil && less:
		c.Effect, c.Msg = EffectNarrowed, "removed; its findings deny again"
	case b == nil:
		c.Msg = "added, and suppresses nothing new"
	case h == nil:
		c.Msg = "removed, and still suppressed by others"
	case more && less:
		c.Effect, c.Risk, c.Msg = EffectWidened, RiskHigh, "suppresses something else"
	case more && later(b.Expires, h.Expires):
		c.Effect, c.Risk, c.Msg = EffectWidened, RiskHigh, "stands longer"
	case more:
		c.Effect, c.Risk, c.Msg = EffectWidened, RiskHigh, "suppresses more"
	case less:
		c.Effect, c.Msg = EffectNarrowed, "suppresses less"
	}
	if h != nil {
		d.add(c, at)
	} else {
		d.gone(c, at)
	}
}

func describeException(c *PolicyChange, b, h *schema.Exception) (at []schema.Pos) {
	for _, x := range []*schema.Exception{b, h} {
		if x != nil {
			c.Name, c.Owner, c.Why, at = x.Name, x.Owner, x.Why, x.Pos
		}
	}
	if b != nil {
		c.Before = exceptionText(b)
	}
	if h != nil {
		c.After = exceptionText(h)
	}
	return at
}

func exceptionText(x *schema.Exception) string {
	return fmt.Sprintf("%s in %s until %s", diffList(x.Findings), diffList(x.Images), x.Expires)
}

func sameException(b, h *schema.Exception) bool {
	return slices.Equal(b.Findings, h.Findings) && slices.Equal(b.Images, h.Images) && b.Expires == h.Expires
}

// suppressed reports whether each finding in each image is suppressed by one of some exceptions, as long as by x.
func (d *differ) suppressed(x *schema.Exception, by []schema.Exception) bool {
	for _, finding := range x.Findings {
		for _, image := range x.Images {
			if !slices.ContainsFunc(by, func(o schema.Exception) bool {
				return slices.Contains(o.Findings, finding) && !later(o.Expires, x.Expires) && d.coversImage(o.Images, image)
			}) {
				return false
			}
		}
	}
	return true
}

func (d *differ) coversImage(broad []string, image string) bool {
	return slices.ContainsFunc(broad, func(b string) bool { return d.cover.image(b, image) })
}

// later reports whether b is later than a. A date that does not parse has always passed.
func later(a, b schema.Date) bool {
	instant := func(d schema.Date) time.Time {
		t, err := d.Instant()
		if err != nil {
			return time.Time{}
		}
		return t
	}
	return instant(b).After(instant(a))
}

// patches compares what is forbidden while exceptions stand.
func (d *differ) patches(b, h *schema.Exception) {
	c := PolicyChange{Kind: "exception", Aspect: "patch"}
	describeException(&c, b, h)
	c.Before, c.After = "", ""
	set := diffRuleSet{words: forbidWords, forbids: true, risk: patchRisk, elsewhere: func(r *schema.Rule, side string) string {
		if side == SideBase {
			return d.patchForbids(h, r, d.base.Exceptions)
		}
		return d.patchForbids(b, r, d.head.Exceptions)
	}}
	if b != nil && h != nil && len(b.Patch) > 0 && len(h.Patch) > 0 {
		d.patchReach(c, b, h)
	}
	for _, p := range schema.Planes {
		set.of, set.base, set.head = c, nil, nil
		set.of.Plane = p
		if b != nil {
			set.base = diffPlaneRules(b.Patch, p)
		}
		if h != nil {
			set.head = diffPlaneRules(h.Patch, p)
		}
		d.diffRules(&set)
	}
}

func patchRisk(_ *schema.Rule, widened bool) Risk {
	if widened {
		return RiskHigh
	}
	return RiskLow
}

// patchForbids names an exception whose patch forbids all of a rule, for the same images, as long as that of x.
func (d *differ) patchForbids(x *schema.Exception, r *schema.Rule, others []schema.Exception) string {
	for i := range others {
		o := &others[i]
		if later(o.Expires, x.Expires) || slices.ContainsFunc(x.Images, func(image string) bool { return !d.coversImage(o.Images, image) }) {
			continue
		}
		if d.coversAll(newDiffIndex(o.Patch, true), r) != nil {
			return "exception " + o.Name
		}
	}
	return ""
}

// patchReach compares for which images, and how long, a patch holds.
func (d *differ) patchReach(c PolicyChange, b, h *schema.Exception) {
	fewer := slices.ContainsFunc(b.Images, func(image string) bool { return !d.coversImage(h.Images, image) }) || later(h.Expires, b.Expires)
	more := slices.ContainsFunc(h.Images, func(image string) bool { return !d.coversImage(b.Images, image) }) || later(b.Expires, h.Expires)
	reach := func(x *schema.Exception) string { return fmt.Sprintf("%s until %s", diffList(x.Images), x.Expires) }
	c.Before, c.After = reach(b), reach(h)
	switch {
	case fewer:
		c.Effect, c.Risk, c.Msg = EffectWidened, RiskHigh, "its patch holds for fewer images, or not as long"
	case more:
		c.Effect, c.Risk, c.Msg = EffectNarrowed, RiskLow, "its patch holds for more images, or longer"
	default:
		return
	}
	d.add(c, h.Pos)
}
