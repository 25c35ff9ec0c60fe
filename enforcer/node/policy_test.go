// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// testWorkload makes a workload that allows some programs to the cgroups that a pattern matches.
func testWorkload(name, cgroup string, mode schema.Mode, programs ...string) schema.Workload {
	w := schema.Workload{
		Name: name, Match: schema.Match{Cgroup: cgroup},
		Closures: []schema.Closure{{ID: schema.NewRuleID("closure", name, "exec"), Plane: schema.PlaneExec, Mode: mode}},
	}
	for _, p := range slices.Sorted(slices.Values(programs)) {
		w.Rules = append(w.Rules, schema.Rule{
			ID: schema.NewRuleID("rule", name, "exec", "exec", p), Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: p,
		})
	}
	return w
}

// testBundle makes a bundle of workloads, with a rule table beside, which nodes do not read.
func testBundle(ws ...schema.Workload) *bundle.Bundle {
	files := map[string][]byte{"rules/x.json": []byte("{}\n")}
	for _, w := range ws {
		files["node/"+w.Name+".json"] = bundle.Encode(w)
	}
	return bundle.New(files, bundle.Envelope{Commit: "c0ffee"})
}

// from finds the files of a bundle.
func from(b *bundle.Bundle) content {
	return func(f bundle.File) []byte {
		data, err := b.Open(f.Path)
		if err != nil {
			return nil
		}
		return data
	}
}

func mustGeneration(t testing.TB, b *bundle.Bundle) generation {
	t.Helper()
	g, missing, err := newGeneration(b.Manifest, generation{}, from(b))
	if err != nil || len(missing) > 0 {
		t.Fatalf("missing %q, %v", missing, err)
	}
	return g
}

func TestGeneration(t *testing.T) {
	a, b := testWorkload("a", "/a", schema.ModeEnforce, "/bin/a"), testWorkload("b", "/b", schema.ModeAudit)
	first := testBundle(b, a)
	_, missing, err := newGeneration(first.Manifest, generation{}, func(bundle.File) []byte { return nil })
	if err != nil || !slices.Equal(missing, []string{"node/a.json", "node/b.json"}) {
		t.Fatalf("missing %q, %v; want what is under node/ and nothing else", missing, err)
	}
	g := mustGeneration(t, first)
	if len(g.workloads) != 2 || g.workloads[0].Name != "a" || g.workloads[1].Name != "b" {
		t.Fatalf("workloads %+v", g.workloads)
	}

	a.Rules = nil
	second := testBundle(a, b)
	_, missing, err = newGeneration(second.Manifest, g, func(bundle.File) []byte { return nil })
	if err != nil || !slices.Equal(missing, []string{"node/a.json"}) {
		t.Fatalf("missing %q, %v; want what has changed and nothing else", missing, err)
	}
	next, _, err := newGeneration(second.Manifest, g, from(second))
	if err != nil {
		t.Fatal(err)
	}
	if next.workloads[1] != g.workloads[1] {
		t.Error("the unchanged workload was decoded again")
	}
}

// TestGenerationTakesEveryMatch: what a node can't select is not wrong, but told in the status.
func TestGenerationTakesEveryMatch(t *testing.T) {
	exists := true
	var ws []schema.Workload
	for i, m := range []schema.Match{
		{Host: true}, {Host: true, Cgroup: "/a"}, {Container: "app*"}, {Namespace: "shop", Expressions: map[string]schema.Expression{
			"a": {In: schema.Names{"b"}}, "c": {NotIn: schema.Names{"d"}}, "e": {Exists: &exists}}},
	} {
		w := testWorkload(fmt.Sprint("w", i), "", schema.ModeEnforce, "/bin/a")
		w.Match = m
		ws = append(ws, w)
	}
	g := mustGeneration(t, testBundle(ws...))
	for i, w := range g.workloads {
		if !reflect.DeepEqual(w.Match, ws[i].Match) {
			t.Errorf("match %+v; want %+v", w.Match, ws[i].Match)
		}
	}
	if got := selectable(g.workloads); len(got) > 0 {
		t.Errorf("%d are selectable; want none", len(got))
	}
}

func TestGenerationTakesAFileUnderAnotherName(t *testing.T) {
	g := mustGeneration(t, testBundle(testWorkload("a", "/a", schema.ModeEnforce)))
	data := g.workloads[0].data
	renamed := bundle.New(map[string][]byte{"node/z.json": data}, bundle.Envelope{})
	next, missing, err := newGeneration(renamed.Manifest, g, func(bundle.File) []byte { return nil })
	if err != nil || len(missing) > 0 || next.workloads[0].file.Path != "node/z.json" {
		t.Fatalf("missing %q, %v, %+v", missing, err, next)
	}
}

