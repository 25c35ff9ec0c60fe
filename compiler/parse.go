// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
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

// workloadField is the one kind that a policy states in this version, at the top level of its files.
const workloadField = "workload"

// maxDepth bounds the nesting of a policy file, counted in syntax nodes. A policy has a depth of about twenty; the evaluator recurses over it.
const maxDepth = 500

// parsed is what is known of one file before anything is evaluated. It does not change once made.
type parsed struct {
	src   *source
	sum   digest       // of path and content
	errs  []Diagnostic // a file that has some is not evaluated
	index index
}

// index says syntactically where the parts of workloads stand, and whether that is the whole story.
type index struct {
	pos      map[string][]schema.Pos // of the labels, by joined path (see pathKey): workload, name, field, key
	fields   []string                // names of regular fields at the top level, as they come
	hidden   map[string]bool         // names of hidden fields, definitions and lets at the top level
	extents  []extent                // of the workloads stated with a literal name
	literal  bool                    // nothing but literal labels and struct literals from the top level to the rules
	pattern  bool                    // states workload: [string]: schema.#Workload
	names    map[string]bool         // of workloads stated with a literal name
	idents   map[string]bool         // every name that is referred to
	aliased  bool                    // has an alias on a label, by which a field could be referred to
	embedded bool                    // something at the top level could add fields anywhere
}

// extent is the text of one workload's statement in a file, as byte offsets.
type extent struct {
	name       string
	start, end int
}

func pathKey(path ...string) string { return strings.Join(path, "\x00") }

// parseFile reads a file and applies the rules about what a policy file may contain.
func parseFile(s *source) *parsed {
	p := &parsed{src: s, sum: sumOf(s)}
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
	return p
}

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

// checkImports lets through CUE's standard library, whose paths have no dot in their first element, and the schema.
func (p *parsed) checkImports(f *ast.File) {
	for spec := range f.ImportSpecs() {
		name, err := strconv.Unquote(spec.Path.Value)
		first, _, _ := strings.Cut(name, "/")
		first, _, _ = strings.Cut(first, ":")
		if err != nil || name != schema.ImportPath && (strings.ContainsAny(first, ".@") || first == "" || impure[name]) {
			p.fail(spec.Path.Pos(), "imports %s; want packages of CUE's standard library that only compute, and %q", spec.Path.Value, schema.ImportPath)
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
