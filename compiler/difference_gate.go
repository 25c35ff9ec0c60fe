// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
)

func (d *differ) gates() {
	name := func(g *schema.Gate) string { return g.Name }
	key := func(g *schema.Gate) string {
		c := *g
		c.Name, c.Owner, c.Why, c.Pos, c.Deny = "", "", "", nil, slices.Clone(g.Deny)
		for i := range c.Deny {
			c.Deny[i].ID, c.Deny[i].Why, c.Deny[i].Pos = 0, "", nil
		}
		return diffJSON(c)
	}
	for _, t := range diffPair(d.base.Gates, d.head.Gates, name, key) {
		switch {
		case t.base == nil:
			d.add(PolicyChange{Effect: EffectNarrowed, Kind: "gate", Name: t.head.Name, Owner: t.head.Owner, Why: t.head.Why, Msg: "added",
				After: gateText(t.head), Details: gateDetails(t.head)}, t.head.Pos)
		case t.head == nil:
			d.gone(PolicyChange{Effect: EffectWidened, Risk: RiskHigh, Kind: "gate", Name: t.base.Name, Owner: t.base.Owner, Why: t.base.Why, Msg: "removed",
				Before: gateText(t.base), Details: gateDetails(t.base)}, t.base.Pos)
		default:
			if t.renamed {
				d.renames(PolicyChange{Kind: "gate", Name: t.head.Name, Owner: t.head.Owner}, t.base.Name, t.head.Name, t.head.Pos)
			}
			d.gate(t.base, t.head)
		}
	}
}

func gateText(g *schema.Gate) string {
	return fmt.Sprintf("at %s, denies in %d cases", placesText(g.At), len(g.Deny))
}

func gateDetails(g *schema.Gate) []string {
	var out []string
	for i := range g.Deny {
		if i == maxDetails {
			return append(out, fmt.Sprintf("and %d more", len(g.Deny)-i))
		}
		out = append(out, alternativeText(&g.Deny[i]))
	}
	return out
}

func (d *differ) gate(b, h *schema.Gate) {
	c := PolicyChange{Kind: "gate", Name: h.Name, Owner: h.Owner, Why: h.Why}
	d.words(c, "owner", b.Owner, h.Owner, h.Pos)
	d.words(PolicyChange{Kind: c.Kind, Name: c.Name, Owner: c.Owner}, "why", b.Why, h.Why, h.Pos)
	d.alternatives(c, b, h)
	lost, gained := placesLost(b.At, h.At), placesLost(h.At, b.At)
	d.compared(c, diffComparison{aspect: "at", base: placesText(b.At), head: placesText(h.At), wider: lost, narrower: gained,
		more: "stands in fewer places", less: "stands in more places"}, h.Pos)
	grace, hgrace := diffDuration(b.Grace, 0), diffDuration(h.Grace, 0)
	d.compared(c, diffComparison{aspect: "grace", base: b.Grace, head: h.Grace, wider: hgrace > grace, narrower: hgrace < grace,
		more: "grace is longer", less: "grace is shorter"}, h.Pos)
	fresh, hfresh := diffDuration(b.Fresh, math.MaxInt64), diffDuration(h.Fresh, math.MaxInt64)
	d.compared(c, diffComparison{aspect: "fresh", base: b.Fresh, head: h.Fresh, wider: hfresh > fresh, narrower: hfresh < fresh,
		more: "verdicts may be older", less: "verdicts must be newer"}, h.Pos)
	for _, a := range []struct{ aspect, base, head, standard string }{{"stale", b.Stale, h.Stale, "warn"}, {"missing", b.Missing, h.Missing, "deny"}} {
		base, head := cmp.Or(a.base, a.standard), cmp.Or(a.head, a.standard)
		was, is := slices.Index(gateActions, base), slices.Index(gateActions, head)
		d.compared(c, diffComparison{aspect: a.aspect, base: base, head: head, wider: is < was, narrower: is > was,
			more: "a verdict that is " + a.aspect + " stops less", less: "a verdict that is " + a.aspect + " stops more"}, h.Pos)
	}
}

// gateActions orders what happens with old and missing verdicts, from the weakest.
var gateActions = []string{"admit", "warn", "deny"}

