// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema/testneed"
)

// buildPrograms builds writ and writ-node side by side, where every user may run them.
func buildPrograms(t testing.TB) (writ string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "writ-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"writ", "writ-node"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), "github.com/writ-sec/writ/cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	return filepath.Join(dir, "writ")
}

// left lists what a demo could leave behind.
func left(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"/sys/fs/bpf/writ-demo-*", "/sys/fs/cgroup/writ-demo", "/sys/fs/cgroup/unified/writ-demo", filepath.Join(os.TempDir(), "writ-demo-*")} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, names...)
	}
	return found
}

func runDemo(t *testing.T, writ string, as *syscall.Credential) string {
	t.Helper()
	before := left(t)
	if len(before) > 0 {
		t.Fatalf("an earlier demo left %q", before)
	}
	cmd := exec.Command(writ, "demo")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("writ demo: %v\n%s", err, out.String())
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("the demo took %v; want under a minute", took)
	}
	if after := left(t); len(after) > 0 {
		t.Errorf("the demo left %q", after)
	}
	return out.String()
}

func wantInOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, p := range parts {
		i := strings.Index(rest, p)
		if i < 0 {
			t.Fatalf("%q is missing, or not behind what comes before, in:\n%s", p, text)
		}
		rest = rest[i+len(p):]
	}
}

// TestE2EDemo runs the whole circle on this kernel.
func TestE2EDemo(t *testing.T) {
	testneed.Root(t)
	out := runDemo(t, buildPrograms(t), nil)
	wantInOrder(t, out, "A policy repository", "in force after", "backend", demoAllowed, demoDenied, "denied by shop/payments.cue:", "payments", "commit", "by Ann Author",
		"learn propose --event", "+", demoDenied, "git merge", "in force after", demoDenied, "uid=0(root)", "That is the circle")
}

// TestE2EDemoWithoutRoot runs what needs no privilege.
func TestE2EDemoWithoutRoot(t *testing.T) {
	testneed.Root(t) // to become somebody else
	out := runDemo(t, buildPrograms(t), &syscall.Credential{Uid: nobody, Gid: nobody})
	wantInOrder(t, out, "Without root this cannot show", "in force after", "broken", "stays in force", "is not absolute", "heals", "in force after", "writ explain", "may exec "+demoAllowed)
}

// TestE2EUpGivesUpRoot holds that writ up keeps no privilege and that writ-node is its only child.
func TestE2EUpGivesUpRoot(t *testing.T) {
	testneed.Root(t)
	writ := buildPrograms(t)
	u := startUp(t, writ, newTestRepo(t, examplePolicy(t)))
	u.inForce(t)
	status, err := os.ReadFile("/proc/" + u.pid() + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t65534\t65534\t65534\t65534", "Gid:\t65534\t65534\t65534\t65534", "Groups:\t65534", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("/proc/PID/status of writ up lacks %q:\n%s", want, status)
		}
	}
	children := u.children(t)
	if len(children) != 1 || !strings.HasPrefix(children[0], "writ-node ") || !strings.HasSuffix(children[0], " 0") {
		t.Errorf("children of writ up: %q; want writ-node as user 0 alone", children)
	}
}
