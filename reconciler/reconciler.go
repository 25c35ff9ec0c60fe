// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/reconciler/gitauth"
	"github.com/writ-sec/writ/schema/bundle"
)

// Outcome is what one reconciliation found and did.
type Outcome struct {
	// Commit, Author, Subject and Time are of the commit that the remote has now; of the one in force when the remote cannot be read.
	// They are the author's words, cut and cleaned for a terminal. Time is UTC.
	Commit, Author, Subject string
	Time                    time.Time
	// InForce is the last good commit and Digest the generation it compiles to: every target without an error holds it. "" for none.
	InForce, Digest string
	Changed         bool                  // at least one target was written
	Changes         []Change              // what the commit changed; empty when a target is only repaired
	Warnings        []compiler.Diagnostic // of the last good commit
	Targets         []TargetStatus        // in the order of the Config; empty when nothing is in force yet
	// Err is nil, or joins everything that is wrong. errors.As to compiler.Errors: the commit is broken, and where. errors.Is to
	// ErrRemote, ErrRewound, ErrTarget: see there. Whatever it is, what is in force stays.
	Err     error
	Timings Timings
}

// TargetStatus is what one target holds.
type TargetStatus struct {
	Name    string
	Applied bool // it was written in this reconciliation
	Err     error
}

// Timings says where the time of a reconciliation went. What was not done took zero.
type Timings struct {
	Fetch   time.Duration // connecting, transfer, ancestry
	Read    time.Duration // the tree, from git's objects
	Compile time.Duration
	Apply   time.Duration // recording and all targets
	Total   time.Duration
}

// Reconciler brings the policy of a git repository to its targets. Its methods may be called concurrently; reconciliations wait for each other.
type Reconciler struct {
	cfg    Config
	at     gitauth.Address
	remote remote
	ref    plumbing.ReferenceName

	mu       sync.Mutex // held for a whole reconciliation
	compiler *compiler.Compiler
	lock     *os.File
	clone    *clone
	state    state
	good     *good   // the last good commit of this process; nil before the first
	refused  refusal // the newest commit, if it was judged and not taken

	lastMu sync.Mutex
	last   *compiler.Result
}

// good is a commit that compiled.
type good struct {
	commit plumbing.Hash
	env    bundle.Envelope
	result *compiler.Result
}

// refusal remembers why a commit is not taken, so that it is not judged again at each poll.
type refusal struct {
	commit plumbing.Hash
	env    bundle.Envelope
	err    error
}

// New checks the configuration. It touches neither the remote nor the folder.
func New(cfg Config) (*Reconciler, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	at, err := gitauth.Parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	ref, phrase, err := cfg.reference()
	if err != nil {
		return nil, err
	}
	cfg.URL = at.String() // nothing keeps the password but at
	r := &Reconciler{cfg: cfg, at: at, ref: ref, compiler: compiler.New(cfg.Compiler)}
	if at.Protocol == "file" {
		r.remote = &local{at: at, ref: ref, phrase: phrase, lim: cfg.Limits, timeout: cfg.Timeout}
	} else {
		r.remote = &wire{at: at, auth: cfg.Auth, ref: ref, phrase: phrase, lim: cfg.Limits, timeout: cfg.Timeout}
	}
	return r, nil
}

// Last returns the last good result of this process, or nil. Nobody changes it.
func (r *Reconciler) Last() *compiler.Result {
	r.lastMu.Lock()
	defer r.lastMu.Unlock()
	return r.last
}

// Close gives the folder free. The Reconciler may not be used afterwards. What is in force stays.
func (r *Reconciler) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clone != nil {
		r.clone.close()
		r.clone = nil
	}
	if r.lock == nil {
		return nil
	}
	err := r.lock.Close()
	r.lock = nil
	return err
}

// Once reconciles once: it asks the remote, compiles what is new, and applies to the targets what they do not hold.
func (r *Reconciler) Once(ctx context.Context) Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	start := time.Now()
	var o Outcome
	changes, err := r.advance(ctx, &o)
	if r.good == nil && r.state.Commit != "" {
		err = errors.Join(err, r.restore(ctx, &o))
	}
	if r.good != nil {
		o.InForce, o.Digest, o.Warnings, o.Changes = r.good.commit.String(), r.good.result.Bundle.Manifest.Digest, r.good.result.Warnings, changes
		if o.Commit == "" {
			o.describe(r.good.commit, r.good.env)
		}
		err = errors.Join(err, r.apply(ctx, &o))
	}
	o.Err = err
	o.Timings.Total = time.Since(start)
	return o
}

func (o *Outcome) describe(commit plumbing.Hash, env bundle.Envelope) {
	o.Commit, o.Author, o.Subject, o.Time = commit.String(), env.Author, env.Subject, env.Time
}

