// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/writ-sec/writ/schema"
)

// foreign begins the names of files that are not the author's. A NUL byte stands in no path of a repository.
const foreign = "\x00"

func libraryFile(importPath, name string) string { return foreign + importPath + "/" + name }

// isAuthors reports whether a position is in a file of the repository.
func isAuthors(p token.Pos) bool {
	return p.IsValid() && p.Filename() != "" && !strings.HasPrefix(p.Filename(), foreign)
}

// text is one file as it is evaluated.
type text struct {
	Path string
	Data []byte
}

// evaluation is what CUE says of one folder's files, without the schema: the types of the schema accept everything, and its shape is held
// against the values afterwards.
type evaluation struct {
	Root     *node // the regular fields at the top level; nil if nothing could be read
	Problems []problem
}

// problem is an error of CUE at the author's place.
type problem struct {
	Path []string
	Pos  schema.Pos // the zero Pos: CUE names no place of the author's
	Also []schema.Pos
	Msg  string
	// Reference is the name that leads nowhere, or "".
	Reference string
	// Incomplete says that the value is merely not one value.
	Incomplete bool
}

// evaluate evaluates files as one instance. It runs in the fence, and never panics: what CUE panics on is a problem.
func evaluate(texts []text) (e evaluation) {
	defer func() {
		if r := recover(); r != nil {
			e = evaluation{Problems: []problem{{Msg: fmt.Sprintf("the CUE evaluator failed: %.200v", r)}}}
		}
	}()
	ctx := cuecontext.New()
	v, err := buildInstance(ctx, texts)
	if err == nil {
		err = v.Validate(cue.Concrete(true))
	}
	if err != nil {
		references, blanked := unresolved(err, texts)
		e.Problems = append(references, problemsOf(err)...)
		if len(references) > 0 {
			if v, err = buildInstance(ctx, blanked); err != nil {
				e.Problems = append(e.Problems, problemsOf(err)...)
			}
		}
	}
	if v.Exists() {
		r := reader{}
		e.Root = r.value(v, 0)
		e.Problems = append(e.Problems, r.problems...)
	}
	return e
}

// buildInstance makes one instance of the files. Nothing is read from disk or network: imports are the standard library, which is in CUE's
// runtime, and the embedded packages.
func buildInstance(ctx *cue.Context, texts []text) (cue.Value, error) {
	bc := build.NewContext()
	loaded := map[string]*build.Instance{}
	inst := bc.NewInstance("", func(_ token.Pos, path string) *build.Instance {
		lib, ok := libraryAt(path)
		if !ok {
			return nil
		}
		if loaded[path] == nil {
			loaded[path] = libraryInstance(bc, lib)
		}
		return loaded[path]
	})
	inst.ImportPath = "policy.invalid:" + packageName
	for _, t := range texts {
		f, err := parser.ParseFile(t.Path, t.Data)
		if err != nil {
			return cue.Value{}, fmt.Errorf("parse %s: %w", t.Path, err) // parsed before: only pruning can do this
		}
		if err := inst.AddSyntax(f); err != nil {
			return cue.Value{}, err
		}
	}
	if err := inst.Complete(); err != nil {
		return cue.Value{}, err
	}
	v := ctx.BuildInstance(inst)
	return v, v.Err()
}

// libraryInstance makes an embedded package importable. The definitions of the schema accept everything.
func libraryInstance(bc *build.Context, lib library) *build.Instance {
	inst := bc.NewInstance("", nil)
	inst.ImportPath = lib.importPath
	for name, data := range lib.sources() {
		f, err := parser.ParseFile(libraryFile(lib.importPath, name), data)
		if err != nil {
			panic(fmt.Sprintf("compiler: embedded %s: %v", lib.importPath, err)) // a test compiles it
		}
		if lib.importPath == schema.ImportPath {
			acceptAll(f)
		}
		if err := inst.AddSyntax(f); err != nil {
			panic(fmt.Sprintf("compiler: embedded %s: %v", lib.importPath, err))
		}
	}
	if err := inst.Complete(); err != nil {
		panic(fmt.Sprintf("compiler: embedded %s: %v", lib.importPath, err))
	}
	return inst
}

