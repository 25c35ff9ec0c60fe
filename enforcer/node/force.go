// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/writ-sec/writ/enforcer/bpf"
	"github.com/writ-sec/writ/schema"
)

// maxStandby is how many programs are put in the kernel before a cgroup is under them, so that a new cgroup is bound by one write.
const maxStandby = 1024

// force is a generation in force: the one owner of the kernel's programs and bindings. It belongs to one goroutine.
type force struct {
	kernel *bpf.Kernel
	root   string // directory where cgroup2 is mounted
	names  *registry

	gen      generation
	picked   []*loaded         // workloads that can be selected here, in the order of the forest's patterns
	forest   *forest           // nil before the first generation
	have     inForce           // what the kernel holds
	levels   map[uint64]int    // of bound cgroups, as far as known
	compiled map[string]uint64 // set of workloads, by digests -> program
	failed   []string          // sets that could not be put in force since the last apply, one sentence each

	now   func() time.Time       // decides planned modes
	modes map[string]schema.Mode // in force, of the workloads whose mode has a date; by name
}

// newForce takes over what the kernel holds.
func newForce(k *bpf.Kernel, root string, names *registry) (*force, error) {
	f := &force{kernel: k, root: root, names: names, levels: map[uint64]int{}, compiled: map[string]uint64{}, now: time.Now}
	return f, f.read()
}

// read brings have up to date with the kernel.
func (f *force) read() error {
	programs, err := f.kernel.Programs()
	if err != nil {
		return err
	}
	bindings, err := f.kernel.Bindings()
	if err != nil {
		return err
	}
	f.have = inForce{programs: programs, bindings: bindings}
	return nil
}

// Close ends the watches; the kernel stays as it is.
func (f *force) Close() {
	if f.forest != nil {
		f.forest.Close()
	}
}

// target is what shall be in force, with the means to put it there.
type target struct {
	wanted wanted
	images map[uint64]*bpf.Image // of programs that are not in the kernel
	names  map[uint64][]string
	paths  map[uint64]string // of the cgroups to bind
	failed []string
	at     time.Time // of the modes
}

// selectable returns the workloads that a node can select by what it knows: the cgroup alone.
func selectable(ws []*loaded) []*loaded {
	var out []*loaded
	for _, w := range ws {
		rest := w.Match
		rest.Cgroup = ""
		if w.Match.Cgroup != "" && rest.Zero() {
			out = append(out, w)
		}
	}
	return out
}

// put replaces what is in force by a generation. On an error everything is as before, unless the error says that it is not.
func (f *force) put(g generation) error {
	picked := selectable(g.workloads)
	forest, err := newForest(f.root, patternsOf(picked))
	if err != nil {
		return err
	}
	t := f.aim(picked, forest)
	if len(t.failed) > 0 {
		err = errors.New(strings.Join(t.failed, "; "))
	} else {
		err = f.reach(&t, true)
	}
	if err != nil {
		forest.Close()
		return err
	}
	f.Close()
	f.gen, f.picked, f.forest, f.failed, f.modes = g, picked, forest, t.failed, datedModes(picked, t.at)
	f.prune()
	return nil
}

func patternsOf(ws []*loaded) []string {
	var out []string
	for _, w := range ws {
		out = append(out, w.Match.Cgroup)
	}
	return out
}

// refresh follows the hierarchy after the forest has changed. What can't be put in force is told, the rest is.
func (f *force) refresh() error {
	t := f.aim(f.picked, f.forest)
	err := f.reach(&t, false)
	f.failed = t.failed
	if err == nil {
		f.modes = datedModes(f.picked, t.at)
	}
	return err
}

// rewalk reads the whole hierarchy again.
func (f *force) rewalk() error {
	forest, err := newForest(f.root, patternsOf(f.picked))
	if err != nil {
		return err
	}
	f.forest.Close()
	f.forest = forest
	return f.refresh()
}

// aim works out what shall be in force, compiling what the kernel lacks. Sets that do not compile are named in failed; their cgroups
// are left to the ones above them.
func (f *force) aim(picked []*loaded, forest *forest) target {
	t := target{
		wanted: wanted{programs: map[uint64]bool{}, bindings: map[uint64]binding{}},
		images: map[uint64]*bpf.Image{}, names: map[uint64][]string{}, paths: map[uint64]string{}, at: f.now(),
	}
	inKernel := map[uint64]bool{}
	for _, p := range f.have.programs {
		inKernel[p] = true
	}
	for i := range min(len(picked), maxStandby) {
		if closesExec(picked[i : i+1]) {
			f.addProgram(&t, inKernel, picked[i:i+1])
		}
	}
	for _, d := range forest.selected() {
		set := pick(picked, d.set)
		if !closesExec(set) {
			continue // nothing to judge, and nothing above is closed either: sets only grow downwards
		}
		if program, ok := f.addProgram(&t, inKernel, set); ok {
			t.wanted.bindings[d.id] = binding{level: d.level, program: program}
			t.paths[d.id] = d.path
		}
	}
	return t
}

func pick(ws []*loaded, indexes []int) []*loaded {
	out := make([]*loaded, len(indexes))
	for i, n := range indexes {
		out[i] = ws[n]
	}
	return out
}

func closesExec(set []*loaded) bool {
	return slices.ContainsFunc(set, func(w *loaded) bool {
		_, ok := w.Closure(schema.PlaneExec)
		return ok
	})
}

