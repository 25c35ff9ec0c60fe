// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
)

var update = flag.Bool("update", false, "rewrite the outputs in testdata")

// rootFile states the kinds that drafts use.
const rootFile = "package policy\n\nimport \"" + schema.ImportPath + "\"\n\nworkload: [string]: schema.#Workload\nbound: [string]: schema.#Bound\n"

// evaluate builds one instance of the drafts, with the schema as the package that they are held against.
func evaluate(t testing.TB, files map[string][]byte) cue.Value {
	t.Helper()
	bc := build.NewContext()
	add := func(inst *build.Instance, name string, data []byte) {
		f, err := parser.ParseFile(name, data)
		if err != nil {
			t.Fatal(err)
		}
		if err := inst.AddSyntax(f); err != nil {
			t.Fatal(err)
		}
	}
	inst := bc.NewInstance("", func(_ token.Pos, path string) *build.Instance {
		if path != schema.ImportPath {
			return nil
		}
		names, err := fs.Glob(schema.CUE, "*.cue")
		if err != nil {
			t.Fatal(err)
		}
		s := bc.NewInstance("", nil)
		s.ImportPath = path
		for _, name := range names {
			data, err := schema.CUE.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			add(s, name, data)
		}
		if err := s.Complete(); err != nil {
			t.Fatal(err)
		}
		return s
	})
	inst.ImportPath = "policy.invalid:policy"
	add(inst, "writ.cue", []byte(rootFile))
	for _, name := range sortedKeys(files) {
		add(inst, name, files[name])
	}
	if err := inst.Complete(); err != nil {
		t.Fatal(err)
	}
	v := cuecontext.New().BuildInstance(inst)
	if err := v.Validate(cue.Concrete(true)); err != nil {
		t.Errorf("drafts do not fit the schema:\n%s", errors.Details(err, nil))
	}
	return v
}

// checkDrafts holds what every draft is: valid, formatted, in audit.
func checkDrafts(t testing.TB, files map[string][]byte) cue.Value {
	t.Helper()
	for name, data := range files {
		if got, err := compiler.Format(name, data); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s is not formatted: %v\n%s", name, err, got)
		}
	}
	v := evaluate(t, files)
	for _, kind := range []string{"workload", "bound"} {
		all, err := v.LookupPath(cue.ParsePath(kind)).Fields()
		if err != nil {
			continue // there is none
		}
		for all.Next() {
			if mode, err := all.Value().LookupPath(cue.ParsePath("mode")).String(); err != nil || mode != "audit" {
				t.Errorf("%s has mode %q, %v", all.Selector(), mode, err)
			}
			checkMeaning(t, all.Selector().Unquoted(), all.Value())
		}
	}
	return v
}

// checkMeaning holds what the schema does not: patterns are valid, and a match selects something.
func checkMeaning(t testing.TB, name string, v cue.Value) {
	t.Helper()
	for _, path := range []string{"exec", "file.read", "file.write", "never.exec", "never.file"} {
		rules, err := v.LookupPath(cue.ParsePath(path)).Fields()
		if err != nil {
			continue
		}
		for rules.Next() {
			if err := schema.CheckPattern(rules.Selector().Unquoted()); err != nil {
				t.Errorf("%s: %s %s %v", name, path, rules.Selector(), err)
			}
		}
	}
	if match := v.LookupPath(cue.ParsePath("match")); match.Exists() || !v.LookupPath(cue.ParsePath("never")).Exists() {
		if fields, err := match.Fields(); err != nil || !fields.Next() {
			t.Errorf("%s matches nothing", name)
		}
	}
}

// TestGolden imports the files of each archive. want/NAME.cue are the drafts, all of them, and want/lost is what is told.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) < 7 {
		t.Fatalf("found %d archives, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var sources []Source
			for _, f := range a.Files {
				if !strings.HasPrefix(f.Name, "want/") {
					sources = append(sources, Source{Path: f.Name, Data: f.Data})
				}
			}
			r, err := Import(sources)
			if err != nil {
				t.Fatal(err)
			}
			checkDrafts(t, r.Files)
			got := map[string][]byte{"want/lost": lostText(r)}
			for name, data := range r.Files {
				got["want/"+name] = data
			}
			checkGolden(t, name, a, got)
			if *update {
				return
			}
			for _, n := range r.Lost {
				if n.Pos.Line < 1 || n.Pos.Col < 1 || n.Object == "" || n.Msg == "" {
					t.Errorf("note %+v lacks something", n)
				}
			}
		})
	}
}

func lostText(r *Result) []byte {
	var text []byte
	for _, n := range r.Lost {
		text = fmt.Appendf(text, "%s\n", n)
	}
	for _, kind := range sortedKeys(r.Skipped) {
		text = fmt.Appendf(text, "skipped %d of kind %q\n", r.Skipped[kind], kind)
	}
	return text
}

func checkGolden(t *testing.T, name string, a *txtar.Archive, got map[string][]byte) {
	t.Helper()
	if *update {
		a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "want/") })
		for _, n := range sortedKeys(got) {
			a.Files = append(a.Files, txtar.File{Name: n, Data: got[n]})
		}
		if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, f := range a.Files {
		if strings.HasPrefix(f.Name, "want/") {
			if !bytes.Equal(got[f.Name], f.Data) {
				t.Errorf("%s differs; run with -update and look at the difference\n got:\n%s\nwant:\n%s", f.Name, got[f.Name], f.Data)
			}
			delete(got, f.Name)
		}
	}
	for n := range got {
		t.Errorf("%s is drafted and not expected", n)
	}
}
