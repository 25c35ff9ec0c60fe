// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// explainer holds values against the shape of the schema, and says what is wrong: all at once, each at the author's line, with what was
// expected. What CUE found wrong in the values themselves is added in CUE's words where the shape says nothing of it.
type explainer struct {
	file  string // where to report what has no place
	found []finding
}

// finding is an error with the place in the value that it is about: kind, name, and fields below.
type finding struct {
	path []string
	d    Diagnostic
}

// value holds one value against its shape. around is the nearest place that states something, for values that nothing states.
func (x *explainer) value(n *node, s *shape, path []string, around []schema.Pos) {
	if p := n.places(); len(p) > 0 {
		around = p
	}
	switch {
	case n.Kind == nodeBottom:
		if len(s.structs) > 0 {
			x.fields(n, s.form(n), path, around, false)
		}
	case n.Kind == nodeStruct && len(s.structs) > 0:
		x.fields(n, s.form(n), path, around, true)
	case n.Kind == nodeString && s.text, n.Kind == nodeBool && s.boolean, n.Kind == nodeNumber && s.integer:
	case n.Kind == nodeString && len(s.words) > 0:
		x.word(n, s, path, around)
	case n.Kind == nodeOpen:
		x.report(path, around, "%s is %s, which is not one value; want %s", nameOf(path), n.Text, s.want())
	default:
		x.report(path, around, "%s is %s; want %s", nameOf(path), n.show(), s.want())
	}
}

// form is the form of a struct that knows most of its fields.
func (s *shape) form(n *node) *structShape {
	best, most := s.structs[0], -1
	for _, f := range s.structs {
		known := 0
		for _, have := range n.Fields {
			if _, ok := f.fields[have.Name]; ok || f.any != nil {
				known++
			}
		}
		if known > most {
			best, most = f, known
		}
	}
	return best
}

func (x *explainer) fields(n *node, form *structShape, path []string, around []schema.Pos, whole bool) {
	for _, f := range n.Fields {
		sub := append(slices.Clip(path), f.Name)
		switch known, ok := form.fields[f.Name]; {
		case ok:
			x.value(f.Node, known.shape, sub, around)
		case form.any != nil:
			x.value(f.Node, form.any, sub, around)
		default:
			x.unknown(f.Node, form, sub, around)
		}
	}
	for _, name := range form.order {
		if f := form.fields[name]; whole && f.required && n.get(name) == nil {
			x.report(append(slices.Clip(path), name), around, "field %q is missing; want %s", name, f.shape.want())
		}
	}
}

func (x *explainer) unknown(n *node, form *structShape, path []string, around []schema.Pos) {
	if p := n.places(); len(p) > 0 {
		around = p
	}
	last := path[len(path)-1]
	in := ""
	if len(path) > 3 {
		in = " in " + nameOf(path[:len(path)-1])
	}
	switch near := nearest(last, form.order); {
	case near != "":
		x.report(path, around, "field %q is not known%s; did you mean %q?", last, in, near)
	case len(form.order) == 0:
		x.report(path, around, "field %q is not known%s; want {}", last, in)
	default:
		x.report(path, around, "field %q is not known%s; want %s", last, in, list(form.order, "or"))
	}
}

func (x *explainer) word(n *node, s *shape, path []string, around []schema.Pos) {
	if slices.Contains(s.words, n.Text) {
		return
	}
	hint := ""
	if near := nearest(n.Text, s.words); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	x.report(path, around, "%s %q is not known; want %s%s", nameOf(path), shorten(n.Text), list(s.words, "or"), hint)
}

// problems adds what CUE says. names are those that a reference may mean, and at finds the place of an entry's part.
func (x *explainer) problems(all []problem, names []string, at func(path []string) []schema.Pos) {
	walked := newPathSet()
	for _, f := range x.found {
		walked.add(f.path)
	}
	x.references(all, walked, names)
	said := map[string]bool{}
	for _, p := range all {
		key := fmt.Sprint(p.Path, p.Pos)
		if p.Reference != "" || said[key] || p.Pos.File == "" || len(p.Path) > 1 && walked.meets(p.Path) {
			continue
		}
		said[key] = true
		x.cue(p)
	}
	if len(x.found) > 0 {
		return
	}
	for _, p := range all { // CUE names no place of the author's
		if where := at(p.Path); where != nil {
			x.report(p.Path, where, "is not valid CUE: %.500s", p.Msg)
			return
		}
	}
	if len(all) > 0 {
		x.report(nil, nil, "is not valid CUE: %.500s", all[0].Msg)
	}
}

// Hints are given for so many references among so many names: to compare words takes time.
const (
	maxHints     = 50
	maxHintNames = 2000
)

