// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/writ-sec/writ/compiler/admission"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// link puts the products together, checks what holds over all of them, and makes the result.
func (r *run) link(g *gathered, env bundle.Envelope) (*Result, error) {
	if err := r.checkAll(g); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(g.groups, func(gr *group) bool { return gr.made == nil }) {
		return &Result{}, nil // there are errors
	}
	l := &linked{run: r, g: g, kinds: g.counted(), eager: map[string][]byte{}, where: map[string]workloadAt{}}
	out := &Result{}
	ws, ns := l.collect(out)
	for i := range l.kinds.Bounds {
		out.dated(admission.BoundChanges(&l.kinds.Bounds[i]), r.cfg.At)
	}
	slices.SortFunc(ws, func(a, b admission.Workload) int { return compareStrings(a.Name, b.Name) })
	claimed := make(chan []Diagnostic, 1)
	go func() { claimed <- claimIDs(g) }() // it takes as long as all the rest of this
	in := admission.Input{Workloads: ws, Policy: l.kinds, At: r.cfg.At, Config: r.admission(l.kinds)}
	made, err := admission.Objects(in)
	if err != nil {
		return nil, err
	}
	objects, err := r.objects(made)
	if err != nil {
		return nil, err
	}
	if l.network = decideNetwork(ns); len(l.network.withheld) > 0 {
		l.eager[bundle.NetworkNotes] = bundle.Encode(l.network.withheld)
	}
	if made = append(made, l.network.objects()...); len(made) > 0 {
		l.eager[bundle.OrderPath] = bundle.Encode(admission.OrderOf(made, in.Config))
	}
	maps.Copy(l.eager, objects)
	maps.Copy(l.eager, emitKinds(l.kinds))
	for _, data := range objects {
		out.Cost.Objects++
		out.Cost.ObjectBytes = max(out.Cost.ObjectBytes, int64(len(data)))
	}
	for _, f := range l.network.forms {
		out.Cost.Objects++
		out.Cost.ObjectBytes = max(out.Cost.ObjectBytes, f.Size)
	}
	budget := stated{kind: "budget", folder: "."}
	if s := g.stated[entryKey("budget", "")]; s != nil {
		budget = statedOf(s)
	}
	r.errs = append(r.errs, overBudget(g.scope.policy.Budget, budget, out.Cost.NodeEntries, out.Cost.NodeBytes, out.Cost.Objects, out.Cost.ObjectBytes)...)
	out.Bundle = bundle.NewLazy(l.files(), l, env)
	r.errs = append(r.errs, <-claimed...)
	out.policy = sync.OnceValues(l.policy)
	out.linked = l
	return out, nil
}

// Selectors returns what each workload of the policy selects, by its name.
func (r *Result) Selectors() map[string]schema.Match {
	all := map[string]schema.Match{}
	for _, gr := range r.linked.g.groups {
		for i := range gr.made.Workloads {
			all[gr.made.Workloads[i].Name] = gr.heads[i].match
		}
	}
	return all
}

// Admission is what enforces the policy at admission, and how.
func (r *Result) Admission() schema.Admission { return r.linked.run.admission(r.linked.kinds) }

// collect counts what the products of all workloads hold, and returns their parts in the objects of admission and of the network.
func (l *linked) collect(out *Result) (ws []admission.Workload, ns []networked) {
	for _, gr := range l.g.groups {
		for i := range gr.made.Workloads {
			m := &gr.made.Workloads[i]
			l.where[m.Name] = workloadAt{gr, i}
			out.Workloads++
			out.Rules += m.Rules
			out.Cost.NodeEntries += m.Entries
			out.Cost.NodeBytes += m.Bytes
			out.dated(m.Admission.Changes, l.cfg.At)
			if !l.cfg.At.IsZero() { // without an instant no policy of the network depends on a date
				out.dated(m.Admission.Network.Dates, l.cfg.At)
			}
			ws = append(ws, admission.Workload{Name: m.Name, Match: gr.heads[i].match, Made: m.Admission})
			if len(m.Admission.Network.Planes) > 0 {
				ns = append(ns, networked{gr.heads[i], &m.Admission.Network})
			}
		}
	}
	return ws, ns
}

// admission is what enforces at admission, and how, with what the configuration replaces.
func (r *run) admission(p *schema.Policy) schema.Admission {
	a := p.Admission.Effective()
	a.By = cmp.Or(r.cfg.Admission, a.By)
	if r.cfg.Cilium != nil {
		a.Cilium = *r.cfg.Cilium
	}
	return a
}

// objects writes the admission objects, by path. One whose content did not change is not written anew.
func (r *run) objects(made []admission.Object) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, o := range made {
		parts := []any{"object", r.version, o.Name}
		for _, s := range o.From {
			parts = append(parts, s)
		}
		key := contentKey(parts...)
		data := r.store.head(key)
		if data == nil {
			var err error
			if data, err = o.Encode(); err != nil {
				return nil, err
			}
			r.store.keep(key, data, nil)
		}
		files[o.Path()] = data
	}
	return files, nil
}

