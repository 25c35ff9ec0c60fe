// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package sshdtest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// separationDir is a folder that sshd of root wants for each connection. Where sshd is a service, its service makes it.
const separationDir = "/run/sshd"

// marker is in a separationDir that tests made.
const marker = "made-by-writ-tests"

// privilegeSeparation makes separationDir, and removes it after the last test that uses it, be it of another process: the tests of several
// packages run at once, and without the folder sshd resets every connection. Each holds a shared lock; who gets the exclusive one is the last.
func privilegeSeparation(t testing.TB) {
	t.Helper()
	for {
		err := os.Mkdir(separationDir, 0o755)
		made := err == nil
		if err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		dir, err := os.Open(separationDir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		} else if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_SH); err != nil {
			t.Fatal(err)
		}
		if !stillThere(dir) {
			dir.Close()
			continue
		}
		t.Cleanup(func() { leave(t, dir) })
		if made {
			if err := os.WriteFile(filepath.Join(separationDir, marker), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
}

// stillThere says whether an open folder is the one of that name.
func stillThere(dir *os.File) bool {
	opened, err := dir.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(separationDir)
	return err == nil && os.SameFile(opened, named)
}

// leave gives the lock back, and removes a folder that tests made if nobody else holds one.
func leave(t testing.TB, dir *os.File) {
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return // in use
	}
	err := os.Remove(filepath.Join(separationDir, marker))
	if errors.Is(err, fs.ErrNotExist) {
		return // the machine's own
	}
	if err := errors.Join(err, os.Remove(separationDir)); err != nil {
		t.Errorf("%s is left behind: %v", separationDir, err)
	}
}
