// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"bytes"
	"errors"
	"flag"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue/format"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

var update = flag.Bool("update", false, "write the golden files anew")

const rootFile = `package policy

import "github.com/writ-sec/writ/schema"

workload: [string]: schema.#Workload
`

// repoOf returns a policy repository with a root file and these files.
func repoOf(files map[string]string) compiler.Tree {
	t := compiler.Tree{Files: []compiler.File{
		{Path: "cue.mod/module.cue", Data: []byte("module: \"example.com/policy\"\nlanguage: version: \"v0.17.0\"\n")},
		{Path: "writ.cue", Data: []byte(rootFile)},
	}}
	for name, text := range files {
		t.Files = append(t.Files, compiler.File{Path: name, Data: []byte(text)})
	}
	slices.SortFunc(t.Files, func(a, b compiler.File) int { return strings.Compare(a.Path, b.Path) })
	return t
}

// lowered is the policy of a result.
func lowered(t testing.TB, res *compiler.Result) *schema.Policy {
	t.Helper()
	p, err := res.Policy()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func policyOf(t testing.TB, tree compiler.Tree) *schema.Policy {
	t.Helper()
	res, err := compiler.New(compiler.Config{}).Compile(t.Context(), tree, bundle.Envelope{})
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	return lowered(t, res)
}

func newRule(workload, object string, parents ...string) Change {
	return Change{Workload: workload, Verb: schema.VerbExec, Object: object, New: true, Parents: parents, Why: "seen once",
		Rule: schema.NewRuleID("rule", workload, "exec", "exec", object)}
}

func newParents(workload, object string, parents ...string) Change {
	c := newRule(workload, object, parents...)
	c.New, c.Why = false, ""
	return c
}

// parseChanges reads lines such as
//
//	payments rule /usr/bin/curl /usr/bin/parent
//	payments parent /usr/bin/curl /usr/bin/parent
func parseChanges(t *testing.T, text string) Proposal {
	var p Proposal
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] == "#" {
			continue
		}
		p.Workload = f[0]
		switch f[1] {
		case "rule":
			p.Changes = append(p.Changes, newRule(f[0], f[2], slices.Sorted(slices.Values(f[3:]))...))
		case "parent":
			p.Changes = append(p.Changes, newParents(f[0], f[2], f[3:]...))
		default:
			t.Fatalf("line %q", line)
		}
	}
	slices.SortFunc(p.Changes, compareChanges)
	return p
}

func TestEditShapes(t *testing.T) {
	names, _ := filepath.Glob("testdata/edit/*.txtar")
	if len(names) == 0 {
		t.Fatal("no testdata")
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { testEditShape(t, name) })
	}
}

func testEditShape(t *testing.T, name string) {
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	crlf := strings.Contains(string(a.Comment), "crlf")
	files := map[string]string{}
	var want []txtar.File
	for _, f := range a.Files {
		text := string(f.Data)
		if crlf {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		if after, ok := strings.CutPrefix(f.Name, "want/"); ok {
			want = append(want, txtar.File{Name: after, Data: []byte(text)})
		} else {
			files[f.Name] = text
		}
	}
	tree := repoOf(files)
	got, err := Edit(t.Context(), compiler.New(compiler.Config{}), tree, parseChanges(t, string(a.Comment)))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		rewrite(t, name, a, got.Files)
		return
	}
	if len(got.Files) != len(want) {
		t.Errorf("%d files changed; want %d", len(got.Files), len(want))
	}
	for _, f := range want {
		if !bytes.Equal(got.Files[f.Name], f.Data) {
			t.Errorf("%s:\n%s\nwant:\n%s", f.Name, got.Files[f.Name], f.Data)
		}
		checkFormat(t, files[f.Name], got.Files[f.Name])
	}
}

// checkFormat holds that what was formatted as cue fmt does stays so.
func checkFormat(t *testing.T, before string, after []byte) {
	t.Helper()
	if formatted, err := format.Source([]byte(before)); err != nil || string(formatted) != before {
		t.Logf("the input is not formatted: %v\n%s", err, formatted)
		return
	}
	formatted, err := format.Source(after)
	if err != nil {
		t.Fatalf("format: %v\n%s", err, after)
	}
	if !bytes.Equal(formatted, after) {
		t.Errorf("formatting was lost:\n%s\ncue fmt wants:\n%s", after, formatted)
	}
}

func rewrite(t *testing.T, name string, a *txtar.Archive, files map[string][]byte) {
	a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "want/") })
	for path, data := range files {
		a.Files = append(a.Files, txtar.File{Name: "want/" + path, Data: bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))})
	}
	writeTestFile(t, name, txtar.Format(a))
}

func TestEditRefuses(t *testing.T) {
	tree := repoOf(map[string]string{"a.cue": "package policy\n\nworkload: a: {\n\tmatch: namespace: \"a\"\n\texec: \"/a\": {}\n}\n"})
	c := compiler.New(compiler.Config{})
	for name, p := range map[string]Proposal{
		"unknown workload":       {Workload: "b", Changes: []Change{newRule("b", "/x")}},
		"rule that exists":       {Workload: "a", Changes: []Change{newRule("a", "/a")}},
		"parents of no rule":     {Workload: "a", Changes: []Change{newParents("a", "/b", "/c")}},
		"a path that is no path": {Workload: "a", Changes: []Change{newRule("a", "/x/../y")}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Edit(t.Context(), c, tree, p); !errors.Is(err, ErrEdit) {
				t.Errorf("Edit = %v, %v; want %v", got, err, ErrEdit)
			}
		})
	}
	var broken compiler.Errors
	if _, err := Edit(t.Context(), c, repoOf(map[string]string{"a.cue": "package policy\n\nworkload: a: 1\n"}), Proposal{Workload: "a"}); !errors.As(err, &broken) {
		t.Errorf("Edit of a broken tree = %v; want compiler.Errors", err)
	}
}

// FuzzEditText places rules in arbitrary files: whatever the shape, no edit reaches outside the text, and no plan loses a byte but between braces.
func FuzzEditText(f *testing.F) {
	names, _ := filepath.Glob("testdata/edit/*.txtar")
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a.Files[0].Data)
		f.Add(bytes.ReplaceAll(a.Files[0].Data, []byte("\n"), []byte("\r\n")))
	}
	changes := []Change{newParents("payments", "/a", "/p"), newRule("payments", "/b"), newRule("payments", "/n", "/p", "/q")}
	f.Fuzz(func(t *testing.T, data []byte) {
		e := &editor{workload: "payments", files: []string{"f.cue"}, data: map[string][]byte{"f.cue": data}, parents: changes[:1], rules: []item{ruleItem(changes[1]), ruleItem(changes[2])}}
		for files := range e.attempts {
			if got := files["f.cue"]; len(got) <= len(data) && !bytes.Contains(data, []byte("{")) {
				t.Fatalf("%q became %q", data, got)
			}
		}
	})
}
