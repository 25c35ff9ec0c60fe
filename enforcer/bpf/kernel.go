// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"context"
	"errors"
	"time"

	"github.com/writ-sec/writ/enforcer/node/wire"
	"github.com/writ-sec/writ/schema"
)

// MaxSlots is how many programs can be in force at once. Slots count from 0.
const MaxSlots = 4096

// MaxLevel is the deepest cgroup level that can be bound; the root of the hierarchy is level 0. What lies below a bound cgroup is
// covered at any depth.
const MaxLevel = 64

// Sentinels that Open's errors wrap, for branching. The errors say what to do.
var (
	ErrPrivilege   = errors.New("missing privilege")
	ErrUnsupported = errors.New("not supported by this kernel")
)

// Config says how to open the kernel side. Its zero value, but for PinDir, is useful.
type Config struct {
	PinDir     string        // a directory on a bpffs; made if absent. Required
	Backend    string        // "lsm", "tracing", or "": the strongest that this kernel loads
	FoldWindow time.Duration // how long a repeated behaviour is only counted; 0: 10 s
	RingSize   int           // bytes of the ring buffer, a power of two of at least a page; 0: 1 MiB. Not changed by adoption
}

// Kernel is the exec plane in force. Its methods are safe for concurrent use, but Read has at most one caller at a time.
type Kernel struct{}

// Image is the exec plane of the union of workloads as the bytes that the kernel reads.
type Image struct{}

// Compile lowers the exec plane of a set of workloads.
func Compile(ws []*schema.Workload, seed uint64) (*Image, error) { return nil, errNotYet }

// Program names what an image says, whatever its seed: the same workloads have the same Program.
func (im *Image) Program() uint64 { return 0 }

var errNotYet = errors.New("not built yet")

// Probe tells which backend this kernel can load and what it claims.
func Probe() wire.Backend { return wire.Backend{Name: "none"} }

// Open puts the hooks in force, or adopts those that are pinned.
func Open(cfg Config) (*Kernel, error) { return nil, errNotYet }

// Backend returns "lsm" or "tracing".
func (k *Kernel) Backend() string { return "" }

// Adopted reports whether Open found everything pinned and in force.
func (k *Kernel) Adopted() bool { return false }

// Retire removes what another version of writ left pinned. Until then the old version stays in force beside the new one, so
// call it once the programs and bindings are in place.
func (k *Kernel) Retire() error { return errNotYet }

// SetProgram puts an image in force in a slot, in one step.
func (k *Kernel) SetProgram(slot uint32, im *Image) error { return errNotYet }

// DeleteProgram empties a slot. Processes bound to it are not judged.
func (k *Kernel) DeleteProgram(slot uint32) error { return errNotYet }

// Programs returns what is in force, by slot: the [Image.Program] of each.
func (k *Kernel) Programs() (map[uint32]uint64, error) { return nil, errNotYet }

// Bind puts a cgroup and all below it under the program in a slot. level is the cgroup's depth; the root's is 0.
func (k *Kernel) Bind(cgroupID uint64, level int, slot uint32) error { return errNotYet }

// Unbind ends what Bind began. A cgroup that is not bound is no error.
func (k *Kernel) Unbind(cgroupID uint64) error { return errNotYet }

// Bindings returns the bound cgroups and their slots.
func (k *Kernel) Bindings() (map[uint64]uint32, error) { return nil, errNotYet }

// Read calls fn for every Record until ctx is done, which is no error, or fn fails.
func (k *Kernel) Read(ctx context.Context, fn func(Record) error) error { return errNotYet }

// Lost returns how much was lost since the pins were made, by cause.
func (k *Kernel) Lost() (map[string]uint64, error) { return nil, errNotYet }

// Close lets go of the pins and leaves them in force.
func (k *Kernel) Close() error { return errNotYet }

// Unload takes everything out of force and removes the pins. The Kernel is closed then.
func (k *Kernel) Unload() error { return errNotYet }
