// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"strings"
	"testing"

	"github.com/writ-sec/writ/enforcer/node/wire"
	"github.com/writ-sec/writ/schema"
)

func TestWhyNowhere(t *testing.T) {
	byCgroup := testWorkload("a", "/a", schema.ModeEnforce)
	byNamespace := testWorkload("a", "", schema.ModeEnforce)
	byNamespace.Match = schema.Match{Namespace: "shop", Labels: map[string]string{"app": "a"}}
	both := testWorkload("a", "/a", schema.ModeEnforce)
	both.Match.Labels = map[string]string{"app": "a"}
	open := testWorkload("a", "/a", schema.ModeEnforce)
	open.Closures = nil
	matching := func(m schema.Match) schema.Workload {
		w := testWorkload("a", "", schema.ModeEnforce)
		w.Match = m
		return w
	}
	tests := []struct {
		name    string
		w       schema.Workload
		cgroups int
		want    string
	}{
		{"in force", byCgroup, 1, ""},
		{"no such cgroup yet", byCgroup, 0, `no cgroup here matches "/a" yet`},
		{"namespace and labels", byNamespace, 0, "this host has no source of containers"},
		{"labels and cgroup", both, 0, "more than the cgroup, by labels;"},
		{"conditions on labels", matching(schema.Match{Expressions: map[string]schema.Expression{"app": {In: schema.Names{"a"}}}}), 0, "it matches by labels;"},
		{"a container", matching(schema.Match{Namespace: "shop", Container: "app*", Labels: map[string]string{"a": "b"}}), 0, "it matches by namespace, labels and the container's name;"},
		{"a container in a cgroup", matching(schema.Match{Container: "app", Cgroup: "/a"}), 0, "more than the cgroup, by the container's name;"},
		{"the host", matching(schema.Match{Host: true}), 0, "it matches processes that are in no container"},
		{"the host in a cgroup", matching(schema.Match{Host: true, Cgroup: "/a"}), 0, "it matches processes that are in no container"},
		{"exec is open", open, 0, "does not mention exec"},
	}
	for _, tt := range tests {
		got := whyNowhere(&tt.w, tt.cgroups)
		if !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := selectable([]*loaded{{Workload: byCgroup}, {Workload: byNamespace}, {Workload: both},
		{Workload: matching(schema.Match{Host: true, Cgroup: "/a"})}, {Workload: matching(schema.Match{Container: "a", Cgroup: "/a"})},
		{Workload: matching(schema.Match{Expressions: map[string]schema.Expression{"a": {Exists: new(bool)}}, Cgroup: "/a"})}}); len(got) != 1 {
		t.Errorf("%d workloads are selectable by the cgroup alone; want 1", len(got))
	}
}

func TestWeaknesses(t *testing.T) {
	got := weaknesses(wire.Backend{Features: []wire.Feature{
		{Name: "exec: program", Claim: wire.ClaimPrevent, Why: "late"},
		{Name: "exec: script behind #!", Claim: wire.ClaimNone, Why: "only the interpreter is seen"},
	}})
	if len(got) != 1 || got[0] != "exec: script behind #!: none here, because only the interpreter is seen" {
		t.Errorf("%q", got)
	}
}
