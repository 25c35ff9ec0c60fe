// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package examples

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
	"github.com/writ-sec/writ/schema/testneed"
)

// now is the instant as of which examples are looked at: no date in them is past or near.
var now = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// names are the examples.
func names(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		if e.IsDir() {
			all = append(all, e.Name())
		}
	}
	if len(all) < 2 {
		t.Fatalf("the examples are %q", all)
	}
	return all
}

// treeOf returns the files of an example that policy is read from.
func treeOf(t *testing.T, name string) compiler.Tree {
	t.Helper()
	var tree compiler.Tree
	err := fs.WalkDir(FS, name, func(file string, d fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(file, name+"/")
		if err != nil || d.IsDir() || !compiler.Reads(rel, 0) {
			return err
		}
		data, err := FS.ReadFile(file)
		tree.Files = append(tree.Files, compiler.File{Path: rel, Data: data})
		return err
	})
	if err != nil || len(tree.Files) < 2 {
		t.Fatalf("example %s has %d files, %v", name, len(tree.Files), err)
	}
	return tree
}

// compile compiles an example, for a cluster or for none. There must be no error and no warning.
func compile(t *testing.T, name, cluster string) *schema.Policy {
	t.Helper()
	res, err := compiler.New(compiler.Config{Now: now, Cluster: cluster}).Compile(t.Context(), treeOf(t, name), bundle.Envelope{})
	if err != nil {
		t.Fatalf("%s does not compile: %v", name, err)
	}
	for _, w := range res.Warnings {
		t.Errorf("%s: warning: %s", name, w)
	}
	p, err := res.Policy()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestCompile compiles each example and runs the tests that it states.
func TestCompile(t *testing.T) {
	for _, name := range names(t) {
		p := compile(t, name, "")
		for _, r := range compiler.RunTests(p, now) {
			if !r.Passed {
				t.Errorf("%s: test %q: %s", name, r.Name, r.Problem)
			}
		}
	}
}

// TestForm holds the files to the form of writ fmt, and to be all embedded.
func TestForm(t *testing.T) {
	for _, name := range names(t) {
		err := filepath.WalkDir(name, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if embedded, err := FS.ReadFile(filepath.ToSlash(file)); err != nil || !bytes.Equal(embedded, data) {
				t.Errorf("%s is not embedded: %v", file, err)
			}
			if path.Ext(file) != ".cue" || strings.Contains(file, "cue.mod") {
				return nil
			}
			formatted, err := compiler.Format(file, data)
			if err != nil || !bytes.Equal(formatted, data) {
				t.Errorf("%s is not formatted, %v; run: writ fmt examples", file, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestVendored holds what the examples vendor to what writ vendor writes.
func TestVendored(t *testing.T) {
	for _, name := range names(t) {
		for file, data := range compiler.Vendor() {
			if got, err := os.ReadFile(filepath.Join(name, file)); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s/%s differs from what writ vendor writes, %v; run: writ vendor examples/%s", name, file, err, name)
			}
		}
	}
}

// TestCue holds the examples to CUE's own command, without writ.
func TestCue(t *testing.T) {
	for _, name := range names(t) {
		cmd := exec.CommandContext(t.Context(), testneed.Cue(t), "vet", "-c", "./...")
		cmd.Dir = name
		cmd.Env = append(os.Environ(), "CUE_CACHE_DIR="+t.TempDir(), "CUE_REGISTRY=none")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: cue vet: %v\n%s", name, err, out)
		}
	}
}

// TestShopIsWhole holds that the shop shows every plane and every kind, each in use.
func TestShopIsWhole(t *testing.T) {
	p := compile(t, "shop", "")
	planes, peers := map[schema.Plane]bool{}, map[string]bool{}
	for _, w := range p.Workloads {
		for _, r := range w.Rules {
			planes[r.Plane] = true
			if r.Peer == nil {
				continue
			}
			for kind, set := range map[string]bool{
				"workload": r.Peer.Workload != "", "namespace": r.Peer.Namespace != "", "cidr": r.Peer.CIDR != "", "dns": r.Peer.DNS != "",
				"http": len(r.HTTP) > 0, "grpc": len(r.GRPC) > 0,
			} {
				peers[kind] = peers[kind] || set
			}
		}
	}
	for _, plane := range schema.Planes {
		if !planes[plane] {
			t.Errorf("the shop has no rule on the plane %s", plane)
		}
	}
	for _, kind := range []string{"workload", "namespace", "cidr", "dns", "http", "grpc"} {
		if !peers[kind] {
			t.Errorf("the shop has no rule with %s", kind)
		}
	}
	for kind, n := range map[string]int{
		"folder": len(p.Folders), "bound": len(p.Bounds), "gate": len(p.Gates), "exception": len(p.Exceptions), "signer": len(p.Signers),
		"registry": len(p.Registries), "response": len(p.Responses), "notify": len(p.Notify), "benchmark": len(p.Benchmarks),
		"check": len(p.Checks), "cluster": len(p.Clusters), "test": len(p.Tests),
	} {
		if n == 0 {
			t.Errorf("the shop states no %s", kind)
		}
	}
}

// TestShopClusters holds that the clusters of the shop differ in modes alone.
func TestShopClusters(t *testing.T) {
	none, staging, prod := compile(t, "shop", ""), compile(t, "shop", "staging"), compile(t, "shop", "prod")
	for i, w := range none.Workloads {
		if s := staging.Workloads[i]; s.Name != w.Name || len(s.Rules) != len(w.Rules) || len(s.Closures) != len(w.Closures) {
			t.Fatalf("staging has workload %+v, where it is %+v without a cluster", s, w)
		}
		for j, c := range w.Closures {
			if got := prod.Workloads[i].Closures[j]; got.Mode != c.Mode || got.Then != c.Then {
				t.Errorf("prod: workload %s is in mode %s on %s; want %s", w.Name, got.Mode, c.Plane, c.Mode)
			}
			want := schema.ModeAudit
			if w.Name == "ledger" {
				want = schema.ModeLearn
			}
			if got := staging.Workloads[i].Closures[j]; got.Mode != want || got.Then != "" {
				t.Errorf("staging: workload %s is in mode %s on %s; want %s", w.Name, got.Mode, c.Plane, want)
			}
		}
	}
}

// TestBroken holds that the tests of an example can fail: without its bounds, the shop's tests say so.
func TestBroken(t *testing.T) {
	p := compile(t, "shop", "")
	p.Bounds = nil
	failed := slices.DeleteFunc(compiler.RunTests(p, now), func(r compiler.TestResult) bool { return r.Passed })
	if len(failed) == 0 {
		t.Error("without its bounds the shop passes its tests")
	}
	tree := treeOf(t, "shop")
	tree.Files = slices.DeleteFunc(tree.Files, func(f compiler.File) bool { return f.Path == "bounds.cue" })
	var errs compiler.Errors
	if _, err := compiler.New(compiler.Config{}).Compile(t.Context(), tree, bundle.Envelope{}); !errors.As(err, &errs) {
		t.Errorf("without its bounds the shop compiles: %v", err)
	}
}
