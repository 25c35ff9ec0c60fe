// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package compiler

import (
	"errors"
	"os"
	"path/filepath"
)

// syncAll waits until the files in a folder are on disk.
func syncAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// sizeIn returns the size of a regular file in a folder, in bytes, and whether there is one.
func sizeIn(dir *os.File, name string) (int64, bool) {
	info, err := os.Lstat(filepath.Join(dir.Name(), name))
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
	return info.Size(), true
}
