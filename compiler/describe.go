// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/writ-sec/writ/schema"
)

// Describe says in words what a rule permits, or in a bound or a patch forbids, without who: "exec /usr/bin/curl, started by /usr/bin/payments",
// "connect to workload ledger port 8443/tcp, POST /v1/entries/*". Diffs, tests and explanations say it with these words. It is one line that is
// fit for a terminal: what holds anything but printable characters is quoted.
func Describe(r schema.Rule) string {
	switch r.Verb {
	case schema.VerbExec:
		if len(r.Parents) > 0 {
			return "exec " + quoted(r.Object) + ", started by " + either(r.Parents)
		}
	case schema.VerbAccess:
		return "read or write " + quoted(r.Object)
	case schema.VerbConnect, schema.VerbRequest:
		return "connect to " + describePeer(r.Peer) + describeLayer7(r)
	case schema.VerbAccept, schema.VerbServe:
		return "accept connections from " + describePeer(r.Peer) + describeLayer7(r)
	case schema.VerbSigned:
		return "run images that " + quoted(r.Object) + " signed"
	case schema.VerbPass:
		return "run images that pass the gate " + quoted(r.Object)
	case schema.VerbSet:
		return describeField(schema.PodField(r.Object), r.Values)
	}
	return quoted(string(r.Verb)) + " " + quoted(r.Object)
}

func describeField(f schema.PodField, values []string) string {
	switch {
	case f == schema.PodDropCapabilities:
		return "drop the capabilities " + strings.Join(quotedAll(values), " and ")
	case len(values) == 0:
		return "set no " + quoted(string(f))
	}
	return "set " + quoted(string(f)) + " to " + either(values)
}

func describePeer(p *schema.Peer) string {
	if p == nil {
		return "any peer"
	}
	who := "any peer"
	switch {
	case p.Workload != "":
		who = "workload " + quoted(p.Workload)
	case p.Namespace != "":
		who = "namespace " + quoted(p.Namespace)
	case p.Namespaces != nil:
		who = "namespaces with " + cmp.Or(describeLabels(p.Namespaces.Labels, p.Namespaces.Expressions), "any labels")
	case p.CIDR != "":
		who = quoted(p.CIDR)
	case p.DNS != "":
		who = quoted(p.DNS)
	}
	return who + " " + describePort(p.Port, p.Protocol)
}

func describePort(port, protocol string) string {
	switch {
	case (port == "" || port == "*") && protocol == "":
		return "on any port"
	case port == "" || port == "*":
		return "on any " + quoted(protocol) + " port"
	case protocol == "":
		return "port " + quoted(port)
	}
	return "port " + quoted(port) + "/" + quoted(protocol)
}

// describeLayer7 lists what a rule permits of layer 7, with a comma before it.
func describeLayer7(r schema.Rule) string {
	var words []string
	for _, h := range r.HTTP {
		w := quoted(h.Method) + " " + quoted(h.Path)
		if h.Host != "" {
			w += " of " + quoted(h.Host)
		}
		words = append(words, w)
	}
	for _, g := range r.GRPC {
		words = append(words, "call "+quoted(g))
	}
	for _, name := range r.TLS {
		if name == "**" {
			words = append(words, "TLS")
			continue
		}
		words = append(words, "TLS to "+quoted(name))
	}
	if len(words) == 0 {
		return ""
	}
	s := ", " + strings.Join(words, " or ")
	if r.L4 {
		s += " (where no proxy runs: any connection)"
	}
	return s
}

// DescribeMatch says in words whom a match selects: "namespace shop, label app=payments".
func DescribeMatch(m schema.Match) string {
	var words []string
	add := func(what, value string) {
		if value != "" {
			words = append(words, what+" "+quoted(value))
		}
	}
	add("namespace", m.Namespace)
	if l := describeLabels(m.Labels, m.Expressions); l != "" {
		words = append(words, l)
	}
	add("container", m.Container)
	add("cgroup", m.Cgroup)
	if m.Host {
		words = append(words, "processes of the host")
	}
	return cmp.Or(strings.Join(words, ", "), "every container")
}

func describeLabels(labels map[string]string, expressions map[string]schema.Expression) string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		words = append(words, "label "+quoted(k)+"="+quoted(labels[k]))
	}
	for _, k := range slices.Sorted(maps.Keys(expressions)) {
		x := expressions[k]
		if x.In != nil {
			words = append(words, "label "+quoted(k)+" "+cmp.Or(either(x.In), "of no value"))
		}
		if len(x.NotIn) > 0 {
			words = append(words, "label "+quoted(k)+" not "+either(x.NotIn))
		}
		if x.Exists != nil {
			words = append(words, map[bool]string{true: "label ", false: "no label "}[*x.Exists]+quoted(k))
		}
	}
	return strings.Join(words, ", ")
}

