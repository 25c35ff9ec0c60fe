// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/enforcer/node/wire"
	"github.com/writ-sec/writ/learn"
	"github.com/writ-sec/writ/reconciler"
	"github.com/writ-sec/writ/reconciler/gitauth"
	"github.com/writ-sec/writ/schema/bundle"
)

// upFlags are the flags of writ up.
type upFlags struct {
	state        state
	branch, tag  string
	interval     time.Duration
	node         string // "start", "none", or the path of a socket
	user         string
	accept       []string
	proposeEvery time.Duration
	proposeArgs  []string
	nodeArgs     []string
	auth         authFlags
	compile      compileFlags
	out          outputFlag
}

func newUp(io stdio) *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use:   "up REPOSITORY",
		Short: "Keep the policy of a git repository in force on this host",
		Long: `up follows a branch or tag of a git repository (https, ssh or file), compiles each new commit and puts it in force: in the kernel of
this host, and as a bundle in the state folder. A broken commit leaves the last good generation in force, and up says which line is broken.
It prints each denial with the line of policy behind it, and keeps what workloads do for: writ learn propose.

Start it as root: it starts writ-node as its only root child and becomes an unprivileged user before it reads any policy.
Without root, --node none only compiles and learns nothing; --node PATH uses a writ-node that runs already.

up pulls at every interval, and at once on SIGHUP. When it ends, what is in force in the kernel stays: writ-node unload takes it out.`,
		Example: `  sudo writ up https://git.example.com/security/policy.git
  sudo writ up /srv/policy.git --branch main -o json
  writ up --node none --state /tmp/state file:///srv/policy.git`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return up(c.Context(), io, f, args[0]) },
	}
	f.state.register(c)
	fl := c.Flags()
	fl.StringVar(&f.branch, "branch", "", "branch to follow (default: the repository's)")
	fl.StringVar(&f.tag, "tag", "", "tag to follow instead of a branch")
	fl.DurationVar(&f.interval, "interval", 30*time.Second, "time between pulls")
	fl.StringVar(&f.node, "node", "start", "start: start writ-node; none: no enforcement; or the socket of a running writ-node")
	fl.StringVar(&f.user, "user", "", "user to become when started as root (default: who called sudo, else the owner of the state folder, else nobody)")
	fl.StringSliceVar(&f.accept, "accept-commit", nil, "full hash of a commit to accept although it is no descendant of the one in force")
	fl.DurationVar(&f.proposeEvery, "propose-every", 0, "time between runs of writ learn propose for what is learned; 0: only when asked")
	fl.StringArrayVar(&f.proposeArgs, "propose-arg", nil, "argument for that writ learn propose, such as --propose-arg=--git-key-file=FILE: it pushes, so it has credentials of its own")
	fl.StringArrayVar(&f.nodeArgs, "node-arg", nil, "argument for writ-node, such as --node-arg=--fold-window=1s")
	c.MarkFlagsMutuallyExclusive("branch", "tag")
	f.compile.registerCluster(c)
	f.compile.registerAdmission(c)
	f.auth.register(c)
	f.out.register(c)
	return c
}

// repositoryAddress reads what a person types. A path is made absolute, because the state folder remembers it.
func repositoryAddress(arg string) (gitauth.Address, error) {
	if _, err := os.Stat(arg); err == nil || strings.HasPrefix(arg, ".") {
		if arg, err = filepath.Abs(arg); err != nil {
			return gitauth.Address{}, err
		}
	}
	return gitauth.Parse(arg)
}

// runningUp is one writ up.
type runningUp struct {
	flags   upFlags
	journal *journal
	store   *learn.Store
	client  *wire.Client // nil without a node
	process *nodeProcess // nil unless started here
	index   atomic.Pointer[ruleIndex]
	hup     chan os.Signal
	told    string // the commit in force that was printed last; of observe alone
}

