// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
)

var (
	portNameRE = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$`) // IANA_SVC_NAME, RFC 6335
	domainRE   = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)+$`)
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// writer writes CUE without caring for its form, which the formatter does.
type writer struct{ b strings.Builder }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.b, format+"\n", args...) }

// quote writes a string of CUE.
func quote(s string) string { return literal.String.Quote(s) }

// key writes a label, quoted where it must be.
func key(s string) string {
	if ast.StringLabelNeedsQuoting(s) {
		return quote(s)
	}
	return s
}

// comment makes a text fit for a comment.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}

// portText writes a port: a number without quotes.
func portText(p string) string {
	if _, err := strconv.Atoi(p); err == nil {
		return p
	}
	return quote(p)
}

// file returns the draft of a group in CUE, or nil if there is nothing to say.
func (g *group) file() ([]byte, error) {
	if !g.stated() && len(g.bounds) == 0 {
		return nil, nil
	}
	w := &writer{}
	w.line("package policy\n")
	w.line("// Drafted by writ import from")
	for i, o := range g.origins {
		end := ","
		if i == len(g.origins)-1 {
			end = "."
		}
		w.line("//   %s%s", comment(o), end)
	}
	w.line("// In mode audit nothing is denied. Read what is reported, then say \"enforce\".")
	if g.stated() {
		g.workload(w)
	}
	for _, b := range g.sortedBounds() {
		w.line("")
		b.write(w, g)
	}
	data, err := compiler.Format(g.name+".cue", []byte(w.b.String()))
	if err != nil {
		return nil, fmt.Errorf("draft %s: %w", g.name, err) // a test drafts all that can be
	}
	return data, nil
}

func (g *group) workload(w *writer) {
	w.line("workload: %s: {", key(g.name))
	g.matchField(w)
	w.line("mode: \"audit\"")
	if g.owner != "" {
		w.line("owner: %s // a guess: name the team that has these nodes", quote(g.owner))
	}
	if g.shared {
		w.line("shared: true // other drafts may select the same containers")
	}
	if g.closed[schema.PlaneExec] {
		w.line("\nexec: {")
		for _, path := range sortedKeys(g.exec) {
			w.rule(path, g.exec[path].why, g.exec[path].parents)
		}
		w.line("}")
	}
	if g.closed[schema.PlaneFile] {
		w.line("\nfile: {")
		w.rules("read", g.read)
		w.rules("write", g.write)
		w.line("}")
	}
	if g.closed[schema.PlaneCapability] {
		w.line("")
		w.all("capability", g.capability)
	}
	for _, plane := range []schema.Plane{schema.PlaneEgress, schema.PlaneIngress} {
		if g.closed[plane] {
			w.line("")
			w.flows(string(plane), g.flows[plane])
		}
	}
	if g.profile != "" {
		w.line("\npod: profile: %s", quote(g.profile))
	}
	w.line("}")
}

func (g *group) matchField(w *writer) {
	m := g.match
	if m.Zero() {
		return
	}
	var fields []string
	if m.Namespace != "" {
		fields = append(fields, "namespace: "+quote(m.Namespace))
	}
	fields = append(fields, selectorFields(m.Labels, m.Expressions)...)
	if m.Container != "" {
		fields = append(fields, "container: "+quote(m.Container))
	}
	if m.Host {
		fields = append(fields, "host: true")
	}
	line := "match: " + inline(fields)
	if g.guessed != "" {
		line += " // " + comment(g.guessed)
	}
	w.line("%s", line)
}

