// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"sync/atomic"
)

// Limits of a policy repository. What is beyond them is an error, never left out.
const (
	MaxFile  = 4 << 20   // bytes in one file
	MaxFiles = 100_000   // files that are read
	MaxTree  = 256 << 20 // bytes in all files that are read
)

// moduleDir holds CUE's own files in a policy repository.
const moduleDir = "cue.mod"

// File is one file of a policy repository.
type File struct {
	Path string      // slash-separated, relative to the root of the repository, clean
	Data []byte      // the content; of a symbolic link its target or nothing. It is not changed
	Mode fs.FileMode // only the type bits are read; 0 is a regular file
	kept *keptFile   // of a file that did not change since it was read before; Data is nil then
}

// keptFile is what is known of a file without reading it.
type keptFile struct {
	root string // of the repository
	sum  digest // see sumOf
	size int64
}

// Content returns the file's content. It is read now if it was not before; an error says that it can't be, or that it is not the same any more.
func (f *File) Content() ([]byte, error) {
	if f.kept == nil {
		return f.Data, nil
	}
	dir, err := os.OpenRoot(f.kept.root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	data, err := readBounded(dir, f.Path)
	if err == nil && sumOf(f.Path, data) != f.kept.sum {
		err = fmt.Errorf("%s changed while it was compiled; try again", f.Path)
	}
	return data, err
}

// size is the length of the content.
func (f *File) size() int64 {
	if f.kept != nil {
		return f.kept.size
	}
	return int64(len(f.Data))
}

// sumOf digests a file's path and content.
func sumOf(path string, data []byte) digest {
	h := sha256.New()
	h.Write([]byte(path + "\x00"))
	h.Write(data)
	return digest(h.Sum(nil))
}

// Tree is what a policy repository holds. The order of the files does not matter, and files that [Reads] says no to are skipped.
type Tree struct {
	Files []File
}

// Reads reports whether a file or link at a path may matter to [Compiler.Compile]. Who makes a Tree need not read the content of others.
// Names that begin with "_" or "." are skipped, in folders too; of the rest, files in cue.mod and files ending in .cue are read, and
// whatever is not a regular file is refused.
func Reads(name string, mode fs.FileMode) bool {
	for segment := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(segment, "_") || strings.HasPrefix(segment, ".") {
			return false
		}
	}
	return !mode.IsRegular() || strings.HasSuffix(name, ".cue") || strings.HasPrefix(name, moduleDir+"/")
}

// ReadDir reads the policy repository in a folder: what [Reads] says yes to. Links are recorded, not followed.
// A file over [MaxFile] is cut one byte later, which Compile reports.
//
// cache is a folder as in [Config]: of files whose size, times and inode are as they were when they were read before, the content is read only
// when it is needed. "": everything is read.
func ReadDir(root, cache string) (Tree, error) {
	t, err := readDir(root, cache)
	if err != nil {
		return Tree{}, fmt.Errorf("read policy: %w", err)
	}
	return t, nil
}

func readDir(root, cache string) (Tree, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return Tree{}, err
	}
	defer dir.Close()
	var t Tree
	err = fs.WalkDir(dir.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && strings.HasPrefix(path.Base(name), "_") || len(name) > 1 && strings.HasPrefix(path.Base(name), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if !Reads(name, d.Type()) {
			return nil
		}
		if t.Files = append(t.Files, File{Path: name, Mode: d.Type()}); len(t.Files) > MaxFiles {
			return tooMuch(root)
		}
		return nil
	})
	if err != nil {
		return Tree{}, err
	}
	index := openStatIndex(root, cache)
	var total atomic.Int64
	err = inParallel(context.Background(), 2*runtime.GOMAXPROCS(0), len(t.Files), func(i int) error {
		f := &t.Files[i]
		if !f.Mode.IsRegular() {
			return nil
		}
		var err error
		if f.kept = index.find(f.Path); f.kept == nil {
			f.Data, err = readBounded(dir, f.Path)
		}
		if err == nil && total.Add(f.size()) > MaxTree {
			err = tooMuch(root)
		}
		return err
	})
	if err == nil {
		index.write(&t)
	}
	return t, err
}

func tooMuch(root string) error {
	return fmt.Errorf("%q holds more than %d files or %d bytes of policy; is it a policy repository?", root, MaxFiles, MaxTree)
}

func readBounded(dir *os.Root, name string) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var buf bytes.Buffer
	if info, err := f.Stat(); err == nil {
		buf.Grow(int(min(info.Size(), MaxFile)) + bytes.MinRead)
	}
	_, err = buf.ReadFrom(io.LimitReader(f, MaxFile+1))
	return buf.Bytes(), err
}
