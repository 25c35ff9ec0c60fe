// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/writ-sec/writ/schema"
)

// Names of files that are not the author's. A NUL byte stands in no path of a repository.
const (
	schemaFile  = "\x00schema/"
	patternFile = "\x00pattern.cue"
)

// patternSource enforces the shape where no file of the author does.
const patternSource = "package policy\nimport \"" + schema.ImportPath + "\"\nworkload: [string]: schema.#Workload\n"

// isAuthors reports whether a position is in a file of the repository.
func isAuthors(p token.Pos) bool {
	return p.IsValid() && p.Filename() != "" && !strings.HasPrefix(p.Filename(), "\x00")
}

// unit is what was evaluated of one folder. It does not change once made.
type unit struct {
	folder string
	errs   []Diagnostic
	stated map[string]*statement // the workloads that the folder's own files speak of; nil if they could not be read
	named  map[string]bool       // the workloads that the folder's own files name, also if they could not be read
}

// text is one file as it is evaluated.
type text struct {
	path string
	data []byte
}

// evaluator evaluates folders one after the other. It belongs to one goroutine, as a cue.Context does.
type evaluator struct {
	ctx *cue.Context
}

func newEvaluator() *evaluator { return &evaluator{ctx: cuecontext.New()} }

// evaluate never panics: what CUE panics on is an error of the folder.
func (e *evaluator) evaluate(f *folder, seen []*parsed) (u *unit) {
	u = &unit{folder: f.dir, named: map[string]bool{}}
	var own, above []*parsed
	for _, p := range seen {
		if len(p.errs) > 0 {
			return u // reported where the file is parsed
		}
		if path.Dir(p.src.path) == f.dir {
			own = append(own, p)
			for name := range p.index.names {
				u.named[name] = true
			}
		} else {
			above = append(above, p)
		}
	}
	defer func() {
		if r := recover(); r != nil {
			u.stated = nil
			u.errs = []Diagnostic{{Pos: schema.Pos{File: f.own[0].path}, Msg: fmt.Sprintf("the CUE evaluator failed on folder %q: %.200v", f.dir, r)}}
		}
	}()
	texts := textsOf(own, above)
	v, err := e.build(texts, true)
	if err == nil {
		err = v.Validate(cue.Concrete(true))
	}
	x := &explainer{evaluator: e, texts: texts, seen: seen}
	l := &lowerer{folder: f, seen: seen}
	u.errs = unknownKinds(f, seen, v)
	if err == nil {
		u.stated = l.lower(v)
		return u
	}
	loose := x.explain(err)
	u.stated = l.lower(loose)
	for _, f := range x.found {
		u.errs = append(u.errs, f.d)
		if len(f.path) > 1 && u.stated[f.path[1]] != nil {
			u.stated[f.path[1]].partial = true
		}
	}
	return u
}

// textsOf returns what is evaluated for a folder, sorted by path.
func textsOf(own, above []*parsed) []text {
	keep, prune := prunable(own, above)
	pattern := false
	var texts []text
	for _, p := range own {
		texts = append(texts, text{p.src.path, p.src.data})
		pattern = pattern || p.index.pattern
	}
	for _, p := range above {
		data := p.src.data
		if prune {
			data = p.prune(keep)
		}
		texts = append(texts, text{p.src.path, data})
		pattern = pattern || p.index.pattern
	}
	slices.SortFunc(texts, func(a, b text) int { return strings.Compare(a.path, b.path) })
	if !pattern {
		texts = append(texts, text{patternFile, []byte(patternSource)})
	}
	return texts
}

// build makes one instance of the files. Nothing is read from disk or network: imports are the standard library, which is in CUE's
// runtime, and the embedded schema, whose definitions accept everything if it is not to be enforced.
func (e *evaluator) build(texts []text, enforce bool) (cue.Value, error) {
	bc := build.NewContext()
	var schemaInstance *build.Instance
	inst := bc.NewInstance("", func(_ token.Pos, path string) *build.Instance {
		if path != schema.ImportPath {
			return nil
		}
		if schemaInstance == nil {
			schemaInstance = newSchemaInstance(bc, enforce)
		}
		return schemaInstance
	})
	inst.ImportPath = "policy.invalid:" + packageName
	for _, t := range texts {
		f, err := parser.ParseFile(t.path, t.data)
		if err != nil {
			return cue.Value{}, fmt.Errorf("parse %s: %w", t.path, err) // parsed before: only pruning can do this
		}
		if err := inst.AddSyntax(f); err != nil {
			return cue.Value{}, err
		}
	}
	if err := inst.Complete(); err != nil {
		return cue.Value{}, err
	}
	v := e.ctx.BuildInstance(inst)
	return v, v.Err()
}

