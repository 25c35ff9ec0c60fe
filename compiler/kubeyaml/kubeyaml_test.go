// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package kubeyaml_test

import (
	"fmt"
	"testing"

	"github.com/writ-sec/writ/compiler/kubeyaml"
)

const several = `# A comment.
%YAML 1.1
---
a: &a
  b: 1
  c:
  - d: é
  - é: {f: 2, "g": 3}
m: {<<: *a, x: z}
--- {kind: K}
...
---
---
- broken
--- # another
apiVersion: apps/v1
kind: DeploymentList
items:
- metadata: {name: one}
- {kind: Own, apiVersion: v1}
`

// TestBrokenLine holds that what is no YAML is told at the line that is at fault, whichever part of the parser finds it.
func TestBrokenLine(t *testing.T) {
	for text, want := range map[string]string{
		"\n\n\na: 1\nb: {c: d\ne: f\n":      "x.yaml:5:1: is not YAML: did not find expected ',' or '}'",
		"a: 1\nb: [c, d\ne: f\n":            "x.yaml:2:1: is not YAML: did not find expected ',' or ']'",
		"---\na: 1\n---\na: 1\nb: [\n\n":    "x.yaml:5:1: is not YAML: did not find expected node content",
		"a: 1\nb:\n  - c\n  d: e\n":         "x.yaml:3:1: is not YAML: did not find expected '-' indicator",
		"a: 1\nb: !x!y z\n":                 "x.yaml:2:1: is not YAML: found undefined tag handle",
		"a: 1\nb: c: d\n":                   "x.yaml:2:1: is not YAML: mapping values are not allowed in this context",
		"a: 1\nb: \"c\n":                    "x.yaml:2:1: is not YAML: found unexpected end of stream",
		"{\"a\": ":                          "x.yaml:1:1: is not YAML: did not find expected node content",
		"\n\n# nothing\n---\na: 1\nb: @c\n": "x.yaml:6:1: is not YAML: found character that cannot start any token",
	} {
		_, problems := kubeyaml.Read("x.yaml", []byte(text))
		if len(problems) != 1 || problems[0].Pos.String()+": "+problems[0].Msg != want {
			t.Errorf("%q: %v; want %s", text, problems, want)
		}
	}
}

// TestAt holds the positions of values, in bytes.
func TestAt(t *testing.T) {
	objects, problems := kubeyaml.Read("x.yaml", []byte(several))
	if len(objects) != 4 || len(problems) != 1 || problems[0].Pos.String() != "x.yaml:14:1" || problems[0].Source != "- broken" {
		t.Fatalf("%d objects, problems %v", len(objects), problems)
	}
	type path = []any
	for _, c := range []struct {
		object int
		path   path
		want   string
	}{
		{0, nil, "4:1"}, {0, path{"a"}, "4:1"}, {0, path{"a", "b"}, "5:3"}, {0, path{"a", "c", 0}, "7:5"}, {0, path{"a", "c", 0, "d"}, "7:5"},
		{0, path{"a", "c", 1, "é", "f"}, "8:10"}, {0, path{"a", "c", 1, "é", "g"}, "8:16"},
		{0, path{"a", "missing", "more"}, "4:1"}, {0, path{"a", "c", 7}, "6:3"}, {0, path{"a", "b", "under"}, "5:3"}, {0, path{7}, "4:1"},
		{0, path{"m", "x"}, "9:13"}, {0, path{"m", "b"}, "5:3"}, {0, path{"m", "c", 1}, "8:5"},
		{1, path{"kind"}, "10:6"}, {2, path{"metadata", "name"}, "19:14"}, {3, nil, "20:3"}, {3, path{"kind"}, "20:4"},
	} {
		if got := objects[c.object].At(c.path).String(); got != "x.yaml:"+c.want {
			t.Errorf("object %d at %v: %s; want %s", c.object, c.path, got, c.want)
		}
	}
	if got := objects[2].Value; got["kind"] != "Deployment" || got["apiVersion"] != "apps/v1" {
		t.Errorf("an item of a DeploymentList is %v", got)
	}
	if got := fmt.Sprint(objects[0].Value["m"]); got != "map[b:1 c:[map[d:é] map[é:map[f:2 g:3]]] x:z]" {
		t.Errorf("merged: %s", got)
	}
}

// FuzzRead holds that whatever is read ends, has positions within the file, and is JSON.
func FuzzRead(f *testing.F) {
	for _, s := range []string{several, "{\t\"a\": 1}", "a: *b", "? a\n: b", "<<: {a: 1}\na: 2", "\xef\xbb\xbfa: b", "--- |\n ---\n", "a: !!binary x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		objects, problems := kubeyaml.Read("x", []byte(text))
		for _, p := range problems {
			if p.Msg == "" || p.Pos.File != "x" {
				t.Errorf("problem %+v", p)
			}
		}
		for _, o := range objects {
			if _, err := o.JSON(); err != nil {
				t.Errorf("%v: %v", o.Value, err)
			}
			for key := range o.Value {
				if p := o.At([]any{key}); p.Line < 1 {
					t.Errorf("key %q at %v", key, p)
				}
			}
		}
	})
}

// TestItems holds that what kubectl takes for a list is taken for one, or refused: nothing hides in it.
func TestItems(t *testing.T) {
	const pod = "{apiVersion: v1, kind: Pod, metadata: {name: p}}"
	for text, refused := range map[string]bool{
		"apiVersion: v1\nkind: List\nitems: [" + pod + "]":                                                        false,
		"apiVersion: v1\nkind: ConfigMap\nitems: [" + pod + "]":                                                   false,
		"apiVersion: v1\nkind: List\n<<: {items: [" + pod + "]}":                                                  true,
		"items: [" + pod + "]\n<<: {apiVersion: v1, kind: List}":                                                  true,
		"apiVersion: v1\nkind: List\nmetadata: {a: &i items}\n*i : [" + pod + "]":                                 true,
		"{kind: List, items: [{kind: List, items: [{kind: List, items: [{kind: List, items: [" + pod + "]}]}]}]}": true,
		"kind: List\nitems: []\nitems: [" + pod + "]":                                                             true,
		"kind: List\nitems: []\n<<: {items: [" + pod + "]}":                                                       true,
	} {
		objects, problems := kubeyaml.Read("x.yaml", []byte(text))
		if refused != (len(problems) > 0) || !refused && (len(objects) != 1 || objects[0].Value["kind"] != "Pod") {
			t.Errorf("%s\n%v, problems %v", text, objects, problems)
		}
	}
}