// addProgram makes the program of a set of workloads part of the target.
func (f *force) addProgram(t *target, inKernel map[uint64]bool, set []*loaded) (uint64, bool) {
	key, names := keyOf(set, t.at)
	program, ok := f.compiled[key]
	if !ok || !inKernel[program] && t.images[program] == nil {
		image, err := compile(set, t.at)
		if err != nil {
			sentence := fmt.Sprintf("workloads %q can't be put in force together: %v", names, err)
			if len(t.failed) < maxWarnings && !slices.Contains(t.failed, sentence) {
				t.failed = append(t.failed, sentence)
			}
			return 0, false
		}
		program = image.Program()
		f.compiled[key] = program
		if !inKernel[program] {
			t.images[program] = image
		}
	}
	t.wanted.programs[program], t.names[program] = true, names
	return program, true
}

// keyOf names a set of workloads by their content, as it is at an instant.
func keyOf(set []*loaded, at time.Time) (key string, names []string) {
	var b strings.Builder
	for _, w := range set {
		b.WriteString(w.file.Digest)
		if c, ok := w.Closure(schema.PlaneExec); ok && c.Then != "" {
			b.WriteString(string(modeAt(&c, at)))
		}
		names = append(names, w.Name)
	}
	return b.String(), names
}

func compile(set []*loaded, at time.Time) (*bpf.Image, error) {
	ws := make([]*schema.Workload, len(set))
	for i, w := range set {
		ws[i] = decided(&w.Workload, at)
	}
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, err
	}
	return bpf.Compile(ws, binary.NativeEndian.Uint64(seed[:]))
}

// reach takes the steps to a target. If one fails and undo is set, it goes back to what was in force before. Once the first old
// program is deleted all of the new is in force, so a failure from then on is only told in failed: the next plan tries again.
func (f *force) reach(t *target, undo bool) error {
	steps, err := plan(f.have, t.wanted, f.levels)
	if err != nil {
		return err
	}
	for p, names := range t.names {
		f.names.noteProgram(p, names)
	}
	for id, path := range t.paths {
		f.names.noteCgroup(id, path)
		f.levels[id] = t.wanted.bindings[id].level
	}
	before := maps.Clone(f.have.bindings)
	for i := 0; i < len(steps); {
		n := together(steps[i:])
		done, err := f.takeAll(steps[i:i+n], t)
		if err != nil && steps[i].op == opDelete {
			t.failed = append(t.failed, err.Error())
		} else if err != nil {
			err = fmt.Errorf("put in force, after %d of %d steps: %w", i+len(done), len(steps), err)
			if undo {
				err = errors.Join(err, f.goBack(slices.Concat(steps[:i], done), before))
			}
			return err
		}
		i += n
	}
	return nil
}

// maxTogether is how many programs are written at once. The kernel waits for a grace period of about 10 ms after each write, which
// those at the same time share.
const maxTogether = 32

// together returns how many of the next steps may be taken at once: those that only fill or only empty slots.
func together(steps []step) int {
	if op := steps[0].op; op != opSet && op != opDelete {
		return 1
	}
	n := 1
	for n < len(steps) && steps[n].op == steps[0].op {
		n++
	}
	return n
}

// takeAll takes steps in any order and returns those that were taken.
func (f *force) takeAll(steps []step, t *target) ([]step, error) {
	errs := make([]error, len(steps))
	var g errgroup.Group
	g.SetLimit(maxTogether)
	for i, s := range steps {
		g.Go(func() error {
			errs[i] = f.take(s, t)
			return nil
		})
	}
	_ = g.Wait() // errs has them, each with its step
	var done []step
	for i, s := range steps {
		if errs[i] == nil {
			f.have.note(s)
			if s.op == opUnbind {
				delete(f.levels, s.cgroup)
			}
			done = append(done, s)
		}
	}
	return done, errors.Join(errs...)
}

// take does one step in the kernel.
func (f *force) take(s step, t *target) error {
	switch s.op {
	case opSet:
		return f.kernel.SetProgram(s.slot, t.images[s.program])
	case opBind:
		if err := f.kernel.Bind(s.cgroup, s.level, s.slot); err != nil {
			return fmt.Errorf("cgroup %q: %w", t.paths[s.cgroup], err)
		}
		return nil
	case opUnbind:
		return f.kernel.Unbind(s.cgroup)
	}
	return f.kernel.DeleteProgram(s.slot)
}

// goBack undoes steps, the last first. The programs of before are still in their slots, because a plan deletes last.
func (f *force) goBack(done []step, before map[uint64]uint32) error {
	var errs []error
	for _, s := range slices.Backward(done) {
		_, err := f.takeAll([]step{undo(s, before)}, &target{})
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("going back failed too, so parts of the new policy are in force beside the old: %w; apply again", err)
	}
	return nil
}

func undo(s step, before map[uint64]uint32) step {
	slot, bound := before[s.cgroup]
	switch {
	case s.op == opSet:
		return step{op: opDelete, slot: s.slot}
	case bound && s.level > 0: // one whose level is not known is gone
		return step{op: opBind, cgroup: s.cgroup, level: s.level, slot: slot}
	}
	return step{op: opUnbind, cgroup: s.cgroup}
}

// prune forgets compiled sets that are not in force.
func (f *force) prune() {
	inKernel := map[uint64]bool{}
	for _, p := range f.have.programs {
		inKernel[p] = true
	}
	maps.DeleteFunc(f.compiled, func(_ string, p uint64) bool { return !inKernel[p] })
}
