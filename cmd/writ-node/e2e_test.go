// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema/testneed"
)

// TestE2EBadHost runs the program on hosts that lack something. Each is this host with a part of it hidden in a mount namespace of the
// test's own. The program says what is missing and what to do, exits with 2, and leaves no pins.
func TestE2EBadHost(t *testing.T) {
	testneed.Root(t)
	unshare := testneed.Binary(t, "unshare", "install util-linux")
	dir, err := os.MkdirTemp("", "writ-e2e-host-") // t.TempDir would be closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(dir, "writ-node")
	build := exec.Command("go", "build", "-o", node, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	pins := filepath.Join(dir, "pins")
	run := node + " run --socket " + filepath.Join(dir, "s") + " --state " + filepath.Join(dir, "state") + " --pin-dir " + pins
	const noCgroup2 = `for d in $(awk '$3 == "cgroup2" {print $2}' /proc/mounts); do umount -l "$d"; done; `
	for _, c := range []struct {
		name, script string
		want         []string
	}{
		{"no BTF", "mount -t tmpfs none /sys/kernel/btf; " + run, []string{"/sys/kernel/btf/vmlinux does not exist", "CONFIG_DEBUG_INFO_BTF=y"}},
		{"no BTF, probed", "mount -t tmpfs none /sys/kernel/btf; " + node + " probe", []string{"backend  none", "CONFIG_DEBUG_INFO_BTF=y"}},
		{"no cgroup2", noCgroup2 + run, []string{"no cgroup2 hierarchy is mounted", "mount -t cgroup2"}},
		{"no privileges", "exec setpriv --reuid 65534 --regid 65534 --clear-groups " + node + " run --socket /tmp/writ-nobody.sock --state " + dir, []string{"root"}},
		{"no privileges, probed", "exec setpriv --reuid 65534 --regid 65534 --clear-groups " + node + " probe", []string{"run it as root"}},
		{"no bpffs", "mkdir -p " + pins + " && touch " + pins + "/mine; " + run, []string{"is not on a bpffs and is not empty"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantRefusal(t, exec.Command(unshare, "--mount", "sh", "-c", c.script), c.want) })
		_ = os.RemoveAll(pins)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, exec.Command(node, "run", "--socket", filepath.Join(dir, "s"), "--state", dir, "--pin-dir", pins), []string{"nobody else can write", "0777"})
	if probe, err := exec.Command(node, "probe", "--backend", "lsm").CombinedOutput(); err == nil {
		t.Logf("this kernel runs BPF LSM programs, so a kernel without is not to be had here:\n%s", probe)
		return
	}
	wantRefusal(t, exec.Command(node, strings.Fields(run + " --backend lsm")[1:]...), []string{"no backend loads", "CONFIG_BPF_LSM"})
}

func wantRefusal(t *testing.T, cmd *exec.Cmd, want []string) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Fatalf("ended with %v; want exit code 2\n%s", err, out)
	}
	for _, w := range want {
		if !strings.Contains(string(out), w) {
			t.Errorf("it does not say %q:\n%s", w, out)
		}
	}
}
