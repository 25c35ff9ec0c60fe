// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/writ-sec/writ/schema"
)

// naive is a second implementation of Judge. It is written from the documentation of the package, sentence by sentence, without a thought
// for speed: patterns by recursion, ports by counting, choices by comparing everything with everything. It shares no code with the first
// but the types, the parsing of images and the match of selectors' expressions.
type naive struct {
	e  schema.Event
	at time.Time
	ws []schema.Workload // that select the subject
	bs []schema.Bound    // that hold for it
	xs []schema.Exception
}

func naiveJudge(p *schema.Policy, e schema.Event, at time.Time) schema.Verdict {
	n := naive{e: e, at: at}
	for _, w := range p.Workloads {
		if naiveSelects(w.Match, e.Subject) {
			n.ws = append(n.ws, w)
		}
	}
	for _, b := range p.Bounds {
		anyone := b.Match.Namespace == "" && b.Match.Labels == nil && b.Match.Expressions == nil && b.Match.Container == "" && b.Match.Cgroup == "" && !b.Match.Host
		if anyone && (len(n.ws) > 0 || e.Subject.Namespace != "" && !e.Subject.Host) || !anyone && naiveSelects(b.Match, e.Subject) {
			n.bs = append(n.bs, b)
		}
	}
	for _, x := range p.Exceptions {
		if e.Subject.Image != "" && naiveCovers(x, e.Subject.Image) {
			n.xs = append(n.xs, x)
		}
	}
	v := n.verdict()
	for _, w := range n.ws {
		v.Workloads = append(v.Workloads, w.Name)
	}
	slices.Sort(v.Workloads)
	return v
}

func naiveCovers(x schema.Exception, image string) bool {
	for _, pattern := range x.Images {
		if naiveImage(pattern, image) {
			return true
		}
	}
	_, err := schema.ParseImage(image)
	return err != nil
}

func naiveImage(pattern, image string) bool {
	p, err1 := schema.ParseImagePattern(pattern)
	i, err2 := schema.ParseImage(image)
	if err1 != nil || err2 != nil {
		return false
	}
	ok := naiveSegments(strings.Split(p.Path, "/"), strings.Split(i.Path, "/"), naiveStars)
	if p.Host != "" {
		ok = ok && p.Host == i.Host
	}
	if p.Tag != "" {
		ok = ok && p.Tag == i.Tag
	}
	switch p.Digest {
	case "":
	case "*":
		ok = ok && strings.Contains(image, "@")
	default:
		ok = ok && p.Digest == i.Digest
	}
	return ok
}

func naiveSelects(m schema.Match, s schema.Subject) bool {
	pod := s.Namespace != "" || len(s.Labels) > 0
	ok, fields := true, 0
	want := func(stated, holds bool) {
		if stated {
			fields++
			ok = ok && holds
		}
	}
	want(m.Namespace != "", m.Namespace == s.Namespace)
	for k, v := range m.Labels {
		got, there := s.Labels[k]
		want(true, pod && there && got == v)
	}
	for k, x := range m.Expressions {
		got, there := s.Labels[k]
		want(true, pod && x.Holds(got, there))
	}
	want(m.Container != "", s.Container != "" && naiveStars(m.Container, s.Container))
	above := false
	for c := s.Cgroup; c != ""; c = c[:strings.LastIndex(c, "/")] {
		above = above || naivePath(m.Cgroup, c)
	}
	want(m.Cgroup != "", above)
	want(m.Host, s.Host)
	return ok && fields > 0
}

// naiveMode is the mode at an instant.
func naiveMode(mode, then schema.Mode, after schema.Date, at time.Time) schema.Mode {
	rank := map[schema.Mode]int{schema.ModeLearn: 1, schema.ModeAudit: 2, schema.ModeEnforce: 3}
	if then == "" {
		return mode
	}
	end, ok := naiveEnd(after)
	switch {
	case !ok && rank[then] > rank[mode]:
		return then
	case !ok:
		return mode
	case at.Before(end):
		return mode
	}
	return then
}

// naiveEnd is the first instant at which what is dated no longer holds.
func naiveEnd(d schema.Date) (time.Time, bool) {
	if day, err := time.Parse("2006-01-02", string(d)); err == nil {
		return day.Add(24 * time.Hour), true
	}
	t, err := time.Parse(time.RFC3339, string(d))
	return t, err == nil
}

