// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/writ-sec/writ/schema"
)

// Vet checks what the files in and below a folder state, given as its slash-separated path from the root: for an editor that asks on every save.
// The files above are those that the folder sees: what is wrong with them in themselves is reported too. Of all other folders nothing is
// reported; what they state counts for references and overlaps, and is read only as far as that takes, where the cache knows the rest.
// What holds over the whole policy alone, such as a budget, Compile says. The Result has no bundle and no policy.
func (c *Compiler) Vet(ctx context.Context, t Tree, dir string) (*Result, error) {
	c.store.begin()
	defer c.store.end()
	r := &run{Compiler: c, tree: t, within: dir, parsed: map[*source]*parsed{}}
	defer r.evaluators.close()
	return r.vet(ctx)
}

func (r *run) vet(ctx context.Context) (*Result, error) {
	folders, errs := load(r.tree)
	r.errs = errs
	units, err := r.units(ctx, folders)
	if err != nil {
		return nil, err
	}
	r.errs = slices.DeleteFunc(r.errs, func(d Diagnostic) bool { return !r.seesFile(d.Pos.File) })
	before := len(r.errs)
	g, err := r.gather(units)
	if err != nil {
		return nil, err
	}
	r.remember(g, folders)
	g.groups = slices.DeleteFunc(g.groups, func(gr *group) bool { return !r.concerns(gr) && !r.meets(gr) })
	checked := slices.DeleteFunc(slices.Clone(g.groups), func(gr *group) bool { return !r.concerns(gr) })
	if err := r.products(ctx, &gathered{scope: g.scope, stated: g.stated, groups: checked, partials: g.partials}); err != nil {
		return nil, err
	}
	if err := r.checkAll(g); err != nil {
		return nil, err
	}
	r.errs = slices.Concat(r.errs[:before], slices.DeleteFunc(r.errs[before:], func(d Diagnostic) bool { return !r.holdsFile(d.Pos.File) }))
	if len(r.errs) > 0 {
		return nil, Errors(quote(sortDiagnostics(r.errs), r.tree))
	}
	r.warnings = slices.DeleteFunc(r.warnings, func(d Diagnostic) bool {
		return !r.holdsFile(d.Pos.File) || d.Code == codeUnused // what uses it may be elsewhere
	})
	warnings, answered := r.withoutSilenced(slices.DeleteFunc(units, func(u *loadedUnit) bool { return !isWithin(u.folder.dir, r.within) }), r.warnings)
	out := &Result{Warnings: quote(sortDiagnostics(warnings), r.tree), Silenced: quoteSilenced(answered, r.tree), Evaluated: int(r.evaluated.Load())}
	for _, gr := range checked {
		for i := range gr.made.Workloads {
			out.Workloads++
			out.Rules += gr.made.Workloads[i].Rules
		}
	}
	unread := errors.New("the policy was checked in part; want Compile")
	out.policy = func() (*schema.Policy, error) { return nil, unread }
	return out, nil
}

// folderOf is the folder of a file.
func folderOf(file string) string {
	if i := strings.LastIndexByte(file, '/'); i >= 0 {
		return file[:i]
	}
	return "."
}

// holdsFile reports whether a file lies in or below the folder that is vetted.
func (r *run) holdsFile(file string) bool { return isWithin(folderOf(file), r.within) }

// seesFile reports whether the folder that is vetted, or one below it, sees a file. What concerns the repository as a whole concerns all.
func (r *run) seesFile(file string) bool {
	return file == "" || strings.HasPrefix(file, moduleDir+"/") || r.holdsFile(file) || isWithin(r.within, folderOf(file))
}

// concerns reports whether the folder that is vetted, or one below it, speaks of a group's workloads.
func (r *run) concerns(gr *group) bool {
	return isWithin(gr.heads[0].folder, r.within) ||
		slices.ContainsFunc(gr.units, func(u *loadedUnit) bool { return isWithin(u.folder.dir, r.within) })
}

// meets reports whether a group's workloads may select what one of the folder's does.
func (r *run) meets(gr *group) bool {
	return slices.ContainsFunc(gr.heads, func(h *head) bool { return r.spaces[h.match.Namespace] })
}

