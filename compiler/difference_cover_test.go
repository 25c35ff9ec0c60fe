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

// diffSmallPaths are the clean paths of at most three segments of at most three letters of "ab", and those of four and five short segments.
func diffSmallPaths() []string {
	short := []string{"a", "ab", "ba", "b"}
	segments := []string{"a", "b", "c"}
	for last := segments[:2]; len(last[0]) < 3; {
		var next []string
		for _, s := range last {
			next = append(next, s+"a", s+"b")
		}
		segments, last = append(segments, next...), next
	}
	grow := func(paths, segments []string) []string {
		var next []string
		for _, p := range paths {
			for _, s := range segments {
				next = append(next, p+"/"+s)
			}
		}
		return next
	}
	one := grow([]string{""}, segments)
	two := grow(one, segments)
	four := grow(grow(grow(grow([]string{""}, short), short), short), short)
	return slices.Concat(one, two, grow(two, segments), four, grow(four, short))
}

// diffRandomPattern returns a valid path pattern of at most three segments.
func diffRandomPattern(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(3) {
		b.WriteString("/" + []string{"a", "b", "*", "**", "a*", "*b", "a*b", "*a*", "ab", "**"}[r.IntN(10)])
	}
	return b.String()
}

// TestDiffCoverPath holds containment of path patterns against all small paths. A pattern of at most three segments over two letters that is
// included in another is so for longer paths too, and one that is not shows it in a small one.
func TestDiffCoverPath(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	paths := diffSmallPaths()
	covered := 0
	for range 3000 {
		broad, narrow := diffRandomPattern(r), diffRandomPattern(r)
		cover := &diffCover{steps: maxCoverSteps}
		got, want, witness := cover.path(broad, narrow), true, ""
		for _, p := range paths {
			if schema.MatchPath(narrow, p) && !schema.MatchPath(broad, p) {
				want, witness = false, p
				break
			}
		}
		if got != want {
			t.Fatalf("path(%q, %q) is %v; want %v: %q", broad, narrow, got, want, witness)
		}
		if got {
			covered++
		}
	}
	if covered < 100 {
		t.Errorf("only %d pairs were included", covered)
	}
}

func TestDiffCoverGivesUp(t *testing.T) {
	broad, narrow := strings.Repeat("/**/*a*", 20), strings.Repeat("/**/*aa*", 20)
	if cover := (&diffCover{steps: 1 << 20}); !cover.path(broad, narrow) {
		t.Errorf("with time, it is not decided: %d steps left", cover.steps)
	}
	if cover := (&diffCover{steps: 50}); cover.path(broad, narrow) || cover.steps > 0 {
		t.Errorf("decided with %d steps left", cover.steps)
	}
}

