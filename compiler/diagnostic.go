// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/writ-sec/writ/schema"
)

// Diagnostic is one thing that is wrong, or doubtful, at a place in the policy repository.
type Diagnostic struct {
	Pos    schema.Pos `json:"pos"`              // Line 0: the file as a whole; File "": the repository as a whole
	Path   string     `json:"path,omitempty"`   // what is spoken of, such as "workload payments"
	Msg    string     `json:"msg"`              // what is wrong, with the value, then what was expected
	Hint   string     `json:"hint,omitempty"`   // one thing to do
	Code   string     `json:"code,omitempty"`   // of a warning: "W001" and so on, never reused for another meaning
	Source string     `json:"source,omitempty"` // the line at Pos, without its newline
}

// String returns "file:line:col: path: what is wrong", in one line fit for a terminal: what cannot be printed is escaped as Go does.
// A warning has its code at the end.
func (d Diagnostic) String() string {
	var b strings.Builder
	switch {
	case d.Pos.Line > 0:
		b.WriteString(d.Pos.String() + ": ")
	case d.Pos.File != "":
		b.WriteString(d.Pos.File + ": ")
	}
	if d.Path != "" {
		b.WriteString(d.Path + ": ")
	}
	b.WriteString(d.Msg)
	if d.Code != "" {
		b.WriteString(" (" + d.Code + ")")
	}
	return escape(b.String())
}

// escape writes what is no printable character as an escape sequence of Go. File names, and values in CUE's own words, are as their
// author wrote them.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRune(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

func compareDiagnostics(a, b Diagnostic) int {
	return cmp.Or(a.Pos.Compare(b.Pos), strings.Compare(a.Path, b.Path), strings.Compare(a.Msg, b.Msg), strings.Compare(a.Code, b.Code))
}

// sortDiagnostics sorts by position and drops repetitions.
func sortDiagnostics(ds []Diagnostic) []Diagnostic {
	slices.SortFunc(ds, compareDiagnostics)
	return slices.CompactFunc(ds, func(a, b Diagnostic) bool { return compareDiagnostics(a, b) == 0 })
}

// Errors is everything that is wrong with a policy, sorted by position. It is never empty.
type Errors []Diagnostic

// Error returns one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, d := range e {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// Render writes diagnostics for a person: each with its line of source, a caret below the column, and its hint.
// Errors of w are not reported; w is a terminal or a buffer.
func Render(w io.Writer, ds []Diagnostic) {
	for _, d := range ds {
		kind := ""
		if d.Code != "" {
			kind = "warning: "
		}
		fmt.Fprintf(w, "%s%s\n", kind, d)
		if d.Source != "" && d.Pos.Col > 0 {
			line, pad := excerpt(d.Source, d.Pos.Col)
			fmt.Fprintf(w, "    %s\n    %s^\n", line, pad)
		}
		if d.Hint != "" {
			fmt.Fprintf(w, "    hint: %s\n", escape(d.Hint))
		}
	}
}

// maxExcerpt bounds a printed source line in bytes: a terminal line, roughly.
const maxExcerpt = 160

// excerpt returns a source line fit for a terminal, with a dot for each character that is not printable: a control sequence could rewrite
// the screen, and an override of the direction of text show other source than is there. It returns too the white space that stands below everything before the column.
func excerpt(source string, col int) (line, pad string) {
	before := min(col-1, len(source))
	start, end := 0, len(source)
	if end > maxExcerpt {
		start = max(0, before-maxExcerpt/2)
		end = min(len(source), start+maxExcerpt)
	}
	for start > 0 && !utf8.RuneStart(source[start]) {
		start--
	}
	for end < len(source) && !utf8.RuneStart(source[end]) {
		end++
	}
	printable := func(s string) string {
		return strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) && r != '\t' {
				return '·'
			}
			return r
		}, s)
	}
	pad = strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, source[start:before])
	return printable(source[start:end]), pad
}
