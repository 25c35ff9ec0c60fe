// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-sec/writ/schema"
)

var errFilter = errors.New("has a filter with \"*\" before its last part, where it also matches \"/\"; policy has no such wildcard")

// vectorGroup is what a group selector of NeuVector selects: one of its fields is set, or none if policy has no word for it.
type vectorGroup struct {
	name       string
	pods       *schema.Match
	guessed    string // what of pods is a guess
	host       bool   // the nodes
	everything bool   // every container
	external   bool   // every address outside of the cluster
	addresses  []schema.Peer
	namespace  string // all of its Pods
}

// vectorGroup reads a GroupConfig. What it cannot say in policy it notes.
func (im *importer) vectorGroup(v value) vectorGroup {
	f := v.fields()
	name, _ := f.text("name")
	f.ignore("comment", "original_name", "mon_metric", "grp_sess_cur", "grp_sess_rate", "grp_band_width")
	referral, _ := f.truth("name_referral")
	criteria, ok := f.get("criteria")
	f.finish()
	if referral {
		definition, known := im.definitions[name]
		if !known {
			v.lost("refers to the group definition %.100q, which is not among what is imported", name)
			return vectorGroup{}
		}
		criteria, ok = definition.dig("criteria")
	}
	switch name {
	case "external":
		return vectorGroup{name: name, external: true}
	case "nodes":
		return vectorGroup{name: name, host: true}
	case "containers":
		return vectorGroup{name: name, everything: true}
	}
	if !ok {
		v.lost("has no criteria")
		return vectorGroup{}
	}
	c := criteriaOf(criteria)
	if len(criteria.node.Content) == 0 {
		v.lost("has no criteria")
	}
	g := vectorGroup{name: strings.TrimPrefix(name, "nv.")}
	if c != nil {
		c.resolve(im, v, &g)
	}
	return g
}

// criterion is one condition of a group.
type criterion struct {
	key, op, text string
	at            value
}

type criteria []criterion

// criteriaOf reads criteria, or returns nil if there are none or one cannot be read.
func criteriaOf(v value) criteria {
	var all criteria
	for _, e := range v.list() {
		f := e.fields()
		key, ok1 := f.text("key")
		op, ok2 := f.text("op")
		text, ok3 := f.text("value")
		if !f.finish() || !ok1 || !ok2 || !ok3 {
			return nil
		}
		all = append(all, criterion{key, op, text, e})
	}
	return all
}

// resolve says what criteria select. Those of one key are alternatives, those of different keys add up (IsWorkloadSelected in share/criteria.go
// of NeuVector; all labels of Pods count as one key).
func (c criteria) resolve(im *importer, at value, g *vectorGroup) {
	p := pick{pods: selector{}}
	if o := at.obj; o.kind == "NvSecurityRule" && strings.HasPrefix(at.path, "spec.target") {
		p.namespace = o.namespace // the target of a namespaced rule lies in its namespace
	}
	for _, x := range c {
		switch {
		case x.key == "address":
			g.addAddress(x)
		case x.op != "=" && x.op != "!=" || strings.ContainsAny(x.text, "*?") && !x.anything():
			x.at.lost("compares by %.20q with %.100q, and a match compares whole values", x.op, x.text)
			return
		case x.anything() && slices.Contains([]string{"container", "service", "domain", "namespace", "image", "node"}, x.key):
			g.everything = len(c) == 1 && p.namespace == ""
		case !p.add(x):
			return
		}
	}
	if len(g.addresses) == 0 && !g.everything {
		g.choose(im, at, p)
	}
}

// pick is what criteria ask of Pods.
type pick struct {
	namespace, service string
	pods               selector
	label              string // the one that is compared
}

// add adds a criterion. It reports whether a match can say all of them.
func (p *pick) add(x criterion) bool {
	switch x.key {
	case "domain", "namespace":
		if x.op != "=" || p.namespace != "" && p.namespace != x.text {
			x.at.lost("selects other namespaces than one, and a match has one namespace; write a workload for each")
			return false
		}
		p.namespace = x.text
	case "service":
		if x.op != "=" || p.service != "" {
			x.at.lost("selects other services than one; write a workload for each")
			return false
		}
		p.service = x.text
	case "image", "node", "container":
		x.at.lost("selects by %s, which a match does not know", x.key)
		return false
	default:
		if strings.HasPrefix(x.key, "ns:") || p.label != "" && p.label != x.key {
			x.at.lost("selects by labels of namespaces, or by any of several labels, and a match by all of its conditions; write a workload for each")
			return false
		}
		p.label = x.key
		x.require(p.pods)
	}
	return true
}

