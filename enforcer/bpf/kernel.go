// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// MaxSlots is how many programs can be in force at once. Slots count from 0.
const MaxSlots = 4096

// MaxLevel is the deepest cgroup level that can be bound; the root of the hierarchy is level 0. What lies below a bound cgroup is
// covered at any depth.
const MaxLevel = 64

// Config says how to open the kernel side. Its zero value, but for PinDir, is useful.
type Config struct {
	PinDir     string        // a directory on a bpffs; made if absent. Required
	Backend    string        // "lsm", "tracing", or "": the strongest that works here
	FoldWindow time.Duration // how long a repeated behaviour is only counted; 0: 10 s
	RingSize   int           // bytes of the ring buffer, a power of two and of pages; 0: 1 MiB. Adoption keeps the old one
}

const (
	defaultFoldWindow = 10 * time.Second
	defaultRingSize   = 1 << 20
)

// Kernel is the exec plane in force. Its methods are safe for concurrent use, but only one Read runs at a time.
type Kernel struct {
	variant variant
	root    string // Config.PinDir
	dir     string // the pins of this version
	window  time.Duration
	adopted bool
	lock    *os.File // flock on root
	maps    map[string]*ebpf.Map
	execs   []*ebpf.Program

	mu      sync.Mutex // guards what follows, and the order of changes to maps
	level   uint32     // the deepest bound level so far
	unread  map[string]uint64
	reading bool
}

// Backend returns "lsm" or "tracing".
func (k *Kernel) Backend() string { return k.variant.backend }

// Adopted reports whether Open found everything pinned and in force, and attached nothing.
func (k *Kernel) Adopted() bool { return k.adopted }

// SetProgram puts an image in force in a slot. It replaces the one that is there in one step: every exec is judged by the old or by the
// new one. When it returns, no exec is judged by the old one any more.
func (k *Kernel) SetProgram(slot uint32, im *Image) error {
	if slot >= MaxSlots {
		return fmt.Errorf("program slot %d: want at most %d", slot, MaxSlots-1)
	}
	m, err := im.load()
	if err != nil {
		return fmt.Errorf("program slot %d: %w", slot, err)
	}
	defer m.Close()
	// Without the lock: the kernel orders the writes to a slot, and then waits for a grace period, which callers at the same time share.
	if err := k.maps["slots"].Update(slot, uint32(1), ebpf.UpdateAny); err != nil {
		return fmt.Errorf("program slot %d: note that it is in use: %w", slot, err)
	}
	if err := k.maps["programs"].Update(slot, m, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("program slot %d: replace the image: %w", slot, err)
	}
	return nil
}

// load makes a map that holds the image.
func (im *Image) load() (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "image", Type: ebpf.Array, KeySize: 4, ValueSize: cellSize, MaxEntries: uint32(len(im.cells) / cellSize),
		Flags: unix.BPF_F_INNER_MAP | unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return nil, fmt.Errorf("make a map of %d bytes: %w", len(im.cells), err)
	}
	mem, err := unix.Mmap(m.FD(), 0, len(im.cells), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map %d bytes of the image: %w", len(im.cells), err), m.Close())
	}
	copy(mem, im.cells)
	if err := unix.Munmap(mem); err != nil {
		return nil, errors.Join(fmt.Errorf("unmap the image: %w", err), m.Close())
	}
	return m, nil
}

// DeleteProgram empties a slot. It is an error while a cgroup is bound to it, since what is bound to an empty slot is not judged.
func (k *Kernel) DeleteProgram(slot uint32) error {
	bindings, err := k.Bindings()
	if err != nil {
		return err
	}
	for id, s := range bindings {
		if s == slot {
			return fmt.Errorf("program slot %d: cgroup %d is bound to it; want it unbound first", slot, id)
		}
	}
	for _, name := range []string{"programs", "slots"} {
		if err := k.maps[name].Delete(slot); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("program slot %d: delete: %w", slot, err)
		}
	}
	return nil
}

// Programs returns what is in force: the [Image.Program] of each slot that is not empty.
func (k *Kernel) Programs() (map[uint32]uint64, error) {
	programs := map[uint32]uint64{}
	var slot, used uint32
	it := k.maps["slots"].Iterate()
	for it.Next(&slot, &used) {
		program, ok, err := k.program(slot)
		if err != nil {
			return nil, err
		}
		if ok {
			programs[slot] = program
		}
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("programs: list the slots in use: %w", err)
	}
	return programs, nil
}

