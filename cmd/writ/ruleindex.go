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

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// ruleIndex explains rule IDs: the rule tables of one bundle or policy, by ID. It keeps where an ID is, and reads the table when it is asked.
type ruleIndex struct {
	envelope bundle.Envelope
	tables   int
	table    func(int) (bundle.RuleTable, error)
	where    map[schema.RuleID]int  // the table that an ID is in
	withheld bundle.Withheld        // from the network
	judges   bundle.FailurePolicies // who is asked at admission
	older    *ruleIndex             // of the bundle before, whose last events may still come
}

// newRuleIndex indexes the tables of a bundle, which it keeps.
func newRuleIndex(b *bundle.Bundle) (*ruleIndex, error) {
	var paths []string
	for _, f := range b.Manifest.Files {
		if strings.HasPrefix(f.Path, bundle.RulesDir+"/") {
			paths = append(paths, f.Path)
		}
	}
	ix, err := indexTables(b.Manifest.Envelope, len(paths), func(i int) (bundle.RuleTable, error) { return b.RuleTable(paths[i]) })
	if err != nil {
		return nil, err
	}
	return ix, ix.readNotes(b)
}

// readNotes takes from a bundle what it says of its own objects.
func (ix *ruleIndex) readNotes(b *bundle.Bundle) error {
	order, err := b.Order()
	if err != nil {
		return err
	}
	ix.judges = order.FailurePolicies
	ix.withheld, err = b.Withheld()
	return err
}

// newPolicyIndex indexes a policy.
func newPolicyIndex(p *schema.Policy, env bundle.Envelope) (*ruleIndex, error) {
	tables := compiler.RuleTables(p)
	return indexTables(env, len(tables), func(i int) (bundle.RuleTable, error) { return tables[i], nil })
}

