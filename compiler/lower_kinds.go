// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// lowerKind lowers an entry of any kind but workload into its list in a policy.
func lowerKind(p *schema.Policy, s *statement, sc *scope) {
	n, at := s.Node, s.Node.places()
	switch s.Kind {
	case "folder":
		v := schema.Folder{Path: s.Name, Pos: at}
		decode(n, &v)
		p.Folders = append(p.Folders, v)
	case "bound":
		p.Bounds = append(p.Bounds, lowerBound(s, sc))
	case "gate":
		p.Gates = append(p.Gates, lowerGate(s))
	case "exception":
		v := schema.Exception{Name: s.Name, Pos: at, Findings: n.get("finding").names(), Images: n.get("images").names()}
		decode(n, &v)
		v.Patch = (&lowerer{sc: sc, limit: true, stated: n.places(), id: idOf("patch", s.Name)}).rules(n.get("patch"))
		p.Exceptions = append(p.Exceptions, v)
	case "signer":
		v := schema.Signer{Name: s.Name, Pos: at}
		decode(n, &v)
		p.Signers = append(p.Signers, v)
	case "registry":
		v := schema.Registry{Name: s.Name, Pos: at}
		decode(n, &v)
		p.Registries = append(p.Registries, v)
	case "response":
		v := schema.Response{Name: s.Name, Pos: at}
		decode(n, &v)
		v.Mode, v.Then, v.After = oneMode(n.get("mode"))
		p.Responses = append(p.Responses, v)
	case "notify":
		v := schema.Notify{Name: s.Name, Pos: at}
		decode(n, &v)
		p.Notify = append(p.Notify, v)
	case "benchmark":
		v := schema.Benchmark{Name: s.Name, Pos: at}
		decode(n, &v)
		p.Benchmarks = append(p.Benchmarks, v)
	case "check":
		v := schema.Check{Name: s.Name, Pos: at}
		decode(n, &v)
		p.Checks = append(p.Checks, v)
	case "cluster":
		p.Clusters = append(p.Clusters, lowerCluster(s))
	case "admission":
		decode(n, &p.Admission)
		p.Admission.Makers, p.Admission.Pos = lowerMakers(n.get("makers")), at
	case "budget":
		decode(n, &p.Budget)
		p.Budget.Pos = at
	case "test":
		p.Tests = append(p.Tests, lowerTest(s))
	}
}

// idOf makes the IDs of what is no rule of a workload.
func idOf(fields ...string) func(schema.Plane, schema.Verb, string) schema.RuleID {
	return func(p schema.Plane, v schema.Verb, key string) schema.RuleID {
		return schema.NewRuleID(append(slices.Clip(fields), string(p), string(v), key)...)
	}
}

// oneMode reads a mode that has no planes; audit if there is none.
func oneMode(n *node) (mode, then schema.Mode, after schema.Date) {
	m := statedMode(modesOf(n), "", schema.PlaneMode{Mode: schema.ModeAudit})
	return m.Mode, m.Then, m.After
}

func lowerBound(s *statement, sc *scope) schema.Bound {
	n := s.Node
	b := schema.Bound{Name: s.Name, ID: schema.NewRuleID("bound", s.Name, "require"), Pos: n.places()}
	decode(n, &b)
	b.Mode, b.Then, b.After = oneMode(n.get("mode"))
	b.Never = (&lowerer{sc: sc, limit: true, stated: n.places(), id: idOf("bound", s.Name, "never")}).rules(n.get("never"))
	only := n.get("only")
	rules := (&lowerer{sc: sc, limit: true, stated: n.places(), id: idOf("bound", s.Name, "only")}).rules(only)
	for _, p := range schema.Planes {
		if only.get(string(p)) == nil {
			continue
		}
		l := schema.Limit{Plane: p, Pos: n.at("only", string(p))}
		for _, r := range rules {
			if r.Plane == p {
				l.Rules = append(l.Rules, r)
			}
		}
		b.Only = append(b.Only, l)
	}
	slices.SortFunc(b.Only, func(x, y schema.Limit) int { return cmp.Compare(x.Plane, y.Plane) })
	return b
}

// findingField is the field that names the finding in each class of a gate.
var findingField = map[string]string{"vulnerability": "id", "secret": "rule", "licence": "name", "misconfiguration": "id", "image": ""}

