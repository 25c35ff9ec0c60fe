// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

var update = flag.Bool("update", false, "rewrite the outputs in testdata")

// rootFile is what most repositories in the tests begin with.
const rootFile = "package policy\n\nimport \"github.com/writ-sec/writ/schema\"\n\nworkload: [string]: schema.#Workload\n"

// wantRE is an expected diagnostic at the end of the line that causes it. A line may have several.
var wantRE = regexp.MustCompile("// (ERROR|WARN) (\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`)")

// archiveTree reads the policy files of an archive. Archives without a root file get the usual one. "want/" holds outputs.
func archiveTree(a *txtar.Archive) Tree {
	var t Tree
	root := false
	for _, f := range a.Files {
		if !strings.HasPrefix(f.Name, "want/") {
			root = root || !strings.Contains(f.Name, "/") && strings.HasSuffix(f.Name, ".cue")
			t.Files = append(t.Files, File{Path: f.Name, Data: f.Data})
		}
	}
	if !root {
		t.Files = append(t.Files, File{Path: "writ.cue", Data: []byte(rootFile)})
	}
	return t
}

func compileTree(t testing.TB, tree Tree) (*Result, error) {
	t.Helper()
	return New(Config{}).Compile(context.Background(), tree, bundle.Envelope{})
}

// TestGolden compiles each archive of testdata. The diagnostics must be those that the lines say, no more and no less, and the outputs in
// want/ those of the bundle; want/text is the rendered form.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) < 20 {
		t.Fatalf("found %d archives, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			tree := archiveTree(a)
			res, err := compileTree(t, tree)
			var errs Errors
			if err != nil && !errors.As(err, &errs) {
				t.Fatal(err)
			}
			got := slices.Clone(errs)
			if res != nil {
				got = append(got, res.Warnings...)
			}
			checkDiagnostics(t, tree, a, got)
			checkOutputs(t, name, a, res, got)
		})
	}
}

// checkDiagnostics matches diagnostics with the comments that expect them. The archive's own comment may expect some without a line:
// "ERROR file: rx".
func checkDiagnostics(t *testing.T, tree Tree, a *txtar.Archive, got []Diagnostic) {
	t.Helper()
	type want struct {
		pos  schema.Pos
		kind string
		rx   *regexp.Regexp
	}
	var wants []want
	for _, f := range tree.Files {
		for i, line := range strings.Split(string(f.Data), "\n") {
			for _, m := range wantRE.FindAllStringSubmatch(line, -1) {
				rx := strings.Trim(m[2], "`\"")
				wants = append(wants, want{schema.Pos{File: f.Path, Line: i + 1}, m[1], regexp.MustCompile(rx)})
			}
		}
	}
	for line := range strings.Lines(string(a.Comment)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "ERROR "); ok {
			file, rx, _ := strings.Cut(rest, ": ")
			wants = append(wants, want{schema.Pos{File: strings.TrimSpace(file)}, "ERROR", regexp.MustCompile(rx)})
		}
	}
	for _, d := range got {
		kind := "ERROR"
		if d.Code != "" {
			kind = "WARN"
		}
		i := slices.IndexFunc(wants, func(w want) bool {
			return w.kind == kind && w.pos.File == d.Pos.File && w.pos.Line == d.Pos.Line && w.rx.MatchString(d.String())
		})
		if i < 0 {
			t.Errorf("unexpected %s: %s", kind, d)
			continue
		}
		wants = slices.Delete(wants, i, i+1)
		if d.Pos.Line > 0 && d.Source == "" {
			t.Errorf("no source line: %s", d)
		}
	}
	for _, w := range wants {
		t.Errorf("missing %s at %s:%d: %s", w.kind, w.pos.File, w.pos.Line, w.rx)
	}
}

func checkOutputs(t *testing.T, name string, a *txtar.Archive, res *Result, got []Diagnostic) {
	t.Helper()
	changed := false
	for i, f := range a.Files {
		out, ok := strings.CutPrefix(f.Name, "want/")
		if !ok {
			continue
		}
		var data []byte
		switch {
		case out == "text":
			var buf bytes.Buffer
			Render(&buf, got)
			data = buf.Bytes()
		case out == "files" && res != nil:
			for _, f := range res.Bundle.Manifest.Files {
				data = fmt.Appendln(data, f.Path)
			}
		case res != nil:
			var err error
			if data, err = res.Bundle.Open(out); err != nil {
				t.Error(err)
			}
			if strings.HasSuffix(out, ".json") { // for people who read the archive
				var pretty bytes.Buffer
				if err := json.Indent(&pretty, data, "", " "); err != nil {
					t.Error(err)
				}
				data = pretty.Bytes()
			}
		}
		if *update {
			a.Files[i].Data, changed = data, true
		} else if !bytes.Equal(data, f.Data) {
			t.Errorf("%s differs; run with -update and look at the difference\n got:\n%s\nwant:\n%s", f.Name, data, f.Data)
		}
	}
	if changed {
		if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
