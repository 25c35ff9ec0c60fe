// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/writ-sec/writ/enforcer/node"
	"github.com/writ-sec/writ/schema"
)

func TestRootUnloadLeavesNothing(t *testing.T) {
	h := newHost(t)
	bad, cg := h.program("bad"), h.cgroup("/c")
	a := h.start()
	w := newWorkload("w", cg, schema.ModeEnforce)
	a.apply(w)
	h.wantDenied(cg, bad)
	c := a.client()
	if err := c.Unload(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.wantAllowed(cg, bad)
	h.wantNoPins()
	if st := a.status(); st.Generation != "" {
		t.Errorf("status after unload: %+v", st)
	}
	a.apply(w) // the same agent goes on
	h.wantDenied(cg, bad)
	a.stop()
	h.command(0, "", "unload", "--pin-dir", h.pins, "--state", h.state)
	h.wantAllowed(cg, bad)
	h.wantNoPins()
	h.command(2, "nothing is pinned", "unload", "--pin-dir", h.pins, "--state", h.state)
	a = h.start()
	if st := a.status(); st.Generation != "" {
		t.Errorf("an unloaded generation came back: %+v", st)
	}
}

func TestRootUnloadLeavesTheStateOfOthers(t *testing.T) {
	h := newHost(t)
	bad, cg := h.program("bad"), h.cgroup("/c")
	a := h.start()
	want := a.apply(newWorkload("w", cg, schema.ModeEnforce)).Generation
	a.stop()
	before := defaultStateFiles(t)
	h.command(0, "", "unload", "--pin-dir", h.pins)
	h.wantAllowed(cg, bad)
	h.wantNoPins()
	if after := defaultStateFiles(t); !slices.Equal(before, after) {
		t.Errorf("%s had %q, and has %q", node.DefaultStateDir, before, after)
	}
	a = h.start()
	if got := a.status().Generation; got != want {
		t.Errorf("generation %q is restored; want %q", got, want)
	}
}

// defaultStateFiles names the default state directory and what is in it, with times; nothing if there is none.
func defaultStateFiles(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(node.DefaultStateDir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files = append(files, name+" "+info.ModTime().String())
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

func TestRootSocketIsForOneUser(t *testing.T) {
	h := newHost(t)
	a := h.start()
	var st unix.Stat_t
	if err := unix.Lstat(h.socket, &st); err != nil {
		t.Fatal(err)
	}
	if st.Mode&0o7777 != 0o600 || st.Uid != 0 {
		t.Errorf("socket of user %d with mode %04o; want 0 and 0600", st.Uid, st.Mode&0o7777)
	}
	a.stop()
}
