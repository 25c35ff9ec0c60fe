// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
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
	for _, pattern := range []string{"/sys/fs/bpf/writ-demo-*", "/var/lib/writ-node/*", "/var/lib/writ/*", "/run/writ*", "/sys/fs/cgroup/writ-demo", "/sys/fs/cgroup/unified/writ-demo", filepath.Join(os.TempDir(), "writ-demo-*")} {
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
	if after := left(t); !slices.Equal(before, after) {
		t.Errorf("the demo left %q; before it there was %q", after, before)
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
	if uid := u.child(t)["Uid"]; !strings.HasPrefix(uid, "0\t") {
		t.Errorf("writ-node runs as %s; want root", uid)
	}
}

// TestE2ELearn holds that what an audited workload does is allowed, comes back as one commit with its evidence, and that the same evidence gives
// no second one.
func TestE2ELearn(t *testing.T) {
	testneed.Root(t)
	writ := buildPrograms(t)
	const policy = "package policy\n\nworkload: audited: {\n\tmatch: cgroup: \"/writ-e2e-learn\"\n\texec: \"/usr/bin/date\": {}\n}\n"
	repo := newTestRepo(t, starter(map[string]string{"apps/audited.cue": policy}))
	cgroup, err := newDemoCgroup("/writ-e2e-learn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cgroup.remove(); err != nil {
			t.Error(err)
		}
	})
	u := startUp(t, writ, repo)
	u.inForce(t)
	const times = 25
	for range times {
		if _, err := cgroup.run(t.Context(), demoDenied); err != nil {
			t.Fatalf("an audited process does not run: %v", err)
		}
	}
	var seen uint64
	if _, err := u.wait(func(e entry) bool { // the first at once, the rest folded
		if e.Report != nil && e.Report.Object == demoDenied && e.Report.Verdict.Action == schema.ActionAudit {
			seen += e.Report.Count
		}
		return seen == times
	}); err != nil {
		t.Fatalf("%d of %d execs are reported: %v", seen, times, err)
	}
	propose := func() string {
		var out []byte
		for range 30 { // until writ up has saved the last count
			out, err = exec.Command(writ, "learn", "status", "--state", u.state()).CombinedOutput()
			if err != nil || strings.Contains(string(out), "25 times") {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil || !strings.Contains(string(out), "audited") {
			t.Fatalf("learn status: %v\n%s", err, out)
		}
		if out, err = exec.Command(writ, "learn", "propose", "--state", u.state()).CombinedOutput(); err != nil {
			t.Fatalf("learn propose: %v\n%s", err, out)
		}
		return string(out)
	}
	wantInOrder(t, propose(), "audited: pushed", "writ/learn/audited", "+", demoDenied, "seen 25 times")
	ref, err := repo.git.Reference("refs/heads/writ/learn/audited", true)
	if err != nil {
		t.Fatal(err)
	}
	commit, err := repo.git.CommitObject(ref.Hash())
	if err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, commit.Message, "learn: allow 1 program in audited", "25", demoDenied, "event ")
	if out := propose(); !strings.Contains(out, "holds it already") {
		t.Errorf("the same evidence again: %s", out)
	}
	if again, err := repo.git.Reference("refs/heads/writ/learn/audited", true); err != nil || again.Hash() != ref.Hash() {
		t.Errorf("the branch moved from %s to %v (%v)", ref.Hash(), again, err)
	}
}

