// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/writ-sec/writ/schema"
)

// methodRE is a method in the letters that methods are written in (RFC 9110, section 9.1, and its token).
var methodRE = regexp.MustCompile("^[A-Z][A-Z0-9!#$%&'*+.^_`|~-]*$")

// happenings are the fields of a test that say what happens, with their verbs.
var happenings = []struct {
	field string
	verb  schema.Verb
}{
	{"exec", schema.VerbExec}, {"read", schema.VerbRead}, {"write", schema.VerbWrite}, {"capability", schema.VerbUse},
	{"connect", schema.VerbConnect}, {"accept", schema.VerbAccept}, {"run", schema.VerbRun}, {"pod", schema.VerbSet},
}

// byNothing is what must decide where no rule does.
const byNothing = "nothing"

// ruleKeys knows the keys of all rules, collected when a test asks.
type ruleKeys struct {
	p     *schema.Policy
	keys  map[string]nameSet // by workload; "" is all
	never nameSet
}

// of returns the keys of the rules of a workload, or of all.
// forbidden is what bounds and virtual patches forbid.
func (k *ruleKeys) forbidden() nameSet {
	if k.never == nil {
		k.never = nameSet{}
		for i := range k.p.Bounds {
			for _, r := range k.p.Bounds[i].Never {
				k.never[r.Object] = true
			}
		}
		for i := range k.p.Exceptions {
			for _, r := range k.p.Exceptions[i].Patch {
				k.never[r.Object] = true
			}
		}
	}
	return k.never
}

func (k *ruleKeys) of(workload string) nameSet {
	if k.keys == nil {
		k.keys = map[string]nameSet{"": {}}
		for i := range k.p.Workloads {
			w := &k.p.Workloads[i]
			own := nameSet{}
			for j := range w.Rules {
				own[w.Rules[j].Object], k.keys[""][w.Rules[j].Object] = true, true
			}
			k.keys[w.Name] = own
		}
	}
	return k.keys[workload]
}

// test checks what a policy states of itself.
func (r *report) test(v *schema.Test, keys *ruleKeys) {
	if v.Name == "" || len(v.Name) > maxText || strings.ContainsFunc(v.Name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		r.fail(nil, "name %.100q is not one; want a sentence of at most %d printable bytes", v.Name, maxText)
	}
	r.reason(v.Why)
	happens := r.happens(v)
	in := r.testSubject(v)
	for _, field := range happens {
		r.event(field, &v.Event)
	}
	r.beside(happens, v)
	r.date([]string{"at"}, v.At)
	if v.By != "" || r.s.has("by") {
		r.testBy(v, in, keys)
	}
}

// happens returns what happens; it must be one thing.
func (r *report) happens(v *schema.Test) []string {
	var fields, all []string
	for _, h := range happenings {
		all = append(all, h.field)
		if r.states([]string{h.field}, v.Event.Verb == h.verb) {
			fields = append(fields, h.field)
		}
	}
	switch len(fields) {
	case 0:
		r.fail(nil, "says nothing that happens; want one of %s", quotedList(all, "and"))
	case 1:
	default:
		r.fail([]string{fields[1]}, "says that %s happen; want one of them, and a test for each", quotedList(fields, "and"))
	}
	return fields
}

// testSubject checks who does it, and returns the workload that "in" names, or nil.
func (r *report) testSubject(v *schema.Test) *head {
	in, subject := r.states([]string{"in"}, v.In != ""), r.states([]string{"subject"}, v.In == "" && v.Event.Subject.Known())
	switch {
	case in && subject:
		r.fail([]string{"subject"}, "subject stands beside \"in\"; want one of them")
	case in:
		return r.workload([]string{"in"}, "in", r.textOr(v.In, []string{"in"}))
	case !subject:
		r.fail(nil, "says nobody who does it; want \"in\", a workload, or \"subject\", a container")
	case !v.Event.Subject.Known():
		r.fail([]string{"subject"}, "subject tells nothing of the container; want its namespace, labels, name or cgroup")
	}
	return nil
}

// event checks what happens.
func (r *report) event(field string, e *schema.Event) {
	at := []string{field}
	object := string(e.Object)
	switch field {
	case "exec", "read", "write":
		r.onePath(at, object)
	case "capability":
		r.capability(at, field, object)
	case "connect", "accept":
		if e.Flow != nil {
			r.testFlow(at, field == "accept", e.Flow)
		}
	case "pod":
		globs := globCount{}
		for _, f := range schema.PodFields {
			if f != schema.PodHostPaths && len(e.Set[f]) > 0 {
				r.podValues(way(at, string(f)), f, e.Set[f], globs)
			}
		}
		for _, name := range r.s.keys(field) {
			if !slices.Contains(schema.PodFields, schema.PodField(name)) {
				r.podLimit(way(at, name), &schema.Rule{Object: name, Values: r.s.keys(field, name)}, globs)
			}
		}
	}
}

// onePath checks a path that is met, not a pattern.
func (r *report) onePath(at []string, path string) {
	if err := schema.CheckPattern(path); err != nil {
		r.fail(at, "%s path %.200q %v", dotted(at), path, err)
	} else if strings.Contains(path, "*") {
		r.fail(at, "%s path %.200q has \"*\", and one path is met at a time; want a path", dotted(at), path)
	}
}

