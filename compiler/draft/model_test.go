// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cuelang.org/go/cue"

	"github.com/writ-sec/writ/schema"
)

// The part of k8s.io/api/networking/v1 that the model speaks, in the same words.
type (
	npPolicy struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   npMeta `json:"metadata"`
		Spec       npSpec `json:"spec"`
	}
	npMeta struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	}
	npSpec struct {
		PodSelector npSelector `json:"podSelector"`
		PolicyTypes []string   `json:"policyTypes,omitempty"`
		Ingress     []npRule   `json:"ingress,omitempty"`
		Egress      []npRule   `json:"egress,omitempty"`
	}
	npSelector struct {
		MatchLabels      map[string]string `json:"matchLabels,omitempty"`
		MatchExpressions []npExpression    `json:"matchExpressions,omitempty"`
	}
	npExpression struct {
		Key      string   `json:"key"`
		Operator string   `json:"operator"`
		Values   []string `json:"values,omitempty"`
	}
	npRule struct {
		From  []npPeer `json:"from,omitempty"`
		To    []npPeer `json:"to,omitempty"`
		Ports []npPort `json:"ports,omitempty"`
	}
	npPeer struct {
		PodSelector       *npSelector `json:"podSelector,omitempty"`
		NamespaceSelector *npSelector `json:"namespaceSelector,omitempty"`
		IPBlock           *npBlock    `json:"ipBlock,omitempty"`
	}
	npBlock struct {
		CIDR   string   `json:"cidr"`
		Except []string `json:"except,omitempty"`
	}
	npPort struct {
		Protocol string `json:"protocol,omitempty"`
		Port     int    `json:"port,omitempty"`
		EndPort  int    `json:"endPort,omitempty"`
	}
)

// npPod is a Pod, or an address outside of the cluster, which has no namespace.
type npPod struct {
	namespace string
	labels    map[string]string
	ip        netip.Addr
}

var npSpaces = map[string]map[string]string{
	"a": {namespaceName: "a", "team": "x"}, "b": {namespaceName: "b", "team": "y"}, "c": {namespaceName: "c"},
}

func (s npSelector) selects(labels map[string]string) bool {
	for k, v := range s.MatchLabels {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		got, ok := labels[e.Key]
		in := ok && slices.Contains(e.Values, got)
		if holds := map[string]bool{"In": in, "NotIn": !in, "Exists": ok, "DoesNotExist": !ok}[e.Operator]; !holds {
			return false
		}
	}
	return true
}

func (p npPeer) is(pod npPod, own string) bool {
	if p.IPBlock != nil {
		in := netip.MustParsePrefix(p.IPBlock.CIDR).Masked().Contains(pod.ip)
		for _, e := range p.IPBlock.Except {
			in = in && !netip.MustParsePrefix(e).Masked().Contains(pod.ip)
		}
		return in
	}
	if pod.namespace == "" {
		return false
	}
	if p.NamespaceSelector == nil && pod.namespace != own || p.NamespaceSelector != nil && !p.NamespaceSelector.selects(npSpaces[pod.namespace]) {
		return false
	}
	return p.PodSelector == nil || p.PodSelector.selects(pod.labels)
}

func (r npRule) allows(peers []npPeer, peer npPod, own string, port int, protocol string) bool {
	byPeer := len(peers) == 0 || slices.ContainsFunc(peers, func(p npPeer) bool { return p.is(peer, own) })
	byPort := len(r.Ports) == 0 || slices.ContainsFunc(r.Ports, func(p npPort) bool {
		if p.Protocol == "" {
			p.Protocol = "TCP"
		}
		return strings.EqualFold(p.Protocol, protocol) && (p.Port == 0 || port == p.Port || port > p.Port && port <= p.EndPort)
	})
	return byPeer && byPort
}

// npAllows is the meaning of NetworkPolicies (their API's documentation): what a policy selects is closed, and policies add up.
func npAllows(policies []npPolicy, pod, peer npPod, egress bool, port int, protocol string) bool {
	closed := false
	for _, p := range policies {
		types := p.Spec.PolicyTypes
		if len(types) == 0 {
			types = []string{"Ingress"}
			if len(p.Spec.Egress) > 0 {
				types = append(types, "Egress")
			}
		}
		direction := map[bool]string{false: "Ingress", true: "Egress"}[egress]
		if p.Metadata.Namespace != pod.namespace || !p.Spec.PodSelector.selects(pod.labels) || !slices.Contains(types, direction) {
			continue
		}
		closed = true
		for _, r := range p.Spec.Ingress {
			if !egress && r.allows(r.From, peer, pod.namespace, port, protocol) {
				return true
			}
		}
		for _, r := range p.Spec.Egress {
			if egress && r.allows(r.To, peer, pod.namespace, port, protocol) {
				return true
			}
		}
	}
	return !closed
}

// draftWorkload is a drafted workload as the model reads it back from CUE.
type draftWorkload struct {
	match schema.Match
	flows map[bool][]schema.Peer // by egress; nil: open
}

