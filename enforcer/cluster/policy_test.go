// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// compileAt compiles a policy repository for an instant. The zero Time takes the stricter side of each date.
func compileAt(t testing.TB, files map[string][]byte, at time.Time) *compiler.Result {
	t.Helper()
	var tree compiler.Tree
	for _, name := range slices.Sorted(maps.Keys(files)) {
		tree.Files = append(tree.Files, compiler.File{Path: name, Data: files[name]})
	}
	result, err := compiler.New(compiler.Config{At: at}).Compile(t.Context(), tree, bundle.Envelope{})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// repository reads a policy repository from an archive in testdata, and states by what it is enforced.
func repository(t testing.TB, name, by string) map[string][]byte {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"by.cue": fmt.Appendf(nil, "package policy\n\nadmission: by: %q\n", by)}
	for _, f := range archive.Files {
		files[f.Name] = f.Data
	}
	return files
}

// policyOf is what the compiler understood.
func policyOf(t testing.TB, result *compiler.Result) *schema.Policy {
	t.Helper()
	p, err := result.Policy()
	if err != nil {
		t.Fatal(err)
	}
	return p
}