func TestDiffCovers(t *testing.T) {
	c := &diffCover{steps: maxCoverSteps}
	for _, x := range []struct {
		what          string
		cover         func(broad, narrow string) bool
		broad, narrow string
		want          bool
	}{
		{"path", c.path, "/usr/bin/*", "/usr/bin/curl", true},
		{"path", c.path, "/usr/bin/curl", "/usr/bin/*", false},
		{"path", c.path, "/usr/**", "/usr", false},
		{"path", c.path, "/**", "/*/a", true},
		{"path", c.path, "/*/a", "/**", false},
		{"path", c.path, "/a/**/b", "/a/b", true},
		{"path", c.path, "/a/**/b", "/a/*/*/b", true},
		{"path", c.path, "/a/*/b", "/a/**/b", false},
		{"path", c.path, "/a/*", "/a/*.so", true},
		{"path", c.path, "/a/*o*", "/a/*.so.*", true},
		{"path", c.path, "/usr2/**", "/usr/**", false},
		{"image", c.image, "nginx", "docker.io/library/nginx:1.2", true},
		{"image", c.image, "nginx:1.2", "nginx", false},
		{"image", c.image, "r.example.com/**", "r.example.com/a/*:v1", true},
		{"image", c.image, "r.example.com/*", "r.example.com/a/b", false},
		{"image", c.image, "R.example.com/a", "r.example.com/a", true},
		{"image", c.image, "a", "NOT", false},
		{"image", c.image, "**", "r.example.com/a:v1", true},
		{"image", c.image, "**:latest", "**", false},
		{"image", c.image, "docker.io/**", "**", false},
		{"image", c.image, "**/app", "r.example.com/*/app", true},
		{"image", c.image, "**@*", "a@sha256:" + strings.Repeat("0", 64), true},
		{"image", c.image, "a@sha256:" + strings.Repeat("0", 64), "a@*", false},
		{"name", c.name, "*.example.com", "api.example.com.", true},
		{"name", c.name, "*.example.com", "a.b.example.com", false},
		{"name", c.name, "*.example.com", "example.com", false},
		{"name", c.name, "**.example.com", "*.b.EXAMPLE.com", true},
		{"name", c.name, "**.example.com", "*.example.com", true},
		{"name", c.name, "*.example.com", "**.example.com", false},
		{"name", c.name, "**", "anything.example.com", false},
		{"name", c.name, "\u212a.example.com", "k.example.com", false}, // not a letter of ASCII
		{"name", c.name, "a.example.com", "b.example.com", false},
		{"port", c.port, "*", "http", true},
		{"port", c.port, "", "*", true},
		{"port", c.port, "http", "*", false},
		{"port", c.port, "80-90", "85", true},
		{"port", c.port, "80-90", "85-91", false},
		{"port", c.port, "80-90", "http", false},
		{"port", c.port, "1-65535", "http", false},
		{"port", c.port, "080", "80", false},
		{"port", c.port, "80", "80", true},
		{"cidr", c.cidr, "10.0.0.0/8", "10.1.0.0/16", true},
		{"cidr", c.cidr, "10.1.0.0/16", "10.0.0.0/8", false},
		{"cidr", c.cidr, "::/0", "10.0.0.0/8", false},
		{"cidr", c.cidr, "0.0.0.0/0", "::/0", false},
		{"cidr", c.cidr, "::/0", "::ffff:0:0/96", false},
		{"cidr", c.cidr, "2001:db8::/32", "2001:db8:1::/48", true},
		{"grpc", c.grpc, "a.S/*", "a.S/M", true},
		{"grpc", c.grpc, "a.S/M", "a.S/*", false},
		{"grpc", c.grpc, "a.S/*", "a.St/M", false},
		{"http path", c.httpPath, "/v1/**", "/v1/a/", true},
		{"http path", c.httpPath, "/v1/**", "/v1", false},
		{"http path", c.httpPath, "/v1/**", "/v1/", true},
		{"http path", c.httpPath, "/v1/*", "/v1/a", true},
		{"http path", c.httpPath, "/v1/*", "/v1/a/", false},
		{"http path", c.httpPath, "/v1/*/", "/v1/a/", true},
		{"http path", c.httpPath, "/**", "/", true},
		{"http path", c.httpPath, "/*", "/", false},
		{"http path", c.httpPath, "/*/**", "/a/**", true},
		{"http path", c.httpPath, "/a/*/**", "/a/**", false},
		{"http path", c.httpPath, "/a/*", "/a/**", false},
		{"http path", c.httpPath, "/**/b", "/a/b", true},
	} {
		if got := x.cover(x.broad, x.narrow); got != x.want {
			t.Errorf("%s: %q covers %q is %v; want %v", x.what, x.broad, x.narrow, got, x.want)
		}
	}
}

