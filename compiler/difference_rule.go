// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// diffRuleSet is rules of one plane on both sides, and what it means that there are more or less of them.
type diffRuleSet struct {
	of      PolicyChange                            // Kind, Name, Plane, Aspect and Owner of the changes
	words   diffWords                               //
	forbids bool                                    // the rules forbid
	base    []schema.Rule                           // sorted by verb and object
	head    []schema.Rule                           // the same
	risk    func(r *schema.Rule, widened bool) Risk // of a rule that comes or goes
	// elsewhere says who else on a side says the same as the rule, or "". It may be nil.
	elsewhere func(r *schema.Rule, side string) string
}

// diffWords are the messages for rules that come, go, and change.
type diffWords struct{ added, removed, more, less, other string }

var (
	allowWords  = diffWords{"newly allowed", "no longer allowed", "allows more", "allows less", "allows something else"}
	forbidWords = diffWords{"newly forbidden", "no longer forbidden", "forbids more", "forbids less", "forbids something else"}
	limitWords  = diffWords{"workloads may now state", "workloads may no longer state", "the limit is wider", "the limit is narrower", "the limit is another"}
)

// diffRules compares rules by what they cover. One that covers all of some that are gone replaces them, in one change.
func (d *differ) diffRules(s *diffRuleSet) {
	base, head, pairs := splitRules(s.base, s.head)
	if len(base)+len(head)+len(pairs) == 0 {
		return
	}
	c := &diffRuleComparison{differ: d, set: s, inBase: newDiffIndex(s.base, s.forbids), inHead: newDiffIndex(s.head, s.forbids)}
	for _, p := range pairs {
		c.changed([]*schema.Rule{p[0]}, []*schema.Rule{p[1]})
	}
	base, head = c.replaced(base, head, c.changed)
	head, base = c.replaced(head, base, func(added, gone []*schema.Rule) { c.changed(gone, added) })
	for _, r := range base {
		c.changed([]*schema.Rule{r}, nil)
	}
	for _, r := range head {
		c.changed(nil, []*schema.Rule{r})
	}
}

// coversRule reports whether one rule alone covers all of another.
func (d *differ) coversRule(broad, narrow *schema.Rule, forbids bool) bool {
	for _, a := range diffAtoms(narrow) {
		if a.forbids = forbids; !d.covers(broad, a) {
			return false
		}
	}
	return true
}

// splitRules returns the rules that are on one side alone, and pairs with one verb and object that differ. Rules that are the same are left out.
func splitRules(base, head []schema.Rule) (onlyBase, onlyHead []*schema.Rule, pairs [][2]*schema.Rule) {
	type key struct {
		verb   schema.Verb
		object string
	}
	if sameRules(base, head) {
		return nil, nil, nil
	}
	inHead := make(map[key]*schema.Rule, len(head))
	for i := range head {
		inHead[key{head[i].Verb, head[i].Object}] = &head[i]
	}
	for i := range base {
		b := &base[i]
		k := key{b.Verb, b.Object}
		h := inHead[k]
		delete(inHead, k)
		switch {
		case h == nil:
			onlyBase = append(onlyBase, b)
		case !sameRule(b, h):
			pairs = append(pairs, [2]*schema.Rule{b, h})
		}
	}
	for i := range head {
		if inHead[key{head[i].Verb, head[i].Object}] == &head[i] {
			onlyHead = append(onlyHead, &head[i])
		}
	}
	return onlyBase, onlyHead, pairs
}

