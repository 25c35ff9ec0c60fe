// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"

	"github.com/writ-sec/writ/schema"
)

// unit is what one folder's own files say, together with what the folders above say of the same entries. It does not change once made.
type unit struct {
	Dir      string
	Errs     []Diagnostic
	Stated   []statement // the entries that the folder's own files speak of, sorted by kind and name
	Whole    bool        // Stated is all that the folder states; else something could not be read
	Named    []string    // the entries that the folder's own files name, as entryKey, if it is not whole
	Limited  bool        // it took too much to evaluate, as everything below it would
	Silences []silence
	// Overrides are the hidden fields that the folder states and a folder above does too.
	Overrides []override
}

// override is where a folder states a hidden field of a folder above.
type override struct {
	Name string
	Pos  schema.Pos
}

// statement is an entry as a folder states it.
type statement struct {
	Kind, Name string
	Folder     string
	Partial    bool // something of it is not valid, so not all of it could be read
	Node       *node
	Overrides  []override // of the folder
}

func entryKey(kind, name string) string { return kind + "\x00" + name }

func (s *statement) key() string { return entryKey(s.Kind, s.Name) }

// own reports whether some place is in a file of the folder itself.
func own(dir string, at []schema.Pos) bool {
	return slices.ContainsFunc(at, func(p schema.Pos) bool { return path.Dir(p.File) == dir })
}

// folderReader evaluates one folder.
type folderReader struct {
	folder     *folder
	seen       []*parsed
	ownFiles   []*parsed
	above      []*parsed
	lits       *literals
	evaluators *evaluators
	unit       *unit
	x          *explainer
}

// readFolder says what a folder states. The error is not the policy's fault.
func readFolder(ctx context.Context, f *folder, seen []*parsed, ev *evaluators) (*unit, error) {
	r := &folderReader{folder: f, seen: seen, lits: newLiterals(seen), evaluators: ev, unit: &unit{Dir: f.dir}, x: &explainer{file: f.own[0].path}}
	broken := false
	for _, p := range seen {
		broken = broken || len(p.errs) > 0
		if p.dir() != f.dir {
			r.above = append(r.above, p)
			continue
		}
		r.ownFiles = append(r.ownFiles, p)
		r.unit.Silences = append(r.unit.Silences, p.silences...)
		r.unit.Errs = append(r.unit.Errs, p.errs...)
	}
	if broken {
		r.name()
		return r.unit, nil
	}
	r.overrides()
	return r.unit, r.read(ctx)
}

// overrides notes the hidden fields of the folders above that the folder states too.
func (r *folderReader) overrides() {
	above := map[string]bool{}
	for _, p := range r.above {
		for name := range p.index.hidden {
			above[name] = true
		}
	}
	for _, p := range r.ownFiles {
		for _, name := range slices.Sorted(maps.Keys(p.index.hidden)) {
			for _, f := range p.index.hidden[name] {
				if f != nil && above[name] {
					r.unit.Overrides = append(r.unit.Overrides, override{name, schemaPos(f.Label.Pos())})
				}
			}
		}
	}
}

// name notes the entries of a folder that could not be read.
func (r *folderReader) name() {
	named := map[string]bool{}
	for _, p := range r.ownFiles {
		for _, e := range p.index.entries {
			named[entryKey(e.kind, e.name)] = true
		}
	}
	r.unit.Named = slices.Sorted(maps.Keys(named))
}

func (r *folderReader) read(ctx context.Context) error {
	values, declined := r.literal()
	if r.needsCUE() || len(declined) > 0 {
		e, err := r.evaluators.evaluate(ctx, r.texts(declined))
		if errors.Is(err, errLimit) {
			r.unit.Limited = true
			r.unit.Errs = append(r.unit.Errs, Diagnostic{Pos: schema.Pos{File: r.folder.own[0].path}, Path: fmt.Sprintf("folder %q", r.folder.dir), Msg: err.Error()})
			r.name()
			return nil
		} else if err != nil {
			return err
		}
		r.fromCUE(e, values, declined)
		r.check(values)
		r.x.problems(e.Problems, r.hiddenNames(), r.placeOf)
		r.unit.Whole = e.Root != nil
	} else {
		r.check(values)
		r.unit.Whole = true
	}
	r.unknownKinds()
	wrong := map[string]bool{}
	for _, f := range r.x.found {
		r.unit.Errs = append(r.unit.Errs, f.d)
		if len(f.path) > 0 {
			wrong[entryKey(f.path[0], "")] = true
			wrong[entryKey(f.path[0], strings.Join(f.path[1:min(2, len(f.path))], ""))] = true
		}
	}
	for i := range r.unit.Stated {
		r.unit.Stated[i].Partial = wrong[r.unit.Stated[i].key()]
	}
	if !r.unit.Whole {
		r.name()
	}
	return nil
}

