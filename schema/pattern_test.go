// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// naiveMatch is a second implementation of the specification of MatchPath: by recursion over segments, exponential and obvious.
func naiveMatch(pattern, path string) bool {
	if !strings.HasPrefix(pattern, "/") || !cleanPath(path) {
		return false
	}
	return naiveSegments(strings.Split(pattern[1:], "/"), strings.Split(path[1:], "/"))
}

func naiveSegments(pattern, path []string) bool {
	if len(pattern) == 0 {
		return len(path) == 0
	}
	if pattern[0] == "**" {
		if len(pattern) == 1 {
			return len(path) > 0
		}
		for i := range len(path) + 1 {
			if naiveSegments(pattern[1:], path[i:]) {
				return true
			}
		}
		return false
	}
	return len(path) > 0 && naiveSegment(pattern[0], path[0]) && naiveSegments(pattern[1:], path[1:])
}

func naiveSegment(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	if pattern[0] == '*' {
		for i := range len(s) + 1 {
			if naiveSegment(pattern[1:], s[i:]) {
				return true
			}
		}
		return false
	}
	return s != "" && s[0] == pattern[0] && naiveSegment(pattern[1:], s[1:])
}

var matchTable = []struct {
	pattern, path string
	want          bool
}{
	{"/usr/bin/curl", "/usr/bin/curl", true},
	{"/usr/bin/curl", "/usr/bin/curls", false},
	{"/usr/bin/curl", "/usr/bin/cur", false},
	{"/usr/bin/[", "/usr/bin/[", true},
	{"/usr/bin/*", "/usr/bin/curl", true},
	{"/usr/bin/*", "/usr/bin/.hidden", true},
	{"/usr/bin/*", "/usr/bin/a/b", false},
	{"/usr/bin/*", "/usr/bin", false},
	{"/usr/bin/*sh", "/usr/bin/sh", true},
	{"/usr/bin/*sh", "/usr/bin/bash", true},
	{"/usr/bin/*sh", "/usr/bin/shs", false},
	{"/a/**", "/a", false},
	{"/a/**", "/a/b", true},
	{"/a/**", "/a/b/c", true},
	{"/a/**", "/ab", false},
	{"/a/**/b", "/a/b", true},
	{"/a/**/b", "/a/x/y/b", true},
	{"/a/**/b", "/a/x/y/c", false},
	{"/a/**/b", "/a/xb", false},
	{"/**", "/a", true},
	{"/**", "/", false},
	{"/**/b/*/c", "/b/b/x/c", true},
	{"/**/b/*/c", "/b/x/b/c", false},
	{"/**/a*b*c/**/d", "/x/aXbXc/d", true},
	{"/**/a*b*c/**/d", "/x/aXbX/c/d", false},
	{"/a/*/**", "/a/b", false},
	{"/a/*/**", "/a/b/c", true},
	{"/a/**/**", "/a/b", true},
	{"/a/**/**", "/a", false},
	{"/a", "a", false},
	{"/a", "/a/", false},
	{"/a/**", "/a//b", false},
	{"/\xff*", "/\xff\xfe", true},
	{"", "/a", false},
	{"/a", "", false},
}

func TestMatchPath(t *testing.T) {
	for _, c := range matchTable {
		if got := MatchPath(c.pattern, c.path); got != c.want {
			t.Errorf("MatchPath(%q, %q) = %v; want %v", c.pattern, c.path, got, c.want)
		}
		if got := naiveMatch(c.pattern, c.path); got != c.want {
			t.Errorf("naiveMatch(%q, %q) = %v; want %v", c.pattern, c.path, got, c.want)
		}
	}
}

// TestMatchPathGenerated compares the two implementations on a small alphabet, where patterns meet paths often.
func TestMatchPathGenerated(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	matched := 0
	for range 300_000 {
		pattern, path := generate(r, "ab", true), generate(r, "ab", false)
		want := naiveMatch(pattern, path)
		if want {
			matched++
		}
		if got := MatchPath(pattern, path); got != want {
			t.Fatalf("MatchPath(%q, %q) = %v; want %v", pattern, path, got, want)
		}
	}
	if matched < 10_000 {
		t.Errorf("only %d of the generated cases match; the test proves little", matched)
	}
}

