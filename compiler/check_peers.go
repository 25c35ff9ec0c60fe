// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// peerCovers reports whether every connection that narrow stands for is one of broad. A yes is certain.
func peerCovers(broad, narrow *schema.Peer) bool {
	return (broad.Protocol == "" || broad.Protocol == narrow.Protocol) && spanOf(broad.Port).covers(spanOf(narrow.Port)) && endCovers(broad, narrow)
}

// endCovers compares who the other end is, as far as both say it in the same way or a workload's match tells.
func endCovers(broad, narrow *schema.Peer) bool {
	switch {
	case broad.Workload != "":
		return narrow.Workload != "" && bareName(narrow.Workload) == bareName(broad.Workload)
	case broad.Namespace != "":
		return narrow.Namespace == broad.Namespace || narrow.Workload != "" && narrow.Match != nil && narrow.Match.Namespace == broad.Namespace
	case broad.Namespaces != nil:
		return narrow.Namespaces != nil && selectorInside(*narrow.Namespaces, *broad.Namespaces) ||
			narrow.Namespace != "" && selectsNamespace(broad.Namespaces, narrow.Namespace)
	case broad.CIDR != "":
		b, errB := netip.ParsePrefix(broad.CIDR)
		n, errN := netip.ParsePrefix(narrow.CIDR)
		return errB == nil && errN == nil && prefixInside(n, b)
	case broad.DNS != "":
		return narrow.DNS != "" && nameCovers(broad.DNS, narrow.DNS)
	}
	return false
}

// selectsNamespace reports whether a selector certainly selects a namespace of a name: by the label that Kubernetes gives each.
func selectsNamespace(s *schema.Selector, name string) bool {
	return selectorInside(schema.Selector{Labels: map[string]string{namespaceLabel: name}}, *s)
}

// namespaceLabel is on each Namespace with its name (Kubernetes, well-known labels).
const namespaceLabel = "kubernetes.io/metadata.name"

// bareName is the name of a workload without its namespace.
func bareName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// peersMeet reports whether some connection can be one of both. Ends that are named in different ways are not compared: any name may lead
// to any address, and a warning at each of them would say nothing.
func peersMeet(a, b *schema.Peer) bool {
	if a.Protocol != "" && b.Protocol != "" && a.Protocol != b.Protocol || !spanOf(a.Port).meets(spanOf(b.Port)) {
		return false
	}
	return endCovers(a, b) || endCovers(b, a) || endsMeet(a, b) || endsMeet(b, a)
}

func endsMeet(a, b *schema.Peer) bool {
	namespaceOf := func(p *schema.Peer) string {
		if p.Match != nil {
			return p.Match.Namespace
		}
		return ""
	}
	switch {
	case a.Workload != "" && b.Workload != "":
		return bareName(a.Workload) == bareName(b.Workload)
	case a.Workload != "" && b.Namespace != "":
		n := namespaceOf(a)
		return n == "" || n == b.Namespace
	case a.Workload != "" && b.Namespaces != nil:
		return true
	case a.Namespace != "" && b.Namespaces != nil:
		_, ok := labelsWitness(schema.Selector{Labels: map[string]string{namespaceLabel: a.Namespace}}, *b.Namespaces)
		return ok
	case a.Namespaces != nil && b.Namespaces != nil:
		_, ok := labelsWitness(*a.Namespaces, *b.Namespaces)
		return ok
	case a.CIDR != "" && b.CIDR != "":
		return false // two ranges have something in common only if one lies in the other
	}
	return false
}

// flowGroup holds the rules without layer 7 that name one other end with one protocol, so that those with a broader port are found at once.
type flowGroup struct {
	spans  []portSpan     // sorted by lo, then from the widest
	rules  []*schema.Rule // in the same order
	widest []int          // for each, which of it and those before it reaches highest
	names  map[string]*schema.Rule
}

func (g *flowGroup) add(r *schema.Rule) {
	s := spanOf(r.Peer.Port)
	if s.name == "" {
		g.spans, g.rules = append(g.spans, s), append(g.rules, r)
		return
	}
	if g.names == nil {
		g.names = map[string]*schema.Rule{}
	}
	if g.names[s.name] == nil {
		g.names[s.name] = r
	}
}

// sort makes the group ready for covering.
func (g *flowGroup) sort() {
	order := make([]int, len(g.spans))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(g.spans[a].lo-g.spans[b].lo, g.spans[b].hi-g.spans[a].hi)
	})
	spans, rules := make([]portSpan, len(order)), make([]*schema.Rule, len(order))
	g.widest = make([]int, len(order))
	for i, n := range order {
		spans[i], rules[i] = g.spans[n], g.rules[n]
		if g.widest[i] = i; i > 0 && spans[g.widest[i-1]].hi >= spans[i].hi {
			g.widest[i] = g.widest[i-1]
		}
	}
	g.spans, g.rules = spans, rules
}

// covering returns a rule of the group whose port includes that of r, which may be one of the group, or nil.
func (g *flowGroup) covering(r *schema.Rule) *schema.Rule {
	s := spanOf(r.Peer.Port)
	if s.name != "" {
		if broad := g.names[s.name]; broad != nil && broad != r {
			return broad
		}
		if len(g.spans) > 0 && g.spans[0].all {
			return g.rules[0]
		}
		return nil
	}
	end, _ := slices.BinarySearchFunc(g.spans, s.lo+1, func(have portSpan, lo int) int { return have.lo - lo })
	for i := end - 1; i >= 0; i-- {
		n := g.widest[i]
		if g.rules[n] != r {
			if g.spans[n].covers(s) {
				return g.rules[n]
			}
			return nil
		}
		i = n // r itself reaches highest: what stands before it is left
	}
	return nil
}