// literal reads the folder's own entries without CUE, and says which it had to decline.
func (r *folderReader) literal() (values map[string]*node, declined map[string]bool) {
	values, declined = map[string]*node{}, map[string]bool{}
	for _, p := range r.ownFiles {
		for _, e := range p.index.entries {
			key := entryKey(e.kind, e.name)
			if _, known := values[key]; known || declined[key] {
				continue
			}
			if !r.opened(e.kind) {
				if n, ok := r.lits.entry(e.kind, e.name); ok {
					values[key] = n
					continue
				}
			}
			declined[key] = true
		}
	}
	return values, declined
}

// opened reports whether something in the files could add to entries of a kind that do not say so by name.
func (r *folderReader) opened(kind string) bool {
	return slices.ContainsFunc(r.seen, func(p *parsed) bool { return p.index.wild || p.index.open[kind] })
}

// needsCUE reports whether the folder's own files hold something beside literal entries.
func (r *folderReader) needsCUE() bool {
	for _, p := range r.ownFiles {
		if p.index.wild || len(p.index.open) > 0 {
			return true
		}
		for name := range p.index.imports {
			if !p.index.idents[name] {
				return true // CUE refuses it
			}
		}
	}
	return !r.lits.sound(r.ownFiles)
}

// fromCUE adds the entries that CUE evaluated.
func (r *folderReader) fromCUE(e evaluation, values map[string]*node, declined map[string]bool) {
	if e.Root == nil {
		return
	}
	for _, k := range kinds {
		top := e.Root.get(k.name)
		if top == nil {
			continue
		}
		if k.single {
			if key := entryKey(k.name, ""); declined[key] || values[key] == nil && own(r.folder.dir, top.places()) { // else CUE was not asked
				values[key] = top
			}
			continue
		}
		if top.Kind != nodeStruct && top.Kind != nodeBottom {
			if own(r.folder.dir, top.places()) {
				r.x.report([]string{k.name}, top.places(), "%s is %s; want a struct of named entries", k.name, top.show())
			}
			continue
		}
		for _, f := range top.Fields {
			key := entryKey(k.name, f.Name)
			if declined[key] || values[key] == nil && (own(r.folder.dir, f.Node.Pos) || own(r.folder.dir, f.Node.Pattern)) {
				values[key] = f.Node
				for _, at := range r.lits.stated[key] {
					f.Node.addPlaces(at.field)
				}
			}
		}
	}
	for _, f := range e.Root.Fields {
		if _, known := kindNamed(f.Name); !known && own(r.folder.dir, f.Node.places()) && !r.lits.known(f.Name) {
			r.unknownKind(f.Name, f.Node.places()[0])
		}
	}
}

// addPlaces adds where a field, and the fields in it, are stated by name: CUE tells the places of a struct's parts alone.
func (n *node) addPlaces(f *ast.Field) {
	n.Pos = unitePositions(n.Pos, []schema.Pos{schemaPos(f.Label.Pos())})
	body, ok := f.Value.(*ast.StructLit)
	if !ok {
		return
	}
	for _, d := range body.Elts {
		sub, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		if name, ok := label(sub.Label); ok {
			if m := n.get(name); m != nil {
				m.addPlaces(sub)
			}
		}
	}
}

// check holds the entries against the schema.
func (r *folderReader) check(values map[string]*node) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		kindName, name, _ := strings.Cut(key, "\x00")
		k, _ := kindNamed(kindName)
		path := []string{kindName, name}
		if k.single {
			path = path[:1]
		}
		r.x.value(values[key], shapeOf(k), path, nil)
		r.unit.Stated = append(r.unit.Stated, statement{Kind: kindName, Name: name, Folder: r.folder.dir, Node: values[key]})
	}
}

