// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
)

const (
	languagePage  = "../docs/language.md"
	warningsStart = "<!-- warnings -->\n"
	warningsEnd   = "<!-- end of warnings -->\n"
)

func readPage(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(languagePage)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestPageWarnings holds the table of warnings of the page to what SARIF says of them. With -update it is written anew.
func TestPageWarnings(t *testing.T) {
	page := readPage(t)
	var want strings.Builder
	want.WriteString("| code | what it means | what to do |\n|---|---|---|\n")
	for _, c := range Codes() {
		text, ok := warningHelp[c.ID]
		if !ok {
			t.Fatalf("%s has no text in warningHelp", c.ID)
		}
		fmt.Fprintf(&want, "| %s | %s | %s |\n", c.ID, text.short, text.help)
	}
	before, rest, ok := strings.Cut(page, warningsStart)
	got, after, ok2 := strings.Cut(rest, warningsEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no table of warnings", languagePage)
	}
	if got == want.String() {
		return
	}
	if !*update {
		t.Fatalf("the table of warnings differs; run: go test ./compiler -run TestPageWarnings -update\n%s", got)
	}
	if err := os.WriteFile(languagePage, []byte(before+warningsStart+want.String()+warningsEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fieldTable begins a table of the page that lists the fields of a definition; fieldRow is one of them.
var (
	fieldTable = regexp.MustCompile("(?m)^<!-- fields: (#[A-Za-z]+) -->\n((?:\\|.*\n)+)")
	fieldRow   = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]+ \\|$")
)

// TestPageFields holds the page to the schema: a table for each definition that is a struct, with exactly its fields.
func TestPageFields(t *testing.T) {
	fields := definitionFields(t)
	seen := map[string]bool{}
	for _, m := range fieldTable.FindAllStringSubmatch(readPage(t), -1) {
		name, rows := m[1], m[2]
		var got []string
		for _, row := range fieldRow.FindAllStringSubmatch(rows, -1) {
			got = append(got, row[1])
		}
		if len(got) != strings.Count(rows, "\n")-2 {
			t.Errorf("the table of %s has a row that is none of a field:\n%s", name, rows)
		}
		want, known := fields[name]
		switch slices.Sort(got); {
		case !known:
			t.Errorf("the page lists the fields of %s, which the schema does not have", name)
		case seen[name]:
			t.Errorf("the page lists the fields of %s twice", name)
		case !slices.Equal(got, want):
			t.Errorf("the page gives %s the fields\n%q\nand the schema\n%q", name, got, want)
		}
		seen[name] = true
	}
	for name := range fields {
		if !seen[name] {
			t.Errorf("the page does not list the fields of %s: a table behind <!-- fields: %s -->", name, name)
		}
	}
}

// definitionFields lists the fields of each definition of the schema that is a struct, sorted: "match!" must be stated, "file.read" is in a struct
// that is written out, "skip.*.why!" in one under any key. Those of an embedded definition are its own.
func definitionFields(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for name, data := range libraries[0].sources() {
		f, err := parser.ParseFile(name, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			field, ok := d.(*ast.Field)
			if !ok {
				continue
			}
			definition, _ := label(field.Label)
			if body, ok := field.Value.(*ast.StructLit); ok && definition != "#Set" {
				paths := structFields(body, "")
				slices.Sort(paths)
				all[definition] = slices.Compact(paths)
			}
		}
	}
	if len(all) < 30 {
		t.Fatalf("the schema has %d definitions", len(all))
	}
	return all
}

// structFields lists the fields of a struct below a path. A struct that is written out in another is named only by its fields, unless it has a
// definition embedded, whose fields stand elsewhere.
func structFields(body *ast.StructLit, under string) []string {
	var paths []string
	for _, d := range body.Elts {
		field, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		name, regular := label(field.Label)
		if !regular {
			name = "*"
		}
		inner, written := field.Value.(*ast.StructLit)
		deeper := []string(nil)
		if written {
			deeper = structFields(inner, under+name+".")
		}
		if regular && (len(deeper) == 0 || mixed(inner) || strings.Contains(deeper[0], "*")) {
			mark := ""
			if field.Constraint == token.NOT {
				mark = "!"
			}
			paths = append(paths, under+name+mark)
		}
		paths = append(paths, deeper...)
	}
	return paths
}

// mixed reports whether a struct embeds another.
func mixed(body *ast.StructLit) bool {
	return slices.ContainsFunc(body.Elts, func(d ast.Decl) bool { _, ok := d.(*ast.EmbedDecl); return ok })
}
