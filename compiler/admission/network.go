// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// Sides are the planes that a policy of the network holds, as a set.
type Sides uint8

// The sides.
const (
	SideEgress Sides = 1 << iota
	SideIngress
)

// sides lists them in the order of their planes.
var sides = []Sides{SideEgress, SideIngress}

// Plane returns the plane of one side.
func (s Sides) Plane() schema.Plane {
	if s == SideIngress {
		return schema.PlaneIngress
	}
	return schema.PlaneEgress
}

// Form is one of the objects that a workload can have: which it is, is decided when all workloads are known.
type Form struct {
	_      struct{} `cbor:",toarray"`
	Sides  Sides
	Layer7 bool   // it restricts names and requests, as only Cilium can
	Kind   string // "NetworkPolicy" or "CiliumNetworkPolicy"
	Size   int64
	Digest [sha256.Size]byte
}

// Network is what policies of the network hold of one workload, as far as it alone decides.
type Network struct {
	_      struct{} `cbor:",toarray"`
	Planes []Side   // those that it mentions, egress first
	Forms  []Form   // those that may be wanted: for every set of planes that it alone does not stand in the way of
	Dates  []schema.Date
}

// Side is one plane of it.
type Side struct {
	_      struct{} `cbor:",toarray"`
	Side   Sides
	Why    Note   // why there is no policy, or 0
	Layer7 bool   // it can restrict names or requests
	Wider  []Note // what of the policy is wider than the rules, sorted
	Narrow []Note // the same of the form that restricts names and requests, if there is one
}

// maxObject bounds an object of the network in bytes, with what the API server adds to it: etcd takes 1.5 MiB.
const maxObject = 1 << 20

// Side returns what is made of one plane, and whether the workload mentions it.
func (n *Network) Side(s Sides) (Side, bool) {
	for _, p := range n.Planes {
		if p.Side == s {
			return p, true
		}
	}
	return Side{}, false
}

// Form returns the form for a set of planes; without layer7, or where there is no such form, the one that restricts neither names nor requests.
func (n *Network) Form(s Sides, layer7 bool) (Form, bool) {
	var found Form
	for _, f := range n.Forms {
		if f.Sides == s && (!f.Layer7 || layer7) {
			found = f
		}
	}
	return found, found.Sides != 0
}

// makeNetwork decides what can be said of one workload. Dated modes are decided at an instant; without one both sides of the date must
// enforce: here the stricter side would deny what the policy allows.
func makeNetwork(w *schema.Workload, at time.Time, cilium bool) (Network, error) {
	var n Network
	possible := Sides(0)
	for _, s := range sides {
		c, ok := w.Closure(s.Plane())
		if !ok {
			continue
		}
		side := Side{Side: s, Why: whyNone(w, c, at)}
		if c.Then != "" && (c.Then == schema.ModeEnforce) != (c.Mode == schema.ModeEnforce) {
			n.Dates = append(n.Dates, c.After)
		}
		if side.Why == 0 {
			possible |= s
		}
		n.Planes = append(n.Planes, side)
	}
	for _, f := range formsOf(w, possible, cilium) {
		data, err := NetworkObject(w, f.Sides, f.Layer7, cilium).Encode()
		if err != nil {
			return n, err
		}
		f.Size, f.Digest = int64(len(data)), sha256.Sum256(data)
		n.Forms = append(n.Forms, f)
	}
	n.note(w, cilium)
	return n, nil
}

// note completes what is to be said of each plane.
func (n *Network) note(w *schema.Workload, cilium bool) {
	large := n.tooLarge()
	for i := range n.Planes {
		p := &n.Planes[i]
		if p.Why == 0 && large&p.Side != 0 {
			p.Why = WhyLarge
		}
		if p.Why == 0 {
			p.note(w, cilium)
		}
	}
}

// tooLarge returns the planes that must go without a policy because of its size: those that are too large alone, else, where only both together
// are, the larger one. The forms with them are gone.
func (n *Network) tooLarge() Sides {
	large, size := Sides(0), map[Sides]int64{}
	for _, f := range n.Forms {
		size[f.Sides] = max(size[f.Sides], f.Size)
	}
	for _, s := range sides {
		if size[s] > maxObject {
			large |= s
		}
	}
	if large == 0 && size[SideEgress|SideIngress] > maxObject {
		large = SideEgress
		if size[SideIngress] > size[SideEgress] {
			large = SideIngress
		}
	}
	n.Forms = slices.DeleteFunc(n.Forms, func(f Form) bool { return f.Sides&large != 0 })
	return large
}

