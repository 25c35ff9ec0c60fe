// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// literalTree is a policy that is evaluated and lowered, and not checked yet.
type literalTree struct {
	p       *schema.Policy
	g       *gathered
	stated  map[string]stated // by entryKey
	heads   []*head
	errs    []Diagnostic // of what comes before the check
	silence []silence
	bare    bool // positions are not known
}

func readLiteral(t testing.TB, files []File) *literalTree {
	t.Helper()
	r := &run{Compiler: New(Config{Parallel: 1}), tree: Tree{Files: files}, parsed: map[*source]*parsed{}}
	defer r.evaluators.close()
	folders, errs := load(r.tree)
	r.errs = errs
	units, err := r.units(context.Background(), folders)
	if err != nil {
		t.Fatal(err)
	}
	g, err := r.gather(units)
	if err != nil {
		t.Fatal(err)
	}
	l := &literalTree{g: g, stated: map[string]stated{}}
	for key, s := range g.stated {
		l.stated[key] = statedOf(s)
	}
	statements := g.partials
	for _, gr := range g.groups {
		of, err := r.statements(context.Background(), gr)
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, of...)
	}
	p := *g.scope.policy
	for _, s := range statements {
		p.Workloads = append(p.Workloads, *lowerWorkload(s, g.scope))
		l.stated[s.key()] = statedOf(s)
		l.heads = append(l.heads, g.scope.workloads[s.Name])
	}
	slices.SortFunc(p.Workloads, func(a, b schema.Workload) int { return compareStrings(a.Name, b.Name) })
	slices.SortFunc(l.heads, func(a, b *head) int { return compareStrings(a.name, b.name) })
	for _, u := range units {
		l.silence = append(l.silence, u.head.Silences...)
	}
	l.p, l.errs = &p, r.errs
	return l
}

func (l *literalTree) policy() *schema.Policy { return l.p }

func (l *literalTree) of(kind, name string) stated {
	s, ok := l.stated[entryKey(kind, name)]
	if !ok {
		return stated{kind: kind, name: name, folder: "."}
	}
	if l.bare {
		s.node = nil
	}
	return s
}

// check checks everything, as Compile does, but goes on with warnings where there are errors.
func (l *literalTree) check() (errs, warnings []Diagnostic) {
	errs = slices.Clone(l.errs)
	add := func(es, ws []Diagnostic) { errs, warnings = append(errs, es...), append(warnings, ws...) }
	for i := range l.p.Workloads {
		add(checkWorkload(l.of(workloadKind, l.p.Workloads[i].Name), &l.p.Workloads[i], l.g.scope))
	}
	add(checkKinds(l.p, l.of, l.g.scope))
	add(overlapping(l.heads))
	add(delegation(l.heads, l.p, l.of), nil)
	c := cost(l.p)
	add(overBudget(l.p.Budget, l.of("budget", ""), c.NodeEntries, c.NodeBytes, 0, 0), nil)
	left, _ := silenced(warnings, l.silence)
	return sortDiagnostics(errs), sortDiagnostics(left)
}

// checkText checks one file.
func checkText(t testing.TB, text string) (errs, warnings []Diagnostic) {
	t.Helper()
	return readLiteral(t, []File{{Path: "a.cue", Data: []byte("package policy\n" + text)}}).check()
}

func lines(ds []Diagnostic) string {
	var b strings.Builder
	for _, d := range ds {
		b.WriteString(d.String() + "\n")
	}
	return b.String()
}
