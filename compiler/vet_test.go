// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/writ-sec/writ/compiler/treegen"
	"github.com/writ-sec/writ/schema/bundle"
)

// said is what a compiler says of files in and below a folder.
func said(t *testing.T, dir string, res *Result, err error) string {
	t.Helper()
	var errs Errors
	if err != nil && !errors.As(err, &errs) {
		t.Fatal(err)
	}
	ds := []Diagnostic(errs)
	if res != nil {
		ds = res.Warnings
	}
	ds = slices.DeleteFunc(slices.Clone(ds), func(d Diagnostic) bool { return d.Code == codeUnused || !isWithin(folderOf(d.Pos.File), dir) })
	return lines(ds)
}

// TestVet holds what vetting a folder says to what compiling the whole says of it, for each folder of each archive: with nothing kept, with
// everything kept, and after the folder was edited.
func TestVet(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tree := archiveTree(a)
		folders, errs := load(tree)
		if len(errs) > 0 {
			continue // of the files themselves, which has nothing to do with folders
		}
		kept := New(Config{})
		whole, wholeErr := kept.Compile(t.Context(), tree, bundle.Envelope{})
		for _, f := range folders {
			if f.dir == "." {
				continue
			}
			want := said(t, f.dir, whole, wholeErr)
			for how, c := range map[string]*Compiler{"nothing kept": New(Config{}), "everything kept": kept} {
				res, err := c.Vet(context.Background(), tree, f.dir)
				if wholeErr != nil && err == nil { // what is wrong lies elsewhere, and there was no warning
					continue
				}
				if got := said(t, f.dir, res, err); got != want {
					t.Errorf("%s, %s, %s: got\n%swant\n%s", name, f.dir, how, got, want)
				}
				compared++
			}
		}
	}
	if compared < 60 {
		t.Errorf("compared %d; want more", compared)
	}
}

// TestGeneratedTree holds that a generated repository, which the benchmarks measure, has neither an error nor a warning, and needs CUE in places.
func TestGeneratedTree(t *testing.T) {
	var tree Tree
	for name, data := range treegen.Tree(treegen.Config{Folders: 30, Each: 20, Root: 5}) {
		tree.Files = append(tree.Files, File{Path: name, Data: data})
	}
	res, err := compileTree(t, tree)
	if err != nil || len(res.Warnings) > 0 || res.Workloads != 605 {
		t.Fatalf("%+v, %v", res, err)
	}
}

// TestVetReadsLittle holds that folders that have nothing to do with one are known by their briefs alone, and that those that have are read.
func TestVetReadsLittle(t *testing.T) {
	files := sampleRepository(8, 3)
	files["w3/w.cue"] = strings.Replace(files["w3/w.cue"], "\timage:", "\tegress: x: {workload: \"w5\", port: 1}\n\timage:", 1)
	c := New(Config{})
	if _, err := c.Compile(t.Context(), treeOf(files), bundle.Envelope{}); err != nil {
		t.Fatal(err)
	}
	files["w3/w.cue"] += "// edited\n"
	tree := treeOf(files)
	r := &run{Compiler: c, tree: tree, within: "w3", parsed: map[*source]*parsed{}}
	defer r.evaluators.close()
	if res, err := r.vet(t.Context()); err != nil || res.Workloads != 1 || res.Evaluated != 1 {
		t.Fatalf("vet = %+v, %v", res, err)
	}
	var brief []string
	for _, b := range r.briefed {
		brief = append(brief, b.dir)
	}
	if want := []string{"w0", "w1", "w2", "w4", "w6", "w7"}; !slices.Equal(brief, want) {
		t.Errorf("known by their briefs are %v; want %v", brief, want)
	}
	files["w3/w.cue"] = strings.Replace(files["w3/w.cue"], "namespace: \"ns3\"", "namespace: \"ns6\"", 1)
	files["w3/w.cue"] = strings.Replace(files["w3/w.cue"], "app: \"w3\"", "app: \"w6\"", 1)
	if _, err := c.Vet(t.Context(), treeOf(files), "w3"); err != nil { // the later of two that overlap is the one to change
		t.Errorf("w3: %v", err)
	}
	if _, err := c.Vet(t.Context(), treeOf(files), "w6"); err == nil || !strings.Contains(err.Error(), "selects the same containers as workload w3") {
		t.Errorf("w6: %v; want an overlap with w3", err)
	}
}
