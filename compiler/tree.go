// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
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
func ReadDir(root string) (Tree, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return Tree{}, fmt.Errorf("read policy: %w", err)
	}
	defer dir.Close()
	var t Tree
	total := 0
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
		f := File{Path: name, Mode: d.Type()}
		if f.Mode.IsRegular() {
			if f.Data, err = readBounded(dir, name); err != nil {
				return err
			}
		}
		t.Files = append(t.Files, f)
		if total += len(f.Data); len(t.Files) > MaxFiles || total > MaxTree {
			return fmt.Errorf("%q holds more than %d files or %d bytes of policy; is it a policy repository?", root, MaxFiles, MaxTree)
		}
		return nil
	})
	if err != nil {
		return Tree{}, fmt.Errorf("read policy: %w", err)
	}
	return t, nil
}

func readBounded(dir *os.Root, name string) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFile+1))
}
