// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
)

// mapTree is a place of fields below which maps are sorted, by name; "*" is any name.
type mapTree struct {
	sorted bool
	fields map[string]*mapTree
}

// sortedMaps are the maps whose keys are rules or names, by their paths in a policy. "*" stands for one name.
var sortedMaps = newMapTree(
	"folder.*.namespaces",
	"workload.*.exec", "workload.*.exec.*.parent", "workload.*.file.read", "workload.*.file.write", "workload.*.capability",
	"workload.*.egress", "workload.*.egress.*.http", "workload.*.egress.*.grpc", "workload.*.egress.*.tls",
	"workload.*.ingress", "workload.*.ingress.*.http", "workload.*.ingress.*.grpc", "workload.*.ingress.*.tls",
	"workload.*.image.from", "workload.*.image.signedBy",
	"workload.*.pod.serviceAccount", "workload.*.pod.addCapabilities", "workload.*.pod.dropCapabilities", "workload.*.pod.volumes",
	"workload.*.pod.hostPaths", "workload.*.pod.hostPorts", "workload.*.pod.seccomp", "workload.*.pod.appArmor", "workload.*.pod.sysctls",
	"workload.*.pod.runAsUser",
	"bound.*.never.exec", "bound.*.never.file", "bound.*.never.capability", "bound.*.never.egress", "bound.*.never.ingress",
	"bound.*.never.image", "bound.*.never.pod", "bound.*.never.pod.*",
	"bound.*.only.exec", "bound.*.only.file", "bound.*.only.capability", "bound.*.only.egress", "bound.*.only.ingress", "bound.*.only.image",
	"exception.*.finding", "exception.*.images", "exception.*.patch.exec", "exception.*.patch.file", "exception.*.patch.capability",
	"exception.*.patch.egress", "exception.*.patch.ingress",
)

// mapLevels is how deep maps of sortedMaps stand in each other: parent in exec, http in egress.
const mapLevels = 2

func newMapTree(paths ...string) *mapTree {
	root := &mapTree{fields: map[string]*mapTree{}}
	for _, p := range paths {
		t := root
		for name := range strings.SplitSeq(p, ".") {
			if t.fields[name] == nil {
				t.fields[name] = &mapTree{fields: map[string]*mapTree{}}
			}
			t = t.fields[name]
		}
		t.sorted = true
	}
	return root
}

// ruleMaps collects struct literals that are rule maps and have as many rule maps around them as level says.
type ruleMaps struct {
	level int
	at    []*ast.StructLit
}

func (r *ruleMaps) decls(decls []ast.Decl, t *mapTree, above int) {
	for _, d := range decls {
		f, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		sub := t.fields["*"]
		if name, ok := label(f.Label); ok && t.fields[name] != nil {
			sub = t.fields[name]
		}
		if sub != nil {
			r.expr(f.Value, sub, above)
		}
	}
}

func (r *ruleMaps) expr(x ast.Expr, t *mapTree, above int) {
	switch x := x.(type) {
	case *ast.ParenExpr:
		r.expr(x.X, t, above)
	case *ast.BinaryExpr:
		if x.Op == token.AND {
			r.expr(x.X, t, above)
			r.expr(x.Y, t, above)
		}
	case *ast.StructLit:
		if t.sorted {
			if above == r.level && x.Lbrace.IsValid() && len(x.Elts) > 1 {
				r.at = append(r.at, x)
			}
			above++
		}
		r.decls(x.Elts, t, above)
	}
}

// sortKey orders the entries of a rule map: embedded sets, then rules by their keys. ok is false for what must not move.
type sortKey struct {
	rule bool
	text string
}

func (k sortKey) compare(l sortKey) int {
	if k.rule != l.rule {
		if l.rule {
			return -1
		}
		return 1
	}
	return cmp.Compare(k.text, l.text)
}

func keyOf(d ast.Decl, data []byte) (k sortKey, ok bool) {
	switch d := d.(type) {
	case *ast.EmbedDecl:
		return sortKey{false, string(data[d.Pos().Offset():d.End().Offset()])}, isReference(d.Expr)
	case *ast.Field:
		if d.Alias != nil || d.Constraint != token.ILLEGAL {
			return k, false
		}
		switch l := d.Label.(type) {
		case *ast.Ident:
			return sortKey{true, l.Name}, !strings.HasPrefix(l.Name, "_") && !strings.HasPrefix(l.Name, "#")
		case *ast.BasicLit:
			s, err := literal.Unquote(l.Value)
			return sortKey{true, s}, err == nil && l.Kind == token.STRING
		}
	}
	return k, false
}

