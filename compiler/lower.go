// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// lowerWorkload lowers a workload. It depends on its arguments alone; what they do not hold, such as a workload that a peer names, is left
// out, and check says so.
func lowerWorkload(s *statement, sc *scope) *schema.Workload {
	n := s.Node
	w := &schema.Workload{Name: s.Name, Owner: n.text("owner"), Pos: n.places(), Profile: n.text("pod", "profile")}
	decode(n.get("match"), &w.Match)
	w.Shared, w.Open = n.truth("shared"), n.truth("open")
	if w.Owner == "" {
		w.Owner = sc.folderOwner(s.Folder)
	}
	l := &lowerer{sc: sc, stated: n.places(), id: func(p schema.Plane, v schema.Verb, key string) schema.RuleID {
		return schema.NewRuleID("rule", s.Name, string(p), string(v), key)
	}}
	w.Rules = l.rules(n)
	modes := modesOf(n.get("mode"))
	override := sc.clusterModes(s.Name)
	for _, p := range schema.Planes {
		verbs, at, mentioned := mention(n, p)
		if !mentioned {
			continue
		}
		m := statedMode(override, p, statedMode(modes, p, schema.PlaneMode{Mode: schema.ModeAudit}))
		w.Closures = append(w.Closures, schema.Closure{ID: schema.NewRuleID("closure", s.Name, string(p)), Plane: p,
			Mode: m.Mode, Then: m.Then, After: m.After, Verbs: verbs, Pos: at})
	}
	slices.SortFunc(w.Closures, func(a, b schema.Closure) int { return cmp.Compare(a.Plane, b.Plane) })
	return w
}

// mention reports whether a workload mentions a plane, where, and which conditions of plane image it names. The planes image and pod are
// mentioned by their conditions: image alone names none.
func mention(n *node, p schema.Plane) (verbs []schema.Verb, at []schema.Pos, mentioned bool) {
	field := n.get(string(p))
	if field == nil {
		return nil, nil, false
	}
	at = n.at(string(p))
	switch p {
	case schema.PlaneImage:
	case schema.PlanePod:
		return nil, at, len(field.Fields) > 0
	default:
		return nil, at, field.Kind == nodeStruct || field.Kind == nodeBottom
	}
	for _, c := range imageFields {
		if field.get(c.field) != nil {
			verbs = append(verbs, c.verb)
		}
	}
	mentioned = len(verbs) > 0
	if slices.Equal(verbs, []schema.Verb{schema.VerbRun}) {
		verbs = nil // as in policies that know no other condition
	}
	slices.Sort(verbs)
	return verbs, at, mentioned
}

var imageFields = []struct {
	field string
	verb  schema.Verb
}{{"from", schema.VerbRun}, {"signedBy", schema.VerbSigned}, {"gate", schema.VerbPass}}

// modesOf reads a mode: one word, a planned change, or a mode for each plane.
func modesOf(n *node) []schema.PlaneMode {
	if n == nil {
		return nil
	}
	if m, ok := planned(n); ok {
		return []schema.PlaneMode{m}
	}
	var all []schema.PlaneMode
	for _, f := range n.Fields {
		m, ok := planned(f.Node)
		if !ok {
			continue
		}
		for _, p := range planesNamed(f.Name) {
			m.Plane = p
			all = append(all, m)
		}
	}
	slices.SortStableFunc(all, func(a, b schema.PlaneMode) int { return cmp.Compare(a.Plane, b.Plane) })
	return all
}

// planned reads one word, or a change with its date.
func planned(n *node) (schema.PlaneMode, bool) {
	if n.Kind == nodeString {
		return schema.PlaneMode{Mode: schema.Mode(n.Text)}, true
	}
	if n.get("now") == nil {
		return schema.PlaneMode{}, false
	}
	return schema.PlaneMode{Mode: schema.Mode(n.text("now")), Then: schema.Mode(n.text("then")), After: schema.Date(n.text("after"))}, true
}

func planesNamed(field string) []schema.Plane {
	if field == "network" {
		return []schema.Plane{schema.PlaneEgress, schema.PlaneIngress}
	}
	return []schema.Plane{schema.Plane(field)}
}

// statedMode returns the mode for a plane among some, or another.
func statedMode(all []schema.PlaneMode, p schema.Plane, otherwise schema.PlaneMode) schema.PlaneMode {
	for _, m := range all {
		if m.Plane == p || m.Plane == "" {
			return m
		}
	}
	return otherwise
}

// truth returns a bool at a path; false if there is none.
func (n *node) truth(path ...string) bool {
	m := n.get(path...)
	return m != nil && m.Kind == nodeBool && m.Text == "true"
}

// lowerer makes rules.
type lowerer struct {
	sc    *scope
	limit bool // of a bound or a patch, which have fewer fields and no defaults
	id    func(schema.Plane, schema.Verb, string) schema.RuleID
	// stated is where the entry is stated: the place of rules that come from a library with all that is around them.
	stated []schema.Pos
}

