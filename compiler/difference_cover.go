// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// maxCoverSteps bounds what one Diff spends on pairs of patterns that both have wildcards, in steps of about a microsecond.
const maxCoverSteps = 300_000

// diffCover decides whether one thing includes another. Whatever it cannot decide is not included, so that a change is widened rather than
// missed.
type diffCover struct {
	steps int // what is left for pairs of patterns
}

// path reports whether every path that narrow matches is matched by broad.
func (c *diffCover) path(broad, narrow string) bool {
	if broad == narrow {
		return true
	}
	switch kind := schema.PatternKind(broad); {
	case schema.PatternKind(narrow) == schema.KindExact:
		return kind != schema.KindExact && schema.MatchPath(broad, narrow)
	case kind == schema.KindExact:
		return false
	case kind == schema.KindDir:
		return strings.HasPrefix(narrow, strings.TrimSuffix(broad, "**"))
	}
	return c.glob(broad, narrow, globPath)
}

// glob is path for patterns of any kind.
func (c *diffCover) glob(broad, narrow string, kind diffGlobKind) bool {
	if broad == narrow {
		return true
	}
	literal, _, wild := strings.Cut(broad, "*")
	if !wild {
		return false
	}
	if n, _, _ := strings.Cut(narrow, "*"); !strings.HasPrefix(n, literal) {
		return false
	}
	return newDiffGlob(broad, kind).includes(newDiffGlob(narrow, kind), &c.steps)
}

// segment compares patterns of one segment, such as containers' names.
func (c *diffCover) segment(broad, narrow string) bool { return c.path("/"+broad, "/"+narrow) }

func (c *diffCover) image(broad, narrow string) bool {
	if broad == narrow {
		return true
	}
	b, err := schema.ParseImagePattern(broad)
	if err != nil {
		return false
	}
	n, err := schema.ParseImagePattern(narrow)
	return err == nil && (b.Host == "" || b.Host == n.Host) && imageTagCovers(b, n) && c.path("/"+b.Path, "/"+n.Path)
}

// name compares patterns of DNS names, see schema.MatchName.
func (c *diffCover) name(broad, narrow string) bool {
	broad, narrow = diffName(broad), diffName(narrow)
	if broad == narrow {
		return true
	}
	if suffix, ok := strings.CutPrefix(broad, "**."); ok {
		return strings.HasSuffix(narrow, "."+suffix)
	}
	suffix, ok := strings.CutPrefix(broad, "*.")
	if !ok {
		return false
	}
	label, ok := strings.CutSuffix(narrow, "."+suffix)
	return ok && label != "**" && !strings.Contains(label, ".")
}

// diffName returns a name as names are compared: the letters of ASCII in lower case, without the last dot.
func diffName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, strings.TrimSuffix(name, "."))
}

// port compares ports: a number, a range, a port's name, "*" or "", which is "*".
func (c *diffCover) port(broad, narrow string) bool {
	if broad == narrow || broad == "" || broad == "*" {
		return true
	}
	from, to, ok := diffPortRange(broad)
	if !ok {
		return false
	}
	low, high, ok := diffPortRange(narrow)
	return ok && from <= low && high <= to
}

func diffPortRange(s string) (from, to int, ok bool) {
	a, b, ranged := strings.Cut(s, "-")
	if !ranged {
		b = a
	}
	from, err := strconv.Atoi(a)
	if err != nil || strconv.Itoa(from) != a {
		return 0, 0, false
	}
	to, err = strconv.Atoi(b)
	return from, to, err == nil && strconv.Itoa(to) == b && from > 0 && to < 65536
}

// cidr compares address ranges. A range of IPv4-mapped addresses is not decided.
func (c *diffCover) cidr(broad, narrow string) bool {
	if broad == narrow {
		return true
	}
	b, err := netip.ParsePrefix(broad)
	if err != nil {
		return false
	}
	n, err := netip.ParsePrefix(narrow)
	return err == nil && !b.Addr().Is4In6() && !n.Addr().Is4In6() && b.Bits() <= n.Bits() && b.Contains(n.Addr())
}

