// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/writ-sec/writ/enforcer/node/wire"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
	"github.com/writ-sec/writ/schema/testneed"
)

func TestRootOneRuleAllTheWay(t *testing.T) {
	h := newHost(t)
	good, bad, pay := h.program("good"), h.program("bad"), h.cgroup("/pay")
	a := h.start()
	watched := make(chan wire.Message, 100)
	go a.client().Watch(t.Context(), func(m wire.Message) error { watched <- m; return nil })
	st := a.apply(newWorkload("pay", pay, schema.ModeEnforce, good), newWorkload("elsewhere", h.top+"/none", schema.ModeEnforce))
	if st.Commit != "c0ffee" || len(st.Workloads) != 2 || !slices.Equal(st.Workloads[1].Cgroups, []string{pay}) || st.Workloads[0].Why == "" {
		t.Errorf("status: %+v", st)
	}
	h.wantAllowed(pay, good)
	pid, denied := h.run(pay, bad)
	if !denied {
		t.Error("what no rule allows has run")
	}
	for range 4 {
		h.wantDenied(pay, bad)
	}
	a.await("all five denials are reported", func() bool { return total(a.reports(bad)) == 5 })
	self, _ := os.Executable()
	want := schema.Verdict{Action: schema.ActionDeny, Reason: schema.ReasonNoRule, Rule: closureID("pay"), Workloads: []string{"pay"}}
	first := a.reports(bad)[0]
	if v := first.Verdict; v.Action != want.Action || v.Reason != want.Reason || v.Rule != want.Rule || !slices.Equal(v.Workloads, want.Workloads) {
		t.Errorf("verdict %+v, want %+v", v, want)
	}
	if first.Count != 1 || first.Subject.Cgroup != pay || first.PPID != os.Getpid() || pid != 0 && first.PID != pid {
		t.Errorf("report %+v; want pid %d, ppid %d, cgroup %s, count 1", first, pid, os.Getpid(), pay)
	}
	if parent := string(first.Parent); parent != "" && parent != self {
		t.Errorf("parent %q, want %q", parent, self)
	}
	if ago := time.Since(first.First); ago < 0 || ago > time.Minute || first.First.Location() != time.UTC {
		t.Errorf("first at %v, which is %v ago", first.First, ago)
	}
	select {
	case m := <-watched:
		if m.Report == nil || m.Report.ID != first.ID {
			t.Errorf("the watcher got %+v first", m)
		}
	case <-time.After(10 * time.Second):
		t.Error("the watcher got nothing")
	}
	if got := a.reports(good); len(got) > 0 {
		t.Errorf("an allowed exec is reported: %+v", got)
	}
	a.stop()
	h.wantDenied(pay, bad)
}

func total(rs []schema.Report) uint64 {
	n := uint64(0)
	for _, r := range rs {
		n += r.Count
	}
	return n
}

func TestRootAuditLetsPassAndReports(t *testing.T) {
	h := newHost(t)
	prog, cg := h.program("p"), h.cgroup("/c")
	a := h.start()
	a.apply(newWorkload("w", cg, schema.ModeAudit))
	h.wantAllowed(cg, prog)
	a.await("the exec is reported", func() bool { return total(a.reports(prog)) == 1 })
	if got := a.reports(prog)[0].Verdict.Action; got != schema.ActionAudit {
		t.Errorf("action %q", got)
	}
}