func lowerGate(s *statement) schema.Gate {
	n := s.Node
	g := schema.Gate{Name: s.Name, Pos: n.places()}
	decode(n, &g)
	deny := n.get("deny")
	if deny == nil {
		return g
	}
	for _, class := range deny.Fields {
		for _, f := range class.Node.Fields {
			a := schema.Alternative{}
			decode(f.Node, &a) // "package", "severity" and so on; "name" is a licence's
			a.ID = schema.NewRuleID("gate", s.Name, class.Name, f.Name)
			a.Class, a.Name, a.Pos = class.Name, f.Name, f.Node.places()
			a.Finding = f.Node.text(findingField[class.Name])
			g.Deny = append(g.Deny, a)
		}
	}
	return g
}

func lowerCluster(s *statement) schema.Cluster {
	n := s.Node
	c := schema.Cluster{Name: s.Name, Pos: n.places()}
	decode(n, &c)
	c.Modes = modesOf(n.get("mode"))
	if ws := n.get("workload"); ws != nil {
		c.Workloads = map[string][]schema.PlaneMode{}
		for _, f := range ws.Fields {
			c.Workloads[f.Name] = modesOf(f.Node.get("mode"))
		}
	}
	return c
}

// lowerMakers reads the kinds that make Pods. They are sorted as all fields of a node are.
func lowerMakers(n *node) (all []schema.Maker) {
	if n == nil {
		return nil
	}
	for _, f := range n.Fields {
		m := schema.Maker{Kind: f.Name}
		decode(f.Node, &m)
		m.Kind = f.Name
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b schema.Maker) int { return cmp.Compare(a.Kind, b.Kind) })
	return all
}

// verdictWords are what a test expects, in the words of a policy.
var verdictWords = map[string]schema.Action{
	"allowed": schema.ActionAllow, "learned": schema.ActionLearn, "audited": schema.ActionAudit, "denied": schema.ActionDeny,
}

func lowerTest(s *statement) schema.Test {
	n := s.Node
	t := schema.Test{Name: s.Name, In: n.text("in"), Is: verdictWords[n.text("is")], By: n.text("by"), At: schema.Date(n.text("at")), Why: n.text("why"), Pos: n.places()}
	decode(n.get("subject"), &t.Event.Subject)
	t.Event.Parent = schema.Path(n.text("parent"))
	for _, v := range []struct {
		field string
		verb  schema.Verb
	}{{"exec", schema.VerbExec}, {"read", schema.VerbRead}, {"write", schema.VerbWrite}, {"capability", schema.VerbUse}, {"run", schema.VerbRun}} {
		if n.get(v.field) != nil {
			t.Event.Verb, t.Event.Object = v.verb, schema.Path(n.text(v.field))
		}
	}
	if t.Event.Verb == schema.VerbRun {
		t.Event.SignedBy, t.Event.Passes = n.get("signedBy").names(), n.get("passes").names()
		t.Event.Subject.Image = string(t.Event.Object)
	}
	if connect := n.get("connect"); connect != nil {
		t.Event.Verb = schema.VerbConnect
		lowerFlow(&t, connect, schema.VerbRequest)
	}
	if accept := n.get("accept"); accept != nil {
		t.Event.Verb = schema.VerbAccept
		lowerFlow(&t, accept, schema.VerbServe)
	}
	if pod := n.get("pod"); pod != nil {
		t.Event.Verb, t.Event.Set = schema.VerbSet, map[schema.PodField]schema.Names{}
		for _, f := range pod.Fields {
			t.Event.Set[schema.PodField(f.Name)] = f.Node.names()
		}
	}
	return t
}

// lowerFlow reads a connection. With a request it is judged at layer 7.
func lowerFlow(t *schema.Test, n *node, request schema.Verb) {
	f := &schema.Flow{Protocol: n.text("protocol"), PortName: n.text("portName"), GRPC: n.text("grpc"), TLS: n.text("tls"), Secure: n.get("tls") != nil}
	t.Event.Flow, t.Peer = f, n.text("workload")
	if f.Protocol == "" {
		f.Protocol = "tcp"
	}
	decode(n.get("subject"), &f.Peer)
	decode(n.get("port"), &f.Port)
	if a, err := netip.ParseAddr(n.text("address")); err == nil {
		f.Address = a.Unmap()
	}
	if name := n.text("dns"); name != "" {
		f.Names = schema.Names{name}
	}
	if http := n.text("http"); http != "" {
		method, path, _ := strings.Cut(http, " ")
		f.HTTP = &schema.Request{Method: method, Path: path, Host: n.text("host")}
	}
	if f.HTTP != nil || f.GRPC != "" || f.Secure {
		t.Event.Verb = request
	}
}