// NetworkSide says what can become of one plane of a workload, as far as it alone decides and without an instant.
func NetworkSide(w *schema.Workload, p schema.Plane, cilium bool) Side {
	side := Side{Side: SideEgress}
	if p == schema.PlaneIngress {
		side.Side = SideIngress
	}
	if c, ok := w.Closure(p); ok {
		side.Why = whyNone(w, c, time.Time{})
	}
	side.note(w, cilium)
	return side
}

// note says what is wider.
func (p *Side) note(w *schema.Workload, cilium bool) {
	kind := kindOf(w, p.Side, cilium)
	p.Wider = wider(flowsOf(w, p.Side, kind, false))
	if layer7 := flowsOf(w, p.Side, kind, true); kind == kindCilium && layer7.restricted {
		p.Layer7, p.Narrow = true, wider(layer7)
	}
}

// whyNone says why no policy of the network can hold a plane of a workload, as far as the workload alone decides; or 0.
func whyNone(w *schema.Workload, c schema.Closure, at time.Time) Note {
	m := w.Match
	switch {
	case m.Host || m.Cgroup != "":
		return WhyHost
	case m.Container != "":
		return WhyContainer
	case m.Namespace == "":
		return WhyNamespace
	case never(schema.Selector{Labels: m.Labels, Expressions: m.Expressions}):
		return WhyNothing
	case at.IsZero() && c.Then != "" && (c.Mode == schema.ModeEnforce) != (c.Then == schema.ModeEnforce):
		return WhyDated
	case at.IsZero() && c.Mode != schema.ModeEnforce, !at.IsZero() && c.ModeAt(at) != schema.ModeEnforce:
		return WhyMode
	}
	return 0
}

// formsOf lists the forms that may be wanted, without their content.
func formsOf(w *schema.Workload, possible Sides, cilium bool) []Form {
	var forms []Form
	for s := SideEgress; s <= SideEgress|SideIngress; s++ {
		if s&possible != s {
			continue
		}
		kind := kindOf(w, s, cilium)
		forms = append(forms, Form{Sides: s, Kind: kind})
		restricted := slices.ContainsFunc(sides, func(side Sides) bool { return s&side != 0 && flowsOf(w, side, kind, true).restricted })
		if kind == kindCilium && restricted {
			forms = append(forms, Form{Sides: s, Kind: kind, Layer7: true})
		}
	}
	return forms
}

// The kinds of object.
const (
	kindNetworkPolicy = "NetworkPolicy"
	kindCilium        = "CiliumNetworkPolicy"
)

// kindOf says which kind of object holds planes of a workload. Cilium's own is taken where a NetworkPolicy would say less, or something else:
// Cilium adds both up, so the wide one beside the narrow one would undo it, and its ranges of addresses hold neither Pods nor nodes.
func kindOf(w *schema.Workload, s Sides, cilium bool) string {
	for i := range w.Rules {
		if r := &w.Rules[i]; cilium && r.Peer != nil && s.holds(r.Plane) && (r.Layer7() || r.Peer.DNS != "" || r.Peer.CIDR != "") {
			return kindCilium
		}
	}
	return kindNetworkPolicy
}

func (s Sides) holds(p schema.Plane) bool {
	return p == schema.PlaneEgress && s&SideEgress != 0 || p == schema.PlaneIngress && s&SideIngress != 0
}

// NetworkObject makes the policy of the network for some planes of a workload, which must be in a namespace. layer7 asks for the form that
// restricts names and requests; cilium says whose policies there are.
func NetworkObject(w *schema.Workload, s Sides, layer7, cilium bool) Object {
	name := w.Name
	return Object{Name: name, Stage: StageNetwork, body: func() object {
		if kindOf(w, s, cilium) == kindCilium {
			return ciliumPolicy(w, s, layer7)
		}
		return networkPolicy(w, s)
	}}
}

// networkMetadata is that of a policy of the network: a workload's name is a DNS label, and no two in a namespace have the same.
func networkMetadata(w *schema.Workload, s Sides) object {
	meta := metadata("writ-" + w.Name) // a policy of somebody else may have the bare name
	meta["namespace"] = w.Match.Namespace
	meta["annotations"] = object{rulesAnnotation: ruleIDs(w, s)}
	return meta
}