// isReference reports whether an expression names a value, as policies.libc or policies["web server"] does.
func isReference(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return true
	case *ast.SelectorExpr:
		return isReference(x.X)
	case *ast.IndexExpr:
		_, lit := x.Index.(*ast.BasicLit)
		return lit && isReference(x.X)
	}
	return false
}

// entry is one entry of a rule map with its text: whole lines with the comments above, or the part of a line.
type entry struct {
	start, end int // offsets
	key        sortKey
	movable    bool
	first      bool // of its group
}

// permute sorts the groups of rule maps, which do not overlap and come in the order of the file.
func permute(data []byte, at []*ast.StructLit) []byte {
	var out []byte
	done := 0
	for _, s := range at {
		all := inline(data, s)
		if all == nil {
			all = byLine(data, s)
		}
		for len(all) > 0 {
			n := 1
			for n < len(all) && !all[n].first {
				n++
			}
			group := all[:n]
			all = all[n:]
			out = append(out, data[done:group[0].start]...)
			out = append(out, sortGroup(data, group)...)
			done = group[n-1].end
		}
	}
	return append(out, data[done:]...)
}

// sortGroup returns the text of a group, sorted. What stands between two entries stays between two entries.
func sortGroup(data []byte, group []entry) []byte {
	order := slices.Clone(group)
	if !slices.ContainsFunc(group, func(e entry) bool { return !e.movable }) {
		slices.SortStableFunc(order, func(a, b entry) int { return a.key.compare(b.key) })
	}
	var out []byte
	for i, e := range order {
		if i > 0 {
			out = append(out, data[group[i-1].end:group[i].start]...)
		}
		out = append(out, data[e.start:e.end]...)
	}
	return out
}

// inline returns the entries of a struct that stands in one line, as one group, or nil.
func inline(data []byte, s *ast.StructLit) []entry {
	if s.Lbrace.Line() != s.Rbrace.Line() {
		return nil
	}
	var all []entry
	at := s.Lbrace.Offset() + 1
	for i, d := range s.Elts {
		if !d.Pos().IsValid() || !d.End().IsValid() {
			return nil
		}
		e := entry{start: d.Pos().Offset(), end: d.End().Offset(), first: i == 0}
		if e.start < at || !isSeparator(data[at:e.start]) {
			return nil
		}
		e.key, e.movable = keyOf(d, data)
		all, at = append(all, e), e.end
	}
	if at > s.Rbrace.Offset() || !isSeparator(data[at:s.Rbrace.Offset()]) {
		return nil
	}
	return all
}

func isSeparator(between []byte) bool { return len(bytes.Trim(between, " \t,")) == 0 }

// byLine returns the entries of a struct of several lines, or nil if a brace shares its line with one. Entries that share a line are one that
// does not move.
func byLine(data []byte, s *ast.StructLit) []entry {
	var all []entry
	free := lineEnd(data, s.Lbrace.Offset()) // where lines begin that belong to no entry yet
	for _, d := range s.Elts {
		if !d.Pos().IsValid() || !d.End().IsValid() {
			return nil
		}
		start, end := lineStart(data, d.Pos().Offset()), lineEnd(data, d.End().Offset()-1)
		if start < free { // shares a line with what is before
			if len(all) == 0 {
				return nil
			}
			all[len(all)-1].end, all[len(all)-1].movable, free = end, false, end
			continue
		}
		lead := start
		for lead > free && isComment(data[lineStart(data, lead-1):lead]) {
			lead = lineStart(data, lead-1)
		}
		e := entry{start: lead, end: end, first: len(all) == 0 || lead > free}
		e.key, e.movable = keyOf(d, data)
		all, free = append(all, e), end
	}
	if lineStart(data, s.Rbrace.Offset()) < free {
		return nil
	}
	return all
}

func isComment(line []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(line), []byte("//")) }

// lineStart returns where the line of an offset begins.
func lineStart(data []byte, at int) int { return bytes.LastIndexByte(data[:at], '\n') + 1 }

// lineEnd returns where the line after an offset begins.
func lineEnd(data []byte, at int) int {
	if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(data)
}
