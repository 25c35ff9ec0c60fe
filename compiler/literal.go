// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/writ-sec/writ/schema"
)

// literals evaluates what a policy mostly consists of, without CUE: structs and scalars that are written out, united where several places
// state them, and sets of those that are referred to by name. It never guesses: whatever is more than that, or contradicts itself, it
// declines, and CUE decides. It takes time in proportion to the text, and to what references repeat of it, which is bounded; so it needs no fence.
// A test holds it against CUE.
type literals struct {
	seen     []*parsed
	stated   map[string][]occurrence // where entries are stated, by entryKey
	declared map[string][]occurrence // where package-level hidden fields are stated; a field that is nil is one that is not read
	hidden   map[string]*node        // package-level hidden fields; nil while they are being read, or when they are declined
	others   map[string]bool         // regular fields at the top level that are no kind
	library  bool                    // whether regular package-level fields may be referred to as well: no other file can state more of them
	level    int                     // expressions around the present one, over references
	repeated int                     // values that references have repeated
}

const (
	// maxLevel bounds the expressions around an expression, over references: as deep as one file may be, and again. Go's stack has an end.
	maxLevel = 2 * maxDepth
	// maxRepeated bounds what all references in one folder's files repeat, in values: a few lines could state more than any memory holds.
	maxRepeated = 1 << 21
)

// occurrence is one statement of an entry.
type occurrence struct {
	file  *parsed
	field *ast.Field
}

func newLiterals(seen []*parsed) *literals {
	l := &literals{seen: seen, stated: map[string][]occurrence{}, declared: map[string][]occurrence{}, hidden: map[string]*node{}, others: map[string]bool{}}
	for _, p := range seen {
		for _, f := range p.index.fields {
			l.others[f.name] = true
		}
		for name, fields := range p.index.hidden {
			for _, f := range fields {
				l.declared[name] = append(l.declared[name], occurrence{p, f})
			}
		}
		for _, e := range p.index.entries {
			key := entryKey(e.kind, e.name)
			l.stated[key] = append(l.stated[key], occurrence{p, e.field})
		}
	}
	return l
}

// scope is where an expression stands: its file, and the struct literals around it.
type scopeOf struct {
	file *parsed
	in   []*ast.StructLit
}

// entry returns the value of an entry over all files, or false if it is declined.
func (l *literals) entry(kind, name string) (*node, bool) {
	var n *node
	for _, at := range l.stated[entryKey(kind, name)] {
		v, ok := l.field(scopeOf{file: at.file}, at.field)
		if !ok {
			return nil, false
		}
		if n, ok = l.unify(n, v); !ok {
			return nil, false
		}
	}
	return n, n != nil && n.size(maxNodes) < maxNodes
}

func (l *literals) unify(a, b *node) (*node, bool) {
	var clashes []clash
	n := unify(a, b, nil, &clashes)
	return n, len(clashes) == 0
}

// field returns the value of a field, with the place of its label.
func (l *literals) field(s scopeOf, f *ast.Field) (*node, bool) {
	v, ok := l.expr(s, f.Value)
	if !ok {
		return nil, false
	}
	placed := *v
	placed.Pos, placed.Pattern = []schema.Pos{schemaPos(f.Label.Pos())}, nil
	if !isAuthors(f.Label.Pos()) {
		placed.Pos = nil
	}
	return &placed, true
}

func (l *literals) expr(s scopeOf, e ast.Expr) (*node, bool) {
	if l.level++; l.level > maxLevel {
		l.level--
		return nil, false
	}
	defer func() { l.level-- }()
	switch e := e.(type) {
	case *ast.StructLit:
		return l.structLit(s, e)
	case *ast.BasicLit:
		return basicNode(e, false)
	case *ast.UnaryExpr:
		if lit, ok := e.X.(*ast.BasicLit); ok && e.Op == token.SUB {
			return basicNode(lit, true)
		}
	case *ast.ParenExpr:
		return l.expr(s, e.X)
	case *ast.BinaryExpr:
		if e.Op != token.AND {
			return nil, false
		}
		a, ok := l.expr(s, e.X)
		if !ok {
			return nil, false
		}
		b, ok := l.expr(s, e.Y)
		if !ok {
			return nil, false
		}
		return l.unify(a, b)
	case *ast.Ident:
		return l.repeat(l.reference(s, e.Name))
	case *ast.SelectorExpr:
		return l.repeat(l.selector(s, e))
	}
	return nil, false
}

