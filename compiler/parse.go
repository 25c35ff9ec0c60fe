// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/writ-sec/writ/schema"
)

// packageName is the one package of a policy repository.
const packageName = "policy"

// maxDepth bounds the nesting of a policy file, counted in syntax nodes. A policy has a depth of about twenty; the evaluator recurses over it.
const maxDepth = 500

// parsed is what is known of one file before anything is evaluated. It does not change once made.
type parsed struct {
	src      *source
	errs     []Diagnostic // a file that has some is not evaluated
	index    index
	silences []silence
}

// parseFile reads a file and applies the rules about what a policy file may contain.
func parseFile(s *source) *parsed {
	p := &parsed{src: s}
	if p.checkNesting(); len(p.errs) > 0 {
		return p
	}
	f, err := parser.ParseFile(s.path, s.data, parser.AllErrors)
	if err != nil {
		for _, e := range errors.Errors(err) {
			format, args := e.Msg()
			p.fail(e.Position(), "syntax: "+format, args...)
		}
		return p
	}
	if depth(f) > maxDepth {
		p.fail(f.Pos(), "is nested deeper than %d levels; want a flatter file", maxDepth)
		return p
	}
	p.checkPackage(f)
	p.checkImports(f)
	p.checkAttributes(f)
	p.index = newIndex(f)
	var errs []Diagnostic
	p.silences, errs = silences(f)
	p.errs = append(p.errs, errs...)
	return p
}

// dir is the folder that the file stands in.
func (p *parsed) dir() string { return path.Dir(p.src.path) }

func (p *parsed) fail(pos token.Pos, format string, args ...any) {
	at := schemaPos(pos)
	at.File = p.src.path
	p.errs = append(p.errs, Diagnostic{Pos: at, Msg: fmt.Sprintf(format, args...)})
}

// schemaPos converts a position of CUE. Its columns are in bytes, from 1, as ours are.
func schemaPos(pos token.Pos) schema.Pos {
	if !pos.IsValid() {
		return schema.Pos{File: pos.Filename()}
	}
	return schema.Pos{File: pos.Filename(), Line: pos.Line(), Col: pos.Column()}
}

func depth(n ast.Node) int {
	level, deepest := 0, 0
	ast.Walk(n, func(ast.Node) bool {
		level++
		deepest = max(deepest, level)
		return level <= maxDepth+1
	}, func(ast.Node) { level-- })
	return deepest
}

func (p *parsed) checkPackage(f *ast.File) {
	switch name := f.PackageName(); {
	case name == packageName:
	case name == "":
		p.fail(f.Pos(), "has no package clause; want \"package %s\" as the first line", packageName)
	default:
		pos := f.Pos()
		for _, d := range f.Decls {
			if pkg, ok := d.(*ast.Package); ok {
				pos = pkg.Name.Pos()
			}
		}
		p.fail(pos, "is of package %q; want \"package %s\", the one package of a policy repository", name, packageName)
	}
}

// checkImports lets through CUE's standard library, whose paths have no dot in their first element, and what is embedded.
func (p *parsed) checkImports(f *ast.File) {
	for spec := range f.ImportSpecs() {
		name, err := strconv.Unquote(spec.Path.Value)
		first, _, _ := strings.Cut(name, "/")
		first, _, _ = strings.Cut(first, ":")
		if _, ours := libraryAt(name); err == nil && ours {
			continue
		}
		if err != nil || strings.ContainsAny(first, ".@") || first == "" || impure[name] {
			var known []string
			for _, l := range libraries {
				known = append(known, l.importPath)
			}
			p.fail(spec.Path.Pos(), "imports %s; want packages of CUE's standard library that only compute, and %s", spec.Path.Value, list(known, "and"))
		}
	}
}

// impure holds the packages of CUE's standard library that are meant for commands. They do nothing when a policy is evaluated, so a
// policy that imports one expects something that never happens.
var impure = map[string]bool{"tool/cli": true, "tool/exec": true, "tool/file": true, "tool/http": true, "tool/os": true, "tool": true}

// refused holds the attributes that make a file's meaning depend on what is outside of it.
var refused = map[string]string{
	"extern": "loads what is not CUE",
	"embed":  "reads another file",
	"if":     "includes a file under a condition",
	"ignore": "leaves the file out",
	"tag":    "takes a value from the command line",
}

func (p *parsed) checkAttributes(f *ast.File) {
	ast.Walk(f, func(n ast.Node) bool {
		if a, ok := n.(*ast.Attribute); ok {
			if name, _ := a.Split(); refused[name] != "" {
				p.fail(a.Pos(), "has the attribute @%s, which %s; want a policy that says the same everywhere", name, refused[name])
			}
		}
		return true
	}, nil)
}

// label returns the name of a label that is written out.
func label(l ast.Label) (name string, ok bool) {
	switch l := l.(type) {
	case *ast.Ident:
		return l.Name, true
	case *ast.BasicLit:
		if l.Kind != token.STRING {
			return "", false
		}
		s, err := literal.Unquote(l.Value)
		return s, err == nil
	}
	return "", false
}