// diffRandomMatch returns a match over very few words, so that two often have to do with each other.
func diffRandomMatch(r *rand.Rand) schema.Match {
	yes, no := true, false
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	var m schema.Match
	m.Namespace = pick("", "shop", "shop", "bank")
	if r.IntN(2) == 0 {
		m.Labels = map[string]string{pick("app", "tier"): pick("a", "b")}
	}
	if r.IntN(3) == 0 {
		x := []schema.Expression{{In: schema.Names{"a"}}, {In: schema.Names{"a", "b"}}, {NotIn: schema.Names{"b"}}, {Exists: &yes}, {Exists: &no},
			{NotIn: schema.Names{"a"}, Exists: &yes}, {}}[r.IntN(7)]
		m.Expressions = map[string]schema.Expression{pick("app", "tier"): x}
	}
	if r.IntN(4) == 0 {
		m.Container = pick("web", "w*", "*")
	}
	if m.Namespace == "" && len(m.Labels)+len(m.Expressions) == 0 && m.Container == "" {
		m.Cgroup, m.Host = pick("/pay", "/pay/*", "/**", "/pay/x"), r.IntN(5) == 0
	}
	return m
}

// diffRandomSubject returns a container that often is one of those.
func diffRandomSubject(r *rand.Rand) schema.Subject {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	if r.IntN(4) == 0 {
		return schema.Subject{Cgroup: pick("/pay", "/pay/x", "/pay/x/y", "/other"), Host: r.IntN(4) == 0}
	}
	s := schema.Subject{Namespace: pick("shop", "shop", "bank"), Container: pick("web", "db"), Labels: map[string]string{},
		NamespaceLabels: map[string]string{"team": pick("a", "b")}, Image: pick("r.example.com/shop/web:v1", "r.example.com/shop/db:v1", "nginx")}
	for _, k := range []string{"app", "tier"} {
		if r.IntN(3) > 0 {
			s.Labels[k] = pick("a", "b", "c")
		}
	}
	return s
}

// TestDiffCoverMatch holds containment and meeting of matches against subjects.
func TestDiffCoverMatch(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var subjects []schema.Subject
	for range 400 {
		subjects = append(subjects, diffRandomSubject(r))
	}
	c := &diffCover{steps: maxCoverSteps}
	covered, apart := 0, 0
	for range 3000 {
		a, b := diffRandomMatch(r), diffRandomMatch(r)
		covers, meets := c.match(a, b), c.meets(a, b)
		for _, s := range subjects {
			if covers && b.Selects(s) && !a.Selects(s) {
				t.Fatalf("%s covers %s, but not %+v", diffMatchText(a), diffMatchText(b), s)
			}
			if !meets && a.Selects(s) && b.Selects(s) {
				t.Fatalf("%s does not meet %s, but for %+v", diffMatchText(a), diffMatchText(b), s)
			}
		}
		if covers {
			covered++
		}
		if !meets {
			apart++
		}
	}
	if covered < 100 || apart < 100 {
		t.Errorf("of 3000 pairs %d were included, %d apart", covered, apart)
	}
}

func TestDiffMeets(t *testing.T) {
	pod, host := schema.Match{Namespace: "shop"}, schema.Match{Host: true}
	c := &diffCover{}
	for _, x := range []struct {
		a, b schema.Match
		want bool
	}{
		{pod, schema.Match{Labels: map[string]string{"app": "web"}}, true},
		{pod, schema.Match{Namespace: "bank"}, false},
		{pod, host, false},
		{pod, schema.Match{Cgroup: "/system.slice/a"}, false},
		{pod, schema.Match{Cgroup: "/kubepods/**"}, true},
		{pod, schema.Match{Cgroup: "/kubepods.slice/*"}, true},
		{pod, schema.Match{Cgroup: "/**"}, true},
		{pod, schema.Match{Cgroup: "/k*/a"}, true},
		{host, schema.Match{Cgroup: "/system.slice/a"}, true},
		{schema.Match{Cgroup: "/a"}, schema.Match{Cgroup: "/a/b"}, true},
		{schema.Match{Cgroup: "/a"}, schema.Match{Cgroup: "/ab"}, false},
		{schema.Match{Container: "web"}, schema.Match{Container: "web"}, true},
		{schema.Match{Container: "web"}, schema.Match{Container: "db"}, false},
		{schema.Match{Container: "w*"}, schema.Match{Container: "web"}, true},
	} {
		for range 2 {
			if got := c.meets(x.a, x.b); got != x.want {
				t.Errorf("%s meets %s is %v; want %v", diffMatchText(x.a), diffMatchText(x.b), got, x.want)
			}
			x.a, x.b = x.b, x.a
		}
	}
}

