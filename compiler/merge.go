// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// merge puts together what the folders say of each workload, sorted by name. CUE has unified along each line of folders already: what a
// folder says is complete for the folders above it. What remains is that several folders side by side add rules to a workload of a folder
// above them, which merges as CUE would merge it.
//
// Workloads that are not valid somewhere, or named where nothing could be read, are left out; what is known of the former is returned as
// partial.
func merge(units []*unit) (merged, partial []*statement, errs []Diagnostic) {
	byName := map[string][]*statement{}
	broken, whole := map[string]bool{}, true
	for _, u := range units {
		if u.stated == nil {
			whole = false
			maps.Copy(broken, u.named)
		}
		for name, s := range u.stated {
			byName[name] = append(byName[name], s)
			if s.partial {
				broken[name] = true
				partial = append(partial, s)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		if broken[name] {
			continue
		}
		s, ds := mergeFolders(byName[name])
		if s == nil && !whole {
			continue // the folder that states it may be one that could not be read
		}
		errs = append(errs, ds...)
		if s != nil && len(ds) == 0 {
			merged = append(merged, s)
		}
	}
	return merged, partial, errs
}

// mergeFolders merges the statements of one workload.
func mergeFolders(all []*statement) (*statement, []Diagnostic) {
	slices.SortFunc(all, func(a, b *statement) int { return strings.Compare(a.folder, b.folder) })
	base := all[0]
	var errs []Diagnostic
	for _, s := range all[1:] {
		if !isWithin(s.folder, base.folder) {
			errs = append(errs, s.fail(s.pos, "is stated in the folders %q and %q; want a name of its own, or one folder that holds both",
				base.folder, s.folder))
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	var lowest []*statement // those below which no folder speaks of the workload
	for _, s := range all {
		errs = append(errs, s.onlyAdds(base)...)
		if !slices.ContainsFunc(all, func(o *statement) bool { return o != s && isWithin(o.folder, s.folder) }) {
			lowest = append(lowest, s)
		}
	}
	if len(lowest) == 1 && lowest[0] == base {
		return base, errs // the very pointer: what follows from it may be in memory
	}
	merged := *lowest[0]
	merged.folder = base.folder
	if len(lowest) > 1 {
		merged.planes = map[schema.Plane]*statedPlane{}
		for _, s := range lowest {
			errs = append(errs, merged.unify(s)...)
		}
	}
	return &merged, errs
}

func (s *statement) fail(at []schema.Pos, format string, args ...any) Diagnostic {
	d := Diagnostic{Path: "workload " + s.name, Msg: fmt.Sprintf(format, args...)}
	if len(at) > 0 {
		d.Pos = at[0]
	} else if len(s.pos) > 0 {
		d.Pos = s.pos[0]
	}
	return d
}

// onlyAdds reports what a folder below changes about a workload other than its rules.
func (s *statement) onlyAdds(base *statement) []Diagnostic {
	var errs []Diagnostic
	report := func(field string, same bool) {
		if same {
			return
		}
		// The place in the lower folder is the one to change.
		at := slices.DeleteFunc(slices.Clone(s.at[field]), func(p schema.Pos) bool { return slices.Contains(base.at[field], p) })
		errs = append(errs, s.fail(at, "%s is changed in folder %q; want it in folder %q, which states the workload: below it only rules are added",
			field, s.folder, base.folder))
	}
	report("match", s.match.Namespace == base.match.Namespace && s.match.Cgroup == base.match.Cgroup && maps.Equal(s.match.Labels, base.match.Labels))
	report("mode", s.word == base.word && maps.Equal(s.modes, base.modes))
	report("owner", s.owner == base.owner)
	report("shared", s.shared == base.shared)
	return errs
}

// unify adds the rules and positions of another folder, as CUE would: the reasons must agree, and parents come together.
func (s *statement) unify(o *statement) []Diagnostic {
	var errs []Diagnostic
	s.pos = sortPositions(slices.Concat(s.pos, o.pos))
	for plane, op := range o.planes {
		sp := s.planes[plane]
		if sp == nil {
			sp = &statedPlane{rules: map[string]*statedRule{}}
			s.planes[plane] = sp
		}
		sp.pos = sortPositions(slices.Concat(sp.pos, op.pos))
		for key, or := range op.rules {
			sr := sp.rules[key]
			if sr == nil {
				sp.rules[key] = or
				continue
			}
			if sr.why != "" && or.why != "" && sr.why != or.why {
				errs = append(errs, s.fail(or.pos, "%s %q has the reasons %q and %q in different folders; want one, see %s",
					plane, key, sr.why, or.why, sr.pos[0]))
			}
			sp.rules[key] = sr.with(or)
		}
	}
	return errs
}

// with returns a rule with the parts of both.
func (r *statedRule) with(o *statedRule) *statedRule {
	both := &statedRule{why: r.why, pos: sortPositions(slices.Concat(r.pos, o.pos)), parentPos: map[string][]schema.Pos{}}
	if both.why == "" {
		both.why = o.why
	}
	both.parents = slices.Concat(r.parents, o.parents)
	slices.Sort(both.parents)
	both.parents = slices.Compact(both.parents)
	for _, from := range []map[string][]schema.Pos{r.parentPos, o.parentPos} {
		for parent, pos := range from {
			both.parentPos[parent] = sortPositions(slices.Concat(both.parentPos[parent], pos))
		}
	}
	return both
}