// dated notes that what is in admission objects of a workload or bound depends on dates. What is not valid is an error of check.
func (r *Result) dated(changes []schema.Date, at time.Time) {
	if at.IsZero() {
		r.Stricter += len(changes)
		return
	}
	for _, date := range changes {
		if change, err := date.Instant(); err == nil && change.After(at) && (r.Stale.IsZero() || change.Before(r.Stale)) {
			r.Stale = change
		}
	}
}

// checkAll checks what is no workload's alone.
func (r *run) checkAll(g *gathered) error {
	of := func(kind, name string) stated {
		if h := g.scope.workloads[name]; kind == workloadKind && h != nil {
			return h.stated()
		}
		if s := g.stated[entryKey(kind, name)]; s != nil {
			return statedOf(s)
		}
		return stated{kind: kind, name: name, folder: "."}
	}
	p, err := r.withNeeded(g, of)
	if err != nil {
		return err
	}
	errs, warnings := checkKinds(p, of, g.scope)
	r.errs, r.warnings = append(r.errs, errs...), append(r.warnings, warnings...)
	var heads []*head
	for _, gr := range g.groups {
		heads = append(heads, gr.heads...)
	}
	slices.SortFunc(heads, func(a, b *head) int { return compareStrings(a.name, b.name) })
	errs, warnings = overlapping(heads)
	r.errs, r.warnings = append(r.errs, errs...), append(r.warnings, warnings...)
	r.errs = append(r.errs, delegation(heads, p, of)...)
	if r.cfg.Now.IsZero() {
		return nil
	}
	return r.checkDates(g, of)
}

// checkDates warns of what is past or near, of what counts. The planned mode of a workload does not where the cluster replaces it.
func (r *run) checkDates(g *gathered, of func(kind, name string) stated) error {
	p, placed := g.counted(), map[string]stated{}
	own := *g.scope
	own.cluster = nil
	for _, gr := range g.groups {
		if !slices.ContainsFunc(gr.heads, func(h *head) bool { return h.dated }) {
			continue
		}
		statements, err := r.statements(context.Background(), gr)
		if err != nil {
			return err
		}
		for _, s := range statements {
			w, replaced := lowerWorkload(s, &own), g.scope.clusterModes(s.Name)
			w.Closures = slices.DeleteFunc(w.Closures, func(c schema.Closure) bool {
				return statedMode(replaced, c.Plane, schema.PlaneMode{}).Mode != ""
			})
			p.Workloads, placed[s.Name] = append(p.Workloads, *w), statedOf(s)
		}
	}
	r.warnings = append(r.warnings, due(p, func(kind, name string) stated {
		if s, ok := placed[name]; ok && kind == workloadKind {
			return s
		}
		return of(kind, name)
	}, r.cfg.Now)...)
	return nil
}

// withNeeded returns the policy with the workloads whose rules the checks of other entries look at: those that tests name, and all where
// one of them names none.
func (r *run) withNeeded(g *gathered, of func(kind, name string) stated) (*schema.Policy, error) {
	p := *g.counted()
	if r.within != "" { // other tests are not checked
		p.Tests = slices.DeleteFunc(slices.Clone(p.Tests), func(t schema.Test) bool { return !isWithin(of("test", t.Name).folder, r.within) })
	}
	names, all := map[string]bool{}, false
	for _, t := range p.Tests {
		if h := g.scope.workloadNamed(t.In); h != nil {
			names[h.name] = true
		} else if t.By != "" {
			all = true
		}
	}
	for _, gr := range g.groups {
		if !all && !slices.ContainsFunc(gr.heads, func(h *head) bool { return names[h.name] }) {
			continue
		}
		statements, err := r.statements(context.Background(), gr)
		if err != nil {
			return nil, err
		}
		for _, s := range statements {
			if all || names[s.Name] {
				p.Workloads = append(p.Workloads, *lowerWorkload(s, g.scope))
			}
		}
	}
	return &p, nil
}

// claimIDs reports an ID that two things have. It is as likely as 2^-64 for each pair.
func claimIDs(g *gathered) (errs []Diagnostic) {
	total := 0
	for _, gr := range g.groups {
		for _, m := range gr.made.Workloads {
			total += len(m.IDs) / 8
		}
	}
	size := 1
	for size < 2*total {
		size *= 2
	}
	taken, names := make([]claim, size), []string{""}
	for _, gr := range g.groups {
		for i := range gr.made.Workloads {
			m := &gr.made.Workloads[i]
			names = append(names, m.Name)
			for b := m.IDs; len(b) >= 8; b = b[8:] {
				id := schema.RuleID(binary.BigEndian.Uint64(b))
				slot := int(uint64(id) & uint64(size-1))
				for taken[slot].owner != 0 && taken[slot].id != id {
					slot = (slot + 1) & (size - 1)
				}
				if other := taken[slot].owner; other != 0 {
					errs = append(errs, Diagnostic{Pos: first(gr.heads[i].pos), Path: "workload " + m.Name,
						Msg: fmt.Sprintf("a rule has the same ID %s as one of workload %s; want another name for one of them", id, names[other])})
				}
				taken[slot] = claim{id, int32(len(names) - 1)}
			}
		}
	}
	return errs
}

