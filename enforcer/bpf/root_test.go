// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/testneed"
)

// ranStatus is the exit status of the program that the tests run, by which they know that it did.
const ranStatus = 42

// elf is that program: an ELF file of one segment that calls exit_group(42).
func elf(t testing.TB) []byte {
	code := map[string][]byte{
		"amd64": {0xbf, ranStatus, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05},               // mov edi, 42; mov eax, 231; syscall
		"arm64": {0x40, 0x05, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4}, // mov x0, 42; mov x8, 94; svc 0
	}[runtime.GOARCH]
	if code == nil {
		testneed.Skip(t, "needs amd64 or arm64: the test program is machine code")
	}
	machine := map[string]uint16{"amd64": 62, "arm64": 183}[runtime.GOARCH]
	var b bytes.Buffer
	b.Write([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	size := uint64(64 + 56 + len(code))
	for _, v := range []any{ // Elf64_Ehdr and Elf64_Phdr of elf(5)
		uint16(2), machine, uint32(1), uint64(0x400000 + 64 + 56), uint64(64), uint64(0), uint32(0), uint16(64), uint16(56), uint16(1),
		uint16(64), uint16(0), uint16(0),
		uint32(1), uint32(5), uint64(0), uint64(0x400000), uint64(0x400000), size, size, uint64(0x1000),
	} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	b.Write(code)
	return b.Bytes()
}

// rig is the exec plane in force on a cgroup of its own, with a folder for programs.
type rig struct {
	t      testing.TB
	k      *Kernel
	pins   string
	dir    string // for programs; clean, no symlinks
	cgroup string
	id     uint64
	level  int
	fd     *os.File
}

// newRig makes a rig on a bpffs of its own; nothing is bound yet.
func newRig(t testing.TB, cfg Config) *rig {
	testneed.Root(t)
	if backend := os.Getenv("WRIT_TEST_BACKEND"); cfg.Backend == "" {
		cfg.Backend = backend
	}
	r := &rig{t: t, pins: filepath.Join(t.TempDir(), "bpffs")}
	var err error
	if r.dir, err = filepath.EvalSymlinks(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(r.pins, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("writ-test", r.pins, "bpf", 0, ""); err != nil {
		t.Fatalf("mount a bpffs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(r.pins, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount the bpffs: %v", err)
		}
	})
	r.makeCgroup()
	cfg.PinDir = filepath.Join(r.pins, "writ")
	if r.k, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.k != nil {
			if err := r.k.Unload(); err != nil {
				t.Errorf("unload: %v", err)
			}
		}
	})
	return r
}

var cgroupNumber atomic.Int64

func (r *rig) makeCgroup() {
	root := cgroupRoot(r.t)
	name := fmt.Sprintf("writ-test-%d-%d", os.Getpid(), cgroupNumber.Add(1))
	r.cgroup, r.level = filepath.Join(root, name), 1
	if err := os.Mkdir(r.cgroup, 0o755); err != nil {
		r.t.Fatal(err)
	}
	var err error
	if r.fd, err = os.Open(r.cgroup); err != nil {
		r.t.Fatal(err)
	}
	dir := r.cgroup
	r.t.Cleanup(func() {
		r.fd.Close()
		for range 200 { // a killed process leaves its cgroup a moment after wait
			if err = os.Remove(dir); err == nil || !errors.Is(err, unix.EBUSY) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			r.t.Errorf("remove the cgroup: %v", err)
		}
	})
	r.id = cgroupID(r.t, r.cgroup)
}

func cgroupID(t testing.TB, path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

func cgroupRoot(t testing.TB) string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); strings.Contains(s.Text(), " - cgroup2 ") {
			return fields[4]
		}
	}
	testneed.Skip(t, "needs a cgroup2 hierarchy: none is mounted")
	return ""
}

// program writes the test program to a path below the rig's folder and returns its whole path.
func (r *rig) program(path string) string {
	return r.file(path, elf(r.t))
}

