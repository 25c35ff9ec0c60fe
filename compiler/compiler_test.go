// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

func treeOf(files map[string]string) Tree {
	var t Tree
	for _, name := range slices.Sorted(maps.Keys(files)) {
		t.Files = append(t.Files, File{Path: name, Data: []byte(files[name])})
	}
	return t
}

// outcome is everything that Compile says, in one string.
func outcome(t testing.TB, c *Compiler, tree Tree) string {
	t.Helper()
	res, err := c.Compile(context.Background(), tree, bundle.Envelope{})
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	b.Write(res.Bundle.EncodeManifest())
	for _, d := range res.Warnings {
		b.WriteString(d.String() + "\n")
	}
	data, err := json.Marshal(policyOf(t, res))
	if err != nil {
		t.Fatal(err)
	}
	return b.String() + string(data)
}

// policyOf lowers a result whole.
func policyOf(t testing.TB, res *Result) *schema.Policy {
	t.Helper()
	p, err := res.Policy()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func archives(t testing.TB) map[string]Tree {
	t.Helper()
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("archives: %v, %v", names, err)
	}
	trees := map[string]Tree{}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		trees[name] = archiveTree(a)
	}
	return trees
}

// TestDeterministic compiles each archive again with the files in another order, by other numbers of workers, and from another folder.
func TestDeterministic(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, tree := range archives(t) {
		want := outcome(t, New(Config{Parallel: 1}), tree)
		for range 3 {
			r.Shuffle(len(tree.Files), func(i, j int) { tree.Files[i], tree.Files[j] = tree.Files[j], tree.Files[i] })
			if got := outcome(t, New(Config{Parallel: 3}), tree); got != want {
				t.Errorf("%s: another order gives\n%s\nwant\n%s", name, got, want)
			}
		}
		read, err := ReadDir(writeTree(t, tree), "")
		if err != nil {
			t.Fatal(err)
		}
		if got := outcome(t, New(Config{}), read); got != want {
			t.Errorf("%s: another folder gives\n%s\nwant\n%s", name, got, want)
		}
	}
}

func writeTree(t testing.TB, tree Tree) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "policy")
	for _, f := range tree.Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// withoutPositions is what a policy means.
func withoutPositions(p *schema.Policy) string {
	var b strings.Builder
	for _, w := range p.Workloads {
		w.Pos, w.Closures, w.Rules = nil, slices.Clone(w.Closures), slices.Clone(w.Rules)
		for i := range w.Closures {
			w.Closures[i].Pos = nil
		}
		for i := range w.Rules {
			w.Rules[i].Pos = nil
		}
		fmt.Fprintf(&b, "%+v\n", w)
	}
	return b.String()
}

// TestMoveFile moves each file that states workloads of its own to other folders.
func TestMoveFile(t *testing.T) {
	files := sampleRepository(6, 4)
	files["w0/more/more.cue"] = "package policy\n\nworkload: w0: exec: \"/bin/more\": {why: \"more\"}\n"
	res, err := compileTree(t, treeOf(files))
	if err != nil {
		t.Fatal(err)
	}
	want := withoutPositions(policyOf(t, res))
	for i := range 6 {
		for _, to := range []string{".", "a/b", "w0"} {
			from := fmt.Sprintf("w%d/w.cue", i)
			moved := maps.Clone(files)
			delete(moved, from)
			moved[path.Join(to, fmt.Sprintf("moved%d.cue", i))] = files[from]
			if i == 0 && to == "a/b" { // what adds to it must stay below it
				moved["a/b/more/more.cue"] = moved["w0/more/more.cue"]
				delete(moved, "w0/more/more.cue")
			}
			res, err := compileTree(t, treeOf(moved))
			if err != nil {
				t.Fatalf("%s to %s: %v", from, to, err)
			}
			if got := withoutPositions(policyOf(t, res)); got != want {
				t.Errorf("%s to %s gives\n%s\nwant\n%s", from, to, got, want)
			}
		}
	}
}

