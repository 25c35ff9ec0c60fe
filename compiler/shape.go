// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"strings"
	"sync"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
)

// shape is one type of the CUE schema. It decides what a value may be: the schema states it, and CUE's own tools decide the same, which a
// test holds. Several of its fields are filled in when the type is a disjunction.
type shape struct {
	text    bool           // any string
	boolean bool           // true or false
	integer bool           // any whole number
	words   []string       // these strings
	structs []*structShape // a struct of one of these forms
}

// structShape is a struct.
type structShape struct {
	order  []string         // names of its fields, as the schema lists them
	fields map[string]field // its fields
	any    *shape           // the type of fields of any name, or nil
}

type field struct {
	shape    *shape
	required bool
}

// shapeOf returns the shape of a kind's entries in the embedded schema.
func shapeOf(k kind) *shape { return shapes()[k.definition] }

var shapes = sync.OnceValue(func() map[string]*shape { return readShapes(libraries[0].sources()) })

// readShapes returns the shapes of all definitions of a schema, given as CUE files by name.
func readShapes(sources map[string][]byte) map[string]*shape {
	r := shapeReader{definitions: map[string]ast.Expr{}}
	for name, data := range sources {
		f, err := parser.ParseFile(name, data)
		if err != nil {
			panic(fmt.Sprintf("compiler: embedded schema: %v", err)) // a test compiles it
		}
		for _, d := range f.Decls {
			if d, ok := d.(*ast.Field); ok {
				name, _ := label(d.Label)
				r.definitions[name] = d.Value
			}
		}
	}
	all := map[string]*shape{}
	for name, e := range r.definitions {
		all[name] = r.read(e)
	}
	return all
}

type shapeReader struct {
	definitions map[string]ast.Expr
}

// read panics on what it does not know: the schema is ours, and a test reads it.
func (r *shapeReader) read(e ast.Expr) *shape {
	s := &shape{}
	r.into(s, e)
	return s
}

func (r *shapeReader) into(s *shape, e ast.Expr) {
	switch e := e.(type) {
	case *ast.BasicLit:
		word, _ := label(e)
		s.words = append(s.words, word)
		return
	case *ast.BinaryExpr:
		if e.Op == token.OR {
			r.into(s, e.X)
			r.into(s, e.Y)
			return
		}
	case *ast.Ident:
		switch {
		case e.Name == "string":
			s.text = true
			return
		case e.Name == "bool":
			s.boolean = true
			return
		case e.Name == "int":
			s.integer = true
			return
		case r.definitions[e.Name] != nil:
			r.into(s, r.definitions[e.Name])
			return
		}
	case *ast.StructLit:
		form := &structShape{fields: map[string]field{}}
		r.object(form, e)
		s.structs = append(s.structs, form)
		return
	}
	panic(fmt.Sprintf("compiler: the schema has a %T that is not known", e))
}

// object reads a struct into a form; embedded definitions add their fields.
func (r *shapeReader) object(form *structShape, e *ast.StructLit) {
	for _, d := range e.Elts {
		switch d := d.(type) {
		case *ast.EmbedDecl:
			id, _ := d.Expr.(*ast.Ident)
			r.object(form, r.definitions[id.Name].(*ast.StructLit))
		case *ast.Field:
			name, ok := label(d.Label)
			if !ok {
				form.any = r.read(d.Value)
				continue
			}
			if _, known := form.fields[name]; !known {
				form.order = append(form.order, name)
			}
			form.fields[name] = field{shape: r.read(d.Value), required: d.Constraint == token.NOT || form.fields[name].required}
		}
	}
}

// want says what was expected, for the end of a message.
func (s *shape) want() string {
	var alternatives []string
	for _, w := range s.words {
		alternatives = append(alternatives, fmt.Sprintf("%q", w))
	}
	if s.text {
		alternatives = append(alternatives, "a string")
	}
	if s.boolean {
		alternatives = append(alternatives, "true or false")
	}
	if s.integer {
		alternatives = append(alternatives, "a whole number")
	}
	for _, form := range s.structs {
		alternatives = append(alternatives, form.want())
	}
	return join(alternatives, "or")
}

func (f *structShape) want() string {
	switch {
	case len(f.order) > 0:
		return "a struct of " + list(f.order, "and")
	case f.any != nil && len(f.any.structs) > 0 && len(f.any.structs[0].order) == 0:
		return "a struct such as {\"...\": {}}"
	case f.any != nil:
		return "a struct of named entries"
	}
	return "{}"
}

// list quotes words and joins them.
func list(words []string, conjunction string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	return join(quoted, conjunction)
}

func join(parts []string, conjunction string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " " + conjunction + " " + parts[len(parts)-1]
}

// nearest returns the candidate that a misspelt word most likely stands for, or "".
func nearest(word string, candidates []string) string {
	best, least := "", 3
	for _, c := range candidates {
		limit := min(least, 1+len(c)/4)
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d <= limit && d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the number of insertions, removals, replacements and swaps of neighbours that turn a into b
// (optimal string alignment). Long words are not compared: they are no misspellings of ours.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
