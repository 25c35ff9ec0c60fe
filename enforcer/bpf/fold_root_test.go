// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

func TestRootFold(t *testing.T) {
	r := newRig(t, Config{FoldWindow: time.Second})
	r.program("p")
	r.program("q")
	r.enforce(workload(schema.ModeAudit))
	run := r.runner(r.exe("runner"))
	n := fewer(10_000)
	var paths []string
	for range n {
		paths = append(paths, r.dir+"/p")
	}
	paths = append(paths, r.dir+"/q")
	records := r.judged(func() { run(paths) })
	counts := map[string]uint64{}
	for _, rec := range records {
		counts[string(rec.Object)] += rec.Count
		if rec.Last.Before(rec.First) || time.Since(rec.First) > 10*time.Minute {
			t.Errorf("record from %v to %v", rec.First, rec.Last)
		}
	}
	lost := r.lost()
	race := lost["fold-race"] // which may be told of one that is counted as well
	delete(lost, "fold-race")
	if p := counts[r.dir+"/p"]; p > uint64(n) || p+race < uint64(n) || counts[r.dir+"/q"] != 1 {
		t.Errorf("counts %v, %d of them uncertain; want %d and 1", counts, race, n)
	}
	if len(records) > n/2 {
		t.Errorf("%d records for %d execs of the same program: nothing was folded", len(records), n)
	}
	if len(lost) > 0 {
		t.Errorf("lost %v", lost)
	}
}

// TestRootNothingIsSilent runs one program on several CPUs at once, while entries are taken as fast as can be, and again while the ring
// is full, so that entries are deleted as they are counted into. Each exec is in a record or in a loss.
func TestRootNothingIsSilent(t *testing.T) {
	for name, full := range map[string]bool{"taken": false, "ring full": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{FoldWindow: time.Microsecond, RingSize: 4096})
			p := r.program("p")
			r.enforce(workload(schema.ModeAudit))
			if full {
				r.fillRing()
			}
			before := r.lost()
			var c *collector
			if !full {
				c = r.collect()
			}
			const each, runners = 1000, 4
			n := r.inParallel(runners, slices.Repeat([]string{p}, fewer(each)))
			var records []Record
			if full {
				records = r.judgedSoFar()
			} else {
				records = c.stop()
			}
			told := uint64(0)
			for _, rec := range records {
				if string(rec.Object) == p {
					told += rec.Count
				}
			}
			lost := r.lost()
			// "unread" is of entries that were taken before their first event was read, which so short a window allows.
			sure := lost["ring-buffer"] - before["ring-buffer"] + lost["unread"] - before["unread"]
			race := lost["fold-race"] - before["fold-race"]
			if told+sure > n || told+sure+race < n {
				t.Errorf("%d in records, %d lost for sure, %d perhaps; want %d", told, sure, race, n)
			}
			if full && sure == 0 {
				t.Error("the ring was never full")
			}
			t.Logf("%d in records, %d lost for sure, %d perhaps, of %d; lost %v", told, sure, race, n, lost)
		})
	}
}

// fillRing runs programs that differ until the ring buffer is full.
func (r *rig) fillRing() {
	r.t.Helper()
	var paths []string
	for i := range 100 {
		paths = append(paths, r.program("fill"+strings.Repeat("x", i)))
	}
	r.runner(r.exe("filler"))(paths)
	if r.lost()["ring-buffer"] == 0 {
		r.t.Fatal("the ring buffer is not full")
	}
}

// inParallel runs all of paths by each of several runners, and returns how many execs that was.
func (r *rig) inParallel(runners int, paths []string) uint64 {
	exe := r.exe("runner")
	var runs []func([]string) []bool
	for range runners {
		runs = append(runs, r.runner(exe))
	}
	var wg sync.WaitGroup
	var n atomic.Uint64
	for _, run := range runs {
		wg.Go(func() { n.Add(uint64(len(run(paths)))) })
	}
	wg.Wait()
	return n.Load()
}

// What nobody reads is counted: either it is in the ring, or it is lost.
func TestRootRingFull(t *testing.T) {
	r := newRig(t, Config{RingSize: 4096})
	r.enforce(workload(schema.ModeAudit))
	run := r.runner(r.exe("runner"))
	n := 200
	var paths []string
	for i := range n {
		paths = append(paths, r.program("p"+strings.Repeat("x", i)))
	}
	run(paths)
	lost := r.lost()
	records := r.judgedSoFar()
	if lost["ring-buffer"] == 0 || uint64(len(records))+lost["ring-buffer"] != uint64(n) {
		t.Errorf("%d records and lost %v; want %d together", len(records), lost, n)
	}
	for range 2 { // what was lost is tried again, not folded into nothing
		records = r.judged(func() { run(paths[n-1:]) })
	}
	if len(records) != 1 {
		t.Errorf("records %+v; want one", records)
	}
}

func (r *rig) judgedSoFar() (records []Record) {
	past, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.k.Read(past, func(rec Record) error { records = append(records, rec); return nil }); err != nil {
		r.t.Fatal(err)
	}
	return records
}