// TestIncremental edits a repository step by step: a compiler that remembers must say what a new one says.
func TestIncremental(t *testing.T) {
	files := sampleRepository(8, 3)
	c := New(Config{})
	type step struct {
		name, content string // content "": removed
		evaluated     int    // -1: not asked
	}
	leaf := files["w3/w.cue"]
	for i, s := range []step{
		{"README.cue", "package policy\n", -1},
		{"w3/w.cue", strings.ReplaceAll(leaf, "/bin/p0", "/bin/q0"), 1},
		{"w3/w.cue", strings.ReplaceAll(leaf, "mode:", "mood:"), 1},
		{"w3/w.cue", leaf + "\n", 1},
		{"w3/w.cue", "package policy {", 1},
		{"w3/w.cue", leaf, 1},
		{"w4/w.cue", "", 0},
		{"w3/below/x.cue", "package policy\n\nworkload: w3: exec: \"/bin/x\": {}\n", 1},
		{"x.cue", "package policy\n\nworkload: w3: exec: \"/bin/y\": {}\n", -1},
		{"x.cue", "", -1},
		{"w5/w.cue", files["w6/w.cue"], 1},
	} {
		if s.content == "" {
			delete(files, s.name)
		} else {
			files[s.name] = s.content
		}
		tree := treeOf(files)
		res, err := c.Compile(t.Context(), tree, bundle.Envelope{})
		if err == nil && s.evaluated >= 0 && res.Evaluated != s.evaluated {
			t.Errorf("step %d: %d folders evaluated; want %d", i, res.Evaluated, s.evaluated)
		}
		if got, want := outcome(t, c, tree), outcome(t, New(Config{}), tree); got != want {
			t.Errorf("step %d: a compiler that remembers says\n%s\nwant\n%s", i, got, want)
		}
	}
}

// TestPrune holds the evaluation without the workloads of the folders above against the one with them: an alias, which changes nothing,
// makes a file one that is not pruned. A comprehension makes CUE evaluate at all.
func TestPrune(t *testing.T) {
	root := rootFile + `
workload: {a: {match: namespace: "a", exec: "/bin/a": {}}, b: {match: namespace: "b", open: true, exec: "/bin/b": {}}, "c-c": match: namespace: "c"}
workload: d: match: namespace: "d"
workload: d: open: true
workload: d: exec: {
	"/bin/d": {} // a comment
}
workload: e: {match: namespace: "e", exec: "/bin/e": {}}, _h: "h"
`
	leaf := "package policy\n\nworkload: b: exec: \"/bin/leaf\": {why: \"\\(_h)\"}\nworkload: d: exec: {if true {\"/bin/leaf\": {}}}\n"
	pruned := map[string]string{"writ.cue": root, "x/x.cue": leaf}
	whole := map[string]string{"writ.cue": root + "_z: {v=\"w\": 1, u: v}\n", "x/x.cue": leaf}
	folders, errs := load(treeOf(pruned))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	reader := func(files ...*parsed) *folderReader {
		return &folderReader{folder: folders[1], seen: files, ownFiles: files[1:], lits: newLiterals(files)}
	}
	p, own := parseFile(folders[0].own[0]), parseFile(folders[1].own[0])
	r := reader(p, own)
	_, declined := r.literal()
	text := string(r.texts(declined)[0].Data)
	if len(declined) != 2 || strings.Contains(text, "/bin/a") || strings.Contains(text, "/bin/e") || !strings.Contains(text, "/bin/b") || len(text) != len(root) {
		t.Fatalf("declined %v; pruned:\n%s", declined, text)
	}
	a, err := compileTree(t, treeOf(pruned))
	if err != nil {
		t.Fatal(err)
	}
	b, err := compileTree(t, treeOf(whole))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(policyOf(t, a)), fmt.Sprint(policyOf(t, b)); got != want {
		t.Errorf("pruned\n%s\nwhole\n%s", got, want)
	}
	for _, referring := range []string{"_r: workload.a.exec\n", "workload: {z: exec: y.exec, y: {}}\n"} {
		if reader(parseFile(&source{path: "r.cue", data: []byte("package policy\n" + referring)}), own).prunable() {
			t.Errorf("%q: prunable; want not", referring)
		}
	}
}