// flowGroups holds all groups, by end and protocol; those of address ranges apart, because there are many wider ones to try.
type flowGroups struct {
	byEnd  map[string]*flowGroup
	ranges map[rangeKey]*flowGroup
	bits   []int // the lengths of prefixes among the ranges
}

type rangeKey struct {
	protocol string
	prefix   netip.Prefix
}

func newFlowGroups(rules []*schema.Rule) *flowGroups {
	g := &flowGroups{byEnd: map[string]*flowGroup{}, ranges: map[rangeKey]*flowGroup{}}
	for _, r := range rules {
		if r.Layer7() {
			continue
		}
		if p, err := netip.ParsePrefix(r.Peer.CIDR); err == nil {
			addTo(g.ranges, rangeKey{r.Peer.Protocol, p}, r)
			if !slices.Contains(g.bits, p.Bits()) {
				g.bits = append(g.bits, p.Bits())
			}
		}
		for _, key := range endKeys(r.Peer, false) {
			addTo(g.byEnd, key, r)
		}
	}
	slices.SortFunc(g.bits, func(a, b int) int { return b - a })
	for _, group := range g.byEnd {
		group.sort()
	}
	for _, group := range g.ranges {
		group.sort()
	}
	return g
}

func addTo[K comparable](groups map[K]*flowGroup, key K, r *schema.Rule) {
	if groups[key] == nil {
		groups[key] = &flowGroup{}
	}
	groups[key].add(r)
}

// covering returns a rule without layer 7 that includes all that r allows, the one for the narrowest end, or nil.
func (g *flowGroups) covering(r *schema.Rule) *schema.Rule {
	if p, err := netip.ParsePrefix(r.Peer.CIDR); err == nil {
		for _, bits := range g.bits {
			if bits > p.Bits() {
				continue
			}
			wider, err := p.Addr().Prefix(bits)
			if err != nil {
				return nil
			}
			if group := g.ranges[rangeKey{r.Peer.Protocol, wider}]; group != nil {
				if broad := group.covering(r); broad != nil {
					return broad
				}
			}
		}
	}
	for _, key := range endKeys(r.Peer, true) {
		if group := g.byEnd[key]; group != nil {
			if broad := group.covering(r); broad != nil {
				return broad
			}
		}
	}
	return nil
}

// shadowedFlows warns of rules that change nothing because another one, without layer 7, allows all of it.
func (c *workloadCheck) shadowedFlows(plane schema.Plane) {
	var valid []*schema.Rule
	for _, r := range c.rules[plane] {
		if r.Peer != nil && schema.CheckPort(r.Peer.Port) == nil {
			valid = append(valid, r)
		}
	}
	groups := newFlowGroups(valid)
	for _, r := range valid {
		if broad := groups.covering(r); broad != nil {
			c.shadowedFlow(r, broad)
		}
	}
}

func (c *workloadCheck) shadowedFlow(r, broad *schema.Rule) {
	where := []string{string(r.Plane), r.Object}
	if r.Layer7() {
		c.warn(codeLayer4, where, "%s restricts layer 7 in vain: %q at %s allows everything to this peer and port; want layer 7 in both, or one of the two",
			flowText(r), broad.Object, c.placeOf(broad))
		return
	}
	c.warn(codeShadowed, where, "%s changes nothing: %q at %s allows it; want one of the two", flowText(r), broad.Object, c.placeOf(broad))
}

// endKeys returns names of the other end with the protocol, under which rules are grouped: its own, and where broader is set those of all
// other ends that include it. Of address ranges it returns none.
func endKeys(p *schema.Peer, broader bool) []string {
	key := func(kind, value string) string { return p.Protocol + " " + kind + " " + value }
	var keys []string
	switch {
	case p.Workload != "":
		keys = append(keys, key("workload", bareName(p.Workload)))
		if broader && p.Match != nil && p.Match.Namespace != "" {
			keys = append(keys, key("namespace", p.Match.Namespace))
		}
	case p.Namespace != "":
		keys = append(keys, key("namespace", p.Namespace))
	case p.Namespaces != nil:
		text, err := json.Marshal(p.Namespaces) // with sorted keys
		if err == nil {
			keys = append(keys, key("namespaces", string(text)))
		}
	case p.DNS != "":
		keys = nameKeys(p.DNS, broader, key)
	}
	return keys
}

func nameKeys(name string, broader bool, key func(kind, value string) string) []string {
	wild, rest := splitWild(name)
	if wild == "" {
		keys := []string{key("dns", rest)}
		if _, above, ok := strings.Cut(rest, "."); broader && ok {
			keys = append(keys, key("dns", "*."+above))
			keys = append(keys, nameKeys("**."+above, true, key)...)
		}
		return keys
	}
	keys := []string{key("dns", wild+"."+rest)}
	if !broader {
		return keys
	}
	if wild == "*" {
		keys = append(keys, key("dns", "**."+rest))
	}
	for _, above, ok := strings.Cut(rest, "."); ok; _, above, ok = strings.Cut(above, ".") {
		keys = append(keys, key("dns", "**."+above))
	}
	return keys
}
