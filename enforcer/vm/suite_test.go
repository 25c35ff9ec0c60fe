// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"fmt"
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

// suiteTimeout bounds the tests of one package in a guest, which is about ten times slower than its host, and runs with -test.short for that.
const suiteTimeout = 15 * time.Minute

// TestGuestKernels runs the root tests of the kernel backends on every kernel, in one boot each. A test of the guest comes out as a
// subtest, so a skip there is a skip here and counts as one.
func TestGuestKernels(t *testing.T) {
	found := kernels(t)
	suites, run := strings.Fields(os.Getenv("WRIT_VM_SUITES")), os.Getenv("WRIT_VM_RUN")
	if len(suites) == 0 || run == "" {
		t.Fatal("WRIT_VM_SUITES and WRIT_VM_RUN must name the packages and the tests, as make test-vm does")
	}
	files, programs := buildSuites(t, suites, run)
	for _, version := range slices.Sorted(maps.Keys(found)) {
		t.Run(version, func(t *testing.T) {
			began := time.Now()
			var results report
			result, err := Run(t.Context(), Config{
				Kernel: found[version], Files: files, Programs: programs,
				Timeout: time.Duration(len(programs))*suiteTimeout + time.Minute,
				Output: func(line string) {
					fmt.Printf("%s| %s\n", version, line)
					results.line(line)
				},
				Console: func(line string) { fmt.Printf("%s console| %s\n", version, line) },
			})
			results.replay(t)
			if err != nil {
				t.Fatal(err)
			}
			for i, exit := range result.Exits {
				t.Logf("%s on %s: status %d in %v", exit.Name, result.Release, exit.Status, exit.Took.Round(time.Millisecond))
				if exit.Status != 0 {
					t.Errorf("%s on %s: got status %d, want 0", programs[i].Name, result.Release, exit.Status)
				}
			}
			t.Logf("%s: booted in %v, all in %v", result.Release, result.Boot.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		})
	}
}

// buildSuites builds the test binaries and what they run, all static, and says where they lie in the guest.
func buildSuites(t *testing.T, suites []string, run string) ([]File, []Program) {
	t.Helper()
	busybox := testneed.Binary(t, "busybox", "install busybox-static")
	dir := t.TempDir()
	files := []File{ // programs with files of their own, for tests that run or copy one
		{Path: "/test/bin/true", Mode: 0o755, Host: busybox},
		{Path: "/test/bin/false", Mode: 0o755, Host: busybox},
	}
	env := []string{"WRIT_TEST_ROOT=1", "WRIT_TEST_REQUIRE=" + os.Getenv("WRIT_TEST_REQUIRE"), "WRIT_TEST_BIN_DIR=/test/bin"}
	if slices.Contains(suites, "enforcer/node") {
		node := filepath.Join(dir, "writ-node")
		build(t, "build", "-o", node, "./cmd/writ-node")
		files = append(files, File{Path: "/bin/writ-node", Mode: 0o755, Host: node})
		env = append(env, "WRIT_NODE_BIN=/bin/writ-node")
	}
	var programs []Program
	for _, suite := range suites {
		binary := filepath.Join(dir, filepath.Base(suite)+".test")
		build(t, "test", "-c", "-o", binary, "./"+suite)
		home := "/test/" + suite
		data, err := HostFolder(filepath.Join(module, suite, "testdata"), home+"/testdata")
		if err != nil {
			t.Fatal(err)
		}
		files = append(append(files, data...), File{Path: home + "/suite.test", Mode: 0o755, Host: binary})
		programs = append(programs, Program{
			Name: suite, Dir: home, Env: env,
			Args: []string{"./suite.test", "-test.v", "-test.short", "-test.run=" + run, "-test.timeout=" + suiteTimeout.String()},
		})
	}
	return files, programs
}

// module is the root of the module as seen from this package's folder, where go test runs.
const module = "../.."

func build(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{args[0], "-trimpath"}, args[1:]...)...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
