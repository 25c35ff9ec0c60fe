// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"slices"
	"strings"
)

// flow returns the event's connection. An event without one has a connection of which nothing is known.
func (e *Event) flow() *Flow {
	if e.Flow == nil {
		return &Flow{}
	}
	return e.Flow
}

// probe reports whether the event is a probe by the kubelet of the own node: its connection or what it asks over it.
func (e *Event) probe() bool { return e.Verb.Plane() == PlaneIngress && e.flow().Probe }

// Anyone reports whether the peer names no other end. In a bound that is anyone, in a workload it is nobody.
func (p *Peer) Anyone() bool { return !p.identity() && p.CIDR == "" && p.DNS == "" }

// identity reports whether the peer names the other end by what it is, rather than by its address.
func (p *Peer) identity() bool {
	return p.Workload != "" || p.Match != nil || p.Namespace != "" || p.Namespaces != nil
}

// MatchPeer reports whether a peer is the other end of a connection; port and protocol are not read. A peer is one of
//
//	workload     the workload's match selects the other end
//	namespace    the other end is in the namespace of this name
//	namespaces   the labels of the other end's namespace are known, and the selector selects them
//	cidr         the other end's address is in the range, see [MatchCIDR]
//	dns          one of the names that led to the other end's address matches, see [MatchName]
//
// so an other end of which both are known, what it is and its address, is each of them: either suffices. What is not known matches
// nothing. A namespace without labels counts as one whose labels are not known: Kubernetes labels each with its name
// (kubernetes.io/metadata.name). If nobody knows which Pod an address is, cidr alone can match: a name that led to it says who had
// the address, not who has it. A peer that names several of these is all of them, one that names none is nobody.
func MatchPeer(p *Peer, f *Flow) bool {
	switch {
	case p.Anyone():
		return false
	case f.Unknown && (p.identity() || p.DNS != ""):
		return false
	case (p.Workload != "" || p.Match != nil) && (p.Match == nil || !p.Match.Selects(f.Peer)):
		return false
	case p.Namespace != "" && p.Namespace != f.Peer.Namespace:
		return false
	case p.Namespaces != nil && !p.Namespaces.selectsNamespace(f.Peer):
		return false
	case p.CIDR != "" && !MatchCIDR(p.CIDR, f.Address):
		return false
	}
	return p.DNS == "" || slices.ContainsFunc(f.Names, func(name string) bool { return MatchName(p.DNS, name) })
}

func (s Selector) selectsNamespace(peer Subject) bool {
	return peer.Namespace != "" && len(peer.NamespaceLabels) > 0 && s.Selects(peer.NamespaceLabels)
}

// AllowsRequest reports whether a rule for the right peer, port and protocol allows what is asked over a connection. One that says nothing of
// layer 7 allows everything; of one that does, any entry that matches suffices:
//
//	http   the method is equal, or "*"; [MatchHTTPPath] matches the path; the host, if the entry has one, by [MatchName], without its port
//	grpc   [MatchGRPC] matches the call
//	tls    a TLS handshake was seen, and [MatchName] matches the server name; "**" is any name, also none
func (r *Rule) AllowsRequest(f *Flow) bool {
	if !r.Layer7() {
		return true
	}
	return f.HTTP != nil && slices.ContainsFunc(r.HTTP, func(h HTTPRule) bool { return h.allows(f.HTTP) }) ||
		f.GRPC != "" && slices.ContainsFunc(r.GRPC, func(call string) bool { return MatchGRPC(call, f.GRPC) }) ||
		f.Secure && slices.ContainsFunc(r.TLS, func(name string) bool { return name == "**" || MatchName(name, f.TLS) })
}

func (h HTTPRule) allows(r *Request) bool {
	return (h.Method == "*" || h.Method == r.Method) && MatchHTTPPath(h.Path, r.Path) && (h.Host == "" || MatchName(h.Host, hostName(r.Host)))
}

// hostName returns the name in a Host header field or an :authority (RFC 9110, section 7.2), without its port. What may not stand in
// a host name, IPv6 addresses among it, is read differently by different servers and gives "", which matches nothing.
func hostName(host string) string {
	name, port, hasPort := strings.Cut(host, ":")
	if hasPort && strings.Trim(port, "0123456789") != "" {
		return ""
	}
	for i := range len(name) {
		if !nameByte(name[i]) && name[i] != '.' {
			return ""
		}
	}
	return name
}
