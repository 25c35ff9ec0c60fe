// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/compiler/admission"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/schematest"
)

// networkOf makes the policies of the network of a policy, as link does, and says what becomes of each plane.
func networkOf(t *testing.T, p *schema.Policy, at time.Time, cilium bool) (objects [][]byte, planes map[string]NetworkPlane) {
	t.Helper()
	var all []networked
	for i := range p.Workloads {
		w := &p.Workloads[i]
		m, err := admission.Make(w, at, cilium)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, networked{&head{name: w.Name, match: w.Match}, &m.Network})
	}
	n, planes := decideNetwork(all), map[string]NetworkPlane{}
	for _, w := range all {
		for _, side := range w.made.Planes {
			planes[w.name+" "+string(side.Side.Plane())] = n.networkPlane(w.name, side)
		}
	}
	for i := range p.Workloads {
		f, ok := n.forms[p.Workloads[i].Name]
		if !ok {
			continue
		}
		data, err := admission.NetworkObject(&p.Workloads[i], f.Sides, f.Layer7, cilium).Encode()
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, data)
	}
	return objects, planes
}

// inCluster makes of an event one that can happen in a cluster, with everything known, and the connection that the network sees.
func inCluster(r *rand.Rand, e *schema.Event) netFlow {
	podOf := func(s *schema.Subject) netPod {
		if s.Namespace == "" {
			s.Namespace = []string{"shop", "bank"}[r.IntN(2)]
		}
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		s.NamespaceLabels = maps.Clone(s.NamespaceLabels)
		if s.NamespaceLabels == nil {
			s.NamespaceLabels = map[string]string{}
		}
		s.NamespaceLabels[namespaceLabel] = s.Namespace
		if s.Container == "" {
			s.Container = "app"
		}
		s.Host, s.Cgroup = false, []string{"", "/kubepods/a", "/kubepods/a/b"}[r.IntN(3)]
		return netPod{s.Namespace, s.NamespaceLabels, s.Labels}
	}
	f := e.Flow
	if f.Protocol == "" {
		f.Protocol = "sctp"
	}
	flow := netFlow{egress: e.Verb.Plane() == schema.PlaneEgress, pod: podOf(&e.Subject), address: f.Address, fromOwnNode: f.Probe}
	switch {
	case f.Unknown || f.Peer.Namespace != "" || len(f.Peer.Labels) > 0:
		peer := podOf(&f.Peer)
		flow.peer = &peer
	case f.Peer.Known():
		flow.peerOnNode = true
		f.Peer = schema.Subject{Host: f.Peer.Host, Cgroup: f.Peer.Cgroup, Container: f.Peer.Container}
		fallthrough
	default:
		if flow.egress {
			f.PortName = ""
		}
	}
	f.Names = slices.DeleteFunc(slices.Clone(f.Names), func(n string) bool { return schema.CheckName(n) != nil }) // what DNS answers
	flow.port, flow.portName, flow.protocol = f.Port, f.PortName, strings.ToUpper(f.Protocol)
	flow.names, flow.http, flow.call, flow.secure, flow.serverName = f.Names, f.HTTP, f.GRPC, f.Secure, f.TLS
	return flow
}

// flowVerbs are those of the two planes.
var flowVerbs = []schema.Verb{schema.VerbConnect, schema.VerbAccept, schema.VerbRequest, schema.VerbServe}

// networkCase makes a policy of which both planes are often enforced.
func networkPolicyOf(r *rand.Rand) *schema.Policy {
	p := schematest.Policy(r)
	for i := range p.Workloads {
		w := &p.Workloads[i]
		for n := range w.Closures {
			if r.IntN(3) > 0 {
				w.Closures[n].Mode, w.Closures[n].Then = schema.ModeEnforce, ""
			}
		}
		if r.IntN(2) == 0 {
			w.Match.Container, w.Match.Cgroup, w.Match.Host = "", "", false
			w.Match.Namespace = []string{"shop", "bank"}[r.IntN(2)]
		}
	}
	return p
}

