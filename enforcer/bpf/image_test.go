// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

// The words that generated paths and patterns are made of: few, so that they meet, and with what is easily got wrong.
var (
	pathWords    = []string{"a", "b", "ab", "ba", ".x", "aab", "[", "bin", "a-b"}
	patternWords = []string{"a", "b", "ab", "ba", ".x", "bin", "*", "a*", "*b", "a*b", "*a*", "**"}
)

func genPath(r *rand.Rand, root string) string {
	var b strings.Builder
	b.WriteString(root)
	for range 1 + r.IntN(5) {
		b.WriteString("/" + pathWords[r.IntN(len(pathWords))])
	}
	return b.String()
}

// genPattern makes exact paths, dir/** and globs in about equal parts.
func genPattern(r *rand.Rand, root string) string {
	switch r.IntN(3) {
	case 0:
		return genPath(r, root)
	case 1:
		p := genPath(r, root)
		return p[:strings.LastIndexByte(p, '/')] + "/**"
	}
	var b strings.Builder
	b.WriteString(root)
	for range 1 + r.IntN(5) {
		b.WriteString("/" + patternWords[r.IntN(len(patternWords))])
	}
	return b.String()
}

// genWorkloads makes up to three workloads, of which some mention exec and some have rules for the same object.
func genWorkloads(r *rand.Rand, root string, parents []string, modes ...schema.Mode) []*schema.Workload {
	var ws []*schema.Workload
	for i := range 1 + r.IntN(3) {
		w := &schema.Workload{Name: fmt.Sprintf("w%d", i)}
		if len(modes) == 1 || r.IntN(8) > 0 {
			w.Closures = []schema.Closure{{ID: schema.RuleID(r.Uint64() | 1), Plane: schema.PlaneExec, Mode: modes[r.IntN(len(modes))]}}
		}
		for range r.IntN(12) {
			rule := schema.Rule{ID: schema.RuleID(r.Uint64() | 1), Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: genPattern(r, root)}
			for range max(0, r.IntN(6)-3) {
				rule.Parents = append(rule.Parents, parents[r.IntN(len(parents))])
			}
			w.Rules = append(w.Rules, rule)
		}
		ws = append(ws, w)
	}
	return ws
}

func judge(ws []*schema.Workload, object, parent schema.Path, origin schema.Origin) schema.Verdict {
	v := schema.JudgeWorkloads(ws, schema.Event{Verb: schema.VerbExec, Object: object, Parent: parent, Origin: origin}, time.Time{})
	v.Workloads = nil
	return v
}

func TestImageEqualsJudge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	parents := []string{"/a/b", "/a/**", "/*/b", "/**/ab", "/bin", "/**"}
	reasons := map[schema.Reason]int{}
	for n := range 3000 {
		root := ""
		if n%3 == 0 {
			root = "/" + strings.Repeat("long-name/", 1+r.IntN(20)) + "x"
		}
		ws := genWorkloads(r, root, parents, schema.ModeLearn, schema.ModeAudit, schema.ModeEnforce, "unknown")
		im, err := Compile(ws, r.Uint64())
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			object, parent, origin := schema.Path(genPath(r, root)), schema.Path(""), schema.OriginPath
			if r.IntN(4) > 0 {
				parent = schema.Path(genPath(r, ""))
			}
			if r.IntN(20) == 0 {
				origin = schema.OriginDeleted
			}
			want, got := judge(ws, object, parent, origin), im.Judge(object, parent, origin)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("object %q parent %q origin %q: image says %v, schema says %v\nrules %+v", object, parent, origin, got, want, ws)
			}
			reasons[want.Reason]++
		}
	}
	for _, reason := range []schema.Reason{"rule", "no-rule", "parent", "origin", "open"} {
		if reasons[reason] < 100 {
			t.Errorf("reason %q came up %d times only: the generator is too narrow", reason, reasons[reason])
		}
	}
}

