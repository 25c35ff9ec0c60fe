// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/writ-sec/writ/reconciler/gitauth"
	"github.com/writ-sec/writ/schema/bundle"
)

// stateFormat is the version of [state] that this package writes. It reads the one before, too.
const stateFormat = 2

// maxState bounds the state file in bytes: a bundle's list of files, with room.
const maxState = 64 << 20

// state is what a restart must know. It is written before a bundle goes to the targets, so a commit that was in force is never forgotten.
type state struct {
	Format int           `json:"format"`
	Remote string        `json:"remote"` // without user and password; another one means another clone
	Ref    string        `json:"ref"`
	Commit string        `json:"commit,omitempty"` // in force, 40 hexadecimal digits; "" before the first
	Digest string        `json:"digest,omitempty"` // of its bundle
	Layout int           `json:"layout,omitempty"` // [bundle.Format] of its bundle
	Files  []bundle.File `json:"files,omitempty"`  // of its bundle, for the differences after a restart
}

func statePath(dir string) string { return filepath.Join(dir, "state.json") }

// readState returns the zero state when there is none. A damaged one is an error: to go on would forget what must not be undone.
func readState(dir string) (state, error) {
	name := statePath(dir)
	data, err := gitauth.ReadFile(name, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	} else if err != nil {
		return state{}, fmt.Errorf("read what was in force: %w", err)
	}
	var s state
	err = json.Unmarshal(data, &s)
	if err == nil && s.Format > stateFormat {
		return state{}, fmt.Errorf("%s says which commit was in force, and was written by a later version of writ: it has format %d, and this version reads %d; "+
			"run that version, or remove the file to accept whatever the remote has now", name, s.Format, stateFormat)
	}
	switch {
	case err != nil || s.Format == stateFormat:
	case s.Format == 1:
		s.Format, s.Layout = stateFormat, 1 // it was written before a bundle's layout had changed
	default:
		err = fmt.Errorf("has format %d; this version reads 1 and %d", s.Format, stateFormat)
	}
	if err == nil && s.Commit != "" && !hexCommit.MatchString(s.Commit) {
		err = fmt.Errorf("has the commit %q; want 40 hexadecimal digits", s.Commit)
	}
	if err != nil {
		return state{}, fmt.Errorf("%s says which commit was in force, and is damaged: %w; remove it to accept whatever the remote has now", name, err)
	}
	return s, nil
}

// write replaces the state file. After a crash the old or the new one is there.
func (s state) write(dir string) (err error) {
	name := statePath(dir)
	defer func() {
		if err != nil {
			err = fmt.Errorf("record what is in force: %w", room(err))
		}
	}()
	f, err := os.CreateTemp(dir, ".state-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails when it was renamed
	_, err = f.Write(bundle.Encode(s))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lock takes the folder for this process, until the file is closed.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another writ; stop it, or name another folder", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}