// advance takes what the remote has now, if it is new and good. A damaged clone is made anew, once.
func (r *Reconciler) advance(ctx context.Context, o *Outcome) ([]Change, error) {
	err := r.prepare()
	if err != nil && !errors.Is(err, errCorrupt) {
		return nil, err
	}
	start := time.Now()
	fetch, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	s, openErr := r.remote.open(fetch, r.clone)
	if openErr != nil {
		o.Timings.Fetch = time.Since(start)
		return nil, errors.Join(openErr, err)
	}
	defer func() { s.close() }()
	var changes []Change
	if err == nil {
		changes, err = r.take(ctx, s, o)
	}
	if errors.Is(err, errCorrupt) {
		if err = r.reclone(ctx, &s); err == nil {
			changes, err = r.take(ctx, s, o)
		}
	} else if err == nil && r.worn(changes) {
		err = r.reclone(ctx, &s)
	}
	return changes, err
}

// prepare makes the folder, takes its lock, and opens what is in it. Done once, unless it fails.
func (r *Reconciler) prepare() error {
	if r.lock == nil {
		if err := os.MkdirAll(r.cfg.Dir, 0o700); err != nil {
			return fmt.Errorf("make folder of the clone: %w", err)
		}
		f, err := lock(r.cfg.Dir)
		if err != nil {
			return err
		}
		if r.state, err = readState(r.cfg.Dir); err != nil {
			f.Close()
			return err
		}
		r.lock = f
		if r.state.Format != 0 && r.state.Remote != r.at.String() { // the server would be told that we have what it never had
			if err := os.RemoveAll(r.cfg.clonePath()); err != nil {
				return fmt.Errorf("remove clone of %s: %w", r.state.Remote, err)
			}
		}
	}
	if r.clone != nil && r.clone.sto != nil {
		return nil
	}
	var err error
	r.clone, err = openClone(r.cfg.clonePath(), r.cfg.Limits)
	return err
}

// worn reports whether the clone has gathered so many packs that it is better made anew: at once, or when there was nothing to do.
func (r *Reconciler) worn(changes []Change) bool {
	n := r.clone.packs()
	return n > tooManyPacks || n > manyPacks && len(changes) == 0 && r.refused.err == nil
}

// reclone fetches into an empty clone and puts it in the place of the old one. It replaces the session by one of the new clone.
func (r *Reconciler) reclone(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	if err := os.RemoveAll(r.cfg.clonePath() + ".new"); err != nil { // of a try that failed
		return fmt.Errorf("make clone anew: %w", err)
	}
	fresh, err := openClone(r.cfg.clonePath()+".new", r.cfg.Limits)
	if err != nil {
		return fmt.Errorf("make clone anew: %w", err)
	}
	defer fresh.close()
	next, err := r.remote.open(ctx, fresh)
	if err != nil {
		return err
	}
	err = next.fetch(ctx)
	next.close()
	if err != nil {
		return fmt.Errorf("make clone anew: %w", err)
	}
	if err := r.clone.replace(fresh); err != nil {
		return err
	}
	if err := r.prepare(); err != nil {
		return fmt.Errorf("make clone anew: %w", err)
	}
	again, err := r.remote.open(ctx, r.clone)
	if err != nil {
		return err
	}
	(*s).close()
	*s = again
	r.refused = refusal{}
	if r.good != nil {
		return r.retain(ctx, again)
	}
	return nil
}

// retain keeps the last good commit in a new clone, if the remote gives it: after a force-push it may not.
func (r *Reconciler) retain(ctx context.Context, s session) error {
	commit, err := readCommit(s.objects(), r.good.commit)
	if err != nil {
		return nil //nolint:nilerr // it stays in memory and at the targets, as before
	}
	_, objects, err := readPolicy(ctx, s.objects(), commit.TreeHash, r.cfg.Limits)
	if err != nil {
		return s.fault(err)
	}
	if err := s.keep(ctx, r.good.commit, objects); err != nil {
		return err
	}
	return r.point(r.good.commit)
}

// point lets the clone name the commit in force, if it has it.
func (r *Reconciler) point(h plumbing.Hash) error {
	if !r.clone.has(h) {
		return nil
	}
	return r.clone.setReference(refApplied, h)
}

// apply brings the last good bundle to every target that does not hold it.
func (r *Reconciler) apply(ctx context.Context, o *Outcome) error {
	start := time.Now()
	defer func() { o.Timings.Apply += time.Since(start) }()
	var errs []error
	for _, t := range r.cfg.Targets {
		applied, err := r.applyTo(ctx, t)
		if err != nil {
			err = fmt.Errorf("%w: %s: %w; it is tried again at the next poll", ErrTarget, t.Name(), err)
			errs = append(errs, err)
		}
		o.Targets = append(o.Targets, TargetStatus{t.Name(), applied, err})
		o.Changed = o.Changed || applied
	}
	return errors.Join(errs...)
}

func (r *Reconciler) applyTo(ctx context.Context, t Target) (applied bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	b := r.good.result.Bundle
	if digest, err := t.Current(ctx); err == nil && digest == b.Manifest.Digest {
		return false, nil
	}
	if err := t.Apply(ctx, b); err != nil {
		return false, err
	}
	return true, nil
}

func (r *Reconciler) accepted(commit plumbing.Hash) bool {
	return r.cfg.AllowRewind || slices.Contains(r.cfg.AcceptCommits, commit.String())
}
