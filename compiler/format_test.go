// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/parser"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestFormatGolden formats each file NAME of the archives; the result stands in want/NAME. A file that does not parse has its error there.
func TestFormatGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/format/*.txtar")
	if err != nil || len(names) < 3 {
		t.Fatalf("found %d archives, %v", len(names), err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		inputs, tested := map[string][]byte{}, 0
		for _, f := range a.Files {
			inputs[f.Name] = f.Data
		}
		for i, f := range a.Files {
			source, ok := strings.CutPrefix(f.Name, "want/")
			if !ok {
				continue
			}
			tested++
			got, err := Format(source, inputs[source])
			if err != nil {
				got = []byte(err.Error() + "\n")
			} else {
				checkFormatted(t, source, inputs[source], got)
			}
			if *update {
				a.Files[i].Data = got
			} else if !bytes.Equal(got, f.Data) {
				t.Errorf("%s: %s differs; run with -update and look at the difference\n got:\n%s\nwant:\n%s", name, f.Name, got, f.Data)
			}
		}
		if tested == 0 || 2*tested != len(a.Files) {
			t.Errorf("%s: %d of %d files are outputs; want one for each input", name, tested, len(a.Files))
		}
		if *update {
			if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkFormatted holds what every formatted file must be: stable, and of the same tokens and comments.
func checkFormatted(t *testing.T, name string, before, after []byte) {
	t.Helper()
	again, err := Format(name, after)
	if err != nil {
		t.Errorf("%s: the formatted file does not format: %v\n%s", name, err, after)
	} else if !bytes.Equal(again, after) {
		t.Errorf("%s: formatting twice differs\nonce:\n%s\ntwice:\n%s", name, after, again)
	}
	if b, a := words(before), words(after); !maps.Equal(b, a) {
		t.Errorf("%s: tokens differ\nbefore:\n%s\nafter:\n%s\nbefore: %v\nafter:  %v", name, before, after, b, a)
	}
}

// words counts tokens without the white space in them: the formatter indents strings of several lines.
func words(data []byte) map[string]int {
	all := map[string]int{}
	for tok, n := range tokens(data) {
		all[strings.Join(strings.Fields(tok), " ")] += n
	}
	return all
}

// meaning evaluates a file alone and returns its value with sorted keys.
func meaning(t *testing.T, name string, data []byte) string {
	t.Helper()
	f, err := parser.ParseFile(name, data)
	if err != nil {
		t.Fatal(err)
	}
	v := cuecontext.New().BuildFile(f)
	raw, err := v.MarshalJSON()
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(sorted)
}

// TestFormatMeaning formats generated policies: they mean the same, stay with their comments, and are sorted.
func TestFormatMeaning(t *testing.T) {
	for seed := range uint64(150) {
		g := &policyWriter{rand: rand.New(rand.NewPCG(seed, 1))}
		before := g.policy()
		name := fmt.Sprintf("seed %d", seed)
		after, err := Format(name, before)
		if err != nil {
			t.Fatalf("%v\n%s", err, before)
		}
		checkFormatted(t, name, before, after)
		if b, a := meaning(t, name, before), meaning(t, name, after); b != a {
			t.Errorf("%s: the meaning differs\nbefore:\n%s\nafter:\n%s", name, before, after)
		}
		g.checkComments(t, name, after)
		if t.Failed() {
			return
		}
	}
}

// policyWriter writes policies in careless form.
type policyWriter struct {
	rand      *rand.Rand
	b         strings.Builder
	commented []string // rules, by the number of their comment
}

func (g *policyWriter) chance(n int) bool { return g.rand.IntN(n) == 0 }

func (g *policyWriter) policy() []byte {
	g.b.WriteString("package policy\nlib: {one: {\"/lib/1\": {}}, two: {\"/lib/2\": {why: \"two\"}}}\n")
	for i := range 1 + g.rand.IntN(2) {
		fmt.Fprintf(&g.b, "workload: w%d: {\n", i)
		g.b.WriteString("match: namespace: \"n\"\n")
		g.rules("exec", "")
		g.b.WriteString("file: {")
		g.rules("read", "")
		g.rules("write", "")
		g.b.WriteString("}\negress: e: {port: 1, cidr: \"10.0.0.0/8\",\n")
		g.rules("http", "GET ")
		g.b.WriteString("}\n}\n")
	}
	return []byte(g.b.String())
}

// rules writes one map of rules, in one line or in several.
func (g *policyWriter) rules(name, prefix string) {
	n := g.rand.IntN(7)
	keys := g.rand.Perm(9)[:n]
	if g.chance(3) {
		fmt.Fprintf(&g.b, "%s: {", name)
		for i, k := range keys {
			if i > 0 {
				g.b.WriteString(strings.Repeat(" ", g.rand.IntN(3)) + "," + strings.Repeat(" ", g.rand.IntN(3)))
			}
			fmt.Fprintf(&g.b, "%q: {}", fmt.Sprintf("%s/%d", prefix, k))
		}
		g.b.WriteString("}\n")
		return
	}
	fmt.Fprintf(&g.b, "%s: {\n", name)
	for _, k := range keys {
		g.rule(fmt.Sprintf("%s/%d", prefix, k), prefix == "")
	}
	if g.chance(4) {
		g.b.WriteString("\n// ends the map\n")
	}
	g.b.WriteString("}\n")
}

func (g *policyWriter) rule(key string, sets bool) {
	if g.chance(5) {
		g.b.WriteString("\n")
	}
	if g.chance(8) {
		g.b.WriteString("\n// stands alone\n\n")
	}
	if sets && g.chance(6) {
		fmt.Fprintf(&g.b, "lib.%s\n", []string{"one", "two"}[g.rand.IntN(2)])
	}
	g.entry(key)
}

// entry writes one rule, perhaps with a comment above or beside it.
func (g *policyWriter) entry(key string) {
	value := []string{"{}", "why: \"x\"", "{\n\t// inside\n\twhy: \"y\"\n}", "{why: \"\"\"\n\ta\n\t// b\n\n\tc\n\t\"\"\"}"}[g.rand.IntN(4)]
	above := g.chance(3)
	if above {
		fmt.Fprintf(&g.b, "// comment %d\n", g.comment(key))
	}
	fmt.Fprintf(&g.b, "%q: %s", key, value)
	if value[len(value)-1] == '}' && g.chance(3) {
		fmt.Fprintf(&g.b, " // comment %d", g.comment(key))
	}
	if g.chance(4) {
		g.b.WriteString("\t\t")
	}
	g.b.WriteString("\n")
}

func (g *policyWriter) comment(key string) int {
	g.commented = append(g.commented, key)
	return len(g.commented) - 1
}

// checkComments holds that each numbered comment is still above or beside its rule.
func (g *policyWriter) checkComments(t *testing.T, name string, after []byte) {
	t.Helper()
	lines := strings.Split(string(after), "\n")
	for n, key := range g.commented {
		comment := fmt.Sprintf("// comment %d", n)
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasSuffix(strings.TrimSpace(l), comment) })
		if i < 0 {
			t.Errorf("%s: %q is lost\n%s", name, comment, after)
			continue
		}
		if strings.TrimSpace(lines[i]) == comment {
			i++
		}
		for i > 0 && strings.HasPrefix(strings.TrimSpace(lines[i]), "}") || strings.HasPrefix(strings.TrimSpace(lines[i]), `"""`) {
			for i--; !strings.Contains(lines[i], `"/`) && !strings.Contains(lines[i], `"GET `); i-- {
			}
		}
		if !strings.Contains(lines[i], fmt.Sprintf("%q:", key)) {
			t.Errorf("%s: %q has left the rule %q for %q\n%s", name, comment, key, lines[i], after)
		}
	}
}

// What writ itself writes is formatted.
func TestInitIsFormatted(t *testing.T) {
	for name, data := range Init() {
		got, err := Format(name, data)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(name, moduleDir+"/") && !bytes.Equal(got, data) {
			t.Errorf("%s would change:\n%s", name, got)
		}
	}
}

func TestMapLevels(t *testing.T) {
	var levels func(*mapTree) int
	levels = func(m *mapTree) int {
		deepest := 0
		for _, sub := range m.fields {
			deepest = max(deepest, levels(sub))
		}
		if m.sorted {
			deepest++
		}
		return deepest
	}
	if got := levels(sortedMaps); got != mapLevels {
		t.Errorf("maps of sortedMaps stand in each other %d deep; mapLevels is %d", got, mapLevels)
	}
}

func TestFormatErrors(t *testing.T) {
	for _, c := range []struct{ what, source, want string }{
		{"syntax", "package policy\n\nworkload: {\n\ta: \"\n}\n", "a.cue:4:5: syntax: string literal not terminated"},
		{"two errors", "a: {\n", "a.cue:1:"},
		{"text", "a: \"\xff\"\n", "a.cue:1:5: is not UTF-8"},
		{"size", strings.Repeat("// x\n", MaxFile/5+1), "a.cue: has more than"},
		{"nesting", strings.Repeat("a: ", 40_000) + "1\n", "nests more than"},
		{"depth", strings.Repeat("a: ", 2_000) + "1\n", "nested deeper"},
	} {
		_, err := Format("a.cue", []byte(c.source))
		var errs Errors
		if !errors.As(err, &errs) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %.300v; want %q", c.what, err, c.want)
			continue
		}
		if d := errs[0]; d.Pos.Line > 0 && c.what != "nesting" && c.what != "depth" && d.Source != strings.Split(c.source, "\n")[d.Pos.Line-1] {
			t.Errorf("%s: source is %q", c.what, d.Source)
		}
	}
}

// FuzzFormat holds that formatting never panics, and that whatever it returns is stable and has lost no token.
func FuzzFormat(f *testing.F) {
	for _, glob := range []string{"testdata/format/*.txtar", "testdata/*.txtar"} {
		names, err := filepath.Glob(glob)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			a, err := txtar.ParseFile(name)
			if err != nil {
				f.Fatal(err)
			}
			for _, file := range a.Files {
				if strings.HasSuffix(file.Name, ".cue") {
					f.Add(file.Data)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 20_000 {
			return
		}
		got, err := Format("f.cue", data)
		if err != nil {
			return
		}
		again, err := Format("f.cue", got)
		if err != nil {
			t.Fatalf("the formatted file does not format: %v\n%q\n%q", err, data, got)
		}
		if !bytes.Equal(got, again) {
			t.Fatalf("formatting twice differs:\n%q\n%q\n%q", data, got, again)
		}
	})
}
