// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
)

// write prints the report. For code hosts, files are named from the root of the git work tree that holds the current folder.
func (r *checkReport) write(s stdio, out outputFlag) error {
	switch out {
	case outputJSON:
		return s.json(r)
	case outputSARIF:
		return compiler.RenderSARIF(s.out, compiler.Report{Version: versionString(), Findings: r.findings()})
	case outputGitHub:
		compiler.RenderGitHubFindings(s.out, r.findings())
		return nil
	case outputJUnit:
		return r.writeJUnit(s.out)
	}
	r.writeText(s.out)
	compiler.Render(s.err, r.Problems)
	return nil
}

// writeText writes for people. Problems are no result, and so are written apart.
func (r *checkReport) writeText(w io.Writer) {
	for _, f := range r.Findings {
		f.writeText(w)
	}
	for _, o := range r.Uncovered {
		fmt.Fprintf(w, "%suncovered: no workload of the policy selects %s\n", at(schema.Pos{File: o.File, Line: o.Line}), printableText(o.String()))
	}
	skipped := 0
	for _, n := range r.Skipped {
		skipped += n
	}
	fmt.Fprintf(w, "%s, %d judged", plural(r.Objects, "object"), r.Judged)
	if skipped > 0 {
		fmt.Fprintf(w, ", %d of kinds that make no Pods (%s)", skipped, kindsOf(r.Skipped))
	}
	fmt.Fprintf(w, ": %d denied, %d warned of, %d recorded, %d uncovered\n", r.Denied, r.Warned, r.Noted, len(r.Uncovered))
}

// kindsOf lists the kinds that occur most.
func kindsOf(count map[string]int) string {
	const most = 5
	kinds := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, kind := range kinds[:min(most, len(kinds))] {
		parts = append(parts, fmt.Sprintf("%d %s", count[kind], printable(kind)))
	}
	if len(kinds) > most {
		parts = append(parts, fmt.Sprintf("%d more kinds", len(kinds)-most))
	}
	return strings.Join(parts, ", ")
}

// at is a position as the beginning of a line.
func at(p schema.Pos) string {
	switch {
	case p.File == "":
		return ""
	case p.Line == 0:
		return printable(p.File) + ": "
	case p.Col == 0:
		return fmt.Sprintf("%s:%d: ", printable(p.File), p.Line)
	}
	return positions([]schema.Pos{p}) + ": "
}

func (f *checkFinding) writeText(w io.Writer) {
	kind := map[compiler.Level]string{compiler.LevelWarning: "warning: ", compiler.LevelNote: "note: "}[f.level()]
	fmt.Fprint(w, kind)
	compiler.Render(w, []compiler.Diagnostic{{Pos: f.Pos, Path: f.Object.String(), Msg: f.what, Source: f.Source}})
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "    %-7s %s\n", name, value)
		}
	}
	row("rule", strings.TrimSpace(f.by()+" "+strings.TrimSuffix(at(f.statedAt()), ": ")))
	if f.Why != "" {
		row("why", printableText(f.Why))
	}
	if f.Owner != "" {
		row("owner", printableText(f.Owner))
	}
	if f.Change != "" {
		row("change", printableText(f.Change))
	}
}

// by names what decides: "workload shop-web (0123456789abcdef)".
func (f *checkFinding) by() string {
	name := ""
	switch {
	case f.Bound != "":
		name = "bound " + printable(f.Bound)
	case f.Workload != "":
		name = "workload " + printable(f.Workload)
	}
	if f.Rule != 0 {
		name += " (" + f.Rule.String() + ")"
	}
	return strings.TrimSpace(name)
}

// statedAt is where the rule is stated first.
func (f *checkFinding) statedAt() schema.Pos {
	if len(f.Stated) == 0 {
		return schema.Pos{}
	}
	return f.Stated[0]
}