// placeOf is where an entry, or a hidden field, is stated.
func (r *folderReader) placeOf(path []string) []schema.Pos {
	if len(path) == 0 {
		return nil
	}
	for _, p := range r.seen {
		for _, f := range p.index.hidden[path[0]] {
			if f != nil {
				return []schema.Pos{schemaPos(f.Label.Pos())}
			}
		}
	}
	if len(path) < 2 {
		return nil
	}
	for _, at := range r.lits.stated[entryKey(path[0], path[1])] {
		return []schema.Pos{schemaPos(at.field.Label.Pos())}
	}
	return nil
}

func (r *folderReader) hiddenNames() []string {
	var names []string
	for _, p := range r.seen {
		names = slices.AppendSeq(names, maps.Keys(p.index.hidden))
	}
	slices.Sort(names)
	return names
}

// unknownKinds reports regular fields at the top level that are no kind. CUE lets them pass, so a misspelt kind would be lost.
func (r *folderReader) unknownKinds() {
	for _, p := range r.ownFiles {
		for _, f := range p.index.fields {
			r.unknownKind(f.name, f.pos)
		}
	}
}

func (r *folderReader) unknownKind(name string, pos schema.Pos) {
	want := fmt.Sprintf("want %s, or a hidden field such as %q", list(kindNames(), "or"), "_"+name)
	if near := nearest(name, kindNames()); near != "" {
		want = fmt.Sprintf("did you mean %q?", near)
	}
	r.unit.Errs = append(r.unit.Errs, Diagnostic{Pos: pos, Msg: fmt.Sprintf("top-level field %q is not known; %s", name, want)})
}

// texts returns what CUE evaluates: the files, without the entries that are not asked for, where nothing can refer to those. Without that,
// each workload at the root would be evaluated in every folder.
func (r *folderReader) texts(declined map[string]bool) []text {
	var all []text
	prune := r.prunable()
	for _, p := range r.seen {
		data := p.src.data
		if prune {
			data = p.prune(func(e *namedEntry) bool { return declined[entryKey(e.kind, e.name)] || r.ownOpen(e.kind) })
		}
		all = append(all, text{p.src.path, data})
	}
	return all
}

// ownOpen reports whether the folder's own files add to entries that they do not name.
func (r *folderReader) ownOpen(kind string) bool {
	return slices.ContainsFunc(r.ownFiles, func(p *parsed) bool { return p.index.wild || p.index.open[kind] })
}

// prunable reports whether nothing in the files refers to an entry.
func (r *folderReader) prunable() bool {
	referable := map[string]bool{}
	for _, p := range r.seen {
		if p.index.aliased {
			return false
		}
		for _, e := range p.index.entries {
			referable[e.name], referable[e.kind] = true, true
		}
	}
	for _, p := range r.seen {
		for name := range p.index.idents {
			if referable[name] {
				return false
			}
		}
	}
	return true
}

// prune returns the content of a file without the entries that are not kept, and without the imports that only those use. They are blanked, so
// that all positions stay.
func (p *parsed) prune(keep func(*namedEntry) bool) []byte {
	data := slices.Clone(p.src.data)
	used := map[string]bool{}
	for _, d := range p.index.rest {
		identsOf(d, used)
	}
	for i := range p.index.entries {
		e := &p.index.entries[i]
		if keep(e) {
			identsOf(e.field, used)
			continue
		}
		end := blank(data, e.start, e.end)
		for end < len(data) && (data[end] == ' ' || data[end] == '\t') {
			end++
		}
		if end < len(data) && data[end] == ',' {
			data[end] = ' '
		}
	}
	for _, s := range p.index.specs {
		if p.index.idents[s.name] && !used[s.name] {
			blank(data, s.start, s.end)
		}
	}
	return data
}

// blank replaces text by spaces, and returns its end.
func blank(data []byte, start, end int) int {
	for i := start; i < end; i++ {
		if data[i] != '\n' {
			data[i] = ' '
		}
	}
	return end
}
