// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

// maxRSS is the bar for the agent's resident memory with 100 workloads of 50 rules, in KiB.
const maxRSS = 40 << 10

// hundred makes 100 workloads of 50 rules, each with a cgroup of its own.
func (h *host) hundred(make bool) []schema.Workload {
	var ws []schema.Workload
	for i := range 100 {
		name := fmt.Sprintf("w%03d", i)
		var programs []string
		for j := range 50 {
			programs = append(programs, fmt.Sprintf("/opt/%s/bin/program-%02d", name, j))
		}
		if make {
			h.cgroup("/" + name)
		}
		ws = append(ws, newWorkload(name, h.top+"/"+name, schema.ModeEnforce, programs...))
	}
	return ws
}

// memory reads VmRSS or VmHWM of the agent in KiB, see proc_pid_status(5).
func (a *agent) memory(field string) int {
	a.h.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		a.h.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				a.h.t.Fatal(err)
			}
			return n
		}
	}
	a.h.t.Fatalf("no %s in /proc/%d/status", field, a.cmd.Process.Pid)
	return 0
}

func TestRootResidentMemory(t *testing.T) {
	notTheKernel(t)
	h := newHost(t)
	a := h.start()
	if st := a.apply(h.hundred(true)...); len(st.Workloads) != 100 || len(st.Workloads[99].Cgroups) != 1 {
		t.Fatalf("%d workloads are in force", len(st.Workloads))
	}
	time.Sleep(4 * time.Second) // an apply's memory is given back after 2 s
	rss := a.memory("VmRSS")
	t.Logf("100 workloads of 50 rules: VmRSS %d KiB, VmHWM %d KiB", rss, a.memory("VmHWM"))
	if rss > maxRSS {
		t.Errorf("VmRSS %d KiB; want at most %d", rss, maxRSS)
	}
}

// BenchmarkRootApply measures a client's Apply, from the first byte sent to the answer that it is in force.
func BenchmarkRootApply(b *testing.B) {
	h := newHost(b)
	ws := h.hundred(true)
	b.Run("cold-100x50", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			a := h.start()
			b.StartTimer()
			a.apply(ws...)
			b.StopTimer()
			if err := a.client().Unload(b.Context()); err != nil {
				b.Fatal(err)
			}
			a.stop()
			b.StartTimer()
		}
	})
	a := h.start()
	a.apply(ws...)
	b.Run("one-changed-of-100x50", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			ws[7].Rules[3].ID = schema.RuleID(i + 1)
			a.apply(ws...)
		}
		b.ReportMetric(float64(a.memory("VmRSS"))/1024, "MiB-rss")
	})
	b.Run("unchanged-100x50", func(b *testing.B) {
		for b.Loop() {
			a.apply(ws...)
		}
	})
}
