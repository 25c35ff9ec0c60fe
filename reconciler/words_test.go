// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/writ-sec/writ/schema/bundle"
)

func TestAddresses(t *testing.T) {
	tests := []struct{ raw, shown, user, password string }{
		{"https://git.example.com/policy.git", "https://git.example.com/policy.git", "", ""},
		{"https://ada:geheim@git.example.com:8443/p", "https://git.example.com:8443/p", "ada", "geheim"},
		{"http://127.0.0.1:99/p", "http://127.0.0.1:99/p", "", ""},
		{"http://[::1]:99/p", "http://[::1]:99/p", "", ""},
		{"http://localhost/p", "http://localhost/p", "", ""},
		{"ssh://git@git.example.com:2222/p.git", "ssh://git@git.example.com:2222/p.git", "git", ""},
		{"git@git.example.com:team/p.git", "ssh://git@git.example.com/team/p.git", "git", ""},
		{"file:///srv/p.git", "/srv/p.git", "", ""},
		{"/srv/p.git", "/srv/p.git", "", ""},
	}
	for _, test := range tests {
		a, err := parseAddress(test.raw)
		if err != nil || a.shown != test.shown || a.user != test.user || a.password != test.password {
			t.Errorf("%q is %q, user %q, password %q, %v; want %q, %q, %q", test.raw, a.shown, a.user, a.password, err, test.shown, test.user, test.password)
		}
		if a.Password != "" || a.Protocol == "https" && a.User != "" {
			t.Errorf("%q: the endpoint keeps user %q and password %q", test.raw, a.User, a.Password)
		}
	}
}

func FuzzForeign(f *testing.F) {
	f.Add("plain", 10)
	f.Add("a\x1b[31mred\x00\r\n\tb\u202e\u2028", 300)
	f.Add("\xff\xfe", 3)
	f.Add(strings.Repeat("ä", 200), 301)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = max(0, min(limit, 1000))
		got := foreign(text, limit)
		if !utf8.ValidString(got) || len(got) > limit+len("…") || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("foreign(%q, %d) is %q", text, limit, got)
		}
	})
}

func TestScrubTakesTheLongestFirst(t *testing.T) {
	hide := secrets{}.with("ada", "s/e cret")
	text := "token s/e cret, s%2Fe+cret, s%2Fe%20cret, YWRhOnMvZSBjcmV0\x07"
	if got := hide.scrub(text); got != "token ***, ***, ***, ***" {
		t.Errorf("scrubbed is %q", got)
	}
}

func TestDiff(t *testing.T) {
	list := func(pairs ...string) []bundle.File {
		var fs []bundle.File
		for i := 0; i < len(pairs); i += 2 {
			fs = append(fs, bundle.File{Path: pairs[i], Digest: pairs[i+1]})
		}
		return fs
	}
	before := list("admission/images.yaml", "1", "node/a.json", "1", "node/b.json", "1", "node/c.json", "1", "other", "1",
		"rules/a.json", "1", "rules/b.json", "1", "rules/c.json", "1")
	after := list("admission/images.yaml", "2", "node/a.json", "1", "node/b.json", "2", "node/d.json", "1", "other", "1",
		"rules/a.json", "2", "rules/b.json", "2", "rules/d.json", "1")
	want := []Change{
		{Reworded, KindWorkload, "a"}, {Changed, KindWorkload, "b"}, {Removed, KindWorkload, "c"}, {Added, KindWorkload, "d"},
		{Changed, KindObject, "images"},
	}
	if got := Diff(before, after); !slices.Equal(got, want) {
		t.Errorf("Diff is %v; want %v", got, want)
	}
	if got := Diff(after, after); len(got) > 0 {
		t.Errorf("Diff with itself is %v", got)
	}
	if got := Change.String(want[1]); got != "changed workload b" {
		t.Errorf("String is %q", got)
	}
}
