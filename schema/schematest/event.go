// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schematest

import (
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// Verbs lists the verbs that events have.
var Verbs = []schema.Verb{
	schema.VerbExec, schema.VerbRead, schema.VerbWrite, schema.VerbUse, schema.VerbConnect, schema.VerbRequest, schema.VerbAccept, schema.VerbServe,
	schema.VerbRun, schema.VerbSet,
}

// Event returns an event of any verb, whose subject is often one that a workload of the policy selects.
func Event(r *rand.Rand, p *schema.Policy) schema.Event { return EventOf(r, p, pick(r, Verbs...)) }

// EventOf returns an event of a verb.
func EventOf(r *rand.Rand, p *schema.Policy, verb schema.Verb) schema.Event {
	e := schema.Event{Subject: subject(r, p), Verb: verb}
	switch verb.Plane() {
	case schema.PlaneExec, schema.PlaneFile:
		e.Object = object(r, p, verb.Plane())
		if r.IntN(8) == 0 {
			e.Origin = pick(r, schema.OriginMemfd, schema.OriginDeleted, schema.OriginForeign, schema.OriginTooLong, schema.OriginUnknown)
		}
		if verb == schema.VerbExec && r.IntN(3) > 0 {
			e.Parent = Path(r)
		}
	case schema.PlaneCapability:
		e.Object = schema.Path(pick(r, capabilities...))
	case schema.PlaneEgress, schema.PlaneIngress:
		e.Flow = flow(r, p, verb)
	case schema.PlaneImage:
		e.Object = schema.Path(pick(r, images...))
		e.SignedBy, e.Passes = some(r, signers), some(r, gates)
	case schema.PlanePod:
		e.Set = map[schema.PodField]schema.Names{}
		for _, f := range fields {
			if r.IntN(3) > 0 {
				e.Set[f] = some(r, values[f].pod)
			}
		}
	}
	return e
}

// toward makes a connection one that a rule of some workload speaks of, as far as chance allows.
func toward(r *rand.Rand, f *schema.Flow, p *schema.Policy, plane schema.Plane) {
	var rules []schema.Rule
	for _, w := range p.Workloads {
		for _, a := range w.Rules {
			if a.Plane == plane {
				rules = append(rules, a)
			}
		}
	}
	if len(rules) == 0 {
		return
	}
	peer := pick(r, rules...).Peer
	f.Protocol, f.Unknown = peer.Protocol, false
	switch {
	case peer.Match != nil:
		f.Peer = selected(f.Peer, *peer.Match)
	case peer.Namespace != "":
		f.Peer.Namespace = peer.Namespace
	case peer.Namespaces != nil:
		f.Peer.Namespace, f.Peer.NamespaceLabels = "shop", peer.Namespaces.Labels
	case peer.CIDR != "":
		f.Address = netip.MustParsePrefix(peer.CIDR).Addr().Next()
	case peer.DNS != "":
		f.Names = schema.Names{"api.example.com"}
	}
	for range 3 {
		if !schema.MatchPort(peer.Port, f.Port, f.PortName) {
			f.Port, f.PortName = pick(r, portNumbers...), pick(r, portNames...)
		}
	}
}

// selected makes a subject one that a match selects, as far as that goes without its expressions.
func selected(s schema.Subject, m schema.Match) schema.Subject {
	s.Namespace, s.Host = m.Namespace, m.Host
	if m.Labels != nil {
		s.Labels = m.Labels
	}
	if m.Container != "" {
		s.Container = strings.ReplaceAll(m.Container, "*", "ide")
	}
	if m.Cgroup != "" {
		s.Cgroup = "/a/b"
	}
	return s
}

// subject returns a container, of which some things are sometimes not known.
func subject(r *rand.Rand, p *schema.Policy) schema.Subject {
	s := schema.Subject{Namespace: pick(r, "shop", "bank"), Container: pick(r, "app", "side"), Cgroup: pick(r, "/a", "/a/b", "/c", ""), Image: pick(r, images...)}
	s.Labels = map[string]string{"app": pick(r, "web", "db", "job")}
	if r.IntN(2) == 0 {
		s.NamespaceLabels = map[string]string{"tier": pick(r, "front", "back")}
	}
	switch r.IntN(8) {
	case 0:
		return schema.Subject{Cgroup: s.Cgroup, Image: s.Image}
	case 1:
		return schema.Subject{Host: true, Cgroup: s.Cgroup}
	case 2:
		s.Labels = nil
	}
	if len(p.Workloads) > 0 && r.IntN(4) > 0 { // one that a workload selects, as far as a match says
		return selected(s, p.Workloads[r.IntN(len(p.Workloads))].Match)
	}
	return s
}

// object returns a path, which is often that of a rule.
func object(r *rand.Rand, p *schema.Policy, plane schema.Plane) schema.Path {
	if len(p.Workloads) > 0 && r.IntN(3) == 0 {
		for _, a := range p.Workloads[r.IntN(len(p.Workloads))].Rules {
			if a.Plane == plane && schema.PatternKind(a.Object) == schema.KindExact {
				return schema.Path(a.Object)
			}
		}
	}
	return Path(r)
}

func flow(r *rand.Rand, p *schema.Policy, verb schema.Verb) *schema.Flow {
	f := &schema.Flow{Port: pick(r, portNumbers...), PortName: pick(r, portNames...), Protocol: pick(r, "tcp", "tcp", "tcp", "udp", "")}
	f.Address, _ = netip.ParseAddr(pick(r, addresses...)) // "" gives the zero Addr
	if r.IntN(2) == 0 {
		f.Peer = subject(r, p)
	}
	f.Names = some(r, names)
	f.Unknown = r.IntN(6) == 0
	f.Probe = verb.Plane() == schema.PlaneIngress && r.IntN(10) == 0
	if r.IntN(2) == 0 {
		toward(r, f, p, verb.Plane())
	}
	if verb != schema.VerbRequest && verb != schema.VerbServe {
		return f
	}
	switch r.IntN(4) {
	case 0, 1:
		f.HTTP = &schema.Request{Method: pick(r, "GET", "POST", "DELETE"), Path: pick(r, requestPaths...), Host: pick(r, hosts...)}
	case 2:
		f.GRPC = pick(r, calls[0], calls[2], "shop.Orders/Get/x", "Get")
	case 3:
		f.Secure, f.TLS = true, pick(r, names...)
	}
	return f
}
