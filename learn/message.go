// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
)

// Bounds of a commit message. The diff beside it shows everything.
const (
	messageRows  = 200 // changes in the table
	messageNames = 8   // callers and events of one change
	messagePath  = 200 // bytes of one path
)

// Trailers of a commit.
const (
	trailerWorkload = "Writ-Workload"
	trailerChange   = "Writ-Change" // 16 hexadecimal digits, see marks; one line for each
)

// message writes the commit message. All of it is inert: paths are escaped, and the table is indented by four, which Markdown shows as it is.
func message(p Proposal) string {
	var b strings.Builder
	name := inert(p.Workload, 60)
	fmt.Fprintf(&b, "learn: allow %s in %s\n\n", subject(p), name)
	fmt.Fprintf(&b, "Seen in workload %s, and not allowed by its policy:\n\n", name)
	fmt.Fprintf(&b, "    %8s  %-20s  %-20s  %s\n", "count", "first seen", "last seen", "program")
	for i, c := range p.Changes {
		if i == messageRows {
			fmt.Fprintf(&b, "    ... and %d more, see the diff\n", len(p.Changes)-i)
			break
		}
		row(&b, c)
	}
	fmt.Fprintf(&b, "\n%s: %s\n", trailerWorkload, name)
	for _, c := range p.Changes {
		for _, m := range c.marks() {
			fmt.Fprintf(&b, "%s: %s\n", trailerChange, m)
		}
	}
	return b.String()
}

// subject counts what is allowed: "2 programs", "1 program and 1 caller".
func subject(p Proposal) string {
	programs, callers := 0, 0
	for _, c := range p.Changes {
		if c.New {
			programs++
		} else {
			callers += len(c.Parents)
		}
	}
	var parts []string
	if programs > 0 {
		parts = append(parts, count(programs, "program"))
	}
	if callers > 0 {
		parts = append(parts, count(callers, "caller"))
	}
	return strings.Join(parts, " and ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func row(b *strings.Builder, c Change) {
	e := c.Evidence
	fmt.Fprintf(b, "    %8d  %s  %s  %s\n", e.Count, e.First.UTC().Format(time.RFC3339), e.Last.UTC().Format(time.RFC3339), inert(c.Object, messagePath))
	var names []string
	for _, p := range e.Parents {
		names = append(names, inert(string(p), messagePath))
	}
	detail(b, "from", names)
	events := "event"
	if e.Denied {
		events = "denied, event"
	}
	detail(b, events, e.Observations)
	if !c.New {
		detail(b, "rule "+c.Rule.String()+" names it for other callers; new caller", escaped(c.Parents))
	} else if len(c.Parents) > 0 {
		detail(b, "only for caller", escaped(c.Parents))
	}
}

func escaped(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = inert(p, messagePath)
	}
	return out
}

func detail(b *strings.Builder, what string, names []string) {
	if len(names) == 0 {
		return
	}
	more := ""
	if n := len(names) - messageNames; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
		names = names[:messageNames]
	}
	fmt.Fprintf(b, "    %8s  %s %s%s\n", "", what, strings.Join(names, ", "), more)
}

// marks name what a change adds, each rule or parent by itself, so that a later proposal recognises what a person took out of the branch.
func (c Change) marks() []schema.RuleID {
	fields := []string{"proposal", c.Workload, string(c.Verb), c.Object}
	if len(c.Parents) == 0 {
		return []schema.RuleID{schema.NewRuleID(fields...)}
	}
	var ids []schema.RuleID
	for _, p := range c.Parents {
		ids = append(ids, schema.NewRuleID(append(fields[:4:4], p)...))
	}
	return ids
}

var changeLine = regexp.MustCompile(`(?m)^` + trailerChange + `: ([0-9a-f]{16})\r?$`)

// proposed adds the marks that a commit message names.
func proposed(message string, marks map[string]bool) {
	for _, m := range changeLine.FindAllStringSubmatch(message, -1) {
		marks[m[1]] = true
	}
}

// branchPrefix is where learned branches live.
const branchPrefix = "writ/learn/"

// BranchName returns the branch for a workload's proposals. Bytes other than letters, digits, "_", "-" and inner dots are written as "=" and two
// hexadecimal digits, so that each workload has a branch of its own and git takes every name.
func BranchName(workload string) string {
	var b strings.Builder
	b.WriteString(branchPrefix)
	for i := range len(workload) {
		c := workload[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
		// git forbids a dot at either end, two in a row, and the ending ".lock".
		dot := c == '.' && i > 0 && i < len(workload)-1 && workload[i-1] != '.' && workload[i:] != ".lock"
		if letter || dot {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	return b.String()
}
