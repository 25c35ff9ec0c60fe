// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue"

	"github.com/writ-sec/writ/schema"
)

// planes are the planes of this version, with the verb of their rules and the path to the rules below a workload.
var planes = []struct {
	plane schema.Plane
	verb  schema.Verb
	rules []string
}{
	{schema.PlaneExec, schema.VerbExec, []string{"exec"}},
	{schema.PlaneImage, schema.VerbRun, []string{"image", "from"}},
}

// statement is what CUE says of a workload in one folder: everything that the folder and those above it state.
type statement struct {
	name    string
	folder  string
	partial bool // something of it is not valid, so not all of it could be read
	pos     []schema.Pos
	match   schema.Match
	owner   string
	shared  bool
	word    schema.Mode                  // one word for all planes, or ""
	modes   map[schema.Plane]schema.Mode // a word for each
	planes  map[schema.Plane]*statedPlane
	at      map[string][]schema.Pos // of fields: "match", "match.namespace", "match.cgroup", "mode", "exec" and so on
}

// statedPlane is a plane that a workload mentions. The image plane is mentioned by image.from: image alone names no condition.
type statedPlane struct {
	pos   []schema.Pos
	rules map[string]*statedRule // by key
}

type statedRule struct {
	why       string
	parents   []string // sorted
	pos       []schema.Pos
	parentPos map[string][]schema.Pos
}

// lowerer reads the statements of one folder off a value. Of one that CUE found not valid it reads what can be read.
type lowerer struct {
	folder  *folder
	seen    []*parsed
	literal bool // all positions stand in the index
}

// lower returns the workloads that the folder's own files speak of.
func (l *lowerer) lower(v cue.Value) map[string]*statement {
	if !v.Exists() {
		return nil
	}
	l.literal = true
	for _, p := range l.seen {
		l.literal = l.literal && p.index.literal
	}
	stated := map[string]*statement{}
	fields, err := v.LookupPath(cue.MakePath(cue.Str(workloadField))).Fields()
	if err != nil {
		return stated // the folder states none
	}
	for fields.Next() {
		name := fields.Selector().Unquoted()
		pos, patterns := l.positions(fields.Value(), workloadField, name)
		if slices.ContainsFunc(pos, l.isOwn) || slices.ContainsFunc(patterns, l.isOwn) {
			stated[name] = l.workload(fields.Value(), name, pos)
		}
	}
	return stated
}

func (l *lowerer) isOwn(p schema.Pos) bool {
	return path.Dir(p.File) == l.folder.dir
}

// positions returns every place that states a field, and every pattern that applies to it. When all positions stand in the index, the
// pattern of the schema is the only one there is, and is left out.
func (l *lowerer) positions(v cue.Value, path ...string) (all, patterns []schema.Pos) {
	key := pathKey(path...)
	for _, p := range l.seen {
		all = append(all, p.index.pos[key]...)
	}
	if !l.literal || len(all) == 0 {
		var fields []schema.Pos
		fields, patterns = positionsOf(v)
		all = append(all, fields...)
	}
	return sortPositions(all), patterns
}

// stated is positions where a field must have one: what only a pattern states stands there.
func (l *lowerer) stated(v cue.Value, path ...string) []schema.Pos {
	all, patterns := l.positions(v, path...)
	if len(all) == 0 {
		return patterns
	}
	return all
}

func (l *lowerer) workload(v cue.Value, name string, pos []schema.Pos) *statement {
	s := &statement{name: name, folder: l.folder.dir, pos: pos, modes: map[schema.Plane]schema.Mode{},
		planes: map[schema.Plane]*statedPlane{}, at: map[string][]schema.Pos{}}
	lookup := func(path ...string) (cue.Value, bool) {
		selectors := make([]cue.Selector, len(path))
		for i, p := range path {
			selectors[i] = cue.Str(p)
		}
		f := v.LookupPath(cue.MakePath(selectors...))
		if !f.Exists() {
			return f, false
		}
		s.at[strings.Join(path, ".")] = l.stated(f, append([]string{workloadField, name}, path...)...)
		return f, true
	}
	text := func(path ...string) string {
		f, ok := lookup(path...)
		if !ok {
			return ""
		}
		t, _ := f.String() // not a string: the one word of mode, or its struct
		return t
	}
	lookup("match")
	s.match.Namespace, s.match.Cgroup = text("match", "namespace"), text("match", "cgroup")
	if f, ok := lookup("match", "labels"); ok {
		s.match.Labels = stringMap(f)
	}
	s.owner = text("owner")
	if f, ok := lookup("shared"); ok {
		s.shared, _ = f.Bool()
	}
	s.word = schema.Mode(text("mode"))
	for _, p := range planes {
		if s.word == "" {
			if m := text("mode", string(p.plane)); m != "" {
				s.modes[p.plane] = schema.Mode(m)
			}
		}
		lookup(string(p.plane))
		if rules, ok := lookup(p.rules...); ok {
			sp := &statedPlane{pos: s.at[string(p.plane)], rules: map[string]*statedRule{}}
			l.rules(rules, sp, append([]string{workloadField, name}, p.rules...))
			s.planes[p.plane] = sp
		}
	}
	return s
}

func (l *lowerer) rules(v cue.Value, sp *statedPlane, path []string) {
	fields, err := v.Fields()
	if err != nil {
		return // validated: it is a struct
	}
	for fields.Next() {
		key := fields.Selector().Unquoted()
		sub := append(slices.Clone(path), key)
		r := &statedRule{pos: l.stated(fields.Value(), sub...)}
		sp.rules[key] = r
		parts, err := fields.Value().Fields()
		if err != nil {
			continue
		}
		for parts.Next() {
			switch parts.Selector().Unquoted() {
			case "why":
				r.why, _ = parts.Value().String()
			case "parent":
				l.parents(parts.Value(), r, append(slices.Clone(sub), "parent"))
			}
		}
	}
}

func (l *lowerer) parents(v cue.Value, r *statedRule, path []string) {
	fields, err := v.Fields()
	if err != nil {
		return
	}
	r.parentPos = map[string][]schema.Pos{}
	for fields.Next() {
		parent := fields.Selector().Unquoted()
		r.parents = append(r.parents, parent)
		r.parentPos[parent] = l.stated(fields.Value(), append(slices.Clone(path), parent)...)
	}
	slices.Sort(r.parents)
}

func stringMap(v cue.Value) map[string]string {
	fields, err := v.Fields()
	if err != nil {
		return nil
	}
	m := map[string]string{}
	for fields.Next() {
		m[fields.Selector().Unquoted()], _ = fields.Value().String()
	}
	return m
}