// TestRootPlannedModes lets two dates pass: one on which a workload is enforced, one on which another no longer is.
func TestRootPlannedModes(t *testing.T) {
	h := newHost(t)
	prog, strict, weak := h.program("p"), h.cgroup("/strict"), h.cgroup("/weak")
	a := h.start()
	wait := 9 * time.Second
	if testing.Short() {
		wait = 30 * time.Second // an emulated machine is slow
	}
	after := time.Now().Add(wait).Truncate(time.Second)
	planned := func(name, cgroup string, now, then schema.Mode) schema.Workload {
		w := newWorkload(name, cgroup, now)
		w.Closures[0].Then, w.Closures[0].After = then, schema.Date(after.UTC().Format(time.RFC3339))
		return w
	}
	a.apply(planned("strict", strict, schema.ModeAudit, schema.ModeEnforce), planned("weak", weak, schema.ModeEnforce, schema.ModeAudit))
	h.wantDenied(weak, prog)
	if time.Until(after) > 6*time.Second { // it is early by 5 s
		h.wantAllowed(strict, prog)
	}
	denied := func(cgroup string) bool {
		_, denied := h.run(cgroup, prog)
		return denied
	}
	a.await("the stricter mode is in force", func() bool { return denied(strict) })
	if late := time.Since(after); late > 0 {
		t.Errorf("the stricter mode is in force %v after its date", late)
	}
	for time.Until(after) > 2*time.Second {
		h.wantDenied(weak, prog)
		time.Sleep(100 * time.Millisecond)
	}
	a.await("the weaker mode is in force", func() bool { return !denied(weak) })
	if early := time.Until(after); early > 0 {
		t.Errorf("the weaker mode is in force %v before its date", early)
	}
	h.wantDenied(strict, prog)
	if st := a.status(); len(st.Warnings) > 0 && slices.ContainsFunc(st.Warnings, func(w string) bool { return strings.Contains(w, "put in force") }) {
		t.Errorf("warnings: %q", st.Warnings)
	}
}

func TestRootOnlyWhatChangedIsSent(t *testing.T) {
	notTheKernel(t)
	h := newHost(t)
	cg := h.cgroup("/c")
	a := h.start()
	x, y := newWorkload("x", cg, schema.ModeEnforce), newWorkload("y", h.top+"/none", schema.ModeEnforce, "/bin/a")
	a.apply(x, y)
	y.Rules = nil
	conn, err := net.Dial("unix", h.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := wire.NewEncoder(conn).Encode(wire.Request{Apply: &wire.Apply{Manifest: newBundle(x, y).Manifest}}); err != nil {
		t.Fatal(err)
	}
	var m wire.Message
	if err := wire.NewDecoder(conn).Decode(&m); err != nil || m.Response == nil || !slices.Equal(m.Response.Missing, []string{"node/y.json"}) {
		t.Fatalf("%+v, %v; want node/y.json alone to be missing", m.Response, err)
	}
}

// cutShort gives the first bytes of each file.
type cutShort struct{ *bundle.Bundle }

func (c cutShort) Open(path string) ([]byte, error) {
	data, err := c.Bundle.Open(path)
	return data[:min(20, len(data))], err
}

func TestRootBrokenApplyKeepsTheOld(t *testing.T) {
	notTheKernel(t)
	h := newHost(t)
	bad, cg := h.program("bad"), h.cgroup("/c")
	a := h.start()
	old := a.apply(newWorkload("w", cg, schema.ModeEnforce))
	open := newWorkload("w", cg, schema.ModeEnforce, bad)
	twice := open
	twice.Name = "v"
	truncated := bundle.NewLazy(newBundle(open).Manifest.Files, cutShort{newBundle(open)}, bundle.Envelope{})
	future := newBundle(open)
	future.Manifest.Format = 9
	unknown := bundle.New(map[string][]byte{"node/w.json": []byte(`{"name":"w","match":{"cgroup":"/x"},"network":{}}`)}, bundle.Envelope{})
	c := a.client()
	for name, b := range map[string]*bundle.Bundle{"IDs twice": newBundle(open, twice), "truncated": truncated, "format": future, "field": unknown} {
		var refused *wire.Refused
		if _, err := c.Apply(t.Context(), b); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "what was in force still is") {
			t.Errorf("%s: %v", name, err)
		}
		h.wantDenied(cg, bad)
		if st := a.status(); st.Generation != old.Generation {
			t.Errorf("%s: the status says generation %q", name, st.Generation)
		}
	}
	if _, err := c.Apply(t.Context(), newBundle(open)); err != nil {
		t.Fatalf("a good one after the broken ones: %v", err)
	}
	h.wantAllowed(cg, bad)
}

// execLoop runs two programs in a cgroup again and again until told to stop, and counts wrong verdicts.
type execLoop struct {
	stop   chan struct{}
	done   chan struct{}
	runs   atomic.Int64
	wrong  atomic.Int64
	failed atomic.Value
}

func (h *host) loop(cgroup, allowed, denied string) *execLoop {
	l := &execLoop{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for {
			select {
			case <-l.stop:
				return
			default:
			}
			for program, want := range map[string]bool{allowed: false, denied: true} {
				_, got, err := runIn(h.root+cgroup, program)
				if err != nil {
					l.failed.Store(err)
					return
				}
				if got != want {
					l.wrong.Add(1)
				}
				l.runs.Add(1)
			}
		}
	}()
	return l
}

