// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/writ-sec/writ/schema/testneed"
)

const careless = "package policy\nx:   1\n"

// findOne returns the one policy file of a new folder.
func findOne(t *testing.T) (dir string, p *policyFile) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.cue"), []byte(careless), 0o640); err != nil {
		t.Fatal(err)
	}
	root, files, err := findPolicyFiles(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("found %v, %v", files, err)
	}
	t.Cleanup(func() { root.Close() })
	return dir, files[0]
}

func checkFolder(t *testing.T, dir, want string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("folder holds %v, %v; want a.cue alone", entries, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a.cue")); err != nil || string(got) != want {
		t.Errorf("file is %q, %v; want %q", got, err, want)
	}
}

// What an editor saved while the file was formatted is not lost.
func TestFmtLeavesWhatChanged(t *testing.T) {
	dir, p := findOne(t)
	p.format()
	const saved = "package policy\nx: 12\n"
	if err := os.WriteFile(filepath.Join(dir, "a.cue"), []byte(saved), 0o640); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	err := formatter{io: stdio{nil, &out, &errs}}.finish([]*policyFile{p})
	if err == nil || !strings.Contains(err.Error(), "has changed meanwhile") || out.Len() > 0 {
		t.Errorf("error is %v, output %q", err, out.String())
	}
	checkFolder(t, dir, saved)
}

// A link that takes the place of a file is not followed, also within the folder.
func TestFmtFollowsNoLink(t *testing.T) {
	dir, p := findOne(t)
	name := filepath.Join(dir, "a.cue")
	if err := os.Mkdir(filepath.Join(dir, "cue.mod"), 0o755); err != nil {
		t.Fatal(err)
	}
	vendored := filepath.Join(dir, "cue.mod", "b.cue")
	if err := os.Rename(name, filepath.Join(dir, "old.cue")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vendored, []byte(careless), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("cue.mod/b.cue", name); err != nil {
		t.Fatal(err)
	}
	if p.format(); p.err == nil || !strings.Contains(p.err.Error(), "was replaced") {
		t.Errorf("error is %v", p.err)
	}
	if got, err := os.ReadFile(vendored); err != nil || string(got) != careless {
		t.Errorf("vendored file is %q, %v", got, err)
	}
}

func TestRootFmtKeepsOwner(t *testing.T) {
	testneed.Root(t)
	const other = 65534
	dir, _ := findOne(t)
	name := filepath.Join(dir, "a.cue")
	if err := os.Chown(name, other, other); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := (formatter{io: stdio{nil, &out, &out}}).run(t.Context(), []string{dir}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != other || st.Gid != other || info.Mode() != fs.FileMode(0o640) {
		t.Errorf("file is of %d:%d, mode %v", st.Uid, st.Gid, info.Mode())
	}
	checkFolder(t, dir, "package policy\n\nx: 1\n")
}

func TestWorkTreePrefix(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := workTreePrefix(deep); got != "" {
		t.Errorf("without git it is %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, ".git"), nil, 0o644); err != nil { // as in a linked work tree
		t.Fatal(err)
	}
	for root, want := range map[string]string{deep: "a/b", dir: ""} {
		if got := workTreePrefix(root); got != want {
			t.Errorf("prefix of %s is %q; want %q", root, got, want)
		}
	}
}
