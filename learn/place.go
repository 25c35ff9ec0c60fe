// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
)

// spot is one statement of a path of fields in a file: the fields from the top to the last of the path.
type spot []*ast.Field

// findSpots returns every plain statement of a path below declarations, in the order of the file. Patterns, optional and required fields and what
// references lead to are no statements of this path: to add to those would add to others too.
func findSpots(decls []ast.Decl, path []string, above spot) []spot {
	var spots []spot
	for _, d := range decls {
		f, ok := d.(*ast.Field)
		if !ok || f.Constraint != token.ILLEGAL || !named(f.Label, path[0]) {
			continue
		}
		here := append(above[:len(above):len(above)], f)
		if len(path) == 1 {
			spots = append(spots, here)
			continue
		}
		for _, lit := range structs(f.Value) {
			spots = append(spots, findSpots(lit.Elts, path[1:], here)...)
		}
	}
	return spots
}

// structs returns the struct literals that an expression unites.
func structs(e ast.Expr) []*ast.StructLit {
	switch x := e.(type) {
	case *ast.StructLit:
		return []*ast.StructLit{x}
	case *ast.ParenExpr:
		return structs(x.X)
	case *ast.BinaryExpr:
		if x.Op == token.AND {
			return append(structs(x.X), structs(x.Y)...)
		}
	}
	return nil
}

// named reports whether a label states a regular field of this name.
func named(l ast.Label, name string) bool {
	got, ok := labelName(l)
	return ok && got == name
}

// labelName returns the name of a regular field; ok is false for patterns, hidden fields, definitions and dynamic labels.
func labelName(l ast.Label) (name string, ok bool) {
	switch x := l.(type) {
	case *ast.Alias:
		inner, isLabel := x.Expr.(ast.Label)
		if !isLabel {
			return "", false
		}
		return labelName(inner)
	case *ast.Ident:
		hidden := len(x.Name) > 0 && (x.Name[0] == '_' || x.Name[0] == '#')
		return x.Name, !hidden
	case *ast.BasicLit:
		if x.Kind != token.STRING {
			return "", false
		}
		s, err := literal.Unquote(x.Value)
		return s, err == nil
	}
	return "", false
}

// element is a declaration in a struct, or a whole statement of a path at its own level.
type element struct {
	start, end int    // offsets; end is exclusive, without a comma
	key        string // of a plain field
	plain      bool   // has a key
}

func elements(decls []ast.Decl) []element {
	var es []element
	for _, d := range decls {
		if _, comment := d.(*ast.CommentGroup); comment {
			continue
		}
		e := element{start: d.Pos().Offset(), end: d.End().Offset()}
		if f, ok := d.(*ast.Field); ok {
			e.key, e.plain = labelName(f.Label)
		}
		es = append(es, e)
	}
	return es
}

// shorthand returns the struct without braces that a field's value is, as in `exec: "/a": {}`, or nil.
func shorthand(f *ast.Field) *ast.StructLit {
	if lit, ok := f.Value.(*ast.StructLit); ok && !lit.Lbrace.IsValid() && len(lit.Elts) == 1 {
		return lit
	}
	return nil
}

// start returns the offset where the line of thought begins: the outermost field from which only struct literals without braces lead to the last.
func (s spot) start() int {
	i := len(s) - 1
	for i > 0 && shorthand(s[i-1]) != nil {
		i--
	}
	return s[i].Pos().Offset()
}

// last returns the field that the path ends in.
func (s spot) last() *ast.Field { return s[len(s)-1] }

// size returns how many fields the statement holds.
func (s spot) size() int {
	n := 0
	for _, lit := range structs(s.last().Value) {
		n += len(lit.Elts)
	}
	return n
}
