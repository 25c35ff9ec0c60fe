// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"fmt"
	"maps"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/scanner"
	"cuelang.org/go/cue/token"

	"github.com/writ-sec/writ/schema"
)

// maxFormats bounds how often a file is formatted until it stays as it is. Alignment follows order and comments settle, which takes two.
const maxFormats = 8

// Format returns a policy file in its canonical form: that of CUE's formatter, and the keys of rule maps sorted. What has been formatted stays
// as it is when it is formatted again, and means the same.
//
// The keys of exec, file.read, file.write and all other maps of rules (see sortedMaps) in the struct literals of workloads, bounds, exceptions
// and folders are sorted by their bytes, embedded sets such as policies.libc come first. A comment above or beside a rule stays with it. A
// blank line, or a comment with a blank line below, ends a group; nothing moves from one group to another. A group that has something
// else in it (a comprehension, a pattern, an alias, a dynamic key) stays as it is, and so does a file that iterates over a struct,
// because there the order of fields can be seen.
//
// file is the path for messages. The error is [Errors] when the file does not parse.
func Format(file string, data []byte) ([]byte, error) {
	f, ds := parseToFormat(file, data)
	if len(ds) > 0 {
		return nil, Errors(sortDiagnostics(ds))
	}
	if len(f.Decls) == 0 && len(ast.Comments(f)) == 0 {
		return nil, nil
	}
	for range maxFormats {
		next, err := formatOnce(f, data)
		if err != nil {
			return nil, fmt.Errorf("format %s: %w", file, err)
		}
		if bytes.Equal(next, data) {
			break
		}
		data = next
		if f, err = parser.ParseFile(file, data, parser.ParseComments); err != nil {
			return nil, fmt.Errorf("format %s: the formatted file does not parse: %w", file, err)
		}
	}
	return data, nil
}

// formatOnce sorts the rules, then formats. In this order, because CUE's formatter can add a blank line, which would end a group.
func formatOnce(f *ast.File, data []byte) ([]byte, error) {
	sorted, err := sortRules(f, data)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(sorted, data) {
		if f, err = parser.ParseFile("", sorted, parser.ParseComments); err != nil {
			return nil, fmt.Errorf("the sorted file does not parse: %w", err)
		}
	}
	return format.Node(f)
}

// parseToFormat parses a file under the bounds that a policy file has, but for those of what it may contain.
func parseToFormat(file string, data []byte) (*ast.File, []Diagnostic) {
	if len(data) > MaxFile {
		return nil, []Diagnostic{{Pos: schema.Pos{File: file}, Msg: fmt.Sprintf("has more than %d bytes; want a smaller file: split the policy over several", MaxFile)}}
	}
	if i := invalidUTF8(data); i < len(data) {
		line, col := place(data, i)
		return nil, withSource([]Diagnostic{{Pos: schema.Pos{File: file, Line: line, Col: col}, Msg: "is not UTF-8; want UTF-8 text"}}, data)
	}
	p := &parsed{src: &source{path: file, data: data}}
	if p.checkNesting(); len(p.errs) > 0 {
		return nil, withSource(p.errs, data)
	}
	f, err := parser.ParseFile(file, data, parser.AllErrors, parser.ParseComments)
	for _, e := range errors.Errors(err) {
		format, args := e.Msg()
		p.fail(e.Position(), "syntax: "+format, args...)
	}
	if err == nil && depth(f) > maxDepth {
		p.fail(f.Pos(), "is nested deeper than %d levels; want a flatter file", maxDepth)
	}
	return f, withSource(p.errs, data)
}

// withSource adds the line that each diagnostic is about.
func withSource(ds []Diagnostic, data []byte) []Diagnostic {
	lines := bytes.Split(data, []byte("\n"))
	for i, d := range ds {
		if d.Pos.Line > 0 && d.Pos.Line <= len(lines) {
			ds[i].Source = string(bytes.TrimSuffix(lines[d.Pos.Line-1], []byte("\r")))
		}
	}
	return ds
}

// sortRules sorts the rule maps of a file. Maps within maps are sorted after those around them, which moves them.
func sortRules(f *ast.File, data []byte) ([]byte, error) {
	if iterates(f) {
		return data, nil
	}
	sorted := data
	for level := range mapLevels {
		found := ruleMaps{level: level}
		found.decls(f.Decls, sortedMaps, 0)
		next := permute(sorted, found.at)
		if bytes.Equal(next, sorted) {
			continue
		}
		sorted = next
		var err error
		if f, err = parser.ParseFile("", sorted, parser.ParseComments); err != nil {
			return nil, fmt.Errorf("the sorted file does not parse: %w", err)
		}
	}
	if !bytes.Equal(sorted, data) && !maps.Equal(tokens(sorted), tokens(data)) {
		return data, nil // something would be lost: rather leave it unsorted. No input is known that comes here
	}
	return sorted, nil
}

// iterates reports whether the file has a "for" over anything but a list that is written out.
func iterates(f *ast.File) bool {
	found := false
	ast.Walk(f, func(n ast.Node) bool {
		if c, ok := n.(*ast.ForClause); ok {
			if _, list := c.Source.(*ast.ListLit); !list {
				found = true
			}
		}
		return !found
	}, nil)
	return found
}

// tokens counts the tokens and comments of a file, but for commas, which are the formatter's.
func tokens(data []byte) map[string]int {
	counts := map[string]int{}
	var s scanner.Scanner
	s.Init(token.NewFile("", -1, len(data)), data, nil, scanner.ScanComments)
	for {
		_, tok, lit := s.Scan()
		switch tok {
		case token.EOF:
			return counts
		case token.COMMA:
			continue
		}
		counts[tok.String()+"\x00"+lit]++
	}
}