func (r *rig) file(path string, data []byte) string {
	r.t.Helper()
	whole := filepath.Join(r.dir, path)
	if err := os.MkdirAll(filepath.Dir(whole), 0o755); err != nil {
		r.t.Fatal(err)
	}
	// The file is written by another process's hands nowhere else: a fork of a parallel test could keep it open and make exec say ETXTBSY.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(whole, data, 0o755); err != nil {
		r.t.Fatal(err)
	}
	return whole
}

// exe puts a copy of the test binary below the rig's folder: it can play the roles of child_test.go.
func (r *rig) exe(path string) string {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		r.t.Fatal(err)
	}
	return r.file(path, self)
}

// workload makes a closed workload; each rule is an object, then its parents, separated by spaces. Rule n has the ID n+2, the closure 1.
func workload(mode schema.Mode, rules ...string) *schema.Workload {
	w := &schema.Workload{Name: "test", Closures: []schema.Closure{{ID: 1, Plane: schema.PlaneExec, Mode: mode}}}
	for i, r := range rules {
		words := strings.Split(r, " ")
		w.Rules = append(w.Rules, schema.Rule{
			ID: schema.RuleID(i + 2), Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: words[0], Parents: words[1:],
		})
	}
	return w
}

// enforce puts workloads in force in slot 0 and binds the rig's cgroup to it.
func (r *rig) enforce(ws ...*schema.Workload) *Image {
	r.t.Helper()
	im, err := Compile(ws, 0x1234567)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.k.SetProgram(0, im); err != nil {
		r.t.Fatal(err)
	}
	if err := r.k.Bind(r.id, r.level, 0); err != nil {
		r.t.Fatal(err)
	}
	return im
}

func (r *rig) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(r.fd.Fd())}
	return cmd
}

// runs starts a program in the cgroup and reports whether it ran; what is neither a run nor a denial ends the test.
func (r *rig) runs(path string, args ...string) bool {
	r.t.Helper()
	return r.outcome(r.command(path, args...))
}

// child runs a role of child_test.go in the cgroup.
func (r *rig) child(exe, role string, args ...string) bool {
	r.t.Helper()
	cmd := r.command(exe, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+role)
	return r.outcome(cmd)
}

func (r *rig) outcome(cmd *exec.Cmd) bool {
	r.t.Helper()
	var out bytes.Buffer
	cmd.Stderr = &out
	ran, err := verdictOf(cmd.Run())
	if err != nil {
		r.t.Fatalf("%q: %v\n%s", cmd.Args, err, out.String())
	}
	return ran
}

// verdictOf reads how a command ended: it ran, or it was denied by EPERM (BPF LSM), by SIGKILL (tracing), or in a child that says so.
func verdictOf(err error) (ran bool, _ error) {
	var exit *exec.ExitError
	switch {
	case errors.Is(err, unix.EPERM):
		return false, nil
	case errors.As(err, &exit) && exit.ExitCode() == ranStatus:
		return true, nil
	case errors.As(err, &exit) && exit.ExitCode() == deniedStatus:
		return false, nil
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGKILL:
		return false, nil
	}
	return false, fmt.Errorf("neither ran nor was denied: %v", err)
}

func (r *rig) want(ran bool, path string, args ...string) {
	r.t.Helper()
	if got := r.runs(path, args...); got != ran {
		r.t.Errorf("%q ran: %v; want %v", path, got, ran)
	}
}

// collector gathers records until stop.
type collector struct {
	mu      sync.Mutex
	records []Record
	stop    func() []Record
}

func (r *rig) collect() *collector {
	c := &collector{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- r.k.Read(ctx, func(rec Record) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.records = append(c.records, rec)
			return nil
		})
	}()
	c.stop = sync.OnceValue(func() []Record {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		return c.records
	})
	r.t.Cleanup(func() { c.stop() })
	return c
}

// judged runs something and returns the records of it, without what happened before.
func (r *rig) judged(do func()) []Record {
	r.t.Helper()
	past, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.k.Read(past, func(Record) error { return nil }); err != nil {
		r.t.Fatal(err)
	}
	c := r.collect()
	do()
	return c.stop()
}

func (r *rig) lost() map[string]uint64 {
	r.t.Helper()
	lost, err := r.k.Lost()
	if err != nil {
		r.t.Fatal(err)
	}
	return lost
}
