// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/writ-sec/writ/enforcer/bpf"
)

func (s step) String() string {
	switch s.op {
	case opSet:
		return fmt.Sprintf("set %d=%d", s.slot, s.program)
	case opBind:
		return fmt.Sprintf("bind %d->%d", s.cgroup, s.slot)
	case opUnbind:
		return fmt.Sprintf("unbind %d", s.cgroup)
	}
	return fmt.Sprintf("delete %d", s.slot)
}

func programs(ps ...uint64) map[uint64]bool {
	m := map[uint64]bool{}
	for _, p := range ps {
		m[p] = true
	}
	return m
}

func TestPlan(t *testing.T) {
	tests := []struct {
		name string
		have inForce
		want wanted
		lv   map[uint64]int
		plan string
	}{
		{
			name: "nothing to do",
			have: inForce{map[uint32]uint64{0: 7}, map[uint64]uint32{100: 0}},
			want: wanted{programs(7), map[uint64]binding{100: {1, 7}}},
		},
		{
			name: "first apply, a program for later among them",
			want: wanted{programs(7, 8), map[uint64]binding{100: {1, 7}}},
			plan: "set 0=7, set 1=8, bind 100->0",
		},
		{
			name: "one program changed, the other is not touched",
			have: inForce{map[uint32]uint64{0: 7, 1: 8}, map[uint64]uint32{100: 0, 200: 1}},
			want: wanted{programs(7, 9), map[uint64]binding{100: {1, 7}, 200: {1, 9}}},
			plan: "set 2=9, bind 200->2, delete 1",
		},
		{
			name: "the deepest are bound first",
			want: wanted{programs(7, 8), map[uint64]binding{100: {1, 7}, 101: {2, 8}}},
			plan: "set 0=7, set 1=8, bind 101->1, bind 100->0",
		},
		{
			name: "the shallowest are unbound first, after the binds",
			have: inForce{map[uint32]uint64{0: 7, 1: 8}, map[uint64]uint32{101: 0, 100: 1}},
			want: wanted{programs(9), map[uint64]binding{1: {1, 9}}},
			lv:   map[uint64]int{101: 2, 100: 3},
			plan: "set 2=9, bind 1->2, unbind 101, unbind 100, delete 0, delete 1",
		},
		{
			name: "removal",
			have: inForce{map[uint32]uint64{3: 7}, map[uint64]uint32{100: 3}},
			plan: "unbind 100, delete 3",
		},
		{
			name: "the same program twice, as a broken apply can leave it: one goes",
			have: inForce{map[uint32]uint64{0: 7, 4: 7}, map[uint64]uint32{100: 4}},
			want: wanted{programs(7), map[uint64]binding{100: {1, 7}}},
			plan: "bind 100->0, delete 4",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			steps, err := plan(tt.have, tt.want, tt.lv)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range steps {
				got = append(got, s.String())
			}
			if s := strings.Join(got, ", "); s != tt.plan {
				t.Errorf("got  %s\nwant %s", s, tt.plan)
			}
		})
	}
}

func TestPlanOutOfSlots(t *testing.T) {
	have := inForce{programs: map[uint32]uint64{}}
	for i := range uint32(bpf.MaxSlots) {
		have.programs[i] = uint64(i) + 1000
	}
	if _, err := plan(have, wanted{programs: programs(1)}, nil); err == nil {
		t.Fatal("there is no room for old and new together, so nothing may change")
	}
}

// TestPlanHasNoThirdState walks random plans step by step over a random hierarchy, and looks after each step at the program that judges
// each cgroup: it is the old one until it is the new one for good.
func TestPlanHasNoThirdState(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		parents, levels := randomTree(r)
		have, want := randomForce(r, len(parents)), randomWanted(r, levels)
		steps, err := plan(have, want, levels)
		if err != nil {
			t.Fatal(err)
		}
		old, state := judges(have, parents), have.clone()
		target := wantedJudges(want, parents)
		moved := map[uint64]bool{}
		for i, s := range steps {
			state.do(t, s)
			for id, p := range judges(state, parents) {
				if moved[id] && p != target[id] || p != old[id] && p != target[id] {
					t.Fatalf("cgroup %d is judged by %d after step %d of %v; old %d, new %d", id, p, i, steps, old[id], target[id])
				}
				moved[id] = moved[id] || p == target[id] && p != old[id]
			}
		}
		if got := judges(state, parents); !reflect.DeepEqual(got, target) {
			t.Fatalf("after %v: %v, want %v", steps, got, target)
		}
		if again, _ := plan(state, want, levels); len(again) > 0 {
			t.Fatalf("a second plan wants %v", again)
		}
	}
}

// randomTree makes cgroups 1 to n; cgroup i lies below one with a lower id, or below 0, the root.
func randomTree(r *rand.Rand) (parents map[uint64]uint64, levels map[uint64]int) {
	parents, levels = map[uint64]uint64{}, map[uint64]int{}
	for i := range uint64(1 + r.IntN(8)) {
		id := i + 1
		parents[id] = r.Uint64N(id)
		levels[id] = levels[parents[id]] + 1
	}
	return parents, levels
}

func randomForce(r *rand.Rand, n int) inForce {
	f := inForce{map[uint32]uint64{}, map[uint64]uint32{}}
	for p := range uint64(4) {
		f.programs[uint32(p)*2] = p + 1
	}
	for id := range n {
		if r.IntN(2) == 0 {
			f.bindings[uint64(id)+1] = uint32(r.IntN(4)) * 2
		}
	}
	return f
}

func randomWanted(r *rand.Rand, levels map[uint64]int) wanted {
	w := wanted{map[uint64]bool{}, map[uint64]binding{}}
	for id, l := range levels {
		if r.IntN(2) == 0 {
			p := r.Uint64N(6) + 1
			w.programs[p], w.bindings[id] = true, binding{l, p}
		}
	}
	return w
}

func (f inForce) clone() inForce { return inForce{maps.Clone(f.programs), maps.Clone(f.bindings)} }

// do takes a step under the kernel's conditions.
func (f *inForce) do(t *testing.T, s step) {
	t.Helper()
	_, used := f.programs[s.slot]
	switch s.op {
	case opSet:
		if used {
			t.Fatalf("%v: the slot is in use", s)
		}
	case opBind:
		if !used {
			t.Fatalf("%v: the slot is empty", s)
		}
	case opDelete:
		for _, slot := range f.bindings {
			if slot == s.slot {
				t.Fatalf("%v: a cgroup is bound to it", s)
			}
		}
	}
	f.note(s)
}

// judges gives the program of each cgroup: that of the nearest bound one at or above it; 0 for none.
func judges(f inForce, parents map[uint64]uint64) map[uint64]uint64 {
	out := map[uint64]uint64{}
	for id := range parents {
		out[id] = 0
		for c := id; c != 0; c = parents[c] {
			if slot, ok := f.bindings[c]; ok {
				out[id] = f.programs[slot]
				break
			}
		}
	}
	return out
}

func wantedJudges(w wanted, parents map[uint64]uint64) map[uint64]uint64 {
	out := map[uint64]uint64{}
	for id := range parents {
		out[id] = 0
		for c := id; c != 0; c = parents[c] {
			if b, ok := w.bindings[c]; ok {
				out[id] = b.program
				break
			}
		}
	}
	return out
}
