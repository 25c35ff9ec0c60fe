// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"slices"

	"github.com/writ-sec/writ/schema"
)

// flows is what one plane of a workload allows, as far as a kind of policy can say it.
type flows struct {
	allowed    []allowed
	resolvers  bool   // questions to resolvers are allowed
	restricted bool   // something that only Cilium can say is said
	wider      []Note // what is wider than the rules
}

// allowed is one rule.
type allowed struct {
	rule  *schema.Rule
	end   end
	ports ports
	asks  asks
}

// asks is how the requests of a rule are restricted.
type asks int

const (
	asksAnything asks = iota
	asksHTTP          // HTTP requests and gRPC calls
	asksTLS           // names of TLS servers
)

// flowsOf reads the rules of one plane. A rule that no connection can be of has no part in it.
func flowsOf(w *schema.Workload, s Sides, kind string, layer7 bool) flows {
	var f flows
	for i := range w.Rules {
		r := &w.Rules[i]
		if r.Plane != s.Plane() || r.Peer == nil {
			continue
		}
		p := r.Peer
		f.resolvers = f.resolvers || s == SideEgress && (p.Workload != "" || p.Match != nil || p.Namespace != "" || p.Namespaces != nil || p.DNS != "")
		e, notes := endOf(p)
		ports, portNotes, ok := portsOf(p, s == SideIngress || e.kind == endPods)
		if e.kind == endNobody || !ok {
			continue
		}
		a := allowed{rule: r, end: e, ports: ports}
		if layer7 {
			a.asks = asksOf(r, ports)
		}
		f.wider = append(append(f.wider, notes...), portNotes...)
		f.allowed = append(f.allowed, a)
	}
	if layer7 {
		f.agree()
	}
	for i := range f.allowed {
		f.finish(&f.allowed[i], kind, layer7)
	}
	if f.resolvers {
		f.wider = append(f.wider, WiderResolvers)
	}
	return f
}

// finish notes what is left out of a rule, and names an end that cannot be named otherwise.
func (f *flows) finish(a *allowed, kind string, layer7 bool) {
	if a.end.kind == endName && !layer7 {
		a.end = end{kind: endAny}
		f.wider = append(f.wider, WiderName)
	}
	if a.rule.Layer7() && a.asks == asksAnything {
		f.wider = append(f.wider, WiderLayer7)
	}
	if kind == kindCilium && (a.end.kind == endName || a.end.kind == endRange) {
		f.wider = append(f.wider, WiderCluster)
	}
	f.restricted = f.restricted || a.end.kind == endName || a.asks != asksAnything
}

// agree drops from rules what would narrow others. Where two rules meet at a peer and a port, Cilium sends all of that through one proxy: HTTP
// beside anything else has to be HTTP, and the names of TLS servers hold for the other rule too. Its DNS proxy lets through what is DNS alone.
func (f *flows) agree() {
	dns := func(a allowed) bool {
		return a.ports.protocol != "SCTP" && slices.ContainsFunc([]int{dnsPort, dnsPodPort}, func(port int) bool {
			return a.ports.meet(ports{protocol: a.ports.protocol, low: port, high: port})
		})
	}
	if slices.ContainsFunc(f.allowed, dns) {
		for i := range f.allowed {
			if f.allowed[i].end.kind == endName {
				f.allowed[i].end = end{kind: endAny}
				f.wider = append(f.wider, WiderName)
			}
		}
	}
	if len(f.allowed) > maxCompared {
		for i := range f.allowed {
			f.allowed[i].asks = asksAnything
		}
	}
	for again := true; again; {
		again = false
		for i := range f.allowed {
			a := &f.allowed[i]
			if a.asks != asksAnything && slices.ContainsFunc(f.allowed, func(b allowed) bool { return b.asks != a.asks && a.ports.meet(b.ports) && a.end.meets(b.end) }) {
				a.asks, again = asksAnything, true
			}
		}
	}
}

// maxCompared bounds the rules of a plane that are compared with each other.
const maxCompared = 512

// meets reports whether somebody may be both. Ranges and names hold the Pods of the cluster too, see [WiderCluster].
func (e end) meets(o end) bool {
	if e.kind != endPods || o.kind != endPods {
		return true
	}
	if e.namespace != "" && o.namespace != "" && e.namespace != o.namespace {
		return false
	}
	for k, v := range e.pods.Labels {
		if w, ok := o.pods.Labels[k]; ok && v != w {
			return false
		}
	}
	return true
}

// asksOf says how the requests of a rule can be restricted. Of HTTP, gRPC and TLS any suffices, and no proxy of Cilium's takes HTTP or TLS; nor
// does one demand TLS without a name, or speak HTTP on any port.
func asksOf(r *schema.Rule, p ports) asks {
	switch {
	case !r.Layer7() || p.protocol != "TCP":
		return asksAnything
	case len(r.TLS) == 0 && (p.low != 0 || p.name != ""):
		return asksHTTP
	case len(r.HTTP)+len(r.GRPC) == 0 && !slices.Contains(r.TLS, "**"):
		return asksTLS
	}
	return asksAnything
}

// wider returns what is wider, sorted and each once.
func wider(f flows) []Note {
	slices.Sort(f.wider)
	return slices.Compact(f.wider)
}
