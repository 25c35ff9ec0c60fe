// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/reconciler/gitauth"
	"github.com/writ-sec/writ/schema/bundle"
)

// maxWords bounds the author and the subject of a commit in messages, in bytes.
const maxWords = 200

// take judges the tip of a session: fetch, ancestry, read, compile, keep, record. What was judged before is not judged again.
func (r *Reconciler) take(ctx context.Context, s session, o *Outcome) ([]Change, error) {
	commit, tags, env, err := r.fetch(ctx, s, o)
	if err != nil {
		return nil, err
	}
	o.describe(plumbing.NewHash(env.Commit), env)
	head := plumbing.NewHash(env.Commit)
	switch {
	case r.good != nil && r.good.commit == head:
		r.refused = refusal{}
		return nil, nil
	case r.refused.commit == head && r.refused.err != nil:
		return nil, r.refused.err
	}
	r.refused = refusal{}
	if err := r.follow(ctx, s, head, o); err != nil {
		return nil, r.refuse(head, env, err)
	}
	start := time.Now()
	tree, objects, err := readPolicy(ctx, s.objects(), commit.TreeHash, r.cfg.Limits)
	objects = append(objects, tags...)
	o.Timings.Read = time.Since(start)
	var result *compiler.Result
	if err == nil {
		result, err = r.compile(ctx, tree, env, o)
	}
	if err != nil {
		return nil, r.refuse(head, env, s.fault(err))
	}
	start = time.Now()
	defer func() { o.Timings.Apply += time.Since(start) }()
	if err := s.keep(ctx, head, objects); err != nil {
		return nil, fmt.Errorf("commit %s is good but not put in force: %w", head, err)
	}
	return r.record(head, env, result)
}

// fetch brings the tip and reads its commit.
func (r *Reconciler) fetch(ctx context.Context, s session, o *Outcome) (
	commit *object.Commit, tags []plumbing.Hash, env bundle.Envelope, err error,
) {
	start := time.Now()
	defer func() { o.Timings.Fetch = time.Since(start) }()
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	if err := s.fetch(ctx); err != nil {
		return nil, nil, env, err
	}
	head, tags, err := peel(s.objects(), s.tip())
	if err != nil {
		return nil, nil, env, s.fault(err)
	}
	commit, err = readCommit(s.objects(), head)
	if err != nil {
		return nil, nil, env, s.fault(err)
	}
	return commit, tags, envelope(head, commit), nil
}

// envelope makes what others wrote into a commit fit for terminals and logs.
func envelope(h plumbing.Hash, c *object.Commit) bundle.Envelope {
	subject, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	return bundle.Envelope{
		Commit:  h.String(),
		Author:  gitauth.Foreign(fmt.Sprintf("%s <%s>", c.Author.Name, c.Author.Email), maxWords),
		Time:    c.Author.When.UTC(),
		Subject: gitauth.Foreign(subject, maxWords),
	}
}

// follow refuses a commit that does not descend from the one in force, unless it was accepted.
func (r *Reconciler) follow(ctx context.Context, s session, head plumbing.Hash, o *Outcome) error {
	if r.state.Commit == "" || r.state.Commit == head.String() || r.accepted(head) {
		return nil
	}
	start := time.Now()
	defer func() { o.Timings.Fetch += time.Since(start) }()
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	rel, err := s.descends(ctx, head, plumbing.NewHash(r.state.Commit))
	if err != nil {
		return s.fault(err)
	}
	why := "does not descend from it: history was rewritten, or the branch was reset"
	switch rel {
	case descends:
		return nil
	case unknown:
		why = fmt.Sprintf("cannot be shown to descend from it: it is not among the last %d commits that the remote gives", r.cfg.Limits.History)
	}
	return &rewindError{fmt.Sprintf("commit %s of policy repository %s is refused: %s is in force, and the new one %s; "+
		"if that is right, accept it with --accept-commit %[1]s", head, r.at.String(), r.state.Commit, why)}
}

// rewindError is an error that is ErrRewound.
type rewindError struct{ msg string }

func (e *rewindError) Error() string   { return e.msg }
func (e *rewindError) Is(t error) bool { return t == ErrRewound }

func (r *Reconciler) compile(ctx context.Context, tree compiler.Tree, env bundle.Envelope, o *Outcome) (*compiler.Result, error) {
	start := time.Now()
	defer func() { o.Timings.Compile = time.Since(start) }()
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	result, err := r.compiler.Compile(ctx, tree, env)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("commit %s does not compile within %v: %w; make its folders smaller, or allow more time",
			env.Commit, r.cfg.Timeout, err)
	}
	return result, err
}

// refuse words the error of a commit that is not taken. What the commit itself is to blame for is remembered.
func (r *Reconciler) refuse(head plumbing.Hash, env bundle.Envelope, err error) error {
	var wrong compiler.Errors
	var unknown *compiler.UnknownClusterError
	switch {
	case errors.As(err, &wrong), errors.As(err, &unknown):
		stays := "nothing is in force yet"
		if r.state.Commit != "" {
			stays = r.state.Commit + " stays in force"
		}
		err = fmt.Errorf("commit %s (%q by %s) is broken, %s:\n%w", head, env.Subject, env.Author, stays, err)
	case !errors.Is(err, ErrRewound):
		return err
	}
	r.refused = refusal{head, env, err}
	return err
}

// record makes a commit the last good one, first on disk.
func (r *Reconciler) record(head plumbing.Hash, env bundle.Envelope, result *compiler.Result) ([]Change, error) {
	files := result.Bundle.Manifest.Files
	changes := Diff(r.state.Files, files)
	if r.state.Commit != "" && r.state.Layout != bundle.Format {
		changes = comeAndGone(changes) // this version writes every file in another form
	}
	next := state{stateFormat, r.at.String(), r.ref.String(), head.String(), result.Bundle.Manifest.Digest, bundle.Format, files}
	if r.state.Commit != next.Commit || r.state.Digest != next.Digest || r.state.Remote != next.Remote {
		if err := next.write(r.cfg.Dir); err != nil {
			return nil, fmt.Errorf("commit %s is good but not put in force: %w", head, err)
		}
	}
	if err := r.point(head); err != nil {
		return nil, err
	}
	r.state = next
	r.setGood(&good{head, env, result})
	return changes, nil
}

func (r *Reconciler) setGood(g *good) {
	r.good = g
	r.lastMu.Lock()
	defer r.lastMu.Unlock()
	r.last = g.result
}

// restore compiles the commit that was in force before a restart from the clone, because the remote gives nothing better.
func (r *Reconciler) restore(ctx context.Context, o *Outcome) error {
	if r.clone == nil || r.clone.sto == nil {
		return nil // why, is said already
	}
	head := plumbing.NewHash(r.state.Commit)
	err := func() error {
		commit, err := readCommit(r.clone.sto, head)
		if err != nil {
			return err
		}
		tree, _, err := readPolicy(ctx, r.clone.sto, commit.TreeHash, r.cfg.Limits)
		if err != nil {
			return err
		}
		env := envelope(head, commit)
		result, err := r.compile(ctx, tree, env, o)
		if err != nil {
			return err
		}
		r.setGood(&good{head, env, result})
		return nil
	}()
	if err != nil {
		return fmt.Errorf("commit %s was in force and cannot be restored from %s: %s; the targets keep what they hold",
			head, r.clone.path, gitauth.Foreign(err.Error(), gitauth.MaxForeign))
	}
	return nil
}
