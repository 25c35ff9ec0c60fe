// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The bars of the project: 100 workloads of 50 rules in 100 folders.
const (
	benchWorkloads = 100
	benchRules     = 50
)

func benchLeaf(i, edition int) string {
	programs := []string{fmt.Sprintf("/usr/bin/edition-%d", edition)}
	for r := range benchRules - 1 {
		programs = append(programs, fmt.Sprintf("/usr/bin/program-%d-%d", i, r))
	}
	return workloadFile(fmt.Sprintf("w%03d", i), programs...)
}

func benchPolicy() files {
	f := files{"policy.cue": rootFile}
	for i := range benchWorkloads {
		f[fmt.Sprintf("team%03d/w.cue", i)] = benchLeaf(i, 0)
	}
	return f
}

// durations reports percentiles of what it collects.
type durations []time.Duration

func (d durations) report(b *testing.B, name string) {
	slices.Sort(d)
	at := func(p float64) float64 {
		return float64(d[min(len(d)-1, int(p*float64(len(d))))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.50), "p50-"+name+"-ms")
	b.ReportMetric(at(0.99), "p99-"+name+"-ms")
}

// benchRemotes runs a benchmark over a local path and over https.
func benchRemotes(b *testing.B, run func(b *testing.B, o *origin, url string, change func(*Config))) {
	b.Run("file", func(b *testing.B) {
		o := newOrigin(b)
		run(b, o, o.path, nil)
	})
	b.Run("https", func(b *testing.B) {
		o := newOrigin(b)
		url, ca := serve(b, filepath.Dir(o.path), nil)
		run(b, o, url+"/policy.git", func(c *Config) { c.Auth.CAFile = ca })
	})
}

// BenchmarkSignalledPull measures from the push of one changed leaf to the bundle folder that has it, Run being signalled.
func BenchmarkSignalledPull(b *testing.B) {
	benchRemotes(b, func(b *testing.B, o *origin, url string, change func(*Config)) {
		policy := benchPolicy()
		o.push(policy, "first")
		bench := newBench(b, url, func(c *Config) { apply(change, c); c.Interval = time.Hour })
		outcomes, now := make(chan Outcome), make(chan struct{})
		go bench.r.Run(b.Context(), now, func(o Outcome) { outcomes <- o })
		if first := <-outcomes; first.Err != nil {
			b.Fatal(first.Err)
		}
		var all, fetch, read, compile, put durations
		edition := 0
		for b.Loop() {
			edition++
			i := edition % benchWorkloads
			policy[fmt.Sprintf("team%03d/w.cue", i)] = benchLeaf(i, edition)
			b.StopTimer()
			h := o.push(policy, "edit")
			b.StartTimer()
			start := time.Now()
			now <- struct{}{}
			got := <-outcomes
			all = append(all, time.Since(start))
			if got.Err != nil || got.InForce != h.String() || !got.Changed || len(workloads(got.Changes)) != 1 {
				b.Fatalf("outcome is %+v", got)
			}
			fetch, read = append(fetch, got.Timings.Fetch), append(read, got.Timings.Read)
			compile, put = append(compile, got.Timings.Compile), append(put, got.Timings.Apply)
		}
		all.report(b, "total")
		fetch.report(b, "fetch")
		read.report(b, "read")
		compile.report(b, "compile")
		put.report(b, "apply")
	})
}

// BenchmarkColdStart measures from nothing at all to the bundle folder: clone, compile everything, write.
func BenchmarkColdStart(b *testing.B) {
	benchRemotes(b, func(b *testing.B, o *origin, url string, change func(*Config)) {
		o.push(benchPolicy(), "first")
		var all durations
		for b.Loop() {
			b.StopTimer()
			bench := newBench(b, url, change)
			b.StartTimer()
			start := time.Now()
			if got := bench.r.Once(b.Context()); got.Err != nil {
				b.Fatal(got.Err)
			}
			all = append(all, time.Since(start))
		}
		all.report(b, "total")
	})
}

// BenchmarkIdlePoll measures a poll that finds nothing new: the remote is asked and the folder verified.
func BenchmarkIdlePoll(b *testing.B) {
	benchRemotes(b, func(b *testing.B, o *origin, url string, change func(*Config)) {
		o.push(benchPolicy(), "first")
		bench := newBench(b, url, change)
		bench.once()
		for b.Loop() {
			if got := bench.r.Once(b.Context()); got.Err != nil || got.Changed {
				b.Fatalf("outcome is %+v", got)
			}
		}
	})
}
