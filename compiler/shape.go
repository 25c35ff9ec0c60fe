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

// shape is one type of the CUE schema, as far as it is needed to say what was expected. CUE decides what is valid; a shape only explains.
// Several of its fields are filled in when the type is a disjunction.
type shape struct {
	text    bool             // any string
	boolean bool             // true or false
	words   []string         // these strings
	object  bool             // a struct
	order   []string         // names of its fields, as the schema lists them
	fields  map[string]field // its fields
	any     *shape           // the type of fields of any name, or nil
}

type field struct {
	shape    *shape
	required bool
}

// workloadShape returns the shape of #Workload in the embedded schema.
var workloadShape = sync.OnceValue(func() *shape {
	r := shapeReader{definitions: map[string]ast.Expr{}}
	for name, data := range embeddedSchema() {
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
	return r.read(r.definitions["#Workload"])
})

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
		case r.definitions[e.Name] != nil:
			r.into(s, r.definitions[e.Name])
			return
		}
	case *ast.StructLit:
		r.object(s, e)
		return
	}
	panic(fmt.Sprintf("compiler: the schema has a %T that is not explained", e))
}

func (r *shapeReader) object(s *shape, e *ast.StructLit) {
	s.object, s.fields = true, map[string]field{}
	for _, d := range e.Elts {
		f, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		if name, ok := label(f.Label); ok {
			s.order = append(s.order, name)
			s.fields[name] = field{shape: r.read(f.Value), required: f.Constraint == token.NOT}
			continue
		}
		s.any = r.read(f.Value)
	}
}

// want says what was expected, for the end of a message.
func (s *shape) want() string {
	var alternatives []string
	for _, w := range s.words {
		alternatives = append(alternatives, fmt.Sprintf("%q", w))
	}
	switch {
	case s.text:
		alternatives = append(alternatives, "a string")
	case s.boolean:
		alternatives = append(alternatives, "true or false")
	}
	if s.object {
		switch {
		case len(s.order) > 0:
			alternatives = append(alternatives, "a struct of "+list(s.order, "and"))
		case s.any != nil && len(s.any.order) == 0 && s.any.object:
			alternatives = append(alternatives, "a struct such as {\"...\": {}}")
		case s.any != nil:
			alternatives = append(alternatives, "a struct of named entries")
		default:
			alternatives = append(alternatives, "{}")
		}
	}
	return join(alternatives, "or")
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
