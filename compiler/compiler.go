// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// Config configures a [Compiler]. The zero Config is useful.
type Config struct {
	Parallel int // folders evaluated at the same time; 0: as many as there are processors, at most 8
	// Cache is a folder that keeps what was computed between processes, at most 2 GiB. It is made if it does not exist; it holds policy, so it
	// is readable for its owner alone. Several processes may share it. "": memory alone.
	Cache string
	// Cluster is the name of the cluster that is compiled for. "": none, and every folder counts with the modes it states.
	Cluster string
	// Now is the instant as of which what is past, or within 14 days, is warned of. The zero Time warns of nothing: it is no part of what a
	// policy means, and the compiler has no clock.
	Now time.Time
	// At is the instant at which dated modes are decided for what has no clock of its own: admission objects. The zero Time takes the stricter
	// side of each date.
	At time.Time
	// Admission replaces what the policy and the cluster say of admission.by: one of schema.AdmissionWords, or "" to leave it. Another word is an
	// error of Compile.
	Admission string
	// Cilium replaces what the policy says of admission.cilium. nil leaves it.
	Cilium *bool
}

// Compiler compiles policy repositories. It keeps what it computed, by content, so that the next Compile computes only what changed. It is not
// safe for concurrent use.
type Compiler struct {
	cfg          Config
	store        *store
	version      string
	keptUnits    map[digest]*unitHead // of the last run, by key
	keptProducts map[digest]*product  // the same
}

// New returns a Compiler.
func New(cfg Config) *Compiler {
	if cfg.Parallel <= 0 {
		cfg.Parallel = min(runtime.GOMAXPROCS(0), 8)
	}
	return &Compiler{cfg: cfg, store: newStore(cfg.Cache), version: buildVersion()}
}

// buildVersion tells builds of the compiler apart: what another one kept may mean something else.
var buildVersion = sync.OnceValue(func() string {
	self, err := selfPath()
	if err != nil {
		return "unknown"
	}
	info, err := os.Stat(self)
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
})

// Result is a compiled policy. Nobody changes it.
type Result struct {
	Bundle    *bundle.Bundle
	Warnings  []Diagnostic // sorted
	Silenced  []Silenced   // sorted
	Evaluated int          // folders evaluated anew; of the others the result was kept
	Workloads int
	Rules     int
	Cost      Cost
	// Stale is the first instant after Config.At at which an admission object would be another, because of a date. The zero Time: none is,
	// or there is no Config.At.
	Stale time.Time
	// Stricter counts the planned modes of which admission objects have the stricter side, because there is no Config.At.
	Stricter int
	policy   func() (*schema.Policy, error)
	linked   *linked
}

// Policy returns the whole policy. It is read when it is asked for the first time: most of what is done with a big policy does not need it.
func (r *Result) Policy() (*schema.Policy, error) { return r.policy() }

// Nothing returns the result of an empty policy, which no repository has: what there is before the first commit.
func Nothing() *Result {
	r := &Result{Bundle: bundle.New(map[string][]byte{}, bundle.Envelope{}),
		linked: &linked{g: &gathered{}, kinds: &schema.Policy{Workloads: []schema.Workload{}}}}
	r.policy = r.linked.policy
	return r
}

// UnknownClusterError says that the policy does not state the cluster that it was to be compiled for. Who compiles is as likely at fault as the
// policy.
type UnknownClusterError struct {
	Cluster string
	Known   []string // sorted
}

// Error says which clusters there are.
func (e *UnknownClusterError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("cluster %q is not stated: the policy states no cluster", e.Cluster)
	}
	return fmt.Sprintf("cluster %q is not stated; want %s", e.Cluster, quotedList(e.Known, "or"))
}

// Compile compiles a tree. The error is [Errors] when the policy is at fault, [*UnknownClusterError] when all else is right, and the context's
// when that is done first.
// The same tree gives the same bytes whatever was compiled before, env apart, which stands outside the digest.
func (c *Compiler) Compile(ctx context.Context, t Tree, env bundle.Envelope) (*Result, error) {
	if by := c.cfg.Admission; by != "" && !slices.Contains(schema.AdmissionWords, by) {
		return nil, fmt.Errorf("admission by %q is not known; want %s", by, quotedList(schema.AdmissionWords, "or"))
	}
	c.store.begin()
	defer c.store.end()
	c.store.readTogether()
	r := &run{Compiler: c, tree: t, parsed: map[*source]*parsed{}}
	defer r.evaluators.close()
	out, err := r.compile(ctx, env)
	if err == nil {
		r.remembered(out.linked.g)
	}
	return out, err
}

