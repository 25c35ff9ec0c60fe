// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/writ-sec/writ/enforcer/bpf"
)

// inForce is what the kernel holds.
type inForce struct {
	programs map[uint32]uint64 // slot -> program
	bindings map[uint64]uint32 // cgroup id -> slot
}

// note follows a step that was taken.
func (f *inForce) note(s step) {
	switch s.op {
	case opSet:
		f.programs[s.slot] = s.program
	case opBind:
		f.bindings[s.cgroup] = s.slot
	case opUnbind:
		delete(f.bindings, s.cgroup)
	case opDelete:
		delete(f.programs, s.slot)
	}
}

// wanted is what it shall hold.
type wanted struct {
	programs map[uint64]bool    // with those that no cgroup is under yet
	bindings map[uint64]binding // by cgroup id
}

// binding puts a cgroup under a program.
type binding struct {
	level   int // of the cgroup; the root's is 0
	program uint64
}

// operation is what a step does.
type operation int

// The operations, in the order in which a plan has them.
const (
	opSet    operation = iota // put program into slot, which is empty
	opBind                    // put cgroup at level under slot, whatever it was under
	opUnbind                  // leave cgroup to the one above it that is bound, if any
	opDelete                  // empty slot, which no cgroup is under
)

// step is one atomic change in the kernel.
type step struct {
	op      operation
	slot    uint32
	program uint64 // of opSet
	cgroup  uint64 // of opBind and opUnbind
	level   int    // of cgroup; of opUnbind as far as it is known, else 0
}

// plan returns the steps from what is in force to what is wanted. At every moment between them each cgroup is judged by its old program
// or by its new one, never by a third and never by none if it has both:
//
//   - A program is never replaced in its slot. A new one gets an empty slot, cgroups move over one by one, and the old one goes last.
//   - The deepest cgroups are bound first. So one that was under its ancestor's program moves before that program does.
//   - The shallowest are unbound first, when all that stay bound have moved. So one that shall follow its ancestor moves once.
//
// levels gives the level of bound cgroups as far as it is known; of others it does not matter, because they are gone.
func plan(have inForce, want wanted, levels map[uint64]int) ([]step, error) {
	slots, sets, err := placePrograms(have, want)
	if err != nil {
		return nil, err
	}
	binds, unbinds := planBindings(have, want, slots)
	slices.SortFunc(binds, func(a, b step) int { return cmp.Or(b.level-a.level, cmp.Compare(a.cgroup, b.cgroup)) })
	for i := range unbinds {
		unbinds[i].level = levels[unbinds[i].cgroup]
	}
	slices.SortFunc(unbinds, func(a, b step) int { return cmp.Or(a.level-b.level, cmp.Compare(a.cgroup, b.cgroup)) })
	kept := map[uint32]bool{}
	for _, s := range slots {
		kept[s] = true
	}
	var deletes []step
	for _, s := range slices.Sorted(maps.Keys(have.programs)) {
		if !kept[s] {
			deletes = append(deletes, step{op: opDelete, slot: s})
		}
	}
	return slices.Concat(sets, binds, unbinds, deletes), nil
}

// placePrograms gives each wanted program its slot, and returns the steps for those that have none yet.
func placePrograms(have inForce, want wanted) (map[uint64]uint32, []step, error) {
	slots := map[uint64]uint32{}
	for _, s := range slices.Backward(slices.Sorted(maps.Keys(have.programs))) {
		if p := have.programs[s]; want.programs[p] {
			slots[p] = s
		}
	}
	var sets []step
	next := nextSlot(have)
	for _, p := range slices.Sorted(maps.Keys(want.programs)) {
		if _, ok := slots[p]; ok {
			continue
		}
		s, ok := next()
		if !ok {
			return nil, nil, fmt.Errorf("%d programs are in force and %d are wanted; the kernel holds %d, old and new together: "+
				"apply a policy with fewer workloads first", len(have.programs), len(want.programs), bpf.MaxSlots)
		}
		slots[p] = s
		sets = append(sets, step{op: opSet, slot: s, program: p})
	}
	return slots, sets, nil
}

// nextSlot returns a function that gives empty slots, each once.
func nextSlot(have inForce) func() (uint32, bool) {
	slot := uint32(0)
	return func() (uint32, bool) {
		for ; slot < bpf.MaxSlots; slot++ {
			if _, used := have.programs[slot]; !used {
				slot++
				return slot - 1, true
			}
		}
		return 0, false
	}
}

func planBindings(have inForce, want wanted, slots map[uint64]uint32) (binds, unbinds []step) {
	for id, b := range want.bindings {
		slot := slots[b.program]
		if old, ok := have.bindings[id]; !ok || old != slot {
			binds = append(binds, step{op: opBind, cgroup: id, level: b.level, slot: slot})
		}
	}
	for id := range have.bindings {
		if _, ok := want.bindings[id]; !ok {
			unbinds = append(unbinds, step{op: opUnbind, cgroup: id})
		}
	}
	return binds, unbinds
}
