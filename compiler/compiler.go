// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"context"
	"crypto/sha256"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// Config configures a [Compiler]. The zero Config is useful.
type Config struct {
	Parallel int // folders evaluated at the same time; 0: as many as there are processors, at most 8
}

// Compiler compiles policy repositories. It keeps the evaluated folders of the last tree in memory, by content, so that the next Compile
// evaluates only what changed. It is not safe for concurrent use.
type Compiler struct {
	parallel int
	files    map[digest]*parsed
	units    map[digest]*unit
	products map[*statement]*product
}

type digest [sha256.Size]byte

// New returns a Compiler that has nothing in memory yet.
func New(cfg Config) *Compiler {
	c := &Compiler{parallel: cfg.Parallel}
	if c.parallel <= 0 {
		c.parallel = min(runtime.GOMAXPROCS(0), 8)
	}
	return c
}

// Result is a compiled policy. Nobody changes it.
type Result struct {
	Policy    *schema.Policy
	Bundle    *bundle.Bundle
	Warnings  []Diagnostic // sorted
	Evaluated int          // folders evaluated anew; the others were in memory
}

// Compile compiles a tree. The error is [Errors] when the policy is at fault, and the context's when that is done first; CUE cannot be
// interrupted, so folders that are being evaluated at that moment go on in the background until they end.
// The same tree gives the same bytes whatever was compiled before, env apart, which stands outside the digest.
func (c *Compiler) Compile(ctx context.Context, t Tree, env bundle.Envelope) (*Result, error) {
	folders, errs := load(t)
	files, err := c.parse(ctx, folders)
	if err != nil {
		return nil, err
	}
	for _, p := range files {
		errs = append(errs, p.errs...)
	}
	units, evaluated, err := c.evaluate(ctx, folders, files)
	if err != nil {
		return nil, err
	}
	for _, u := range units {
		errs = append(errs, u.errs...)
	}
	merged, partial, ds := merge(units)
	errs = append(errs, ds...)
	var warnings []Diagnostic
	for _, s := range partial {
		es, _ := check(s)
		errs = append(errs, es...)
	}
	products := c.produce(merged)
	for _, p := range products {
		errs, warnings = append(errs, p.errs...), append(warnings, p.warnings...)
	}
	es, ws := overlaps(merged)
	errs, warnings = append(errs, es...), append(warnings, ws...)
	policy, es := newPolicy(merged, products)
	if errs = append(errs, es...); len(errs) > 0 {
		return nil, Errors(quote(sortDiagnostics(errs), t))
	}
	out, err := emitAdmission(policy)
	if err != nil {
		return nil, err
	}
	for _, p := range products {
		maps.Copy(out, p.files)
	}
	return &Result{Policy: policy, Bundle: bundle.New(out, env), Warnings: quote(sortDiagnostics(warnings), t), Evaluated: evaluated}, nil
}

// product is what follows from one statement alone. It does not change once made.
type product struct {
	errs, warnings []Diagnostic
	workload       schema.Workload
	files          map[string][]byte
}

// produce lowers, checks and emits each workload, unless it is in memory: statements of folders that did not change are the same pointers.
func (c *Compiler) produce(merged []*statement) []*product {
	all, kept := make([]*product, len(merged)), map[*statement]*product{}
	for i, s := range merged {
		p := c.products[s]
		if p == nil {
			p = &product{workload: s.workload()}
			p.errs, p.warnings = check(s)
			if len(p.errs) == 0 {
				p.files = emitWorkload(&p.workload)
			}
		}
		all[i], kept[s] = p, p
	}
	c.products = kept
	return all
}

// parse reads all files that are not in memory.
func (c *Compiler) parse(ctx context.Context, folders []*folder) (map[*source]*parsed, error) {
	var sources []*source
	for _, f := range folders {
		sources = append(sources, f.own...)
	}
	all := make([]*parsed, len(sources))
	err := inParallel(ctx, c.parallel, len(sources), func() func(int) {
		return func(i int) {
			s := sources[i]
			if old := c.files[sumOf(s)]; old != nil {
				copied := *old
				copied.src = s
				all[i] = &copied
				return
			}
			all[i] = parseFile(s)
		}
	})
	if err != nil {
		return nil, err
	}
	files, kept := map[*source]*parsed{}, map[digest]*parsed{}
	for i, p := range all {
		files[sources[i]], kept[p.sum] = p, p
	}
	c.files = kept
	return files, nil
}

func sumOf(s *source) digest {
	h := sha256.New()
	h.Write([]byte(s.path + "\x00"))
	h.Write(s.data)
	return digest(h.Sum(nil))
}

// evaluate evaluates all folders that are not in memory.
func (c *Compiler) evaluate(ctx context.Context, folders []*folder, files map[*source]*parsed) ([]*unit, int, error) {
	all, keys := make([]*unit, len(folders)), make([]digest, len(folders))
	seen := make([][]*parsed, len(folders))
	var missing []int
	for i, f := range folders {
		h := sha256.New()
		h.Write([]byte(f.dir))
		for _, s := range f.seen {
			p := files[s]
			seen[i] = append(seen[i], p)
			h.Write(p.sum[:])
		}
		keys[i] = digest(h.Sum(nil))
		if all[i] = c.units[keys[i]]; all[i] == nil {
			missing = append(missing, i)
		}
	}
	anew := make([]*unit, len(missing))
	err := inParallel(ctx, c.parallel, len(missing), func() func(int) {
		e := newEvaluator()
		return func(n int) { anew[n] = e.evaluate(folders[missing[n]], seen[missing[n]]) }
	})
	if err != nil {
		return nil, 0, err
	}
	for n, i := range missing {
		all[i] = anew[n]
	}
	kept := map[digest]*unit{}
	for i, u := range all {
		kept[keys[i]] = u
	}
	c.units = kept
	return all, len(missing), nil
}

// inParallel does n jobs with some workers, each made by newWorker in its own goroutine. It returns when all are done, or early with the
// context's error: then jobs that have begun still end, and nobody reads what they write.
func inParallel(ctx context.Context, workers, n int, newWorker func() func(int)) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			work := newWorker()
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				work(i)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// quote adds the source lines.
func quote(ds []Diagnostic, t Tree) []Diagnostic {
	wanted := map[string][]byte{}
	for _, d := range ds {
		wanted[d.Pos.File] = nil
	}
	for _, f := range t.Files {
		if _, ok := wanted[f.Path]; ok {
			wanted[f.Path] = f.Data
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