// brief is what is known of a folder that states nothing but workloads, and all of them well: enough to tell whether more is needed.
type brief struct {
	_          struct{} `cbor:",toarray"`
	Key        digest
	Names      []string
	Namespaces []string // of the names
	Sums       []digest // of what they select
}

func briefOf(u *loadedUnit) (brief, bool) {
	b := brief{Key: u.key}
	if !u.head.Whole || u.head.Limited || len(u.head.Errs) > 0 {
		return b, false
	}
	for i := range u.head.Entries {
		h := &u.head.Entries[i]
		if h.Kind != workloadKind || h.Partial {
			return b, false
		}
		b.Names, b.Namespaces, b.Sums = append(b.Names, h.Name), append(b.Namespaces, h.Match.Namespace), append(b.Sums, h.MatchSum)
	}
	return b, true
}

// briefsKey is where the briefs of a repository are kept: of one with these folders.
func (r *run) briefsKey(folders []*folder) digest {
	parts := []any{"briefs", r.version}
	for _, f := range folders {
		parts = append(parts, f.dir)
	}
	return contentKey(parts...)
}

func (r *run) briefs(folders []*folder) map[digest]*brief {
	var all []brief
	if data := r.store.head(r.briefsKey(folders)); data == nil || cborNodes.Unmarshal(data, &all) != nil {
		return nil
	}
	known := make(map[digest]*brief, len(all))
	for i := range all {
		known[all[i].Key] = &all[i]
	}
	return known
}

// keepBriefs keeps the briefs of all folders, if one is new.
func (r *run) keepBriefs(folders []*folder, units []*loadedUnit) {
	known := r.briefs(folders)
	var all []brief
	changed := false
	for _, u := range units {
		if b, ok := briefOf(u); ok {
			all = append(all, b)
			changed = changed || known[u.key] == nil
		}
	}
	if !changed {
		return
	}
	if data, err := cbor.Marshal(all); err == nil { // losing them costs time alone
		r.store.keep(r.briefsKey(folders), data, nil)
	}
}

// partly returns the folders that vetting one has to read: it, those that it sees and those that see it, those of which no brief is known, and
// those that state a workload that it names, or in a namespace that it speaks of. Of all others the briefs suffice.
func (r *run) partly(ctx context.Context, folders []*folder, sums map[*source]digest) ([]*loadedUnit, error) {
	known := r.briefs(folders)
	var read, rest []*folder
	for _, f := range folders {
		if isWithin(f.dir, r.within) || isWithin(r.within, f.dir) || known[r.unitKey(f, sums)] == nil {
			read = append(read, f)
		} else {
			rest = append(rest, f)
		}
	}
	units, err := r.readAll(ctx, read, sums)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	r.spaces = map[string]bool{"": true}
	for _, u := range units {
		if !isWithin(u.folder.dir, r.within) {
			continue
		}
		for i := range u.head.Entries {
			h := &u.head.Entries[i]
			wanted[h.Name], r.spaces[h.Match.Namespace] = true, true
			for _, ref := range h.Refs {
				wanted[ref[strings.IndexByte(ref, '/')+1:]] = true
			}
		}
	}
	var more []*folder
	for _, f := range rest {
		b := known[r.unitKey(f, sums)]
		if slices.ContainsFunc(b.Names, func(n string) bool { return wanted[n] }) || slices.ContainsFunc(b.Namespaces, func(n string) bool { return r.spaces[n] }) {
			more = append(more, f)
			continue
		}
		r.briefed = append(r.briefed, briefed{f.dir, b})
	}
	others, err := r.readAll(ctx, more, sums)
	return append(units, others...), err
}

// briefed is a folder of which the brief suffices.
type briefed struct {
	dir string
	*brief
}

// remember makes the workloads of which only the brief is known known to the others, and all folders.
func (r *run) remember(g *gathered, folders []*folder) {
	for _, b := range r.briefed {
		for i, name := range b.Names {
			if g.scope.workloads[name] == nil {
				g.scope.workloads[name] = &head{name: name, folder: b.dir, match: schema.Match{Namespace: b.Namespaces[i]}, matchSum: b.Sums[i]}
			}
		}
	}
	for _, f := range folders {
		g.scope.hold(f.dir)
	}
}