// anything reports whether a criterion holds for every value.
func (x criterion) anything() bool { return x.op == "=" && (x.text == "*" || x.text == "any") }

// require adds a condition on a label of Pods. Several for one label are alternatives; NeuVector wants the label to be there in any case.
func (x criterion) require(pods selector) {
	e := pods[x.key]
	switch {
	case x.anything():
		yes := true
		e.Exists = &yes
	case x.op == "=":
		e.In = append(e.In, x.text)
	default:
		yes := true
		e.NotIn, e.Exists = append(e.NotIn, x.text), &yes
	}
	pods[x.key] = e
}

// choose sets what Pods, or which namespace, the criteria select.
func (g *vectorGroup) choose(im *importer, at value, p pick) {
	namespace, service, pods := p.namespace, p.service, p.pods
	if service != "" {
		name, domain := service, namespace
		if i := strings.LastIndexByte(service, '.'); i > 0 && (domain == "" || service[i+1:] == domain) {
			name, domain = service[:i], service[i+1:]
		}
		namespace, g.name = domain, name
		labels, known := im.labels[domain+"/"+name]
		if !known {
			labels = map[string]string{"app": name}
			g.guessed = "guessed from the name of the service: check it"
			im.guessed(at, domain+"/"+name, "selects the service %.100q, and a match selects labels; app: %q is a guess. Import the Deployment, too, and its labels are taken", service, name)
		}
		for _, key := range sortedKeys(labels) {
			pods.require(key, schema.Expression{In: schema.Names{labels[key]}})
		}
	}
	if namespace != "" && len(pods) == 0 {
		g.namespace = namespace
	}
	if namespace == "" && len(pods) == 0 {
		at.lost("selects nothing that policy knows")
		return
	}
	m := schema.Match{Namespace: namespace}
	m.Labels, m.Expressions = pods.split()
	g.pods = &m
}

// addAddress adds an address, a range, a CIDR or a name.
func (g *vectorGroup) addAddress(x criterion) {
	first, last, isRange := strings.Cut(x.text, "-")
	a, err1 := netip.ParseAddr(first)
	b, err2 := netip.ParseAddr(last)
	cidr, isCIDR := parseCIDR(x.text)
	name := strings.TrimPrefix(x.text, "*.")
	switch {
	case x.op != "=":
		x.at.lost("compares addresses by %.20q; want \"=\"", x.op)
	case isCIDR:
		g.addresses = append(g.addresses, schema.Peer{CIDR: cidr.String()})
	case isRange && err1 == nil && err2 == nil && a.BitLen() == b.BitLen() && a.Compare(b) <= 0:
		for _, p := range between(a, b) {
			g.addresses = append(g.addresses, schema.Peer{CIDR: p.String()})
		}
	case !isRange && err1 == nil:
		g.addresses = append(g.addresses, schema.Peer{CIDR: netip.PrefixFrom(a, a.BitLen()).String()})
	case domainRE.MatchString(name):
		if name != x.text {
			x.at.lost("is every name below %s; the draft allows one more label, as policy's \"*.\" means", name)
		}
		g.addresses = append(g.addresses, schema.Peer{DNS: strings.ToLower(x.text)})
	default:
		x.at.lost("is %.100q; want an address, a range, a CIDR or a name", x.text)
	}
}

// networks drafts the network rules of one direction.
func (v *vector) networks(spec *fields, plane schema.Plane) {
	stated, ok := spec.get(string(plane))
	var rules []value
	if ok {
		rules = stated.list()
	}
	allowed := false
	for _, r := range rules {
		f := r.fields()
		allow, ok1 := action(r, f)
		f.ignore("name")
		if p, ok := f.get("priority"); ok && p.node.Value != "0" {
			p.lost("orders rules, and policy has no order: what is denied comes first")
		}
		allowed = allowed || allow
		sel, ok2 := f.get("selector")
		ports, ok3 := f.text("ports")
		var apps []string
		if a, is := f.get("applications"); is {
			apps, _ = a.texts()
		}
		if !ok2 {
			r.lost("has no selector for its peer")
		}
		if !f.finish() || !ok1 || !ok2 || !ok3 {
			continue
		}
		v.network(r, plane, allow, sel, ports, apps)
	}
	switch {
	case v.target.host && allowed:
		stated.lost("allows connections of nodes, which NeuVector never blocks; the draft leaves %s open", plane)
	case v.target.everything && allowed:
		stated.lost("allows connections in every container; a workload must select some, so what is allowed is not drafted")
	case v.target.pods != nil && (allowed || v.protects):
		v.g.closed[plane] = true
	}
}

