// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"

	"github.com/writ-sec/writ/schema"
)

// explainer turns CUE's errors about one folder into ours. CUE decides that something is wrong. To say what, the files are evaluated
// once more with a schema that accepts everything, and the values are held against its shape: so each error stands at the author's line,
// says what was expected, and hides no other. What this walk does not find is reported in CUE's words.
type explainer struct {
	*evaluator
	texts []text
	seen  []*parsed
	found []finding
}

// finding is an error with the place in the value that it is about.
type finding struct {
	path []string
	d    Diagnostic
}

// explain finds out what is wrong, and returns the value as it is without the schema.
func (x *explainer) explain(err error) cue.Value {
	references := x.unresolved(err)
	v, buildErr := x.build(x.texts, false)
	if buildErr == nil || v.Exists() {
		x.workloads(v)
	}
	x.found = slices.DeleteFunc(x.found, func(f finding) bool {
		return slices.ContainsFunc(references, func(r finding) bool { return slices.Equal(f.path, r.path) })
	})
	x.found = append(x.found, references...)
	x.rest(err)
	return v
}

// unresolved reports references that lead nowhere, and replaces them by "_" in the texts: CUE stops at them, and the author wants to
// see what else is wrong.
func (x *explainer) unresolved(err error) []finding {
	var found []finding
	for _, e := range errors.Errors(err) {
		format, args := e.Msg()
		name, _ := firstString(args)
		if format != "reference %q not found" || name == "" || !isAuthors(e.Position()) {
			continue
		}
		x.blank(e.Position().Filename(), e.Position().Offset(), len(name))
		msg := fmt.Sprintf("reference %q is not found; want a field, a let or an import that the folder or one above it states", name)
		if near := nearest(name, x.names()); near != "" {
			msg = fmt.Sprintf("reference %q is not found; did you mean %q?", name, near)
		}
		found = append(found, x.finding(plainPath(e.Path()), schemaPos(e.Position()), msg))
	}
	return found
}

func firstString(args []any) (string, bool) {
	if len(args) == 0 {
		return "", false
	}
	return fmt.Sprint(args[0]), true
}