func up(ctx context.Context, io stdio, f upFlags, repository string) (err error) {
	address, err := repositoryAddress(repository)
	if err != nil {
		return err
	}
	if f.state.dir, err = filepath.Abs(f.state.dir); err != nil {
		return err
	}
	u := &runningUp{flags: f, journal: newJournal(io, f.out), hup: make(chan os.Signal, 1)}
	signal.Notify(u.hup, syscall.SIGHUP)
	defer signal.Stop(u.hup)
	signal.Ignore(syscall.SIGPIPE) // who reads the output may leave; enforcement and learning go on
	defer signal.Reset(syscall.SIGPIPE)
	if err := u.takeNode(io); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.closeNode()) }()
	// From here on unprivileged.
	if err := f.state.setSource(source{URL: address.URL(), Branch: f.branch, Tag: f.tag}); err != nil {
		return err
	}
	if u.store, err = learn.Open(f.state.observations(), learn.StoreConfig{}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.store.Close()) }()
	if damage := u.store.Damage(); damage != "" {
		u.journal.write(entry{Notice: damage})
	}
	if ix, err := readRuleIndex(f.state.bundle()); err == nil {
		u.index.Store(ix) // what is pinned from before can be explained at once
	}
	if address.Protocol == "file" {
		repository = address.URL()
	}
	rec, err := u.newReconciler(repository)
	if err != nil {
		return err
	}
	return u.run(ctx, rec)
}

// takeNode connects to the node agent, and gives up root.
func (u *runningUp) takeNode(io stdio) (err error) {
	f := u.flags
	root := os.Geteuid() == 0
	if f.node == "start" && !root {
		return hinted{errors.New("putting policy in force needs root, and this is user " + fmt.Sprint(os.Geteuid())),
			"run it with sudo (it becomes you again before it reads policy), or add --node none to compile only"}
	}
	who := account{os.Geteuid(), os.Getegid()}
	if root {
		if who, err = chooseAccount(f.user, f.state.dir); err != nil {
			return err
		}
	}
	if err := prepareState(f.state.dir, who); err != nil {
		return err
	}
	switch f.node {
	case "none":
	case "start":
		if u.process, u.client, err = startNode(f.nodeArgs, io.err); err != nil {
			return err
		}
	default:
		if u.client, err = wire.Dial(f.node); err != nil {
			return hinted{err, "start it with: sudo writ-node run --socket " + f.node}
		}
	}
	if root {
		return who.become()
	}
	return nil
}

func (u *runningUp) closeNode() error {
	if u.client == nil {
		return nil
	}
	err := u.client.Close()
	if u.process != nil {
		err = errors.Join(err, u.process.stop())
	}
	return err
}

func (u *runningUp) newReconciler(url string) (*reconciler.Reconciler, error) {
	f := u.flags
	targets := []reconciler.Target{reconciler.Folder{Path: f.state.bundle()}}
	if u.client != nil {
		targets = append([]reconciler.Target{nodeTarget{u.client, u.setIndex}}, targets...) // what people read comes last
	}
	return reconciler.New(reconciler.Config{
		URL: url, Branch: f.branch, Tag: f.tag, Dir: f.state.clone(), Auth: f.auth.credentials(), Interval: f.interval, Targets: targets, AcceptCommits: f.accept,
		Compiler: compiler.Config{Cluster: f.compile.cluster, Admission: string(f.compile.admission), Cilium: f.compile.cilium.is},
	})
}

// run does everything at once until the context ends or a part fails.
func (u *runningUp) run(ctx context.Context, rec *reconciler.Reconciler) error {
	group, ctx := errgroup.WithContext(ctx)
	now := make(chan struct{}, 1)
	group.Go(func() error { return forward(ctx, u.hup, now) })
	group.Go(func() error {
		return rec.Run(ctx, now, func(o reconciler.Outcome) { u.observe(rec, o) })
	})
	if u.client != nil {
		group.Go(func() error { return u.watch(ctx) })
	}
	group.Go(func() error { return u.save(ctx) })
	if u.flags.proposeEvery > 0 {
		group.Go(func() error { return u.propose(ctx) })
	}
	if err := group.Wait(); !errors.Is(err, context.Canceled) { // canceled: asked to end
		return err
	}
	return nil
}

// forward turns signals into pulls; one that waits already is enough.
func forward(ctx context.Context, hup <-chan os.Signal, now chan<- struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-hup:
			select {
			case now <- struct{}{}:
			default:
			}
		}
	}
}