// peer compares the other ends of connections. A peer that names none is anyone in a rule that forbids, and nobody in one that allows; an
// empty protocol is any, or none.
func (c *diffCover) peer(broad, narrow *schema.Peer, forbids bool) bool {
	if broad == nil || narrow == nil {
		return broad == narrow
	}
	if !(forbids && broad.Protocol == "") && broad.Protocol != narrow.Protocol || !c.port(broad.Port, narrow.Port) {
		return false
	}
	switch {
	case anyone(broad):
		return forbids || anyone(narrow)
	case anyone(narrow):
		return !forbids
	case forbids && identifies(narrow) && !identifies(broad):
		return false // what is known in part may be whatever a rule names by what it is
	}
	return c.identity(broad, narrow) && (broad.CIDR == "" || narrow.CIDR != "" && c.cidr(broad.CIDR, narrow.CIDR)) &&
		(broad.DNS == "" || narrow.DNS != "" && c.name(broad.DNS, narrow.DNS))
}

func anyone(p *schema.Peer) bool { return !identifies(p) && p.CIDR == "" && p.DNS == "" }

// identifies reports whether a peer says what the other end is, rather than where.
func identifies(p *schema.Peer) bool {
	return p.Workload != "" || p.Match != nil || p.Namespace != "" || p.Namespaces != nil
}

// identity compares what peers say of what the other end is.
func (c *diffCover) identity(broad, narrow *schema.Peer) bool {
	switch {
	case broad.Match != nil && (narrow.Match == nil || !c.match(*broad.Match, *narrow.Match)):
		return false
	case broad.Match == nil && broad.Workload != "" && (narrow.Match != nil || narrow.Workload != broad.Workload):
		return false
	case broad.Namespace != "" && narrow.Namespace != broad.Namespace && (narrow.Match == nil || narrow.Match.Namespace != broad.Namespace):
		return false
	}
	return broad.Namespaces == nil || narrow.Namespaces != nil && c.selector(*broad.Namespaces, *narrow.Namespaces)
}

// match reports whether every container that narrow selects is selected by broad. Nothing is selected by the zero Match; for bounds, where
// it selects everything, see bound.
func (c *diffCover) match(broad, narrow schema.Match) bool {
	switch {
	case narrow.Zero():
		return true
	case broad.Zero():
		return false
	case broad.Namespace != "" && broad.Namespace != narrow.Namespace || broad.Host && !narrow.Host:
		return false
	case len(broad.Labels)+len(broad.Expressions) > 0 && narrow.Namespace == "" && len(narrow.Labels)+len(narrow.Expressions) == 0:
		return false // labels are judged in Kubernetes alone
	case !c.selector(schema.Selector{Labels: broad.Labels, Expressions: broad.Expressions}, schema.Selector{Labels: narrow.Labels, Expressions: narrow.Expressions}):
		return false
	case broad.Container != "" && (narrow.Container == "" || !c.segment(broad.Container, narrow.Container)):
		return false
	}
	// What is below a cgroup that a pattern matches is selected too.
	return broad.Cgroup == "" || narrow.Cgroup != "" && (c.path(broad.Cgroup, narrow.Cgroup) || c.path(broad.Cgroup+"/**", narrow.Cgroup))
}

// bound is match for bounds: the zero Match is every container of Kubernetes, and every one that some workload selects.
func (c *diffCover) bound(broad, narrow schema.Match) bool {
	switch {
	case broad.Zero():
		return narrow.Zero() || !narrow.Host && (narrow.Namespace != "" || len(narrow.Labels)+len(narrow.Expressions) > 0)
	case narrow.Zero():
		return false
	}
	return c.match(broad, narrow)
}

