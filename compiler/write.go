// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema/bundle"
)

// temporary begins the names of files that are being written. A crash can leave some; the next writer removes them.
const temporary = ".writ-new-"

// WriteFolder writes a bundle so that a reader who opens the folder sees the old bundle or the new one, whole: content stands under its digest
// and is never changed, and the manifest is exchanged in one step when all of it is on disk. Content that is there is not written again. What the
// bundle before had stays until the next write, for readers that are slow.
//
// The objects for the Kubernetes API server stand in the folder a second time, by name, for kubectl: in admission, in network, and their order
// beside those as order.json, since kubectl would take it for an object. They are written last.
//
// dir is created if it does not exist. A folder that is neither empty nor a bundle is refused and left as it is; so is a link.
// Writers of the same folder must not run at the same time.
func WriteFolder(dir string, b *bundle.Bundle) error {
	if err := writeFolder(filepath.Clean(dir), b); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

func writeFolder(dir string, b *bundle.Bundle) error {
	old, err := inspect(dir)
	if err != nil {
		return err
	}
	blobs := filepath.Join(dir, filepath.FromSlash(bundle.BlobsDir))
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	wrote, err := fill(blobs, b)
	if err != nil {
		return err
	}
	if manifest := b.EncodeManifest(); len(wrote) > 0 || !bytes.Equal(old, manifest) {
		if err := flush(blobs, wrote); err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(dir, bundle.ManifestName), manifest); err != nil {
			return err
		}
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	if err := writeObjects(dir, bundle.AdmissionDir, b); err != nil {
		return err
	}
	if err := writeNetwork(dir, b); err != nil {
		return err
	}
	if err := writeOrder(dir, b); err != nil {
		return err
	}
	if len(wrote) == 0 && bytes.Equal(old, b.EncodeManifest()) || len(b.Manifest.Files) > sweptAlways && b.Manifest.Digest[0] != '0' {
		return nil
	}
	return sweep(blobs, b, old)
}

// sweptAlways is the number of files up to which a folder is swept on every change. A larger one is swept on one change of 16: looking
// for what is left over takes as long as everything else.
const sweptAlways = 1000

// inspect returns the manifest in the folder, if it has one. It is an error if the folder is not ours to replace.
func inspect(dir string) (manifest []byte, err error) {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%q is not a folder; want an empty folder, a bundle, or a path that does not exist", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	blobs, _, _ := strings.Cut(bundle.BlobsDir, "/")
	hasManifest := false
	for _, e := range entries {
		switch name := e.Name(); {
		case name == bundle.ManifestName:
			hasManifest = true
		case name == blobs, name == bundle.AdmissionDir, name == bundle.NetworkDir, name == orderName, strings.HasPrefix(name, temporary):
		default:
			return nil, fmt.Errorf("%q holds %q and would be replaced; want an empty folder or a bundle", dir, name)
		}
	}
	if !hasManifest {
		if len(entries) > 0 && !crashed(dir, entries) {
			return nil, fmt.Errorf("%q holds files but no %s; want an empty folder or a bundle", dir, bundle.ManifestName)
		}
		return nil, nil
	}
	return os.ReadFile(filepath.Join(dir, bundle.ManifestName))
}

// crashed reports whether a folder without a manifest holds what a writer leaves that died before it wrote one.
func crashed(dir string, entries []fs.DirEntry) bool {
	for _, e := range entries {
		if slices.Contains([]string{bundle.AdmissionDir, bundle.NetworkDir, orderName}, e.Name()) {
			return false
		}
	}
	info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(bundle.BlobsDir)))
	return err == nil && info.IsDir()
}

// fill writes the content that is missing, and returns the files that it wrote.
func fill(blobs string, b *bundle.Bundle) ([]bundle.File, error) {
	missing, err := missingIn(blobs, b.Manifest.Files)
	if err != nil {
		return nil, err
	}
	paths, byPath := make([]string, len(missing)), map[string]bundle.File{}
	for i, f := range missing {
		paths[i], byPath[f.Path] = f.Path, f
	}
	err = b.Each(paths, func(path string, data []byte) error {
		f := byPath[path]
		if err := f.CheckFile(data); err != nil {
			return err
		}
		return replaceUnsynced(filepath.Join(blobs, f.Digest), data)
	})
	return missing, err
}

// flushedAlone is up to how many files are flushed one by one. Beyond it the whole file system is, which waits for what others wrote too; and
// flushesAtOnce is how many at the same time: a journalling file system commits those together.
const (
	flushedAlone  = 512
	flushesAtOnce = 32
)

