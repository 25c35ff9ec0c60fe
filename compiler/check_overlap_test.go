// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// someMatch returns a match of few values, so that many pairs meet, many do not, and many lie inside each other.
func someMatch(r *rand.Rand) schema.Match {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	var m schema.Match
	if r.IntN(8) == 0 {
		return schema.Match{Host: true, Cgroup: pick("", "", "/kubepods/**", "/system.slice/*")}
	}
	m.Namespace = pick("", "a", "b")
	for _, key := range []string{"app", "tier"} {
		switch r.IntN(4) {
		case 0:
			m.Labels = withLabel(m.Labels, key, pick("x", "y"))
		case 1:
			m.Expressions = withExpression(m.Expressions, key, someExpression(r))
		}
	}
	if r.IntN(3) == 0 {
		m.Container = pick("web", "web-*", "*-b", "*", "w*b")
	}
	if r.IntN(3) == 0 {
		m.Cgroup = pick("/kubepods", "/kubepods/**", "/kubepods/*/c", "/k*", "/system.slice/**", "/**/c", "/*/a*")
	}
	return m
}

func withLabel(m map[string]string, k, v string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[k] = v
	return m
}

func withExpression(m map[string]schema.Expression, k string, x schema.Expression) map[string]schema.Expression {
	if m == nil {
		m = map[string]schema.Expression{}
	}
	m[k] = x
	return m
}

func someExpression(r *rand.Rand) schema.Expression {
	values := []string{"x", "y", "z"}
	yes, no := true, false
	switch r.IntN(5) {
	case 0:
		return schema.Expression{In: values[:1+r.IntN(2)]}
	case 1:
		return schema.Expression{NotIn: values[r.IntN(3):]}
	case 2:
		return schema.Expression{Exists: &yes}
	case 3:
		return schema.Expression{Exists: &no}
	}
	return schema.Expression{In: values, NotIn: values[r.IntN(3):]}
}

// someSubjects returns containers made of the values that someMatch uses.
func someSubjects() []schema.Subject {
	subjects := []schema.Subject{{Host: true}, {Host: true, Cgroup: "/system.slice/a"}, {Cgroup: "/system.slice/c"}, {Cgroup: "/other/ab/c"}}
	for _, namespace := range []string{"a", "b", "other"} {
		for _, app := range []string{"", "x", "y", "z", "w"} {
			for _, tier := range []string{"", "x", "y", "w"} {
				for _, container := range []string{"web", "web-b", "x-b", "other"} {
					s := schema.Subject{Namespace: namespace, Container: container, Labels: map[string]string{}}
					if app != "" {
						s.Labels["app"] = app
					}
					if tier != "" {
						s.Labels["tier"] = tier
					}
					for _, cgroup := range []string{"/kubepods", "/kubepods/a", "/kubepods/ab/c/d"} {
						s.Cgroup = cgroup
						subjects = append(subjects, s)
					}
				}
			}
		}
	}
	return subjects
}

// TestMatchWitness holds three things: an example is selected by both matches; where none is given, no container is; and what lies inside
// a match is selected by it.
func TestMatchWitness(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	subjects := someSubjects()
	met, lies := 0, 0
	for range 10_000 {
		a, b := someMatch(r), someMatch(r)
		both, ok := matchWitness(&a, &b)
		if ok {
			met++
			if !a.Selects(both) || !b.Selects(both) {
				t.Fatalf("%+v\nand %+v\ndo not both select %+v", a, b, both)
			}
		}
		inside := matchInside(&a, &b)
		if inside {
			lies++
		}
		for _, s := range subjects {
			if !ok && a.Selects(s) && b.Selects(s) {
				t.Fatalf("%+v\nand %+v\nboth select %+v", a, b, s)
			}
			if inside && a.Selects(s) && !b.Selects(s) {
				t.Fatalf("%+v\nlies inside %+v\nbut %+v does not", a, b, s)
			}
		}
	}
	if met < 1000 || lies < 200 {
		t.Errorf("%d pairs met, %d lay inside: the test says little", met, lies)
	}
}

func headNamed(name, folder string, m schema.Match) *head {
	return &head{name: name, folder: folder, match: m, matchPos: []schema.Pos{{File: name + ".cue", Line: 1, Col: 1}}}
}

