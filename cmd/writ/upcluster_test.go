// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUpCluster holds that writ up compiles for its cluster, and that a commit which no longer states the cluster is refused: what is in force
// stays.
func TestUpCluster(t *testing.T) {
	dir := t.TempDir()
	repo := filepath.Join(dir, "repo")
	commit := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(repo, "a.cue"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"add", "-A"}, {"-c", "user.name=Ann", "-c", "user.email=ann@example.com", "commit", "-q", "-m", "policy"}} {
			if out, err := exec.Command("git", append([]string{"-C", repo}, args...)...).CombinedOutput(); err != nil {
				t.Fatalf("git %v: %v\n%s", args, err, out)
			}
		}
	}
	if out, err := exec.Command("git", "init", "-q", "-b", "main", repo).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	const workload = "package policy\n\nworkload: w: {match: namespace: \"a\", exec: \"/bin/a\": {}}\n"
	commit(workload + "cluster: prod: mode: \"enforce\"\n")
	u := &runningUp{flags: upFlags{state: state{dir: filepath.Join(dir, "state")}, branch: "main", compile: compileFlags{cluster: "prod"}}}
	rec, err := u.newReconciler("file://" + repo)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	if o := rec.Once(t.Context()); o.Err != nil || rec.Last() == nil {
		t.Fatalf("the first commit: %+v", o)
	}
	p, err := rec.Last().Policy()
	if err != nil || p.Cluster != "prod" || p.Workloads[0].Closures[0].Mode != "enforce" {
		t.Fatalf("got %+v, %v; want the modes of prod", p, err)
	}
	commit(workload)
	for range 2 { // it is told each time
		o := rec.Once(t.Context())
		if o.Err == nil || !strings.Contains(o.Err.Error(), `is broken, `) || !strings.Contains(o.Err.Error(), `cluster "prod" is not stated: the policy states no cluster`) {
			t.Errorf("the second commit: %+v; want it refused", o)
		}
	}
	if again, err := rec.Last().Policy(); err != nil || again.Cluster != "prod" {
		t.Errorf("in force is %+v, %v; want what was", again, err)
	}
}
