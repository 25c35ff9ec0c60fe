// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// exampleMatch generates matches of a small world, contradictory ones among them.
func exampleMatch(r *rand.Rand) schema.Match {
	var m schema.Match
	pick := func(values ...string) string { return values[r.IntN(len(values))] }
	value := func() string { return pick("a", "b") }
	some := func() schema.Names {
		switch r.IntN(4) {
		case 0:
			return nil
		case 1:
			return schema.Names{}
		case 2:
			return schema.Names{value()}
		}
		return schema.Names{"a", "b"}
	}
	m.Namespace = pick("", "", "shop")
	m.Host = r.IntN(8) == 0
	m.Container = pick("", "", "app", "app-*", "*", "a**", "a/b")
	m.Cgroup = pick("", "", "", "/a", "/*/b", "/**", "/a/**/b", "/a/b*", "relative", "/**/b")
	for range r.IntN(3) {
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		m.Labels[pick("k", "l")] = value()
	}
	for range r.IntN(3) {
		if m.Expressions == nil {
			m.Expressions = map[string]schema.Expression{}
		}
		x := schema.Expression{In: some(), NotIn: some()}
		if r.IntN(2) == 0 {
			x.Exists = new(r.IntN(2) == 0)
		}
		m.Expressions[pick("k", "l")] = x
	}
	return m
}

// world lists subjects with every combination of what exampleMatch can speak of.
func world() []schema.Subject {
	var all []schema.Subject
	values := []string{"", "a", "b", "other"} // "" is no label
	for _, namespace := range []string{"", "shop", "elsewhere"} {
		for _, k := range values {
			for _, l := range values {
				for _, container := range []string{"", "app", "app-1"} {
					for _, cgroup := range []string{"", "/a", "/x/b", "/a/b", "/a/c/b"} {
						for _, host := range []bool{false, true} {
							s := schema.Subject{Namespace: namespace, Container: container, Cgroup: cgroup, Host: host, Labels: map[string]string{}}
							for key, v := range map[string]string{"k": k, "l": l} {
								if v != "" {
									s.Labels[key] = v
								}
							}
							all = append(all, s)
						}
					}
				}
			}
		}
	}
	return all
}

// TestExampleGenerated holds that there is an example wherever a subject is selected, and that it has nothing that the match does not ask for.
func TestExampleGenerated(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	subjects := world()
	found, none := 0, 0
	for range 4000 {
		m := exampleMatch(r)
		s, ok := Example(m)
		if ok != m.Selects(s) {
			t.Fatalf("Example(%+v) = %+v, %v; Selects says otherwise", m, s, ok)
		}
		if ok {
			found++
			for k := range s.Labels {
				_, label := m.Labels[k]
				if x, named := m.Expressions[k]; !label && (!named || x.In == nil && x.Exists == nil) {
					t.Fatalf("Example(%+v) has the label %q, which nothing asks for", m, k)
				}
			}
			continue
		}
		none++
		for _, s := range subjects {
			if m.Selects(s) {
				t.Fatalf("Example(%+v) finds nothing; it selects %+v", m, s)
			}
		}
	}
	if found < 1000 || none < 500 {
		t.Errorf("%d matches with an example and %d without prove little", found, none)
	}
}

func TestExample(t *testing.T) {
	for _, c := range []struct {
		m    schema.Match
		want schema.Subject
	}{
		{schema.Match{Namespace: "shop", Labels: map[string]string{"app": "pay"}}, schema.Subject{Namespace: "shop", Labels: map[string]string{"app": "pay"}}},
		{schema.Match{Cgroup: "/kubepods.slice/*/cri-*.scope/**"}, schema.Subject{Cgroup: "/kubepods.slice/x/cri-x.scope/x"}},
		{schema.Match{Cgroup: "/a/**/b"}, schema.Subject{Cgroup: "/a/b"}},
		{schema.Match{Container: "app-*"}, schema.Subject{Container: "app-x"}},
		{schema.Match{Host: true}, schema.Subject{Host: true}},
		{schema.Match{Expressions: map[string]schema.Expression{"debug": {Exists: new(false)}}}, schema.Subject{Namespace: "default"}},
		{schema.Match{Namespace: "shop", Expressions: map[string]schema.Expression{"tier": {Exists: new(true), NotIn: schema.Names{"x"}}}},
			schema.Subject{Namespace: "shop", Labels: map[string]string{"tier": "xx"}}},
	} {
		if got, ok := Example(c.m); !ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("Example(%+v) = %+v, %v; want %+v", c.m, got, ok, c.want)
		}
	}
}

func TestExampleImage(t *testing.T) {
	for pattern, want := range map[string]string{
		"nginx": "docker.io/library/nginx", "registry.example.com/shop/*": "registry.example.com/shop/x", "registry.example.com/**": "registry.example.com/x",
		"registry.example.com/shop/app-*:v1": "registry.example.com/shop/app-x:v1", "registry.example.com/_*": "", "NGINX": "", "**": "registry.example.com/x", "**/app:v1": "registry.example.com/x/app:v1",
		"registry.example.com/**@*": "registry.example.com/x@sha256:" + strings.Repeat("0", 64), "**@*": "registry.example.com/x@sha256:" + strings.Repeat("0", 64),
	} {
		got, ok := exampleImage(pattern)
		if ok != (want != "") || ok && got != want {
			t.Errorf("exampleImage(%q) = %q, %v; want %q", pattern, got, ok, want)
		}
	}
}

// TestAllowsGenerated holds that a rule alone allows an event exactly if it can decide for it: a union allows what one of its rules does.
func TestAllowsGenerated(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	paths := []string{"/a", "/a/b", "/a/b/c", "/b", "/a/*", "/a/**", "/*/b", "/**"}
	allowed := 0
	for range 5000 {
		h := &handmade{file: "x.cue"}
		rules := make([]schema.Rule, 1+r.IntN(3))
		for i := range rules {
			rules[i] = rule(schema.VerbExec, paths[r.IntN(len(paths))])
			if r.IntN(2) == 0 {
				rules[i].Parents = []string{paths[r.IntN(len(paths))]}
			}
		}
		w := h.workload("w", schema.Match{Host: true}, schema.ModeEnforce, rules...)
		e := schema.Event{Subject: schema.Subject{Host: true}, Verb: schema.VerbExec, Object: schema.Path(paths[r.IntN(4)]), Parent: schema.Path(paths[r.IntN(4)])}
		one := false
		for _, rule := range w.Rules {
			one = one || allows(rule, e, noon)
		}
		v := schema.Judge(&schema.Policy{Workloads: []schema.Workload{w}}, e, noon)
		if one != (v.Action == schema.ActionAllow) {
			t.Fatalf("one of the rules %+v allows %+v: %v; Judge says %+v", w.Rules, e, one, v)
		}
		if one {
			allowed++
		}
	}
	if allowed < 500 || allowed > 4500 {
		t.Errorf("%d of 5000 are allowed, which proves little", allowed)
	}
}