// told is the whole of a finding in words, for forms that have no rows. The names of files of policy are as the policy repository has them.
func (f *checkFinding) told() string {
	text := f.Msg
	if p := f.statedAt(); p.File != "" && !strings.Contains(text, p.File) {
		text += "; stated at " + strings.TrimSuffix(at(p), ": ")
	}
	if f.Why != "" && !strings.Contains(text, f.Why) {
		text += "; why: " + f.Why
	}
	return text
}

// findings are what code hosts show: what the policy says, then what is wrong with the input.
func (r *checkReport) findings() []compiler.Finding {
	var all []compiler.Finding
	host := newHostPaths(r.root)
	for _, f := range r.Findings {
		d := compiler.Diagnostic{Pos: host.of(f.Pos), Path: f.Object.String(), Msg: f.told(), Source: f.Source}
		by := f.statedAt()
		if by.File != "" {
			by.File, by.Col = path.Join(host.policy, by.File), 0 // its line is not at hand, and so no column in UTF-16
		}
		all = append(all, compiler.Finding{Diagnostic: d, Level: f.level(), Rule: compiler.RulePrefix + f.Field, By: by})
	}
	for _, p := range r.Problems {
		p.Pos = host.of(p.Pos)
		all = append(all, compiler.Finding{Diagnostic: p, Level: compiler.LevelError, Rule: compiler.RuleManifest})
	}
	return all
}

// hostPaths names files as a code host does: from the root of the git work tree.
type hostPaths struct {
	dir    string // the current folder
	here   string // the way from the root of the work tree to it
	policy string // the way from the root of its work tree to the policy repository
}

func newHostPaths(policyRoot string) hostPaths {
	dir, err := filepath.Abs(".")
	if err != nil {
		return hostPaths{policy: workTreePrefix(policyRoot)}
	}
	return hostPaths{dir, workTreePrefix(dir), workTreePrefix(policyRoot)}
}

func (h hostPaths) of(p schema.Pos) schema.Pos {
	if p.File == "" || p.File == "stdin" {
		return p
	}
	if filepath.IsAbs(p.File) {
		if rel, err := filepath.Rel(h.dir, p.File); err == nil {
			p.File = filepath.ToSlash(rel)
		}
	}
	p.File = path.Join(h.here, p.File)
	return p
}

// writeJUnit writes a case for each object that was judged, and one for each problem of the input.
func (r *checkReport) writeJUnit(w io.Writer) error {
	s := junitSuite{Name: "writ check", Tests: len(r.judged) + len(r.Problems), Failures: r.Denied, Errors: len(r.Problems)}
	of := map[*checkObject][]*checkFinding{}
	for i := range r.Findings {
		f := &r.Findings[i]
		of[f.object] = append(of[f.object], f)
	}
	for _, o := range r.judged {
		s.Cases = append(s.Cases, newCheckCase(o.ref(), of[o]))
	}
	for _, p := range r.Problems {
		file := printableText(p.Pos.File)
		var text bytes.Buffer
		compiler.Render(&text, []compiler.Diagnostic{p})
		s.Cases = append(s.Cases, junitCase{Name: printableText(strings.TrimSpace(p.Path + " input")), Class: file, File: file, Line: p.Pos.Line,
			Error: &junitFailure{Type: compiler.RuleManifest, Message: printableText(p.Msg), Text: strings.TrimSpace(text.String())}})
	}
	return s.write(w)
}

// newCheckCase makes a case of an object. It fails if the object is denied; else what is found stands in its output.
func newCheckCase(ref objectRef, found []*checkFinding) junitCase {
	file := printableText(ref.File)
	c := junitCase{Name: printableText(ref.String()), Class: file, File: file, Line: ref.Line}
	var text bytes.Buffer
	message := ""
	for _, f := range found {
		f.writeText(&text)
		if message == "" && f.level() == compiler.LevelError {
			message = f.what
		}
	}
	switch told := strings.TrimSpace(text.String()); {
	case message != "":
		c.Failure = &junitFailure{Type: "admission", Message: printableText(message), Text: told}
	default:
		c.Output = told
	}
	return c
}