// diffComparison is one property of a thing on both sides, and what it means that it changes.
type diffComparison struct {
	aspect, base, head string
	wider, narrower    bool
	more, less         string // the messages for wider and for narrower
	risk               Risk   // if it is wider; 0 is high
}

// compared adds a change if a property differs.
func (d *differ) compared(c PolicyChange, p diffComparison, at []schema.Pos) {
	if p.base == p.head && !p.wider && !p.narrower {
		return
	}
	c.Aspect, c.Before, c.After = p.aspect, p.base, p.head
	switch {
	case p.wider:
		c.Effect, c.Risk, c.Msg = EffectWidened, RiskHigh, p.more
		if p.risk != 0 {
			c.Risk = p.risk
		}
	case p.narrower:
		c.Effect, c.Msg = EffectNarrowed, p.less
	default:
		c.Effect, c.Msg = EffectNote, "is said in other words"
	}
	d.add(c, at)
}

// diffDuration returns a duration of Go, or another value if there is none. What does not parse is as if there were none.
func diffDuration(s string, none time.Duration) time.Duration {
	t, err := time.ParseDuration(s)
	if err != nil {
		return none
	}
	return t
}

// gatePlaces returns where a gate stands. The zero GateAt is everywhere.
func gatePlaces(at schema.GateAt) []string {
	all := at == schema.GateAt{}
	var out []string
	for _, p := range []struct {
		name string
		is   bool
	}{{"build", at.Build}, {"registry", at.Registry}, {"admission", at.Admission}, {"runtime", at.Runtime}} {
		if p.is || all {
			out = append(out, p.name)
		}
	}
	return out
}

func placesText(at schema.GateAt) string { return strings.Join(gatePlaces(at), ", ") }

func placesLost(base, head schema.GateAt) bool {
	return slices.ContainsFunc(gatePlaces(base), func(p string) bool { return !slices.Contains(gatePlaces(head), p) })
}

// alternatives compares the ways in which a gate denies. One that another one includes adds nothing.
func (d *differ) alternatives(c PolicyChange, b, h *schema.Gate) {
	c.Aspect = "deny"
	name := func(a *schema.Alternative) string { return a.Class + " " + a.Name }
	for _, t := range diffPair(b.Deny, h.Deny, name) {
		c := c
		more := t.head != nil && !d.denied(t.head, b.Deny)
		less := t.base != nil && !d.denied(t.base, h.Deny)
		if t.base != nil {
			c.Before, c.Why, c.Rule = alternativeText(t.base), t.base.Why, t.base.ID
		}
		if t.head != nil {
			c.After, c.Why, c.Rule = alternativeText(t.head), t.head.Why, t.head.ID
		}
		switch {
		case t.base == nil && more:
			c.Effect, c.Msg = EffectNarrowed, "newly denied"
		case t.head == nil && less:
			c.Effect, c.Risk, c.Msg = EffectWidened, RiskHigh, "no longer denied"
		case t.base == nil:
			c.Effect, c.Msg = EffectNote, "says nothing new"
		case t.head == nil:
			c.Effect, c.Msg = EffectNote, "is gone, and still denied by others"
		case less:
			c.Effect, c.Risk, c.Msg = EffectWidened, RiskHigh, "denies less"
		case more:
			c.Effect, c.Msg = EffectNarrowed, "denies more"
		case c.Before != c.After:
			c.Effect, c.Msg = EffectNote, "is said in other words"
		default:
			d.words(PolicyChange{Kind: c.Kind, Name: c.Name, Owner: c.Owner}, "why", t.base.Why, t.head.Why, t.head.Pos)
			continue
		}
		if t.head == nil {
			d.gone(c, t.base.Pos)
		} else {
			d.add(c, t.head.Pos)
		}
	}
}

// denied reports whether one of some alternatives denies all that a does.
func (d *differ) denied(a *schema.Alternative, by []schema.Alternative) bool {
	return slices.ContainsFunc(by, func(o schema.Alternative) bool { return d.coversAlternative(&o, a) })
}

var diffSeverities = []string{"", "UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"}

