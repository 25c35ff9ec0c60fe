// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/writ-sec/writ/enforcer/node"
	"github.com/writ-sec/writ/enforcer/node/wire"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
	"github.com/writ-sec/writ/schema/testneed"
)

var buildOnce struct {
	sync.Once
	dir, path string
	err       error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if buildOnce.dir != "" {
		os.RemoveAll(buildOnce.dir)
	}
	os.Exit(code)
}

// binary returns the writ-node to test: the one that WRIT_NODE_BIN names, or one built now.
func binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("WRIT_NODE_BIN"); path != "" {
		return path
	}
	buildOnce.Do(func() {
		if buildOnce.dir, buildOnce.err = os.MkdirTemp("", "writ-node-test-"); buildOnce.err != nil {
			return
		}
		buildOnce.err = os.Chmod(buildOnce.dir, 0o755) // another user runs it too
		buildOnce.path = filepath.Join(buildOnce.dir, "writ-node")
		cmd := exec.Command("go", "build", "-o", buildOnce.path, "github.com/writ-sec/writ/cmd/writ-node")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			buildOnce.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if buildOnce.err != nil {
		t.Fatal(buildOnce.err)
	}
	return buildOnce.path
}

// notTheKernel leaves a test out where tests run short, in emulated guests: its outcome does not depend on the kernel.
func notTheKernel(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("short: what it tests does not depend on the kernel")
	}
}

// host is the part of this machine that a test has for itself: a cgroup, programs, and the directories of an agent.
type host struct {
	t      testing.TB
	top    string // path of its cgroup below the root of the hierarchy
	root   string // where cgroup2 is mounted
	dir    string // of programs
	pins   string
	state  string
	socket string
}

func newHost(t testing.TB) *host {
	t.Helper()
	testneed.Root(t)
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	defer mounts.Close()
	root, err := node.FindCgroupRoot(mounts)
	if err != nil {
		testneed.Skip(t, "needs cgroup2: "+err.Error())
	}
	if err := os.MkdirAll("/var/tmp", 0o1777); err != nil {
		t.Fatal(err)
	}
	// Not in /tmp: where that is a mount of its own, older kernels can't tell it from one made inside a container.
	dir, err := os.MkdirTemp("/var/tmp", "writ-node-test-")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{
		t: t, root: root, dir: dir, top: "/" + filepath.Base(dir),
		pins: filepath.Join(dir, "pins"), state: filepath.Join(dir, "state"), socket: filepath.Join(dir, "sock"),
	}
	t.Cleanup(h.tearDown)
	h.cgroup("")
	return h
}

// tearDown removes everything, whatever the test left.
func (h *host) tearDown() {
	if _, err := os.Stat(h.pins); err == nil {
		if out, err := exec.Command(binary(h.t), "unload", "--pin-dir", h.pins, "--state", h.state).CombinedOutput(); err != nil && !strings.Contains(string(out), "nothing is pinned") {
			h.t.Errorf("unload: %v\n%s", err, out)
		}
	}
	h.rmdir(h.root + h.top)
	if err := os.RemoveAll(h.dir); err != nil {
		h.t.Error(err)
	}
}

func (h *host) rmdir(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			h.rmdir(filepath.Join(dir, e.Name()))
		}
	}
	for range 100 { // a process that was killed leaves its cgroup a little later
		if err := os.Remove(dir); !errors.Is(err, unix.EBUSY) {
			if err != nil {
				h.t.Error(err)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.t.Errorf("cgroup %s stays busy", dir)
}

// cgroup makes a cgroup and returns its path below the root.
func (h *host) cgroup(name string) string {
	h.t.Helper()
	if err := os.MkdirAll(h.root+h.top+name, 0o755); err != nil {
		h.t.Fatal(err)
	}
	return h.top + name
}

// program makes a program that ends at once, and returns its path.
func (h *host) program(name string) string {
	h.t.Helper()
	source := filepath.Join(os.Getenv("WRIT_TEST_BIN_DIR"), "true")
	if os.Getenv("WRIT_TEST_BIN_DIR") == "" {
		source = testneed.Binary(h.t, "true", "install coreutils")
	}
	data, err := os.ReadFile(source)
	if err != nil {
		h.t.Fatal(err)
	}
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path, data, 0o755); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// run executes a program in a cgroup.
func (h *host) run(cgroup, program string) (pid int, denied bool) {
	h.t.Helper()
	pid, denied, err := runIn(h.root+cgroup, program)
	if err != nil {
		h.t.Fatal(err)
	}
	return pid, denied
}

// runIn tells whether the exec was denied: by EPERM, or by SIGKILL. The new process is in the cgroup from its first instruction.
func runIn(dir, program string) (pid int, denied bool, err error) {
	cgroup, err := os.Open(dir)
	if err != nil {
		return 0, false, err
	}
	defer cgroup.Close()
	cmd := &exec.Cmd{Path: program, Args: []string{"true"}, SysProcAttr: &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cgroup.Fd())}}
	err = cmd.Run()
	if cmd.Process != nil {
		pid = cmd.Process.Pid
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return pid, false, nil
	case errors.Is(err, unix.EPERM):
		return pid, true, nil
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGKILL:
		return pid, true, nil
	}
	return pid, false, fmt.Errorf("%s in %s: %w", program, dir, err)
}

func (h *host) wantAllowed(cgroup, program string) {
	h.t.Helper()
	if _, denied := h.run(cgroup, program); denied {
		h.t.Errorf("%s in %s is denied", program, cgroup)
	}
}

