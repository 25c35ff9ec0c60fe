// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema/testneed"
)

// kernels returns the kernels to test, by version: WRIT_VM_KERNELS lists folders, separated by colons, each named for its version and
// holding a vmlinuz. Without it the test is not asked for, and its skip is never a failure.
func kernels(t *testing.T) map[string]string {
	t.Helper()
	list := os.Getenv("WRIT_VM_KERNELS")
	if list == "" {
		t.Skip("guests run under make test-vm, which names their kernels in WRIT_VM_KERNELS")
	}
	testneed.Binary(t, "qemu-system-x86_64", "install qemu-system-x86")
	testneed.Binary(t, "busybox", "install busybox-static")
	byVersion := map[string]string{}
	for _, folder := range filepath.SplitList(list) {
		kernel := filepath.Join(folder, "vmlinuz")
		if _, err := os.Stat(kernel); err != nil {
			t.Fatalf("WRIT_VM_KERNELS=%q: %v: make test-vm fetches kernels", list, err)
		}
		byVersion[filepath.Base(folder)] = kernel
	}
	return byVersion
}

// oneKernel returns a kernel for tests where it does not matter which.
func oneKernel(t *testing.T) string {
	t.Helper()
	found := kernels(t)
	return found[slices.Min(slices.Collect(maps.Keys(found)))]
}

func TestGuestTellsExitsApart(t *testing.T) {
	kernel := oneKernel(t)
	t.Parallel()
	var lines []string
	result, err := Run(t.Context(), Config{
		Kernel: kernel,
		Files:  []File{{Path: "/test/a folder/it's", Data: []byte("content\n")}},
		Programs: []Program{
			{Name: "good", Args: []string{"/bin/true"}},
			{Name: "bad", Args: []string{"/bin/sh", "-c", "exit 3"}},
			{Name: "killed", Args: []string{"/bin/sh", "-c", "kill -9 $$"}},
			{Name: "missing", Args: []string{"/no/such/program"}},
			{Name: "reads", Args: []string{"/bin/sh", "-c", `cat "it's"; printf "$WORD"`}, Dir: "/test/a folder", Env: []string{"WORD=no end of line"}},
			{Name: "mounts", Args: []string{"/bin/sh", "-c", "mount; ip addr show lo"}},
		},
		Output: func(line string) { lines = append(lines, line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"good": 0, "bad": 3, "killed": 128 + 9, "missing": 127, "reads": 0, "mounts": 0}
	if len(result.Exits) != len(want) {
		t.Errorf("got %d exits, want %d: %+v", len(result.Exits), len(want), result.Exits)
	}
	for _, exit := range result.Exits {
		if exit.Status != want[exit.Name] {
			t.Errorf("program %q: got status %d, want %d", exit.Name, exit.Status, want[exit.Name])
		}
	}
	if !strings.Contains(","+result.LSM+",", ",bpf,") {
		t.Errorf("the guest's security modules are %q, want bpf among them", result.LSM)
	}
	all := "\n" + strings.Join(lines, "\n") + "\n"
	for _, want := range []string{
		"\ncontent\nno end of line\n", "root on / type tmpfs", "on /sys/fs/cgroup type cgroup2", "on /sys/fs/bpf type bpf",
		"on /sys/kernel/security type securityfs", "on /sys/kernel/tracing type tracefs", "on /tmp type tmpfs", "inet 127.0.0.1/8",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if t.Failed() {
		t.Logf("output:%s", all)
	}
}

// TestGuestEndsEarly holds every way in which a guest does not come to its end.
func TestGuestEndsEarly(t *testing.T) {
	kernel := oneKernel(t)
	t.Parallel()
	for _, c := range []struct {
		name, program string
		timeout       time.Duration
		want          []string
	}{
		{"hang", "echo first; sleep 1000", 30 * time.Second, []string{"stopped after 30s", `while program "hang" ran (1 of 1)`}},
		{"no boot", "true", 10 * time.Millisecond, []string{"stopped after 10ms before it had booted"}},
		{"panic", "echo c >/proc/sysrq-trigger", 0, []string{`ended while program "panic" ran (1 of 1)`, "Kernel panic - not syncing: sysrq triggered crash"}},
		{"power off", "poweroff -f", 0, []string{`ended while program "power off" ran (1 of 1)`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := Run(t.Context(), Config{
				Kernel: kernel, Timeout: c.timeout,
				Programs: []Program{{Name: c.name, Args: []string{"/bin/sh", "-c", c.program}}},
			})
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got the error %q, want one with %q", err, want)
				}
			}
			if took := time.Since(began); c.timeout > 0 && took > c.timeout+10*time.Second {
				t.Errorf("took %v, want little more than the time-out of %v", took, c.timeout)
			}
		})
	}
}

func TestDynamicBusyboxIsRefused(t *testing.T) {
	shell := testneed.Binary(t, "bash", "any program that is linked dynamically does")
	_, err := Run(t.Context(), Config{Kernel: "not reached", Busybox: shell})
	if err == nil || !strings.Contains(err.Error(), "linked dynamically") {
		t.Errorf("got the error %v, want one that says that %q is linked dynamically", err, shell)
	}
}

// TestArchive unpacks an archive with a program that did not write it.
func TestArchive(t *testing.T) {
	cpio := testneed.Binary(t, "cpio", "install cpio")
	host := filepath.Join(t.TempDir(), "host")
	if err := os.WriteFile(host, []byte("from the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	err := writeArchive(&archive, []File{
		{Path: "/a/b/four", Data: []byte("1234")}, {Path: "/a/empty"}, {Path: "/program", Mode: 0o755, Host: host},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), cpio, "--extract", "--quiet")
	cmd.Dir, cmd.Stdin = dir, &archive
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v\n%s", err, out)
	}
	for name, want := range map[string]string{"a/b/four": "1234", "a/empty": "", "program": "from the host"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q and the error %v, want %q", name, got, err, want)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "program"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("program: got %v and the error %v, want the mode 0755", info, err)
	}
}
