// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// diffAtom is a part of a rule that another rule allows as a whole or not: a program by one of the parents, a connection, one request on it.
type diffAtom struct {
	rule    *schema.Rule
	forbids bool   // the rules are of a bound or a patch
	parent  string // exec: a pattern; "" is any caller
	part    diffPart
	http    schema.HTTPRule
	name    string // of partGRPC and partTLS
}

type diffPart int

const (
	partWhole   diffPart = iota // all that the rule says; of a flow everything on the connection
	partConnect                 // a connection, whatever is said on it
	partHTTP
	partGRPC
	partTLS
	partLayer4 // whatever is said where no proxy runs
)

// diffAtoms takes a rule apart.
func diffAtoms(r *schema.Rule) []diffAtom {
	var out []diffAtom
	if r.Plane == schema.PlaneExec {
		for _, p := range r.Parents {
			out = append(out, diffAtom{rule: r, parent: p})
		}
	}
	if r.Layer7() {
		out = append(out, diffAtom{rule: r, part: partConnect})
		for _, h := range r.HTTP {
			out = append(out, diffAtom{rule: r, part: partHTTP, http: h})
		}
		for _, g := range r.GRPC {
			out = append(out, diffAtom{rule: r, part: partGRPC, name: g})
		}
		for _, t := range r.TLS {
			out = append(out, diffAtom{rule: r, part: partTLS, name: t})
		}
		if r.L4 {
			out = append(out, diffAtom{rule: r, part: partLayer4})
		}
	}
	if out == nil {
		out = []diffAtom{{rule: r}}
	}
	return out
}

// covers reports whether a rule allows all of an atom, or forbids it where the rule is one that forbids.
func (d *differ) covers(r *schema.Rule, a diffAtom) bool {
	n := a.rule
	if r.Plane != n.Plane || r.Verb != n.Verb && r.Verb != schema.VerbAccess && !(r.Verb == schema.VerbWrite && n.Verb == schema.VerbRead && !a.forbids) {
		return false
	}
	switch n.Plane {
	case schema.PlaneExec:
		return d.cover.path(r.Object, n.Object) && d.coversParent(r, a.parent)
	case schema.PlaneFile:
		return d.cover.path(r.Object, n.Object)
	case schema.PlaneEgress, schema.PlaneIngress:
		return d.cover.peer(r.Peer, n.Peer, a.forbids) && d.coversPart(r, a)
	case schema.PlanePod:
		return r.Object == n.Object && d.coversValues(r, n, a.forbids)
	}
	if n.Verb == schema.VerbRun {
		return d.cover.image(r.Object, n.Object)
	}
	return r.Object == n.Object
}

func (d *differ) coversParent(r *schema.Rule, parent string) bool {
	return len(r.Parents) == 0 || parent != "" && slices.ContainsFunc(r.Parents, func(p string) bool { return d.cover.path(p, parent) })
}

func (d *differ) coversPart(r *schema.Rule, a diffAtom) bool {
	if !r.Layer7() || a.part == partConnect {
		return true
	}
	switch a.part {
	case partHTTP:
		return slices.ContainsFunc(r.HTTP, func(h schema.HTTPRule) bool { return d.cover.http(h, a.http) })
	case partGRPC:
		return slices.ContainsFunc(r.GRPC, func(g string) bool { return d.cover.grpc(g, a.name) })
	case partTLS:
		return slices.ContainsFunc(r.TLS, func(t string) bool { return t == "**" || d.cover.name(t, a.name) })
	case partLayer4:
		return r.L4
	}
	return false
}

func (c *diffCover) http(broad, narrow schema.HTTPRule) bool {
	return (broad.Method == "*" || broad.Method == narrow.Method) &&
		(broad.Host == "" || narrow.Host != "" && c.name(broad.Host, narrow.Host)) && c.httpPath(broad.Path, narrow.Path)
}

// httpPath compares patterns of request paths, see schema.MatchHTTPPath. They are those of paths, but a slash at the end counts: only a pattern
// that ends in one, or in "/**", matches it.
func (c *diffCover) httpPath(broad, narrow string) bool {
	if broad == narrow || broad == "/**" {
		return true
	}
	below, deep := strings.CutSuffix(broad, "/**")
	inside := func(n string) bool { return n != "" && below != "" && (c.path(below, n) || c.path(broad, n)) }
	n, slash := strings.CutSuffix(narrow, "/")
	if b, both := strings.CutSuffix(broad, "/"); slash && both {
		return b != "" && n != "" && c.path(b, n)
	} else if slash || both {
		return slash && deep && inside(n)
	}
	if n, narrowDeep := strings.CutSuffix(narrow, "/**"); narrowDeep {
		return deep && inside(n) && c.path(broad, narrow)
	}
	return c.path(broad, narrow)
}

func (c *diffCover) grpc(broad, narrow string) bool {
	service, ok := strings.CutSuffix(broad, "/*")
	return broad == narrow || ok && strings.HasPrefix(narrow, service+"/")
}

// coversValues reports whether whatever values of a Pod's field narrow permits are permitted by broad, or forbidden where the rules forbid.
func (d *differ) coversValues(broad, narrow *schema.Rule, forbids bool) bool {
	if schema.PodField(broad.Object) == schema.PodDropCapabilities && !forbids { // those that must be there
		return slices.Contains(narrow.Values, "ALL") || !slices.ContainsFunc(broad.Values, func(v string) bool { return !slices.Contains(narrow.Values, v) })
	}
	return !slices.ContainsFunc(narrow.Values, func(v string) bool {
		return !slices.ContainsFunc(broad.Values, func(b string) bool { return d.cover.value(schema.PodField(broad.Object), b, v) })
	})
}

// value compares values of a Pod's field, which are patterns for some.
func (c *diffCover) value(f schema.PodField, broad, narrow string) bool {
	switch f {
	case schema.PodHostPaths:
		return broad == narrow || schema.CheckPattern(broad) == nil && schema.CheckPattern(narrow) == nil && c.path(broad, narrow)
	case schema.PodSysctls, schema.PodServiceAccount:
		return c.glob(broad, narrow, globLine)
	}
	return broad == narrow
}

// diffIndex finds the rules that may cover an atom.
type diffIndex struct {
	forbids bool                      // the rules are of a bound or a patch
	exact   map[string][]*schema.Rule // by object, where an object covers nothing but itself
	broad   []*schema.Rule            // all others
}

func newDiffIndex(rules []schema.Rule, forbids bool) *diffIndex {
	x := &diffIndex{forbids: forbids, exact: make(map[string][]*schema.Rule, len(rules))}
	for i := range rules {
		r := &rules[i]
		switch {
		case r.Peer != nil || r.Plane != schema.PlanePod && strings.Contains(r.Object, "*") || r.Verb == schema.VerbRun:
			x.broad = append(x.broad, r)
		default:
			x.exact[r.Object] = append(x.exact[r.Object], r)
		}
	}
	return x
}

// covering returns a rule that covers an atom, or nil.
func (d *differ) covering(x *diffIndex, a diffAtom) *schema.Rule {
	for _, r := range x.exact[a.rule.Object] {
		if d.covers(r, a) {
			return r
		}
	}
	for _, r := range x.broad {
		if d.covers(r, a) {
			return r
		}
	}
	return nil
}

// coversAll returns a rule of the index that helps to cover the whole rule, or nil if some atom is left.
func (d *differ) coversAll(x *diffIndex, r *schema.Rule) *schema.Rule {
	var by *schema.Rule
	for _, a := range diffAtoms(r) {
		a.forbids = x.forbids
		if by = d.covering(x, a); by == nil {
			return nil
		}
	}
	return by
}