// references reports those that lead nowhere. What else is wrong at their places follows from that.
func (x *explainer) references(all []problem, walked *pathSet, names []string) {
	nowhere := newPathSet()
	for _, p := range all {
		if p.Reference != "" {
			nowhere.add(p.Path)
			walked.add(p.Path)
		}
	}
	x.found = slices.DeleteFunc(x.found, func(f finding) bool { return nowhere.has(f.path) })
	names = names[:min(len(names), maxHintNames)]
	hints := 0
	for _, p := range all {
		if p.Reference == "" {
			continue
		}
		msg := "reference %q is not found; want a field, a let or an import that the folder or one above it states"
		if hints++; hints <= maxHints {
			if near := nearest(p.Reference, names); near != "" {
				msg = "reference %q is not found; did you mean " + strconv.Quote(near) + "?"
			}
		}
		x.report(p.Path, []schema.Pos{p.Pos}, msg, p.Reference)
	}
}

// pathSet is a set of paths that says at once what lies around and below a path.
type pathSet struct{ whole, begun map[string]bool }

func newPathSet() *pathSet { return &pathSet{map[string]bool{}, map[string]bool{}} }

// pathKeys are the beginnings of a path, from the empty one to itself, each as one word.
func pathKeys(path []string) []string {
	keys := make([]string, 1, len(path)+1)
	for _, p := range path {
		keys = append(keys, keys[len(keys)-1]+strconv.Itoa(len(p))+":"+p)
	}
	return keys
}

func (s *pathSet) add(path []string) {
	keys := pathKeys(path)
	for _, k := range keys {
		s.begun[k] = true
	}
	s.whole[keys[len(keys)-1]] = true
}

func (s *pathSet) has(path []string) bool {
	keys := pathKeys(path)
	return s.whole[keys[len(keys)-1]]
}

// meets reports whether a path of the set lies at the path, around it or below it.
func (s *pathSet) meets(path []string) bool {
	keys := pathKeys(path)
	return s.begun[keys[len(keys)-1]] || slices.ContainsFunc(keys, func(k string) bool { return s.whole[k] })
}

// cue reports an error in CUE's words.
func (x *explainer) cue(p problem) {
	msg := p.Msg
	if len(p.Path) > 2 {
		msg = nameOf(p.Path) + ": " + msg
	}
	for i, at := range p.Also {
		msg += map[bool]string{true: "; see also ", false: ", "}[i == 0] + at.String()
	}
	x.report(p.Path, []schema.Pos{p.Pos}, "%s", msg)
}

func (x *explainer) report(path []string, at []schema.Pos, format string, args ...any) {
	d := Diagnostic{Pos: schema.Pos{File: x.file}, Msg: fmt.Sprintf(format, args...)}
	if len(at) > 0 {
		d.Pos = at[0]
	}
	if len(path) > 0 {
		if k, ok := kindNamed(path[0]); ok && k.single {
			d.Path = k.name
		} else if ok && len(path) > 1 {
			d.Path = path[0] + " " + path[1]
		}
	}
	x.found = append(x.found, finding{path: path, d: d})
}

// nameOf is how a message names a place below an entry: `mode`, `exec "/bin/sh"`, `exec "/bin/sh".parent`.
func nameOf(path []string) string {
	if len(path) > 0 {
		if k, ok := kindNamed(path[0]); ok && k.single && len(path) > 1 {
			path = append([]string{path[0], ""}, path[1:]...)
		}
	}
	if len(path) <= 2 {
		return strings.Join(path, " ")
	}
	var b strings.Builder
	for i, p := range path[2:] {
		switch {
		case i == 0:
		case identifier(p):
			b.WriteString(".")
		default:
			b.WriteString(" ")
			p = strconv.Quote(p)
		}
		b.WriteString(p)
	}
	return b.String()
}

func identifier(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) < 0
}

// show prints a value for a message, shortened.
func (n *node) show() string {
	switch n.Kind {
	case nodeString:
		return strconv.Quote(shorten(n.Text))
	case nodeNull:
		return "null"
	case nodeStruct:
		if len(n.Fields) == 0 {
			return "{}"
		}
		return "a struct"
	}
	return n.Text
}

// shorten cuts a text for a message.
func shorten(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:57], "") + "..."
	}
	return s
}

// plainPath undoes the quoting of CUE's paths.
func plainPath(path []string) []string {
	plain := make([]string, len(path))
	for i, p := range path {
		plain[i] = p
		if s, err := strconv.Unquote(p); err == nil {
			plain[i] = s
		}
	}
	return plain
}

func hasPrefix(path, prefix []string) bool {
	return len(path) >= len(prefix) && slices.Equal(path[:len(prefix)], prefix)
}