// flush waits until what was written is on disk.
func flush(blobs string, wrote []bundle.File) error {
	if len(wrote) > flushedAlone {
		return syncAll(blobs)
	}
	err := inParallel(context.Background(), flushesAtOnce, len(wrote), func(i int) error {
		f, err := os.Open(filepath.Join(blobs, wrote[i].Digest))
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
	return errors.Join(err, syncDir(blobs))
}

// missingIn returns the files whose content is not there, one for each content.
func missingIn(blobs string, files []bundle.File) ([]bundle.File, error) {
	const chunk = 1024
	dir, err := os.Open(blobs)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	found := make([][]bundle.File, (len(files)+chunk-1)/chunk)
	err = inParallel(context.Background(), runtime.GOMAXPROCS(0), len(found), func(n int) error {
		for _, f := range files[n*chunk : min(len(files), (n+1)*chunk)] {
			if size, ok := sizeIn(dir, f.Digest); !ok || size != f.Size {
				found[n] = append(found[n], f)
			}
		}
		return nil
	})
	var missing []bundle.File
	seen := map[string]bool{}
	for _, f := range slices.Concat(found...) {
		if !seen[f.Digest] {
			missing = append(missing, f)
		}
		seen[f.Digest] = true
	}
	return missing, err
}

// replaceUnsynced makes a file appear whole, without waiting for the disk.
func replaceUnsynced(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// replaceFile makes a file appear whole, and on disk.
func replaceFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// orderName is the name under which a bundle's order stands in its folder a second time.
var orderName = path.Base(bundle.OrderPath)

// writeOrder makes the folder hold the order, or none if the bundle has no objects.
func writeOrder(dir string, b *bundle.Bundle) error {
	name := filepath.Join(dir, orderName)
	if !slices.ContainsFunc(b.Manifest.Files, func(f bundle.File) bool { return f.Path == bundle.OrderPath }) {
		if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	data, err := b.Open(bundle.OrderPath)
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(name); err == nil && bytes.Equal(have, data) {
		return nil
	}
	return replaceFile(name, data)
}

// digestFile, in the folder of the policies of the network, says what the folder holds: there is a file for each workload, and looking
// at each takes long. It is gone while the folder is written.
const digestFile = ".digest"

// writeNetwork makes a folder hold the policies of the network, and no others.
func writeNetwork(dir string, b *bundle.Bundle) error {
	var files []bundle.File
	for _, f := range b.Manifest.Files {
		if strings.HasPrefix(f.Path, bundle.NetworkDir+"/") {
			files = append(files, f)
		}
	}
	mark, digest := filepath.Join(dir, bundle.NetworkDir, digestFile), []byte(bundle.Digest(files)+"\n")
	if have, err := os.ReadFile(mark); err == nil && bytes.Equal(have, digest) {
		return nil
	}
	if err := os.Remove(mark); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeObjects(dir, bundle.NetworkDir, b); err != nil || len(files) == 0 {
		return err
	}
	return replaceFile(mark, digest)
}

// writeObjects makes a folder of the bundle's hold the objects that stand there, and no others. Their content is read from the bundle on disk.
func writeObjects(dir, sub string, b *bundle.Bundle) error {
	blobs := filepath.Join(dir, filepath.FromSlash(bundle.BlobsDir))
	dir = filepath.Join(dir, sub)
	wanted := map[string]bool{}
	for _, f := range b.Manifest.Files {
		name, ok := strings.CutPrefix(f.Path, sub+"/")
		if !ok || f.Path == bundle.OrderPath {
			continue
		}
		wanted[name] = true
		data, err := os.ReadFile(filepath.Join(blobs, f.Digest))
		if err != nil {
			return err
		}
		if have, err := os.ReadFile(filepath.Join(dir, name)); err == nil && bytes.Equal(have, data) {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(dir, name), data); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !wanted[e.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	if err == nil && len(wanted) == 0 {
		return os.Remove(dir)
	}
	return err
}

// sweep removes content that neither the bundle nor the one before it has.
func sweep(blobs string, b *bundle.Bundle, old []byte) error {
	keep := map[string]bool{}
	for _, f := range b.Manifest.Files {
		keep[f.Digest] = true
	}
	entries, err := os.ReadDir(blobs)
	if err != nil {
		return err
	}
	var before map[string]bool
	for _, e := range entries {
		if keep[e.Name()] {
			continue
		}
		if before == nil { // reading it takes long, and most often nothing is left over
			before = digestsOf(old)
		}
		if !before[e.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(blobs, e.Name())))
		}
	}
	return err
}

func digestsOf(manifest []byte) map[string]bool {
	all := map[string]bool{}
	var m bundle.Manifest
	if json.Unmarshal(manifest, &m) != nil {
		return all // damaged: nobody can read it either
	}
	for _, f := range m.Files {
		all[f.Digest] = true
	}
	return all
}
