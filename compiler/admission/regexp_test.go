// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

// regexps are the patterns as expressions, with what the schema says and with what takes what: the strings are of the same letters.
var regexps = map[string]struct {
	text    func(pattern string) string
	matches func(pattern, s string) bool
	pattern func(r *rand.Rand) string
}{
	"path":    {pathRegexp, schema.MatchPath, pathPattern},
	"exposes": {exposesRegexp, schema.ExposesPath, pathPattern},
	"image": {func(p string) string { return imageRegexp(imagePattern(p)) }, func(p, s string) bool {
		host, path, _ := strings.Cut(s, "/")
		return host != "" && imagePattern(p).Matches(schema.Image{Host: host, Path: path})
	}, func(r *rand.Rand) string { return pick(r, "x.y", "x.y", "**") + pathPattern(r) }},
	"segment": {segmentRegexp, func(p, s string) bool {
		return schema.Match{Container: p}.Selects(schema.Subject{Container: s})
	}, func(r *rand.Rand) string { return word(r, true) }},
	"stars": {starsRegexp, func(p, s string) bool { return permitted(schema.PodSysctls, p, s) }, func(r *rand.Rand) string {
		return word(r, true) + pick(r, "", "/", ".", "*") + word(r, true)
	}},
}

func imagePattern(p string) schema.ImagePattern {
	host, path, _ := strings.Cut(p, "/")
	if host == "**" {
		return schema.ImagePattern{Path: p}
	}
	return schema.ImagePattern{Host: host, Path: path}
}

// permitted asks Judge whether a rule permits a value of a Pod.
func permitted(field schema.PodField, pattern, value string) bool {
	w := &schema.Workload{Closures: []schema.Closure{{Plane: schema.PlanePod, Mode: schema.ModeEnforce}},
		Rules: []schema.Rule{{Plane: schema.PlanePod, Verb: schema.VerbSet, Object: string(field), Values: []string{pattern}}}}
	e := schema.Event{Verb: schema.VerbSet, Set: map[schema.PodField]schema.Names{field: {value}}}
	return schema.Selection{Workloads: []*schema.Workload{w}}.Judge(e, time.Time{}).Action == schema.ActionAllow
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// word is part of a segment. Some bytes are special in expressions, some are no letters of ASCII.
func word(r *rand.Rand, stars bool) string {
	var b strings.Builder
	starred := false
	for range 1 + r.IntN(3) {
		if stars && !starred && r.IntN(3) == 0 { // never two beside each other
			b.WriteByte('*')
			starred = true
			continue
		}
		starred = false
		b.WriteString(pick(r, "a", "a", "a", "b", ".", "$", "(", "[", "\\", "+", "^", "|", "{", "?", "é", "日", "A", "-", " "))
	}
	return strings.NewReplacer("..", ".a").Replace(b.String())
}

func pathPattern(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(4) {
		if r.IntN(5) == 0 {
			b.WriteString("/**")
			continue
		}
		b.WriteString("/" + strings.ReplaceAll(word(r, true), "**", "*"))
	}
	return b.String()
}

// near makes a string that a pattern may match, and damages it sometimes.
func near(r *rand.Rand, pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch {
		case strings.HasPrefix(pattern[i:], "/**"):
			for range r.IntN(3) {
				b.WriteString("/" + word(r, false))
			}
			i += 2
		case pattern[i] == '*':
			for range r.IntN(3) {
				b.WriteString(word(r, false))
			}
		default:
			b.WriteByte(pattern[i])
		}
	}
	runes := []rune(b.String())
	switch at := r.IntN(len(runes) + 1); r.IntN(6) {
	case 0:
		return string(runes[:at])
	case 1:
		return string(runes[:at]) + pick(r, "/", "//", "\n", "a", ".", "/..", "\x00", "\u2028", "\ufffd") + string(runes[at:])
	case 2:
		if i := strings.LastIndexByte(b.String(), '/'); i >= 0 {
			return b.String()[:i]
		}
	}
	return b.String()
}

// TestRegexps holds the expressions against the schema's own matchers.
func TestRegexps(t *testing.T) {
	for name, c := range regexps {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			var yes, no int
			for range 4000 {
				pattern := c.pattern(r)
				re, err := regexp.Compile(c.text(pattern))
				if err != nil {
					t.Fatalf("%q: %v", pattern, err)
				}
				for range 12 {
					s := near(r, pattern)
					if got, want := re.MatchString(s), c.matches(pattern, s); got != want {
						t.Fatalf("%q of %q: %q matches: %v; want %v", re, pattern, s, got, want)
					} else if want {
						yes++
					} else {
						no++
					}
				}
			}
			if yes < 5000 || no < 5000 {
				t.Errorf("%d matches, %d others; want both often", yes, no)
			}
		})
	}
}

// TestLongRegexps holds that the longest patterns stay within what RE2 takes.
func TestLongRegexps(t *testing.T) {
	exact, glob := strings.Repeat("/a", schema.MaxPath/2), strings.Repeat("/*", schema.MaxGlob/2)
	for _, pattern := range []string{exact, exact[:4000] + "/**", glob, glob[:400] + "/**" + glob[:100], "/" + strings.Repeat("ab*", 170)} {
		for i, c := range []struct {
			text    string
			matches func(pattern, s string) bool
		}{{pathRegexp(pattern), schema.MatchPath}, {exposesRegexp(pattern), schema.ExposesPath}} {
			re, err := regexp.Compile(c.text)
			if err != nil {
				t.Fatalf("%.40s: %v", pattern, err)
			}
			for _, n := range []int{1, 2, 199, 200, 201, 399, 400, 401, 2046, 2047, 2048} {
				s := strings.Repeat("/a", n)
				if got, want := re.MatchString(s), c.matches(pattern, s); got != want {
					t.Errorf("expression %d of %.40s, %d segments: %v; want %v", i, pattern, n, got, want)
				}
			}
		}
	}
}
