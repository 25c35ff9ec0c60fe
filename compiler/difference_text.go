// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// diffRuleText says a rule as people read it. What comes from the policy is as its author wrote it: whoever prints it escapes it.
func diffRuleText(r *schema.Rule) string {
	switch r.Verb {
	case schema.VerbExec:
		if len(r.Parents) > 0 {
			return r.Object + " started by " + diffList(r.Parents)
		}
		return r.Object
	case schema.VerbRead, schema.VerbWrite:
		return string(r.Verb) + " " + r.Object
	case schema.VerbAccess:
		return "read or write " + r.Object
	case schema.VerbConnect:
		return "connect to " + r.Object + diffFlowText(r)
	case schema.VerbAccept:
		return "accept from " + r.Object + diffFlowText(r)
	case schema.VerbSigned:
		return "signed by " + r.Object
	case schema.VerbPass:
		return "gate " + r.Object
	case schema.VerbSet:
		return r.Object + ": " + diffQuoted(r.Values)
	}
	return r.Object
}

func diffFlowText(r *schema.Rule) string {
	if r.Peer == nil {
		return ""
	}
	s := " (" + diffPeerText(r.Peer)
	for _, h := range r.HTTP {
		s += ", http " + h.Method + " " + h.Path
		if h.Host != "" {
			s += " on " + h.Host
		}
	}
	for _, g := range r.GRPC {
		s += ", grpc " + g
	}
	for _, t := range r.TLS {
		if t == "**" {
			t = "with any name"
		}
		s += ", tls " + t
	}
	if r.L4 {
		s += ", layer 4 accepted"
	}
	return s + ")"
}

func diffPeerText(p *schema.Peer) string {
	s := "any peer"
	switch {
	case p.Workload != "":
		s = "workload " + p.Workload
		if p.Match != nil {
			s += " with " + diffMatchText(*p.Match)
		}
	case p.Namespace != "":
		s = "namespace " + p.Namespace
	case p.Namespaces != nil:
		s = "namespaces with " + diffMatchText(schema.Match{Labels: p.Namespaces.Labels, Expressions: p.Namespaces.Expressions})
	case p.CIDR != "":
		s = p.CIDR
	case p.DNS != "":
		s = p.DNS
	}
	port := p.Port
	if port == "" {
		port = "*"
	}
	s += " port " + port
	if p.Protocol != "" && p.Protocol != "tcp" {
		s += "/" + p.Protocol
	}
	return s
}

// diffMatchText says what a match selects.
func diffMatchText(m schema.Match) string {
	var parts []string
	add := func(key, value string) {
		if value != "" {
			parts = append(parts, key+" "+value)
		}
	}
	add("namespace", m.Namespace)
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		parts = append(parts, k+"="+m.Labels[k])
	}
	for _, k := range slices.Sorted(maps.Keys(m.Expressions)) {
		if s := diffExpressionText(k, m.Expressions[k]); s != "" { // an empty one always holds
			parts = append(parts, s)
		}
	}
	add("container", m.Container)
	add("cgroup", m.Cgroup)
	if m.Host {
		parts = append(parts, "host")
	}
	if parts == nil {
		return "no condition"
	}
	return strings.Join(parts, ", ")
}

func diffExpressionText(key string, x schema.Expression) string {
	var parts []string
	if x.In != nil {
		parts = append(parts, key+" in "+diffQuoted(x.In))
	}
	if x.NotIn != nil {
		parts = append(parts, key+" not in "+diffQuoted(x.NotIn))
	}
	switch {
	case x.Exists == nil:
	case *x.Exists:
		parts = append(parts, key+" exists")
	default:
		parts = append(parts, key+" does not exist")
	}
	return strings.Join(parts, " and ")
}

// diffMode is a mode, and perhaps another one from a date on.
type diffMode struct {
	now, then schema.Mode
	after     schema.Date
}

func (p diffMode) String() string {
	if p.then == "" {
		return string(p.now)
	}
	return fmt.Sprintf("%s until %s, then %s", p.now, p.after, p.then)
}

// diffList joins names, and counts what does not fit.
func diffList(names []string) string {
	if len(names) > maxListed {
		return strings.Join(names[:maxListed], ", ") + countMore(len(names)-maxListed)
	}
	return strings.Join(names, ", ")
}

func countMore(n int) string { return fmt.Sprintf(" and %d more", n) }

// diffQuoted is listed for values that may be empty.
func diffQuoted(values []string) string {
	if len(values) == 0 {
		return "nothing"
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return diffList(quoted)
}

// maxDetails bounds the details of one change. What is left out is counted.
const maxDetails = 100

// diffRuleDetails says rules, one a line.
func diffRuleDetails(rules []schema.Rule) []string {
	var out []string
	for i := range rules {
		if i == maxDetails {
			return append(out, fmt.Sprintf("and %d more", len(rules)-i))
		}
		out = append(out, string(rules[i].Plane)+": "+diffRuleText(&rules[i]))
	}
	return out
}

// sameJSON compares values of which empty and missing parts are the same.
func sameJSON[T any](a, b T) bool { return reflect.DeepEqual(a, b) || diffJSON(a) == diffJSON(b) }

func diffJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%#v", v) // no type of a policy does that
	}
	return string(data)
}
