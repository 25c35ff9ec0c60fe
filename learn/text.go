// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"

	"github.com/writ-sec/writ/schema"
)

// Bounds of what a reason shows, so that a path of 4,095 bytes does not bury the rule.
const (
	whyParents     = 2  // callers that are named
	whyParentBytes = 80 // of each
)

// Bounds of what a finding shows of the policy, in bytes.
const (
	nameBytes = 100
	posBytes  = 300
)

// why is the reason of a learned rule: "seen 12 times, from /usr/bin/dash".
func why(e Evidence) string {
	var b strings.Builder
	verb := "seen"
	if e.Denied {
		verb = "denied"
	}
	if e.Count == 1 {
		fmt.Fprintf(&b, "%s once", verb)
	} else {
		fmt.Fprintf(&b, "%s %d times", verb, e.Count)
	}
	for i, p := range e.Parents {
		switch {
		case i == 0:
			b.WriteString(", from ")
		case i == whyParents:
			fmt.Fprintf(&b, " and %d more", len(e.Parents)-i)
			return b.String()
		default:
			b.WriteString(", ")
		}
		b.WriteString(plain(string(p), whyParentBytes))
	}
	return b.String()
}

// plain shows untrusted bytes in one line of at most roughly limit bytes, without anything that a terminal or an editor acts on:
// control characters, invisible ones and those that change the direction of writing are escaped as Go writes them.
func plain(s string, limit int) string {
	var b strings.Builder
	for rest := s; rest != ""; {
		r, width := utf8.DecodeRuneInString(rest)
		if b.Len() >= limit {
			fmt.Fprintf(&b, "...(%d bytes)", len(s))
			break
		}
		switch {
		case r == utf8.RuneError && width == 1:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		case r == '\\' || !strconv.IsPrint(r):
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteRune(r)
		}
		rest = rest[width:]
	}
	return b.String()
}

// inert is plain for texts that a code host renders: what Markdown, HTML, mentions (@), references (#) and closing keywords need is escaped
// too, the space among it.
func inert(s string, limit int) string {
	const plainASCII = "/.-_+:,=%"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if b.Len() >= limit {
			fmt.Fprintf(&b, "...(%d bytes)", len(s))
			break
		}
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(plainASCII, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}

// quote writes a string as CUE does. Control, invisible and direction-changing characters come out as escapes.
func quote(s string) string { return literal.String.Quote(s) }

// label writes a field's name, quoted only where CUE needs it.
func label(s string) string {
	if ast.StringLabelNeedsQuoting(s) {
		return quote(s)
	}
	return s
}

// maxLine is the width in bytes beyond which a rule is written over several lines.
const maxLine = 130

// item is a field that is to be inserted into a struct: as one line, and as several if that is better to read.
type item struct {
	key   string
	one   string
	lines []string // with "\t" for each level of indentation; nil: one line is right
}

// ruleItem writes a new exec rule.
func ruleItem(c Change) item {
	it := item{key: c.Object}
	var fields []string
	if c.Why != "" {
		fields = append(fields, "why: "+quote(c.Why))
	}
	if len(c.Parents) > 0 {
		fields = append(fields, "parent: "+structOf(parentItems(c.Parents)))
	}
	head := quote(c.Object) + ": "
	it.one = head + "{" + strings.Join(fields, ", ") + "}"
	if len(it.one) <= maxLine || len(c.Parents) == 0 {
		return it
	}
	it.lines = []string{head + "{", "\twhy: " + quote(c.Why), "\tparent: {"}
	for _, p := range c.Parents {
		it.lines = append(it.lines, "\t\t"+quote(p)+": {}")
	}
	it.lines = append(it.lines, "\t}", "}")
	return it
}

func parentItems(parents []string) []item {
	items := make([]item, len(parents))
	for i, p := range parents {
		items[i] = item{key: p, one: quote(p) + ": {}"}
	}
	return items
}

// structOf writes items as one struct on one line; a single one without braces.
func structOf(items []item) string {
	if len(items) == 1 {
		return items[0].one
	}
	ones := make([]string, len(items))
	for i, it := range items {
		ones[i] = it.one
	}
	return "{" + strings.Join(ones, ", ") + "}"
}

// statement writes items below a path of fields, from the top of a file.
func statement(path []string, items []item) item {
	var b strings.Builder
	for _, p := range path {
		b.WriteString(label(p) + ": ")
	}
	it := item{key: path[0], one: b.String() + structOf(items)}
	if len(items) == 1 && items[0].lines == nil {
		return it
	}
	it.lines = []string{b.String() + "{"}
	for _, sub := range items {
		for _, line := range sub.text() {
			it.lines = append(it.lines, "\t"+line)
		}
	}
	it.lines = append(it.lines, "}")
	return it
}

// text returns the lines of an item.
func (it item) text() []string {
	if it.lines != nil {
		return it.lines
	}
	return []string{it.one}
}

// execPath is where a workload states its programs.
func execPath(workload string) []string {
	return []string{"workload", workload, string(schema.PlaneExec)}
}