// remembered keeps what the run used for the next one.
func (r *run) remembered(g *gathered) {
	r.keptUnits, r.keptProducts = map[digest]*unitHead{}, map[digest]*product{}
	used := map[digest]bool{}
	for _, u := range r.read {
		r.keptUnits[u.key] = &u.head
		used[u.key] = true
	}
	for _, gr := range g.groups {
		r.keptProducts[gr.made.key] = gr.made
		used[gr.made.key] = true
	}
	r.store.writeTogether(used)
}

// run is one Compile.
type run struct {
	*Compiler
	tree       Tree
	within     string          // the folder that alone is vetted, or ""
	spaces     map[string]bool // the namespaces that it speaks of
	briefed    []briefed       // folders of which the brief suffices
	evaluators evaluators
	read       []*loadedUnit // all of them
	mu         sync.Mutex
	parsed     map[*source]*parsed
	evaluated  atomic.Int64
	cilium     bool // the cluster's network is Cilium

	errs, warnings []Diagnostic
	unknown        *UnknownClusterError
}

func (r *run) compile(ctx context.Context, env bundle.Envelope) (*Result, error) {
	folders, errs := load(r.tree)
	r.errs = errs
	units, err := r.units(ctx, folders)
	if err != nil {
		return nil, err
	}
	g, err := r.gather(units)
	if err != nil {
		return nil, err
	}
	if err := r.products(ctx, g); err != nil {
		return nil, err
	}
	out, err := r.link(g, env)
	if err != nil {
		return nil, err
	}
	if len(r.errs) > 0 {
		return nil, Errors(quote(sortDiagnostics(r.errs), r.tree))
	}
	if r.unknown != nil { // what is wrong with the policy comes first: it may be why the cluster is not known
		return nil, r.unknown
	}
	warnings, answered := r.withoutSilenced(units, r.warnings)
	out.Warnings, out.Silenced = quote(sortDiagnostics(warnings), r.tree), quoteSilenced(answered, r.tree)
	out.Evaluated = int(r.evaluated.Load())
	return out, nil
}

// inParallel does n jobs with some workers. It returns when all are done, or when one fails.
func inParallel(ctx context.Context, workers, n int, work func(int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for range min(workers, n) {
		wg.Go(func() {
			for ctx.Err() == nil && failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := work(i); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return ctx.Err()
}

// quoteSilenced sorts answered warnings, and adds their source lines.
func quoteSilenced(all []Silenced, t Tree) []Silenced {
	slices.SortFunc(all, func(a, b Silenced) int {
		return cmp.Or(compareDiagnostics(a.Diagnostic, b.Diagnostic), strings.Compare(a.Why, b.Why))
	})
	all = slices.Compact(all)
	ds := make([]Diagnostic, len(all))
	for i := range all {
		ds[i] = all[i].Diagnostic
	}
	for i, d := range quote(ds, t) {
		all[i].Diagnostic = d
	}
	return all
}

// quote adds the source lines.
func quote(ds []Diagnostic, t Tree) []Diagnostic {
	wanted := map[string][]byte{}
	for _, d := range ds {
		wanted[d.Pos.File] = nil
	}
	for i := range t.Files {
		if _, ok := wanted[t.Files[i].Path]; ok {
			wanted[t.Files[i].Path], _ = t.Files[i].Content() // without it, the line is not shown
		}
	}
	lines := map[string][][]byte{}
	for i, d := range ds {
		data := wanted[d.Pos.File]
		if d.Pos.Line <= 0 || data == nil {
			continue
		}
		if lines[d.Pos.File] == nil {
			lines[d.Pos.File] = bytes.Split(data, []byte("\n"))
		}
		if l := lines[d.Pos.File]; d.Pos.Line <= len(l) {
			ds[i].Source = string(bytes.ToValidUTF8(bytes.TrimSuffix(l[d.Pos.Line-1], []byte("\r")), []byte("?")))
		}
	}
	return ds
}

// depthOf orders folders: those above come first.
func depthOf(f *folder) int {
	if f.dir == "." {
		return 0
	}
	return 1 + strings.Count(f.dir, "/")
}

// byDepth returns the folders in groups of the same depth, from the root.
func byDepth(all []*folder) [][]*folder {
	var groups [][]*folder
	for _, f := range all {
		d := depthOf(f)
		for len(groups) <= d {
			groups = append(groups, nil)
		}
		groups[d] = append(groups[d], f)
	}
	return slices.DeleteFunc(groups, func(g []*folder) bool { return len(g) == 0 })
}
