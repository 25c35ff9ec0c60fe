// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// References of the clone. What they name is here completely: the server is told so, and then sends only what is new.
const (
	refHead    = plumbing.ReferenceName("refs/writ/head")    // the tip that was fetched last
	refApplied = plumbing.ReferenceName("refs/writ/applied") // the commit in force
)

// cacheSize bounds the objects that the clone keeps in memory, in bytes: the folders of a policy, and little more.
const cacheSize = 16 << 20

// Each transfer that brings something adds a pack, and a lookup tries one after the other.
const (
	manyPacks    = 32  // cloned anew when there is nothing else to do
	tooManyPacks = 256 // cloned anew at once
)

// clone is a bare repository in the folder of a Reconciler. One goroutine uses it.
type clone struct {
	path string
	lim  Limits
	sto  *filesystem.Storage
}

// openClone opens the clone at a path, or makes an empty one. A damaged one that cannot even be opened is errCorrupt.
func openClone(path string, lim Limits) (*clone, error) {
	if err := settle(path); err != nil {
		return nil, err
	}
	c := &clone{path: path, lim: lim}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := git.PlainInit(path, true); err != nil {
			return nil, fmt.Errorf("make clone: %w", err)
		}
	}
	if _, err := git.PlainOpen(path); err != nil {
		return c, fmt.Errorf("%w: %s: %w", errCorrupt, path, err)
	}
	c.sto = filesystem.NewStorageWithOptions(osfs.New(path), cache.NewObjectLRU(cacheSize),
		filesystem.Options{KeepDescriptors: true, LargeObjectThreshold: max(lim.FileSize, maxTreeObject)})
	c.sweep()
	if err := c.sto.HasEncodedObject(plumbing.ZeroHash); !errors.Is(err, plumbing.ErrObjectNotFound) { // reads all indexes
		c.close()
		return c, fmt.Errorf("%w: %s: %w", errCorrupt, path, err)
	}
	return c, nil
}

// settle finishes an exchange of clones that was interrupted: see replace.
func settle(path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.Rename(path+".old", path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("restore clone: %w", err)
		}
	}
	return errors.Join(os.RemoveAll(path+".old"), os.RemoveAll(path+".new"))
}

// replace puts another clone in the place of this one. At every moment one of them can be opened.
func (c *clone) replace(by *clone) error {
	c.close()
	by.close()
	if err := os.Rename(c.path, c.path+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("exchange clone: %w", err)
	}
	if err := os.Rename(by.path, c.path); err != nil {
		return fmt.Errorf("exchange clone: %w", err)
	}
	return os.RemoveAll(c.path + ".old")
}

// sweep removes what an interrupted transfer left.
func (c *clone) sweep() {
	left, _ := filepath.Glob(filepath.Join(c.path, "objects", "pack", "tmp_*"))
	for _, name := range left {
		os.Remove(name) // what cannot be removed harms nobody: git does not read it
	}
}

func (c *clone) close() {
	if c.sto != nil {
		c.sto.Close() // only reading descriptors
		c.sto = nil
	}
}

func (c *clone) has(h plumbing.Hash) bool { return c.sto.HasEncodedObject(h) == nil }

// reference returns what a reference of the clone names, or zero.
func (c *clone) reference(name plumbing.ReferenceName) plumbing.Hash {
	ref, err := c.sto.Reference(name)
	if err != nil {
		return plumbing.ZeroHash
	}
	return ref.Hash()
}

func (c *clone) setReference(name plumbing.ReferenceName, h plumbing.Hash) error {
	if err := c.sto.SetReference(plumbing.NewHashReference(name, h)); err != nil {
		return fmt.Errorf("record %s in %s: %w", name, c.path, err)
	}
	return nil
}

// complete returns the hashes that are here with everything they lead to.
func (c *clone) complete() []plumbing.Hash {
	var have []plumbing.Hash
	for _, name := range []plumbing.ReferenceName{refHead, refApplied} {
		if h := c.reference(name); !h.IsZero() && c.has(h) {
			have = append(have, h)
		}
	}
	return have
}

// shallow returns the commits whose parents are not here.
func (c *clone) shallow() (map[plumbing.Hash]bool, error) {
	list, err := c.sto.Shallow()
	if err != nil {
		return nil, fmt.Errorf("%w: shallow: %w", errCorrupt, err)
	}
	set := make(map[plumbing.Hash]bool, len(list))
	for _, h := range list {
		set[h] = true
	}
	return set, nil
}

func (c *clone) setShallow(set map[plumbing.Hash]bool) error {
	list := make([]plumbing.Hash, 0, len(set))
	for h := range set {
		list = append(list, h)
	}
	plumbing.HashesSort(list)
	if err := c.sto.SetShallow(list); err != nil {
		return fmt.Errorf("record shallow commits in %s: %w", c.path, err)
	}
	return nil
}

func (c *clone) packs() int {
	packs, err := c.sto.ObjectPacks()
	if err != nil {
		return 0
	}
	return len(packs)
}

// copyFrom adds objects of another storage as one pack, those that are here already left out.
func (c *clone) copyFrom(ctx context.Context, s storer.EncodedObjectStorer, objects []plumbing.Hash) (err error) {
	var missing []plumbing.Hash
	seen := map[plumbing.Hash]bool{}
	for _, h := range objects {
		if !seen[h] && !c.has(h) {
			missing = append(missing, h)
		}
		seen[h] = true
	}
	if len(missing) == 0 {
		return nil
	}
	w, err := c.sto.PackfileWriter()
	if err != nil {
		return fmt.Errorf("write to clone %s: %w", c.path, err)
	}
	if err = ctx.Err(); err == nil {
		_, err = packfile.NewEncoder(w, s, false).Encode(missing, 0) // no deltas: these are few and small
	}
	if err = errors.Join(err, w.Close()); err != nil {
		c.sweep()
		return fmt.Errorf("write to clone %s: %w", c.path, room(err))
	}
	return nil
}