// TestImageOfAPlannedMode holds that without a clock the stricter mode counts, whichever side of the date it stands on.
func TestImageOfAPlannedMode(t *testing.T) {
	programs := map[uint64]bool{}
	for _, c := range []struct{ now, then, want schema.Mode }{
		{schema.ModeAudit, schema.ModeEnforce, schema.ModeEnforce}, {schema.ModeEnforce, schema.ModeLearn, schema.ModeEnforce},
		{schema.ModeLearn, schema.ModeAudit, schema.ModeAudit}, {schema.ModeAudit, "", schema.ModeAudit},
	} {
		ws := []*schema.Workload{{Closures: []schema.Closure{{ID: 1, Plane: schema.PlaneExec, Mode: c.now, Then: c.then, After: "2027-01-15"}}}}
		im, err := Compile(ws, 1)
		if err != nil {
			t.Fatal(err)
		}
		ws[0].Closures[0] = schema.Closure{ID: 1, Plane: schema.PlaneExec, Mode: c.want}
		if got, want := im.Judge("/a", "", schema.OriginPath), judge(ws, "/a", "", schema.OriginPath); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s then %s: %v; want %v", c.now, c.then, got, want)
		}
		programs[im.Program()] = true
	}
	if len(programs) != 2 {
		t.Errorf("%d programs; want one for enforce and one for audit", len(programs))
	}
}

func FuzzImageEqualsJudge(f *testing.F) {
	f.Add("/a/**/b*c", "/a/x/y/bzc", "/p/**", "/p/q", uint64(7))
	f.Add("/**", "/a", "/a/*", "/a/b", uint64(0))
	f.Fuzz(func(t *testing.T, pattern, path, parentPattern, parent string, seed uint64) {
		if schema.CheckPattern(pattern) != nil || schema.CheckPattern(parentPattern) != nil || !clean(path) || parent != "" && !clean(parent) {
			return
		}
		ws := []*schema.Workload{{
			Closures: []schema.Closure{{ID: 1, Plane: schema.PlaneExec, Mode: schema.ModeEnforce}},
			Rules: []schema.Rule{
				{ID: 2, Plane: schema.PlaneExec, Object: pattern, Parents: []string{parentPattern}},
				{ID: 3, Plane: schema.PlaneExec, Object: parentPattern},
			},
		}}
		im, err := Compile(ws, seed)
		if err != nil {
			t.Fatal(err)
		}
		want, got := judge(ws, schema.Path(path), schema.Path(parent), ""), im.Judge(schema.Path(path), schema.Path(parent), "")
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("image says %v, schema says %v", got, want)
		}
	})
}

func clean(path string) bool {
	return len(path) > 1 && len(path) <= schema.MaxPath && path[0] == '/' && !strings.Contains(path, "//") && !strings.HasSuffix(path, "/") &&
		!strings.Contains(path, "\x00")
}