func sameRules(a, b []schema.Rule) bool {
	for i := range a {
		if i >= len(b) || !sameRule(&a[i], &b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

// sameRule reports whether two rules are the same, reason included, but for their IDs and lines.
func sameRule(a, b *schema.Rule) bool {
	return a.Plane == b.Plane && a.Verb == b.Verb && a.Object == b.Object && a.Why == b.Why && a.L4 == b.L4 &&
		slices.Equal(a.Parents, b.Parents) && slices.Equal(a.Values, b.Values) && slices.Equal(a.HTTP, b.HTTP) &&
		slices.Equal(a.GRPC, b.GRPC) && slices.Equal(a.TLS, b.TLS) && samePeer(a.Peer, b.Peer)
}

func samePeer(a, b *schema.Peer) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Namespace == b.Namespace && a.CIDR == b.CIDR && a.DNS == b.DNS && a.Port == b.Port && a.Protocol == b.Protocol &&
		a.Workload == b.Workload && sameJSON(a.Match, b.Match) && sameJSON(a.Namespaces, b.Namespaces)
}

// diffRuleComparison is a ruleSet with what finds rules in it.
type diffRuleComparison struct {
	*differ
	set            *diffRuleSet
	inBase, inHead *diffIndex
}

// replaced calls changed for each rule of broad that covers some of narrow, with those, and returns the rest of both.
func (c *diffRuleComparison) replaced(narrow, broad []*schema.Rule, changed func(narrow, broad []*schema.Rule)) (restNarrow, restBroad []*schema.Rule) {
	for _, b := range broad {
		var taken []*schema.Rule
		narrow = slices.DeleteFunc(narrow, func(n *schema.Rule) bool {
			if !c.coversRule(b, n, c.set.forbids) {
				return false
			}
			taken = append(taken, n)
			return true
		})
		if taken == nil {
			restBroad = append(restBroad, b)
			continue
		}
		changed(taken, []*schema.Rule{b})
	}
	return narrow, restBroad
}

// changed adds the change from some rules to others.
func (c *diffRuleComparison) changed(base, head []*schema.Rule) {
	more := slices.ContainsFunc(head, func(r *schema.Rule) bool { return c.coversAll(c.inBase, r) == nil })
	less := slices.ContainsFunc(base, func(r *schema.Rule) bool { return c.coversAll(c.inHead, r) == nil })
	if !more && !less && len(base) == 1 && len(head) == 1 && c.onlyPeerRenamed(*base[0], *head[0]) {
		return
	}
	ch := c.set.of
	ch.Before, ch.After = c.text(base), c.text(head)
	at := append(slices.Clone(head), base...)[0]
	ch.Rule, ch.Why = at.ID, at.Why
	if more = more && c.elsewhere(head, SideBase) == ""; !more && len(base) == 0 {
		ch.Effect, ch.Msg, ch.By = EffectNote, "says nothing new", c.other(c.inBase, head, SideBase)
	} else if less = less && c.elsewhere(base, SideHead) == ""; !less && len(head) == 0 {
		ch.Effect, ch.Msg, ch.By = EffectNote, "is gone, and still said elsewhere", c.other(c.inHead, base, SideHead)
	} else {
		c.judge(&ch, base, head, more, less)
	}
	if len(head) > 0 {
		c.add(ch, at.Pos)
	} else {
		c.gone(ch, at.Pos)
	}
}

// judge decides what it means that more or less is covered than before.
func (c *diffRuleComparison) judge(ch *PolicyChange, base, head []*schema.Rule, more, less bool) {
	widened, narrowed := more, less
	if c.set.forbids {
		widened, narrowed = less, more
	}
	switch {
	case widened:
		ch.Effect = EffectWidened
	case narrowed:
		ch.Effect = EffectNarrowed
	default:
		ch.Effect = EffectNote
	}
	w := c.set.words
	switch {
	case len(base) == 0:
		ch.Msg = w.added
	case len(head) == 0:
		ch.Msg = w.removed
	case more && less:
		ch.Msg = w.other
	case more:
		ch.Msg = w.more
	case less:
		ch.Msg = w.less
	case base[0].Why != head[0].Why && equalButWhy(*base[0], *head[0]):
		ch.Aspect, ch.Key, ch.Before, ch.After, ch.Why = "why", ch.After, base[0].Why, head[0].Why, ""
		ch.Msg = changeWord("why", ch.Before, ch.After)
	default:
		ch.Msg = "is said in other words"
	}
	if ch.Effect == EffectNote {
		return
	}
	for _, r := range slices.Concat(base, head) {
		ch.Risk = max(ch.Risk, c.set.risk(r, widened))
	}
	layer7 := func(r *schema.Rule) bool { return r.Layer7() && !r.L4 }
	if widened && slices.ContainsFunc(base, layer7) && !slices.ContainsFunc(head, layer7) {
		ch.Risk = max(ch.Risk, RiskMedium) // requests are no longer looked at
	}
}

// onlyPeerRenamed reports whether two rules differ in nothing but what their peer is called, which is noted at the peer.
func (c *diffRuleComparison) onlyPeerRenamed(base, head schema.Rule) bool {
	if base.Peer == nil {
		return false
	}
	peer := *base.Peer
	peer.Workload = c.headName("workload", peer.Workload)
	base.Peer = &peer
	return sameRule(&base, &head)
}

func equalButWhy(a, b schema.Rule) bool {
	a.Why = b.Why
	return sameRule(&a, &b)
}

// elsewhere names who says the same as all the rules on a side, outside the set.
func (c *diffRuleComparison) elsewhere(rules []*schema.Rule, side string) string {
	name := ""
	for _, r := range rules {
		if c.set.elsewhere == nil {
			return ""
		}
		if name = c.set.elsewhere(r, side); name == "" {
			return ""
		}
	}
	return name
}

// other says which rule covers those that say nothing new, or who does.
func (c *diffRuleComparison) other(x *diffIndex, rules []*schema.Rule, side string) string {
	if by := c.coversAll(x, rules[0]); by != nil {
		return diffRuleText(by)
	}
	return c.elsewhere(rules, side)
}

// maxListed is how many things one line of text lists. What is left out is counted.
const maxListed = 8

func (c *diffRuleComparison) text(rules []*schema.Rule) string {
	words := make([]string, 0, min(len(rules), maxListed))
	for i, r := range rules {
		if i == maxListed {
			return strings.Join(words, ", ") + countMore(len(rules)-i)
		}
		words = append(words, diffRuleText(r))
	}
	return strings.Join(words, ", ")
}
