// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema/testneed"
)

// Times within which a server must be there or gone. A machine that is busy with builds takes ten times as long as an idle one, which
// takes 4 s for all of them.
const (
	startWithin = 2 * time.Minute
	readyWithin = 2 * time.Minute
	stopWithin  = 30 * time.Second
	pollEvery   = 20 * time.Millisecond
)

// process is a server of ours, in a process group of its own. The kernel ends it when we end.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// run starts a program, and ends it with the test. Its output goes to a file in dir, which a failed test shows the end of.
func run(t testing.TB, dir, path string, env []string, args ...string) *process {
	t.Helper()
	name := filepath.Base(path)
	p := &process{name: name, cmd: exec.Command(path, args...), done: make(chan struct{})}
	out := openLog(t, dir, name)
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = out, out, append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	t.Cleanup(p.kill)
	t.Cleanup(func() { showLog(t, out.Name()) })
	return p
}

// ended says whether the process is gone.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the process as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// openLog appends to a program's log.
func openLog(t testing.TB, dir, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// How much of a log a failed test shows: lines, and bytes of a line.
const (
	lastLines = 20
	lineBytes = 400
)

// showLog shows the end of a log if the test failed.
func showLog(t testing.TB, name string) {
	if !t.Failed() {
		return
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	lines = lines[max(0, len(lines)-lastLines):]
	for i, line := range lines {
		lines[i] = line[:min(len(line), lineBytes)]
	}
	t.Logf("the end of %s:\n%s", filepath.Base(name), strings.Join(lines, "\n"))
}

// tied returns a program that becomes the one at path, and that the kernel ends when we end. For what is started by others.
func tied(t testing.TB, dir, path string) string {
	t.Helper()
	setpriv := testneed.Binary(t, "setpriv", "install util-linux")
	wrapper := filepath.Join(dir, filepath.Base(path)+".sh")
	script := fmt.Sprintf("#!/bin/sh\nexec %s --pdeathsig KILL -- '%s' \"$@\"\n", setpriv, path)
	if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return wrapper
}

// freePort returns a port of loopback that nobody listened on a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Eventually polls until f returns nil. After two minutes the test fails with its last error.
func Eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(readyWithin)
	for {
		err := f()
		if err == nil {
			return
		}
		if t.Context().Err() != nil || time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, readyWithin, err)
		}
		time.Sleep(pollEvery)
	}
}