func generate(r *rand.Rand, alphabet string, stars bool) string {
	var b strings.Builder
	for range 1 + r.IntN(5) {
		b.WriteByte('/')
		if stars && r.IntN(4) == 0 {
			b.WriteString("**")
			continue
		}
		for range 1 + r.IntN(4) {
			if stars && r.IntN(3) == 0 && !strings.HasSuffix(b.String(), "*") {
				b.WriteByte('*')
			} else {
				b.WriteByte(alphabet[r.IntN(len(alphabet))])
			}
		}
	}
	return b.String()
}

// TestMatchPathSteps holds the bound that the kernel's matcher relies on.
func TestMatchPathSteps(t *testing.T) {
	long := strings.Repeat("/a", MaxPath/2)
	wide := "/" + strings.Repeat("a", 255)
	hostile := []struct{ pattern, path string }{
		{"/**/" + strings.Repeat("a/", 200) + "b", long},
		{"/**" + strings.Repeat("/*a", 100) + "/b", long},
		{"/" + strings.Repeat("*a", 200) + "b", wide},
		{strings.Repeat("/**/a", 100) + "/b", long},
		{"/**/" + strings.Repeat("*a", 120) + "b/**/c", strings.Repeat(wide, 15)},
	}
	for _, c := range hostile {
		if err := CheckPattern(c.pattern); err != nil {
			t.Fatalf("CheckPattern: %v", err)
		}
		m := matcher{pattern: c.pattern, path: c.path, star: -1, stars: -1}
		steps := 0
		for ; !m.done; steps++ {
			m.step()
		}
		if limit := (len(c.pattern) + 1) * (len(c.path) + 1); steps > limit {
			t.Errorf("%.20s… on %.20s…: %d steps; want at most %d", c.pattern, c.path, steps, limit)
		}
	}
}

func FuzzMatchPath(f *testing.F) {
	for _, c := range matchTable {
		f.Add(c.pattern, c.path)
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if len(pattern) > 24 || len(path) > 24 || CheckPattern(pattern) != nil {
			return
		}
		m := matcher{pattern: pattern, path: path, star: -1, stars: -1}
		if cleanPath(path) {
			steps := 0
			for ; !m.done; steps++ {
				m.step()
			}
			if limit := (len(pattern) + 1) * (len(path) + 1); steps > limit {
				t.Fatalf("%q on %q: %d steps; want at most %d", pattern, path, steps, limit)
			}
		}
		if got, want := MatchPath(pattern, path), naiveMatch(pattern, path); got != want {
			t.Fatalf("MatchPath(%q, %q) = %v; want %v", pattern, path, got, want)
		}
	})
}

func TestCheckPattern(t *testing.T) {
	long := "/" + strings.Repeat("a/", 300)
	for _, c := range []struct{ pattern, want string }{
		{"/usr/bin/curl", ""},
		{"/**", ""},
		{"/a/**/b", ""},
		{"/usr/bin/[", ""},
		{"/\u00e9", ""},
		{"", "is empty"},
		{"usr/bin/curl", "not absolute"},
		{"/", "root directory"},
		{"/usr/", "ends in"},
		{"/usr//bin", "empty segment"},
		{"/usr/./bin", "\".\" segment"},
		{"/usr/../bin", "\"..\" segment"},
		{"/usr/a**", "stand alone"},
		{"/usr/***", "stand alone"},
		{"/a\nb", "control byte 0x0a at offset 2"},
		{"/a\x7f", "control byte 0x7f"},
		{"/" + strings.Repeat("a", MaxPath), "has 4096 bytes"},
		{"/" + strings.Repeat("a", MaxPath-1), ""},
		{long + "*", "has 602 bytes; want at most 512"},
		{long + "**", ""},
	} {
		err := CheckPattern(c.pattern)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("CheckPattern(%.30q) = %v; want %q", c.pattern, err, c.want)
		}
	}
}

func TestPatternKind(t *testing.T) {
	for pattern, want := range map[string]Kind{
		"/a": KindExact, "/a/**": KindDir, "/**": KindDir, "/a/*": KindGlob, "/a/**/b": KindGlob, "/a/**/**": KindGlob, "/*/**": KindGlob,
	} {
		if got := PatternKind(pattern); got != want {
			t.Errorf("PatternKind(%q) = %d; want %d", pattern, got, want)
		}
	}
}