// DescribeSubject says in words who a subject is, as far as it is known.
func DescribeSubject(s schema.Subject) string {
	m := schema.Match{Namespace: s.Namespace, Labels: s.Labels, Container: s.Container, Cgroup: s.Cgroup, Host: s.Host}
	who := "an unknown container"
	if !m.Zero() {
		who = DescribeMatch(m)
	}
	if len(s.NamespaceLabels) > 0 {
		who += ", namespace with " + describeLabels(s.NamespaceLabels, nil)
	}
	if s.Image != "" {
		who += ", image " + quoted(s.Image)
	}
	return who
}

// DescribeEvent says in words what happens, without who does it: "exec /bin/sh by /usr/bin/payments".
func DescribeEvent(e schema.Event) string { return describeEvent(e, "") }

// describeEvent is DescribeEvent for a flow whose other end is one that a workload selects, if it is named.
func describeEvent(e schema.Event, peer string) string {
	s := string(e.Verb) + " " + quoted(string(e.Object))
	switch e.Verb {
	case schema.VerbConnect, schema.VerbRequest:
		s = "connect to " + describeFlow(e.Flow, peer)
	case schema.VerbAccept, schema.VerbServe:
		s = "accept from " + describeFlow(e.Flow, peer)
	case schema.VerbSet:
		var fields []string
		for _, f := range slices.Sorted(maps.Keys(e.Set)) {
			fields = append(fields, quoted(string(f))+"="+strings.Join(quotedAll(e.Set[f]), ","))
		}
		s = "run a Pod with " + cmp.Or(strings.Join(fields, ", "), "no field set")
	case schema.VerbRun:
		if len(e.SignedBy) > 0 {
			s += ", signed by " + strings.Join(quotedAll(e.SignedBy), " and ")
		}
		if len(e.Passes) > 0 {
			s += ", passes " + strings.Join(quotedAll(e.Passes), " and ")
		}
	}
	if e.Origin != schema.OriginPath {
		s += " (" + quoted(string(e.Origin)) + ")"
	}
	if e.Parent != "" {
		s += " by " + quoted(string(e.Parent))
	}
	return s
}

func describeFlow(f *schema.Flow, peer string) string {
	if f == nil {
		return "an unknown peer"
	}
	var who []string
	if peer != "" {
		who = append(who, "workload "+quoted(peer))
	}
	if f.Peer.Known() {
		who = append(who, DescribeSubject(f.Peer))
	}
	if f.Address.IsValid() {
		who = append(who, f.Address.String())
	}
	if len(f.Names) > 0 {
		who = append(who, strings.Join(quotedAll(f.Names), " or "))
	}
	s := cmp.Or(strings.Join(who, ", "), "an unknown peer") + " " + describePort(strconv.Itoa(f.Port), f.Protocol)
	if f.PortName != "" {
		s += " (" + quoted(f.PortName) + ")"
	}
	if f.HTTP != nil {
		s += ", " + quoted(f.HTTP.Method) + " " + quoted(f.HTTP.Path)
		if f.HTTP.Host != "" {
			s += " of " + quoted(f.HTTP.Host)
		}
	}
	if f.GRPC != "" {
		s += ", call " + quoted(f.GRPC)
	}
	if f.Secure || f.TLS != "" {
		s += strings.TrimSuffix(", TLS to "+quoted(f.TLS), " to \"\"")
	}
	if f.Probe {
		s += ", a probe of the own node"
	}
	return s
}

// DescribeMode says in words which mode holds until when: "audit through 2027-01-15, then enforce".
func DescribeMode(now, then schema.Mode, after schema.Date) string {
	if then == "" {
		return quoted(string(now))
	}
	return quoted(string(now)) + " " + through(after) + ", then " + quoted(string(then))
}

// through says how long something dated holds.
func through(d schema.Date) string {
	if _, err := time.Parse(time.DateOnly, string(d)); err == nil {
		return "through " + string(d)
	}
	return "until " + quoted(string(d))
}

// quoted returns a name or a path as it may stand in a sentence: quoted if it is empty, or holds a space or anything that is not printable.
func quoted(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar || r == ' ' }) {
		return strconv.Quote(s)
	}
	return s
}

func quotedAll[S ~[]string](all S) []string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = quoted(s)
	}
	return words
}

func either[S ~[]string](all S) string { return strings.Join(quotedAll(all), " or ") }

// countOf returns "1 rule", "2 rules".
func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