func readWorkloads(t *testing.T, v cue.Value) map[string]draftWorkload {
	t.Helper()
	all := map[string]draftWorkload{}
	fields, err := v.LookupPath(cue.ParsePath("workload")).Fields()
	if err != nil {
		return all
	}
	for fields.Next() {
		w := draftWorkload{flows: map[bool][]schema.Peer{}}
		w.match.Namespace, _ = fields.Value().LookupPath(cue.ParsePath("match.namespace")).String()
		s := readSelector(fields.Value().LookupPath(cue.ParsePath("match")))
		w.match.Labels, w.match.Expressions = s.Labels, s.Expressions
		for egress, name := range map[bool]string{false: "ingress", true: "egress"} {
			plane := fields.Value().LookupPath(cue.ParsePath(name))
			if !plane.Exists() {
				continue
			}
			w.flows[egress] = []schema.Peer{}
			rules, err := plane.Fields()
			if err != nil {
				t.Fatal(err)
			}
			for rules.Next() {
				w.flows[egress] = append(w.flows[egress], readPeer(rules.Value()))
			}
		}
		all[fields.Selector().Unquoted()] = w
	}
	return all
}

func readSelector(v cue.Value) (s schema.Selector) {
	_ = v.LookupPath(cue.ParsePath("labels")).Decode(&s.Labels)
	expressions, err := v.LookupPath(cue.ParsePath("expressions")).Fields()
	for err == nil && expressions.Next() {
		var x schema.Expression
		for name, to := range map[string]*schema.Names{"in": &x.In, "notIn": &x.NotIn} {
			values, err := expressions.Value().LookupPath(cue.ParsePath(name)).Fields()
			for err == nil && values.Next() {
				*to = append(*to, values.Selector().Unquoted())
			}
		}
		if exists, err := expressions.Value().LookupPath(cue.ParsePath("exists")).Bool(); err == nil {
			x.Exists = &exists
		}
		if s.Expressions == nil {
			s.Expressions = map[string]schema.Expression{}
		}
		s.Expressions[expressions.Selector().Unquoted()] = x
	}
	return s
}

func readPeer(v cue.Value) (p schema.Peer) {
	text := func(name string) string {
		field := v.LookupPath(cue.ParsePath(name))
		if n, err := field.Int64(); err == nil {
			return strconv.FormatInt(n, 10)
		}
		s, _ := field.String()
		return s
	}
	p.Workload, p.Namespace, p.CIDR, p.Port, p.Protocol = text("workload"), text("namespace"), text("cidr"), text("port"), text("protocol")
	if p.Protocol == "" {
		p.Protocol = "tcp"
	}
	if n := v.LookupPath(cue.ParsePath("namespace")); n.Exists() && p.Namespace == "" {
		s := readSelector(n)
		p.Namespaces = &s
	}
	return p
}

// draftAllows is the meaning of drafts, as package schema has it: several workloads on one container are the union of their rules.
func draftAllows(all map[string]draftWorkload, pod, peer npPod, egress bool, port int, protocol string) bool {
	closed := false
	for _, w := range all {
		if w.flows[egress] == nil || !w.match.Selects(schema.Subject{Namespace: pod.namespace, Labels: pod.labels}) {
			continue
		}
		closed = true
		for _, f := range w.flows[egress] {
			first, last, isRange := strings.Cut(f.Port, "-")
			low, _ := strconv.Atoi(first)
			high := low
			if isRange {
				high, _ = strconv.Atoi(last)
			}
			if f.Protocol != protocol || f.Port != "*" && (port < low || port > high) {
				continue
			}
			if peerIs(all, f, peer) {
				return true
			}
		}
	}
	return !closed
}

func peerIs(all map[string]draftWorkload, f schema.Peer, peer npPod) bool {
	switch {
	case f.CIDR != "":
		return netip.MustParsePrefix(f.CIDR).Contains(peer.ip)
	case peer.namespace == "":
		return false
	case f.Workload != "":
		return all[f.Workload].match.Selects(schema.Subject{Namespace: peer.namespace, Labels: peer.labels})
	case f.Namespaces != nil:
		return f.Namespaces.Selects(npSpaces[peer.namespace])
	}
	return f.Namespace == peer.namespace
}

// npWriter writes random policies.
type npWriter struct{ *rand.Rand }

func (g npWriter) chance(n int) bool       { return g.IntN(n) == 0 }
func (g npWriter) of(all ...string) string { return all[g.IntN(len(all))] }

func (g npWriter) selector(keys []string, values ...string) (s npSelector) {
	if g.chance(3) {
		return s
	}
	for range g.IntN(3) {
		if g.chance(2) {
			if s.MatchLabels == nil {
				s.MatchLabels = map[string]string{}
			}
			s.MatchLabels[g.of(keys...)] = g.of(values...)
			continue
		}
		e := npExpression{Key: g.of(keys...), Operator: g.of("In", "NotIn", "Exists", "DoesNotExist")}
		if strings.HasSuffix(e.Operator, "In") {
			e.Values = []string{g.of(values...), g.of(values...)}
		}
		s.MatchExpressions = append(s.MatchExpressions, e)
	}
	return s
}