// TestOverlapping compares the sorted search with looking at every pair.
func TestOverlapping(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	reported := 0
	for n := range 40 {
		var all []*head
		for i := range 60 + 60*(n%3) {
			m := someMatch(r)
			m.Namespace, m.Host = fmt.Sprintf("n%d", r.IntN(40)), false
			if r.IntN(3) == 0 && len(m.Labels) > 0 {
				m.Namespace = ""
			}
			if n%2 == 0 { // most differ in a label, with or without a namespace
				m.Labels = withLabel(m.Labels, "name", fmt.Sprint(r.IntN(80)))
			}
			all = append(all, headNamed(fmt.Sprintf("w%03d", i), ".", m))
		}
		pairs := map[string]bool{}
		counts := map[string]int{}
		for i, a := range all {
			for _, b := range all[i+1:] {
				if _, ok := matchWitness(&a.match, &b.match); ok {
					pairs[b.name+" "+a.name] = true
					counts[a.name]++
					counts[b.name]++
				}
			}
		}
		errs, warnings := overlapping(all)
		seen := map[string]bool{}
		for _, d := range slices.Concat(errs, warnings) {
			name := strings.TrimPrefix(d.Path, "workload ")
			other := strings.Fields(strings.TrimPrefix(d.Msg, "selects the same containers as workload "))[0]
			key := name + " " + other
			if !pairs[key] || seen[key] {
				t.Fatalf("pair %s is reported: %s", key, d)
			}
			seen[key] = true
		}
		for key := range pairs {
			a, b, _ := strings.Cut(key, " ")
			if counts[a] <= maxReported && counts[b] <= maxReported {
				if reported++; !seen[key] {
					t.Fatalf("pair %s is not reported", key)
				}
			}
		}
	}
	if reported < 300 {
		t.Errorf("only %d pairs had to be reported: the test says little", reported)
	}
}

func TestOverlapMessages(t *testing.T) {
	in := func(namespace string, labels map[string]string) schema.Match {
		return schema.Match{Namespace: namespace, Labels: labels}
	}
	app, tier := map[string]string{"app": "x"}, map[string]string{"tier": "y"}
	shared := headNamed("b", ".", in("n", nil))
	shared.shared = true
	for _, c := range []struct {
		a, b    *head
		err, no string // a part of the error, or of the warning
	}{
		{headNamed("a", ".", in("n", app)), headNamed("b", ".", in("n", nil)), "b.cue:1:1: workload b: selects the same containers as workload a at a.cue:1:1, for example namespace n, label app=x; one selector lies inside the other", ""},
		{headNamed("a", "d", in("n", app)), headNamed("b", "e", in("n", tier)), "they stand in the folders \"d\" and \"e\"", ""},
		{headNamed("a", ".", in("n", app)), headNamed("b", ".", in("n", tier)), "", "label app=x, label tier=y; want selectors that exclude each other, or \"shared: true\" in both (W001)"},
		{headNamed("a", ".", in("n", app)), shared, "one selector", ""},
		{headNamed("a", ".", schema.Match{Cgroup: "/kubepods.slice/**"}), headNamed("b", ".", in("n", nil)), "", "namespace n, cgroup /kubepods.slice/x"},
		{headNamed("a", ".", schema.Match{Cgroup: "/system.slice/*"}), headNamed("b", ".", in("n", nil)), "", ""},
		{headNamed("a", ".", schema.Match{Namespace: "n", Container: "*-x"}), headNamed("b", ".", schema.Match{Namespace: "n", Container: "y-*"}), "", "container y-x"},
	} {
		errs, warnings := overlapping([]*head{c.b, c.a})
		for _, x := range []struct {
			want string
			got  []Diagnostic
		}{{c.err, errs}, {c.no, warnings}} {
			if (x.want == "") != (len(x.got) == 0) || x.want != "" && !strings.Contains(x.got[0].String(), x.want) {
				t.Errorf("%s and %s: got %v, want %q", c.a.name, c.b.name, x.got, x.want)
			}
		}
	}
}

// TestOverlappingIsFast holds that workloads of one namespace that a label tells apart are not compared each with each.
func TestOverlappingIsFast(t *testing.T) {
	var all []*head
	for i := range 20_000 {
		all = append(all, headNamed(fmt.Sprintf("w%d", i), ".", schema.Match{Namespace: "n", Labels: map[string]string{"app": fmt.Sprint(i), "tier": "x"}}))
	}
	if errs, warnings := overlapping(all); len(errs)+len(warnings) > 0 {
		t.Errorf("%v %v", errs, warnings)
	}
}