// repeat counts what a reference repeats.
func (l *literals) repeat(n *node, ok bool) (*node, bool) {
	if !ok {
		return nil, false
	}
	l.repeated += n.size(maxRepeated - l.repeated)
	return n, l.repeated < maxRepeated
}

// basicNode reads a scalar. Numbers other than plain whole ones are declined: CUE knows many ways to write one.
func basicNode(e *ast.BasicLit, negative bool) (*node, bool) {
	switch e.Kind {
	case token.STRING:
		if strings.HasPrefix(strings.TrimLeft(e.Value, "#"), "'") {
			return nil, false // bytes
		}
		s, err := literal.Unquote(e.Value)
		return &node{Kind: nodeString, Text: s}, err == nil && !negative
	case token.INT:
		if len(e.Value) > 18 || strings.Trim(e.Value, "0123456789") != "" || len(e.Value) > 1 && e.Value[0] == '0' || negative && e.Value == "0" {
			return nil, false
		}
		if negative {
			return &node{Kind: nodeNumber, Text: "-" + e.Value}, true
		}
		return &node{Kind: nodeNumber, Text: e.Value}, true
	case token.TRUE, token.FALSE:
		return &node{Kind: nodeBool, Text: e.Value}, !negative
	case token.NULL:
		return &node{Kind: nodeNull}, !negative
	}
	return nil, false
}

func (l *literals) structLit(s scopeOf, e *ast.StructLit) (*node, bool) {
	n := &node{}
	inner := scopeOf{s.file, append(slices.Clip(s.in), e)}
	var embedded []*node
	sorted := true
	for _, d := range e.Elts {
		switch d := d.(type) {
		case *ast.CommentGroup, *ast.Attribute:
		case *ast.EmbedDecl:
			v, ok := l.expr(inner, d.Expr)
			if !ok || v.Kind != nodeStruct {
				return nil, false
			}
			embedded = append(embedded, v)
		case *ast.Field:
			name, ok := label(d.Label)
			if !ok || d.Constraint != token.ILLEGAL || d.Alias != nil || isHidden(d.Label) || isDefinition(d.Label) {
				return nil, false
			}
			v, ok := l.field(inner, d)
			if !ok {
				return nil, false
			}
			sorted = sorted && (len(n.Fields) == 0 || n.Fields[len(n.Fields)-1].Name < name)
			n.Fields = append(n.Fields, nodeField{Name: name, Node: v})
		default:
			return nil, false
		}
	}
	if !sorted && !l.sortFields(n) {
		return nil, false
	}
	for _, v := range embedded {
		u, ok := l.unify(n, &node{Fields: v.Fields})
		if !ok {
			return nil, false
		}
		n = u
	}
	return n, true
}

// sortFields sorts the fields of a struct and unites those of the same name.
func (l *literals) sortFields(n *node) bool {
	slices.SortStableFunc(n.Fields, func(a, b nodeField) int { return compareStrings(a.Name, b.Name) })
	out := n.Fields[:1]
	for _, f := range n.Fields[1:] {
		last := &out[len(out)-1]
		if last.Name != f.Name {
			out = append(out, f)
			continue
		}
		u, ok := l.unify(last.Node, f.Node)
		if !ok {
			return false
		}
		last.Node = u
	}
	n.Fields = out
	return true
}

