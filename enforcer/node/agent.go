// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/writ-sec/writ/enforcer/node/wire"
)

// Defaults of a [Config].
const (
	DefaultSocket   = "/run/writ-node.sock"
	DefaultPinDir   = "/sys/fs/bpf/writ"
	DefaultStateDir = "/var/lib/writ-node"
)

// Config says how to run an agent. Its zero value listens on [DefaultSocket], for root alone.
type Config struct {
	Conn       net.Conn      // the one peer, as handed over by the parent process; Run ends with it. nil: listen on Socket
	Socket     string        // "": DefaultSocket
	AllowUID   uint32        // a user besides root that may connect to Socket; 0: none
	PinDir     string        // "": DefaultPinDir
	StateDir   string        // "": DefaultStateDir
	CgroupRoot string        // where cgroup2 is mounted; "": found in /proc/self/mountinfo
	Backend    string        // "lsm", "tracing", or "": the strongest that the kernel loads
	FoldWindow time.Duration // how long a repeated behaviour is only counted; 0: 10 s
	Reports    io.Writer     // gets each report and loss as one [wire.Message] on one line; nil: nobody
	Log        *slog.Logger  // nil: silent
}

const (
	pollEvery   = time.Second     // for losses; also how long the journal may be behind
	printerWait = time.Second     // for the last reports to be printed
	trimAfter   = 2 * time.Second // after an apply, when its memory is given back
)

// errParentGone ends an agent whose one peer has closed the connection.
var errParentGone = errors.New("the parent closed the connection")

// agent is a running writ-node. Fields below owner belong to the goroutine of own.
type agent struct {
	cfg     Config
	log     *slog.Logger
	hub     hub
	names   *registry
	store   *store
	backend wire.Backend
	calls   chan func()                // requests, for own to run
	current atomic.Pointer[generation] // in force; not nil

	// owner
	kernel   *kernelSide // nil after unload
	watched  *forest     // whose events come in
	events   chan []inotifyEvent
	unwatch  context.CancelFunc
	journal  journal
	dirty    bool   // the journal has changed
	unsaved  string // why the generation in force is not on disk; "": it is
	restored string // why the saved generation is not in force; "": it is, or there is none
	lastBad  string // the last trouble that was logged, so that it is logged once
	trimAt   time.Time
	walkAt   time.Time
}

// Run puts the saved generation in force, then serves until ctx is done, which is no error. What is in force stays so when it returns.
func Run(ctx context.Context, cfg Config) error {
	cfg.Socket = cmp.Or(cfg.Socket, DefaultSocket)
	cfg.PinDir = cmp.Or(cfg.PinDir, DefaultPinDir)
	cfg.StateDir = cmp.Or(cfg.StateDir, DefaultStateDir)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	a := &agent{cfg: cfg, log: cfg.Log, calls: make(chan func()), unwatch: func() {}}
	a.current.Store(&generation{})
	if err := a.start(); err != nil {
		return err
	}
	defer a.stop()
	err := a.serve(ctx)
	if errors.Is(err, errParentGone) || ctx.Err() != nil {
		return nil
	}
	return err
}

// start takes the locks, opens the kernel side and puts the saved generation in force.
func (a *agent) start() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("run writ-node: user %d may not load BPF programs; run it as root", os.Geteuid())
	}
	if err := a.findCgroups(); err != nil {
		return err
	}
	var err error
	if a.store, err = openStore(a.cfg.StateDir); err != nil {
		return err
	}
	if a.journal, err = a.store.loadJournal(); err != nil {
		a.log.Warn("the journal is not used", "error", err)
	}
	a.names = newRegistry(a.cfg.CgroupRoot)
	for program, workloads := range a.journal.Programs {
		if id, err := parseProgram(program); err == nil {
			a.names.noteProgram(id, workloads)
		}
	}
	if err := a.openKernel(); err != nil {
		return errors.Join(err, a.store.Close())
	}
	a.restore()
	return nil
}

func (a *agent) findCgroups() error {
	if a.cfg.CgroupRoot == "" {
		f, err := os.Open("/proc/self/mountinfo")
		if err != nil {
			return fmt.Errorf("find cgroups: %w; is /proc mounted?", err)
		}
		defer f.Close()
		if a.cfg.CgroupRoot, err = FindCgroupRoot(f); err != nil {
			return err
		}
	}
	return checkCgroupRoot(a.cfg.CgroupRoot)
}

// restore puts the saved generation in force again. If it can't, what is pinned stays as it is.
func (a *agent) restore() {
	g, err := a.store.load()
	held := len(a.kernel.force.have.bindings)
	switch {
	case errors.Is(err, fs.ErrNotExist) && held == 0:
		return
	case errors.Is(err, fs.ErrNotExist):
		a.restored = fmt.Sprintf("no generation is saved in %s; what is pinned (%d cgroups) stays in force as it is until the next apply", a.cfg.StateDir, held)
	case err == nil:
		err = a.kernel.force.put(g)
		fallthrough
	default:
		if err != nil {
			a.restored = fmt.Sprintf("%v; what is pinned (%d cgroups) stays in force as it is until the next apply", err, held)
		}
	}
	if a.restored != "" {
		a.log.Warn("the saved generation is not put in force", "reason", a.restored)
		return
	}
	a.settled(g)
	a.log.Info("the saved generation is in force", "revision", g.manifest.Digest, "workloads", len(g.workloads), "adopted", a.kernel.kernel.Adopted())
}