// claim is who has an ID: the index of a name, or 0.
type claim struct {
	id    schema.RuleID
	owner int32
}

// linked makes what is read of a result later.
type linked struct {
	*run
	g     *gathered
	kinds *schema.Policy        // all that counts but workloads
	eager map[string][]byte     // files that are at hand, by path
	where map[string]workloadAt // by name
	network
	mu   sync.Mutex
	last *group // whose workloads were lowered last
	ws   []schema.Workload
}

type workloadAt struct {
	group *group
	i     int
}

// files lists the bundle's files.
func (l *linked) files() []bundle.File {
	var all []bundle.File
	for path, data := range l.eager {
		all = append(all, bundle.File{Path: path, Size: int64(len(data)), Digest: bundle.Sum(data)})
	}
	for _, gr := range l.g.groups {
		for i := range gr.made.Workloads {
			for _, f := range gr.made.Workloads[i].Files {
				all = append(all, bundle.File{Path: f.Path, Size: f.Size, Digest: hex.EncodeToString(f.Digest[:])})
			}
		}
	}
	for name, f := range l.forms {
		all = append(all, bundle.File{Path: bundle.NetworkDir + "/" + name + ".yaml", Size: f.Size, Digest: hex.EncodeToString(f.Digest[:])})
	}
	return all
}

// Open implements [bundle.Source].
func (l *linked) Open(path string) ([]byte, error) {
	if data, ok := l.eager[path]; ok {
		return data, nil
	}
	name, ok := workloadOfFile(path)
	if !ok {
		return nil, fmt.Errorf("%s is not in the bundle", path)
	}
	w, err := l.workload(name)
	if err != nil {
		return nil, err
	}
	return l.emit(w, emitWorkload(w), path)
}

// emit returns one of the files of a workload.
func (l *linked) emit(w *schema.Workload, files map[string][]byte, path string) ([]byte, error) {
	if data, ok := files[path]; ok {
		return data, nil
	}
	form, ok := l.forms[w.Name]
	if !ok || !networkFile(path) {
		return nil, fmt.Errorf("%s is not in the bundle", path)
	}
	return admission.NetworkObject(w, form.Sides, form.Layer7, l.cilium).Encode()
}

// Each implements [bundle.Source]: the workloads of a group are lowered once.
func (l *linked) Each(paths []string, f func(path string, data []byte) error) error {
	byGroup := map[*group]map[int][]string{}
	var groups []*group
	for _, path := range paths {
		if data, ok := l.eager[path]; ok {
			if err := f(path, data); err != nil {
				return err
			}
			continue
		}
		name, _ := workloadOfFile(path)
		at, ok := l.where[name]
		if !ok {
			return fmt.Errorf("%s is not in the bundle", path)
		}
		if byGroup[at.group] == nil {
			byGroup[at.group] = map[int][]string{}
			groups = append(groups, at.group)
		}
		byGroup[at.group][at.i] = append(byGroup[at.group][at.i], path)
	}
	ctx := context.Background()
	return inParallel(ctx, l.cfg.Parallel, len(groups), func(i int) error {
		ws, err := l.lower(ctx, l.g, groups[i])
		if err != nil {
			return err
		}
		for n, wanted := range byGroup[groups[i]] {
			files := emitWorkload(&ws[n])
			for _, path := range wanted {
				data, err := l.emit(&ws[n], files, path)
				if err == nil {
					err = f(path, data)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// workload returns one lowered workload. Those of a group are asked for one after the other.
func (l *linked) workload(name string) (*schema.Workload, error) {
	at, ok := l.where[name]
	if !ok {
		return nil, fmt.Errorf("workload %q is not in the policy", name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last != at.group {
		ws, err := l.lower(context.Background(), l.g, at.group)
		if err != nil {
			return nil, err
		}
		l.last, l.ws = at.group, ws
	}
	return &l.ws[at.i], nil
}

// policy lowers everything.
func (l *linked) policy() (*schema.Policy, error) {
	ws, err := l.some(nil)
	if err != nil {
		return nil, err
	}
	p := *l.kinds
	p.Workloads = ws
	return &p, nil
}

// some returns the workloads that are named, or all, sorted by name.
func (l *linked) some(names map[string]bool) ([]schema.Workload, error) {
	all := []schema.Workload{}
	for _, gr := range l.g.groups {
		wanted := names == nil || slices.ContainsFunc(gr.made.Workloads, func(m made) bool { return names[m.Name] })
		if !wanted {
			continue
		}
		ws, err := l.lower(context.Background(), l.g, gr)
		if err != nil {
			return nil, err
		}
		for i := range ws {
			if names == nil || names[ws[i].Name] {
				all = append(all, ws[i])
			}
		}
	}
	slices.SortFunc(all, func(a, b schema.Workload) int { return compareStrings(a.Name, b.Name) })
	return all, nil
}
