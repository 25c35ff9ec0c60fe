// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// generator writes policy files in every shape that people write.
type generator struct {
	*rand.Rand
	ind string
}

func (g *generator) coin() bool { return g.IntN(2) == 0 }

// object returns one of few paths, so that proposals and rules meet.
func (g *generator) object() string {
	return []string{"/a", "/b", "/opt/x y", "/opt/\"q\"", "/usr/bin/c", "/usr/bin/d", "/z/\\(e)", "/z/Grüße"}[g.IntN(8)]
}

func (g *generator) objects(n int) []string {
	set := map[string]bool{}
	for range n {
		set[g.object()] = true
	}
	out := slices.Collect(maps.Keys(set))
	slices.Sort(out)
	if g.IntN(3) == 0 {
		g.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return out
}

func (g *generator) comment() string {
	if g.IntN(4) == 0 {
		return " // " + []string{"}", "why", "\"/a\": {}", "{ , }"}[g.IntN(4)]
	}
	return ""
}

// body writes a struct with one field for each key.
func (g *generator) body(keys []string, depth int, value func(string) string) string {
	fields := make([]string, len(keys))
	for i, k := range keys {
		fields[i] = quote(k) + ": " + value(k)
	}
	in := strings.Repeat(g.ind, depth+1)
	switch shape := g.IntN(4); {
	case shape == 0 && len(keys) == 1:
		return fields[0]
	case shape == 1:
		return "{" + strings.Join(fields, ", ") + "}"
	default:
		var b strings.Builder
		b.WriteString("{" + g.comment() + "\n")
		for _, f := range fields {
			if g.IntN(5) == 0 {
				b.WriteString("\n" + in + "// a note {\n")
			}
			comma := ""
			if g.IntN(5) == 0 {
				comma = ","
			}
			b.WriteString(in + f + comma + g.comment() + "\n")
		}
		return b.String() + strings.Repeat(g.ind, depth) + "}"
	}
}

func (g *generator) rule(depth int) func(string) string {
	return func(string) string {
		var parts []string
		if g.coin() {
			parts = append(parts, `why: "because"`)
		}
		if g.coin() {
			one := g.objects(1 + g.IntN(2))
			slices.Sort(one)
			parts = append(parts, "parent: "+g.body(one, depth+2, func(string) string { return "{}" }))
		}
		if len(parts) == 1 && g.coin() {
			return parts[0]
		}
		if g.IntN(3) == 0 && len(parts) > 0 {
			in := strings.Repeat(g.ind, depth+2)
			return "{\n" + in + strings.Join(parts, "\n"+in) + "\n" + strings.Repeat(g.ind, depth+1) + "}"
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
}

// file writes the statements of a workload in one file.
func (g *generator) file(name string, objects []string, first bool) string {
	g.ind = []string{"\t", "  ", "    "}[g.IntN(3)]
	var b strings.Builder
	b.WriteString("package policy\n\n")
	fields := []string{}
	if first {
		fields = append(fields, `match: namespace: "`+name+`"`, `mode: "audit"`)
	}
	switch g.IntN(5) {
	case 0: // chains
		for _, f := range fields {
			fmt.Fprintf(&b, "workload: %s: %s%s\n", name, f, g.comment())
		}
		if len(objects) == 0 {
			fmt.Fprintf(&b, "workload: %s: exec: {}%s\n", name, g.comment())
		}
		for _, o := range objects {
			fmt.Fprintf(&b, "workload: %s: exec: %s: %s\n", name, quote(o), g.rule(-1)(o))
		}
	case 1: // by reference
		fmt.Fprintf(&b, "_set: exec: %s\n\nworkload: %s: _set\n", g.body(objects, 0, g.rule(0)), name)
		for _, f := range fields {
			fmt.Fprintf(&b, "workload: %s: %s\n", name, f)
		}
	default:
		exec := "exec: " + g.body(objects, 1, g.rule(1))
		at := g.IntN(len(fields) + 1)
		fields = slices.Insert(fields, at, exec)
		fmt.Fprintf(&b, "// The workload.\nworkload: %q: {\n", name)
		for _, f := range fields {
			b.WriteString(g.ind + f + g.comment() + "\n")
		}
		b.WriteString("}\n\n// after\n_x: 1")
		if g.coin() {
			b.WriteString("\n")
		}
	}
	text := b.String()
	if g.IntN(4) == 0 {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

// TestEditGenerated holds for generated files, rules and proposals: the edit succeeds (so the result means exactly what was proposed), no comment is
// lost, lines are only added or changed where they must, and a second edit by the same proposal is refused as already there.
func TestEditGenerated(t *testing.T) {
	n := 300
	if testing.Short() {
		n = 50
	}
	c := compiler.New(compiler.Config{})
	for seed := range n {
		g := &generator{Rand: rand.New(rand.NewPCG(uint64(seed), 7))}
		files := map[string]string{"a.cue": g.file("w", g.objects(g.IntN(4)), true)}
		if g.IntN(3) == 0 {
			files["b.cue"] = strings.ReplaceAll(g.file("w", g.objects(1+g.IntN(3)), false), "_set", "_setb")
		}
		files["other.cue"] = g.file("other", g.objects(2), true)
		files["other.cue"] = strings.ReplaceAll(files["other.cue"], "_set", "_seto")
		tree := repoOf(files)
		p := g.proposal(mustCompile(t, c, tree))
		if len(p.Changes) == 0 {
			continue
		}
		got, err := Edit(t.Context(), c, tree, p)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s\n%+v", seed, err, files, p)
		}
		for name, data := range got.Files {
			if lost := lostText(files[name], string(data)); lost != "" {
				t.Errorf("seed %d: %s lost %q:\n%s\nwas:\n%s", seed, name, lost, data, files[name])
			}
		}
		if again, err := Edit(t.Context(), c, got.Tree, p); p.Changes[0].New && err == nil {
			t.Errorf("seed %d: a second edit did %v", seed, again.Files)
		}
	}
}

// lostText returns a comment or field name that an edit lost or a line that it moved, or "".
func lostText(before, after string) string {
	for _, s := range lexemes(before) {
		i := strings.Index(after, s)
		if i < 0 {
			return s
		}
		after = after[i+len(s):]
	}
	return ""
}

// lexemes returns the names and comments of a file in the order in which they stand.
func lexemes(text string) []string {
	var out []string
	f, err := parser.ParseFile("", text, parser.ParseComments)
	if err != nil {
		return []string{err.Error()}
	}
	type at struct {
		offset int
		text   string
	}
	var all []at
	ast.Walk(f, func(n ast.Node) bool {
		for _, g := range ast.Comments(n) {
			for _, c := range g.List {
				all = append(all, at{c.Pos().Offset(), strings.TrimRight(c.Text, "\r")})
			}
		}
		if b, ok := n.(*ast.BasicLit); ok {
			all = append(all, at{b.Pos().Offset(), b.Value})
		}
		return true
	}, nil)
	slices.SortFunc(all, func(a, b at) int { return a.offset - b.offset })
	for _, a := range all {
		out = append(out, a.text)
	}
	return out
}

// mustCompile compiles a generated tree. The generator makes only valid ones, so an error is a fault of the test.
func mustCompile(t *testing.T, c *compiler.Compiler, tree compiler.Tree) *schema.Policy {
	t.Helper()
	res, err := c.Compile(t.Context(), tree, bundle.Envelope{})
	if err != nil {
		t.Fatalf("generated policy: %v", err)
	}
	return lowered(t, res)
}

// proposal asks for rules that are missing, and for parents of rules that name some.
func (g *generator) proposal(p *schema.Policy) Proposal {
	i := slices.IndexFunc(p.Workloads, func(w schema.Workload) bool { return w.Name == "w" })
	w := p.Workloads[i]
	out := Proposal{Workload: "w"}
	for _, o := range g.objects(1 + g.IntN(4)) {
		j := slices.IndexFunc(w.Rules, func(r schema.Rule) bool { return r.Object == o })
		switch {
		case j < 0 && g.IntN(4) == 0:
			out.Changes = append(out.Changes, newRule("w", o, "/p1", "/p2"))
		case j < 0:
			out.Changes = append(out.Changes, newRule("w", o))
		case len(w.Rules[j].Parents) > 0:
			out.Changes = append(out.Changes, newParents("w", o, "/p1"))
		}
	}
	slices.SortFunc(out.Changes, compareChanges)
	return out
}
