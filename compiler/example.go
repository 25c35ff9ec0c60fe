// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// Example returns a subject that a match selects, with no more than the match demands: the labels it names, a cgroup that its pattern
// matches with "x" for each "*". It is false if the match selects nothing, such as a label that must and must not be there.
func Example(m schema.Match) (schema.Subject, bool) {
	s := schema.Subject{Namespace: m.Namespace, Host: m.Host, Container: filled(m.Container), Cgroup: examplePath(m.Cgroup)}
	s.Labels = exampleLabels(m.Labels, m.Expressions)
	if len(m.Labels)+len(m.Expressions) > 0 && s.Namespace == "" && len(s.Labels) == 0 {
		s.Namespace = "default" // labels are judged only where the subject is known to be a Pod
	}
	return s, m.Selects(s)
}

// exampleLabels returns the given labels, and for each expression that demands one a label that meets it. It returns nil if there are none.
func exampleLabels(labels map[string]string, expressions map[string]schema.Expression) map[string]string {
	all := map[string]string{}
	maps.Copy(all, labels)
	for k, x := range expressions {
		if _, fixed := labels[k]; fixed {
			continue
		}
		if value, present := exampleValue(x); present {
			all[k] = value
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// exampleValue returns a value that an expression permits, and whether the label must be there at all.
func exampleValue(x schema.Expression) (value string, present bool) {
	for _, v := range x.In {
		if !slices.Contains(x.NotIn, v) {
			return v, true
		}
	}
	if x.In != nil || x.Exists == nil || !*x.Exists {
		return "", false
	}
	value = "x"
	for slices.Contains(x.NotIn, value) {
		value += "x"
	}
	return value, true
}

// filled puts an "x" for each run of "*".
func filled(pattern string) string {
	for strings.Contains(pattern, "**") {
		pattern = strings.ReplaceAll(pattern, "**", "*")
	}
	return strings.ReplaceAll(pattern, "*", "x")
}

// examplePath returns a path that a path pattern matches.
func examplePath(pattern string) string {
	segments := strings.Split(pattern, "/")
	path := segments[:0]
	for i, s := range segments {
		if s != "**" || i == len(segments)-1 { // elsewhere "**" may be no segment at all
			path = append(path, filled(s))
		}
	}
	return strings.Join(path, "/")
}

// exampleImage returns a reference that an image pattern matches, and whether there is one.
func exampleImage(pattern string) (string, bool) {
	p, err := schema.ParseImagePattern(pattern)
	if err != nil {
		return "", false
	}
	i := schema.Image(p)
	if i.Path = filled(i.Path); i.Host == "" {
		i.Host = "registry.example.com"
	}
	if i.Digest == schema.AnyDigest {
		i.Digest = "sha256:" + strings.Repeat("0", 64)
	}
	ref, err := schema.ParseImage(i.String())
	return i.String(), err == nil && p.Matches(ref)
}

// exampleName returns a name that a name pattern matches.
func exampleName(pattern string) string {
	for _, wild := range []string{"**", "*"} {
		if rest, ok := strings.CutPrefix(pattern, wild); ok {
			return "x" + rest
		}
	}
	return pattern
}

// ExampleEvent returns an event that a rule of a workload allows, or that a rule of a bound or a patch forbids, by a subject that the match
// selects. It is false if there is none: for a signer or a gate, which only hold together with other conditions, and for a match or a pattern
// that nothing can meet.
func ExampleEvent(r schema.Rule, m schema.Match, at time.Time) (schema.Event, bool) {
	subject, ok := Example(m)
	if m.Zero() {
		subject, ok = schema.Subject{Namespace: "default"}, true // a bound for every container
	}
	e := schema.Event{Subject: subject, Verb: r.Verb}
	switch r.Verb {
	case schema.VerbExec, schema.VerbRead, schema.VerbWrite, schema.VerbAccess:
		if e.Object = schema.Path(examplePath(r.Object)); r.Verb == schema.VerbAccess {
			e.Verb = schema.VerbRead
		}
		if len(r.Parents) > 0 {
			e.Parent = schema.Path(examplePath(r.Parents[0]))
		}
	case schema.VerbUse:
		e.Object = schema.Path(filled(r.Object))
	case schema.VerbRun:
		var image string
		image, ok = exampleImage(r.Object)
		e.Object, e.Subject.Image = schema.Path(image), image
	case schema.VerbConnect, schema.VerbAccept:
		e.Flow, e.Verb = exampleFlow(r), flowVerb(r)
	case schema.VerbSet:
		if len(r.Values) == 0 {
			return e, false
		}
		e.Set = map[schema.PodField]schema.Names{schema.PodField(r.Object): {filled(r.Values[0])}}
	default:
		return e, false
	}
	return e, ok && (allows(r, e, at) || forbids(r, e, at))
}

// ExampleOf returns an event that something stated is about; see [ExampleEvent]. It is false for what is no rule.
func ExampleOf(p *schema.Policy, s Stated, at time.Time) (schema.Event, bool) {
	if s.Verb == "" || s.Kind == bundle.KindOnly {
		return schema.Event{}, false
	}
	r := s.Rule()
	if r.Peer != nil && r.Peer.Workload != "" {
		if w, err := findWorkload(p, r.Peer.Workload); err == nil {
			peer := *r.Peer
			peer.Match = &w.Match
			r.Peer = &peer
		}
	}
	var m schema.Match
	if s.Match != nil {
		m = *s.Match
	}
	e, ok := ExampleEvent(r, m, at)
	if s.Kind == bundle.KindPatch && len(s.Images) > 0 {
		e.Subject.Image, _ = exampleImage(s.Images[0])
	}
	return e, ok
}

// flowVerb returns the verb of an event that the rule is about: a request if it says something of layer 7.
func flowVerb(r schema.Rule) schema.Verb {
	switch {
	case !r.Layer7():
		return r.Verb
	case r.Verb == schema.VerbConnect:
		return schema.VerbRequest
	}
	return schema.VerbServe
}

func exampleFlow(r schema.Rule) *schema.Flow {
	f := &schema.Flow{Protocol: "tcp"}
	if p := r.Peer; p != nil {
		examplePeer(f, p)
		f.Port, f.PortName = examplePort(p.Port)
		if p.Protocol != "" {
			f.Protocol = p.Protocol
		}
	}
	switch {
	case len(r.HTTP) > 0:
		h := r.HTTP[0]
		f.HTTP = &schema.Request{Method: h.Method, Path: examplePath(h.Path), Host: exampleName(h.Host)}
		if h.Method == "*" {
			f.HTTP.Method = "GET"
		}
	case len(r.GRPC) > 0:
		f.GRPC = filled(r.GRPC[0])
	case len(r.TLS) > 0:
		f.TLS, f.Secure = exampleName(r.TLS[0]), true
	}
	return f
}

func examplePeer(f *schema.Flow, p *schema.Peer) {
	switch {
	case p.Match != nil:
		f.Peer, _ = Example(*p.Match)
	case p.Namespace != "":
		f.Peer.Namespace = p.Namespace
	case p.Namespaces != nil:
		f.Peer = schema.Subject{Namespace: "default", NamespaceLabels: exampleLabels(p.Namespaces.Labels, p.Namespaces.Expressions)}
		if f.Peer.NamespaceLabels == nil {
			f.Peer.NamespaceLabels = map[string]string{metadataName: "default"}
		}
	case p.CIDR != "":
		if prefix, err := netip.ParsePrefix(p.CIDR); err == nil {
			f.Address = prefix.Addr()
			if next := f.Address.Next(); prefix.Contains(next) {
				f.Address = next // the first is the network's own
			}
		}
	case p.DNS != "":
		f.Names = schema.Names{exampleName(p.DNS)}
	}
}

// metadataName is on every namespace (Kubernetes, "Well-Known Labels, Annotations and Taints").
const metadataName = "kubernetes.io/metadata.name"

// examplePort returns a port that a rule permits. The number of a named port is anything.
func examplePort(port string) (number int, name string) {
	const some = 443
	first, _, _ := strings.Cut(port, "-")
	if n, err := strconv.Atoi(first); err == nil {
		return n, ""
	}
	if port == "" || port == "*" {
		return some, ""
	}
	return some, port
}

// allows reports whether a rule alone allows an event on a closed plane, or meets its condition. Judge says it, so that what is told of a rule
// that does not decide never differs from what it would do.
func allows(r schema.Rule, e schema.Event, at time.Time) bool {
	w := schema.Workload{Name: "rule", Rules: []schema.Rule{r},
		Closures: []schema.Closure{{ID: ^r.ID, Plane: r.Plane, Mode: schema.ModeEnforce, Verbs: conditionVerbs(r)}}}
	v := schema.JudgeWorkloads([]*schema.Workload{&w}, e, at)
	return v.Action == schema.ActionAllow && v.Reason != schema.ReasonOpen && (r.Plane.Condition() || v.Rule == r.ID)
}

func conditionVerbs(r schema.Rule) []schema.Verb {
	if r.Plane == schema.PlaneImage {
		return []schema.Verb{r.Verb}
	}
	return nil
}

// forbids reports whether a rule of a bound or a patch forbids an event.
func forbids(r schema.Rule, e schema.Event, at time.Time) bool {
	sel := schema.Selection{Workloads: []*schema.Workload{{Name: "open"}},
		Bounds: []*schema.Bound{{Name: "bound", Mode: schema.ModeEnforce, Never: []schema.Rule{r}}}}
	return sel.Judge(e, at).Action == schema.ActionDeny
}