func (l *execLoop) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	<-l.done
	if err := l.failed.Load(); err != nil {
		t.Fatal(err)
	}
	if n := l.wrong.Load(); n > 0 {
		t.Errorf("%d of %d execs had a wrong verdict", n, l.runs.Load())
	}
	t.Logf("%d execs", l.runs.Load())
}

func TestRootSurvivesItsAgent(t *testing.T) {
	h := newHost(t)
	good, bad, cg := h.program("good"), h.program("bad"), h.cgroup("/c")
	a := h.start()
	before := a.apply(newWorkload("w", cg, schema.ModeEnforce, good))
	l := h.loop(cg, good, bad)
	restarts := 3
	if testing.Short() {
		restarts = 1
	}
	for range restarts {
		a.kill()
		h.wantDenied(cg, bad)
		a = h.start() // the socket of the dead one is in its place
		if !strings.Contains(a.logs.String(), "adopted=true") {
			t.Errorf("what was pinned is not adopted:\n%s", a.logs.String())
		}
		if st := a.status(); st.Generation != before.Generation || len(st.Workloads) != 1 || !slices.Equal(st.Workloads[0].Cgroups, []string{cg}) {
			t.Errorf("status after the restart: %+v", st)
		}
	}
	a.await("an exec of after the restart is reported with its workload", func() bool {
		return slices.ContainsFunc(a.reports(bad), func(r schema.Report) bool { return slices.Equal(r.Verdict.Workloads, []string{"w"}) })
	})
	l.end(t)
}

func TestRootNoGapWhilePolicyChanges(t *testing.T) {
	h := newHost(t)
	good, bad, cg := h.program("good"), h.program("bad"), h.cgroup("/c")
	a := h.start()
	a.apply(newWorkload("w", cg, schema.ModeEnforce, good))
	l := h.loop(cg, good, bad)
	began := time.Now()
	rounds := 100
	if testing.Short() {
		rounds = 12
	}
	for i := range rounds { // the rule moves from workload to workload, and each exec must find it in one
		switch i % 3 {
		case 0:
			a.apply(newWorkload("w", cg, schema.ModeEnforce), newWorkload("v", h.top+"/*", schema.ModeEnforce, good))
		case 1:
			a.apply(newWorkload("v", h.top+"/**", schema.ModeEnforce, good, "/bin/other"))
		case 2:
			a.apply(newWorkload("w", cg, schema.ModeEnforce, good))
		}
	}
	t.Logf("%d applies, %v each", rounds, time.Since(began)/time.Duration(rounds))
	l.end(t)
}

// TestSoakPolicyChanges changes the policy and the cgroups thousands of times: no wrong verdict, and the memory stays where it is.
func TestSoakPolicyChanges(t *testing.T) {
	testneed.Soak(t)
	h := newHost(t)
	good, bad, cg := h.program("good"), h.program("bad"), h.cgroup("/c")
	a := h.start()
	ws := h.hundred(true)
	keep := newWorkload("keep", cg, schema.ModeEnforce, good)
	a.apply(append(ws, keep)...)
	l := h.loop(cg, good, bad)
	const rounds = 2000
	early := 0
	for i := range rounds {
		ws[i%100].Rules[i%50].ID = schema.RuleID(i + 1)
		keep.Rules[0].Why = strconv.Itoa(i)
		h.rmdir(h.root + h.top + "/w007")
		h.cgroup("/w007")
		a.apply(append(ws, keep)...)
		if i == rounds/10 {
			early = a.memory("VmRSS")
		}
	}
	late := a.memory("VmRSS")
	t.Logf("VmRSS %d KiB after %d applies, %d KiB after %d", early, rounds/10, late, rounds)
	if late > maxRSS || late > early*5/4 {
		t.Errorf("VmRSS grew from %d to %d KiB", early, late)
	}
	l.end(t)
}

