// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/writ-sec/writ/reconciler/gitauth"
)

const remoteName = "origin"

// clone is a bare repository in a temporary folder, with one remote and nothing but what was fetched from it.
type clone struct {
	dir    string
	repo   *git.Repository
	remote *git.Remote
	at     gitauth.Address
	login  login
}

func newClone(ctx context.Context, cfg Config) (*clone, error) {
	at, err := gitauth.Parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	c := &clone{at: at}
	if c.login, err = newLogin(ctx, at, cfg.Auth); err != nil {
		return nil, fmt.Errorf("policy repository %s: %w", at, err)
	}
	if c.dir, err = os.MkdirTemp(cfg.TempDir, "writ-learn-"); err != nil {
		return nil, errors.Join(fmt.Errorf("temporary clone: %w", err), c.login.close())
	}
	if c.repo, err = git.PlainInit(c.dir, true); err == nil {
		c.remote, err = c.repo.CreateRemote(&config.RemoteConfig{Name: remoteName, URLs: []string{at.URL()}})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("temporary clone: %w", err), c.close())
	}
	return c, nil
}

func (c *clone) close() error { return errors.Join(os.RemoveAll(c.dir), c.login.close()) }

// remoteError says what is wrong with the remote. Its text holds no secret; the cause can be asked for with errors.Is.
type remoteError struct {
	text  string
	cause error
}

func (e *remoteError) Error() string        { return e.text }
func (e *remoteError) Is(target error) bool { return errors.Is(e.cause, target) }

// fault explains an error of a transfer: where, what, what to do.
func (c *clone) fault(what string, err error) error {
	todo := "check the URL and that the server is well"
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		todo = "check the server and the network, or allow more time"
	case errors.Is(err, transport.ErrAuthenticationRequired):
		todo = "name credentials that it takes"
	case errors.Is(err, transport.ErrAuthorizationFailed):
		todo = "name credentials that may push branches under " + branchPrefix
	case errors.Is(err, transport.ErrRepositoryNotFound):
		todo = "check the URL and the credentials"
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		todo = "push a first commit"
	}
	return &remoteError{fmt.Sprintf("policy repository %s: %s: %s; %s", c.at, what, c.login.hide.Scrub(err.Error()), todo), err}
}

// list asks the remote for its branches, and which of them is the default.
func (c *clone) list(ctx context.Context) (branches map[string]plumbing.Hash, head string, err error) {
	refs, err := c.remote.ListContext(ctx, &git.ListOptions{Auth: c.login.method, CABundle: c.login.ca})
	if err != nil {
		return nil, "", c.fault("it can't be read", err)
	}
	branches = map[string]plumbing.Hash{}
	for _, r := range refs {
		if r.Name() == plumbing.HEAD && r.Type() == plumbing.SymbolicReference {
			head = r.Target().Short()
		}
		if r.Name().IsBranch() && r.Type() == plumbing.HashReference {
			branches[r.Name().Short()] = r.Hash()
		}
	}
	return branches, head, nil
}

// fetch brings whole branches with their history.
func (c *clone) fetch(ctx context.Context, names ...string) error {
	specs := make([]config.RefSpec, len(names))
	for i, n := range names {
		specs[i] = config.RefSpec(fmt.Sprintf("+refs/heads/%s:refs/remotes/%s/%s", n, remoteName, n))
	}
	err := c.remote.FetchContext(ctx, &git.FetchOptions{RemoteName: remoteName, RefSpecs: specs, Auth: c.login.method, CABundle: c.login.ca, Tags: git.NoTags})
	if err != nil && !errors.Is(err, git.NoErrAlreadyUpToDate) {
		return c.fault("it can't be fetched", err)
	}
	return nil
}

func (c *clone) branch(name string) (*object.Commit, error) {
	ref, err := c.repo.Reference(plumbing.NewRemoteReferenceName(remoteName, name), true)
	if err != nil {
		return nil, fmt.Errorf("branch %q: %w", name, err)
	}
	return c.repo.CommitObject(ref.Hash())
}

// open lists and fetches the base branch and, where they exist, learned branches. It returns the base's name, and what the others are at.
func (c *clone) open(ctx context.Context, base string) (string, map[string]plumbing.Hash, error) {
	branches, head, err := c.list(ctx)
	if err != nil {
		return "", nil, err
	}
	if base == "" {
		base = head
	}
	if _, ok := branches[base]; !ok {
		return "", nil, fmt.Errorf("policy repository %s: branch %q does not exist; it has %s; name one of them, or push it", c.at, base, some(branches))
	}
	names := []string{base}
	for n := range branches {
		if strings.HasPrefix(n, branchPrefix) {
			names = append(names, n)
		}
	}
	return base, branches, c.fetch(ctx, names...)
}

func some(branches map[string]plumbing.Hash) string {
	if len(branches) == 0 {
		return "none"
	}
	var names []string
	for n := range branches {
		names = append(names, fmt.Sprintf("%q", n))
	}
	slices.Sort(names)
	if len(names) > 5 {
		names = append(names[:5], "…")
	}
	return strings.Join(names, ", ")
}

// push moves a branch of the remote from old, zero for a new branch, to a commit that descends from it. The server compares and swaps: what
// somebody else pushed in between is never overwritten. moved tells that this is why it failed.
func (c *clone) push(ctx context.Context, name string, old, commit plumbing.Hash) (moved bool, err error) {
	ref := plumbing.NewBranchReferenceName(name)
	if err := c.repo.Storer.SetReference(plumbing.NewHashReference(ref, commit)); err != nil {
		return false, err
	}
	err = c.remote.PushContext(ctx, &git.PushOptions{RemoteName: remoteName, Auth: c.login.method, CABundle: c.login.ca,
		RefSpecs: []config.RefSpec{config.RefSpec(ref + ":" + ref)}})
	if err == nil || errors.Is(err, git.NoErrAlreadyUpToDate) {
		return false, nil
	}
	if now, _, lerr := c.list(ctx); lerr == nil {
		if now[name] == commit {
			return false, nil // the answer was lost, not the push
		}
		moved = now[name] != old
	}
	what := fmt.Sprintf("branch %q can't be pushed", name)
	if errors.Is(err, transport.ErrRepositoryNotFound) { // it was read a moment ago
		what += ", though the repository can be read: it is read-only for this URL and these credentials"
	}
	return moved, c.fault(what, err)
}

// commit stores a commit and returns it.
func (c *clone) commit(tree plumbing.Hash, parents []plumbing.Hash, who object.Signature, message string) (*object.Commit, error) {
	h, err := store(c.repo.Storer, &object.Commit{Author: who, Committer: who, Message: message, TreeHash: tree, ParentHashes: parents})
	if err != nil {
		return nil, err
	}
	return c.repo.CommitObject(h)
}

// signature writes an author with an instant of whole seconds in UTC.
func signature(name, email string, at time.Time) object.Signature {
	return object.Signature{Name: name, Email: email, When: at.UTC().Truncate(time.Second)}
}
