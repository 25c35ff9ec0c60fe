// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"

	"github.com/writ-sec/writ/schema"
)

// newIndex reads what can be read without evaluating. Where a file is more than literal labels and struct literals it says so, and the
// positions come from the evaluated values instead, which is slower.
func newIndex(f *ast.File) index {
	x := index{pos: map[string][]schema.Pos{}, names: map[string]bool{}, idents: map[string]bool{}, hidden: map[string]bool{}, literal: true}
	for _, d := range f.Decls {
		x.topLevel(d)
	}
	x.references(f)
	return x
}

// references collects the names that expressions refer to; labels and selectors refer to nothing.
func (x *index) references(f *ast.File) {
	names := map[ast.Node]bool{}
	ast.Walk(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			names[n.Label] = true
			if _, ok := n.Label.(*ast.Alias); ok || n.Alias != nil {
				x.aliased = true
			}
		case *ast.SelectorExpr:
			names[n.Sel] = true
		case *ast.Ident:
			if !names[n] {
				x.idents[n.Name] = true
			}
		}
		return true
	}, nil)
}

func (x *index) topLevel(d ast.Decl) {
	switch d := d.(type) {
	case *ast.Package, *ast.ImportDecl, *ast.CommentGroup, *ast.Attribute:
	case *ast.LetClause:
		x.hidden[d.Ident.Name] = true
	case *ast.Field:
		name, ok := label(d.Label)
		if !ok {
			x.literal, x.embedded = false, true
			return
		}
		if id, isIdent := d.Label.(*ast.Ident); isIdent && strings.HasPrefix(id.Name, "_") || isDefinition(d.Label) {
			x.hidden[name] = true
			return
		}
		x.fields = append(x.fields, name)
		x.add(d.Label, name)
		if name == workloadField {
			x.workloads(d)
		}
	default:
		x.literal, x.embedded = false, true
	}
}

func isDefinition(l ast.Label) bool {
	id, ok := l.(*ast.Ident)
	return ok && strings.HasPrefix(id.Name, "#")
}

func (x *index) add(l ast.Label, path ...string) {
	key := pathKey(path...)
	x.pos[key] = append(x.pos[key], schemaPos(l.Pos()))
}

// workloads reads one statement of the top-level field workload.
func (x *index) workloads(top *ast.Field) {
	body, ok := top.Value.(*ast.StructLit)
	if !ok {
		x.literal, x.embedded = false, true
		return
	}
	for _, d := range body.Elts {
		f, ok := d.(*ast.Field)
		if !ok {
			x.other(d)
			continue
		}
		name, ok := label(f.Label)
		if !ok {
			if isSchemaPattern(f) {
				x.pattern = true
			} else {
				x.literal, x.embedded = false, true
			}
			continue
		}
		e := extent{name: name, start: f.Pos().Offset(), end: f.End().Offset()}
		if len(body.Elts) == 1 {
			e.start, e.end = top.Pos().Offset(), top.End().Offset()
		}
		x.names[name] = true
		x.extents = append(x.extents, e)
		x.add(f.Label, workloadField, name)
		x.inside(f.Value, 0, workloadField, name)
	}
}

// other notes a declaration that is not a field.
func (x *index) other(d ast.Decl) {
	switch d.(type) {
	case *ast.CommentGroup, *ast.Attribute:
	default:
		x.literal, x.embedded = false, true
	}
}

// inside records the labels below a workload: its fields, what is in them, and the rules' keys. Levels: 0 is the workload, 1 a field such
// as exec, 2 a rule of exec or image.from, 3 a rule of image.
func (x *index) inside(v ast.Expr, level int, path ...string) {
	body, ok := v.(*ast.StructLit)
	if !ok {
		plane := level > 0 && (path[2] == string(schema.PlaneExec) || path[2] == string(schema.PlaneImage))
		if level == 0 || plane && (level < 3 || path[len(path)-1] == "parent") {
			x.literal = false // what is in it stands elsewhere
		}
		return
	}
	for _, d := range body.Elts {
		f, ok := d.(*ast.Field)
		if !ok {
			if _, comment := d.(*ast.CommentGroup); !comment {
				x.literal = false
			}
			continue
		}
		name, ok := label(f.Label)
		if !ok {
			x.literal = false
			continue
		}
		sub := append(slices.Clone(path), name)
		x.add(f.Label, sub...)
		if level < 3 {
			x.inside(f.Value, level+1, sub...)
		}
	}
}

// isSchemaPattern recognises [string]: schema.#Workload.
func isSchemaPattern(f *ast.Field) bool {
	list, ok := f.Label.(*ast.ListLit)
	if !ok || len(list.Elts) != 1 {
		return false
	}
	if id, ok := list.Elts[0].(*ast.Ident); !ok || id.Name != "string" {
		return false
	}
	sel, ok := f.Value.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	name, _ := label(sel.Sel)
	return ok && x.Name == "schema" && name == "#Workload"
}
