// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/writ-sec/writ/compiler/kubeyaml"
	"github.com/writ-sec/writ/schema/manifest"
)

// pod writes a Pod with containers of which f writes each.
func pod(n int, f func(i int) string) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\nspec:\n  containers:\n")
	for i := range n {
		b.WriteString("  - " + f(i) + "\n")
	}
	return b.String()
}

// TestHostileManifests reads manifests that mean harm: each ends in one clear problem, with its place, and in bounded memory.
func TestHostileManifests(t *testing.T) {
	plain := func(i int) string { return fmt.Sprintf("{name: c%d, image: nginx}", i) }
	tests := map[string]struct{ text, want string }{
		"containers":    {pod(10_000, plain), ":4:1: Pod shop/p: spec has 10000 containers; want at most "},
		"object":        {pod(40_000, func(i int) string { return "{name: c, image: " + strings.Repeat("x", 100) + "}" }), "the object has more than 3145728 bytes as JSON"},
		"file":          {strings.Repeat("# nothing to see here\n", kubeyaml.MaxFile/20), ": has more than 16777216 bytes; want at most that in a file"},
		"values":        {"a: [" + strings.Repeat("1,", 2_000_000) + "]", ":1:1: has more than 1048576 values; want a smaller document"},
		"depth":         {"apiVersion: v1\nkind: Pod\na: " + strings.Repeat("[", 500) + strings.Repeat("]", 500), "is nested deeper than 100 levels"},
		"deep":          {"a: " + strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000), "is not YAML: "},
		"itself":        {"apiVersion: v1\nkind: Pod\na: &a [*a]\n", "is not YAML: anchor 'a' value contains itself|is nested deeper|more than 3145728 bytes"},
		"merged itself": {"apiVersion: v1\nkind: Pod\na: &a {<<: *a}\n", "anchor 'a' value contains itself|merges what is no mapping|is nested deeper"},
		"not UTF-8":     {"apiVersion: v1\nkind: \xff\n", ":1:1: is not UTF-8; want UTF-8 text"},
		"a number":      {"1", ":1:1: is \"1\"; want a Kubernetes object"},
		"name":          {"apiVersion: v1\nkind: Pod\nmetadata: p\nspec: {}\n", ":3:1: Pod default/: metadata is missing or no object; want the object's metadata"},
		"infinite":      {"apiVersion: v1\nkind: Pod\na: .inf\n", ":3:4: \".inf\" is no number of JSON; want a finite number"},
		"tag":           {"apiVersion: v1\nkind: Pod\na: !x 1\n", ":3:4: tag \"!x\" is not known; want none"},
		"key":           {"apiVersion: v1\nkind: Pod\n? [a]\n: b\n", ":3:3: has a key that is no word; want a name"},
		"terminal":      {"apiVersion: v1\nkind: Pod\nmetadata: {name: \"\\e[31m\", namespace: shop}\nspec: {containers: 1}\n", `Pod shop/\x1b[31m: spec.containers is `},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "x.yaml")
			if err := os.WriteFile(file, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			in, err := readManifests(nil, []string{file})
			if err != nil {
				t.Fatal(err)
			}
			in.sort(manifest.Builtin(), "default")
			runtime.ReadMemStats(&after)
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<30 {
				t.Errorf("allocates %d MiB", allocated>>20)
			}
			if len(in.problems) != 1 || len(in.judged) > 0 {
				t.Fatalf("%d judged, problems %.2000v; want one", len(in.judged), in.problems)
			}
			got := strings.TrimPrefix(in.problems[0].String(), file)
			found := false
			for want := range strings.SplitSeq(test.want, "|") {
				found = found || strings.Contains(got, want)
			}
			if !found || len(got) > 400 {
				t.Errorf("got %.500q, want %q", got, test.want)
			}
		})
	}
}

// TestManifestsTogether holds the bound over all files.
func TestManifestsTogether(t *testing.T) {
	dir := t.TempDir()
	big := bytes.Repeat([]byte("# "+strings.Repeat("nothing ", 100)+"\n"), kubeyaml.MaxFile/803)
	var files []string
	for i := range maxManifests/len(big) + 1 {
		files = append(files, filepath.Join(dir, fmt.Sprint(i, ".yaml")))
		if err := os.WriteFile(files[i], big, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in, err := readManifests(nil, files)
	if err != nil || len(in.problems) != 1 || !strings.Contains(in.problems[0].Msg, "all files have more than 67108864 bytes") {
		t.Errorf("%v, %v", in.problems, err)
	}
}
