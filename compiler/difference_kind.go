// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// folders compares what files below a folder may speak of. Nothing happens at once, but others may now widen.
func (d *differ) folders() {
	name := func(f *schema.Folder) string { return f.Path }
	for _, t := range diffPair(d.base.Folders, d.head.Folders, name) {
		switch b, h := t.base, t.head; {
		case b == nil:
			c := PolicyChange{Effect: EffectWidened, Risk: RiskMedium, Kind: "folder", Name: h.Path, Owner: h.Owner, Msg: "added; files below it may speak of this",
				After: folderText(h)}
			if slices.ContainsFunc(d.base.Folders, func(above schema.Folder) bool { return isWithin(h.Path, above.Path) }) {
				c.Effect, c.Risk, c.Msg = EffectNarrowed, RiskNone, "added; files below it may speak of no more than this"
			}
			d.add(c, h.Pos)
		case h == nil:
			d.gone(PolicyChange{Effect: EffectWidened, Risk: RiskMedium, Kind: "folder", Name: b.Path, Owner: b.Owner,
				Msg: "removed; files below it are bound by folders above alone", Before: folderText(b)}, b.Pos)
		default:
			c := PolicyChange{Kind: "folder", Name: h.Path, Owner: h.Owner}
			d.words(c, "owner", b.Owner, h.Owner, h.Pos)
			d.flag(c, "host", "files below it may select the host", b.Host, h.Host, h.Pos)
			d.folderImages(c, b, h)
			lost := slices.ContainsFunc(b.Namespaces, func(n string) bool { return !slices.Contains(h.Namespaces, n) })
			added := slices.ContainsFunc(h.Namespaces, func(n string) bool { return !slices.Contains(b.Namespaces, n) })
			if lost || added {
				d.compared(c, diffComparison{aspect: "namespaces", base: joined(b.Namespaces), head: joined(h.Namespaces), wider: added, narrower: lost,
					more: "files below it may speak of more namespaces", less: "files below it may speak of fewer namespaces", risk: RiskMedium}, h.Pos)
			}
		}
	}
}

// folderImages compares the images that exceptions below a folder may speak of.
func (d *differ) folderImages(c PolicyChange, b, h *schema.Folder) {
	outside := func(of, within schema.Names) bool {
		return slices.ContainsFunc(of, func(n string) bool { return !d.coversImage(within, n) })
	}
	lost, added := outside(b.Images, h.Images), outside(h.Images, b.Images)
	if lost || added {
		d.compared(c, diffComparison{aspect: "images", base: joined(b.Images), head: joined(h.Images), wider: added, narrower: lost,
			more: "exceptions below it may speak of more images", less: "exceptions below it may speak of fewer images", risk: RiskMedium}, h.Pos)
	}
}

func folderText(f *schema.Folder) string {
	s := "namespaces " + diffQuoted(f.Namespaces)
	if len(f.Images) > 0 {
		s += ", exceptions for images " + diffQuoted(f.Images)
	}
	if f.Host {
		s += ", host"
	}
	return s
}

// registries compares what is scanned. A registry with a gate holds images against it.
func (d *differ) registries() {
	of := func(r *schema.Registry) diffThing {
		t := diffThing{name: r.Name, owner: r.Owner, why: r.Why, at: r.Pos, added: EffectChanged, removed: EffectChanged}
		var guard func(base, head string) Effect
		if r.Gate != "" {
			t.added, t.removed = EffectNarrowed, EffectWidened
			guard = func(_, _ string) Effect { return EffectWidened } // whether what is scanned now includes what was is not decided
		}
		all := "all"
		if len(r.Repositories) > 0 {
			all = "those listed"
		}
		t.fields = []diffField{
			{name: "host", value: r.Host, effect: guard},
			{name: "repositories", value: all, effect: guard},
			{name: "every", value: r.Every},
			{name: "gate", value: r.Gate, effect: guardEffect(func(_, _ string) bool { return true })},
		}
		for _, f := range mapFields(r.Repositories, "repository", repositoryText) {
			if r.Gate != "" {
				f.effect = guardEffect(func(_, _ string) bool { return true })
			}
			t.fields = append(t.fields, f)
		}
		return t
	}
	base := thingsOf(d.base.Registries, func(r *schema.Registry) diffThing {
		c := *r
		c.Gate = d.headName("gate", r.Gate)
		return of(&c)
	})
	d.things("registry", base, thingsOf(d.head.Registries, of))
}

func repositoryText(r schema.Repository) string {
	s := "all tags"
	if len(r.Tags) > 0 {
		s = "tags " + joined(r.Tags)
	}
	if r.Semver != "" {
		s += ", versions " + r.Semver
	}
	return s
}

// responses compares what is done when something happens. To stop a container is a guard; to tell of it, or to record it, is not.
func (d *differ) responses() {
	d.things("response", thingsOf(d.base.Responses, func(r *schema.Response) diffThing {
		c := *r
		c.On.Workload, c.On.Bound, c.On.Gate = d.headName("workload", r.On.Workload), d.headName("bound", r.On.Bound), d.headName("gate", r.On.Gate)
		c.Do.Notify = nil
		for _, n := range r.Do.Notify {
			c.Do.Notify = append(c.Do.Notify, d.headName("notify", n))
		}
		return responseThing(&c)
	}), thingsOf(d.head.Responses, responseThing))
}

