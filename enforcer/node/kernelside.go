// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/writ-sec/writ/enforcer/bpf"
	"github.com/writ-sec/writ/enforcer/node/wire"
)

// kernelSide is the kernel's part of an agent while it is open: what is in force there, and the reader of its events.
type kernelSide struct {
	kernel  *bpf.Kernel
	force   *force
	failed  chan error
	cancel  context.CancelFunc
	done    chan struct{} // closed when the reader has ended
	retired bool
}

// openKernel loads or adopts the kernel side, and begins to read its events.
func (a *agent) openKernel() error {
	said, err := preparePinDir(a.cfg.PinDir)
	if err != nil {
		return err
	}
	if said != "" {
		a.log.Info("prepared the pin directory", "action", said)
	}
	k, err := bpf.Open(bpf.Config{PinDir: a.cfg.PinDir, Backend: a.cfg.Backend, FoldWindow: a.cfg.FoldWindow})
	if err != nil {
		return err
	}
	f, err := newForce(k, a.cfg.CgroupRoot, a.names)
	if err != nil {
		return errors.Join(err, k.Close())
	}
	a.backend = bpf.Probe(k.Backend())
	ctx, cancel := context.WithCancel(context.Background()) // ended by halt
	a.kernel = &kernelSide{kernel: k, force: f, failed: make(chan error, 1), cancel: cancel, done: make(chan struct{})}
	go a.kernel.read(ctx, a.report)
	a.log.Info("the kernel side is open", "backend", k.Backend(), "adopted", k.Adopted(), "pins", a.cfg.PinDir)
	return nil
}

func (k *kernelSide) read(ctx context.Context, fn func(bpf.Record) error) {
	defer close(k.done)
	if err := k.kernel.Read(ctx, fn); err != nil && ctx.Err() == nil {
		k.failed <- err
	}
}

// halt ends the reader, which hands over what it has first.
func (k *kernelSide) halt() {
	k.cancel()
	<-k.done
}

// Close lets go of the kernel side and leaves it in force.
func (k *kernelSide) Close() error {
	k.halt()
	k.force.Close()
	return k.kernel.Close()
}

// Unload takes everything out of force and leaves nothing behind.
func (k *kernelSide) Unload(pinDir string) error {
	k.halt()
	k.force.Close()
	return errors.Join(k.kernel.Unload(), releasePinDir(pinDir))
}

// report turns a record into a report and hands it to all watchers. It runs in the reader of events.
func (a *agent) report(r bpf.Record) error {
	rep := newReport(r, a.names.workloads(r.Program), a.names.cgroup(r.Cgroup, r.Bound))
	a.hub.publish(wire.Message{Report: &rep})
	return nil
}

// pollLost tells the watchers what the kernel lost since it was last told.
func (a *agent) pollLost(now time.Time) {
	lost, err := a.kernel.kernel.Lost()
	if err != nil {
		a.log.Error("lost events can't be counted", "error", err)
		return
	}
	for _, cause := range slices.Sorted(maps.Keys(lost)) {
		told := a.journal.Told[cause]
		if lost[cause] == told {
			continue
		}
		n := lost[cause] - told
		if lost[cause] < told { // counted anew since the pins were made anew
			n = lost[cause]
		}
		a.journal.Told[cause], a.dirty = lost[cause], true
		if n > 0 {
			a.log.Warn("events were lost", "cause", cause, "count", n)
			a.hub.publish(wire.Message{Lost: &wire.Lost{Cause: cause, Count: n, Time: now.UTC()}})
		}
	}
}

// note keeps in the journal which workloads the programs in force stand for, for events that are read after a restart.
func (a *agent) note() {
	programs := map[string][]string{}
	for _, p := range a.kernel.force.have.programs {
		programs[programName(p)] = a.names.workloads(p)
	}
	if !maps.EqualFunc(programs, a.journal.Programs, slices.Equal) {
		a.journal.Programs, a.dirty = programs, true
		a.saveJournal() // at once: the agent may be killed, and its events are read by the next one
	}
}

func (a *agent) saveJournal() {
	if !a.dirty {
		return
	}
	if err := a.store.saveJournal(a.journal); err != nil {
		a.log.Warn("after a restart, events of before may miss their workloads", "error", err)
		return
	}
	a.dirty = false
}

func programName(p uint64) string { return strconv.FormatUint(p, 16) }

func parseProgram(s string) (uint64, error) { return strconv.ParseUint(s, 16, 64) }

// Unload takes everything out of force that a writ-node pinned in a directory and nobody serves any more, and forgets the generation
// saved in the state directory. No state directory: none is touched.
func Unload(pinDir, stateDir string) error {
	if on, err := onBPFFS(pinDir); err != nil {
		return err
	} else if _, err := os.Stat(pinDir); !on || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("nothing is pinned in %q; want the --pin-dir that writ-node ran with", pinDir)
	}
	k, err := bpf.Open(bpf.Config{PinDir: pinDir})
	if err != nil {
		return err
	}
	if stateDir == "" {
		return errors.Join(k.Unload(), releasePinDir(pinDir))
	}
	s, err := openStore(stateDir)
	if err != nil {
		return errors.Join(err, k.Close())
	}
	return errors.Join(k.Unload(), s.clear(), s.Close(), releasePinDir(pinDir))
}

// trim asks for the memory of an apply to be given back a little later.
func (a *agent) trim() { a.trimAt = time.Now().Add(trimAfter) }
