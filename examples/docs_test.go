// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package examples

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema/bundle"
)

// policyBlock is a policy in a Markdown page, and fileName a first line that names its file.
var (
	policyBlock = regexp.MustCompile("(?ms)^```cue\n(.*?)^```$")
	fileName    = regexp.MustCompile(`^// ([a-z/]+\.cue)\n`)
)

// pageRoot is the root file of a page that shows none.
const pageRoot = "package policy\n\nimport \"github.com/writ-sec/writ/schema\"\n\nworkload: [string]: schema.#Workload\nbound: [string]: schema.#Bound\n"

// pageTree makes one repository of all policies in a page: each is a file of its own, at the path that its first line names, if it does.
func pageTree(t *testing.T, page string) compiler.Tree {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var tree compiler.Tree
	root := false
	for i, m := range policyBlock.FindAllSubmatch(data, -1) {
		name := fmt.Sprintf("block%d.cue", i+1)
		if n := fileName.FindSubmatch(m[1]); n != nil {
			name = string(n[1])
		}
		root = root || name == "writ.cue"
		tree.Files = append(tree.Files, compiler.File{Path: name, Data: m[1]})
	}
	if !root {
		tree.Files = append(tree.Files, compiler.File{Path: "writ.cue", Data: []byte(pageRoot)})
	}
	return tree
}

// TestPages compiles the policies that README.md, docs and the library's page show, those of a page together: no error, no warning, and the tests
// among them pass.
func TestPages(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil || len(pages) < 3 {
		t.Fatalf("the pages are %q, %v", pages, err)
	}
	policies := 0
	for _, page := range append(pages, "../README.md", "../policies/README.md") {
		tree := pageTree(t, page)
		policies += len(tree.Files) - 1
		res, err := compiler.New(compiler.Config{Now: now}).Compile(t.Context(), tree, bundle.Envelope{})
		if err != nil {
			t.Errorf("%s: %v", page, err)
			var errs compiler.Errors
			if errors.As(err, &errs) {
				var text strings.Builder
				compiler.Render(&text, errs)
				t.Log(text.String())
			}
			continue
		}
		for _, w := range res.Warnings {
			t.Errorf("%s: warning: %s", page, w)
		}
		p, err := res.Policy()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range compiler.RunTests(p, now) {
			if !r.Passed {
				t.Errorf("%s: test %q: %s", page, r.Name, r.Problem)
			}
		}
	}
	if policies < 15 {
		t.Errorf("the pages show %d policies", policies)
	}
}

// TestPageLinks holds the links of the pages to files that exist.
func TestPageLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../README.md", "../CONTRIBUTING.md", "../policies/README.md") {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllSubmatch(data, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), string(m[1]))); err != nil {
				t.Errorf("%s: the link to %s leads nowhere: %v", page, m[1], err)
			}
		}
	}
}