// acceptAll replaces the values of definitions by "{...}" where they are structs, and else by "_".
func acceptAll(f *ast.File) {
	for _, d := range f.Decls {
		d, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		_, isStruct := d.Value.(*ast.StructLit)
		d.Value = ast.NewIdent("_")
		if isStruct {
			d.Value = ast.NewStruct(&ast.Ellipsis{})
		}
	}
}

// reader reads evaluated values, and what is wrong with each.
type reader struct{ problems []problem }

// value reads a value. What is nested deeper than any policy is cut, which its shape refuses.
func (r *reader) value(v cue.Value, level int) *node {
	n := &node{}
	n.Pos, n.Pattern = positionsOf(v)
	if d, ok := v.Default(); ok {
		v = d
	}
	switch v.IncompleteKind() {
	case cue.StructKind:
		if r.fields(n, v, level) {
			return n
		}
	case cue.StringKind:
		if s, err := v.String(); err == nil {
			n.Kind, n.Text = nodeString, s
			return n
		}
	case cue.BoolKind:
		if b, err := v.Bool(); err == nil {
			n.Kind, n.Text = nodeBool, fmt.Sprint(b)
			return n
		}
	case cue.IntKind:
		if i, err := v.Int(nil); err == nil && i.BitLen() < 4096 {
			n.Kind, n.Text = nodeNumber, i.String()
			return n
		}
	case cue.NullKind:
		n.Kind = nodeNull
		return n
	case cue.BottomKind:
		n.Kind, n.Text = nodeBottom, show(v)
		before := len(r.problems)
		r.fields(n, v, level) // as far as it goes
		if err := v.Err(); err != nil && before == len(r.problems) {
			r.problems = append(r.problems, problemsOf(err)...)
		}
		return n
	}
	n.Kind, n.Text = nodeOpen, show(v)
	if v.IsConcrete() {
		n.Kind = nodeOther
	}
	return n
}

func (r *reader) fields(n *node, v cue.Value, level int) bool {
	fields, err := v.Fields()
	if err != nil || level >= maxDepth {
		return false
	}
	for fields.Next() {
		n.Fields = append(n.Fields, nodeField{Name: fields.Selector().Unquoted(), Node: r.value(fields.Value(), level+1)})
	}
	slices.SortFunc(n.Fields, func(a, b nodeField) int { return compareStrings(a.Name, b.Name) })
	return true
}

// show prints a value for a message, shortened.
func show(v cue.Value) string {
	s := strings.Join(strings.Fields(fmt.Sprint(v)), " ")
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:57], "") + "..."
	}
	return s
}

// positionsOf returns the author's positions of a field, from the conjuncts of its value, and those of the patterns that apply to it.
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

// unresolved reports references that lead nowhere, and replaces them by "_" in the texts: CUE stops at them, and the author wants to
// see what else is wrong.
func unresolved(err error, texts []text) ([]problem, []text) {
	texts = slices.Clone(texts)
	var found []problem
	for _, e := range errors.Errors(err) {
		format, args := e.Msg()
		if format != "reference %q not found" || len(args) == 0 || !isAuthors(e.Position()) {
			continue
		}
		name := fmt.Sprint(args[0])
		for i, t := range texts {
			if offset := e.Position().Offset(); t.Path == e.Position().Filename() && name != "" && offset+len(name) <= len(t.Data) {
				texts[i].Data = slices.Clone(t.Data)
				copy(texts[i].Data[offset:], "_"+strings.Repeat(" ", len(name)-1))
				found = append(found, problem{Path: plainPath(e.Path()), Pos: schemaPos(e.Position()), Reference: name})
			}
		}
	}
	return found, texts
}

// problemsOf takes CUE's errors apart.
func problemsOf(err error) []problem {
	var found []problem
	for _, e := range errors.Errors(err) {
		format, args := e.Msg()
		if format == "reference %q not found" {
			continue
		}
		p := problem{Path: plainPath(e.Path()), Msg: fmt.Sprintf(format, args...), Incomplete: strings.HasPrefix(format, "incomplete value")}
		for _, pos := range errors.Positions(e) {
			if isAuthors(pos) {
				p.Also = append(p.Also, schemaPos(pos))
			}
		}
		if p.Also = sortPositions(p.Also); len(p.Also) > 0 {
			p.Pos, p.Also = p.Also[0], p.Also[1:]
		}
		found = append(found, p)
	}
	return found
}
