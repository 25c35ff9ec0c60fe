// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"golang.org/x/sys/unix"

	"github.com/writ-sec/writ/examples"
)

// demoRepo is the policy repository of the demo: a git repository with a work tree.
type demoRepo struct {
	dir  string
	git  *git.Repository
	tree *git.Worktree
}

func newDemoRepo(dir string) (*demoRepo, error) {
	r := &demoRepo{dir: dir}
	example, err := fs.Sub(examples.FS, "payments")
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, example); err != nil {
		return nil, err
	}
	r.git, err = git.PlainInitWithOptions(dir, &git.PlainInitOptions{InitOptions: git.InitOptions{DefaultBranch: "refs/heads/main"}})
	if err != nil {
		return nil, err
	}
	if r.tree, err = r.git.Worktree(); err != nil {
		return nil, err
	}
	return r, r.commit("policy: state what payments may run")
}

func (r *demoRepo) commit(subject string) error {
	if err := r.tree.AddWithOptions(&git.AddOptions{All: true}); err != nil {
		return err
	}
	author := &object.Signature{Name: "Ann Author", Email: "ann@example.com", When: time.Now()}
	if _, err := r.tree.Commit(subject, &git.CommitOptions{Author: author}); err != nil {
		return err
	}
	who, err := chooseAccount("", r.dir)
	if err != nil {
		return err
	}
	return giveTo(r.dir, who)
}

// giveTo hands a folder and all in it to the user that writ up and writ learn propose become. Without root it is theirs already.
func giveTo(dir string, who account) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, who.uid, who.gid)
	})
}

// merge fast-forwards main to a branch.
func (r *demoRepo) merge(branch string) error {
	ref, err := r.git.Reference(plumbing.NewBranchReferenceName(branch), true)
	if err != nil {
		return fmt.Errorf("demo: branch %s: %w", branch, err)
	}
	return r.tree.Reset(&git.ResetOptions{Commit: ref.Hash(), Mode: git.HardReset})
}

// breakFile commits a file with a line added behind the line of the allowed program. The function that it returns commits the file as it was.
func (r *demoRepo) breakFile(name, line string) (heal func() error, err error) {
	path := filepath.Join(r.dir, name)
	good, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := strings.SplitAfter(string(good), "\n")
	at := r.lineOf(name, demoAllowed)
	bad := strings.Join(lines[:at], "") + line + strings.Join(lines[at:], "")
	if err := os.WriteFile(path, []byte(bad), 0o644); err != nil {
		return nil, err
	}
	heal = func() error {
		if err := os.WriteFile(path, good, 0o644); err != nil {
			return err
		}
		return r.commit("policy: mend the path")
	}
	return heal, r.commit("policy: allow curl")
}

// lineOf returns the first line that holds text, from 1, or 0.
func (r *demoRepo) lineOf(name, text string) int {
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		return 0
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		if strings.Contains(line, text) {
			return n
		}
	}
	return 0
}

// excerpt returns the numbered lines of one workload.
func (r *demoRepo) excerpt(name, workload string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		return nil, err
	}
	var lines []string
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		if strings.Contains(line, workload+"\"") || strings.HasPrefix(line, "workload: "+workload) || len(lines) > 0 {
			lines = append(lines, fmt.Sprintf("%3d  %s", n, strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "    ")))
			if strings.HasPrefix(line, "}") {
				return lines, nil
			}
		}
	}
	return nil, fmt.Errorf("demo: %s does not state the workload %s", name, workload)
}

// demoCgroupDir is a cgroup of the demo's own.
type demoCgroupDir struct {
	dir  string
	made []string // the folders made, outermost first
}

func newDemoCgroup(path string) (*demoCgroupDir, error) {
	root, err := cgroup2Root()
	if err != nil {
		return nil, err
	}
	c := &demoCgroupDir{dir: filepath.Join(root, path)}
	dir := root
	for segment := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		dir = filepath.Join(dir, segment)
		if err := os.Mkdir(dir, 0o755); err == nil {
			c.made = append(c.made, dir)
		} else if !errors.Is(err, fs.ErrExist) {
			return nil, errors.Join(fmt.Errorf("demo: make cgroup: %w", err), c.remove())
		}
	}
	if len(c.made) == 0 {
		return nil, hinted{fmt.Errorf("demo: the cgroup %s exists", c.dir), "another demo runs, or was killed; then remove it with rmdir"}
	}
	return c, nil
}

// run starts a program in the cgroup and returns its standard output.
func (c *demoCgroupDir) run(ctx context.Context, program string) (string, error) {
	dir, err := os.Open(c.dir)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	cmd := exec.CommandContext(ctx, program)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	out, err := cmd.Output()
	return string(out), err
}

// remove removes the folders that were made.
func (c *demoCgroupDir) remove() error {
	var errs []error
	for i := len(c.made) - 1; i >= 0; i-- {
		errs = append(errs, removeCgroup(c.made[i]))
	}
	return errors.Join(errs...)
}

// removeCgroup waits a little for the last process of the cgroup to be gone.
func removeCgroup(dir string) (err error) {
	for range 50 {
		if err = os.Remove(dir); err == nil || !errors.Is(err, syscall.EBUSY) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// cgroup2Root returns where the cgroup2 hierarchy is mounted, in the two places where systems mount it.
func cgroup2Root() (string, error) {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir, nil
		}
	}
	return "", hinted{errors.New("demo: no cgroup2 hierarchy is mounted at /sys/fs/cgroup"), "mount one: mount -t cgroup2 none /sys/fs/cgroup/unified"}
}
