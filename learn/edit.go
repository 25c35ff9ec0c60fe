// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// ErrEdit is wrapped when no edit of the files says exactly what was proposed.
var ErrEdit = errors.New("the policy files can't be edited to say it")

// Edited is a tree that says what was proposed.
type Edited struct {
	Tree   compiler.Tree
	Files  map[string][]byte // the new content of the files that changed, by path
	Result *compiler.Result  // of Tree
}

// Edit writes a proposal into the files that state the workload, and touches only the lines it must. The edited tree is compiled, and is returned
// only if its policy is the old one with the proposal applied, exactly; otherwise the error wraps [ErrEdit]. The compiler is used for the tree as it
// was, too; errors of that are [compiler.Errors].
func Edit(ctx context.Context, c *compiler.Compiler, t compiler.Tree, p Proposal) (*Edited, error) {
	old, err := c.Compile(ctx, t, bundle.Envelope{})
	if err != nil {
		return nil, err
	}
	policy, err := old.Policy()
	if err != nil {
		return nil, err
	}
	want, err := p.Apply(policy)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEdit, err)
	}
	e, err := newEditor(t, policy, p)
	if err != nil {
		return nil, err
	}
	var first error
	for files := range e.attempts {
		edited := replaceFiles(t, files)
		res, err := c.Compile(ctx, edited, bundle.Envelope{})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil {
			err = means(res, want)
		}
		if err == nil {
			return &Edited{edited, files, res}, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, fmt.Errorf("%w: workload %q in %q: %w; add the rules by hand", ErrEdit, p.Workload, e.files, first)
}

// means says whether a result is the policy that was wanted, wherever its parts are stated.
func means(res *compiler.Result, want *schema.Policy) error {
	got, err := res.Policy()
	if err == nil && !bytes.Equal(unplaced(got), unplaced(want)) {
		err = errors.New("the edited files mean something else")
	}
	return err
}

func unplaced(p *schema.Policy) []byte {
	data, err := json.Marshal(schema.Unplaced(*p))
	if err != nil {
		panic(fmt.Sprintf("learn: encode policy: %v", err)) // its types always encode
	}
	return data
}

func replaceFiles(t compiler.Tree, files map[string][]byte) compiler.Tree {
	next := compiler.Tree{Files: slices.Clone(t.Files)}
	for i, f := range next.Files {
		if data, ok := files[f.Path]; ok {
			next.Files[i].Data = data
		}
	}
	return next
}

// editor knows the files that may be edited for one workload.
type editor struct {
	workload string
	files    []string // in the order in which they are tried
	data     map[string][]byte
	rules    []item   // new rules, sorted
	parents  []Change // rules that lack parents, sorted
}

func newEditor(t compiler.Tree, p *schema.Policy, proposal Proposal) (*editor, error) {
	e := &editor{workload: proposal.Workload, data: map[string][]byte{}}
	i := slices.IndexFunc(p.Workloads, func(w schema.Workload) bool { return w.Name == e.workload })
	e.files = rankFiles(&p.Workloads[i])
	for _, f := range t.Files {
		if slices.Contains(e.files, f.Path) && f.Mode.IsRegular() {
			e.data[f.Path] = f.Data
		}
	}
	e.files = slices.DeleteFunc(e.files, func(name string) bool { return e.data[name] == nil })
	e.stayHome(p.Workloads[i].Open)
	if len(e.files) == 0 {
		return nil, fmt.Errorf("%w: workload %q: no file of the repository states it", ErrEdit, e.workload)
	}
	for _, c := range proposal.Changes {
		if c.New {
			e.rules = append(e.rules, ruleItem(c))
		} else {
			e.parents = append(e.parents, c)
		}
	}
	return e, nil
}

// stayHome leaves files of the folder that declares the workload: to state it in a folder above would make that one declare it, and below it
// only an open workload takes rules; files there come last. The folder highest up that states the workload declares it. Where none does plainly,
// all files stay, and what compiles is tried out.
func (e *editor) stayHome(open bool) {
	home, found := "", false
	for _, name := range e.files {
		s, err := e.parse(name, nil)
		if err != nil || len(findSpots(s.file.Decls, []string{"workload", e.workload}, nil)) == 0 {
			continue
		}
		if dir := path.Dir(name); !found || depth(dir) < depth(home) {
			home, found = dir, true
		}
	}
	if !found {
		return
	}
	var here, below []string
	for _, name := range e.files {
		switch dir := path.Dir(name); {
		case dir == home:
			here = append(here, name)
		case open && depth(dir) > depth(home):
			below = append(below, name)
		}
	}
	e.files = append(here, below...)
}

// depth returns how many folders below the root a folder is.
func depth(dir string) int {
	if dir == "." {
		return 0
	}
	return 1 + strings.Count(dir, "/")
}

// rankFiles returns the files that state a workload: those that mention exec before the others, among them those with most of its rules
// first, then by name.
func rankFiles(w *schema.Workload) []string {
	rules, exec := map[string]int{}, map[string]int{}
	for _, pos := range w.Pos {
		rules[pos.File] += 0
	}
	closure, _ := w.Closure(schema.PlaneExec)
	for _, pos := range closure.Pos {
		rules[pos.File] += 0
		exec[pos.File] = 1
	}
	for _, r := range w.Rules {
		for _, pos := range r.Pos {
			if r.Plane == schema.PlaneExec {
				rules[pos.File]++
			}
		}
	}
	return slices.SortedFunc(maps.Keys(rules), func(a, b string) int {
		return cmp.Or(cmp.Compare(exec[b], exec[a]), cmp.Compare(rules[b], rules[a]), cmp.Compare(a, b))
	})
}

// attempts yields edits of the files, the one that a person would have made first. Parents go to where the rule states them, or else into a
// statement of their own; new rules likewise.
func (e *editor) attempts(yield func(map[string][]byte) bool) {
	for _, restate := range []bool{false, true} {
		if restate && len(e.parents) == 0 {
			return
		}
		base, err := e.withParents(restate)
		if err != nil {
			continue
		}
		if len(e.rules) == 0 {
			if !yield(base) {
				return
			}
			continue
		}
		for plan := range e.rulePlans(base) {
			files := maps.Clone(base)
			files[plan.source.path] = plan.source.apply(plan.patches)
			if !yield(files) {
				return
			}
		}
	}
}

type plan struct {
	source  *source
	patches []patch
}

func (e *editor) parse(name string, changed map[string][]byte) (*source, error) {
	if data, ok := changed[name]; ok {
		return parseSource(name, data)
	}
	return parseSource(name, e.data[name])
}

// rulePlans yields places for the new rules: an exec struct of the workload, the workload's struct, the top of a file.
func (e *editor) rulePlans(changed map[string][]byte) func(func(plan) bool) {
	return func(yield func(plan) bool) {
		var sources []*source
		for _, name := range e.files {
			if s, err := e.parse(name, changed); err == nil {
				sources = append(sources, s)
			}
		}
		steps := []func(*source) [][]patch{e.intoExec, e.intoWorkload, func(s *source) [][]patch {
			return [][]patch{s.top(e.workload, []item{statement(execPath(e.workload), e.rules)})}
		}}
		for _, step := range steps {
			for _, s := range sources {
				for _, ps := range step(s) {
					if ps != nil && !yield(plan{s, ps}) {
						return
					}
				}
			}
		}
	}
}

// maxSpots bounds the places in one file that are tried, because each costs a compilation.
const maxSpots = 4

func (e *editor) intoExec(s *source) [][]patch {
	all := findSpots(s.file.Decls, execPath(e.workload), nil)
	var out [][]patch
	for _, sp := range bySize(all) {
		out = append(out, s.into(sp, all, e.rules))
	}
	return out[:min(len(out), maxSpots)]
}

func (e *editor) intoWorkload(s *source) [][]patch {
	path := execPath(e.workload)
	var out [][]patch
	for _, sp := range bySize(findSpots(s.file.Decls, path[:len(path)-1], nil)) {
		out = append(out, s.field(sp, e.rules))
	}
	return out[:min(len(out), maxSpots)]
}

// bySize sorts statements so that the one with most fields comes first; equal ones stay in the order of the file.
func bySize(spots []spot) []spot {
	spots = slices.Clone(spots)
	slices.SortStableFunc(spots, func(a, b spot) int { return cmp.Compare(b.size(), a.size()) })
	return spots
}

// withParents returns the files with the missing parents added: where the rule states its parents or, to restate, at the top of the first file.
func (e *editor) withParents(restate bool) (map[string][]byte, error) {
	out := map[string][]byte{}
	left := e.parents
	for _, name := range e.files {
		if restate || len(left) == 0 {
			break
		}
		s, err := e.parse(name, out)
		if err != nil {
			return nil, err
		}
		var patches []patch
		left = slices.DeleteFunc(slices.Clone(left), func(c Change) bool {
			ps := e.intoParents(s, c)
			patches = append(patches, ps...)
			return ps != nil
		})
		if len(patches) > 0 {
			out[name] = s.apply(patches)
		}
	}
	if len(left) == 0 {
		return out, nil
	}
	s, err := e.parse(e.files[0], out)
	if err != nil {
		return nil, err
	}
	var statements []item
	for _, c := range left {
		statements = append(statements, statement(append(execPath(e.workload), c.Object, "parent"), parentItems(c.Parents)))
	}
	out[s.path] = s.apply(s.top(e.workload, statements))
	return out, nil
}

func (e *editor) intoParents(s *source, c Change) []patch {
	all := findSpots(s.file.Decls, append(execPath(e.workload), c.Object, "parent"), nil)
	for _, sp := range bySize(all) {
		if ps := s.into(sp, all, parentItems(c.Parents)); ps != nil {
			return ps
		}
	}
	return nil
}