// encodeNetwork writes an object of networkMetadata, whose other annotation comes last.
func encodeNetwork(body object) []byte {
	data := appendYAML(nil, body, 0)[1:]
	at := bytes.Index(data, []byte("\n    "+rulesAnnotation)) + 1
	line := fmt.Sprintf("    %s: %q\n", digestAnnotation, bundle.Sum(data))
	return slices.Insert(data, at, []byte(line)...)
}

// rulesAnnotation lists the IDs of what an object holds.
const (
	rulesAnnotation = "writ-sec.github.io/rules"
	maxRuleIDs      = 64 << 10 // bytes; all annotations of an object have at most 256 KiB
)

// ruleIDs lists the closures and rules of some planes, sorted. A list that is too long is its digest.
func ruleIDs(w *schema.Workload, s Sides) string {
	var ids []string
	for _, c := range w.Closures {
		if s.holds(c.Plane) {
			ids = append(ids, c.ID.String())
		}
	}
	for _, r := range w.Rules {
		if s.holds(r.Plane) {
			ids = append(ids, r.ID.String())
		}
	}
	slices.Sort(ids)
	list := strings.Join(ids, ",")
	if len(list) > maxRuleIDs {
		sum := sha256.Sum256([]byte(list))
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	return list
}

// networkPolicy makes a NetworkPolicy.
func networkPolicy(w *schema.Workload, s Sides) object {
	spec := object{"podSelector": selectorObject(schema.Selector{Labels: w.Match.Labels, Expressions: w.Match.Expressions}, "")}
	types := []string{}
	for _, side := range sides {
		if s&side == 0 {
			continue
		}
		types = append(types, map[Sides]string{SideEgress: "Egress", SideIngress: "Ingress"}[side])
		spec[string(side.Plane())] = networkRules(flowsOf(w, side, kindNetworkPolicy, false), side)
	}
	spec["policyTypes"] = types
	return object{"apiVersion": "networking.k8s.io/v1", "kind": kindNetworkPolicy, "metadata": networkMetadata(w, s), "spec": spec}
}

// networkRules writes what a side allows. An empty list allows nothing.
func networkRules(f flows, side Sides) []object {
	peers := map[Sides]string{SideEgress: "to", SideIngress: "from"}[side]
	list := objects{}
	for _, a := range f.allowed {
		rule := object{"ports": []object{networkPort(a.ports)}}
		if a.end.kind == endPods || a.end.kind == endRange {
			rule[peers] = []object{networkPeer(a.end)}
		}
		list.add(rule)
	}
	if f.resolvers {
		list.add(object{"ports": []object{{"protocol": "UDP", "port": dnsPort}, {"protocol": "TCP", "port": dnsPort}}})
		list.add(object{peers: []object{{"namespaceSelector": object{}}},
			"ports": []object{{"protocol": "UDP", "port": dnsPodPort}, {"protocol": "TCP", "port": dnsPodPort}}})
	}
	return list.all
}

// The ports of resolvers. A policy sees the port of the Pod that answers, which need not be that of its Service: OpenShift's answer on 5353.
const (
	dnsPort    = 53
	dnsPodPort = 5353
)

// objects is a list without repetitions.
type objects struct {
	all  []object
	seen map[string]bool
}

func (l *objects) add(o object) {
	key := string(bundle.Encode(o))
	if l.seen == nil {
		l.seen, l.all = map[string]bool{}, []object{}
	}
	if !l.seen[key] {
		l.seen[key] = true
		l.all = append(l.all, o)
	}
}

func networkPort(p ports) object {
	o := object{"protocol": p.protocol}
	switch {
	case p.name != "":
		o["port"] = p.name
	case p.low != 0:
		o["port"] = p.low
	}
	if p.high > p.low {
		o["endPort"] = p.high
	}
	return o
}

// namespaceLabel is on each Namespace with its name (Kubernetes, well-known labels).
const namespaceLabel = "kubernetes.io/metadata.name"

func networkPeer(e end) object {
	if e.kind == endRange {
		return object{"ipBlock": object{"cidr": e.cidr.String()}}
	}
	namespaces := schema.Selector{}
	if e.namespaces != nil {
		namespaces = *e.namespaces
	} else if e.namespace != "" {
		namespaces.Labels = map[string]string{namespaceLabel: e.namespace}
	}
	peer := object{"namespaceSelector": selectorObject(namespaces, "")}
	if len(e.pods.Labels)+len(e.pods.Expressions) > 0 {
		peer["podSelector"] = selectorObject(e.pods, "")
	}
	return peer
}
