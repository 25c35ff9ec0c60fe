// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/writ-sec/writ/enforcer/bpf"
	"github.com/writ-sec/writ/schema"
)

func TestReport(t *testing.T) {
	first := time.Date(2026, 1, 31, 12, 0, 0, 0, time.FixedZone("east", 3600))
	rec := bpf.Record{
		Cgroup: 7, Bound: 5, Program: 9, Object: "/usr/bin/curl", Parent: "/bin/sh", Action: schema.ActionDeny, Reason: schema.ReasonNoRule,
		Rule: 0x1f, PID: 10, PPID: 3, UID: 1000, Count: 4, First: first, Last: first.Add(time.Second),
	}
	got := newReport(rec, []string{"payments"}, "/shop/pay")
	want := `{"id":"` + got.ID + `","subject":{"cgroup":"/shop/pay"},"verb":"exec","object":"/usr/bin/curl","parent":"/bin/sh",` +
		`"verdict":{"action":"deny","reason":"no-rule","rule":"000000000000001f","workloads":["payments"]},` +
		`"count":4,"first":"2026-01-31T11:00:00Z","last":"2026-01-31T11:00:01Z","pid":10,"ppid":3,"uid":1000}`
	if data, err := json.Marshal(got); err != nil || string(data) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, data, want)
	}
	if again := newReport(rec, []string{"payments"}, "/shop/other"); again.ID != got.ID {
		t.Error("the same behaviour in another container is another report")
	}
	if other := newReport(rec, []string{"ledger"}, "/shop/pay"); other.ID == got.ID {
		t.Error("another workload's behaviour has the same ID")
	}
}

func TestRegistry(t *testing.T) {
	r := newRegistry(t.TempDir())
	r.noteCgroup(5, "/shop")
	r.noteProgram(9, []string{"a", "b"})
	if got := r.cgroup(5, 0); got != "/shop" {
		t.Errorf("a noted cgroup: %q", got)
	}
	if got := r.cgroup(99, 5); got != "/shop" {
		t.Errorf("a cgroup that is gone: %q, want the bound one above it", got)
	}
	if got := r.cgroup(99, 98); got != "" {
		t.Errorf("cgroups that nobody knows: %q", got)
	}
	if got := r.workloads(8); got != nil {
		t.Errorf("an unknown program: %q", got)
	}
	for i := range uint64(3 * maxNames) {
		r.noteCgroup(i, "/x")
		r.noteProgram(i, nil)
	}
	if len(r.cgroups) > maxNames || len(r.programs) > maxNames {
		t.Errorf("%d cgroups and %d programs are remembered; want at most %d", len(r.cgroups), len(r.programs), maxNames)
	}
}