// settled notes that a generation is in force.
func (a *agent) settled(g generation) {
	a.restored = ""
	a.current.Store(&g)
	a.follow()
	a.note()
	if !a.kernel.retired {
		if err := a.kernel.kernel.Retire(); err != nil {
			a.log.Warn("the pins of another version of writ-node are left", "error", err)
			return
		}
		a.kernel.retired = true
	}
}

// stop lets go of everything and leaves the kernel as it is.
func (a *agent) stop() {
	a.unwatch()
	if a.kernel != nil {
		if err := a.kernel.Close(); err != nil {
			a.log.Warn("close the kernel side", "error", err)
		}
	}
	a.saveJournal()
	if err := a.store.Close(); err != nil {
		a.log.Warn("close the state directory", "error", err)
	}
}

// serve runs everything that runs.
func (a *agent) serve(ctx context.Context) error {
	printing, finish := context.WithCancel(context.Background())
	defer finish()
	printed := a.print(printing)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.own(ctx) })
	if a.cfg.Conn != nil {
		g.Go(func() error {
			if err := a.session(ctx, a.cfg.Conn); err != nil {
				a.log.Warn("the parent's connection ended", "error", err)
			}
			return errParentGone
		})
	} else {
		g.Go(func() error { return a.listen(ctx) })
	}
	err := g.Wait()
	if a.kernel != nil {
		a.kernel.halt() // its last reports are printed yet
	}
	finish()
	select {
	case <-printed:
	case <-time.After(printerWait): // whoever reads the reports does not
	}
	return err
}

// print writes messages to cfg.Reports, and ends when ctx is done and what was queued is written. The returned channel is closed then.
func (a *agent) print(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	if a.cfg.Reports == nil {
		close(done)
		return done
	}
	w, enc := a.hub.join(), wire.NewEncoder(a.cfg.Reports)
	send := func(m wire.Message) error { return enc.Encode(m) }
	go func() {
		defer close(done)
		defer a.hub.leave(w)
		if err := errors.Join(w.drain(ctx, send), w.flush(send)); err != nil {
			a.log.Warn("reports are no longer printed", "error", err)
		}
	}()
	return done
}

// own is the one goroutine that changes what is in force.
func (a *agent) own(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var failed <-chan error
		if a.kernel != nil {
			failed = a.kernel.failed
		}
		select {
		case <-ctx.Done():
			return nil
		case call := <-a.calls:
			call()
		case batch := <-a.events:
			a.handle(batch)
		case err := <-failed:
			return fmt.Errorf("read events: %w; what is in force stays so, start writ-node again", err)
		case now := <-tick.C:
			a.tick(now)
		}
	}
}

// handle follows changes of the cgroup hierarchy.
func (a *agent) handle(batch []inotifyEvent) {
	f := a.kernel.force
	if f.forest.handle(batch) {
		a.trouble(f.refresh())
	} else {
		a.log.Warn("events of cgroups were lost; the hierarchy is read again")
		a.trouble(f.rewalk())
	}
	a.follow()
	a.note()
}

// trouble logs an error of following the hierarchy once, and lets the next walk try again.
func (a *agent) trouble(err error) {
	if err == nil {
		a.lastBad = ""
		return
	}
	a.kernel.force.forest.partial = true
	if err.Error() != a.lastBad {
		a.lastBad = err.Error()
		a.log.Error("a change of cgroups is not in force; it is tried again", "error", err)
	}
}

// follow has the events of the current forest come in.
func (a *agent) follow() {
	f := a.kernel.force.forest
	if f == a.watched {
		return
	}
	a.unwatch()
	ctx, cancel := context.WithCancel(context.Background()) // ended by unwatch
	a.unwatch = cancel
	events := make(chan []inotifyEvent)
	a.watched, a.events = f, events
	a.walkAt = time.Now().Add(rewalkEvery)
	go func() { // ends when the forest is closed or ctx is done
		if err := readInotify(ctx, f.inotify, events); err != nil {
			a.log.Error("cgroups are no longer watched", "error", err)
		}
	}()
}

// tick does what is not urgent.
func (a *agent) tick(now time.Time) {
	if a.kernel != nil {
		a.pollLost(now)
		a.followDates()
		if f := a.kernel.force; f.forest != nil && (f.forest.partial || len(f.failed) > 0) && now.After(a.walkAt) {
			a.trouble(f.rewalk())
			a.follow()
			a.note()
		}
	}
	a.saveJournal()
	if !a.trimAt.IsZero() && now.After(a.trimAt) {
		a.trimAt = time.Time{}
		debug.FreeOSMemory() // an apply takes several times what it leaves
	}
}
