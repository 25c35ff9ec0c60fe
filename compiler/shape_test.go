// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/writ-sec/writ/schema"
)

// shapeMaker makes entries from the shapes of the schema: valid ones, and ones with a mistake.
type shapeMaker struct {
	r     *rand.Rand
	wrong int // one of so many values is a mistake; 0: none
}

func (m *shapeMaker) mistake() bool { return m.wrong > 0 && m.r.IntN(m.wrong) == 0 }

// anything is a value of any type.
func (m *shapeMaker) anything() any {
	return []any{"text", "audit", "", true, false, 0, -3, 443, 1.5, nil, []any{}, []any{"a"}, map[string]any{}, map[string]any{"key": map[string]any{}}, map[string]any{"why": "x"},
		map[string]any{"now": "audit", "then": "enforce", "after": "2027-01-01"}}[m.r.IntN(16)]
}

func (m *shapeMaker) value(s *shape) any {
	if m.mistake() {
		return m.anything()
	}
	var ways []func() any
	if s.text {
		ways = append(ways, func() any { return []string{"a", "", "audit", "8000-8100", "é"}[m.r.IntN(5)] })
	}
	if s.boolean {
		ways = append(ways, func() any { return m.r.IntN(2) == 0 })
	}
	if s.integer {
		ways = append(ways, func() any { return m.r.IntN(1000) - 10 })
	}
	if len(s.words) > 0 {
		ways = append(ways, func() any {
			word := s.words[m.r.IntN(len(s.words))]
			if m.mistake() {
				return word[:len(word)-1]
			}
			return word
		})
	}
	for _, form := range s.structs {
		ways = append(ways, func() any {
			v := m.structure(form)
			for all, _ := v.(map[string]any); len(all) == 0 && len(s.structs) > 1; all, _ = v.(map[string]any) {
				v = m.structure(form) // CUE cannot tell which form an empty one is
			}
			return v
		})
	}
	return ways[m.r.IntN(len(ways))]()
}

func (m *shapeMaker) structure(form *structShape) any {
	all := map[string]any{}
	few := 1 + len(form.order)/3
	for _, name := range form.order {
		f := form.fields[name]
		switch {
		case f.required && !m.mistake(), !f.required && m.r.IntN(few) == 0:
			if m.mistake() {
				name = misspelt(name)
			}
			all[name] = m.value(f.shape)
		}
	}
	if form.any != nil {
		for range m.r.IntN(3) {
			all[[]string{"key", "/bin/x", "GET /x", "a b", "why"}[m.r.IntN(5)]] = m.value(form.any)
		}
	}
	if m.mistake() {
		all[[]string{"extra", "mode", "match", "key"}[m.r.IntN(4)]] = m.anything()
	}
	if m.mistake() {
		return map[string]any{"key": all}
	}
	return all
}

func misspelt(name string) string { return name[:1] + "x" + name[1:] }

// policyFile makes a file of one to three entries.
func (m *shapeMaker) policyFile() string {
	var b strings.Builder
	b.WriteString("package policy\n\n")
	for i := range 1 + m.r.IntN(3) {
		k := kinds[m.r.IntN(len(kinds))]
		text, err := json.Marshal(m.value(shapeOf(k)))
		if err != nil {
			panic(err)
		}
		if k.single && !strings.Contains(b.String(), k.name+":") {
			fmt.Fprintf(&b, "%s: %s\n", k.name, text)
		} else if !k.single {
			fmt.Fprintf(&b, "%s: e%d: %s\n", k.name, i, text)
		}
	}
	return b.String()
}

// patternsOfAll is the root file that states the pattern of every kind.
func patternsOfAll() string {
	var b strings.Builder
	b.WriteString("package policy\n\nimport \"" + schema.ImportPath + "\"\n\n")
	for _, k := range kinds {
		if k.single {
			fmt.Fprintf(&b, "%s: schema.%s\n", k.name, k.definition)
		} else {
			fmt.Fprintf(&b, "%s: [string]: schema.%s\n", k.name, k.definition)
		}
	}
	return b.String()
}