func TestRootNewCgroupIsBound(t *testing.T) {
	h := newHost(t)
	bad := h.program("bad")
	a := h.start()
	a.apply(newWorkload("w", h.top+"/pods/*/c*", schema.ModeEnforce))
	worst := time.Duration(0)
	for _, name := range []string{"/pods/p1/c1", "/pods/p1/c2", "/pods/p2/c1"} {
		cg := h.cgroup(name)
		made := time.Now()
		denied := false
		for !denied && time.Since(made) < 10*time.Second {
			_, denied = h.run(cg, bad)
		}
		worst = max(worst, time.Since(made))
		h.wantDenied(cg, bad)
	}
	t.Logf("denied at most %v after the cgroup was made", worst)
	a.boundIn("w", h.top+"/pods/p2/c1")
	h.wantAllowed(h.cgroup("/pods/p2/other"), bad)
	h.rmdir(h.root + h.top + "/pods/p2/c1")
	a.await("the removed cgroup is unbound", func() bool { return len(a.status().Workloads[0].Cgroups) == 2 })
}

func TestRootWorkloadsUnite(t *testing.T) {
	h := newHost(t)
	one, two, three := h.program("one"), h.program("two"), h.program("three")
	top, sub, deep := h.cgroup("/top"), h.cgroup("/top/sub"), h.cgroup("/top/sub/deep")
	a := h.start()
	a.apply(newWorkload("a", top, schema.ModeAudit, one), newWorkload("b", sub, schema.ModeEnforce, two))
	h.wantAllowed(top, two) // audit
	for _, cg := range []string{sub, deep} {
		h.wantAllowed(cg, one)
		h.wantAllowed(cg, two)
		h.wantDenied(cg, three)
	}
	a.await("the denial names both workloads", func() bool {
		return slices.ContainsFunc(a.reports(three), func(r schema.Report) bool {
			return slices.Equal(r.Verdict.Workloads, []string{"a", "b"}) && r.Verdict.Rule == closureID("b")
		})
	})
	a.apply(newWorkload("a", top, schema.ModeAudit, one)) // b goes: sub and deep follow top
	h.wantAllowed(deep, three)
}

func TestRootWhatANodeCannotSelectIsTold(t *testing.T) {
	notTheKernel(t)
	h := newHost(t)
	a := h.start()
	w := newWorkload("w", "", schema.ModeEnforce)
	w.Match = schema.Match{Namespace: "shop", Labels: map[string]string{"app": "w"}}
	st := a.apply(w)
	if len(st.Workloads) != 1 || !strings.Contains(st.Workloads[0].Why, "no source of containers") {
		t.Errorf("status: %+v", st.Workloads)
	}
}