// TestTrees has the bad trees that an archive cannot hold.
func TestTrees(t *testing.T) {
	good := File{Path: "a.cue", Data: []byte("package policy\n")}
	deep := "package policy\n\n_a: " + strings.Repeat("{a: ", 3000) + "1" + strings.Repeat("}", 3000)
	for name, c := range map[string]struct {
		files []File
		want  string
	}{
		"nothing":        {nil, "repository: holds no policy"},
		"only others":    {[]File{{Path: "README.md"}}, "holds no policy"},
		"symlink":        {[]File{good, {Path: "b.cue", Mode: fs.ModeSymlink}}, "b.cue: is a symbolic link; want a regular file"},
		"symlink folder": {[]File{good, {Path: "b", Data: []byte("/etc"), Mode: fs.ModeSymlink}}, "b: is a symbolic link"},
		"pipe":           {[]File{good, {Path: "b.cue", Mode: fs.ModeNamedPipe}}, "b.cue: is a named pipe"},
		"not UTF-8":      {[]File{{Path: "a.cue", Data: []byte("package policy\n// \xff\n")}}, "a.cue:2:4: is not UTF-8"},
		"large":          {[]File{{Path: "a.cue", Data: make([]byte, MaxFile+1)}}, "a.cue: has more than 4194304 bytes"},
		"twice":          {[]File{good, good}, "a.cue: is given twice"},
		"climbing":       {[]File{good, {Path: "x/../b.cue"}}, "want a clean, relative"},
		"absolute":       {[]File{good, {Path: "/b.cue"}}, "want a clean, relative"},
		"backslash":      {[]File{good, {Path: `b\c.cue`}}, "want a clean, relative"},
		"deep":           {[]File{{Path: "a.cue", Data: []byte(deep)}}, "is nested deeper than 500 levels"},
		"deeper": {[]File{{Path: "a.cue", Data: []byte("package policy\n_a: " + strings.Repeat("[", 1<<20))}},
			"nests more than 10000 tokens"},
		"long chain":     {[]File{{Path: "a.cue", Data: []byte("package policy\n" + strings.Repeat("a: ", 1<<20) + "1")}}, "nests more than 10000 tokens"},
		"long sum":       {[]File{{Path: "a.cue", Data: []byte("package policy\n_a: 1" + strings.Repeat("+1", 1<<20))}}, "nests more than 10000 tokens"},
		"shorter chain":  {[]File{{Path: "a.cue", Data: []byte("package policy\n" + strings.Repeat("a:", 30_000) + "1")}}, "nested deeper"},
		"shorter sum":    {[]File{{Path: "a.cue", Data: []byte("package policy\n_a: 1" + strings.Repeat("+1", 30_000))}}, "nested deeper"},
		"interpolations": {[]File{{Path: "a.cue", Data: []byte("package policy\n" + strings.Repeat("_a: \"\\(1)\"\n", 8000))}}, "has an interpolation in a file of more than"},
	} {
		_, err := compileTree(t, Tree{Files: c.files})
		var errs Errors
		if !errors.As(err, &errs) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %.500v; want %q", name, err, c.want)
		}
	}
	many := Tree{Files: make([]File, MaxFiles+1)}
	for i := range many.Files {
		many.Files[i] = File{Path: fmt.Sprintf("f%d.cue", i)}
	}
	if _, err := compileTree(t, many); err == nil || !strings.Contains(err.Error(), "holds more than 100000 files") {
		t.Errorf("too many files: %.200v", err)
	}
}