func (c *diffCover) selector(broad, narrow schema.Selector) bool {
	for key := range broad.Labels {
		if !impliesLabel(broad, narrow, key) {
			return false
		}
	}
	for key := range broad.Expressions {
		if !impliesLabel(broad, narrow, key) {
			return false
		}
	}
	return true
}

// impliesLabel tries all values that anyone names, one that nobody does, and none.
func impliesLabel(broad, narrow schema.Selector, key string) bool {
	values := labelValues(key, broad, narrow)
	for i := -1; i < len(values); i++ {
		labels := map[string]string{}
		if i >= 0 {
			labels[key] = values[i]
		}
		if onlyKey(narrow, key).Selects(labels) && !onlyKey(broad, key).Selects(labels) {
			return false
		}
	}
	return true
}

func labelValues(key string, all ...schema.Selector) []string {
	values := []string{"\x00"} // no value of a label
	for _, s := range all {
		if v, ok := s.Labels[key]; ok {
			values = append(values, v)
		}
		values = append(append(values, s.Expressions[key].In...), s.Expressions[key].NotIn...)
	}
	return values
}

// onlyKey returns what a selector says of one label.
func onlyKey(s schema.Selector, key string) schema.Selector {
	var out schema.Selector
	if v, ok := s.Labels[key]; ok {
		out.Labels = map[string]string{key: v}
	}
	if x, ok := s.Expressions[key]; ok {
		out.Expressions = map[string]schema.Expression{key: x}
	}
	return out
}

// meets reports whether one container may be selected by both.
func (c *diffCover) meets(a, b schema.Match) bool {
	switch {
	case a.Zero() || b.Zero():
		return false
	case a.Namespace != "" && b.Namespace != "" && a.Namespace != b.Namespace:
		return false
	case (a.Host || outsidePods(a)) && inPods(b) || (b.Host || outsidePods(b)) && inPods(a):
		return false
	}
	sa, sb := schema.Selector{Labels: a.Labels, Expressions: a.Expressions}, schema.Selector{Labels: b.Labels, Expressions: b.Expressions}
	keys := map[string]bool{}
	for _, s := range []schema.Selector{sa, sb} {
		for k := range s.Labels {
			keys[k] = true
		}
		for k := range s.Expressions {
			keys[k] = true
		}
	}
	for key := range keys {
		if !labelMeets(sa, sb, key) {
			return false
		}
	}
	return literalsMeet(a.Container, b.Container) && literalsMeet(a.Cgroup, b.Cgroup)
}

// inPods reports whether a match selects containers of Kubernetes alone.
func inPods(m schema.Match) bool { return m.Namespace != "" || len(m.Labels)+len(m.Expressions) > 0 }

// outsidePods reports whether a match selects no containers of Kubernetes, by its cgroup: kubelets put Pods below /kubepods.
func outsidePods(m schema.Match) bool {
	const pods = "/kubepods"
	literal, _, wild := strings.Cut(m.Cgroup, "*")
	return literal != "" && !strings.HasPrefix(literal, pods) && !(wild && strings.HasPrefix(pods, literal))
}

func labelMeets(a, b schema.Selector, key string) bool {
	both := func(labels map[string]string) bool {
		return onlyKey(a, key).Selects(labels) && onlyKey(b, key).Selects(labels)
	}
	return both(nil) || slices.ContainsFunc(labelValues(key, a, b), func(v string) bool { return both(map[string]string{key: v}) })
}

// literalsMeet reports whether two patterns, of which "" is none, may match the same or something below the same, by how they begin.
func literalsMeet(a, b string) bool {
	a, _, wildA := strings.Cut(a, "*")
	b, _, wildB := strings.Cut(b, "*")
	switch {
	case a == "" || b == "" || a == b:
		return true
	case len(a) > len(b):
		a, wildA, b = b, wildB, a
	}
	return strings.HasPrefix(b, a) && (wildA || strings.HasPrefix(b[len(a):], "/"))
}
