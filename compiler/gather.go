// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// gathered is the policy before its workloads are lowered: everything that they may refer to, and where each stands.
type gathered struct {
	scope    *scope
	stated   map[string]*statement // of all kinds but workloads, by entryKey
	groups   []*group
	invalid  map[string]*statement // entries that are not valid, one statement of each, by entryKey
	partials []*statement          // workloads of which not all could be read
	dirs     []string              // the folders that hold policy files
}

// group is a set of workloads that are lowered together: those that one folder alone speaks of, or one that several folders speak of.
type group struct {
	unit   *loadedUnit
	units  []*loadedUnit // that speak of Merged
	which  []int         // the entries of unit
	merged *statement    // instead of unit and which
	heads  []*head       // of the workloads, in their order
	made   *product
}

// stater is a folder that states an entry.
type stater struct {
	unit *loadedUnit
	i    int // of the entry
}

// gather puts the folders together.
func (r *run) gather(units []*loadedUnit) (*gathered, error) {
	g := &gathered{stated: map[string]*statement{}, invalid: map[string]*statement{}, scope: &scope{workloads: map[string]*head{}}}
	several, broken := r.alone(g, units)
	whole := !slices.ContainsFunc(units, func(u *loadedUnit) bool { return !u.head.Whole })
	for _, key := range slices.Sorted(maps.Keys(several)) {
		if err := r.together(g, key, several[key], broken[key], whole); err != nil {
			return nil, err
		}
	}
	r.lowerKinds(g)
	return g, nil
}

// alone takes the workloads that one folder alone speaks of, which are most of what there is. It returns who states everything else, and what
// is not valid somewhere or could not be read.
func (r *run) alone(g *gathered, units []*loadedUnit) (several map[string][]stater, broken map[string]bool) {
	several, broken = map[string][]stater{}, map[string]bool{}
	count := map[string]int{} // of workloads, by name
	for _, u := range units {
		g.dirs = append(g.dirs, u.folder.dir)
		for _, key := range u.head.Named {
			broken[key] = true
		}
		for i := range u.head.Entries {
			h := &u.head.Entries[i]
			if h.Partial {
				broken[entryKey(h.Kind, h.Name)] = true
			}
			if h.Kind == workloadKind {
				count[h.Name]++
			}
		}
	}
	for _, u := range units {
		own := &group{unit: u}
		for i := range u.head.Entries {
			h := &u.head.Entries[i]
			if h.Kind == workloadKind && count[h.Name] == 1 && (len(broken) == 0 || !broken[entryKey(h.Kind, h.Name)]) {
				own.which = append(own.which, i)
				own.heads = append(own.heads, g.scope.add(h, u.folder.dir))
				continue
			}
			key := entryKey(h.Kind, h.Name)
			several[key] = append(several[key], stater{u, i})
		}
		if len(own.which) > 0 {
			g.groups = append(g.groups, own)
		}
	}
	return several, broken
}

// together takes one entry that has to be looked at: of any kind, stated by one folder or several.
func (r *run) together(g *gathered, key string, by []stater, broken, whole bool) error {
	var all []statement
	var from []*loadedUnit
	for _, p := range by {
		s, err := r.statement(context.Background(), p.unit, p.i) // what is kept is read; the run's context holds for what is evaluated
		if err != nil {
			return err
		}
		all, from = append(all, *s), append(from, p.unit)
	}
	isWorkload := all[0].Kind == workloadKind
	if broken {
		for i := range all {
			if all[i].Partial && isWorkload {
				g.partials = append(g.partials, &all[i])
			}
		}
		g.mention(&all[0])
		return nil
	}
	s, errs := mergeEntry(all)
	if s == nil && !whole {
		return nil // the folder that states it may be one that could not be read
	}
	r.errs = append(r.errs, errs...)
	switch {
	case s == nil || len(errs) > 0:
		g.mention(&all[0])
	case !isWorkload:
		g.stated[key] = s
	default:
		h := entryHeadOf(s)
		g.groups = append(g.groups, &group{units: from, merged: s, heads: []*head{g.scope.add(&h, s.Folder)}})
	}
	return nil
}

