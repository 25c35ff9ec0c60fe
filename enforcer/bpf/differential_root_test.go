// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// runner starts the runner role from an executable in the cgroup, and returns a function that has it run programs and tells which ran.
// Start it where its own exec is allowed.
func (r *rig) runner(exe string) func(paths []string) []bool {
	r.t.Helper()
	cmd := r.command(exe)
	cmd.Env = append(os.Environ(), childEnv+"=runner")
	in, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	var bindings map[uint64]uint32
	if bindings, err = r.k.Bindings(); err == nil {
		err = r.k.Unbind(r.id) // the runner itself is not judged
	}
	if err == nil {
		err = cmd.Start()
	}
	if slot, ok := bindings[r.id]; ok && err == nil {
		err = r.k.Bind(r.id, r.level, slot)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			r.t.Errorf("runner: %v", err)
		}
	})
	answers := bufio.NewReader(out)
	return func(paths []string) (ran []bool) {
		for len(paths) > 0 { // in portions that fit into a pipe with their answers
			n := min(len(paths), 64)
			if _, err := io.WriteString(in, strings.Join(paths[:n], "\n")+"\n\n"); err != nil {
				r.t.Error(err)
				return ran
			}
			for range n {
				line, err := answers.ReadString('\n')
				if err != nil {
					r.t.Errorf("runner: %v", err)
					return ran
				}
				ran = append(ran, line == "ran\n")
			}
			paths = paths[n:]
		}
		return ran
	}
}

// TestRootDifferential compares the kernel with schema.JudgeWorkloads on generated rules and execs: what runs, and, of what no rule allows,
// the action, the reason and the rule.
func TestRootDifferential(t *testing.T) {
	r := newRig(t, Config{})
	random := rand.New(rand.NewPCG(5, 6))
	root := r.dir + "/t"
	objects := r.tree(random, root, 300)
	runners := map[string]func([]string) []bool{}
	parents := []string{r.dir + "/**", r.dir + "/run/*/two", r.dir + "/*/one", r.dir + "/**/t*o"}
	for _, name := range []string{"run/one", "run/x/two"} {
		exe := r.exe(name)
		parents = append(parents, exe)
		runners[exe] = r.runner(exe)
	}
	total, reasons := 0, map[schema.Reason]int{}
	for policy := range 20 {
		modes := []schema.Mode{schema.ModeEnforce}
		if policy%4 == 3 {
			modes = []schema.Mode{schema.ModeAudit}
		}
		ws := genWorkloads(random, root, parents, modes...)
		r.enforce(ws...)
		for exe, run := range runners {
			var cases []string
			for range fewer(520) {
				cases = append(cases, objects[random.IntN(len(objects))])
			}
			var ran []bool
			records := r.judged(func() { ran = run(cases) })
			total += len(cases)
			if err := r.compare(ws, exe, cases, ran, records, reasons); err != nil {
				t.Fatalf("policy %d: %v\n%+v", policy, err, ws)
			}
		}
	}
	if want := fewer(20_000); total < want {
		t.Errorf("%d cases; want at least %d", total, want)
	}
	for _, reason := range []schema.Reason{schema.ReasonRule, schema.ReasonNoRule, schema.ReasonParent} {
		if reasons[reason] == 0 {
			t.Errorf("reason %q never came up", reason)
		}
	}
	if lost := r.lost(); len(lost) > 0 {
		t.Errorf("lost %v", lost)
	}
	t.Logf("%s: %d cases, %v", r.k.variant.name, total, reasons)
}

// tree makes programs at generated paths, all links of one file.
func (r *rig) tree(random *rand.Rand, root string, n int) (paths []string) {
	one := r.program("program")
	for len(paths) < n {
		path := genPath(random, root)
		if os.MkdirAll(filepath.Dir(path), 0o755) == nil && os.Link(one, path) == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

func (r *rig) compare(ws []*schema.Workload, parent string, cases []string, ran []bool, records []Record, reasons map[schema.Reason]int) error {
	if r.k.variant.name == variantDone.name {
		parent = ""
	}
	counts, want := map[string]uint64{}, map[string]uint64{}
	for _, rec := range records {
		v := judge(ws, rec.Object, schema.Path(parent), rec.Origin)
		if rec.Action != v.Action || rec.Reason != v.Reason || rec.Rule != v.Rule || string(rec.Parent) != parent {
			return fmt.Errorf("record %+v; schema says %+v with parent %q", rec, v, parent)
		}
		counts[string(rec.Object)] += rec.Count
	}
	for i, path := range cases {
		v := judge(ws, schema.Path(path), schema.Path(parent), "")
		reasons[v.Reason]++
		if ran[i] != (v.Action != schema.ActionDeny) {
			return fmt.Errorf("%q from %q ran: %v; schema says %+v", path, parent, ran[i], v)
		}
		if v.Action != schema.ActionAllow {
			want[path]++
		}
	}
	for path := range want {
		if counts[path] != want[path] {
			return fmt.Errorf("%q: reported %d times; want %d", path, counts[path], want[path])
		}
	}
	if len(counts) != len(want) {
		return fmt.Errorf("%d programs reported; want %d", len(counts), len(want))
	}
	return nil
}
