// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-sec/writ/enforcer/node/wire"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/testneed"
)

// slow reports whether the tests run on an emulated machine, where they do less of the same.
func slow() bool { return os.Getenv("WRIT_TEST_SLOW") != "" || testing.Short() }

func fewer(n int) int {
	if slow() {
		return n / 20
	}
	return n
}

// reopen closes the kernel side, as a process that ends, and opens it again.
func (r *rig) reopen(cfg Config) {
	r.t.Helper()
	if err := r.k.Close(); err != nil {
		r.t.Fatal(err)
	}
	cfg.PinDir = filepath.Join(r.pins, "writ")
	if cfg.Backend == "" {
		cfg.Backend = r.k.Backend()
	}
	k, err := Open(cfg)
	if err != nil {
		r.k = nil
		r.t.Fatal(err)
	}
	r.k = k
}

func TestRootRestart(t *testing.T) {
	r := newRig(t, Config{})
	p, q := r.program("p"), r.program("q")
	im := r.enforce(workload(schema.ModeEnforce, p))
	if r.k.Adopted() {
		t.Error("the first Open adopted something")
	}
	if _, err := Open(Config{PinDir: filepath.Join(r.pins, "writ")}); err == nil || !strings.Contains(err.Error(), "another process has it open") {
		t.Errorf("second Open: error %v; want one that says who has it", err)
	}
	if err := r.k.Close(); err != nil {
		t.Fatal(err)
	}
	r.want(true, p) // nobody has it open: the pins hold it in force
	r.want(false, q)
	k, err := Open(Config{PinDir: filepath.Join(r.pins, "writ"), Backend: r.k.Backend(), RingSize: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	r.k = k
	if !k.Adopted() {
		t.Error("the second Open attached something")
	}
	r.want(false, q)
	programs, err := k.Programs()
	if err != nil || len(programs) != 1 || programs[0] != im.Program() {
		t.Errorf("programs %v, error %v; want %d in slot 0", programs, err, im.Program())
	}
	bindings, err := k.Bindings()
	if slot, ok := bindings[r.id]; err != nil || len(bindings) != 1 || !ok || slot != 0 {
		t.Errorf("bindings %v, error %v; want %d in slot 0", bindings, err, r.id)
	}
	if n, err := os.ReadDir(filepath.Join(r.pins, "writ")); err != nil || len(n) != 1 {
		t.Errorf("pins %v, error %v; want one folder", n, err)
	}
	if err := k.DeleteProgram(0); err == nil || !strings.Contains(err.Error(), "is bound to it") {
		t.Errorf("delete a program in use: error %v", err)
	}
	if err := errors.Join(k.Unbind(r.id), k.DeleteProgram(0), k.DeleteProgram(0), k.Unbind(r.id)); err != nil {
		t.Error(err)
	}
	if err := k.Bind(r.id, r.level, 0); err == nil || !strings.Contains(err.Error(), "holds no program") {
		t.Errorf("bind to an empty slot: error %v", err)
	}
	r.want(true, q)
}

// A hook whose link was lost is attached again, on the maps that hold the policy.
func TestRootRepair(t *testing.T) {
	r := newRig(t, Config{})
	q := r.program("q")
	r.enforce(workload(schema.ModeEnforce, "/none"))
	for _, name := range r.k.variant.programs {
		if err := os.Remove(filepath.Join(r.k.dir, linkPin+name)); err != nil {
			t.Fatal(err)
		}
	}
	r.eventually(q)
	r.reopen(Config{})
	if r.k.Adopted() {
		t.Error("Open says that it attached nothing")
	}
	r.want(false, q)
}

// eventually waits for a program to run: the kernel frees a link a moment after its pin is gone.
func (r *rig) eventually(path string) {
	r.t.Helper()
	for range 200 {
		if r.runs(path) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.t.Errorf("%q does not run", path)
}

// What another version left stays in force until Retire.
func TestRootRetire(t *testing.T) {
	r := newRig(t, Config{})
	q := r.program("q")
	r.enforce(workload(schema.ModeEnforce, "/none"))
	old := r.k.variant.name + "-0000000000000000"
	if err := os.Rename(r.k.dir, filepath.Join(r.k.root, old)); err != nil {
		t.Fatal(err)
	}
	r.reopen(Config{})
	if r.k.Adopted() {
		t.Error("Open adopted another version's pins")
	}
	r.want(false, q) // by the old one: the new one has no program yet
	r.enforce(workload(schema.ModeEnforce, q))
	r.want(false, q)
	if err := r.k.Retire(); err != nil {
		t.Fatal(err)
	}
	r.want(true, q)
	if _, err := os.Stat(filepath.Join(r.k.root, old)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old pins are still there: %v", err)
	}
}

func TestRootUnload(t *testing.T) {
	r := newRig(t, Config{})
	q := r.program("q")
	r.enforce(workload(schema.ModeEnforce, "/none"))
	r.want(false, q)
	foreign := filepath.Join(r.pins, "writ", "someone-else")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.k.Unload(); err != nil {
		t.Fatal(err)
	}
	r.k = nil
	r.want(true, q)
	entries, err := os.ReadDir(filepath.Join(r.pins, "writ"))
	if err != nil || len(entries) != 1 || entries[0].Name() != "someone-else" {
		t.Errorf("left %v, error %v; want what is not ours", entries, err)
	}
}

func TestRootOpenErrors(t *testing.T) {
	testneed.Root(t)
	for _, test := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "none given"},
		{Config{PinDir: filepath.Join(t.TempDir(), "a/b")}, "is not on a bpffs"},
		{Config{PinDir: t.TempDir(), Backend: "magic"}, `backend "magic" is not known`},
	} {
		if _, err := Open(test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v; want one that contains %q", test.cfg, err, test.want)
		}
	}
}

// Without privileges there is one clear error.
func TestRootPrivileges(t *testing.T) {
	r := newRig(t, Config{})
	exe := r.exe("exe")
	if err := os.Chmod(filepath.Dir(r.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if !r.child(exe, "unprivileged") {
		t.Error("an unprivileged Open did not fail as it should; its output says how")
	}
}

func TestRootProbe(t *testing.T) {
	testneed.Root(t)
	b := Probe("")
	if b.Name == "none" || b.Kernel == "" || len(b.Features) != len(featureNames) {
		t.Fatalf("probe %+v", b)
	}
	for i, f := range b.Features {
		if f.Name != featureNames[i] || f.Claim != wire.ClaimPrevent && f.Why == "" {
			t.Errorf("feature %+v", f)
		}
		if f.Name == featureScript && (f.Claim == wire.ClaimPrevent) != (b.Name == "lsm") {
			t.Errorf("feature %+v in backend %q", f, b.Name)
		}
	}
	t.Logf("%+v", b)
}

// While a program is replaced again and again, each exec is judged by the old or by the new one, and both say the same of these two.
func TestRootSwap(t *testing.T) {
	r := newRig(t, Config{})
	p, q := r.program("opt/p"), r.program("opt/q")
	var images []*Image
	for i := range 2 {
		w := manyRules(10_000, "/opt/app")
		w.Rules = append(w.Rules, schema.Rule{ID: schema.RuleID(1e6 + i), Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: p})
		im, err := Compile([]*schema.Workload{w}, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, im)
	}
	r.enforce(workload(schema.ModeEnforce, p))
	run := r.runner(r.exe("runner"))
	var stop atomic.Bool
	execs := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n += 2 {
			if got := run([]string{p, q}); len(got) != 2 || !got[0] || got[1] {
				t.Errorf("after %d execs: ran %v; want [true false]", n, got)
				break
			}
		}
		execs <- n
	}()
	start := time.Now()
	swaps := fewer(1000)
	for i := range swaps {
		if err := r.k.SetProgram(0, images[i%2]); err != nil {
			t.Error(err)
			break
		}
	}
	took := time.Since(start)
	stop.Store(true)
	n := <-execs
	if n < swaps/4 {
		t.Errorf("only %d execs during %d swaps", n, swaps)
	}
	t.Logf("%d swaps of %d bytes in %v, %v each, %d execs meanwhile", swaps, images[0].Size(), took, took/time.Duration(swaps), n)
}

// While folders above a program are renamed, it never gets a path that it does not have. Its path is a/m/p, a/n/p or b/n/p; a walk that
// reads m before and b after two renames would find b/m/p.
func TestRootRename(t *testing.T) {
	r := newRig(t, Config{})
	p, err := os.Open(r.program("a/m/p"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r.enforce(workload(schema.ModeEnforce, r.dir+"/b/m/p", r.dir+"/proof"))
	run := r.runner(r.exe("runner"))
	if got := run([]string{r.program("proof")}); len(got) != 1 || !got[0] {
		t.Fatalf("an allowed program ran: %v", got)
	}
	var stop atomic.Bool
	renames := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			for _, step := range [][2]string{{"a/m", "a/n"}, {"a", "b"}, {"b", "a"}, {"a/n", "a/m"}} {
				if err := os.Rename(filepath.Join(r.dir, step[0]), filepath.Join(r.dir, step[1])); err != nil {
					t.Error(err)
				}
			}
		}
		renames <- n
	}()
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), p.Fd()) // the file itself, whatever its path is
	var paths []string
	for range fewer(4000) {
		paths = append(paths, path)
	}
	for _, ran := range run(paths) {
		if ran {
			t.Error("a file ran by a path that it never had")
			break
		}
	}
	stop.Store(true)
	t.Logf("%d execs during %d rounds of renames, lost %v", len(paths), <-renames, r.lost())
}