func TestDiffCoverBound(t *testing.T) {
	c := &diffCover{steps: maxCoverSteps}
	for _, x := range []struct {
		broad, narrow schema.Match
		want          bool
	}{
		{schema.Match{}, schema.Match{}, true},
		{schema.Match{}, schema.Match{Namespace: "shop"}, true},
		{schema.Match{}, schema.Match{Cgroup: "/a"}, false},
		{schema.Match{}, schema.Match{Host: true}, false},
		{schema.Match{Namespace: "shop"}, schema.Match{}, false},
		{schema.Match{Namespace: "shop"}, schema.Match{Namespace: "shop", Labels: map[string]string{"a": "b"}}, true},
	} {
		if got := c.bound(x.broad, x.narrow); got != x.want {
			t.Errorf("%s covers %s is %v; want %v", matchOrAll(x.broad), matchOrAll(x.narrow), got, x.want)
		}
	}
}

func TestDiffCoverPeer(t *testing.T) {
	web := &schema.Match{Namespace: "shop", Labels: map[string]string{"app": "web"}}
	shop := &schema.Match{Namespace: "shop"}
	peers := []*schema.Peer{
		0:  {Workload: "web", Match: web, Port: "80", Protocol: "tcp"},
		1:  {Workload: "shop", Match: shop, Port: "80", Protocol: "tcp"},
		2:  {Namespace: "shop", Port: "80", Protocol: "tcp"},
		3:  {Namespaces: &schema.Selector{}, Port: "80", Protocol: "tcp"},
		4:  {Namespaces: &schema.Selector{Labels: map[string]string{"team": "a"}}, Port: "80", Protocol: "tcp"},
		5:  {CIDR: "10.0.0.0/8", Port: "80", Protocol: "tcp"},
		6:  {DNS: "*.example.com", Port: "80", Protocol: "tcp"},
		7:  {DNS: "a.example.com", Port: "80", Protocol: "udp"},
		8:  {DNS: "a.example.com", Port: "80", Protocol: ""},
		9:  {Workload: "gone", Port: "80", Protocol: "tcp"},
		10: {}, // anyone, any port
	}
	want := map[[2]int]bool{{1, 0}: true, {2, 0}: true, {2, 1}: true, {3, 4}: true, {8, 7}: true}
	for i := range peers {
		want[[2]int{10, i}] = true
	}
	for i, a := range peers {
		for j, b := range peers {
			c := &diffCover{steps: maxCoverSteps}
			if got := c.peer(a, b, true); got != (i == j || want[[2]int{i, j}]) {
				t.Errorf("peer %d covers %d is %v", i, j, got)
			}
		}
	}
}

func TestDiffPair(t *testing.T) {
	type x struct{ name, key string }
	base := []x{{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "3"}}
	head := []x{{"a", "9"}, {"B", "2"}, {"C", "3"}, {"e", ""}}
	var got []string
	for _, tw := range diffPair(base, head, func(v *x) string { return v.name }, func(v *x) string { return v.key }) {
		s := [2]string{"-", "-"}
		if tw.base != nil {
			s[0] = tw.base.name
		}
		if tw.head != nil {
			s[1] = tw.head.name
		}
		got = append(got, fmt.Sprint(s[0], s[1], tw.renamed))
	}
	want := []string{"aafalse", "bBtrue", "c-false", "d-false", "-Cfalse", "-efalse"}
	if strings := slices.Compact(got); !slices.Equal(strings, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}