// vet is what cue vet -c says of files with the true schema.
func vet(t *testing.T, texts []text) error {
	t.Helper()
	bc := build.NewContext()
	lib := bc.NewInstance("", nil)
	lib.ImportPath = schema.ImportPath
	for name, data := range libraries[0].sources() {
		if err := addFile(lib, name, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := lib.Complete(); err != nil {
		t.Fatal(err)
	}
	inst := bc.NewInstance("", func(_ token.Pos, path string) *build.Instance {
		if path == schema.ImportPath {
			return lib
		}
		return nil
	})
	inst.ImportPath = "policy.invalid:" + packageName
	for _, f := range texts {
		if err := addFile(inst, f.Path, f.Data); err != nil {
			return err
		}
	}
	if err := inst.Complete(); err != nil {
		return err
	}
	v := cuecontext.New().BuildInstance(inst)
	if err := v.Err(); err != nil {
		return err
	}
	return v.Validate(cue.Concrete(true), cue.Final())
}

// shapeErrors is what writ says of the files at the root.
func shapeErrors(t *testing.T, ev *evaluators, texts []text) []Diagnostic {
	t.Helper()
	var tree Tree
	for _, f := range texts {
		tree.Files = append(tree.Files, File{Path: f.Path, Data: f.Data})
	}
	folders, errs := load(tree)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var seen []*parsed
	for _, s := range folders[0].seen {
		seen = append(seen, parseFile(s))
	}
	u, err := readFolder(t.Context(), folders[0], seen, ev)
	if err != nil {
		t.Fatal(err)
	}
	return u.Errs
}

// TestShapeEqualsCUE holds the shapes against the schema itself, in CUE's own hands: what one refuses, the other does.
func TestShapeEqualsCUE(t *testing.T) {
	const policies = 3000
	var ev evaluators
	t.Cleanup(ev.close)
	root := []byte(patternsOfAll())
	valid := 0
	for i := range policies {
		m := &shapeMaker{r: rand.New(rand.NewPCG(18, uint64(i))), wrong: []int{0, 12, 30, 60}[i%4]}
		file := m.policyFile()
		texts := []text{{"a.cue", []byte(file)}, {"writ.cue", root}}
		errs, err := shapeErrors(t, &ev, texts), vet(t, texts)
		if err == nil {
			valid++
		}
		if (len(errs) > 0) != (err != nil) {
			t.Errorf("policy %d:\n%s\nwrit says %v\nCUE says %v", i, file, errs, err)
		}
		if i%4 == 0 && err != nil {
			t.Errorf("policy %d is made to be valid:\n%s\nCUE says %v", i, file, err)
		}
	}
	t.Logf("%d of %d policies are valid", valid, policies)
	if valid < policies*4/10 || valid > policies*7/10 {
		t.Errorf("%d of %d policies are valid; want about half", valid, policies)
	}
}

// TestShapeIsStricter lists what writ refuses and CUE lets pass, on purpose: nothing would come of it.
func TestShapeIsStricter(t *testing.T) {
	var ev evaluators
	t.Cleanup(ev.close)
	root := text{"writ.cue", []byte(patternsOfAll())}
	for _, c := range []struct{ name, file, want string }{
		{"a kind that is none", "worklod: a: match: namespace: \"a\"\n", "top-level field \"worklod\" is not known"},
	} {
		texts := []text{{"a.cue", []byte("package policy\n\n" + c.file)}, root}
		if err := vet(t, texts); err != nil {
			t.Errorf("%s: CUE refuses it: %v", c.name, err)
		}
		if got := lines(shapeErrors(t, &ev, texts)); !strings.Contains(got, c.want) {
			t.Errorf("%s: writ says %q; want %q", c.name, got, c.want)
		}
	}
}

// TestBudgetBesideItsPattern states the one kind without entries where its schema stands, literally and not.
func TestBudgetBesideItsPattern(t *testing.T) {
	for _, text := range []string{"budget: objects: 5", "budget: objects: 2 + 3", "budget: objects: 5\n_n: 2 + 3", "budget: {objects: 5, if false {nodeBytes: 1}}"} {
		l := readLiteral(t, []File{{Path: "a.cue", Data: []byte("package policy\n" + text + "\n")}, {Path: "writ.cue", Data: []byte(patternsOfAll())}})
		if b := l.policy().Budget; b.Objects != 5 || b.NodeBytes != 0 || len(l.errs) > 0 {
			t.Errorf("%s: %+v, %v; want 5 objects", text, b, l.errs)
		}
	}
}

// addFile parses a file and adds it to an instance.
func addFile(inst *build.Instance, name string, data any) error {
	f, err := parser.ParseFile(name, data)
	if err != nil {
		return err
	}
	return inst.AddSyntax(f)
}
