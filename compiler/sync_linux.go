// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncAll waits until everything that was written in a folder is on disk, by syncfs(2): one wait for thousands of files.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// sizeIn returns the size of a regular file in a folder, in bytes, and whether there is one.
func sizeIn(dir *os.File, name string) (int64, bool) {
	var st unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st.Size, err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
}
