// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/writ-sec/writ/schema/bundle"
)

// temporary begins the names of folders that [WriteFolder] makes beside its target; a crash can leave one.
const temporary = ".writ-bundle-"

// WriteFolder writes a bundle so that a reader who opens the folder sees the old bundle or the new one, whole. A new folder is written beside
// dir, flushed to disk, and the two are exchanged. When dir holds the same bundle and envelope already, nothing is written.
//
// dir is created if it does not exist. A folder that is neither empty nor a bundle is refused and left as it is; so is a link.
// Writers of the same folder must not run at the same time.
func WriteFolder(dir string, b *bundle.Bundle) error {
	dir = filepath.Clean(dir)
	manifest := b.EncodeManifest()
	exists, same, err := inspect(dir, manifest)
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	if same {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	sweep(parent, filepath.Base(dir))
	next, err := os.MkdirTemp(parent, temporary+filepath.Base(dir)+"-")
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	if err = fill(next, dir, b, manifest); err == nil {
		err = swap(dir, next, exists)
	}
	if cleanup := os.RemoveAll(next); err == nil && cleanup != nil {
		err = cleanup
	}
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// inspect says whether the target exists and whether it holds this very bundle. It is an error if the target is not ours to replace.
func inspect(dir string, manifest []byte) (exists, same bool, err error) {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, false, nil
	case err != nil:
		return false, false, err
	case !info.IsDir():
		return true, false, fmt.Errorf("%q is not a folder; want an empty folder, a bundle, or a path that does not exist", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return true, false, err
	}
	known := map[string]bool{bundle.ManifestName: true, bundle.RulesDir: true, bundle.NodeDir: true, bundle.AdmissionDir: true}
	hasManifest := false
	for _, e := range entries {
		hasManifest = hasManifest || e.Name() == bundle.ManifestName
		if !known[e.Name()] {
			return true, false, fmt.Errorf("%q holds %q and would be replaced; want an empty folder or a bundle", dir, e.Name())
		}
	}
	if len(entries) > 0 && !hasManifest {
		return true, false, fmt.Errorf("%q holds files but no %s; want an empty folder or a bundle", dir, bundle.ManifestName)
	}
	if !hasManifest {
		return true, false, nil
	}
	old, err := os.ReadFile(filepath.Join(dir, bundle.ManifestName))
	if err != nil {
		return true, false, err
	}
	if !bytes.Equal(old, manifest) {
		return true, false, nil
	}
	_, err = bundle.Read(os.DirFS(dir)) // a damaged bundle is written anew
	return true, err == nil, nil
}

// sweep removes what a crashed writer of the same folder left.
func sweep(parent, base string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return // making the temporary folder will say why
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), temporary+base+"-")
		if ok && e.IsDir() && strings.Trim(rest, "0123456789") == "" {
			os.RemoveAll(filepath.Join(parent, e.Name()))
		}
	}
}

// maxFlushes is how many files are flushed at the same time: a journalling file system commits those together.
const maxFlushes = 32

// fill writes the files of a bundle into an empty folder and flushes them. A file that stands in the old folder with the same bytes is linked.
func fill(dir, old string, b *bundle.Bundle, manifest []byte) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	folders := map[string]bool{dir: true}
	var flush errgroup.Group
	flush.SetLimit(maxFlushes)
	for _, f := range b.Manifest.Files {
		local := filepath.FromSlash(f.Path)
		name := filepath.Join(dir, local)
		if sub := filepath.Dir(name); !folders[sub] {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return errors.Join(err, flush.Wait())
			}
			folders[sub] = true
		}
		if linkSame(filepath.Join(old, local), name, b.Files[f.Path]) {
			continue
		}
		flush.Go(func() error { return writeSynced(name, b.Files[f.Path]) })
	}
	flush.Go(func() error { return writeSynced(filepath.Join(dir, bundle.ManifestName), manifest) })
	if err := flush.Wait(); err != nil {
		return err
	}
	for sub := range folders {
		if err := syncDir(sub); err != nil {
			return err
		}
	}
	return nil
}

// linkSame makes name a link to old if old is a regular file with these bytes, and reports whether it did. Files of a bundle are replaced and never
// written to, so a link is as good as a copy, and it is on disk already.
func linkSame(old, name string, data []byte) bool {
	info, err := os.Lstat(old)
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(data)) {
		return false
	}
	got, err := os.ReadFile(old)
	return err == nil && bytes.Equal(got, data) && os.Link(old, name) == nil
}

func writeSynced(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// swap puts next in the place of dir, and leaves the old content, if any, at next.
func swap(dir, next string, exists bool) error {
	var err error
	if exists {
		err = exchange(next, dir)
	} else {
		err = os.Rename(next, dir)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// exchangeByTwo exchanges two folders by renaming each. Between the renames dir does not exist; a reader that meets this gap tries again.
func exchangeByTwo(next, dir string) error {
	old := next + ".old"
	if err := os.Rename(dir, old); err != nil {
		return err
	}
	if err := os.Rename(next, dir); err != nil {
		return errors.Join(err, os.Rename(old, dir))
	}
	return os.Rename(old, next)
}