// rules reads all rules of a workload, or of a part of a bound or a patch, which have no more fields than that.
func (l *lowerer) rules(n *node) []schema.Rule {
	var all []schema.Rule
	add := func(p schema.Plane, v schema.Verb, entries *node, around *node) {
		if entries == nil {
			return
		}
		for _, f := range entries.Fields {
			all = append(all, l.placed(l.rule(p, v, f.Name, f.Node), around, n))
		}
	}
	exec, file := n.get("exec"), n.get("file")
	add(schema.PlaneExec, schema.VerbExec, exec, exec)
	if read, write := n.get("file", "read"), n.get("file", "write"); !l.limit {
		add(schema.PlaneFile, schema.VerbRead, read, read)
		add(schema.PlaneFile, schema.VerbWrite, write, write)
	} else {
		add(schema.PlaneFile, schema.VerbAccess, file, file)
	}
	add(schema.PlaneCapability, schema.VerbUse, n.get("capability"), n.get("capability"))
	add(schema.PlaneEgress, schema.VerbConnect, n.get("egress"), n.get("egress"))
	add(schema.PlaneIngress, schema.VerbAccept, n.get("ingress"), n.get("ingress"))
	all = append(all, l.images(n.get("image"), n)...)
	all = append(all, l.pod(n.get("pod"), n)...)
	slices.SortFunc(all, schema.CompareRules)
	return all
}

// placed gives a rule that is embedded from a library the place of the nearest of the values around it that the author states.
func (l *lowerer) placed(r schema.Rule, around ...*node) schema.Rule {
	for _, n := range around {
		if len(r.Pos) == 0 {
			r.Pos = n.places()
		}
	}
	if len(r.Pos) == 0 {
		r.Pos = l.stated
	}
	return r
}

func (l *lowerer) rule(p schema.Plane, v schema.Verb, key string, n *node) schema.Rule {
	r := schema.Rule{ID: l.id(p, v, key), Plane: p, Verb: v, Object: key, Why: n.text("why"), Pos: n.places()}
	switch p {
	case schema.PlaneExec:
		if parents := n.get("parent").names(); len(parents) > 0 {
			r.Parents = parents
		}
	case schema.PlaneEgress, schema.PlaneIngress:
		r.Peer = l.peer(n)
		l.layer7(&r, n)
	}
	return r
}

func (l *lowerer) peer(n *node) *schema.Peer {
	p := &schema.Peer{Workload: n.text("workload"), Namespace: n.text("namespace"), CIDR: n.text("cidr"), DNS: strings.ToLower(strings.TrimSuffix(n.text("dns"), ".")),
		Protocol: n.text("protocol")}
	if s := n.get("namespace"); s != nil && s.Kind == nodeStruct {
		p.Namespaces = &schema.Selector{}
		decode(s, p.Namespaces)
	}
	if port := n.get("port"); port != nil && (port.Kind == nodeNumber || port.Kind == nodeString) {
		p.Port = port.Text
	}
	if !l.limit && p.Protocol == "" {
		p.Protocol = "tcp"
	}
	if h := l.sc.workloadNamed(p.Workload); h != nil {
		match := h.match
		p.Workload, p.Match = h.name, &match
	}
	return p
}

func (l *lowerer) layer7(r *schema.Rule, n *node) {
	if http := n.get("http"); http != nil {
		for _, f := range http.Fields {
			method, path, _ := strings.Cut(f.Name, " ")
			r.HTTP = append(r.HTTP, schema.HTTPRule{Method: method, Path: path, Host: strings.ToLower(f.Node.text("host"))})
		}
	}
	if grpc := n.get("grpc").names(); len(grpc) > 0 {
		r.GRPC = grpc
	}
	switch tls := n.get("tls"); {
	case tls == nil:
	case n.truth("tls"):
		r.TLS = []string{"**"}
	case tls.Kind == nodeStruct:
		r.TLS = tls.names()
	}
	r.L4 = n.text("l4") != ""
}

// images reads the conditions on images, of the workload or the part of a bound around them.
func (l *lowerer) images(n, whole *node) []schema.Rule {
	var all []schema.Rule
	if n == nil {
		return nil
	}
	add := func(v schema.Verb, key string, at *node) {
		all = append(all, l.placed(l.rule(schema.PlaneImage, v, key, at), n, whole))
	}
	if l.limit { // patterns alone
		for _, f := range n.Fields {
			add(schema.VerbRun, f.Name, f.Node)
		}
		return all
	}
	for _, c := range imageFields {
		switch v := n.get(c.field); {
		case v == nil:
		case v.Kind == nodeString:
			add(c.verb, v.Text, v)
		default:
			for _, f := range v.Fields {
				add(c.verb, f.Name, f.Node)
			}
		}
	}
	return all
}

// pod reads conditions on a Pod: of a workload its profile and its fields; of a bound the forbidden values of each field.
func (l *lowerer) pod(n, whole *node) []schema.Rule {
	if n == nil {
		return nil
	}
	var all []schema.Rule
	if profile := n.text("profile"); profile != "" && !l.limit {
		at := n.at("profile")
		for _, r := range schema.ProfileRules(profile) {
			r.ID, r.Pos = l.id(schema.PlanePod, schema.VerbSet, "profile/"+r.Object), at
			all = append(all, r)
		}
	}
	for _, f := range n.Fields {
		if f.Name == "profile" {
			continue
		}
		r := l.rule(schema.PlanePod, schema.VerbSet, f.Name, f.Node)
		switch f.Node.Kind {
		case nodeBool:
			r.Values = []string{f.Node.Text}
		case nodeStruct:
			r.Values, r.Why = append([]string{}, f.Node.names()...), reasonsOf(f.Node)
		}
		all = append(all, l.placed(r, n, whole))
	}
	return all
}

// reasonsOf puts together the reasons that stand at the values of one field of a Pod, which are one rule.
func reasonsOf(values *node) string {
	var reasons []string
	for _, f := range values.Fields {
		switch why := f.Node.text("why"); {
		case why == "":
		case len(values.Fields) == 1:
			return why
		default:
			reasons = append(reasons, f.Name+": "+why)
		}
	}
	return strings.Join(reasons, "; ")
}