// inline writes a struct in one line, without braces around one field.
func inline(fields []string) string {
	if len(fields) == 1 {
		return fields[0]
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

func selectorFields(labels map[string]string, expressions map[string]schema.Expression) (fields []string) {
	var of []string
	for _, k := range sortedKeys(labels) {
		of = append(of, key(k)+": "+quote(labels[k]))
	}
	if len(of) > 0 {
		fields = append(fields, "labels: "+inline(of))
	}
	of = nil
	for _, k := range sortedKeys(expressions) {
		x := expressions[k]
		var conditions []string
		if len(x.In) > 0 {
			conditions = append(conditions, "in: "+names(x.In))
		}
		if len(x.NotIn) > 0 {
			conditions = append(conditions, "notIn: "+names(x.NotIn))
		}
		if x.Exists != nil {
			conditions = append(conditions, fmt.Sprintf("exists: %v", *x.Exists))
		}
		of = append(of, key(k)+": "+inline(conditions))
	}
	if len(of) > 0 {
		fields = append(fields, "expressions: "+inline(of))
	}
	return fields
}

// names writes a set.
func names(all []string) string {
	fields := make([]string, len(all))
	for i, n := range all {
		fields[i] = key(n) + ": {}"
	}
	return inline(fields)
}

func (w *writer) rule(name, why string, parents map[string]bool) {
	if why == "" && len(parents) == 0 {
		w.line("%s: {}", key(name))
		return
	}
	var fields []string
	if why != "" {
		fields = append(fields, "why: "+quote(why))
	}
	if len(parents) > 0 {
		fields = append(fields, "parent: "+names(sortedKeys(parents)))
	}
	w.line("%s: %s", key(name), inline(fields))
}

// rules writes a map of rules, if there are any.
func (w *writer) rules(field string, rules map[string]reason) {
	if len(rules) > 0 {
		w.all(field, rules)
	}
}

func (w *writer) all(field string, rules map[string]reason) {
	w.line("%s: {", field)
	for _, name := range sortedKeys(rules) {
		w.rule(name, rules[name].why, nil)
	}
	w.line("}")
}

// flows writes flows under keys that say what they are. The same flow is written once.
func (w *writer) flows(field string, flows []*flow) {
	byKey := map[string]string{}
	for _, f := range flows {
		text := f.text()
		k := f.key()
		for i := 2; byKey[k] != "" && byKey[k] != text; i++ {
			k = fmt.Sprintf("%s-%d", f.key(), i)
		}
		byKey[k] = text
	}
	w.line("%s: {", field)
	for _, k := range sortedKeys(byKey) {
		w.line("%s: {%s}", key(k), byKey[k])
	}
	w.line("}")
}

// key names a flow after its peer, its port and its protocol, where they say something.
func (f *flow) key() string {
	k := f.base
	if f.peer.Port != "*" && f.peer.Port != "" {
		k += "-" + f.peer.Port
	}
	if f.peer.Protocol != "tcp" && f.peer.Protocol != "" {
		k += "-" + f.peer.Protocol
	}
	return label(k)
}

func (f *flow) text() string {
	p := f.peer
	var parts []string
	add := func(name, text string) { parts = append(parts, name+": "+text) }
	switch {
	case p.Workload != "":
		add("workload", quote(p.Workload))
	case p.Namespace != "":
		add("namespace", quote(p.Namespace))
	case p.Namespaces != nil:
		add("namespace", inline(selectorFields(p.Namespaces.Labels, p.Namespaces.Expressions)))
	case p.CIDR != "":
		add("cidr", quote(p.CIDR))
	case p.DNS != "":
		add("dns", quote(p.DNS))
	}
	add("port", portText(p.Port))
	if p.Protocol != "tcp" {
		add("protocol", quote(p.Protocol))
	}
	if f.tls {
		add("tls", "true")
	}
	if f.why != "" {
		add("why", quote(f.why))
	}
	return strings.Join(parts, ", ")
}

func (b *bound) write(w *writer, g *group) {
	w.line("bound: %s: {", key(b.name))
	g.matchField(w)
	w.line("mode: \"audit\"")
	if g.owner != "" {
		w.line("owner: %s", quote(g.owner))
	}
	w.line("why: %s", quote(b.why))
	w.line("never: {")
	w.rules("exec", b.exec)
	w.rules("file", b.file)
	w.rules("capability", b.capability)
	for _, plane := range []schema.Plane{schema.PlaneEgress, schema.PlaneIngress} {
		if len(b.flows[plane]) > 0 {
			w.flows(string(plane), b.flows[plane])
		}
	}
	w.line("}\n}")
}
