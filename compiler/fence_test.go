// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package compiler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() { children["fence"] = probeFence }

// probeFence raises the fence and tries what it must keep out. Its argument is the id of a process that it tries to end.
func probeFence() {
	victim, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	fence := os.Getenv("WRIT_TEST_FENCE") != "0"
	if fence {
		if err := raiseFence(); err != nil {
			panic(err)
		}
	}
	said := map[string]string{}
	try := func(what string, do func() error) {
		said[what] = "done"
		if err := do(); err != nil {
			said[what] = err.Error()
			if errors.Is(err, syscall.EPERM) || fence && errors.Is(err, syscall.ENOMEM) {
				said[what] = "refused"
			}
		}
	}
	first := func(_ any, err error) error { return err }
	try("open a file", func() error { return first(os.Open("/etc/passwd")) })
	try("make a file", func() error { return first(os.CreateTemp("/tmp", "fence-")) })
	try("list a folder", func() error { return first(os.ReadDir("/")) })
	try("look at a file", func() error { return first(os.Stat("/etc/passwd")) })
	try("read a link", func() error { return first(os.Readlink("/proc/self/exe")) })
	try("make a socket", func() error { return first(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)) })
	try("make a local socket", func() error { return first(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)) })
	try("run a program", func() error {
		cmd := exec.Command("/proc/self/exe", "-test.list", "^$")
		cmd.Env = []string{"A=b"} // it is not to be a child of this kind
		return cmd.Run()
	})
	try("signal a process", func() error { return unix.Kill(victim, 0) })
	try("end a process", func() error { return unix.Tgkill(victim, victim, unix.SIGUSR1) })
	try("trace a process", func() error { return unix.PtraceSeize(victim) })
	try("read memory of a process", func() error {
		local := []unix.Iovec{{Base: new(byte), Len: 1}}
		return first(unix.ProcessVMReadv(victim, local, []unix.RemoteIovec{{Base: 0x10000, Len: 1}}, 0))
	})
	try("change its user", func() error { return unix.Setresuid(0, 0, 0) })
	try("raise its limits", func() error { return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: 1 << 40, Max: 1 << 40}) })
	try("take much memory", func() error {
		return first(unix.Mmap(-1, 0, 1<<30, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS))
	})
	try("compute", func() error {
		if e := evaluate([]text{{"a.cue", []byte("package policy\nworkload: a: {x: 1 + 1}\n")}}); e.Root.get("workload", "a", "x") == nil {
			return errors.New("no value")
		}
		return nil
	})
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// TestFence tries everything inside the fence, and outside of it to see that trying works.
func TestFence(t *testing.T) {
	run := func(fence string) map[string]string {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		sleeper := exec.CommandContext(ctx, "sleep", "60")
		if err := sleeper.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = sleeper.Process.Kill(), sleeper.Wait() }()
		cmd := childCommand(t, "fence", strconv.Itoa(sleeper.Process.Pid))
		cmd.Env = append(cmd.Env, "WRIT_TEST_FENCE="+fence)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr.String())
		}
		said := map[string]string{}
		if err := json.Unmarshal(out, &said); err != nil {
			t.Fatal(err)
		}
		return said
	}
	outside := run("0")
	for what, got := range run("1") {
		want := "refused"
		if what == "compute" {
			want = "done"
		}
		if got != want {
			t.Errorf("inside the fence, to %s is %s; want %s", what, got, want)
		}
	}
	for _, what := range []string{"open a file", "make a socket", "run a program", "signal a process", "look at a file", "take much memory", "compute"} {
		if outside[what] != "done" {
			t.Errorf("outside of the fence, to %s is %s: the test shows nothing", what, outside[what])
		}
	}
}

// TestEvaluatorIsBare holds what the evaluator is started with: no variable of the compiler's, and no file beside the three.
func TestEvaluatorIsBare(t *testing.T) {
	t.Setenv("WRIT_TEST_SECRET", "secret")
	secret, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	if _, err := unix.FcntlInt(secret.Fd(), unix.F_SETFD, 0); err != nil { // as what was inherited from the shell is
		t.Fatal(err)
	}
	e, err := startEvaluator()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.end() }()
	if a, err := e.ask([]text{{"a.cue", []byte("package policy\n_a: 1\n")}}); err != nil || a.Root == nil { // it has begun
		t.Fatal(a, err)
	}
	dir := "/proc/" + strconv.Itoa(e.cmd.Process.Pid)
	env, err := os.ReadFile(dir + "/environ")
	if err != nil || strings.Contains(string(env), "SECRET") || !strings.Contains(string(env), fenceVariable) {
		t.Errorf("its environment is %q, %v; want the few that it needs", env, err)
	}
	files, err := os.ReadDir(dir + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		to, _ := os.Readlink(dir + "/fd/" + f.Name())
		if n, _ := strconv.Atoi(f.Name()); n > 2 && !runtimeFile(to) {
			t.Errorf("it has the open file %s, %s; want none beside the three", f.Name(), to)
		}
	}
}
