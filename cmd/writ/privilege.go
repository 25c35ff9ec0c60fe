// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// nobody is the user that writ up becomes when nothing better is known: the kernel's overflow user (Documentation/admin-guide/sysctl/fs.rst).
const nobody = 65534

// account is who writ up becomes.
type account struct{ uid, gid int }

// chooseAccount returns the user named by --user, or the one who called sudo, or the owner of the state folder, or nobody.
func chooseAccount(name, stateDir string) (account, error) {
	if name != "" {
		return lookupAccount(name)
	}
	uid, err1 := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, err2 := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err1 == nil && err2 == nil && uid > 0 {
		return account{uid, gid}, nil
	}
	if info, err := os.Lstat(stateDir); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return account{int(st.Uid), int(st.Gid)}, nil
		}
	}
	return account{nobody, nobody}, nil
}

func lookupAccount(name string) (account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return account{}, fmt.Errorf("--user %q: no such user", name)
		}
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return account{}, fmt.Errorf("--user %q: %w", name, err)
	}
	return account{uid, gid}, nil
}

// become gives up root for good, in all threads: no supplementary groups, real, effective and saved IDs of a. Becoming root is nothing to do.
func (a account) become() error {
	if a.uid == 0 {
		return nil
	}
	if err := syscall.Setgroups([]int{a.gid}); err != nil {
		return fmt.Errorf("give up root: setgroups: %w", err)
	}
	if err := syscall.Setresgid(a.gid, a.gid, a.gid); err != nil {
		return fmt.Errorf("give up root: setresgid: %w", err)
	}
	if err := syscall.Setresuid(a.uid, a.uid, a.uid); err != nil {
		return fmt.Errorf("give up root: setresuid: %w", err)
	}
	if syscall.Setuid(0) == nil {
		return errors.New("give up root: it could be taken back")
	}
	if u, err := user.LookupId(strconv.Itoa(a.uid)); err == nil {
		return os.Setenv("HOME", u.HomeDir)
	}
	return os.Setenv("HOME", "/nonexistent")
}

// prepareState makes the state folder for a, or checks that it is a's. Root never takes a folder from its owner, nor follows a link to one.
func prepareState(dir string, a account) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	err := os.Mkdir(dir, 0o700)
	if err == nil && os.Geteuid() == 0 {
		err = os.Lchown(dir, a.uid, a.gid)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("state folder: %w", err)
	}
	uid, err := ownerOf(dir)
	if err != nil {
		return err
	}
	if uid != a.uid {
		return hinted{fmt.Errorf("state folder %s belongs to user %d, and writ up would be user %d", dir, uid, a.uid),
			fmt.Sprintf("add --user %d, or give another folder with --state", uid)}
	}
	return nil
}

// ownerOf returns the owner of a folder. A link to one is an error.
func ownerOf(dir string) (uid int, err error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return 0, fmt.Errorf("state folder: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() {
		return 0, fmt.Errorf("state folder %s is not a folder; want one of its own, and no link", dir)
	}
	return int(st.Uid), nil
}

// becomeOwner gives up root, if this is root, for the owner of the state folder: what is in it is that user's word and not root's.
func (s state) becomeOwner() error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Lstat(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the reader says so
	}
	uid, err := ownerOf(s.dir)
	if err != nil {
		return err
	}
	return account{uid, int(info.Sys().(*syscall.Stat_t).Gid)}.become()
}

// ownsDir reports whether dir is a folder of this user.
func ownsDir(dir string) bool {
	uid, err := ownerOf(dir)
	return err == nil && uid == os.Geteuid()
}