func responseThing(r *schema.Response) diffThing {
	t := diffThing{name: r.Name, owner: r.Owner, why: r.Why, at: r.Pos, added: EffectChanged, removed: EffectChanged}
	shorter := func(base, head string) bool { return diffDuration(head, 0) < diffDuration(base, 0) }
	never := func(_, _ string) bool { return false }
	mode := diffMode{r.Mode, r.Then, r.After}
	on := []diffField{
		{name: "on workload", value: r.On.Workload}, {name: "on plane", value: string(r.On.Plane)}, {name: "on verdict", value: string(r.On.Verdict)},
		{name: "on bound", value: r.On.Bound}, {name: "on gate", value: r.On.Gate}, {name: "on severity", value: r.On.Severity},
		{name: "on count", value: countText(r.On.Count)}, {name: "on within", value: r.On.Within},
	}
	modeField := diffField{name: "mode", value: mode.String()}
	if r.Do.Quarantine != "" || r.Do.Kill {
		t.added, t.removed = EffectNarrowed, EffectWidened
		for i := range on {
			on[i].effect = conditionEffect
		}
		modeField.effect = func(base, head string) Effect { // only in enforce is a container stopped
			switch enforce := string(schema.ModeEnforce); {
			case strings.Contains(base, enforce):
				return EffectWidened
			case strings.Contains(head, enforce):
				return EffectNarrowed
			}
			return EffectChanged
		}
	}
	t.fields = append(on, modeField,
		diffField{name: "quarantine", value: r.Do.Quarantine, effect: guardEffect(shorter)},
		diffField{name: "kill", value: flagText(r.Do.Kill), effect: guardEffect(never)},
		diffField{name: "capture", value: r.Do.Capture},
		diffField{name: "notify", value: joined(r.Do.Notify)},
	)
	return t
}

// conditionEffect is that of a condition under which a guard acts: without it the guard acts more often.
func conditionEffect(_, head string) Effect {
	if head == "" {
		return EffectNarrowed
	}
	return EffectWidened
}

func (d *differ) notify() {
	of := func(n *schema.Notify) diffThing {
		return diffThing{name: n.Name, owner: n.Owner, why: n.Why, at: n.Pos, added: EffectChanged, removed: EffectChanged, fields: []diffField{
			{name: "kind", value: n.Kind}, {name: "to", value: n.To}, {name: "secret", value: n.Secret}, {name: "severity", value: n.Severity},
			{name: "limit", value: countText(n.Limit)},
		}}
	}
	d.things("notify", thingsOf(d.base.Notify, of), thingsOf(d.head.Notify, of))
}

func (d *differ) benchmarks() {
	of := func(b *schema.Benchmark) diffThing {
		skips := mapFields(b.Skip, "skip", func(s schema.Skip) string {
			words := s.Why
			if s.Expires != "" {
				words += ", until " + string(s.Expires)
			}
			return strings.TrimSpace(words + " " + s.Owner)
		})
		return diffThing{name: b.Name, owner: b.Owner, why: b.Why, at: b.Pos, added: EffectChanged, removed: EffectChanged, fields: append([]diffField{
			{name: "profile", value: b.Profile}, {name: "level", value: countText(max(b.Level, 1))}, {name: "every", value: b.Every},
		}, skips...)}
	}
	d.things("benchmark", thingsOf(d.base.Benchmarks, of), thingsOf(d.head.Benchmarks, of))
}

func (d *differ) checks() {
	of := func(c *schema.Check) diffThing {
		must := mapFields(c.Must, "must", func(a schema.Assertion) string { return diffJSON(a) })
		return diffThing{name: c.Name, owner: c.Owner, why: c.Why, at: c.Pos, added: EffectChanged, removed: EffectChanged, fields: append([]diffField{
			{name: "of", value: checkOfText(c.Of)}, {name: "severity", value: c.Severity}, {name: "remediation", value: c.Remediation},
		}, must...)}
	}
	d.things("check", thingsOf(d.base.Checks, of), thingsOf(d.head.Checks, of))
}

func checkOfText(o schema.CheckOf) string {
	s := o.APIVersion + " " + o.Kind
	if m := (schema.Match{Namespace: o.Namespace, Labels: o.Labels}); !m.Zero() {
		s += " with " + diffMatchText(m)
	}
	return s
}

// tests compares what must be so. A test guards the policy, and decides nothing itself.
func (d *differ) tests() {
	of := func(t *schema.Test) diffThing {
		return diffThing{name: t.Name, why: t.Why, at: t.Pos, added: EffectChanged, removed: EffectChanged, fields: []diffField{
			{name: "in", value: t.In}, {name: "event", value: diffJSON(t.Event)}, {name: "is", value: ActionWord(t.Is)}, {name: "by", value: t.By},
			{name: "at", value: string(t.At)},
		}}
	}
	d.things("test", thingsOf(d.base.Tests, func(t *schema.Test) diffThing {
		c := *t
		c.In = d.headName("workload", t.In)
		return of(&c)
	}), thingsOf(d.head.Tests, of))
}

// budget compares what the policy may cost.
func (d *differ) budget() {
	of := func(b schema.Budget) diffThing {
		return diffThing{at: b.Pos, fields: []diffField{
			{name: "nodeEntries", value: countText(b.NodeEntries)}, {name: "nodeBytes", value: countText(b.NodeBytes)},
			{name: "objects", value: countText(b.Objects)}, {name: "objectBytes", value: countText(b.ObjectBytes)},
		}}
	}
	b, h := of(d.base.Budget), of(d.head.Budget)
	d.fields(PolicyChange{Kind: "budget"}, &b, &h)
}