func TestGenerationRefusesDamage(t *testing.T) {
	whole := testBundle(testWorkload("a", "/a", schema.ModeEnforce, "/bin/a"))
	truncated := func(f bundle.File) []byte { return from(whole)(f)[:10] }
	flipped := func(f bundle.File) []byte {
		data := slices.Clone(from(whole)(f))
		data[5] ^= 1
		return data
	}
	for name, find := range map[string]content{"truncated": truncated, "flipped": flipped} {
		if _, _, err := newGeneration(whole.Manifest, generation{}, find); !errors.Is(err, bundle.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := whole.Manifest
	m.Format = 99
	if _, _, err := newGeneration(m, generation{}, from(whole)); err == nil || !strings.Contains(err.Error(), "format 99; this version reads 2") {
		t.Errorf("unknown format: %v", err)
	}
	m = whole.Manifest
	m.Files = m.Files[:1]
	if _, _, err := newGeneration(m, generation{}, from(whole)); !errors.Is(err, bundle.ErrDamaged) {
		t.Errorf("a manifest without its last file: %v", err)
	}
}

func TestGenerationRefusesBadWorkloads(t *testing.T) {
	good := func() schema.Workload { return testWorkload("a", "/a", schema.ModeEnforce, "/bin/a") }
	change := func(f func(*schema.Workload)) []byte {
		w := good()
		f(&w)
		return bundle.Encode(w)
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"not JSON", []byte("workload"), "is not a workload"},
		{"unknown field", []byte(`{"name":"a","match":{"cgroup":"/a"},"file":{}}`), `unknown field "file"`},
		{"two values", append(bundle.Encode(good()), bundle.Encode(good())...), "more than one JSON value"},
		{"no name", change(func(w *schema.Workload) { w.Name = "" }), "name of 0 bytes"},
		{"long name", change(func(w *schema.Workload) { w.Name = strings.Repeat("n", 254) }), "name of 254 bytes"},
		{"control byte in the name", change(func(w *schema.Workload) { w.Name = "a\x1bb" }), "control byte in its name at offset 1"},
		{"empty match", change(func(w *schema.Workload) { w.Match = schema.Match{} }), "match: is empty"},
		{"relative cgroup", change(func(w *schema.Workload) { w.Match.Cgroup = "a/b" }), `cgroup "a/b" is not absolute`},
		{"unknown mode", change(func(w *schema.Workload) { w.Closures[0].Mode = "deny" }), `has the mode "deny" for exec; want "learn"`},
		{"no mode", change(func(w *schema.Workload) { w.Closures[0].Mode = "" }), `has the mode ""`},
		{"unknown planned mode", change(func(w *schema.Workload) { w.Closures[0].Then, w.Closures[0].After = "deny", "2027-01-15" }), `has the mode "deny" for exec after "2027-01-15"`},
		{"date without a mode", change(func(w *schema.Workload) { w.Closures[0].After = "2027-01-15" }), `has the mode "" for exec after "2027-01-15"`},
		{"planned mode without a date", change(func(w *schema.Workload) { w.Closures[0].Then = schema.ModeAudit }), `date "" is not one`},
		{"broken date", change(func(w *schema.Workload) { w.Closures[0].Then, w.Closures[0].After = schema.ModeAudit, "soon" }), `date "soon" is not one; want a day`},
		{"closed twice", change(func(w *schema.Workload) { w.Closures = append(w.Closures, w.Closures[0]) }), "twice"},
		{"unknown plane", change(func(w *schema.Workload) { w.Closures[0].Plane = "file" }), `closes the plane "file"`},
		{"closure without an ID", change(func(w *schema.Workload) { w.Closures[0].ID = 0 }), "without an ID"},
		{"rule without an ID", change(func(w *schema.Workload) { w.Rules[0].ID = 0 }), `exec rule "/bin/a": has no ID`},
		{"unknown verb", change(func(w *schema.Workload) { w.Rules[0].Verb = "read" }), `has the verb "read"`},
		{"verb of another plane", change(func(w *schema.Workload) { w.Rules[0].Verb = schema.VerbRun }), `has the verb "run"`},
		{"rule in an open plane", change(func(w *schema.Workload) { w.Closures = nil }), `does not close the plane "exec"`},
		{"relative path", change(func(w *schema.Workload) { w.Rules[0].Object = "bin/a" }), `exec rule "bin/a": is not absolute`},
		{"an exec rule with a peer", change(func(w *schema.Workload) { w.Rules[0].Peer = &schema.Peer{} }), "is not of a program alone"},
		{"an exec rule with values", change(func(w *schema.Workload) { w.Rules[0].Values = []string{"true"} }), "is not of a program alone"},
		{"a rule for files", change(func(w *schema.Workload) { w.Rules[0].Plane, w.Rules[0].Verb = schema.PlaneFile, schema.VerbRead }), `does not close the plane "file"`},
		{"too many conditions", change(func(w *schema.Workload) {
			w.Match.Expressions = map[string]schema.Expression{}
			for i := range 65 {
				w.Match.Expressions[fmt.Sprint(i)] = schema.Expression{In: schema.Names{"a"}}
			}
		}), "conditions on 65 labels"},
		{"too many values", change(func(w *schema.Workload) {
			w.Match.Expressions = map[string]schema.Expression{"a": {NotIn: make(schema.Names, 65)}}
		}), `65 values in the condition on label "a"`},
		{"an unknown condition", []byte(`{"name":"a","match":{"expressions":{"a":{"greater":["1"]}}}}`), `unknown field "greater"`},
		{"relative parent", change(func(w *schema.Workload) { w.Rules[0].Parents = []string{"sh"} }), `parent "sh" is not absolute`},
		{"too many parents", change(func(w *schema.Workload) { w.Rules[0].Parents = make([]string, 65) }), "has 65 parents"},
		{"ID used twice", change(func(w *schema.Workload) { w.Rules[0].ID = w.Closures[0].ID }), "stands for the closing of exec"},
		{"too many globs", change(func(w *schema.Workload) {
			for i := range schema.MaxGlobs + 1 {
				r := w.Rules[0]
				r.ID, r.Object = schema.RuleID(i+1), fmt.Sprintf("/bin/%d*", i)
				w.Rules = append(w.Rules, r)
			}
		}), "has 65 exec patterns"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := bundle.New(map[string][]byte{"node/a.json": tt.data}, bundle.Envelope{})
			_, _, err := newGeneration(b.Manifest, generation{}, from(b))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestGenerationRefusesOneNameTwice(t *testing.T) {
	a, b := testWorkload("a", "/a", schema.ModeEnforce), testWorkload("a", "/b", schema.ModeEnforce)
	b.Closures[0].ID = 7
	files := map[string][]byte{"node/a.json": bundle.Encode(a), "node/b.json": bundle.Encode(b)}
	bad := bundle.New(files, bundle.Envelope{})
	if _, _, err := newGeneration(bad.Manifest, generation{}, from(bad)); err == nil || !strings.Contains(err.Error(), `both hold the workload "a"`) {
		t.Error(err)
	}
}

func TestGenerationIsBounded(t *testing.T) {
	big := bundle.File{Path: "node/a.json", Size: maxNodeFile + 1, Digest: bundle.Sum(nil)}
	m := bundle.Manifest{Format: bundle.Format, Files: []bundle.File{big}, Digest: bundle.Digest([]bundle.File{big})}
	if _, _, err := newGeneration(m, generation{}, nil); err == nil || !strings.Contains(err.Error(), "split the workload") {
		t.Errorf("a big file: %v", err)
	}
	m.Files = nil
	for i := range maxGeneration/maxNodeFile + 1 {
		m.Files = append(m.Files, bundle.File{Path: fmt.Sprintf("node/%03d.json", i), Size: maxNodeFile, Digest: bundle.Sum(nil)})
	}
	m.Digest = bundle.Digest(m.Files)
	if _, _, err := newGeneration(m, generation{}, nil); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("many files: %v", err)
	}
}

func FuzzDecodeWorkload(f *testing.F) {
	f.Add(bundle.Encode(testWorkload("a", "/a/**", schema.ModeEnforce, "/bin/a", "/usr/**", "/x*y")))
	f.Add([]byte(`{"name":"a","match":{"namespace":"n","labels":{"a":"b"}},"closures":[{"id":"0000000000000001","plane":"image","mode":"audit"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var w schema.Workload
		if decodeWorkload(data, &w) != nil {
			return
		}
		if w.Match.Zero() || w.Name == "" {
			t.Fatalf("accepted %+v", w)
		}
		for _, r := range w.Rules {
			if r.Plane == schema.PlaneExec && schema.CheckPattern(r.Object) != nil {
				t.Fatalf("accepted the pattern %q", r.Object)
			}
		}
		var again schema.Workload
		if err := decodeWorkload(bundle.Encode(w), &again); err != nil {
			t.Fatalf("what was accepted is refused when encoded again: %v", err)
		}
	})
}