// TestGlobSteps holds the bound that makes the kernel's budget enough: 3*(MaxGlob+1)*(MaxPath+1) steps.
func TestGlobSteps(t *testing.T) {
	bound := 3 * (schema.MaxGlob + 1) * (schema.MaxPath + 1)
	if bound >= maxSteps {
		t.Fatalf("the bound %d is not below the kernel's budget %d", bound, maxSteps)
	}
	fill := func(unit string, n int) string { return strings.Repeat(unit, n/len(unit)) }
	patterns := []string{
		"/*" + fill("a", 509) + "b", "/*" + fill("a*", 508) + "b", "/**/" + fill("a/", 506) + "b", "/**" + fill("/**/a", 505) + "/b",
		"/**/" + fill("*a", 300) + "/" + fill("a*", 200) + "b", "/**/" + fill("*/", 506) + "b", "/**" + fill("/*a*/**", 504) + "/b",
	}
	paths := []string{
		"/" + fill("a", 4094), fill("/a", 4094), fill("/aa", 4093), fill("/aaaaaaaaaaaaaaaaaaa", 4080), fill("/"+fill("a", 254), 4090),
	}
	worst := 0
	check := func(pattern, path string) {
		l := lookup{}
		got := l.glob(pattern, path)
		if l.steps > bound {
			t.Errorf("pattern of %d and path of %d bytes took %d steps; want at most %d", len(pattern), len(path), l.steps, bound)
		}
		worst = max(worst, l.steps)
		if want := schema.MatchPath(pattern, path); got != want {
			t.Errorf("pattern %q path %q: %v; want %v", pattern, path, got, want)
		}
	}
	for _, pattern := range patterns {
		if err := schema.CheckPattern(pattern); err != nil {
			t.Fatalf("pattern %q %v", pattern, err)
		}
		for _, path := range paths {
			check(pattern, path)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		check(genPattern(r, ""), genPath(r, ""))
	}
	if worst < 100_000 {
		t.Errorf("the worst case took %d steps only; the cases are too easy", worst)
	}
	t.Logf("worst case %d steps of %d", worst, bound)
}

func TestCompileBounds(t *testing.T) {
	rule := func(object string, parents ...string) schema.Rule {
		return schema.Rule{ID: 1, Plane: schema.PlaneExec, Object: object, Parents: parents}
	}
	var globs []schema.Rule
	for i := range MaxProgramGlobs + 1 {
		globs = append(globs, rule(fmt.Sprintf("/a%d/*", i)))
	}
	many := make([]string, MaxRuleParents+1)
	for i := range many {
		many[i] = fmt.Sprintf("/p%d", i)
	}
	for _, test := range []struct {
		name  string
		rules []schema.Rule
		want  string
	}{
		{"globs", globs, "257 exec patterns together"},
		{"parents", []schema.Rule{rule("/a", many...)}, `exec rule "/a": has 257 parents`},
		{"relative", []schema.Rule{rule("a")}, `exec rule "a": the path is not absolute`},
		{"parent", []schema.Rule{rule("/a", "b")}, `the parent "b" is not absolute`},
		{"zero", []schema.Rule{{Plane: schema.PlaneExec, Object: "/a"}}, "has the ID zero"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Compile([]*schema.Workload{{Name: "w", Rules: test.rules}}, 1)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v; want one that contains %q", err, test.want)
			}
		})
	}
}

func TestProgram(t *testing.T) {
	a := &schema.Workload{Name: "a", Rules: []schema.Rule{{ID: 1, Plane: schema.PlaneExec, Object: "/a"}}}
	b := &schema.Workload{Name: "b", Closures: []schema.Closure{{ID: 2, Plane: schema.PlaneExec, Mode: "audit"}}}
	program := func(seed uint64, ws ...*schema.Workload) uint64 {
		im, err := Compile(ws, seed)
		if err != nil {
			t.Fatal(err)
		}
		return im.Program()
	}
	if program(1, a, b) != program(2, b, a) {
		t.Error("seed or order changes Program")
	}
	if program(1, a) == program(1, a, b) || program(1, a) == program(1, b) {
		t.Error("different workloads have the same Program")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(make([]byte, eventSize))
	raw := make([]byte, eventSize+6)
	raw[36], raw[37], raw[76], raw[78] = 3, 1, 4, 2
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		rec, _, _, err := decode(raw, time.Unix(0, 0))
		if err == nil && (rec.Count != 1 || rec.Action == "" || eventSize+len(rec.Object)+len(rec.Parent) > len(raw)) {
			t.Errorf("record %+v", rec)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	ws := []*schema.Workload{manyRules(10_000, "/opt/app")}
	for b.Loop() {
		if _, err := Compile(ws, 1); err != nil {
			b.Fatal(err)
		}
	}
}

// manyRules makes a workload of n rules, of which a tenth are dir/** and 64 globs.
func manyRules(n int, root string) *schema.Workload {
	w := &schema.Workload{Name: "many", Closures: []schema.Closure{{ID: 1, Plane: schema.PlaneExec, Mode: schema.ModeEnforce}}}
	for i := range n {
		object := fmt.Sprintf("%s/component-%d/bin/program-%d", root, i%100, i)
		switch {
		case i < schema.MaxGlobs:
			object = fmt.Sprintf("%s/glob-%d/*/bin", root, i)
		case i%10 == 0:
			object = fmt.Sprintf("%s/dir-%d/**", root, i)
		}
		w.Rules = append(w.Rules, schema.Rule{ID: schema.RuleID(i + 2), Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: object})
	}
	return w
}
