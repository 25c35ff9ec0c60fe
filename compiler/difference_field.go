// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// diffField is one thing that an author states, as people read it. It is not stated if its value is "".
type diffField struct {
	name, value string
	key         string // which of several of the name; of an author's words
	// effect says what it means that the field changes from a value to another, either of which may be "". None: EffectChanged.
	effect func(base, head string) Effect
}

func fieldText(f diffField) string {
	if f.value == "" {
		return ""
	}
	if f.key != "" {
		return f.name + " " + f.key + " " + f.value
	}
	return f.name + " " + f.value
}

// diffThing is what authors state of kinds that are compared field by field.
type diffThing struct {
	name, owner, why string
	fields           []diffField
	added, removed   Effect // what it means that it comes or goes
	at               []schema.Pos
}

// things compares the things of a kind.
func (d *differ) things(kind string, base, head []diffThing) {
	name := func(t *diffThing) string { return t.name }
	key := func(t *diffThing) string {
		words := make([]string, len(t.fields))
		for i, f := range t.fields {
			words[i] = fieldText(f)
		}
		return diffJSON(words)
	}
	for _, t := range diffPair(base, head, name, key) {
		switch b, h := t.base, t.head; {
		case b == nil:
			c := PolicyChange{Effect: h.added, Kind: kind, Name: h.name, Owner: h.owner, Why: h.why, Msg: "added", After: fieldsText(h.fields)}
			c.Risk = fieldRisk(c.Effect)
			d.add(c, h.at)
		case h == nil:
			c := PolicyChange{Effect: b.removed, Kind: kind, Name: b.name, Owner: b.owner, Why: b.why, Msg: "removed", Before: fieldsText(b.fields)}
			c.Risk = max(RiskLow, fieldRisk(c.Effect))
			d.gone(c, b.at)
		default:
			c := PolicyChange{Kind: kind, Name: h.name, Owner: h.owner}
			if t.renamed {
				d.renames(c, b.name, h.name, h.at)
			}
			d.words(c, "owner", b.owner, h.owner, h.at)
			d.words(c, "why", b.why, h.why, h.at)
			c.Why = h.why
			d.fields(c, b, h)
		}
	}
}

// fields compares two things field by field. Fields that come and go, such as those of a map, are found by name.
func (d *differ) fields(c PolicyChange, b, h *diffThing) {
	name := func(f *diffField) string { return f.name + " " + f.key }
	for _, t := range diffPair(b.fields, h.fields, name) {
		c, f := c, t.head
		if f == nil {
			f = t.base
		}
		if t.base != nil {
			c.Before = t.base.value
		}
		if t.head != nil {
			c.After = t.head.value
		}
		if c.Before == c.After {
			continue
		}
		c.Aspect, c.Key, c.Effect, c.Msg = f.name, f.key, EffectChanged, changeWord(f.name, c.Before, c.After)
		if f.effect != nil {
			c.Effect = f.effect(c.Before, c.After)
		}
		c.Risk = fieldRisk(c.Effect)
		d.add(c, h.at)
	}
}

func fieldRisk(e Effect) Risk {
	if e == EffectWidened {
		return RiskMedium
	}
	return RiskNone
}

func fieldsText(fields []diffField) string {
	var words []string
	for _, f := range fields {
		if s := fieldText(f); s != "" {
			words = append(words, s)
		}
	}
	return strings.Join(words, "; ")
}

// thingsOf makes the things of one side.
func thingsOf[T any](all []T, of func(*T) diffThing) []diffThing {
	out := make([]diffThing, len(all))
	for i := range all {
		out[i] = of(&all[i])
	}
	return out
}

// countText says a count, or nothing for none.
func countText[T int | int64](n T) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// flagText says a flag.
func flagText(is bool) string {
	if is {
		return "yes"
	}
	return ""
}

// joined joins names without leaving any out: the text is compared.
func joined(names []string) string { return strings.Join(slices.Sorted(slices.Values(names)), ", ") }

// mapFields makes a field of each entry of a map.
func mapFields[V any](m map[string]V, what string, text func(V) string) []diffField {
	var out []diffField
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, diffField{name: what, key: k, value: text(m[k])})
	}
	return out
}

// guardEffect returns the effects of a guard that comes, changes, as weaker decides, and goes.
func guardEffect(weaker func(base, head string) bool) func(base, head string) Effect {
	return func(base, head string) Effect {
		switch {
		case base == "":
			return EffectNarrowed
		case head == "" || weaker(base, head):
			return EffectWidened
		}
		return EffectNarrowed
	}
}
