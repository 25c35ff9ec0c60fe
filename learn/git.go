// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"github.com/writ-sec/writ/compiler"
)

// readTree reads what the compiler reads of a commit. Links and submodules are recorded as such, so that the compiler refuses them.
func readTree(c *object.Commit) (compiler.Tree, error) {
	root, err := c.Tree()
	if err != nil {
		return compiler.Tree{}, err
	}
	var t compiler.Tree
	total := int64(0)
	w := object.NewTreeWalker(root, true, nil)
	defer w.Close()
	for {
		name, entry, err := w.Next()
		if errors.Is(err, io.EOF) {
			return t, nil
		} else if err != nil {
			return t, err
		}
		mode := EntryType(entry.Mode)
		if entry.Mode == filemode.Dir || !compiler.Reads(name, mode) {
			continue
		}
		f := compiler.File{Path: name, Mode: mode}
		if mode.IsRegular() {
			blob, err := root.TreeEntryFile(&entry)
			if err != nil {
				return t, err
			}
			total += blob.Size
			if blob.Size > compiler.MaxFile || total > compiler.MaxTree || len(t.Files) >= compiler.MaxFiles {
				return t, fmt.Errorf("%q: more than %d bytes, or with the files before it more than %d bytes or %d files",
					name, compiler.MaxFile, compiler.MaxTree, compiler.MaxFiles)
			}
			text, err := blob.Contents()
			if err != nil {
				return t, err
			}
			f.Data = []byte(text)
		}
		t.Files = append(t.Files, f)
	}
}

// EntryType returns the type bits of an entry of a git tree. What is neither a folder, a file nor a link, as a submodule, is irregular.
func EntryType(m filemode.FileMode) fs.FileMode {
	switch m {
	case filemode.Dir:
		return fs.ModeDir
	case filemode.Regular, filemode.Executable, filemode.Deprecated:
		return 0
	case filemode.Symlink:
		return fs.ModeSymlink
	}
	return fs.ModeIrregular
}

// writeTree stores a copy of a tree in which files have new content, and returns its hash. Every file must exist.
func writeTree(s storer.EncodedObjectStorer, t *object.Tree, files map[string][]byte) (plumbing.Hash, error) {
	here, below := map[string][]byte{}, map[string]map[string][]byte{}
	for name, data := range files {
		if dir, rest, ok := strings.Cut(name, "/"); !ok {
			here[name] = data
		} else if below[dir] == nil {
			below[dir] = map[string][]byte{rest: data}
		} else {
			below[dir][rest] = data
		}
	}
	next := &object.Tree{Entries: slices.Clone(t.Entries)}
	for i := range next.Entries {
		e := &next.Entries[i]
		var err error
		if data, ok := here[e.Name]; ok {
			e.Hash, err = writeBlob(s, data)
			delete(here, e.Name)
		} else if sub, ok := below[e.Name]; ok {
			var dir *object.Tree
			if dir, err = object.GetTree(s, e.Hash); err == nil {
				e.Hash, err = writeTree(s, dir, sub)
			}
			delete(below, e.Name)
		}
		if err != nil {
			return plumbing.ZeroHash, fmt.Errorf("%q: %w", e.Name, err)
		}
	}
	if len(here)+len(below) > 0 {
		return plumbing.ZeroHash, fmt.Errorf("the commit has no %q", slices.Sorted(maps.Keys(files)))
	}
	return store(s, next)
}

func writeBlob(s storer.EncodedObjectStorer, data []byte) (hash plumbing.Hash, err error) {
	o := s.NewEncodedObject()
	o.SetType(plumbing.BlobObject)
	w, err := o.Writer()
	if err != nil {
		return hash, err
	}
	_, err = w.Write(data)
	if err = errors.Join(err, w.Close()); err != nil {
		return hash, err
	}
	return s.SetEncodedObject(o)
}

// store stores a tree or commit.
func store(s storer.EncodedObjectStorer, v interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	o := s.NewEncodedObject()
	if err := v.Encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	return s.SetEncodedObject(o)
}

// since returns the commits that lead to tip and not to base, tip first.
func since(tip, base *object.Commit) ([]*object.Commit, error) {
	seen := map[plumbing.Hash]bool{}
	err := object.NewCommitPreorderIter(base, nil, nil).ForEach(func(c *object.Commit) error {
		seen[c.Hash] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []*object.Commit
	err = object.NewCommitPreorderIter(tip, seen, nil).ForEach(func(c *object.Commit) error {
		out = append(out, c)
		return nil
	})
	return out, err
}

// taken reports whether everything that the branch changed since it left base stands in base, as after a squash or a rebase. A branch that
// changed nothing is not taken.
func taken(tip, base *object.Commit) (bool, error) {
	forks, err := tip.MergeBase(base)
	if err != nil || len(forks) == 0 {
		return false, err
	}
	var trees [3]*object.Tree
	for i, c := range []*object.Commit{forks[0], tip, base} {
		if trees[i], err = c.Tree(); err != nil {
			return false, err
		}
	}
	changes, err := trees[0].Diff(trees[1])
	if err != nil || len(changes) == 0 {
		return false, err
	}
	for _, ch := range changes {
		if ch.From.Name != "" && ch.From.Name != ch.To.Name && hashAt(trees[2], ch.From.Name) != plumbing.ZeroHash {
			return false, nil
		}
		if ch.To.Name != "" && hashAt(trees[2], ch.To.Name) != ch.To.TreeEntry.Hash {
			return false, nil
		}
	}
	return true, nil
}

func hashAt(t *object.Tree, name string) plumbing.Hash {
	e, err := t.FindEntry(path.Clean(name))
	if err != nil {
		return plumbing.ZeroHash
	}
	return e.Hash
}

// diff returns the unified diff between the trees of two commits.
func diff(ctx context.Context, from, to *object.Commit) (string, error) {
	patch, err := from.PatchContext(ctx, to)
	if err != nil {
		return "", err
	}
	return patch.String(), nil
}
