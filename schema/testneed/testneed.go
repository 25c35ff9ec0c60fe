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

// tool is a program that make builds of a module below .ci, into a folder below .cache/tools that bears its version.
type tool struct {
	dir    string // below .ci, and the first part of the folder's name
	module string // whose version counts
	target string // of make
}

var cue = tool{dir: "cue", module: "cuelang.org/go", target: "cue"}

// servers are the programs of a Kubernetes cluster.
var servers = map[string]tool{
	"etcd":                    {dir: "etcd", module: "go.etcd.io/etcd/server/v3", target: "kube"},
	"kube-apiserver":          {dir: "kube", module: "k8s.io/kubernetes", target: "kube"},
	"kube-controller-manager": {dir: "kube", module: "k8s.io/kubernetes", target: "kube"},
	"gatekeeper":              {dir: "gatekeeper", module: "github.com/open-policy-agent/gatekeeper/v3", target: "kube"},
}

// Cue returns the path of the cue command that make cue builds, or skips the test. It is of the version in .ci/cue/go.mod; the one in PATH,
// if any, is not used.
func Cue(t testing.TB) string {
	t.Helper()
	return cue.path(t, "cue")
}

// Server returns the path of a program of a Kubernetes cluster that make kube builds, or skips the test: etcd, kube-apiserver,
// kube-controller-manager, or gatekeeper, beside which its gatekeeper.yaml lies.
func Server(t testing.TB, name string) string {
	t.Helper()
	server, ok := servers[name]
	if !ok {
		t.Fatalf("make kube builds no %q", name)
	}
	return server.path(t, name)
}

func (tool tool) path(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, ".ci", tool.dir, "go.mod"))
		if err != nil {
			continue
		}
		m := regexp.MustCompile(`(?m)^\s*(?:require )?` + regexp.QuoteMeta(tool.module) + ` (v\S+)`).FindSubmatch(mod)
		if m == nil {
			t.Fatalf("%s/.ci/%s/go.mod names no version of %s", dir, tool.dir, tool.module)
		}
		path := filepath.Join(dir, ".cache", "tools", tool.dir+"-"+string(m[1]), name)
		if _, err := os.Stat(path); err != nil {
			break
		}
		return path
	}
	Skip(t, "needs the program "+name+": run make "+tool.target)
	return ""
}
