// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// flows checks the rules of egress or ingress.
func (c *workloadCheck) flows(plane schema.Plane) {
	for _, rule := range c.rules[plane] {
		where := []string{string(plane), rule.Object}
		what := flowText(rule)
		if rule.Peer == nil {
			continue // not valid, and reported
		}
		c.peer(where, what, rule, true, c.enforced(plane))
		c.layer7(where, what, rule)
		c.ruleReason(where, rule.Object, rule.Why)
	}
	c.shadowedFlows(plane)
}

// peerFields are the ways to say who the other end is.
var peerFields = []string{"workload", "namespace", "cidr", "dns"}

// peer checks the other end. allows says that the rule allows it; in a bound or a patch it forbids.
func (r *report) peer(where []string, what string, rule *schema.Rule, allows, enforced bool) {
	p := rule.Peer
	switch stated := r.peerStated(where, p); len(stated) {
	case 0:
		r.fail(where, "%s names no peer; want one of %s", what, quotedList(peerFields, "and"))
	case 1:
	default:
		r.fail(where, "%s names its peer by %s; want one of them, and a rule for each", what, quotedList(stated, "and"))
	}
	if r.states(way(where, "workload"), p.Workload != "") {
		r.workload(way(where, "workload"), what+": workload", r.textOr(p.Workload, way(where, "workload")))
	}
	r.peerNamespace(where, what, p, allows && enforced)
	if r.states(way(where, "cidr"), p.CIDR != "") {
		if _, err := schema.CheckCIDR(p.CIDR); err != nil {
			r.fail(way(where, "cidr"), "%s: cidr %.100q %v", what, p.CIDR, err)
		} else {
			r.address(way(where, "cidr"), what+": cidr", p.CIDR, p.Protocol, allows, enforced)
		}
	}
	r.peerName(where, what, rule, allows)
	r.port(where, what, rule)
}

// peerStated returns the fields that name the peer.
func (r *report) peerStated(where []string, p *schema.Peer) []string {
	set := map[string]bool{"workload": p.Workload != "", "namespace": p.Namespace != "" || p.Namespaces != nil, "cidr": p.CIDR != "", "dns": p.DNS != ""}
	var stated []string
	for _, f := range peerFields {
		if r.states(way(where, f), set[f]) {
			stated = append(stated, f)
		}
	}
	return stated
}

// textOr returns the text as it is stated, or what was lowered.
func (r *report) textOr(lowered string, where []string) string {
	if t := r.s.node.text(where...); t != "" {
		return t
	}
	return lowered
}

func (r *report) peerNamespace(where []string, what string, p *schema.Peer, enforced bool) {
	at := way(where, "namespace")
	if r.states(at, p.Namespace != "") && p.Namespaces == nil && !entryRE.MatchString(p.Namespace) {
		r.fail(at, "%s: namespace %.100q is not a Kubernetes namespace; want at most 63 lower-case letters, digits and \"-\"", what, p.Namespace)
	}
	if p.Namespaces == nil {
		return
	}
	r.selector(at, *p.Namespaces)
	if enforced && len(p.Namespaces.Labels)+len(p.Namespaces.Expressions) == 0 {
		r.warn(codeEverything, at, "%s: namespace without a condition is every Pod of the cluster, in mode \"enforce\"; want labels", what)
	}
}

func (r *report) peerName(where []string, what string, rule *schema.Rule, allows bool) {
	name, at := rule.Peer.DNS, way(where, "dns")
	if !r.states(at, name != "") {
		return
	}
	if rule.Plane == schema.PlaneIngress {
		r.fail(at, "%s: dns %.100q stands in ingress, where no name is resolved; want \"workload\", \"namespace\" or \"cidr\"", what, name)
		return
	}
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		r.fail(at, "%s: dns %.100q is an address; want cidr: %q", what, name, netip.PrefixFrom(a, a.BitLen()))
	} else if err := schema.CheckName(name); err != nil {
		r.fail(at, "%s: dns %.300q %v", what, name, err)
	} else {
		r.nameDoubts(at, what+": dns", name, allows)
	}
}

func (r *report) port(where []string, what string, rule *schema.Rule) {
	p, at := rule.Peer, way(where, "port")
	if p.Port == "" && !r.s.has(at...) {
		return // a bound's: any
	}
	if err := schema.CheckPort(p.Port); err != nil {
		r.fail(at, "%s: port %.100q %v", what, p.Port, err)
		return
	}
	if spanOf(p.Port).name != "" && p.DNS != "" {
		r.fail(at, "%s: port %q is the name of a Pod's port, and what %q resolves to is no Pod; want a number", what, p.Port, p.DNS)
	}
}