// reference returns a hidden field of the package. Others are declined but in a library: what they refer to depends on more than these files say.
func (l *literals) reference(s scopeOf, name string) (*node, bool) {
	if !strings.HasPrefix(name, "_") && !l.library || name == "_" || s.declares(name) || s.file.index.imports[name] != "" {
		return nil, false
	}
	if n, known := l.hidden[name]; known {
		return n, n != nil
	}
	l.hidden[name] = nil
	var n *node
	for _, at := range l.declared[name] {
		if at.field == nil {
			return nil, false
		}
		v, ok := l.field(scopeOf{file: at.file}, at.field)
		if !ok {
			return nil, false
		}
		if n, ok = l.unify(n, v); !ok {
			return nil, false
		}
	}
	if n == nil || n.size(maxNodes) >= maxNodes {
		return nil, false
	}
	l.hidden[name] = n
	return n, true
}

// declares reports whether a struct literal around the expression has a field of this name, which the name then refers to.
func (s scopeOf) declares(name string) bool {
	for _, lit := range s.in {
		for _, d := range lit.Elts {
			switch d := d.(type) {
			case *ast.Field:
				if id, ok := d.Label.(*ast.Ident); ok && id.Name == name {
					return true
				}
			case *ast.LetClause:
				return true
			}
		}
	}
	return false
}

// selector returns a field of a hidden field, or of a library's package.
func (l *literals) selector(s scopeOf, e *ast.SelectorExpr) (*node, bool) {
	name, ok := label(e.Sel)
	if !ok || isHidden(e.Sel) || isDefinition(e.Sel) {
		return nil, false
	}
	var of *node
	if id, isIdent := e.X.(*ast.Ident); isIdent && s.file.index.imports[id.Name] != "" {
		if s.declares(id.Name) || l.known(id.Name) {
			return nil, false
		}
		of = libraryNodes()[s.file.index.imports[id.Name]]
	} else if of, ok = l.selected(s, e.X); !ok {
		return nil, false
	}
	if of == nil || of.Kind != nodeStruct {
		return nil, false
	}
	n := of.get(name)
	return n, n != nil
}

// selected returns what a selector selects from. Only what it selects is repeated.
func (l *literals) selected(s scopeOf, e ast.Expr) (*node, bool) {
	switch e := e.(type) {
	case *ast.Ident:
		return l.reference(s, e.Name)
	case *ast.SelectorExpr:
		return l.selector(s, e)
	}
	return l.expr(s, e)
}

// known reports whether some file states a field of this name at the top level.
func (l *literals) known(name string) bool {
	if len(l.declared[name]) > 0 {
		return true
	}
	_, isKind := kindNamed(name)
	return isKind || l.others[name]
}

// sound reports whether the file's own hidden fields can be read: CUE has to look at others even where nobody refers to them.
func (l *literals) sound(own []*parsed) bool {
	for _, p := range own {
		for _, name := range slices.Sorted(maps.Keys(p.index.hidden)) { // in one order, as the bounds depend on it
			if _, ok := l.reference(scopeOf{file: p}, name); !ok {
				return false
			}
		}
	}
	return true
}

// libraryNodes returns the packages that policies may take values from, by import path.
func libraryNodes() map[string]*node {
	libraryOnce.Do(func() {
		for _, lib := range libraries {
			libraryRead[lib.importPath] = readLibrary(lib)
		}
	})
	return libraryRead
}

var (
	libraryOnce sync.Once
	libraryRead = map[string]*node{}
)

// readLibrary evaluates a library that is written out: its regular fields, which may refer to each other. What is more than that is not there,
// and CUE decides.
func readLibrary(lib library) *node {
	l := newLiterals(nil)
	l.library = true
	for name, data := range lib.sources() {
		f, err := parser.ParseFile(libraryFile(lib.importPath, name), data)
		if err != nil {
			return nil // a test compiles it
		}
		p := &parsed{src: &source{path: name}, index: index{imports: map[string]string{}}}
		for _, d := range f.Decls {
			field, ok := d.(*ast.Field)
			if !ok || isDefinition(field.Label) {
				continue
			}
			if name, ok := label(field.Label); ok {
				l.declared[name] = append(l.declared[name], occurrence{p, field})
			}
		}
	}
	n := &node{}
	for _, name := range slices.Sorted(maps.Keys(l.declared)) {
		if v, ok := l.reference(scopeOf{file: &parsed{}}, name); ok {
			n.Fields = append(n.Fields, nodeField{Name: name, Node: v})
		}
	}
	return n
}