func TestReadDir(t *testing.T) {
	dir := writeTree(t, treeOf(map[string]string{"a.cue": "package policy\n", "b/c.cue": "package policy\n", "README.md": "no",
		".git/x.cue": "no", "_x/y.cue": "no", "cue.mod/module.cue": "m"}))
	if err := os.Symlink("a.cue", filepath.Join(dir, "b", "link")); err != nil {
		t.Fatal(err)
	}
	tree, err := ReadDir(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range tree.Files {
		got = append(got, f.Path)
	}
	if want := []string{"a.cue", "b/c.cue", "b/link", "cue.mod/module.cue"}; !slices.Equal(got, want) {
		t.Errorf("ReadDir read %v; want %v", got, want)
	}
	if _, err := ReadDir(filepath.Join(dir, "missing"), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that does not exist: %v", err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := New(Config{}).Compile(ctx, treeOf(sampleRepository(3, 3)), bundle.Envelope{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Compile = %v; want context.Canceled", err)
	}
}

// TestStarter holds what init writes to what it promises, and the vendored schemas to the embedded one.
func TestStarter(t *testing.T) {
	files := map[string]string{}
	for name, data := range Init() {
		files[name] = string(data)
	}
	res, err := compileTree(t, treeOf(files))
	if err != nil || len(res.Warnings) > 0 || res.Workloads != 1 {
		t.Fatalf("Init compiles to %v, %v", res, err)
	}
	tree, err := ReadDir("../examples/payments", "")
	if err != nil {
		t.Fatal(err)
	}
	if res, err = compileTree(t, tree); err != nil || len(res.Warnings) > 0 || res.Workloads != 2 {
		t.Fatalf("examples/payments compiles to %v, %v", res, err)
	}
	for name, data := range Vendor() {
		if got, err := os.ReadFile(filepath.Join("../examples/payments", name)); err != nil || string(got) != string(data) {
			t.Errorf("examples/payments/%s differs from the embedded schema, %v; copy it", name, err)
		}
	}
}

// TestShape reads the whole schema: a construct that shapes do not know panics.
func TestShape(t *testing.T) {
	s := shapeOf(kinds[0]).structs[0]
	if !s.fields["match"].required || s.fields["exec"].shape.structs[0].any.structs[0].fields["why"].shape.want() != "a string" {
		t.Errorf("the shape of #Workload is %+v", s)
	}
	for _, k := range kinds {
		if len(shapeOf(k).structs) != 1 {
			t.Errorf("the shape of %s is %+v", k.name, shapeOf(k))
		}
	}
}

// sampleRepository has a root file and n folders of one workload with some rules.
func sampleRepository(n, rules int) map[string]string {
	files := map[string]string{"writ.cue": rootFile}
	for i := range n {
		var b strings.Builder
		fmt.Fprintf(&b, "package policy\n\nworkload: w%d: {\n\tmatch: {namespace: \"ns%d\", labels: app: \"w%d\"}\n\tmode: \"enforce\"\n\topen: true\n", i, i, i)
		fmt.Fprintf(&b, "\timage: from: \"registry.example.com/w%d/*\": {}\n\texec: {\n", i)
		for j := range rules {
			fmt.Fprintf(&b, "\t\t\"/bin/p%d\": {why: \"reason %d\", parent: \"/bin/sh\": {}}\n", j, j)
		}
		b.WriteString("\t}\n}\n")
		files[fmt.Sprintf("w%d/w.cue", i)] = b.String()
	}
	return files
}

// TestCollision makes two rules of one ID, which no hash will do for us.
func TestCollision(t *testing.T) {
	ids := func(all ...uint64) (b []byte) {
		for _, id := range all {
			b = binary.BigEndian.AppendUint64(b, id)
		}
		return b
	}
	errs := claimIDs(&gathered{groups: []*group{{
		heads: []*head{{name: "v", pos: []schema.Pos{{File: "a.cue", Line: 1, Col: 1}}}, {name: "w", pos: []schema.Pos{{File: "a.cue", Line: 2, Col: 1}}}},
		made:  &product{Workloads: []made{{Name: "v", IDs: ids(7, 8, 15)}, {Name: "w", IDs: ids(1, 7)}}},
	}}})
	want := `a.cue:2:1: workload w: a rule has the same ID 0000000000000007 as one of workload v; want another name for one of them`
	if len(errs) != 1 || errs[0].String() != want {
		t.Errorf("errors %v; want %s", errs, want)
	}
}

