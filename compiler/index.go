// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"

	"github.com/writ-sec/writ/schema"
)

// index says syntactically what a file states at its top level.
type index struct {
	imports map[string]string       // identifier -> import path
	specs   []importSpec            // where they are imported
	rest    []ast.Decl              // what is neither an import nor a kind
	entries []namedEntry            // of the kinds, stated with a literal name, as they come
	hidden  map[string][]*ast.Field // hidden fields; a definition, an alias or a let is there with nil
	fields  []topField              // regular fields that are no kind
	open    map[string]bool         // kinds in which something beside literal names could add entries or fields
	wild    bool                    // something at the top level could add fields of any name
	idents  map[string]bool         // every name that is referred to
	aliased bool                    // has an alias on a label, by which a field could be referred to
}

// importSpec is the text of one import, as byte offsets.
type importSpec struct {
	name       string
	start, end int
}

type topField struct {
	name string
	pos  schema.Pos
}

// namedEntry is one statement of a named entry of a kind, with its text as byte offsets. The name of a single kind is "".
type namedEntry struct {
	kind, name string
	field      *ast.Field
	pos        schema.Pos
	start, end int
}

func newIndex(f *ast.File) index {
	x := index{imports: map[string]string{}, hidden: map[string][]*ast.Field{}, open: map[string]bool{}, idents: map[string]bool{}}
	for _, d := range f.Decls {
		x.topLevel(d)
	}
	x.references(f)
	return x
}

// references collects the names that expressions refer to.
func (x *index) references(f *ast.File) {
	ast.Walk(f, func(n ast.Node) bool {
		if n, ok := n.(*ast.Field); ok {
			if _, ok := n.Label.(*ast.Alias); ok || n.Alias != nil {
				x.aliased = true
			}
		}
		return true
	}, nil)
	identsOf(f, x.idents)
}

// identsOf adds the names that expressions refer to; labels, selectors and the names of imports refer to nothing.
func identsOf(n ast.Node, into map[string]bool) {
	names := map[ast.Node]bool{}
	ast.Walk(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			names[n.Label] = true
		case *ast.SelectorExpr:
			names[n.Sel] = true
		case *ast.ImportSpec:
			names[n.Name] = true
		case *ast.Ident:
			if !names[n] {
				into[n.Name] = true
			}
		}
		return true
	}, nil)
}

func (x *index) topLevel(d ast.Decl) {
	switch d := d.(type) {
	case *ast.Package, *ast.CommentGroup, *ast.Attribute:
	case *ast.ImportDecl:
		for _, spec := range d.Specs {
			s := importSpec{x.imported(spec), spec.Pos().Offset(), spec.End().Offset()}
			if !d.Lparen.IsValid() {
				s.start, s.end = d.Pos().Offset(), d.End().Offset()
			}
			x.specs = append(x.specs, s)
		}
	case *ast.LetClause:
		x.rest = append(x.rest, d)
		x.hidden[d.Ident.Name] = append(x.hidden[d.Ident.Name], nil)
	case *ast.Field:
		x.topField(d)
	default:
		x.rest = append(x.rest, d)
		x.wild = true
	}
}

// imported notes an import, and returns its name.
func (x *index) imported(spec *ast.ImportSpec) string {
	path, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return "" // refused elsewhere
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	if _, after, ok := strings.Cut(name, ":"); ok {
		name = after
	}
	if spec.Name != nil {
		name = spec.Name.Name
	}
	x.imports[name] = path
	return name
}

func (x *index) topField(d *ast.Field) {
	name, ok := label(d.Label)
	if _, known := kindNamed(name); !ok || !known {
		x.rest = append(x.rest, d)
	}
	if !ok {
		x.wild = true
		return
	}
	if id, isIdent := d.Label.(*ast.Ident); isIdent && strings.HasPrefix(id.Name, "_") || isDefinition(d.Label) {
		plain := d
		if isDefinition(d.Label) || strings.HasPrefix(name, "_#") || d.Alias != nil || d.Constraint != token.ILLEGAL {
			plain = nil
		}
		x.hidden[name] = append(x.hidden[name], plain)
		return
	}
	k, known := kindNamed(name)
	switch {
	case !known:
		x.fields = append(x.fields, topField{name, schemaPos(d.Label.Pos())})
	case k.single:
		if x.isSchema(d.Value, k.definition) {
			x.rest = append(x.rest, d)
			return
		}
		x.entries = append(x.entries, namedEntry{kind: name, field: d, pos: schemaPos(d.Label.Pos()), start: d.Pos().Offset(), end: d.End().Offset()})
		if d.Constraint != token.ILLEGAL || d.Alias != nil {
			x.open[name] = true
		}
	default:
		x.named(k, d)
	}
}

func isDefinition(l ast.Label) bool {
	id, ok := l.(*ast.Ident)
	return ok && strings.HasPrefix(id.Name, "#")
}

// named reads one statement of a kind at the top level.
func (x *index) named(k kind, top *ast.Field) {
	body, ok := top.Value.(*ast.StructLit)
	if !ok || top.Constraint != token.ILLEGAL || top.Alias != nil {
		x.open[k.name] = true
		x.rest = append(x.rest, top)
		return
	}
	for _, d := range body.Elts {
		f, ok := d.(*ast.Field)
		if !ok {
			switch d.(type) {
			case *ast.CommentGroup, *ast.Attribute:
			default:
				x.open[k.name] = true
				x.rest = append(x.rest, d)
			}
			continue
		}
		name, ok := label(f.Label)
		switch {
		case !ok && x.isSchemaPattern(f, k.definition):
			x.rest = append(x.rest, f)
			continue
		case !ok || f.Constraint != token.ILLEGAL || f.Alias != nil || isDefinition(f.Label) || isHidden(f.Label):
			x.open[k.name] = true
			x.rest = append(x.rest, f)
			continue
		}
		e := namedEntry{kind: k.name, name: name, field: f, pos: schemaPos(f.Label.Pos()), start: f.Pos().Offset(), end: f.End().Offset()}
		if len(body.Elts) == 1 {
			e.start, e.end = top.Pos().Offset(), top.End().Offset()
		}
		x.entries = append(x.entries, e)
	}
}

func isHidden(l ast.Label) bool {
	id, ok := l.(*ast.Ident)
	return ok && strings.HasPrefix(id.Name, "_")
}

// isSchemaPattern recognises [string]: schema.#Workload.
func (x *index) isSchemaPattern(f *ast.Field, definition string) bool {
	list, ok := f.Label.(*ast.ListLit)
	if !ok || len(list.Elts) != 1 || f.Alias != nil {
		return false
	}
	id, ok := list.Elts[0].(*ast.Ident)
	return ok && id.Name == "string" && x.isSchema(f.Value, definition)
}

// isSchema recognises schema.#Workload.
func (x *index) isSchema(e ast.Expr, definition string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	name, _ := label(sel.Sel)
	return ok && x.imports[id.Name] == schema.ImportPath && name == definition
}
