// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/reconciler/gitauth"
	"github.com/writ-sec/writ/schema"
)

// Bounds of objects that are not files, in bytes. A tree of 100,000 entries with names of 100 bytes has 13 MB.
const (
	maxCommitObject = 1 << 20
	maxTreeObject   = 64 << 20
	maxTagChain     = 8 // tags of tags
)

// readObject reads an object, and verifies that its content is what its name says: git does so only when it receives it.
func readObject(s storer.EncodedObjectStorer, t plumbing.ObjectType, h plumbing.Hash, limit int64) (*plumbing.MemoryObject, error) {
	o, err := s.EncodedObject(plumbing.AnyObject, h)
	if err != nil {
		return nil, fmt.Errorf("%w: %s %s: %w", errCorrupt, t, h, err)
	}
	if o.Type() != t {
		return nil, fmt.Errorf("%w: %s is a %s; want a %s", errCorrupt, h, o.Type(), t)
	}
	if o.Size() > limit {
		return nil, fmt.Errorf("%s %s has %d bytes; at most %d are read", t, h, o.Size(), limit)
	}
	r, err := o.Reader()
	if err != nil {
		return nil, fmt.Errorf("%w: %s %s: %w", errCorrupt, t, h, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %s %s: %w", errCorrupt, t, h, err)
	}
	if plumbing.ComputeHash(t, data) != h {
		return nil, fmt.Errorf("%w: the content of %s %s is another", errCorrupt, t, h)
	}
	m := &plumbing.MemoryObject{}
	m.SetType(t)
	_, err = m.Write(data)
	return m, err
}

func readCommit(s storer.EncodedObjectStorer, h plumbing.Hash) (*object.Commit, error) {
	m, err := readObject(s, plumbing.CommitObject, h, maxCommitObject)
	if err != nil {
		return nil, err
	}
	c := &object.Commit{}
	if err := c.Decode(m); err != nil {
		return nil, fmt.Errorf("commit %s cannot be read: %w", h, err)
	}
	return c, nil
}

// peel follows annotated tags to the commit. It also returns the tags on the way.
func peel(s storer.EncodedObjectStorer, h plumbing.Hash) (commit plumbing.Hash, tags []plumbing.Hash, err error) {
	for range maxTagChain {
		o, err := s.EncodedObject(plumbing.AnyObject, h)
		if err != nil {
			return h, nil, fmt.Errorf("%w: %s: %w", errCorrupt, h, err)
		}
		switch o.Type() {
		case plumbing.CommitObject:
			return h, tags, nil
		case plumbing.TagObject:
		default:
			return h, nil, &remoteError{msg: fmt.Sprintf("what is followed names the %s %s; want a commit", o.Type(), h)}
		}
		m, err := readObject(s, plumbing.TagObject, h, maxCommitObject)
		if err != nil {
			return h, nil, err
		}
		t := &object.Tag{}
		if err := t.Decode(m); err != nil {
			return h, nil, fmt.Errorf("tag %s cannot be read: %w", h, err)
		}
		tags, h = append(tags, h), t.Target
	}
	return h, nil, &remoteError{msg: fmt.Sprintf("what is followed is a tag of more than %d tags; want the tag of a commit", maxTagChain)}
}

// reader reads the policy of one commit straight from git's objects.
type reader struct {
	s       storer.EncodedObjectStorer
	lim     Limits
	entries int
	size    int64
	tree    compiler.Tree
	objects []plumbing.Hash // trees and files that were read
	wrong   compiler.Errors
}

// readPolicy returns what a tree holds of policy, and the objects it is made of. An error is compiler.Errors when the commit is at fault.
func readPolicy(ctx context.Context, s storer.EncodedObjectStorer, root plumbing.Hash, lim Limits) (compiler.Tree, []plumbing.Hash, error) {
	r := &reader{s: s, lim: lim}
	if err := r.folder(ctx, "", root); err != nil {
		return compiler.Tree{}, nil, err
	}
	if len(r.wrong) > 0 {
		return compiler.Tree{}, nil, r.wrong
	}
	return r.tree, r.objects, nil
}

func (r *reader) folder(ctx context.Context, dir string, h plumbing.Hash) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m, err := readObject(r.s, plumbing.TreeObject, h, maxTreeObject)
	if err != nil {
		return err
	}
	t := &object.Tree{}
	if err := t.Decode(m); err != nil {
		return broken(dir, "the folder %s cannot be read: %v", h, err)
	}
	r.objects = append(r.objects, h)
	seen := map[string]bool{}
	for _, e := range t.Entries {
		name := dir + e.Name
		if strings.Contains(e.Name, "/") || !fs.ValidPath(e.Name) || e.Name == "." || seen[e.Name] || len(name) > maxPath {
			return broken(dir, "the folder holds %q, which is no name that git makes, stands there twice, or is longer than %d bytes",
				gitauth.Foreign(e.Name, gitauth.MaxForeign), maxPath)
		}
		seen[e.Name] = true
		if r.entries++; r.entries > r.lim.Entries {
			return broken(name, "the commit holds more than %d files and folders; is this a policy repository?", r.lim.Entries)
		}
		if err := r.entry(ctx, name, e); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) entry(ctx context.Context, name string, e object.TreeEntry) error {
	switch e.Mode {
	case filemode.Dir:
		if !compiler.Reads(name+"/x.cue", 0) {
			return nil // such a folder is skipped as a whole
		}
		return r.folder(ctx, name+"/", e.Hash)
	case filemode.Regular, filemode.Executable, filemode.Deprecated:
		if !compiler.Reads(name, 0) {
			return nil
		}
		return r.file(name, e.Hash)
	case filemode.Symlink:
		if compiler.Reads(name, fs.ModeSymlink) { // the compiler refuses it, beside its other errors; its target is not read
			r.tree.Files = append(r.tree.Files, compiler.File{Path: name, Mode: fs.ModeSymlink})
		}
	default: // filemode.Submodule, and what git does not know
		if compiler.Reads(name, fs.ModeIrregular) {
			r.wrong = append(r.wrong, diagnostic(name, "is a submodule; want its files in this repository, because one commit must say all"))
		}
	}
	return nil
}

func (r *reader) file(name string, h plumbing.Hash) error {
	o, err := r.s.EncodedObject(plumbing.BlobObject, h) // beyond the storage's threshold this reads the size alone
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errCorrupt, name, err)
	}
	if o.Size() > r.lim.FileSize {
		r.wrong = append(r.wrong, diagnostic(name, "has %d bytes; at most %d are read from a policy file", o.Size(), r.lim.FileSize))
		return nil
	}
	if r.size += o.Size(); r.size > r.lim.TreeSize {
		return broken(name, "the policy files up to this one have %d bytes; at most %d are read", r.size, r.lim.TreeSize)
	}
	if len(r.tree.Files) >= r.lim.Files {
		return broken(name, "the commit holds more than %d policy files", r.lim.Files)
	}
	m, err := readObject(r.s, plumbing.BlobObject, h, r.lim.FileSize)
	if err != nil {
		return err
	}
	rd, err := m.Reader()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(rd)
	if err != nil {
		return err
	}
	r.objects = append(r.objects, h)
	r.tree.Files = append(r.tree.Files, compiler.File{Path: name, Data: data})
	return nil
}

// broken is one error of the commit's own making.
func broken(name, format string, args ...any) error {
	return compiler.Errors{diagnostic(name, format, args...)}
}

func diagnostic(name, format string, args ...any) compiler.Diagnostic {
	d := compiler.Diagnostic{Pos: schema.Pos{File: gitauth.Foreign(name, maxPath)}, Msg: fmt.Sprintf(format, args...)}
	if name == "" {
		d.Path = "repository"
	}
	return d
}