// FuzzCompile feeds any two files to the compiler, one at the root and one below. It must neither panic nor run on, and say the same twice: from
// what it remembers and with nothing remembered, whatever the order of the files.
func FuzzCompile(f *testing.F) {
	for _, tree := range archives(f) {
		for i := range tree.Files {
			f.Add(tree.Files[i].Data, tree.Files[len(tree.Files)-1-i].Data)
		}
	}
	f.Fuzz(func(t *testing.T, root, below []byte) {
		if len(root)+len(below) > 4096 {
			t.Skip("CUE itself takes long on large inputs of random constructs")
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		tree := Tree{Files: []File{{Path: "writ.cue", Data: root}, {Path: "a/b.cue", Data: below}}}
		c := New(Config{Parallel: 1})
		res, err := c.Compile(ctx, tree, bundle.Envelope{})
		var errs Errors
		if err == nil || errors.As(err, &errs) && !strings.Contains(err.Error(), errLimit.Error()) {
			want := outcome(t, c, tree)
			if got := outcome(t, New(Config{Parallel: 2}), Tree{Files: []File{tree.Files[1], tree.Files[0]}}); got != want {
				t.Fatalf("compiled twice:\n%s\nand\n%s", got, want)
			}
		}
		switch {
		case err == nil && res.Bundle == nil, err != nil && res != nil:
			t.Fatalf("Compile = %v, %v", res, err)
		case errors.As(err, &errs):
			for _, d := range errs {
				if d.Msg == "" || strings.Contains(d.String(), "\x00") || d.Pos.File == "" && d.Path != "repository" {
					t.Fatalf("error without a place or text: %+v", d)
				}
				if strings.Contains(d.Msg, "evaluator failed") {
					t.Logf("CUE panicked: %s", d)
				}
			}
		}
	})
}

// BenchmarkCompileCold100x50 compiles 100 workloads of 50 rules, each in a folder of its own, with nothing in memory.
func BenchmarkCompileCold100x50(b *testing.B) {
	tree := treeOf(sampleRepository(100, 50))
	for b.Loop() {
		if _, err := New(Config{}).Compile(context.Background(), tree, bundle.Envelope{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompileColdRoot100x50 has the same workloads in one file at the root, and 100 folders that add a rule to one each.
func BenchmarkCompileColdRoot100x50(b *testing.B) {
	files := map[string]string{"writ.cue": rootFile}
	for name, data := range sampleRepository(100, 50) {
		if name != "writ.cue" {
			files[strings.ReplaceAll(name, "/", "_")] = data
			files[path.Dir(name)+"/more.cue"] = fmt.Sprintf("package policy\n\nworkload: %s: exec: \"/bin/more\": {}\n", path.Dir(name))
		}
	}
	tree := treeOf(files)
	for b.Loop() {
		if _, err := New(Config{}).Compile(context.Background(), tree, bundle.Envelope{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompileOneLeaf changes one of the 100 folders before each run.
func BenchmarkCompileOneLeaf(b *testing.B) {
	files := sampleRepository(100, 50)
	c, leaf, i := New(Config{}), files["w50/w.cue"], 0
	if _, err := c.Compile(context.Background(), treeOf(files), bundle.Envelope{}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		files["w50/w.cue"] = strings.Replace(leaf, "reason 7", fmt.Sprint("reason ", i), 1)
		i++
		res, err := c.Compile(context.Background(), treeOf(files), bundle.Envelope{})
		if err != nil || res.Evaluated != 1 {
			b.Fatal(res, err)
		}
	}
}
