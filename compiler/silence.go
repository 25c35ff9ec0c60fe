// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/scanner"
	"cuelang.org/go/cue/token"

	"github.com/writ-sec/writ/schema"
)

// silenceAttribute is the name of the attribute that silences warnings: @writ(W012, why="…").
const silenceAttribute = "writ"

// silence is a wish not to be warned: of a code, in the lines of one field.
type silence struct {
	Code, Why string
	Pos       schema.Pos // of the attribute
	From, To  int        // the lines of the field
}

func (s *silence) covers(d *Diagnostic) bool {
	return d.Code == s.Code && d.Pos.File == s.Pos.File && d.Pos.Line >= s.From && d.Pos.Line <= s.To
}

// silences reads the attributes @writ of a file. An attribute counts for the field that it stands behind: for warnings at its line, and
// at the lines of its value.
func silences(f *ast.File) (list []silence, errs []Diagnostic) {
	ofField := map[*ast.Attribute]bool{}
	ast.Walk(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, a := range n.Attrs {
				ofField[a] = true
				if !isSilence(a) {
					continue
				}
				found, err := readSilence(a)
				if err != nil {
					errs = append(errs, Diagnostic{Pos: schemaPos(a.Pos()), Msg: fmt.Sprintf("attribute %.200s %v", a.Text, err)})
					continue
				}
				for i := range found {
					found[i].From, found[i].To = n.Pos().Line(), n.End().Line()
				}
				list = append(list, found...)
			}
		case *ast.Attribute:
			if !ofField[n] && isSilence(n) {
				errs = append(errs, Diagnostic{Pos: schemaPos(n.Pos()), Msg: fmt.Sprintf("attribute %.200s stands by itself; want it behind a field, on the same line", n.Text)})
			}
		}
		return true
	}, nil)
	return list, errs
}

func isSilence(a *ast.Attribute) bool {
	return a.Name() == silenceAttribute || a.Text == "@"+silenceAttribute
}

// readSilence reads one attribute: codes, and why.
func readSilence(a *ast.Attribute) ([]silence, error) {
	_, body := a.Split()
	args, err := splitArguments(body)
	if err != nil {
		return nil, err
	}
	var found []silence
	why, stated := "", false
	for _, arg := range args {
		name, value, named := strings.Cut(arg, "=")
		switch name = strings.TrimSpace(name); {
		case named && name == "why" && !stated:
			if why, err = literal.Unquote(strings.TrimSpace(value)); err != nil {
				return nil, errors.New("has a reason that is no string; want such as why=\"the tool reads it once\"")
			}
			stated = true
		case named:
			return nil, fmt.Errorf("has the argument %.50q; want codes and one why", name)
		case codes[name] == "":
			return nil, fmt.Errorf("names %.50q, which is no code of a warning%s", name, nearCode(name))
		default:
			found = append(found, silence{Code: name, Pos: schemaPos(a.Pos())})
		}
	}
	switch {
	case len(found) == 0:
		return nil, errors.New("names no code; want such as @writ(W003, why=\"…\")")
	case strings.TrimSpace(why) == "":
		return nil, errors.New("gives no reason; want why=\"…\" in it")
	case len(why) > maxReason:
		return nil, fmt.Errorf("has a reason of %d bytes; want at most %d", len(why), maxReason)
	}
	for i := range found {
		found[i].Why = why
	}
	return found, nil
}

// nearCode helps those who misspelt a code.
func nearCode(name string) string {
	if upper := strings.ToUpper(name); codes[upper] != "" {
		return fmt.Sprintf("; did you mean %q?", upper)
	}
	return "; want such as \"W003\", as it stands at the end of the warning"
}

// splitArguments splits the body of an attribute at commas outside of strings.
func splitArguments(body string) ([]string, error) {
	var s scanner.Scanner
	broken := false
	file := token.NewFile("", -1, len(body))
	s.Init(file, []byte(body), func(token.Pos, string, []any) { broken = true }, 0)
	var args []string
	start := 0
	for {
		pos, tok, text := s.Scan()
		switch {
		case broken || tok == token.ILLEGAL || tok == token.INTERPOLATION:
			return nil, errors.New("cannot be read; want such as @writ(W003, why=\"…\")")
		case tok == token.EOF:
			args = append(args, body[start:])
			for i := range args {
				args[i] = strings.TrimSpace(args[i])
			}
			return slices.DeleteFunc(args, func(s string) bool { return s == "" }), nil
		case tok == token.COMMA && text == ",":
			args = append(args, body[start:pos.Offset()])
			start = pos.Offset() + 1
		}
	}
}

// silenced takes away the warnings that are silenced, and adds one for each silence without a warning: what it was for is gone, or it
// stands at the wrong line.
func silenced(ws []Diagnostic, all []silence) (left []Diagnostic, answered []Silenced) {
	used := make([]bool, len(all))
	byFile := map[string][]int{}
	for i := range all {
		byFile[all[i].Pos.File] = append(byFile[all[i].Pos.File], i)
	}
	for i := range ws {
		by := -1
		for _, n := range byFile[ws[i].Pos.File] {
			if all[n].covers(&ws[i]) {
				by, used[n] = n, true
			}
		}
		if by < 0 {
			left = append(left, ws[i])
		} else {
			answered = append(answered, Silenced{Diagnostic: ws[i], Why: all[by].Why})
		}
	}
	for i, s := range all {
		if !used[i] && s.Code != codePast && s.Code != codeNear { // whether there are such warnings depends on the clock
			left = append(left, Diagnostic{Pos: s.Pos, Code: codeSilence, Msg: fmt.Sprintf("@writ(%s) silences nothing: there is no such warning in lines %d to %d; want it removed", s.Code, s.From, s.To)})
		}
	}
	return left, answered
}