// network drafts one rule: each peer on each port.
func (v *vector) network(r value, plane schema.Plane, allow bool, sel value, ports string, apps []string) {
	peers := v.peers(sel, allow)
	on := vectorPorts(r, ports)
	tls := slices.Equal(apps, []string{"SSL"})
	if len(apps) > 0 && !tls && !slices.ContainsFunc(apps, func(a string) bool { return strings.EqualFold(a, "any") }) {
		r.lost("is for the applications %q, and the draft for every protocol on its ports", apps)
	}
	flows := onPorts(peers, on)
	if !allow && slices.ContainsFunc(flows, func(never *flow) bool { return slices.ContainsFunc(v.g.flows[plane], never.covers) }) {
		r.lost("denies what rules above it allow; they come first, and a bound would come before them. What no rule allows is not allowed anyway")
		return
	}
	for _, f := range flows {
		switch {
		case allow && v.target.pods == nil:
			return
		case allow:
			f.tls = tls && f.peer.Protocol == "tcp"
			v.g.flows[plane] = append(v.g.flows[plane], f)
			v.mirror(plane, f)
		default:
			b := v.bound()
			b.flows[plane] = append(b.flows[plane], f)
		}
	}
}

// mirror lets the workload at the other end take part, too: a rule of NeuVector holds for both ends.
func (v *vector) mirror(plane schema.Plane, f *flow) {
	if f.to == nil {
		return
	}
	other := schema.PlaneIngress
	if plane == schema.PlaneIngress {
		other = schema.PlaneEgress
	}
	back := *f
	back.to = v.target.pods
	v.im.mirrors = append(v.im.mirrors, mirror{matchKey(*f.to), other, &back})
}

// peers returns the peers that a selector names.
func (v *vector) peers(sel value, allow bool) (flows []*flow) {
	g := v.im.vectorGroup(sel)
	switch {
	case g.external:
		if allow {
			sel.lost("is what lies outside of the cluster; the draft allows every address, inside too. Name those that are needed")
		}
		return anyone(sel)
	case g.everything:
		return []*flow{selectedNamespaces(sel, nil)}
	case g.host:
		sel.lost("is the nodes, for which policy has no name as a peer; write their CIDR")
	case g.namespace != "":
		return inNamespaces(sel, []string{g.namespace})
	case g.pods != nil:
		return []*flow{{to: g.pods, reason: reason{at: sel}}}
	}
	for _, p := range g.addresses {
		f := &flow{peer: p, base: "dns-" + p.DNS, reason: reason{at: sel}}
		if p.CIDR != "" {
			cidr, _ := parseCIDR(p.CIDR)
			f = toCIDRs(sel, []netip.Prefix{cidr})[0]
		}
		flows = append(flows, f)
	}
	return flows
}

// vectorPorts reads a list such as "tcp/80,udp/53,8000-8100" (controller/rest/policy.go of NeuVector).
func vectorPorts(at value, s string) (all []port) {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
	if len(parts) == 0 {
		parts = []string{"any"}
	}
	for _, p := range parts {
		protocol, ports, ok := strings.Cut(strings.ToLower(p), "/")
		switch {
		case !ok && protocol == "any":
			all = append(all, port{"*", "tcp"}, port{"*", "udp"})
			continue
		case !ok && protocol == "icmp":
			at.lost("speaks of icmp, which policy does not judge")
			continue
		case !ok:
			protocol, ports = "tcp", protocol
		}
		first, last, isRange := strings.Cut(ports, "-")
		if !isRange {
			last = first
		}
		low, err1 := strconv.Atoi(first)
		high, err2 := strconv.Atoi(last)
		text, ok := portRange(max(low, 1), high)
		if ports == "any" {
			text, ok, err1, err2 = "*", true, nil, nil
		}
		if !ok || err1 != nil || err2 != nil || protocol != "tcp" && protocol != "udp" {
			at.lost("has the port %.50q; want a form such as tcp/80 or udp/8000-8100", p)
			continue
		}
		all = append(all, port{text, protocol})
	}
	return all
}
