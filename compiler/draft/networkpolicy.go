// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// namespaceName is the label that Kubernetes gives every Namespace.
const namespaceName = "kubernetes.io/metadata.name"

// networkPolicy drafts from a NetworkPolicy (k8s.io/api/networking/v1).
func (im *importer) networkPolicy(o *object) {
	top := o.root.fields()
	top.ignore("apiVersion", "kind", "metadata", "status")
	specValue, ok := top.get("spec")
	top.finish()
	if !ok {
		o.root.lost("has no spec")
		return
	}
	spec := specValue.fields()
	pods := selector{}
	if v, ok := spec.get("podSelector"); ok && !pods.add(v) {
		v.lost("does not say which Pods are selected, so the policy is not drafted")
		return
	}
	m := schema.Match{Namespace: o.namespace}
	m.Labels, m.Expressions = pods.split()
	g := im.workload(m, o, o.name)
	types, ok := policyTypes(spec)
	if !ok {
		return
	}
	for _, p := range []struct {
		plane        schema.Plane
		field, peers string
	}{{schema.PlaneIngress, "ingress", "from"}, {schema.PlaneEgress, "egress", "to"}} {
		rules := spec.list(p.field)
		switch {
		case types[p.plane]:
			g.networkRules(p.plane, rules, p.peers)
		case len(rules) > 0:
			rules[0].lost("has no effect in the source, because policyTypes does not name %s", p.plane)
		}
	}
	spec.finish()
}

// policyTypes returns the planes that a policy closes: those it names, else ingress, and egress if there are rules for it
// (SetDefaults_NetworkPolicy of Kubernetes).
func policyTypes(spec *fields) (types map[schema.Plane]bool, ok bool) {
	types = map[schema.Plane]bool{}
	named := spec.list("policyTypes")
	for _, v := range named {
		switch s, _ := v.text(); s {
		case "Ingress":
			types[schema.PlaneIngress] = true
		case "Egress":
			types[schema.PlaneEgress] = true
		default:
			v.lost("is not known; want Ingress or Egress, so the policy is not drafted")
			return nil, false
		}
	}
	if len(named) == 0 {
		egress, is := spec.v.dig("egress")
		types[schema.PlaneIngress] = true
		if is && len(egress.node.Content) > 0 {
			types[schema.PlaneEgress] = true
		}
	}
	return types, true
}

// networkRules closes a plane and adds what is allowed. A rule that allows everything leaves the plane open, as policies add up.
func (g *group) networkRules(plane schema.Plane, rules []value, peersField string) {
	var flows []*flow
	for _, v := range rules {
		f := v.fields()
		ends, ports := f.list(peersField), f.list("ports")
		switch {
		case !f.finish():
			continue
		case len(ends) == 0 && len(ports) == 0:
			v.lost("allows everything, so this policy leaves %s open in the draft, which mentions no plane that is open", plane)
			return
		}
		flows = append(flows, g.networkRule(v, ends, ports)...)
	}
	g.closed[plane] = true
	g.flows[plane] = append(g.flows[plane], flows...)
}

// networkRule returns the flows of one rule: each peer on each port. No peers are all, and so are no ports.
func (g *group) networkRule(rule value, ends, ports []value) []*flow {
	on := anyPort()
	if len(ports) > 0 {
		on = nil
		for _, v := range ports {
			on = append(on, networkPort(v)...)
		}
	}
	peers := anyone(rule)
	if len(ends) > 0 {
		peers = nil
		for _, v := range ends {
			peers = append(peers, g.networkPeer(v)...)
		}
	}
	return onPorts(peers, on)
}

// port is one port, or a range, of one protocol.
type port struct{ port, protocol string }

func anyPort() []port { return []port{{"*", "tcp"}, {"*", "udp"}, {"*", "sctp"}} }

// onPorts returns a flow for each peer on each port.
func onPorts(peers []*flow, ports []port) (all []*flow) {
	for _, p := range peers {
		for _, on := range ports {
			f := *p
			f.peer.Port, f.peer.Protocol = on.port, on.protocol
			all = append(all, &f)
		}
	}
	return all
}

// anyone returns peers that are every address.
func anyone(at value) []*flow {
	return []*flow{
		{peer: schema.Peer{CIDR: "0.0.0.0/0"}, base: "anyone-ipv4", reason: reason{at: at}},
		{peer: schema.Peer{CIDR: "::/0"}, base: "anyone-ipv6", reason: reason{at: at}},
	}
}

// networkPort reads a NetworkPolicyPort.
func networkPort(v value) []port {
	f := v.fields()
	protocol, ok1 := f.text("protocol")
	portValue, named := f.get("port")
	endValue, ranged := f.get("endPort")
	if !f.finish() || !ok1 {
		return nil
	}
	p := port{"*", strings.ToLower(protocol)}
	if protocol == "" {
		p.protocol = "tcp"
	}
	if p.protocol != "tcp" && p.protocol != "udp" && p.protocol != "sctp" {
		v.lost("has the protocol %.50q; want TCP, UDP or SCTP", protocol)
		return nil
	}
	switch {
	case !named && ranged:
		endValue.lost("stands without port, so the rule's ports are not known")
		return nil
	case !named:
		return []port{p}
	case portValue.node.Tag == "!!str":
		p.port = portValue.node.Value
		if ranged || !portNameRE.MatchString(p.port) {
			portValue.lost("is %.50q; want a number, or the name of a port without endPort", p.port)
			return nil
		}
		return []port{p}
	}
	first, ok := portValue.number()
	last := first
	if ok && ranged {
		last, ok = endValue.number()
	}
	if !ok {
		return nil
	}
	if p.port, ok = portRange(first, last); !ok {
		portValue.lost("is not a port or range of ports; want numbers from 1 to 65535")
		return nil
	}
	return []port{p}
}