// beside checks the fields that only go with one thing that happens.
func (r *report) beside(happens []string, v *schema.Test) {
	only := func(field, with string) {
		if r.s.has(field) && !slices.Contains(happens, with) {
			r.fail([]string{field}, "%s says nothing of %s; want it with %q", field, quotedList(happens, "and"), with)
		}
	}
	if len(happens) > 0 {
		only("parent", "exec")
		only("signedBy", "run")
		only("passes", "run")
	}
	if v.Event.Parent != "" {
		r.onePath([]string{"parent"}, string(v.Event.Parent))
	}
	for _, s := range v.Event.SignedBy {
		r.refers([]string{"signedBy", s}, "signedBy", s, r.sc.signers, "signer")
	}
	for _, g := range v.Event.Passes {
		r.refers([]string{"passes", g}, "passes", g, r.sc.gates, "gate")
	}
}

// testFlow checks a connection as it happens.
func (r *report) testFlow(at []string, accept bool, f *schema.Flow) {
	if ref := r.s.node.text(way(at, "workload")...); ref != "" {
		r.workload(way(at, "workload"), dotted(way(at, "workload")), ref)
		if r.s.has(way(at, "subject")...) {
			r.fail(way(at, "subject"), "%s.subject stands beside workload; want one of them", dotted(at))
		}
	} else if !f.Peer.Known() && !f.Address.IsValid() && len(f.Names) == 0 && !r.s.has(way(at, "address")...) {
		r.fail(at, "%s names no other end; want \"workload\", \"subject\", \"address\" or \"dns\"", dotted(at))
	}
	if text := r.s.node.text(way(at, "address")...); text != "" {
		if _, err := netip.ParseAddr(text); err != nil {
			r.fail(way(at, "address"), "%s.address %.100q is not an address; want such as \"10.20.0.7\"", dotted(at), text)
		}
	}
	for _, name := range f.Names {
		if accept {
			r.fail(way(at, "dns"), "%s.dns %.100q stands with accept, where no name is resolved; want \"workload\", \"subject\" or \"address\"", dotted(at), name)
		} else if err := schema.CheckName(name); err != nil || strings.Contains(name, "*") {
			r.fail(way(at, "dns"), "%s.dns %.300q is not a name that is resolved; want such as \"api.example.com\"", dotted(at), name)
		}
	}
	if f.Port < 0 || f.Port > 65535 {
		r.fail(way(at, "port"), "%s.port is %d; want 0 to 65535", dotted(at), f.Port)
	}
	r.testRequest(at, f)
}

func (r *report) testRequest(at []string, f *schema.Flow) {
	http := r.s.node.text(way(at, "http")...)
	if method, path, ok := strings.Cut(http, " "); http != "" && (!ok || !methodRE.MatchString(method) || !strings.HasPrefix(path, "/") || strings.Contains(path, " ")) {
		r.fail(way(at, "http"), "%s.http %.200q is not a request; want such as \"GET /v1/entries/7\"", dotted(at), http)
	}
	if r.s.has(way(at, "host")...) && !r.s.has(way(at, "http")...) {
		r.fail(way(at, "host"), "%s.host says nothing without a request; want it with \"http\"", dotted(at))
	}
	if f.GRPC != "" {
		if err := schema.CheckGRPC(f.GRPC); err != nil || strings.HasSuffix(f.GRPC, "/*") {
			r.fail(way(at, "grpc"), "%s.grpc %.200q is not a call; want such as \"shop.Ledger/Post\"", dotted(at), f.GRPC)
		}
	}
	for _, field := range []string{"http", "grpc", "tls"} {
		if r.s.has(way(at, field)...) && f.Protocol != "" && f.Protocol != "tcp" {
			r.fail(way(at, field), "%s.%s stands with protocol %q; want \"tcp\"", dotted(at), field, f.Protocol)
		}
	}
}

// testBy checks that what must decide exists, and can decide so.
func (r *report) testBy(v *schema.Test, in *head, keys *ruleKeys) {
	at := []string{"by"}
	if v.By == byNothing || v.By == "builtin/probe" || slices.Contains(schema.Planes, schema.Plane(v.By)) {
		return
	}
	by := v.By
	for _, kind := range []string{"bound ", "exception "} {
		by = strings.TrimPrefix(by, kind)
	}
	bounds := nameSet{}
	for _, b := range r.sc.bounds {
		bounds[b.Name] = true
	}
	workload := ""
	if in != nil {
		workload = in.name
	}
	if keys.of(workload)[v.By] || keys.forbidden()[v.By] {
		return
	}
	if bounds[by] || r.sc.exceptions[by] {
		if v.Is == schema.ActionAllow {
			r.fail(at, "by %.100q is a bound or an exception, which allows nothing; want a rule's key, or another \"is\"", v.By)
		}
		return
	}
	known := slices.Concat(bounds.sorted(), r.sc.exceptions.sorted(), keys.of(workload).sorted())
	near := ""
	if r.guessed++; r.guessed <= maxGuesses {
		if n := nearest(v.By, known); n != "" {
			near = "; did you mean \"" + n + "\"?"
		}
	}
	if near == "" {
		near = "; want the key of a rule, a bound, an exception, or \"nothing\""
	}
	r.fail(at, "by %.150q is not stated%s", v.By, near)
}
