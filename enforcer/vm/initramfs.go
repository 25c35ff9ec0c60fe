// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// File is one file of the guest.
type File struct {
	Path string      // absolute in the guest; its parent folders are made, with mode 0755
	Mode fs.FileMode // 0 is 0644
	Host string      // where the content is on the host; "" means Data
	Data []byte
}

// HostFolder returns the regular files below a folder of the host as files below a folder of the guest. A folder that does not exist
// has none.
func HostFolder(host, guest string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(host, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(host, name)
		if err != nil {
			return err
		}
		files = append(files, File{Path: path.Join(guest, filepath.ToSlash(rel)), Mode: info.Mode().Perm(), Host: name})
		return nil
	})
	if os.IsNotExist(err) {
		return nil, nil
	}
	return files, err
}

// writeArchive writes files as an archive in cpio's "newc" form, with all parent folders before them.
func writeArchive(w io.Writer, files []File) error {
	a := &archive{w: w}
	for _, dir := range parents(files) {
		a.entry(dir, modeDir|0o755, nil)
	}
	for _, f := range files {
		data := f.Data
		if f.Host != "" {
			read, err := os.ReadFile(f.Host)
			if err != nil {
				return fmt.Errorf("guest file %q: %w", f.Path, err)
			}
			data = read
		}
		a.entry(f.Path, modeRegular|uint32(cmp.Or(f.Mode.Perm(), 0o644)), data)
	}
	a.entry("TRAILER!!!", 0, nil)
	return a.err
}

// parents returns the folders above files, each before what it holds.
func parents(files []File) []string {
	dirs := map[string]bool{}
	for _, f := range files {
		for dir := path.Dir(f.Path); dir != "/" && dir != "."; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}

// File types of a cpio mode, from cpio(5).
const (
	modeDir     = 0o040000
	modeRegular = 0o100000
)

// archive writes entries, from "struct cpio_newc_header" in cpio(5) and the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
type archive struct {
	w     io.Writer
	inode uint32
	err   error // the first one; nothing is written after it
}

func (a *archive) entry(name string, mode uint32, data []byte) {
	if a.err != nil {
		return
	}
	a.inode++
	name = strings.TrimPrefix(name, "/") + "\x00"
	fields := []uint32{a.inode, mode, 0, 0, 1, 0, uint32(len(data)), 0, 0, 0, 0, uint32(len(name)), 0}
	var head bytes.Buffer
	head.WriteString("070701")
	for _, f := range fields {
		fmt.Fprintf(&head, "%08X", f)
	}
	head.WriteString(name)
	pad(&head)
	if _, a.err = a.w.Write(head.Bytes()); a.err != nil {
		return
	}
	if _, a.err = a.w.Write(data); a.err != nil {
		return
	}
	_, a.err = a.w.Write(make([]byte, -len(data)&3))
}

// pad fills up to a multiple of four bytes.
func pad(b *bytes.Buffer) { b.Write(make([]byte, -b.Len()&3)) }
