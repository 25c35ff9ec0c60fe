// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/writ-sec/writ/reconciler/gitauth"
)

// local is a repository of this machine. It is read in place; what is put in force is copied into the clone.
type local struct {
	at      gitauth.Address
	ref     plumbing.ReferenceName
	phrase  string
	lim     Limits
	timeout time.Duration
}

type localSession struct {
	l    *local
	c    *clone
	sto  *filesystem.Storage
	want plumbing.Hash
}

func (l *local) open(_ context.Context, c *clone) (session, error) {
	sto, err := l.storage()
	if err != nil {
		return nil, explain(l.at.String(), err, nil, l.timeout)
	}
	s := &localSession{l: l, c: c, sto: sto}
	ref, err := storer.ResolveReference(sto, l.ref)
	if err == nil {
		s.want = ref.Hash()
		return s, nil
	}
	defer s.close()
	if !errors.Is(err, plumbing.ErrReferenceNotFound) {
		return nil, explain(l.at.String(), err, nil, l.timeout)
	}
	var names []string
	refs, err := sto.IterReferences()
	if err == nil {
		err = refs.ForEach(func(r *plumbing.Reference) error {
			if r.Type() == plumbing.HashReference {
				names = append(names, r.Name().String())
			}
			return nil
		})
	}
	switch {
	case err != nil:
		return nil, explain(l.at.String(), err, nil, l.timeout)
	case len(names) == 0:
		return nil, explain(l.at.String(), transport.ErrEmptyRemoteRepository, nil, l.timeout)
	}
	return nil, noReference(l.at.String(), l.phrase, l.ref, names)
}

// storage opens the repository anew: another process may have repacked it since.
func (l *local) storage() (*filesystem.Storage, error) {
	if _, err := os.Stat(l.at.Path); err != nil {
		return nil, &remoteError{fmt.Sprintf("policy repository %s: the folder is not there (%v); bring it back, or correct the path",
			l.at.String(), errors.Unwrap(err)), err}
	}
	repo, err := git.PlainOpenWithOptions(l.at.Path, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, &remoteError{msg: fmt.Sprintf(
			"policy repository %s: the folder is no git repository; run git init there, or correct the path", l.at.String())}
	} else if err != nil {
		return nil, err
	}
	opened, ok := repo.Storer.(*filesystem.Storage)
	if !ok {
		return nil, fmt.Errorf("storage is a %T", repo.Storer)
	}
	return filesystem.NewStorageWithOptions(opened.Filesystem(), cache.NewObjectLRU(cacheSize), filesystem.Options{
		KeepDescriptors:      true,
		LargeObjectThreshold: max(l.lim.FileSize, maxTreeObject),
		AlternatesFS:         osfs.New("/"),
	}), nil
}

func (s *localSession) tip() plumbing.Hash                  { return s.want }
func (s *localSession) objects() storer.EncodedObjectStorer { return s.sto }
func (s *localSession) close()                              { s.sto.Close() } // only reading descriptors
func (s *localSession) fetch(context.Context) error         { return nil }    // read in place

// fault says that the repository itself is damaged: it is read in place.
func (s *localSession) fault(err error) error {
	if !errors.Is(err, errCorrupt) {
		return err
	}
	return &remoteError{fmt.Sprintf("policy repository %s: cannot be read as a whole (%s); run git fsck there",
		s.l.at.String(), gitauth.Foreign(err.Error(), gitauth.MaxForeign)), err}
}

func (s *localSession) descends(ctx context.Context, commit, from plumbing.Hash) (relation, error) {
	list, err := s.sto.Shallow() // the repository may itself be a shallow clone
	if err != nil {
		return unknown, explain(s.l.at.String(), err, nil, s.l.timeout)
	}
	shallow := make(map[plumbing.Hash]bool, len(list))
	for _, h := range list {
		shallow[h] = true
	}
	return ancestry(ctx, s.sto, shallow, commit, from, s.l.lim.History)
}

// keep copies the policy of a commit. Its parents stay behind, so the clone says that its history ends there.
func (s *localSession) keep(ctx context.Context, commit plumbing.Hash, objects []plumbing.Hash) error {
	if err := s.c.copyFrom(ctx, s.sto, append(objects, commit)); err != nil {
		return err
	}
	return s.c.setShallow(map[plumbing.Hash]bool{commit: true}) // the only one that a person may ask for its history
}
