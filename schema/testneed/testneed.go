// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package testneed states what a test needs of the machine it runs on. A need that is not met skips the test with the exact reason, or,
// when the environment variable WRIT_TEST_REQUIRE is "all", fails it: a continuous integration that skips proves nothing.
package testneed

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// Skip ends the test because the machine lacks something: as skipped, or as failed under WRIT_TEST_REQUIRE=all.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("WRIT_TEST_REQUIRE") == "all" {
		t.Fatalf("WRIT_TEST_REQUIRE=all: %s", reason)
	}
	t.Skip(reason)
}

// Root skips the test unless WRIT_TEST_ROOT is "1", which make test-root sets, and the process is root. Without the variable the
// test is not asked for, and its skip is never a failure.
func Root(t testing.TB) {
	t.Helper()
	if os.Getenv("WRIT_TEST_ROOT") != "1" {
		t.Skip("kernel tests run under make test-root (WRIT_TEST_ROOT=1)")
	}
	if os.Geteuid() != 0 {
		Skip(t, "needs root: run make test-root as root")
	}
}

// Soak skips the test unless WRIT_TEST_SOAK is "1", which make soak sets. The test is not asked for otherwise, and its skip is never a
// failure.
func Soak(t testing.TB) {
	t.Helper()
	if os.Getenv("WRIT_TEST_SOAK") != "1" {
		t.Skip("long tests run under make soak (WRIT_TEST_SOAK=1)")
	}
}

// Binary returns the path of a program, or skips the test.
func Binary(t testing.TB, name, howToGet string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Skip(t, "needs the program "+name+": "+howToGet)
	}
	return path
}

// cueVersion finds the version of the cue command in the module that it is built from.
var cueVersion = regexp.MustCompile(`(?m)^\s*cuelang\.org/go (v\S+)`)

// Cue returns the path of the cue command that make cue builds, or skips the test. It is of the version in .ci/cue/go.mod; the one in PATH,
// if any, is not used.
func Cue(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, ".ci", "cue", "go.mod"))
		if err != nil {
			continue
		}
		m := cueVersion.FindSubmatch(mod)
		if m == nil {
			t.Fatalf("%s/.ci/cue/go.mod names no version of cuelang.org/go", dir)
		}
		path := filepath.Join(dir, ".cache", "tools", "cue-"+string(m[1]), "cue")
		if _, err := os.Stat(path); err != nil {
			break
		}
		return path
	}
	Skip(t, "needs the cue command: run make cue")
	return ""
}