func (g npWriter) rules() (rules []npRule) {
	for range g.IntN(3) {
		r := npRule{}
		for range g.IntN(3) {
			r.From = append(r.From, g.peer())
		}
		for range g.IntN(3) {
			p := npPort{Protocol: g.of("", "TCP", "UDP", "SCTP")}
			if g.chance(2) {
				p.Port = 80 + g.IntN(4)
				if g.chance(2) {
					p.EndPort = p.Port + g.IntN(3)
				}
			}
			r.Ports = append(r.Ports, p)
		}
		rules = append(rules, r)
	}
	return rules
}

func (g npWriter) peer() (p npPeer) {
	if g.chance(3) {
		p.IPBlock = &npBlock{CIDR: g.of("10.0.0.0/8", "10.0.1.0/24", "0.0.0.0/0", "10.0.0.5/31", "::/0")}
		for range g.IntN(3) {
			p.IPBlock.Except = append(p.IPBlock.Except, g.of("10.0.1.0/24", "10.0.0.4/32", "10.0.0.0/30", "192.168.0.0/16"))
		}
		return p
	}
	kind := g.IntN(3)
	if kind != 0 {
		s := g.selector([]string{"app", "tier"}, "u", "v", "w")
		p.PodSelector = &s
	}
	if kind != 1 {
		s := g.selector([]string{"team"}, "x", "y")
		if g.chance(2) {
			s = npSelector{MatchLabels: map[string]string{namespaceName: g.of("a", "b")}}
		}
		p.NamespaceSelector = &s
	}
	return p
}

func (g npWriter) policies() (all []npPolicy) {
	for i := range 1 + g.IntN(4) {
		p := npPolicy{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Metadata: npMeta{fmt.Sprintf("p%d", i), g.of("a", "b")}}
		p.Spec.PodSelector = g.selector([]string{"app", "tier"}, "u", "v", "w")
		p.Spec.Ingress = g.rules()
		p.Spec.Egress = g.rules()
		for i, r := range p.Spec.Egress {
			p.Spec.Egress[i].From, p.Spec.Egress[i].To = nil, r.From
		}
		p.Spec.PolicyTypes = [][]string{nil, {"Ingress"}, {"Egress"}, {"Ingress", "Egress"}}[g.IntN(4)]
		all = append(all, p)
	}
	return all
}

// TestNeverMore drafts from random NetworkPolicies, evaluates both on every connection of a small cluster, and holds that a draft allows
// nothing that the source denies. Where nothing is lost, they allow the same.
func TestNeverMore(t *testing.T) {
	var pods []npPod
	for i, ns := range []string{"a", "a", "a", "b", "b", "c"} {
		pods = append(pods, npPod{ns, map[string]string{"app": string(rune('u' + i%3))}, netip.AddrFrom4([4]byte{10, 0, byte(i % 2), byte(i + 3)})})
	}
	pods[1].labels["tier"], pods[4].labels["tier"] = "u", "w"
	delete(pods[2].labels, "app")
	outside := []npPod{{ip: netip.MustParseAddr("10.0.0.4")}, {ip: netip.MustParseAddr("198.51.100.1")}, {ip: netip.MustParseAddr("2001:db8::1")}}
	exact, denied := 0, 0
	for seed := range uint64(100) {
		policies := npWriter{rand.New(rand.NewPCG(seed, 2))}.policies()
		var data []byte
		for _, p := range policies {
			one, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			data = append(append(data, "---\n"...), append(one, '\n')...)
		}
		r, err := Import([]Source{{Path: "np.yaml", Data: data}})
		if err != nil {
			t.Fatal(err)
		}
		drafts := readWorkloads(t, evaluate(t, r.Files))
		for _, pod := range pods {
			for _, peer := range append(slices.Clone(pods), outside...) {
				for _, protocol := range []string{"tcp", "udp", "sctp"} {
					for port := 79; port < 86; port++ {
						for _, egress := range []bool{false, true} {
							source := npAllows(policies, pod, peer, egress, port, protocol)
							draft := draftAllows(drafts, pod, peer, egress, port, protocol)
							if !source {
								denied++
							}
							if draft && !source || !draft && source && len(r.Lost) == 0 {
								t.Fatalf("seed %d: %v with %v, egress %v, %s %d: the source allows it: %v, the draft: %v\n%s\n%s\n%v",
									seed, pod, peer, egress, protocol, port, source, draft, data, slices.Collect(maps.Values(r.Files)), r.Lost)
							}
						}
					}
				}
			}
		}
		if len(r.Lost) == 0 {
			exact++
		}
	}
	if exact < 5 || denied < 10_000 {
		t.Errorf("%d policies were drafted exactly, %d connections denied: the model says too little", exact, denied)
	}
}