func (d *differ) coversAlternative(broad, narrow *schema.Alternative) bool {
	pattern := func(b, n string) bool { return b == "" || n != "" && d.cover.glob(b, n, globLine) }
	flag := func(b, n *bool) bool { return b == nil || n != nil && *b == *n }
	return broad.Class == narrow.Class &&
		slices.Index(diffSeverities, broad.Severity) <= slices.Index(diffSeverities, narrow.Severity) &&
		pattern(broad.Finding, narrow.Finding) && pattern(broad.Package, narrow.Package) && flag(broad.Fixable, narrow.Fixable) &&
		flag(broad.Root, narrow.Root) && flag(broad.Signed, narrow.Signed) &&
		diffDuration(broad.OlderThan, 0) <= diffDuration(narrow.OlderThan, 0) &&
		(broad.Base == "" || narrow.Base != "" && d.cover.image(broad.Base, narrow.Base))
}

// alternativeText says one way in which a gate denies.
func alternativeText(a *schema.Alternative) string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+" "+value)
		}
	}
	flag := func(name string, value *bool) {
		if value != nil {
			parts = append(parts, name+" "+strconv.FormatBool(*value))
		}
	}
	if a.Severity != "" {
		add("severity", a.Severity+" or above")
	}
	add("finding", a.Finding)
	add("package", a.Package)
	flag("fixable", a.Fixable)
	add("older than", a.OlderThan)
	add("base", a.Base)
	flag("root", a.Root)
	flag("signed", a.Signed)
	if parts == nil {
		parts = []string{"any"}
	}
	return a.Class + " " + a.Name + ": " + strings.Join(parts, ", ")
}

// signers compares who may sign. A signer of the policy counts where a workload names it, and where a gate asks for any signature.
func (d *differ) signers() {
	name := func(s *schema.Signer) string { return s.Name }
	key := func(s *schema.Signer) string {
		c := *s
		c.Name, c.Owner, c.Why, c.Pos = "", "", "", nil
		return diffJSON(c)
	}
	for _, t := range diffPair(d.base.Signers, d.head.Signers, name, key) {
		switch b, h := t.base, t.head; {
		case b == nil:
			d.add(PolicyChange{Effect: EffectWidened, Risk: RiskMedium, Kind: "signer", Name: h.Name, Owner: h.Owner, Why: h.Why, Msg: "added",
				After: signerText(h)}, h.Pos)
		case h == nil:
			d.gone(PolicyChange{Effect: EffectNarrowed, Kind: "signer", Name: b.Name, Owner: b.Owner, Why: b.Why, Msg: "removed", Before: signerText(b)}, b.Pos)
		default:
			c := PolicyChange{Kind: "signer", Name: h.Name, Owner: h.Owner}
			if t.renamed {
				d.renames(c, b.Name, h.Name, h.Pos)
			}
			d.words(c, "owner", b.Owner, h.Owner, h.Pos)
			d.words(c, "why", b.Why, h.Why, h.Pos)
			d.compared(c, diffComparison{aspect: "identity", base: signerText(b), head: signerText(h),
				wider: !d.coversSigner(b, h), narrower: !d.coversSigner(h, b), more: "others may sign", less: "fewer may sign"}, h.Pos)
		}
	}
}

func (d *differ) coversSigner(broad, narrow *schema.Signer) bool {
	if narrow.Key != "" || narrow.Keyless == nil || broad.Keyless == nil {
		return strings.TrimSpace(broad.Key) == strings.TrimSpace(narrow.Key) && sameJSON(broad.Keyless, narrow.Keyless)
	}
	return broad.Key == "" && broad.Keyless.Issuer == narrow.Keyless.Issuer && d.cover.glob(broad.Keyless.Identity, narrow.Keyless.Identity, globURI)
}

func signerText(s *schema.Signer) string {
	if s.Keyless != nil {
		return s.Keyless.Identity + " by " + s.Keyless.Issuer
	}
	return "the key " + strings.Join(strings.Fields(pemBody(s.Key)), "")
}

// pemBody returns what stands between the lines of a PEM block (RFC 7468).
func pemBody(key string) string {
	_, rest, ok := strings.Cut(key, "-----\n")
	body, _, ends := strings.Cut(rest, "-----")
	if !ok || !ends {
		return key
	}
	return body
}