// readRuleIndex reads the tables of the bundle in a folder.
func readRuleIndex(dir string) (*ruleIndex, error) {
	b, err := bundle.Read(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return newRuleIndex(b)
}

func indexTables(env bundle.Envelope, n int, table func(int) (bundle.RuleTable, error)) (*ruleIndex, error) {
	ix := &ruleIndex{envelope: env, tables: n, table: table, where: map[schema.RuleID]int{}}
	for i := range n {
		t, err := table(i)
		if err != nil {
			return nil, err
		}
		for _, e := range t.Entries {
			if e.ID != 0 {
				ix.where[e.ID] = i
			}
		}
	}
	return ix, nil
}

// succeed makes an index answer for the one before it too, and not for those before that.
func (ix *ruleIndex) succeed(old *ruleIndex) {
	before := *old
	before.older = nil
	ix.older = &before
}

// find returns what an ID stands for, also if it stood for it only before.
func (ix *ruleIndex) find(id schema.RuleID) (explained, bool) {
	if e, ok := ix.inForce(id); ok || ix.older == nil {
		return e, ok
	}
	return ix.older.inForce(id)
}

// inForce returns what an ID stands for.
func (ix *ruleIndex) inForce(id schema.RuleID) (explained, bool) {
	i, ok := ix.where[id]
	if !ok {
		return explained{}, false
	}
	t, err := ix.table(i)
	if err != nil { // it was read before, and does not change
		return explained{}, false
	}
	for _, s := range compiler.StatedIn(&t) {
		if s.ID == id {
			return explained{Stated: s, Envelope: ix.envelope}, true
		}
	}
	return explained{}, false
}

// claim says where what an entry stands for is enforced.
func (ix *ruleIndex) claim(e *explained) {
	if held, ok := ix.withheld[e.Workload][e.Plane]; ok && e.Kind == "" {
		e.Withheld = &held
	}
	e.Enforced = compiler.ClaimsIn(compiler.Claims(e.Stated), ix.judges)
}

// all calls f for each table.
func (ix *ruleIndex) all(f func(*bundle.RuleTable)) error {
	for i := range ix.tables {
		t, err := ix.table(i)
		if err != nil {
			return err
		}
		f(&t)
	}
	return nil
}

// at returns what is stated on a line, in the order of columns; a workload itself only if nothing else is.
func (ix *ruleIndex) at(file string, line int) ([]explained, error) {
	on := func(at []schema.Pos) bool {
		return slices.ContainsFunc(at, func(p schema.Pos) bool { return p.File == file && p.Line == line })
	}
	var found, workloads []explained
	err := ix.all(func(t *bundle.RuleTable) {
		if t.Workload != "" && on(t.Pos) {
			workloads = append(workloads, explained{Stated: compiler.StatedWorkload(t), Envelope: ix.envelope})
		}
		if slices.ContainsFunc(t.Entries, func(e bundle.RuleEntry) bool { return on(e.Pos) }) {
			for _, s := range compiler.StatedIn(t) {
				if on(s.Pos) {
					found = append(found, explained{Stated: s, Envelope: ix.envelope})
				}
			}
		}
	})
	if len(found) == 0 {
		found = workloads
	}
	slices.SortStableFunc(found, func(a, b explained) int { return cmp.Or(a.At().Compare(b.At()), cmp.Compare(a.ID, b.ID)) })
	return found, err
}

// linesOf returns the lines of a file on which something is stated, sorted.
func (ix *ruleIndex) linesOf(file string) ([]int, error) {
	var lines []int
	add := func(at []schema.Pos) {
		for _, p := range at {
			if p.File == file {
				lines = append(lines, p.Line)
			}
		}
	}
	err := ix.all(func(t *bundle.RuleTable) {
		add(t.Pos)
		for _, e := range t.Entries {
			add(e.Pos)
		}
	})
	slices.Sort(lines)
	return slices.Compact(lines), err
}

// policy returns the part of the policy that verdicts follow from. The error is [compiler.ErrNoMatch] for a bundle of an older version.
func (ix *ruleIndex) policy() (*schema.Policy, error) {
	var tables []bundle.RuleTable
	if err := ix.all(func(t *bundle.RuleTable) { tables = append(tables, *t) }); err != nil {
		return nil, err
	}
	return compiler.PolicyOf(tables)
}

// explained is what an ID or a line stands for, with everything a person who is stopped wants to know.
type explained struct {
	compiler.Stated
	Envelope bundle.Envelope        `json:"envelope,omitzero"`
	Enforced []compiler.Enforcement `json:"enforced,omitempty"`   // where, and how strongly; by explain alone
	Example  *compiler.Considered   `json:"considered,omitempty"` // an event that it is about, and what else was considered; by explain alone
}

// headline says in one line what it stands for.
func (e explained) headline() string { return e.Headline() }

// where lists the positions of an entry.
func (e explained) where() string { return positions(e.Pos) }

func positions(at []schema.Pos) string {
	parts := make([]string, len(at))
	for i, p := range at {
		parts[i] = printable(p.File) + strings.TrimPrefix(p.String(), p.File)
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
	if e.Mode != "" {
		row("mode", compiler.DescribeMode(e.Mode, e.Then, e.After))
	}
	if e.Owner != "" {
		row("owner", printableText(e.Owner))
	}
	if e.Peer != nil {
		row("named", printable(e.Object))
	}
	if e.ID != 0 {
		row("rule", e.ID.String())
	}
	row("commit", e.commit())
	if e.Match != nil && (e.Kind == "" || e.Kind == bundle.KindNever) {
		row("selects", compiler.DescribeMatch(*e.Match))
	}
	for i, line := range enforcedLines(e.Enforced) {
		row(map[bool]string{true: "where"}[i == 0], line)
	}
}

// enforcedLines says where something is enforced, one line for each place, claim and reason.
func enforcedLines(all []compiler.Enforcement) []string {
	var lines []string
	for len(all) > 0 {
		first := all[0]
		var parts []string
		var rest []compiler.Enforcement
		for _, x := range all {
			same := first
			same.Part = x.Part
			if x == same {
				parts = append(parts, x.Part)
			} else {
				rest = append(rest, x)
			}
		}
		line := fmt.Sprintf("%s (%s)", first.Strength(), strings.Join(parts, ", "))
		if place := strings.Trim(first.Where+", "+first.Backend, ", "); place != "" {
			line = place + ": " + line
		}
		if first.Why != "" {
			line += ": " + first.Why
		}
		lines = append(lines, line)
		all = rest
	}
	return lines
}

// commit names the commit that is in force and its author, or "".
func (e explained) commit() string {
	if e.Envelope.Commit == "" {
		return ""
	}
	return fmt.Sprintf("%.12s by %s, %s: %s", e.Envelope.Commit, printableText(e.Envelope.Author),
		e.Envelope.Time.Format("2006-01-02 15:04 MST"), printableText(e.Envelope.Subject))
}