func newSchemaInstance(bc *build.Context, enforce bool) *build.Instance {
	inst := bc.NewInstance("", nil)
	inst.ImportPath = schema.ImportPath
	for name, data := range embeddedSchema() {
		f, err := parser.ParseFile(schemaFile+name, data)
		if err != nil {
			panic(fmt.Sprintf("compiler: embedded schema: %v", err)) // a test compiles it
		}
		if !enforce {
			acceptAll(f)
		}
		if err := inst.AddSyntax(f); err != nil {
			panic(fmt.Sprintf("compiler: embedded schema: %v", err))
		}
	}
	if err := inst.Complete(); err != nil {
		panic(fmt.Sprintf("compiler: embedded schema: %v", err))
	}
	return inst
}

// acceptAll replaces the values of definitions by "_".
func acceptAll(f *ast.File) {
	for _, d := range f.Decls {
		if d, ok := d.(*ast.Field); ok {
			d.Value = ast.NewIdent("_")
		}
	}
}

// unknownKinds reports regular fields at the top level that are no kind. CUE lets them pass, so a misspelt kind would be lost.
func unknownKinds(f *folder, seen []*parsed, v cue.Value) []Diagnostic {
	var errs []Diagnostic
	report := func(name string, pos schema.Pos) {
		msg := fmt.Sprintf("top-level field %q is not known; want %q, or a hidden field such as %q", name, workloadField, "_"+name)
		if nearest(name, []string{workloadField}) != "" {
			msg = fmt.Sprintf("top-level field %q is not known; did you mean %q?", name, workloadField)
		}
		errs = append(errs, Diagnostic{Pos: pos, Msg: msg})
	}
	literal := map[string]bool{workloadField: true}
	for _, p := range seen {
		for _, name := range p.index.fields {
			if name != workloadField {
				literal[name] = true
				if path.Dir(p.src.path) == f.dir {
					for _, pos := range p.index.pos[name] {
						report(name, pos)
					}
				}
			}
		}
	}
	fields, err := v.Fields()
	if err != nil {
		return errs // the error is found by validation
	}
	for fields.Next() {
		if name := fields.Selector().Unquoted(); fields.Selector().IsString() && !literal[name] {
			report(name, firstPosition(fields.Value(), f.own[0].path))
		}
	}
	return errs
}

// positionsOf returns the author's positions of a field, from the conjuncts of its value, and those of the patterns that apply to it.
// It is slow.
func positionsOf(v cue.Value) (fields, patterns []schema.Pos) {
	if !v.Exists() {
		return nil, nil
	}
	var flatten func(v cue.Value, level int)
	flatten = func(v cue.Value, level int) {
		op, args := v.Expr()
		if op == cue.AndOp && level < maxDepth {
			for _, a := range args {
				flatten(a, level+1)
			}
			return
		}
		pos := v.Pos()
		if !isAuthors(pos) {
			return
		}
		if f, ok := v.Source().(*ast.Field); ok {
			if _, ok := f.Label.(*ast.ListLit); ok {
				patterns = append(patterns, schemaPos(pos))
				return
			}
		}
		fields = append(fields, schemaPos(pos))
	}
	flatten(v, 0)
	return sortPositions(fields), sortPositions(patterns)
}

func sortPositions(all []schema.Pos) []schema.Pos {
	slices.SortFunc(all, schema.Pos.Compare)
	return slices.Compact(all)
}

// firstPosition is the first author's position of a value, or a file.
func firstPosition(v cue.Value, file string) schema.Pos {
	fields, patterns := positionsOf(v)
	for _, p := range append(fields, patterns...) {
		return p
	}
	return schema.Pos{File: file}
}
