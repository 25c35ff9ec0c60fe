// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"slices"
	"testing"

	"github.com/writ-sec/writ/schema/bundle"
)

func TestDiff(t *testing.T) {
	list := func(pairs ...string) []bundle.File {
		var fs []bundle.File
		for i := 0; i < len(pairs); i += 2 {
			fs = append(fs, bundle.File{Path: pairs[i], Digest: pairs[i+1]})
		}
		return fs
	}
	before := list("admission/images.yaml", "1", "node/a.json", "1", "node/b.json", "1", "node/c.json", "1", "other", "1",
		"rules/a.json", "1", "rules/b.json", "1", "rules/c.json", "1")
	after := list("admission/images.yaml", "2", "node/a.json", "1", "node/b.json", "2", "node/d.json", "1", "other", "1",
		"rules/a.json", "2", "rules/b.json", "2", "rules/d.json", "1")
	want := []Change{
		{Reworded, KindWorkload, "a"}, {Changed, KindWorkload, "b"}, {Removed, KindWorkload, "c"}, {Added, KindWorkload, "d"},
		{Changed, KindObject, "images"},
	}
	if got := Diff(before, after); !slices.Equal(got, want) {
		t.Errorf("Diff is %v; want %v", got, want)
	}
	entries := func(bounds, gates, table string) []bundle.File {
		files := list("node/a.json", "1", "rules/a.json", "1")
		for path, digest := range map[string]string{"policy/bounds.json": bounds, "policy/gates.json": gates, "rules/_policy.json": table} {
			if digest != "" {
				files = append(files, list(path, digest)...)
			}
		}
		return files
	}
	for name, tt := range map[string]struct {
		before, after []bundle.File
		want          []string
	}{
		"a bound changed":       {entries("1", "1", "1"), entries("2", "1", "2"), []string{"changed bounds"}},
		"the first bound":       {entries("", "", ""), entries("1", "", "1"), []string{"added bounds"}},
		"the last gate is gone": {entries("1", "1", "1"), entries("1", "", "2"), []string{"removed gates"}},
		"all is gone":           {entries("1", "1", "1"), entries("", "", ""), []string{"removed bounds", "removed gates"}},
		"a line moved":          {entries("1", "1", "1"), entries("1", "1", "2"), []string{"reworded entries beside workloads"}},
		"the first folder":      {entries("", "", ""), entries("", "", "1"), []string{"reworded entries beside workloads"}},
		"the last test is gone": {entries("", "", "1"), entries("", "", ""), []string{"reworded entries beside workloads"}},
	} {
		var got []string
		for _, c := range Diff(tt.before, tt.after) {
			got = append(got, c.String())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: Diff is %q; want %q", name, got, tt.want)
		}
	}
	if got := Diff(after, after); len(got) > 0 {
		t.Errorf("Diff with itself is %v", got)
	}
	if got := Change.String(want[1]); got != "changed workload b" {
		t.Errorf("String is %q", got)
	}
}