// names returns everything that is named in the folder's files, for suggestions.
func (x *explainer) names() []string {
	var names []string
	for _, p := range x.seen {
		for name := range p.index.hidden {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (x *explainer) blank(file string, offset, length int) {
	for i, t := range x.texts {
		if t.path == file && offset+length <= len(t.data) {
			data := slices.Clone(t.data)
			copy(data[offset:], "_"+strings.Repeat(" ", length-1))
			x.texts[i].data = data
		}
	}
}

// workloads walks all workloads.
func (x *explainer) workloads(v cue.Value) {
	all := v.LookupPath(cue.MakePath(cue.Str(workloadField)))
	if !all.Exists() {
		return
	}
	x.value(all, &shape{object: true, any: workloadShape()}, []string{workloadField})
}

// value holds one value against its shape.
func (x *explainer) value(v cue.Value, s *shape, path []string) {
	kind := v.IncompleteKind()
	switch {
	case s.object && (kind == cue.StructKind || kind == cue.BottomKind) && x.object(v, s, path):
	case kind == cue.BottomKind:
		x.conflict(v, path)
	case kind == cue.StringKind && (s.text || len(s.words) > 0):
		x.word(v, s, path)
	case kind == cue.BoolKind && s.boolean:
		if _, err := v.Bool(); err != nil {
			x.report(v, path, fmt.Sprintf("%s is not decided; want true or false", name(path)))
		}
	case v.IsConcrete():
		x.report(v, path, fmt.Sprintf("%s is %s; want %s", name(path), show(v), s.want()))
	default:
		x.report(v, path, fmt.Sprintf("%s is %s, which is not one value; want %s", name(path), show(v), s.want()))
	}
}

// object walks a struct; false if the value is none.
func (x *explainer) object(v cue.Value, s *shape, path []string) bool {
	fields, err := v.Fields()
	if err != nil {
		return false
	}
	if v.IncompleteKind() == cue.BottomKind && !fields.Next() {
		return false
	}
	fields, _ = v.Fields()
	present := map[string]bool{}
	for fields.Next() {
		name := fields.Selector().Unquoted()
		present[name] = true
		sub := append(slices.Clone(path), name)
		switch f, known := s.fields[name]; {
		case known:
			x.value(fields.Value(), f.shape, sub)
		case s.any != nil:
			x.value(fields.Value(), s.any, sub)
		default:
			x.unknown(fields.Value(), s, sub)
		}
	}
	for _, n := range s.order {
		if f := s.fields[n]; f.required && !present[n] {
			x.report(v, append(slices.Clone(path), n), fmt.Sprintf("field %q is missing; want %s", n, f.shape.want()))
		}
	}
	return true
}

func (x *explainer) unknown(v cue.Value, s *shape, path []string) {
	last := path[len(path)-1]
	in := ""
	if len(path) > 3 {
		in = " in " + name(path[:len(path)-1])
	}
	msg := fmt.Sprintf("field %q is not known%s; want ", last, in)
	switch near := nearest(last, s.order); {
	case near != "":
		msg = fmt.Sprintf("field %q is not known%s; did you mean %q?", last, in, near)
	case len(s.order) == 0:
		msg += "{}"
	default:
		msg += list(s.order, "or")
	}
	x.found = append(x.found, x.finding(path, x.labelPosition(v, path), msg))
}

func (x *explainer) word(v cue.Value, s *shape, path []string) {
	word, err := v.String()
	switch {
	case err != nil:
		x.report(v, path, fmt.Sprintf("%s is %s, which is not one value; want %s", name(path), show(v), s.want()))
	case len(s.words) > 0 && !s.text && !slices.Contains(s.words, word):
		msg := fmt.Sprintf("%s %q is not known; want %s", name(path), word, list(s.words, "or"))
		if near := nearest(word, s.words); near != "" {
			msg += fmt.Sprintf("; did you mean %q?", near)
		}
		x.report(v, path, msg)
	}
}

// conflict reports values that contradict each other, whatever the schema says.
func (x *explainer) conflict(v cue.Value, path []string) {
	err := v.Err()
	if err == nil {
		return
	}
	x.cue(err, path)
}

// rest reports what the walk did not find.
func (x *explainer) rest(err error) {
	walked := slices.Clone(x.found)
	for _, e := range errors.Errors(err) {
		path := plainPath(e.Path())
		covered := slices.ContainsFunc(walked, func(f finding) bool {
			return len(path) > 1 && (hasPrefix(f.path, path) || hasPrefix(path, f.path))
		})
		if format, _ := e.Msg(); !covered && format != "reference %q not found" {
			x.cue(e, path)
		}
	}
	if len(x.found) == 0 {
		path := plainPath(errors.Path(err))
		x.found = append(x.found, x.finding(path, x.labelPosition(cue.Value{}, path), fmt.Sprintf("is not valid CUE: %.500s", err)))
	}
}

// cue reports errors in CUE's words at the author's positions; errors without one are summaries of others.
func (x *explainer) cue(err error, path []string) {
	for _, e := range errors.Errors(err) {
		var at []schema.Pos
		for _, p := range errors.Positions(e) {
			if isAuthors(p) {
				at = append(at, schemaPos(p))
			}
		}
		if at = sortPositions(at); len(at) == 0 {
			continue
		}
		format, args := e.Msg()
		msg := fmt.Sprintf(format, args...)
		if p := plainPath(e.Path()); len(p) > 0 {
			path = p
		}
		if len(path) > 2 {
			msg = name(path) + ": " + msg
		}
		for i, p := range at[1:] {
			msg += map[bool]string{true: "; see also ", false: ", "}[i == 0] + p.String()
		}
		x.found = append(x.found, x.finding(path, at[0], msg))
	}
}

func (x *explainer) report(v cue.Value, path []string, msg string) {
	x.found = append(x.found, x.finding(path, x.labelPosition(v, path), msg))
}

// labelPosition is where a field, or the nearest one around it, is named.
func (x *explainer) labelPosition(v cue.Value, path []string) schema.Pos {
	for n := len(path); n > 0; n-- {
		var all, patterns []schema.Pos
		for _, p := range x.seen {
			all = append(all, p.index.pos[pathKey(path[:n]...)]...)
		}
		if n == len(path) && len(all) == 0 {
			if all, patterns = positionsOf(v); len(all) == 0 {
				all = patterns
			}
		}
		if len(all) > 0 {
			return sortPositions(all)[0]
		}
	}
	return schema.Pos{File: x.seen[0].src.path}
}

func (x *explainer) finding(path []string, pos schema.Pos, msg string) finding {
	d := Diagnostic{Pos: pos, Msg: msg}
	if len(path) > 1 && path[0] == workloadField {
		d.Path = "workload " + path[1]
	}
	return finding{path: path, d: d}
}

// name is how a message names a place below a workload: `mode`, `exec "/bin/sh"`, `exec "/bin/sh" parent`.
func name(path []string) string {
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
func show(v cue.Value) string {
	s := strings.Join(strings.Fields(fmt.Sprint(v)), " ")
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:57], "") + "..."
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
