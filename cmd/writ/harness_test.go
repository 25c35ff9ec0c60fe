// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/examples"
)

// testRepo is a policy repository with a work tree, which writ up reads as another user.
type testRepo struct {
	dir string
	git *git.Repository
}

func newTestRepo(t testing.TB, files map[string]string) *testRepo {
	t.Helper()
	dir, err := os.MkdirTemp("", "writ-e2e-repo-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := &testRepo{dir: dir}
	if r.git, err = git.PlainInitWithOptions(dir, &git.PlainInitOptions{InitOptions: git.InitOptions{DefaultBranch: "refs/heads/main"}}); err != nil {
		t.Fatal(err)
	}
	r.commit(t, files)
	return r
}

// commit writes files and commits them. An empty content removes the file.
func (r *testRepo) commit(t testing.TB, files map[string]string) {
	t.Helper()
	tree, err := r.git.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		path := filepath.Join(r.dir, name)
		if content == "" {
			err = os.Remove(path)
		} else if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tree.Add(name); err != nil {
			t.Fatal(err)
		}
	}
	author := object.Signature{Name: "Ann Author", Email: "ann@example.com", When: time.Now()}
	if _, err := tree.Commit("policy: change", &git.CommitOptions{Author: &author}); err != nil {
		t.Fatal(err)
	}
	if err := giveTo(r.dir, account{nobody, nobody}); err != nil {
		t.Fatal(err)
	}
}

// starter returns the files of writ init without its first workload and bounds, and more files.
func starter(more map[string]string) map[string]string {
	files := map[string]string{}
	for name, data := range compiler.Init() {
		if name == "writ.cue" || strings.HasPrefix(name, "cue.mod/") {
			files[name] = string(data)
		}
	}
	maps.Copy(files, more)
	return files
}

func examplePolicy(t testing.TB) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(examples.FS, "payments", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := examples.FS.ReadFile(name)
		files[strings.TrimPrefix(name, "payments/")] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// testUp is a writ up of a test, with folders and pins of its own.
type testUp struct {
	*demoUp
	writ, dir, pins string
}

func startUp(t testing.TB, writ string, repo *testRepo, args ...string) *testUp {
	t.Helper()
	dir, err := os.MkdirTemp("", "writ-e2e-up-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	pins := filepath.Join("/sys/fs/bpf", filepath.Base(dir))
	u := &testUp{writ: writ, dir: dir, pins: pins}
	t.Cleanup(func() {
		if out, err := exec.Command(filepath.Join(filepath.Dir(writ), "writ-node"), "unload", "--pin-dir", pins, "--state", filepath.Join(dir, "node")).CombinedOutput(); err != nil {
			t.Errorf("unload: %v\n%s", err, out)
		}
	})
	u.start(t, pins, repo, args...)
	t.Cleanup(func() {
		if err := u.stop(); err != nil {
			t.Error(err)
		}
	})
	return u
}

func (u *testUp) start(t testing.TB, pins string, repo *testRepo, args ...string) {
	t.Helper()
	all := append([]string{"up", "-o", "json", "--interval", "1h", "--user", "nobody", "--state", u.state(),
		"--node-arg=--pin-dir=" + pins, "--node-arg=--state=" + filepath.Join(u.dir, "node"), "--node-arg=--fold-window=1s"}, args...)
	up, err := startDemoUp(context.Background(), u.writ, append(all, "file://"+repo.dir)...)
	if err != nil {
		t.Fatal(err)
	}
	u.demoUp = up
}

func (u *testUp) state() string { return filepath.Join(u.dir, "state") }
func (u *testUp) pid() string   { return strconv.Itoa(u.cmd.Process.Pid) }

func (u *testUp) inForce(t testing.TB) *inForce {
	t.Helper()
	e, err := u.wait(func(e entry) bool { return e.InForce != nil })
	if err != nil {
		t.Fatal(err)
	}
	return e.InForce
}

// children returns the fields of /proc/PID/status of each process whose parent is writ up.
func (u *testUp) children(t testing.TB) []map[string]string {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	var found []map[string]string
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // gone
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(data)) {
			key, value, _ := strings.Cut(line, ":")
			fields[key] = strings.TrimSpace(value)
		}
		if fields["PPid"] == u.pid() {
			found = append(found, fields)
		}
	}
	return found
}

// child returns the status of writ-node, the only child.
func (u *testUp) child(t testing.TB) map[string]string {
	t.Helper()
	found := u.children(t)
	if len(found) != 1 || found[0]["Name"] != "writ-node" {
		t.Fatalf("children of writ up: %v; want writ-node alone", found)
	}
	return found[0]
}