func naiveAction(m schema.Mode) schema.Action {
	return map[schema.Mode]schema.Action{schema.ModeLearn: schema.ActionLearn, schema.ModeAudit: schema.ActionAudit, schema.ModeEnforce: schema.ActionDeny}[m]
}

func naiveRank(a schema.Action) int {
	return map[schema.Action]int{schema.ActionAllow: 1, schema.ActionLearn: 2, schema.ActionAudit: 3, schema.ActionDeny: 4}[a]
}

// naiveBefore says whether rule a is tried before rule b of the same plane.
func naiveBefore(a, b schema.Rule) bool {
	class := func(r schema.Rule) int {
		switch {
		case !strings.Contains(r.Object, "*"):
			return 1
		case strings.HasSuffix(r.Object, "/**") && strings.Count(r.Object, "*") == 2:
			return 2
		}
		return 3
	}
	patterns := a.Plane == schema.PlaneExec || a.Plane == schema.PlaneFile || a.Verb == schema.VerbRun
	switch {
	case patterns && class(a) != class(b):
		return class(a) < class(b)
	case patterns && len(a.Object) != len(b.Object):
		return len(a.Object) > len(b.Object)
	case a.Object != b.Object:
		return a.Object < b.Object
	}
	return a.ID < b.ID
}

// naiveFirst returns the rule that is tried before all others; ok is false if there is none.
func naiveFirst(rules []schema.Rule) (first schema.Rule, ok bool) {
	for _, r := range rules {
		if !ok || naiveBefore(r, first) {
			first, ok = r, true
		}
	}
	return first, ok
}

func (n naive) verdict() schema.Verdict {
	plane := n.e.Verb.Plane()
	if plane == schema.PlaneIngress && n.e.Flow != nil && n.e.Flow.Probe {
		return schema.Verdict{Action: schema.ActionAllow, Reason: schema.ReasonBuiltin, Rule: schema.BuiltinProbe}
	}
	v := schema.Verdict{Action: schema.ActionAllow, Reason: schema.ReasonUncovered}
	switch {
	case len(n.ws) == 0:
	case plane == schema.PlaneImage || plane == schema.PlanePod:
		v = n.conditions(plane)
	default:
		v = n.closed(plane)
	}
	v = n.bounds(v)
	var patches []schema.Rule
	for _, x := range n.xs {
		for _, r := range x.Patch {
			if end, ok := naiveEnd(x.Expires); (x.Expires == "" || ok && n.at.Before(end)) && n.forbids(r) {
				patches = append(patches, r)
			}
		}
	}
	if r, ok := naiveFirst(patches); ok {
		v = schema.Verdict{Action: schema.ActionDeny, Reason: schema.ReasonPatch, Rule: r.ID}
	}
	return v
}

// strictest returns the closure of a plane that decides, among those of some workloads.
func (n naive) strictest(plane schema.Plane, ws []schema.Workload) (schema.Workload, schema.Closure, schema.Action, bool) {
	var which schema.Workload
	var best schema.Closure
	var action schema.Action
	found := false
	for _, w := range ws {
		for _, c := range w.Closures {
			a := naiveAction(naiveMode(c.Mode, c.Then, c.After, n.at))
			if c.Plane == plane && (!found || naiveRank(a) > naiveRank(action) || a == action && c.ID < best.ID) {
				which, best, action, found = w, c, a, true
			}
		}
	}
	return which, best, action, found
}

