// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema/testneed"
)

const (
	benchWorkloads = 100
	benchRules     = 50
	benchCgroup    = "/writ-bench"
)

// benchFile is one leaf folder's policy: one workload of benchRules rules, and extra ones.
func benchFile(n int, extra ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "package policy\n\nworkload: \"bench-%03d\": {\n\tmatch: cgroup: \"%s/w%03d\"\n\tmode:  \"enforce\"\n\towner: \"team-%03d\"\n\texec: {\n", n, benchCgroup, n, n)
	for i := range benchRules {
		fmt.Fprintf(&b, "\t\t\"/opt/team-%03d/bin/program-%02d\": why: \"part %d of the product\"\n", n, i, i)
	}
	for _, path := range extra {
		fmt.Fprintf(&b, "\t\t%q: {}\n", path)
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}

func benchName(n int) string { return fmt.Sprintf("team-%03d/bench.cue", n) }

// TestBenchPushToForce measures from the commit to the kernel: cold, by a new writ up on an empty state folder, and warm, by a signal to a
// running one after one leaf file changed. Each warm run is proven by a process that the change allows.
func TestBenchPushToForce(t *testing.T) {
	testneed.Root(t)
	const colds, warms = 20, 100
	writ := buildPrograms(t)
	files := starter(nil)
	for n := range benchWorkloads {
		files[benchName(n)] = benchFile(n)
	}
	repo := newTestRepo(t, files)

	var cold []time.Duration
	for range colds {
		took, parts := benchCold(t, writ, repo)
		t.Logf("cold: %v, of which %+v ms", took, parts)
		cold = append(cold, took)
	}
	report(t, "PushToForceCold", cold, time.Second)

	cgroup, err := newDemoCgroup(benchCgroup + "/w042")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cgroup.remove(); err != nil {
			t.Error(err)
		}
	})
	u := startUp(t, writ, repo)
	u.inForce(t)
	fmt.Printf("BenchmarkNodeResident 1 %s\n", u.child(t)["VmRSS"])
	var warm []time.Duration
	var parts millis
	for i := range warms {
		program := filepath.Join(u.dir, fmt.Sprintf("true-%d", i))
		if out, err := exec.Command("cp", "/usr/bin/true", program).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v: %s", err, out)
		}
		if _, err := cgroup.run(t.Context(), program); err == nil {
			t.Fatalf("%s runs before the policy allows it", program)
		}
		repo.commit(t, map[string]string{benchName(42): benchFile(42, program)})
		start := time.Now()
		u.pull()
		parts = u.inForce(t).Millis
		warm = append(warm, time.Since(start))
		if _, err := cgroup.run(t.Context(), program); err != nil {
			t.Fatalf("%s does not run after the policy allows it: %v", program, err)
		}
	}
	t.Logf("the last pull took %+v ms", parts)
	report(t, "PushToForceSignalled", warm, 300*time.Millisecond)
}

// benchCold measures one start of writ up on nothing.
func benchCold(t *testing.T, writ string, repo *testRepo) (took time.Duration, parts millis) {
	t.Run("cold", func(t *testing.T) {
		start := time.Now()
		u := startUp(t, writ, repo)
		parts = u.inForce(t).Millis
		took = time.Since(start)
	})
	return took, parts
}

// report prints a row in the form of Go's benchmarks, and fails when the bar is missed.
func report(t *testing.T, name string, samples []time.Duration, bar time.Duration) {
	t.Helper()
	slices.Sort(samples)
	ms := func(q float64) float64 {
		return float64(samples[min(len(samples)-1, int(q*float64(len(samples))))].Microseconds()) / 1000
	}
	fmt.Printf("Benchmark%s %d %.1f p50-ms %.1f p99-ms\n", name, len(samples), ms(0.5), ms(0.99))
	if ms(0.99) >= float64(bar.Milliseconds()) {
		t.Errorf("%s: p99 is %.1f ms; want less than %v", name, ms(0.99), bar)
	}
}
