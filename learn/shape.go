// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"bytes"

	"cuelang.org/go/cue/ast"
)

// into puts items into the struct that a statement of a path ends in. all are the statements of this path in the file. It returns nil if the
// statement is no struct literal.
func (s *source) into(sp spot, all []spot, items []item) []patch {
	f := sp.last()
	if lit := shorthand(f); lit != nil {
		if group := s.sameStyle(sp, all); len(group) > 1 {
			return s.lines(group, items)
		}
		return s.unfold(lit, items)
	}
	var best *ast.StructLit
	for _, lit := range structs(f.Value) {
		if lit.Lbrace.IsValid() && (best == nil || len(lit.Elts) > len(best.Elts)) {
			best = lit
		}
	}
	if best == nil {
		return nil
	}
	return s.intoBraces(best, items)
}

// sameStyle returns the statements that repeat the path of sp line by line in the same struct, sp among them:
//
//	exec: "/usr/bin/a": {}
//	exec: "/usr/bin/b": {}
func (s *source) sameStyle(sp spot, all []spot) []spot {
	var group []spot
	for _, other := range all {
		if shorthand(other.last()) != nil && enclosing(other) == enclosing(sp) && s.prefix(other) == s.prefix(sp) {
			group = append(group, other)
		}
	}
	return group
}

// enclosing returns the field whose braces the statement stands in, or nil at the top of the file.
func enclosing(sp spot) *ast.Field {
	for i := len(sp) - 1; i > 0; i-- {
		if shorthand(sp[i-1]) == nil {
			return sp[i-1]
		}
	}
	return nil
}

// prefix returns the text of a shorthand statement before its last key.
func (s *source) prefix(sp spot) string {
	return string(s.data[sp.start():shorthand(sp.last()).Elts[0].Pos().Offset()])
}

// lines adds to a group of statements in the same style.
func (s *source) lines(group []spot, items []item) []patch {
	var keys []element
	for _, sp := range group {
		e := elements(shorthand(sp.last()).Elts)[0]
		keys = append(keys, element{start: sp.start(), end: e.end, key: e.key, plain: e.plain})
	}
	prefix := s.prefix(group[0])
	var prefixed []item
	for _, it := range items {
		lines := it.text()
		full := item{key: it.key, one: prefix + it.one, lines: append([]string{prefix + lines[0]}, lines[1:]...)}
		prefixed = append(prefixed, full)
	}
	return s.among(keys, prefixed)
}

// unfold gives a struct in shorthand its braces:
//
//	exec: "/a": {} // why   ->   exec: {
//	                             	"/a": {} // why
//	                             	"/b": {}
//	                             }
func (s *source) unfold(lit *ast.StructLit, items []item) []patch {
	es := elements(lit.Elts)
	e := es[0]
	dealt := slots(plainOf(es), items)
	first, rest := []item(nil), dealt[len(dealt)-1]
	if len(dealt) > 1 {
		first = dealt[0]
	}
	comma, clean := s.tail(e.end)
	if !clean {
		open, shut := "{", "}"
		if len(first) > 0 {
			open += inline(first) + ", "
		}
		if len(rest) > 0 {
			shut = ", " + inline(rest) + shut
		}
		return []patch{{at: e.start, text: open}, {at: e.end, text: shut}}
	}
	outer, end := s.indent(e.start), ""
	inner := outer + s.unit
	if comma {
		end = ","
	}
	ps := []patch{{at: e.start, text: "{" + s.block(first, inner, end) + s.nl + inner}}
	ps = append(ps, s.deeper(e)...)
	return append(ps, patch{at: s.lineEnd(e.end), text: s.block(rest, inner, end) + s.nl + outer + "}" + end})
}

// deeper indents the further lines of an element by one level.
func (s *source) deeper(e element) []patch {
	var ps []patch
	for at := s.lineEnd(e.start); at < e.end; at = s.lineEnd(at) {
		at += len(s.nl)
		if s.lineEnd(at) > at { // an empty line stays empty, also in a string of several lines
			ps = append(ps, patch{at: at, text: s.unit})
		}
	}
	return ps
}

// field puts a statement of exec into the struct that a statement of the workload ends in, behind its other fields.
func (s *source) field(sp spot, items []item) []patch {
	path := execPath("")
	st := statement(path[len(path)-1:], items)
	for _, lit := range structs(sp.last().Value) {
		es := elements(lit.Elts)
		if !lit.Lbrace.IsValid() || len(es) == 0 || !bytes.Contains(s.data[lit.Lbrace.Offset():lit.Rbrace.Offset()], []byte("\n")) {
			continue
		}
		return []patch{s.after(es[len(es)-1], []item{st})}
	}
	return nil
}

// top states paths anew at the top of the file: behind the last statement of the workload, or at the end. It is always possible.
func (s *source) top(workload string, statements []item) []patch {
	spots := findSpots(s.file.Decls, []string{"workload", workload}, nil)
	if len(spots) > 0 {
		f := spots[len(spots)-1][0]
		e := element{start: f.Pos().Offset(), end: f.End().Offset()}
		if _, clean := s.tail(e.end); clean && s.leads(e.start) {
			return []patch{s.after(e, statements)}
		}
	}
	text := s.block(statements, "", "")[len(s.nl):] + s.nl
	if n := len(s.data); n > 0 && s.data[n-1] != '\n' {
		text = s.nl + text
	}
	return []patch{{at: len(s.data), text: text}}
}