func (h *host) wantDenied(cgroup, program string) {
	h.t.Helper()
	if _, denied := h.run(cgroup, program); !denied {
		h.t.Errorf("%s in %s is allowed", program, cgroup)
	}
}

// agent is a running writ-node.
type agent struct {
	h    *host
	cmd  *exec.Cmd
	logs lockedBuffer

	mu       sync.Mutex
	messages []wire.Message // printed so far
	ended    chan struct{}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// args are the flags that keep an agent to its host.
func (h *host) args(more ...string) []string {
	return append([]string{"run", "--pin-dir", h.pins, "--state", h.state, "--fold-window", "1s"}, more...)
}

// start runs a writ-node and waits until it serves.
func (h *host) start(more ...string) *agent {
	h.t.Helper()
	a := h.spawn(exec.Command(binary(h.t), h.args(append(more, "--socket", h.socket)...)...))
	a.await("it serves", func() bool { return strings.Contains(a.logs.String(), "msg=serving") })
	return a
}

func (h *host) spawn(cmd *exec.Cmd) *agent {
	h.t.Helper()
	a := &agent{h: h, cmd: cmd, ended: make(chan struct{})}
	cmd.Stderr = &a.logs
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		defer close(a.ended)
		a.collect(stdout)
		cmd.Wait()
	}()
	h.t.Cleanup(a.kill)
	return a
}

func (a *agent) collect(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		var m wire.Message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			a.h.t.Errorf("printed %q: %v", lines.Text(), err)
		}
		a.mu.Lock()
		a.messages = append(a.messages, m)
		a.mu.Unlock()
	}
}

// kill ends the process as a crash does.
func (a *agent) kill() {
	a.cmd.Process.Kill()
	<-a.ended
}

// stop ends the process as a service manager does.
func (a *agent) stop() {
	a.h.t.Helper()
	a.cmd.Process.Signal(unix.SIGTERM)
	a.wantEnd(0)
}

func (a *agent) wantEnd(code int) {
	a.h.t.Helper()
	select {
	case <-a.ended:
	case <-time.After(10 * time.Second):
		a.h.t.Fatalf("writ-node does not end\n%s", a.logs.String())
	}
	if got := a.cmd.ProcessState.ExitCode(); got != code {
		a.h.t.Errorf("writ-node ended with %d, want %d\n%s", got, code, a.logs.String())
	}
}

// await waits until something holds.
func (a *agent) await(what string, holds func() bool) {
	a.h.t.Helper()
	deadline := time.Now().Add(60 * time.Second) // an emulated guest takes its time
	for !holds() {
		if time.Now().After(deadline) {
			a.h.t.Fatalf("waited in vain until %s\n%s", what, a.logs.String())
		}
		select {
		case <-a.ended:
			if !holds() {
				a.h.t.Fatalf("writ-node ended before %s\n%s", what, a.logs.String())
			}
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (a *agent) client() *wire.Client {
	a.h.t.Helper()
	c, err := wire.Dial(a.h.socket)
	if err != nil {
		a.h.t.Fatal(err)
	}
	a.h.t.Cleanup(func() { c.Close() })
	return c
}

func (a *agent) apply(ws ...schema.Workload) wire.Status {
	a.h.t.Helper()
	c := a.client()
	defer c.Close()
	st, err := c.Apply(a.h.t.Context(), newBundle(ws...))
	if err != nil {
		a.h.t.Fatalf("apply: %v\n%s", err, a.logs.String())
	}
	return st
}

func (a *agent) status() wire.Status {
	a.h.t.Helper()
	c := a.client()
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	st, err := c.Status(ctx)
	if err != nil {
		a.h.t.Fatalf("status: %v\n%s", err, a.logs.String())
	}
	return st
}

// boundIn waits until a workload is in force in a cgroup.
func (a *agent) boundIn(workload, cgroup string) {
	a.h.t.Helper()
	a.await(fmt.Sprintf("%s is in force in %s", workload, cgroup), func() bool {
		return slices.ContainsFunc(a.status().Workloads, func(w wire.WorkloadStatus) bool {
			return w.Name == workload && slices.Contains(w.Cgroups, cgroup)
		})
	})
}

// reports returns what was printed about a program.
func (a *agent) reports(program string) []schema.Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []schema.Report
	for _, m := range a.messages {
		if m.Report != nil && string(m.Report.Object) == program {
			out = append(out, *m.Report)
		}
	}
	return out
}

// newWorkload allows some programs to the cgroups that a pattern matches.
func newWorkload(name, cgroup string, mode schema.Mode, programs ...string) schema.Workload {
	w := schema.Workload{
		Name: name, Match: schema.Match{Cgroup: cgroup},
		Closures: []schema.Closure{{ID: closureID(name), Plane: schema.PlaneExec, Mode: mode}},
	}
	for _, p := range slices.Sorted(slices.Values(programs)) {
		w.Rules = append(w.Rules, schema.Rule{
			ID: schema.NewRuleID("rule", name, "exec", "exec", p), Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: p,
		})
	}
	return w
}

func closureID(workload string) schema.RuleID { return schema.NewRuleID("closure", workload, "exec") }

func newBundle(ws ...schema.Workload) *bundle.Bundle {
	files := map[string][]byte{}
	for _, w := range ws {
		files[bundle.NodeDir+"/"+w.Name+".json"] = bundle.Encode(w)
	}
	return bundle.New(files, bundle.Envelope{Commit: "c0ffee"})
}