// add makes a workload known to the others.
func (sc *scope) add(h *entryHead, folder string) *head {
	w := &head{name: h.Name, folder: folder, owner: h.Owner, match: h.Match, matchSum: h.MatchSum, shared: h.Shared, dated: h.Dated, planes: h.Planes, uses: h.Uses,
		pos: h.Pos, matchPos: h.MatchPos, ownerPos: h.OwnerPos}
	sc.workloads[h.Name] = w
	return w
}

// mention makes an entry that is not valid known, so that what refers to it is not wrong too.
func (g *gathered) mention(s *statement) {
	g.invalid[s.key()] = s
	if s.Kind == workloadKind && g.scope.workloads[s.Name] == nil {
		h := entryHeadOf(s)
		g.scope.add(&h, s.Folder)
	}
}

// lowerKinds lowers everything but workloads, completes the scope, and finds the cluster.
func (r *run) lowerKinds(g *gathered) {
	p := &schema.Policy{Workloads: []schema.Workload{}}
	for _, key := range slices.Sorted(maps.Keys(g.stated)) {
		lowerKind(p, g.stated[key], g.scope)
	}
	sc := newScope(p, slices.Collect(maps.Values(g.scope.workloads)), g.dirs)
	for _, s := range g.invalid {
		sc.mention(s.Kind, s.Name)
	}
	g.scope = sc
	if r.cfg.Cluster == "" {
		return
	}
	p.Cluster = r.cfg.Cluster
	for i := range p.Clusters {
		if p.Clusters[i].Name == r.cfg.Cluster {
			sc.cluster = &p.Clusters[i]
			p.Admission.By = cmp.Or(sc.cluster.Admission, p.Admission.By)
		}
	}
	if sc.cluster == nil && g.invalid[entryKey("cluster", r.cfg.Cluster)] == nil {
		r.unknown = &UnknownClusterError{Cluster: r.cfg.Cluster}
		for i := range p.Clusters {
			r.unknown.Known = append(r.unknown.Known, p.Clusters[i].Name)
		}
	}
	g.groups = slices.DeleteFunc(g.groups, func(gr *group) bool { return !sc.counts(gr.heads[0].folder) })
}

// mention makes the name of an entry known.
func (sc *scope) mention(kind, name string) {
	if names := map[string]nameSet{"gate": sc.gates, "signer": sc.signers, "notify": sc.notify, "exception": sc.exceptions}[kind]; names != nil {
		names[name] = true
	}
}

// counted returns the entries of all kinds that count in the cluster. Those of a folder above one that counts do too: what an organisation
// bounds holds for its teams everywhere. Those of other folders are known, so that what refers to them is not wrong, and are not in force.
func (g *gathered) counted() *schema.Policy {
	sc := g.scope
	p := *sc.policy
	if sc.cluster == nil || len(sc.cluster.Folders) == 0 {
		return &p
	}
	in := func(kind, name string) bool {
		s := g.stated[entryKey(kind, name)]
		return s == nil || sc.counts(s.Folder) || slices.ContainsFunc(sc.cluster.Folders, func(f string) bool { return isWithin(f, s.Folder) })
	}
	p.Bounds = keep(p.Bounds, func(v *schema.Bound) bool { return in("bound", v.Name) })
	p.Exceptions = keep(p.Exceptions, func(v *schema.Exception) bool { return in("exception", v.Name) })
	p.Registries = keep(p.Registries, func(v *schema.Registry) bool { return in("registry", v.Name) })
	p.Responses = keep(p.Responses, func(v *schema.Response) bool { return in("response", v.Name) })
	p.Benchmarks = keep(p.Benchmarks, func(v *schema.Benchmark) bool { return in("benchmark", v.Name) })
	p.Checks = keep(p.Checks, func(v *schema.Check) bool { return in("check", v.Name) })
	p.Tests = keep(p.Tests, func(v *schema.Test) bool {
		h := sc.workloadNamed(v.In)
		return in("test", v.Name) && (h == nil || sc.counts(h.folder))
	})
	return &p
}

// keep returns those of a list for which something holds. The list stays as it is.
func keep[T any](all []T, holds func(*T) bool) []T {
	var kept []T
	for i := range all {
		if holds(&all[i]) {
			kept = append(kept, all[i])
		}
	}
	return kept
}