// portRange returns ports as policy writes them.
func portRange(first, last int) (string, bool) {
	switch {
	case first < 1 || last < first || last > 65535:
		return "", false
	case first == last:
		return strconv.Itoa(first), true
	case first == 1 && last == 65535:
		return "*", true
	}
	return fmt.Sprintf("%d-%d", first, last), true
}

// networkPeer reads a NetworkPolicyPeer.
func (g *group) networkPeer(v value) []*flow {
	f := v.fields()
	block, isBlock := f.get("ipBlock")
	podsValue, byPods := f.get("podSelector")
	spaceValue, bySpace := f.get("namespaceSelector")
	switch {
	case !f.finish():
		return nil
	case isBlock && (byPods || bySpace), !isBlock && !byPods && !bySpace:
		v.lost("is no peer; want ipBlock alone, or podSelector, namespaceSelector or both")
		return nil
	case isBlock:
		return ipBlock(block)
	}
	pods, spaces := selector{}, selector{}
	if byPods && !pods.add(podsValue) || bySpace && !spaces.add(spaceValue) {
		return nil
	}
	namespaces := []string{g.match.Namespace}
	if bySpace {
		namespaces = nil
		if x, ok := spaces[namespaceName]; ok && len(spaces) == 1 && x.In != nil {
			namespaces = x.In
		}
	}
	switch {
	case len(pods) == 0 && namespaces != nil:
		return inNamespaces(v, namespaces)
	case len(pods) == 0:
		return []*flow{selectedNamespaces(v, spaces)}
	case namespaces == nil:
		v.lost("selects Pods by labels in namespaces by labels; a workload has one namespace, so there is no name for such a peer: " +
			"write a workload for each namespace, and a rule for each")
		return nil
	}
	var flows []*flow
	for _, n := range namespaces {
		m := schema.Match{Namespace: n}
		m.Labels, m.Expressions = pods.split()
		flows = append(flows, &flow{to: &m, reason: reason{at: v}})
	}
	return flows
}

func inNamespaces(at value, names []string) (flows []*flow) {
	for _, n := range names {
		flows = append(flows, &flow{peer: schema.Peer{Namespace: n}, base: "namespace-" + n, reason: reason{at: at}})
	}
	return flows
}

// selectedNamespaces returns the peer of namespaces by their labels. Every Namespace has its name as a label, so that "all" has a condition.
func selectedNamespaces(at value, s selector) *flow {
	base := "namespaces"
	if len(s) == 0 {
		yes := true
		s, base = selector{namespaceName: {Exists: &yes}}, "all-namespaces"
	}
	sel := &schema.Selector{}
	sel.Labels, sel.Expressions = s.split()
	for _, key := range sortedKeys(sel.Labels) {
		base += "-" + sel.Labels[key]
	}
	return &flow{peer: schema.Peer{Namespaces: sel}, base: base, reason: reason{at: at}}
}

// ipBlock reads an IPBlock. What is excepted is taken out exactly.
func ipBlock(v value) []*flow {
	f := v.fields()
	text, ok := f.text("cidr")
	whole, is := parseCIDR(text)
	var except []netip.Prefix
	for _, e := range f.list("except") {
		s, isText := e.text()
		p, isCIDR := parseCIDR(s)
		if !isText || !isCIDR {
			e.lost("is no CIDR, so the block is not drafted")
			ok = false
		}
		except = append(except, p)
	}
	if !f.finish() || !ok {
		return nil
	}
	if !is {
		v.lost("has the cidr %.60q; want a CIDR such as \"10.0.0.0/8\"", text)
		return nil
	}
	rest, ok := without(whole, except)
	if !ok {
		v.lost("excepts so much that more than %d CIDRs are left; write those that matter", maxRanges)
		return nil
	}
	if len(rest) == 0 {
		v.lost("excepts everything, so nothing is allowed")
	}
	return toCIDRs(v, rest)
}

// parseCIDR reads a CIDR and drops host bits, as Kubernetes' network plug-ins do.
func parseCIDR(s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

func toCIDRs(at value, all []netip.Prefix) (flows []*flow) {
	for _, p := range all {
		base := "net-" + p.String()
		switch {
		case p.IsSingleIP():
			base = "host-" + p.Addr().String()
		case p.Bits() == 0 && p.Addr().Is4():
			base = "anyone-ipv4"
		case p.Bits() == 0:
			base = "anyone-ipv6"
		}
		flows = append(flows, &flow{peer: schema.Peer{CIDR: p.String()}, base: base, reason: reason{at: at}})
	}
	return flows
}