func (n naive) closed(plane schema.Plane) schema.Verdict {
	_, closure, action, found := n.strictest(plane, n.ws)
	if !found {
		return schema.Verdict{Action: schema.ActionAllow, Reason: schema.ReasonOpen}
	}
	fits := map[schema.Reason][]schema.Rule{}
	for _, w := range n.ws {
		for _, r := range w.Rules {
			if r.Plane == plane {
				fit := n.fit(r)
				fits[fit] = append(fits[fit], r)
			}
		}
	}
	flow := plane == schema.PlaneEgress || plane == schema.PlaneIngress
	if !flow && plane != schema.PlaneCapability && n.e.Origin != "" {
		return schema.Verdict{Action: action, Reason: schema.ReasonOrigin, Rule: closure.ID}
	}
	if r, ok := naiveFirst(fits[schema.ReasonRule]); ok {
		return schema.Verdict{Action: schema.ActionAllow, Reason: schema.ReasonRule, Rule: r.ID}
	}
	if flow && n.e.Flow.Unknown {
		return schema.Verdict{Action: action, Reason: schema.ReasonPeer, Rule: closure.ID}
	}
	for _, near := range []schema.Reason{schema.ReasonParent, schema.ReasonRead, schema.ReasonRequest, schema.ReasonPort} {
		if r, ok := naiveFirst(fits[near]); ok {
			return schema.Verdict{Action: action, Reason: near, Rule: r.ID}
		}
	}
	return schema.Verdict{Action: action, Reason: schema.ReasonNoRule, Rule: closure.ID}
}

// fit says what a rule lacks.
func (n naive) fit(r schema.Rule) schema.Reason {
	switch r.Plane {
	case schema.PlaneCapability:
		if r.Object == string(n.e.Object) {
			return schema.ReasonRule
		}
		return ""
	case schema.PlaneEgress, schema.PlaneIngress:
		f := *n.e.Flow
		switch {
		case !naivePeer(*r.Peer, f):
			return ""
		case f.Protocol == "" || f.Protocol != r.Peer.Protocol || !naivePort(r.Peer.Port, f):
			return schema.ReasonPort
		case (n.e.Verb == schema.VerbRequest || n.e.Verb == schema.VerbServe) && !naiveRequest(r, f):
			return schema.ReasonRequest
		}
		return schema.ReasonRule
	}
	if !naivePath(r.Object, string(n.e.Object)) {
		return ""
	}
	if r.Verb == schema.VerbRead && n.e.Verb == schema.VerbWrite {
		return schema.ReasonRead
	}
	for _, p := range r.Parents {
		if naivePath(p, string(n.e.Parent)) {
			return schema.ReasonRule
		}
	}
	if len(r.Parents) > 0 {
		return schema.ReasonParent
	}
	return schema.ReasonRule
}

// conditions judges image and pod: the strictest workload whose conditions do not hold, else the strictest.
func (n naive) conditions(plane schema.Plane) schema.Verdict {
	v := schema.Verdict{Action: schema.ActionAllow, Reason: schema.ReasonOpen}
	rest := n.ws
	for {
		w, closure, action, found := n.strictest(plane, rest)
		if !found {
			return v
		}
		rest = slices.DeleteFunc(slices.Clone(rest), func(o schema.Workload) bool { return o.Name == w.Name })
		reason, rule := n.image(w, closure)
		if plane == schema.PlanePod {
			reason, rule = n.pod(w)
		}
		if rule == 0 {
			rule = closure.ID
		}
		if reason != schema.ReasonRule && reason != schema.ReasonHolds {
			return schema.Verdict{Action: action, Reason: reason, Rule: rule}
		}
		if v.Reason == schema.ReasonOpen {
			v.Reason, v.Rule = reason, rule
		}
	}
}

func (n naive) image(w schema.Workload, c schema.Closure) (schema.Reason, schema.RuleID) {
	named := c.Verbs
	if len(named) == 0 {
		named = []schema.Verb{schema.VerbRun}
	}
	if _, err := schema.ParseImage(string(n.e.Object)); err != nil {
		return schema.ReasonReference, 0
	}
	byVerb := func(verb schema.Verb, holds func(string) bool) (good, bad []schema.Rule) {
		for _, r := range w.Rules {
			if r.Plane == schema.PlaneImage && r.Verb == verb {
				if holds(r.Object) {
					good = append(good, r)
				} else {
					bad = append(bad, r)
				}
			}
		}
		return good, bad
	}
	from, _ := byVerb(schema.VerbRun, func(o string) bool { return naiveImage(o, string(n.e.Object)) })
	signed, unsigned := byVerb(schema.VerbSigned, func(o string) bool { return slices.Contains(n.e.SignedBy, o) })
	passed, failed := byVerb(schema.VerbPass, func(o string) bool { return slices.Contains(n.e.Passes, o) })
	switch {
	case slices.Contains(named, schema.VerbRun) && len(from) == 0:
		return schema.ReasonNoRule, 0
	case slices.Contains(named, schema.VerbSigned) && len(signed) == 0:
		r, _ := naiveFirst(unsigned)
		return schema.ReasonSigner, r.ID
	case slices.Contains(named, schema.VerbPass) && (len(failed) > 0 || len(passed) == 0):
		r, _ := naiveFirst(failed)
		return schema.ReasonGate, r.ID
	}
	for verb, rules := range map[schema.Verb][]schema.Rule{schema.VerbRun: from, schema.VerbSigned: signed, schema.VerbPass: passed} {
		first := slices.Contains(named, verb)
		for _, earlier := range []schema.Verb{schema.VerbRun, schema.VerbSigned, schema.VerbPass} {
			if earlier == verb {
				break
			}
			first = first && !slices.Contains(named, earlier)
		}
		if first {
			r, _ := naiveFirst(rules)
			return schema.ReasonRule, r.ID
		}
	}
	return schema.ReasonRule, 0
}