// TestNetworkNeverDenies holds generated policies and connections against schema.Judge: what it allows, NetworkPolicies allow; and where they
// say that nothing is wider, they deny what it denies.
func TestNetworkNeverDenies(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	cases, denied, exact, policies := 0, 0, 0, 0
	for range 2500 {
		p, at, judged := networkPolicyOf(r), time.Time{}, schematest.Instant(r)
		if r.IntN(2) == 0 {
			at = judged
		}
		objects, planes := networkOf(t, p, at, false)
		var read []netPolicy
		for _, data := range objects {
			np, err := readNetPolicy(data)
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			read = append(read, np)
		}
		policies += len(read)
		for range 100 {
			e := schematest.EventOf(r, p, flowVerbs[r.IntN(len(flowVerbs))])
			f := inCluster(r, &e)
			v, allows := schema.Judge(p, e, judged), netAllows(read, f)
			cases++
			if v.Action != schema.ActionDeny && !allows {
				t.Fatalf("Judge says %+v, NetworkPolicies deny\npolicy %+v\nevent %+v\nflow %+v\nat %v\n%s", v, p, e, *e.Flow, at, yamlOf(objects))
			}
			if v.Action == schema.ActionDeny && !allows {
				denied++
			}
			if exactly(p, planes, e) {
				exact++
				if by := schema.JudgeWorkloads(p.Select(e.Subject).Workloads, e, judged); allows != (by.Action != schema.ActionDeny) {
					t.Fatalf("Judge says %+v, NetworkPolicies allow: %v, and nothing is said to be wider\npolicy %+v\nevent %+v\nflow %+v\n%s", by, allows, p, e, *e.Flow, yamlOf(objects))
				}
			}
		}
	}
	if cases < 200_000 || denied < 30_000 || exact < 12_000 || policies < 1000 {
		t.Errorf("%d cases with %d policies: %d denied by both, %d compared exactly; want more of them", cases, policies, denied, exact)
	}
}

func yamlOf(objects [][]byte) string {
	var b strings.Builder
	for _, o := range objects {
		b.WriteString("---\n")
		b.Write(o)
	}
	return b.String()
}

// exactly reports whether the policies of the network are to say what the workloads say of a connection: each has one for the plane, and it is not
// wider, but for what does not concern connections, or this one.
func exactly(p *schema.Policy, planes map[string]NetworkPlane, e schema.Event) bool {
	if e.Verb != schema.VerbConnect && e.Verb != schema.VerbAccept || e.Flow.Probe || e.Flow.Unknown {
		return false
	}
	some := false
	for i := range p.Workloads {
		w := &p.Workloads[i]
		if !w.Match.Selects(e.Subject) {
			continue
		}
		n, mentioned := planes[w.Name+" "+string(e.Verb.Plane())]
		if !mentioned {
			continue
		}
		wider := slices.DeleteFunc(slices.Clone(n.Wider), func(s string) bool {
			return s == admission.WiderLayer7.String() || s == admission.WiderResolvers.String() && e.Flow.Port != 53 && e.Flow.Port != 5353
		})
		if n.Why != "" || len(wider) > 0 {
			return false
		}
		some = true
	}
	return some
}

// TestCiliumNeverDenies is TestNetworkNeverDenies for the policies of a cluster whose network is Cilium, requests included.
func TestCiliumNeverDenies(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	cases, denied, asked, policies := 0, 0, 0, 0
	for range 2500 {
		p, judged := networkPolicyOf(r), schematest.Instant(r)
		objects, _ := networkOf(t, p, judged, true)
		var plain []netPolicy
		var own []ciliumPolicy
		for _, data := range objects {
			if c, err := readCiliumPolicy(data); err == nil {
				own = append(own, c)
			} else if n, otherwise := readNetPolicy(data); otherwise == nil {
				plain = append(plain, n)
			} else {
				t.Fatalf("%v, %v\n%s", err, otherwise, data)
			}
		}
		policies += len(own)
		for range 100 {
			e := schematest.EventOf(r, p, flowVerbs[r.IntN(len(flowVerbs))])
			f := inCluster(r, &e)
			request := e.Verb == schema.VerbRequest || e.Verb == schema.VerbServe
			v, allows := schema.Judge(p, e, judged), ciliumAllows(plain, own, f, request)
			cases++
			if v.Action != schema.ActionDeny && !allows {
				t.Fatalf("Judge says %+v, Cilium denies\npolicy %+v\nevent %+v\nflow %+v\n%s", v, p, e, *e.Flow, yamlOf(objects))
			}
			if v.Action == schema.ActionDeny && !allows {
				denied++
				if request && ciliumAllows(plain, own, f, false) {
					asked++
				}
			}
		}
	}
	if cases < 200_000 || denied < 20_000 || asked < 500 || policies < 1000 {
		t.Errorf("%d cases with %d policies: %d denied by both, %d of these by what is asked; want more of them", cases, policies, denied, asked)
	}
}
