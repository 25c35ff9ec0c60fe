// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindCgroupRoot(t *testing.T) {
	const v1 = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
	tests := []struct{ name, mounts, want, err string }{
		{"unified", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup", ""},
		{"hybrid", v1 + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 master:1 - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/unified", ""},
		{"the shortest of several", "1 2 0:3 / /mnt/long/cg rw - cgroup2 x rw\n1 2 0:3 / /cg rw - cgroup2 x rw\n", "/cg", ""},
		{"a part of it does not count", "1 2 0:3 /pods /cg rw - cgroup2 x rw\n", "", "no cgroup2 hierarchy"},
		{"a space in the name", `1 2 0:3 / /my\040cg rw - cgroup2 x rw` + "\n", "/my cg", ""},
		{"version 1 only", v1, "", "mount -t cgroup2"},
		{"nothing", "", "", "--cgroup-root"},
		{"not mountinfo", "hello\n", "", "proc_pid_mountinfo(5)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := FindCgroupRoot(strings.NewReader(tt.mounts))
			if got != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %q, %v; want %q, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestCheckCgroupRoot(t *testing.T) {
	for dir, want := range map[string]string{
		t.TempDir():                          "not on a cgroup2 file system",
		filepath.Join(t.TempDir(), "absent"): "no such file",
	} {
		if err := checkCgroupRoot(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", dir, err, want)
		}
	}
}

func TestPreparePinDirRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(full+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		"relative":     "not an absolute",
		"/":            "not an absolute",
		"/tmp/../x":    "not an absolute",
		full:           "not empty",
		full + "/file": "not on a bpffs",
	} {
		if _, err := preparePinDir(dir); err == nil || !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "not a directory") {
			t.Errorf("%s: %v, want %q", dir, err, want)
		}
	}
}