func (n naive) pod(w schema.Workload) (schema.Reason, schema.RuleID) {
	var bad []schema.Rule
	for _, r := range w.Rules {
		if r.Plane != schema.PlanePod {
			continue
		}
		field := schema.PodField(r.Object)
		have, said := n.e.Set[field]
		violated := false
		if field == schema.PodDropCapabilities {
			for _, must := range r.Values {
				violated = violated || said && !slices.Contains(have, must) && !slices.Contains(have, "ALL")
			}
		} else {
			for _, value := range have {
				permitted := false
				for _, v := range r.Values {
					permitted = permitted || naiveValue(field, v, value)
				}
				violated = violated || !permitted
			}
		}
		if violated {
			bad = append(bad, r)
		}
	}
	if r, ok := naiveFirst(bad); ok {
		return schema.ReasonField, r.ID
	}
	return schema.ReasonHolds, 0
}

func naiveValue(field schema.PodField, pattern, value string) bool {
	if value == schema.Unread {
		return false
	}
	switch field {
	case schema.PodSysctls, schema.PodServiceAccount:
		return naiveStars(pattern, value)
	case schema.PodHostPaths:
		for len(value) > 1 && strings.HasSuffix(value, "/") {
			value = value[:len(value)-1]
		}
		return naivePath(pattern, value)
	}
	return pattern == value
}

func (n naive) bounds(v schema.Verdict) schema.Verdict {
	for _, a := range []schema.Action{schema.ActionDeny, schema.ActionAudit, schema.ActionLearn} {
		var never []schema.Rule
		var demands []schema.RuleID
		for _, b := range n.bs {
			if naiveAction(naiveMode(b.Mode, b.Then, b.After, n.at)) != a {
				continue
			}
			for _, r := range b.Never {
				if n.forbids(r) {
					never = append(never, r)
				}
			}
			if b.Require.Workload && n.e.Verb == schema.VerbRun && len(n.ws) == 0 {
				demands = append(demands, b.ID)
			}
		}
		if naiveRank(a) < naiveRank(v.Action) {
			return v
		}
		if r, ok := naiveFirst(never); ok {
			return schema.Verdict{Action: a, Reason: schema.ReasonBound, Rule: r.ID}
		}
		if len(demands) > 0 {
			return schema.Verdict{Action: a, Reason: schema.ReasonRequire, Rule: slices.Min(demands)}
		}
	}
	return v
}

func (n naive) forbids(r schema.Rule) bool {
	e := n.e
	if r.Plane != e.Verb.Plane() {
		return false
	}
	switch r.Plane {
	case schema.PlaneExec, schema.PlaneFile:
		switch e.Origin {
		case schema.OriginUnknown, schema.OriginTooLong:
			return true
		case schema.OriginMemfd:
			return false
		}
		return naivePath(r.Object, string(e.Object))
	case schema.PlaneCapability:
		return r.Object == string(e.Object)
	case schema.PlaneImage:
		_, err := schema.ParseImage(string(e.Object))
		return err != nil || naiveImage(r.Object, string(e.Object))
	case schema.PlanePod:
		for _, value := range e.Set[schema.PodField(r.Object)] {
			for _, v := range r.Values {
				if value == schema.Unread || r.Object == "addCapabilities" && value == "ALL" {
					return true
				}
				if r.Object == "hostPaths" && naiveExposes(v, value) || r.Object != "hostPaths" && naiveValue(schema.PodField(r.Object), v, value) {
					return true
				}
			}
		}
		return false
	}
	p, f := *r.Peer, *e.Flow
	identity := p.Match != nil || p.Workload != "" || p.Namespace != "" || p.Namespaces != nil
	anyone := !identity && p.CIDR == "" && p.DNS == ""
	return (p.Protocol == "" || p.Protocol == f.Protocol) && naivePort(p.Port, f) && (anyone || identity && f.Unknown || naivePeer(p, f))
}