// layer7 checks what a rule says of requests.
func (c *workloadCheck) layer7(where []string, what string, rule *schema.Rule) {
	stated := c.layer7Stated(where, rule)
	for _, f := range stated {
		if p := rule.Peer.Protocol; p == "udp" || p == "sctp" {
			c.fail(way(where, f), "%s: %s stands with protocol %q; want \"tcp\", or no %s", what, f, p, f)
		}
		if f != "tls" && rule.Peer.Port == "*" {
			c.fail(way(where, f), "%s: %s stands with port \"*\"; want the port on which these requests arrive", what, f)
		}
	}
	c.http(where, what, rule)
	for _, call := range c.keysOr(rule.GRPC, way(where, "grpc")) {
		if err := schema.CheckGRPC(call); err != nil {
			c.fail(way(where, "grpc", call), "%s: grpc %.200q %v", what, call, err)
		}
	}
	c.serverNames(where, what, rule)
	switch accepted := c.states(way(where, "l4"), rule.L4); {
	case len(stated) == 0 && accepted:
		c.warn(codeNoEffect, way(where, "l4"), "%s: l4 has no effect, because the rule says nothing of layer 7; want \"http\", \"grpc\" or \"tls\", or no \"l4\"", what)
	case len(stated) > 0 && !accepted && c.enforced(rule.Plane):
		c.fail(where, "%s restricts layer 7 (%s) in mode \"enforce\", but until a node proxy runs only layer 4 is judged; want l4: \"accept\", which allows every connection that the other fields allow, or mode \"audit\" for %s",
			what, quotedList(stated, "and"), rule.Plane)
	}
}

// layer7Stated returns the fields of layer 7 that restrict a rule. Empty ones are errors: they would allow everything.
func (c *workloadCheck) layer7Stated(where []string, rule *schema.Rule) []string {
	var stated []string
	for _, f := range []struct {
		name string
		n    int
		want string
	}{
		{"http", len(rule.HTTP), `requests such as "GET /v1/entries/*": {}`},
		{"grpc", len(rule.GRPC), `calls such as "shop.Ledger/Post": {}`},
		{"tls", len(rule.TLS), `true, or server names such as "api.example.com": {}`},
	} {
		n := c.s.node.get(way(where, f.name)...)
		switch {
		case n == nil && (c.s.node != nil || f.n == 0), n != nil && n.Kind == nodeBool && n.Text == "false":
		case n != nil && n.Kind == nodeStruct && len(n.Fields) == 0:
			c.fail(way(where, f.name), "%s: %s lists nothing, and a rule without it allows everything there; want %s", flowText(rule), f.name, f.want)
		default:
			stated = append(stated, f.name)
		}
	}
	return stated
}

// flowText is how messages call a rule of a flow.
func flowText(rule *schema.Rule) string { return fmt.Sprintf("%s %.100q", rule.Plane, rule.Object) }

// keysOr returns the keys that are stated at a path, or what was lowered.
func (r *report) keysOr(lowered []string, where []string) []string {
	if r.s.node == nil {
		return lowered
	}
	return r.s.keys(where...)
}

func (c *workloadCheck) http(where []string, what string, rule *schema.Rule) {
	hosts := map[string]string{}
	var keys []string
	for _, h := range rule.HTTP {
		key := strings.TrimSpace(h.Method + " " + h.Path)
		keys = append(keys, key)
		hosts[key] = h.Host
	}
	for _, key := range c.keysOr(keys, way(where, "http")) {
		at := way(where, "http", key)
		if _, err := schema.ParseHTTPRule(key); err != nil {
			c.fail(at, "%s: http %.200q %v", what, key, err)
		}
		host := c.textOr(hosts[key], way(at, "host"))
		if host == "" && !c.s.has(way(at, "host")...) {
			continue
		}
		if err := schema.CheckName(host); err != nil {
			c.fail(way(at, "host"), "%s: http %.200q: host %.300q %v", what, key, host, err)
		}
	}
}

// serverNames checks the names of TLS servers. "**" stands for TLS alone.
func (c *workloadCheck) serverNames(where []string, what string, rule *schema.Rule) {
	n := c.s.node.get(way(where, "tls")...)
	if n == nil || n.Kind == nodeStruct {
		for _, name := range c.keysOr(rule.TLS, way(where, "tls")) {
			if err := schema.CheckName(name); err != nil && name != "**" {
				c.fail(way(where, "tls", name), "%s: tls %.300q %v", what, name, err)
			}
		}
	}
	if len(rule.TLS) > 0 && len(rule.HTTP)+len(rule.GRPC) > 0 {
		c.warn(codeTLSBeside, way(where, "tls"), "%s: tls stands beside http or grpc, and any of them suffices: every request over TLS is allowed; want one of them", what)
	}
}
