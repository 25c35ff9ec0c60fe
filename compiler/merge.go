// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// mergeEntry puts together what several folders state of one entry. CUE has unified along each line of folders already: what a folder states is
// complete for the folders above it. What remains is that several folders side by side add rules to a workload of a folder above them, which
// merges as CUE would merge it.
//
// The folder highest up that speaks of an entry declares it. Below it, rules may be added to a workload that is open, and nothing else; see
// onlyAdds.
func mergeEntry(all []statement) (*statement, []Diagnostic) {
	slices.SortFunc(all, func(a, b statement) int { return strings.Compare(a.Folder, b.Folder) })
	base := &all[0]
	var errs []Diagnostic
	for i := range all[1:] {
		if s := &all[i+1]; !isWithin(s.Folder, base.Folder) {
			errs = append(errs, s.fail(s.Node.places(), "is stated in the folders %q and %q; want a name of its own, or one folder that holds both",
				base.Folder, s.Folder))
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	var merged *node
	var clashes []clash
	for i := range all {
		s := &all[i]
		if s != base {
			errs = append(errs, s.onlyAdds(base, nearestAbove(s, all))...)
		}
		below := slices.ContainsFunc(all, func(o statement) bool { return o.Folder != s.Folder && isWithin(o.Folder, s.Folder) })
		if !below {
			merged = unify(merged, s.Node, nil, &clashes)
		}
	}
	if len(errs) == 0 {
		for _, c := range clashes {
			errs = append(errs, base.clash(c))
		}
	}
	return &statement{Kind: base.Kind, Name: base.Name, Folder: base.Folder, Node: merged}, errs
}

// nearestAbove returns the statement of the nearest folder above that states the same entry. There is one for all but the first.
func nearestAbove(s *statement, all []statement) *statement {
	best := &all[0]
	for i := range all {
		if o := &all[i]; o.Folder != s.Folder && isWithin(s.Folder, o.Folder) && isWithin(o.Folder, best.Folder) {
			best = o
		}
	}
	return best
}

func (s *statement) fail(at []schema.Pos, format string, args ...any) Diagnostic {
	d := Diagnostic{Path: strings.TrimSpace(s.Kind + " " + s.Name), Msg: fmt.Sprintf(format, args...)}
	if len(at) == 0 {
		at = s.Node.places()
	}
	if len(at) > 0 {
		d.Pos = at[0]
	}
	return d
}

// clash says that two folders contradict each other.
func (s *statement) clash(c clash) Diagnostic {
	what := nameOf(append([]string{s.Kind, s.Name}, c.path...))
	if n := len(c.path); n > 1 && c.path[n-1] == "why" {
		return s.fail(c.b.places(), "%s has the reasons %s and %s in different folders; want one, see %s",
			nameOf(append([]string{s.Kind, s.Name}, c.path[:n-1]...)), c.a.show(), c.b.show(), c.a.places()[0])
	}
	return s.fail(c.b.places(), "%s is %s and %s in different folders; want one, see %s", what, c.a.show(), c.b.show(), c.a.places()[0])
}

func first(at []schema.Pos) schema.Pos {
	if len(at) == 0 {
		return schema.Pos{}
	}
	return at[0]
}

// patterns are the places of the patterns that apply to a value.
func (n *node) patterns() []schema.Pos {
	if n == nil {
		return nil
	}
	return n.Pattern
}

// statedOf is a statement as check takes it.
func statedOf(s *statement) stated {
	return stated{kind: s.Kind, name: s.Name, folder: s.Folder, partial: s.Partial, node: s.Node}
}