func naivePeer(p schema.Peer, f schema.Flow) bool {
	switch {
	case p.CIDR != "":
		return naiveCIDR(p.CIDR, f.Address)
	case f.Unknown:
		return false
	case p.DNS != "":
		for _, name := range f.Names {
			if naiveName(p.DNS, name) {
				return true
			}
		}
		return false
	case p.Namespace != "":
		return p.Namespace == f.Peer.Namespace
	case p.Namespaces != nil:
		return f.Peer.Namespace != "" && len(f.Peer.NamespaceLabels) > 0 && p.Namespaces.Selects(f.Peer.NamespaceLabels)
	}
	return p.Match != nil && naiveSelects(*p.Match, f.Peer)
}

// naiveCIDR compares bit by bit.
func naiveCIDR(cidr string, a netip.Addr) bool {
	text, length, _ := strings.Cut(cidr, "/")
	bits, _ := strconv.Atoi(length)
	want := netip.MustParseAddr(text).AsSlice()
	if a.Is4In6() {
		four := a.As16()
		a = netip.AddrFrom4([4]byte(four[12:]))
	}
	have := a.AsSlice()
	if len(have) != len(want) {
		return false
	}
	for i := range bits {
		if want[i/8]>>(7-i%8)&1 != have[i/8]>>(7-i%8)&1 {
			return false
		}
	}
	return true
}

func naivePort(pattern string, f schema.Flow) bool {
	if pattern == "" || pattern == "*" || pattern == f.PortName {
		return true
	}
	low, high, ranged := strings.Cut(pattern, "-")
	if !ranged {
		high = low
	}
	from, err1 := strconv.Atoi(low)
	to, err2 := strconv.Atoi(high)
	for i := from; err1 == nil && err2 == nil && i <= to; i++ {
		if i == f.Port {
			return true
		}
	}
	return false
}

func naiveRequest(r schema.Rule, f schema.Flow) bool {
	ok := len(r.HTTP) == 0 && len(r.GRPC) == 0 && len(r.TLS) == 0
	for _, h := range r.HTTP {
		if f.HTTP == nil {
			continue
		}
		host, port, _ := strings.Cut(f.HTTP.Host, ":")
		named := strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == "" && strings.Trim(port, "0123456789") == ""
		ok = ok || (h.Method == "*" || h.Method == f.HTTP.Method) && naiveHTTPPath(h.Path, f.HTTP.Path) && (h.Host == "" || named && naiveName(h.Host, host))
	}
	for _, g := range r.GRPC {
		parts, want := strings.Split(f.GRPC, "/"), strings.Split(g, "/")
		ok = ok || len(parts) == 2 && parts[0] != "" && parts[1] != "" && parts[0] == want[0] && (want[1] == "*" || want[1] == parts[1])
	}
	for _, name := range r.TLS {
		ok = ok || f.Secure && (name == "**" || naiveName(name, f.TLS))
	}
	return ok
}

func naiveName(pattern, name string) bool {
	labels := func(s string) []string { return strings.Split(strings.ToLower(strings.TrimSuffix(s, ".")), ".") }
	have, want := labels(name), labels(pattern)
	if slices.Contains(have, "") {
		return false
	}
	wild := want[0]
	if len(want) < 2 || wild != "*" && wild != "**" {
		return slices.Equal(have, want)
	}
	more := len(have) - len(want) + 1 // labels that stand for the first
	return more >= 1 && (wild == "**" || more == 1) && slices.Equal(have[more:], want[1:])
}