// wantNoPins holds that nothing is left in the pin directory, nor mounted there.
func (h *host) wantNoPins() {
	h.t.Helper()
	if entries, err := os.ReadDir(h.pins); err == nil && len(entries) > 0 {
		h.t.Errorf("left in the pin directory: %v", entries)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || bytes.Contains(mounts, []byte(" "+h.pins+" ")) {
		h.t.Errorf("a bpffs is left at %s: %v", h.pins, err)
	}
}

// command runs a command of writ-node to its end.
func (h *host) command(code int, stderr string, args ...string) {
	h.t.Helper()
	h.check(exec.Command(binary(h.t), args...), code, stderr)
}

func (h *host) check(cmd *exec.Cmd, code int, stderr string) {
	h.t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(errs.String(), stderr) {
		h.t.Errorf("%q: exit %d, want %d; standard error %q, want %q", cmd.Args[1:], got, code, errs.String(), stderr)
	}
}

func TestRootSecondAgentRefuses(t *testing.T) {
	notTheKernel(t)
	h := newHost(t)
	bad, cg := h.program("bad"), h.cgroup("/c")
	a := h.start()
	a.apply(newWorkload("w", cg, schema.ModeEnforce))
	h.command(2, "in use by another writ-node", h.args("--socket", h.socket)...)
	h.command(2, "another process has it open", "run", "--pin-dir", h.pins, "--state", h.dir+"/state2", "--socket", h.socket+"2")
	h.command(2, "in use by another writ-node", "run", "--pin-dir", h.dir+"/pins2", "--state", h.dir+"/state2", "--socket", h.socket)
	h.command(0, "", "unload", "--pin-dir", h.dir+"/pins2", "--state", h.dir+"/state2")
	h.wantDenied(cg, bad)
	a.status()
}

func TestRootStaleSocketIsReplaced(t *testing.T) {
	notTheKernel(t)
	h := newHost(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	h.start().stop()
	if _, err := os.Stat(h.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	if err := os.WriteFile(h.socket, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.command(2, "something else has that name", h.args("--socket", h.socket)...)
	if data, _ := os.ReadFile(h.socket); string(data) != "mine" {
		t.Error("a file that is no socket was replaced")
	}
}

func TestRootDamagedStateLeavesThePinsInForce(t *testing.T) {
	h := newHost(t)
	bad, cg := h.program("bad"), h.cgroup("/c")
	a := h.start()
	w := newWorkload("w", cg, schema.ModeEnforce)
	a.apply(w)
	a.kill()
	saved := filepath.Join(h.state, "generation")
	data, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(saved, data[:len(data)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	a = h.start()
	h.wantDenied(cg, bad)
	st := a.status()
	if st.Generation != "" || len(st.Warnings) == 0 || !strings.Contains(st.Warnings[0], "stays in force") {
		t.Errorf("status: %+v", st)
	}
	a.await("the denial is reported with its workload", func() bool {
		return slices.ContainsFunc(a.reports(bad), func(r schema.Report) bool {
			return slices.Equal(r.Verdict.Workloads, []string{"w"}) && r.Subject.Cgroup == cg
		})
	})
	if st := a.apply(w); slices.ContainsFunc(st.Warnings, func(w string) bool { return strings.Contains(w, "stays in force") }) {
		t.Errorf("the warning outlives the apply: %q", st.Warnings)
	}
}

func TestRootInheritedSocket(t *testing.T) {
	h := newHost(t)
	bad, cg := h.program("bad"), h.cgroup("/c")
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	conn, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	ours.Close()
	cmd := exec.Command(binary(t), h.args("--fd", "3")...)
	cmd.ExtraFiles = []*os.File{theirs}
	a := h.spawn(cmd)
	theirs.Close()
	c := wire.NewClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if _, err := c.Apply(ctx, newBundle(newWorkload("w", cg, schema.ModeEnforce))); err != nil {
		t.Fatalf("%v\n%s", err, a.logs.String())
	}
	h.wantDenied(cg, bad)
	c.Close()
	a.wantEnd(0)
	h.wantDenied(cg, bad)
	h.command(2, "not an inherited socket", h.args("--fd", "1")...)
	h.command(2, "not a connected socket", h.args("--fd", "77")...)
}

func TestRootWhoMayConnect(t *testing.T) {
	notTheKernel(t)
	h := newHost(t)
	if err := os.Chmod(h.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	ask := func(code int, stderr string, args ...string) {
		t.Helper()
		cmd := exec.Command(binary(t), args...)
		cmd.SysProcAttr = nobody
		h.check(cmd, code, stderr)
	}
	a := h.start()
	ask(2, "permission denied", "status", "--socket", h.socket)
	if err := os.Chmod(h.socket, 0o666); err != nil { // even if the file lets them in
		t.Fatal(err)
	}
	ask(2, "writ-node", "status", "--socket", h.socket)
	a.await("the refusal is logged", func() bool { return strings.Contains(a.logs.String(), "neither root nor") })
	a.stop()
	h.start("--allow-uid", "65534")
	ask(0, "", "status", "--socket", h.socket)
	h.command(0, "", "status", "--socket", h.socket)
	ask(2, "run it as root", h.args("--socket", h.socket+"2")...)
	ask(2, "run it as root", "probe")
}

func TestRootBadConfiguration(t *testing.T) {
	notTheKernel(t)
	h := newHost(t)
	full := filepath.Join(h.dir, "full")
	if err := os.MkdirAll(filepath.Join(full, "file"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.command(2, "not empty", "run", "--pin-dir", full, "--state", h.state, "--socket", h.socket)
	h.command(2, "not an absolute, clean path", "run", "--pin-dir", "pins", "--state", h.state, "--socket", h.socket)
	h.command(2, "not on a cgroup2 file system", h.args("--socket", h.socket, "--cgroup-root", h.dir)...)
	h.command(2, "not the root of the hierarchy", h.args("--socket", h.socket, "--cgroup-root", h.root+h.top)...)
	h.command(2, `"magic" is not known`, h.args("--socket", h.socket, "--backend", "magic")...)
	h.command(2, "negative", h.args("--socket", h.socket, "--fold-window", "-1s")...)
	h.command(2, "connect to writ-node", "status", "--socket", h.socket)
	h.command(2, "unknown flag", "run", "--nonsense")
}
