// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// ruleIndex explains rule IDs: the rule tables of one bundle, by ID.
type ruleIndex struct {
	envelope bundle.Envelope
	entries  map[schema.RuleID]explained
	older    map[schema.RuleID]explained // of the bundle before, whose last events may still come
}

// find returns what an ID stands for.
func (ix *ruleIndex) find(id schema.RuleID) (explained, bool) {
	if e, ok := ix.entries[id]; ok {
		return e, true
	}
	e, ok := ix.older[id]
	return e, ok
}

// explained is what an ID stands for, with everything a person who is stopped wants to know.
type explained struct {
	Workload string          `json:"workload"`
	Owner    string          `json:"owner,omitempty"`
	Mode     schema.Mode     `json:"mode,omitempty"` // of the plane in this workload
	Envelope bundle.Envelope `json:"envelope,omitzero"`
	bundle.RuleEntry
}

func newRuleIndex(b *bundle.Bundle) (*ruleIndex, error) {
	tables, err := b.RuleTables()
	if err != nil {
		return nil, err
	}
	ix := &ruleIndex{envelope: b.Manifest.Envelope, entries: map[schema.RuleID]explained{}}
	for _, t := range tables {
		modes := map[schema.Plane]schema.Mode{}
		for _, e := range t.Entries {
			if e.Verb == "" {
				modes[e.Plane] = e.Mode
			}
		}
		for _, e := range t.Entries {
			ix.entries[e.ID] = explained{t.Workload, t.Owner, modes[e.Plane], ix.envelope, e}
		}
	}
	return ix, nil
}

// readRuleIndex reads the tables of the bundle in a folder.
func readRuleIndex(dir string) (*ruleIndex, error) {
	b, err := bundle.Read(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return newRuleIndex(b)
}

// at returns what is stated on a line, in the order of columns.
func (ix *ruleIndex) at(file string, line int) []explained {
	var found []explained
	for _, e := range ix.entries {
		if slices.ContainsFunc(e.Pos, func(p schema.Pos) bool { return p.File == file && p.Line == line }) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b explained) int { return cmp.Or(a.Pos[0].Compare(b.Pos[0]), cmp.Compare(a.ID, b.ID)) })
	return found
}

// linesOf returns the lines of a file on which something is stated, sorted.
func (ix *ruleIndex) linesOf(file string) []int {
	var lines []int
	for _, e := range ix.entries {
		for _, p := range e.Pos {
			if p.File == file {
				lines = append(lines, p.Line)
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// headline says in one line what the ID stands for.
func (e explained) headline() string {
	if e.Verb == "" {
		return fmt.Sprintf("workload %s closes %s: what no rule names is %s", e.Workload, e.Plane, consequence(e.Mode))
	}
	s := fmt.Sprintf("workload %s may %s %s", e.Workload, e.Verb, printable(e.Object))
	if len(e.Parents) > 0 {
		s += ", started by " + printable(strings.Join(e.Parents, " or "))
	}
	return s
}

func consequence(m schema.Mode) string {
	switch m {
	case schema.ModeLearn:
		return "allowed and learned"
	case schema.ModeAudit:
		return "allowed and reported"
	}
	return "denied"
}

// where lists the positions of an entry.
func (e explained) where() string {
	parts := make([]string, len(e.Pos))
	for i, p := range e.Pos {
		parts[i] = p.String()
	}
	return strings.Join(parts, ", ")
}

// print writes the entry for a person.
func (e explained) print(w io.Writer) {
	fmt.Fprintln(w, e.headline())
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-7s %s\n", name, value)
		}
	}
	row("stated", e.where())
	if e.Why != "" {
		row("why", printableText(e.Why))
	}
	row("mode", string(e.Mode))
	if e.Owner != "" {
		row("owner", printableText(e.Owner))
	}
	row("rule", e.ID.String())
	row("commit", e.commit())
}

// commit names the commit that is in force and its author, or "".
func (e explained) commit() string {
	if e.Envelope.Commit == "" {
		return ""
	}
	return fmt.Sprintf("%.12s by %s, %s: %s", e.Envelope.Commit, printableText(e.Envelope.Author),
		e.Envelope.Time.Format("2006-01-02 15:04 MST"), printableText(e.Envelope.Subject))
}