func (k *Kernel) program(slot uint32) (uint64, bool, error) {
	var id uint32
	err := k.maps["programs"].Lookup(slot, &id)
	if errors.Is(err, ebpf.ErrKeyNotExist) || err == nil && id == 0 {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("program slot %d: look up: %w", slot, err)
	}
	m, err := ebpf.NewMapFromID(ebpf.MapID(id))
	if err != nil {
		return 0, false, fmt.Errorf("program slot %d: open map %d: %w", slot, id, err)
	}
	defer m.Close()
	var head [cellSize]byte
	if err := m.Lookup(uint32(0), &head); err != nil {
		return 0, false, fmt.Errorf("program slot %d: read the image: %w", slot, err)
	}
	return binary.LittleEndian.Uint64(head[headProgram:]), true, nil
}

// Bind puts a cgroup, by its cgroup2 inode number, and all below it under the program in a slot, which must not be empty. level is
// the cgroup's depth: 0 for the root of the hierarchy. Of several bound cgroups above a process the deepest decides.
func (k *Kernel) Bind(cgroupID uint64, level int, slot uint32) error {
	if level < 0 || level > MaxLevel {
		return fmt.Errorf("cgroup %d: level %d; want 0 to %d", cgroupID, level, MaxLevel)
	}
	if slot >= MaxSlots {
		return fmt.Errorf("cgroup %d: slot %d; want at most %d", cgroupID, slot, MaxSlots-1)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok, err := k.program(slot); err != nil || !ok {
		return errors.Join(fmt.Errorf("cgroup %d: slot %d holds no program; want SetProgram first", cgroupID, slot), err)
	}
	if err := k.reach(uint32(level)); err != nil {
		return err
	}
	if err := k.maps["cgroups"].Update(cgroupID, slot, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("cgroup %d: bind to slot %d: %w", cgroupID, slot, err)
	}
	return nil
}

// reach makes the kernel look for bound cgroups down to a level. It never goes back: other bindings may need it.
func (k *Kernel) reach(level uint32) error {
	if level <= k.level {
		return nil
	}
	var set [8]byte // struct settings of exec.h
	binary.LittleEndian.PutUint32(set[:], level)
	if err := k.maps["settings"].Update(uint32(0), set, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("settings: look for cgroups down to level %d: %w", level, err)
	}
	k.level = level
	return nil
}

// Unbind ends what Bind began. A cgroup that is not bound is no error.
func (k *Kernel) Unbind(cgroupID uint64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.maps["cgroups"].Delete(cgroupID); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("cgroup %d: unbind: %w", cgroupID, err)
	}
	return nil
}

// Bindings returns the slot of each bound cgroup.
func (k *Kernel) Bindings() (map[uint64]uint32, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	bindings := map[uint64]uint32{}
	var id uint64
	var slot uint32
	it := k.maps["cgroups"].Iterate()
	for it.Next(&id, &slot) {
		bindings[id] = slot
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("cgroups: list what is bound: %w", err)
	}
	return bindings, nil
}

// The causes of loss, by the number of enum lost of exec.h.
var lostCauses = [...]string{
	"ring-buffer",  // the ring buffer was full; the event is counted here alone
	"fold-table",   // the fold table was full; the event was sent, but repetitions of it are sent one by one
	"scratch",      // no memory to judge in; denied in enforce, without an event
	"task-storage", // no memory for the task's anchor; judged as of unknown origin
	"fork",         // no memory for a child's anchor; mounts made before its first exec count as the container's own
	"walk",         // the path changed each time it was read; judged as of unknown origin
	"signal",       // a denied task could not be killed
	"glob-steps",   // a pattern took too long and did not match
	"fold-race",    // a repetition that may have been counted into an entry that the agent had taken
}

// Lost returns how often something was lost since the pins were made, by cause; causes that never happened are left out. What is
// said of "unread" (counts of repetitions whose first event another process had read) is since Open.
func (k *Kernel) Lost() (map[string]uint64, error) {
	lost := map[string]uint64{}
	for i, cause := range lostCauses {
		var perCPU []uint64
		if err := k.maps["lost"].Lookup(uint32(i), &perCPU); err != nil {
			return nil, fmt.Errorf("lost events %q: %w", cause, err)
		}
		for _, n := range perCPU {
			lost[cause] += n
		}
	}
	for _, p := range k.execs {
		stats, err := p.Stats()
		if err != nil {
			return nil, fmt.Errorf("lost events %q: %w", "recursion", err)
		}
		lost["recursion"] += stats.RecursionMisses
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for cause, n := range k.unread {
		lost[cause] += n
	}
	for cause, n := range lost {
		if n == 0 {
			delete(lost, cause)
		}
	}
	return lost, nil
}

// Close lets go of the maps. What is pinned stays in force.
func (k *Kernel) Close() error {
	var errs []error
	for _, m := range k.maps {
		errs = append(errs, m.Close())
	}
	for _, p := range k.execs {
		errs = append(errs, p.Close())
	}
	return errors.Join(append(errs, k.lock.Close())...)
}