func naivePath(pattern, path string) bool {
	if !strings.HasPrefix(pattern, "/") || !strings.HasPrefix(path, "/") || slices.Contains(strings.Split(path[1:], "/"), "") {
		return false
	}
	return naiveSegments(strings.Split(pattern[1:], "/"), strings.Split(path[1:], "/"), naiveStars)
}

// naiveSegments matches segments in order: "**" is any number of them, a last one at least one.
func naiveSegments(pattern, path []string, one func(pattern, s string) bool) bool {
	switch {
	case len(pattern) == 0:
		return len(path) == 0
	case pattern[0] == "**" && len(pattern) == 1:
		return len(path) > 0
	case pattern[0] == "**":
		return naiveSegments(pattern[1:], path, one) || len(path) > 0 && naiveSegments(pattern, path[1:], one)
	}
	return len(path) > 0 && one(pattern[0], path[0]) && naiveSegments(pattern[1:], path[1:], one)
}

// naiveStars matches text in which "*" is any run of bytes.
func naiveStars(pattern, s string) bool {
	switch {
	case pattern == "":
		return s == ""
	case pattern[0] == '*':
		return naiveStars(pattern[1:], s) || s != "" && naiveStars(pattern, s[1:])
	}
	return s != "" && s[0] == pattern[0] && naiveStars(pattern[1:], s[1:])
}

// naiveExposes says whether a mount of a directory exposes what a pattern names: the pattern's first segments match it.
func naiveExposes(pattern, dir string) bool {
	for len(dir) > 1 && strings.HasSuffix(dir, "/") {
		dir = dir[:len(dir)-1]
	}
	if dir == "/" {
		return true
	}
	segments := strings.Split(dir, "/")
	if segments[0] != "" || slices.Contains(segments[1:], "") || slices.Contains(segments, ".") || slices.Contains(segments, "..") {
		return true // not clean: it may be any
	}
	var alive func(pattern, path []string) bool
	alive = func(pattern, path []string) bool {
		switch {
		case len(path) == 0:
			return true
		case len(pattern) == 0:
			return false
		case pattern[0] == "**":
			return alive(pattern, path[1:]) || len(pattern) > 1 && alive(pattern[1:], path)
		}
		return naiveStars(pattern[0], path[0]) && alive(pattern[1:], path[1:])
	}
	return alive(strings.Split(pattern, "/")[1:], segments[1:])
}

func naiveHTTPPath(pattern, sent string) bool {
	path, ok := naiveNormal(sent)
	if !ok {
		return false
	}
	return naiveSegments(strings.Split(pattern[1:], "/"), strings.Split(path[1:], "/"), func(pattern, s string) bool {
		return (pattern == "") == (s == "") && naiveStars(pattern, s)
	})
}

// naiveNormal works on text alone: it decodes with strconv, and resolves dots by rewriting until nothing changes.
func naiveNormal(sent string) (string, bool) {
	path := strings.Split(sent, "?")[0]
	pieces := strings.Split(path, "%")
	decoded := pieces[0]
	for _, piece := range pieces[1:] {
		if len(piece) < 2 {
			return "", false
		}
		c, err := strconv.ParseUint(piece[:2], 16, 8)
		if err != nil || c == '/' || piece[0] == '+' || piece[0] == '_' {
			return "", false
		}
		decoded += string([]byte{byte(c)}) + piece[2:]
	}
	if !strings.HasPrefix(decoded, "/") || strings.Contains(path, "#") || strings.Contains(decoded, "//") || !utf8.ValidString(decoded) {
		return "", false
	}
	for _, c := range decoded {
		if c < ' ' || c == 0x7f || c == '\\' {
			return "", false
		}
	}
	segments := strings.Split(decoded, "/")[1:]
	for i, s := range segments {
		if strings.HasPrefix(s, ".;") || strings.HasPrefix(s, "..;") {
			return "", false
		}
		if i == len(segments)-1 && (s == "." || s == "..") {
			segments = append(segments, "") // what is left is a directory
		}
	}
	for {
		i := slices.IndexFunc(segments, func(s string) bool { return s == "." || s == ".." })
		switch {
		case i < 0:
			return "/" + strings.Join(segments, "/"), true
		case segments[i] == ".":
			segments = slices.Delete(segments, i, i+1)
		case i == 0:
			return "", false
		default:
			segments = slices.Delete(segments, i-1, i+1)
		}
	}
}