// setIndex is called before a bundle is put in force, so that its first denial can be explained.
func (u *runningUp) setIndex(b *bundle.Bundle) error {
	ix, err := newRuleIndex(b)
	if err != nil {
		return err
	}
	if old := u.index.Load(); old != nil {
		ix.succeed(old)
	}
	u.index.Store(ix)
	return nil
}

func (u *runningUp) observe(rec *reconciler.Reconciler, o reconciler.Outcome) {
	if last := rec.Last(); last != nil && o.Changed {
		if p, err := last.Policy(); err != nil {
			slog.Error("read the policy in force: what was seen stays as it is", "error", err)
		} else {
			u.store.Settle(p, time.Now())
		}
	}
	if e, ok := outcomeEntry(o, u.told); ok {
		u.journal.write(e)
		if e.InForce != nil {
			if u.told == "" && os.Getenv("GOGC") == "" {
				debug.SetGCPercent(100) // see hurriedGC
				debug.SetMemoryLimit(math.MaxInt64)
				debug.FreeOSMemory()
			}
			u.told = o.InForce
		}
		if u.client != nil && e.InForce != nil {
			u.tellStatus()
		}
	}
}

// tellStatus prints what the node can't enforce.
func (u *runningUp) tellStatus() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := u.client.Status(ctx)
	if err != nil {
		u.journal.write(entry{Notice: err.Error()})
		return
	}
	u.journal.write(entry{Backend: &st.Backend})
	for _, w := range st.Warnings {
		u.journal.write(entry{Notice: w})
	}
	for _, w := range st.Workloads {
		if len(w.Cgroups) == 0 {
			u.journal.write(entry{Notice: fmt.Sprintf("workload %s is in force nowhere on this host: %s", w.Name, w.Why)})
		}
	}
}

// watch prints and folds events until the connection ends.
func (u *runningUp) watch(ctx context.Context) error {
	var saved time.Time
	err := u.client.Watch(ctx, func(m wire.Message) error {
		switch {
		case m.Report != nil:
			if err := u.store.Add(*m.Report); err != nil {
				u.journal.write(entry{Notice: err.Error()})
			}
			// What is printed can be asked for: after a quiet second at once, in a burst a second later, see save.
			if time.Since(saved) >= saveEvery {
				saved = time.Now()
				if err := u.store.Save(); err != nil {
					u.journal.write(entry{Notice: err.Error()})
				}
			}
			r := reportEntry{Report: *m.Report}
			if ix := u.index.Load(); ix != nil {
				if e, ok := ix.find(m.Report.Verdict.Rule); ok {
					r.Rule = &e
				}
			}
			u.journal.write(entry{Report: &r})
		case m.Lost != nil:
			u.journal.write(entry{Lost: m.Lost})
		}
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return hinted{fmt.Errorf("writ-node is gone: %w", err), "what it put in force stays in the kernel; start writ up again"}
}

// saveEvery is how long an observation may be in memory only.
const saveEvery = time.Second

// save writes the observations, if there are new ones.
func (u *runningUp) save(ctx context.Context) error {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	dropped := u.store.Dropped()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if now := u.store.Dropped(); now > dropped {
				u.journal.write(entry{Lost: &wire.Lost{Cause: "observations-full", Count: now - dropped, Time: time.Now().UTC()}})
				dropped = now
			}
			if err := u.store.Save(); err != nil {
				u.journal.write(entry{Notice: err.Error()})
			}
		}
	}
}

// propose runs writ learn propose as a process of its own, so that the credential that pushes is never in this one.
func (u *runningUp) propose(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	tick := time.NewTicker(u.flags.proposeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			args := append([]string{"learn", "propose", "--state", u.flags.state.dir}, u.flags.proposeArgs...)
			out, err := exec.CommandContext(ctx, self, args...).CombinedOutput()
			if err != nil && ctx.Err() == nil {
				u.journal.write(entry{Notice: fmt.Sprintf("writ learn propose: %v: %s", err, strings.TrimSpace(string(out)))})
			} else if text := strings.TrimSpace(string(out)); text != "" {
				u.journal.write(entry{Notice: text})
			}
		}
	}
}