// TestE2ENodeDies holds that writ up ends and says so when writ-node is killed, that enforcement goes on, and that the next writ up takes over.
func TestE2ENodeDies(t *testing.T) {
	testneed.Root(t)
	writ := buildPrograms(t)
	const policy = "package policy\n\nworkload: closed: {\n\tmatch: cgroup: \"/writ-e2e-dies\"\n\tmode: \"enforce\"\n\texec: \"/usr/bin/date\": {}\n}\n"
	repo := newTestRepo(t, starter(map[string]string{"apps/closed.cue": policy}))
	cgroup, err := newDemoCgroup("/writ-e2e-dies")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cgroup.remove(); err != nil {
			t.Error(err)
		}
	})
	denied := func(when string) {
		t.Helper()
		if _, err := cgroup.run(t.Context(), demoDenied); err == nil {
			t.Errorf("%s: %s runs", when, demoDenied)
		}
		if _, err := cgroup.run(t.Context(), demoAllowed); err != nil {
			t.Errorf("%s: %s does not run: %v", when, demoAllowed, err)
		}
	}
	u := startUp(t, writ, repo)
	u.inForce(t)
	denied("at first")
	pid, err := strconv.Atoi(u.child(t)["Pid"])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range u.entries { // until its output ends
	}
	err = u.cmd.Wait()
	if u.cmd.ProcessState.ExitCode() != exitNotDone || !strings.Contains(u.stderr.String(), "writ-node is gone") ||
		!strings.Contains(u.stderr.String(), "hint: what it put in force stays in the kernel") {
		t.Errorf("writ up ended with %v: %s", err, u.stderr.String())
	}
	denied("without writ-node")
	u.start(t, u.pins, repo)
	u.inForce(t)
	denied("after the restart")
}

// TestE2EState holds that root takes no folder from its owner and follows no link, and that as root nothing is done with the word of the folder's owner.
func TestE2EState(t *testing.T) {
	testneed.Root(t)
	writ := buildPrograms(t)
	dir := filepath.Dir(writ)
	mine := filepath.Join(dir, "of-root")
	if err := os.Mkdir(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(mine, link); err != nil {
		t.Fatal(err)
	}
	for state, want := range map[string]string{mine: "belongs to user 0, and writ up would be user 65534", link: "is not a folder"} {
		out, err := exec.Command(writ, "up", "--user", "nobody", "--state", state, dir).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitNotDone || !strings.Contains(string(out), want) {
			t.Errorf("--state %s: %v, want exit code 2 and %q:\n%s", state, err, want, out)
		}
		if uid, err := ownerOf(mine); err != nil || uid != 0 {
			t.Fatalf("%s belongs to user %d (%v) now", mine, uid, err)
		}
	}
	// A folder that is missing is made, with its parents, so that the user can reach it.
	deep := filepath.Join(dir, "a", "b", "state")
	u := startUp(t, writ, newTestRepo(t, examplePolicy(t)), "--state", deep)
	u.inForce(t)
	if uid, err := ownerOf(deep); err != nil || uid != nobody {
		t.Errorf("%s belongs to user %d (%v); want nobody", deep, uid, err)
	}
	// What another user's source.json says is not done as root: the push runs into that user's rights.
	if out, err := exec.Command(writ, "learn", "status", "--state", deep).CombinedOutput(); err != nil {
		t.Errorf("learn status as root: %v\n%s", err, out)
	}
}

// TestE2EWithoutRoot holds that a person without root is told what to do.
func TestE2EWithoutRoot(t *testing.T) {
	testneed.Root(t) // to become somebody else
	writ := buildPrograms(t)
	cmd := exec.Command(writ, "up", "/srv/policy.git")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != exitNotDone {
		t.Errorf("writ up ended with %v; want exit code 2", err)
	}
	wantInOrder(t, string(out), "putting policy in force needs root", "65534", "hint: run it with sudo", "--node none")
}

// TestUpOutlivesItsReader holds that writ up goes on when nobody reads its output any more.
func TestUpOutlivesItsReader(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	repo := newTestRepo(t, examplePolicy(t))
	state := filepath.Join(t.TempDir(), "state")
	cmd := exec.Command(self, "up", "--user", strconv.Itoa(os.Getuid()), "--node", "none", "--interval", "1h", "--state", state, repo.dir)
	cmd.Args[0] = "writ"
	cmd.Env = append(os.Environ(), "WRIT_TEST_MAIN=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("writ up: %v", err)
		}
	})
	generation := func() string {
		ix, err := readRuleIndex(filepath.Join(state, "bundle"))
		if err != nil {
			return ""
		}
		return ix.envelope.Commit
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for range 200 {
			if ok() {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Fatalf("waited in vain until %s", what)
	}
	until("the first commit is in force", func() bool { return generation() != "" })
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	first := generation()
	repo.commit(t, map[string]string{"shop/payments.cue": strings.Replace(examplePolicy(t)["shop/payments.cue"], demoAllowed, "/usr/bin/uptime", 1)})
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until("the second commit is in force", func() bool { return generation() != first })
}
