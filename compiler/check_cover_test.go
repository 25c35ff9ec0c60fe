// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"math/bits"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// smallWorld returns patterns and paths so small that every pair of patterns can be compared path by path. A path that tells two of these
// patterns apart has at most one segment more than they have, and names made of these.
func smallWorld() (patterns, paths []string) {
	grow := func(segments []string, depth int) []string {
		var all []string
		level := []string{""}
		for range depth {
			var next []string
			for _, l := range level {
				for _, s := range segments {
					next = append(next, l+"/"+s)
				}
			}
			all, level = append(all, next...), next
		}
		return all
	}
	return grow([]string{"a", "*", "a*", "*b", "a*b", "*a*", "**"}, 3), grow([]string{"a", "b", "ab", "ba", "c", "ac", "cb", "aab"}, 4)
}

// matched holds, for each pattern, which paths it matches, one bit each.
func matched(patterns, paths []string) [][]uint64 {
	sets := make([][]uint64, len(patterns))
	for i, p := range patterns {
		sets[i] = make([]uint64, (len(paths)+63)/64)
		for j, path := range paths {
			if schema.MatchPath(p, path) {
				sets[i][j/64] |= 1 << (j % 64)
			}
		}
	}
	return sets
}

// TestCoversAndMeets compares covers, meets and patternIndex with schema.MatchPath.
func TestCoversAndMeets(t *testing.T) {
	patterns, paths := smallWorld()
	sets := matched(patterns, paths)
	wrong := 0
	for i, broad := range patterns {
		for j, narrow := range patterns {
			left, both := uint64(0), uint64(0)
			for k := range sets[i] {
				left |= sets[j][k] &^ sets[i][k]
				both |= sets[j][k] & sets[i][k]
			}
			if got := covers(broad, narrow); got != (left == 0) {
				t.Errorf("covers(%q, %q) = %v", broad, narrow, got)
				wrong++
			}
			if got := meets(broad, narrow); got != (both != 0) {
				t.Errorf("meets(%q, %q) = %v", broad, narrow, got)
				wrong++
			}
			if wrong > 20 {
				t.Fatal("and more")
			}
		}
	}
}

// TestCoversAny compares unions of two patterns with schema.MatchPath.
func TestCoversAny(t *testing.T) {
	patterns, paths := smallWorld()
	sets := matched(patterns, paths)
	yes := 0
	for n := range 40_000 {
		work := coverWork
		i, j, k := n*7919%len(patterns), n*104729%len(patterns), n*1299709%len(patterns)
		left := 0
		for w := range sets[i] {
			left += bits.OnesCount64(sets[k][w] &^ (sets[i][w] | sets[j][w]))
		}
		if got := coversAny([]string{patterns[i], patterns[j]}, patterns[k], &work); got != (left == 0) {
			t.Fatalf("coversAny(%q, %q; %q) = %v, but %d paths are left", patterns[i], patterns[j], patterns[k], got, left)
		}
		if left == 0 {
			yes++
		}
	}
	if yes < 100 {
		t.Errorf("only %d unions cover: the test says little", yes)
	}
	work := coverWork
	if !coversAny([]string{"/usr/*", "/usr/*/**"}, "/usr/**", &work) {
		t.Error("the parts of a folder do not cover it together")
	}
}

func TestPatternIndex(t *testing.T) {
	patterns, _ := smallWorld()
	index := newPatternIndex(patterns)
	work := 1000 * coverWork
	for _, p := range patterns {
		for _, accept := range []int{0, 3, 7} {
			ok := func(i int) bool { return i%11 == accept }
			got := index.covering(p, &work, ok)
			want := false
			for i, q := range patterns {
				want = want || ok(i) && covers(q, p)
			}
			if (got >= 0) != want || got >= 0 && (!ok(got) || !covers(patterns[got], p)) {
				t.Fatalf("covering(%q) = %d, want one: %v", p, got, want)
			}
		}
	}
	some := newPatternIndex([]string{"/usr/bin/*sh", "/opt/**", "/bin/sh"})
	for pattern, want := range map[string]int{"/usr/**": 0, "/usr/bin/bash": 0, "/usr/bin/b*": 0, "/**/x": 1, "/bin/sh": 2, "/bin/*": 2, "/etc/**": -1, "/bin/shx": -1} {
		if got := some.meeting(pattern, &work); got != want {
			t.Errorf("meeting(%q) = %d, want %d", pattern, got, want)
		}
	}
}

// TestCoversIsBounded holds the work for the worst patterns: they are given up, never wrong.
func TestCoversIsBounded(t *testing.T) {
	tangled := "/**/" + strings.Repeat("*a*b/**/", 60) + "*"
	if !covers("/**", tangled) || !covers(tangled, tangled) {
		t.Error("a plain answer is not found")
	}
	other := "/**/" + strings.Repeat("*ab/", 100) + "**"
	work := coverWork
	for range 1000 {
		if coversAny([]string{other}, tangled, &work) {
			t.Fatal("other covers tangled")
		}
		coversAny([]string{tangled}, other, &work)
	}
	if work > 0 || work < -coverWork/10 {
		t.Errorf("%d work is left of %d", work, coverWork)
	}
	if !meets(tangled, other) {
		t.Error("they meet")
	}
}

func TestSegmentWitness(t *testing.T) {
	segments := []string{"*", "a", "a*", "*a", "*a*", "a*b", "*b", "ab*c", "*bc", "b"}
	for _, a := range segments {
		for _, b := range segments {
			name, ok := segmentWitness(a, b)
			if ok != meets("/"+a, "/"+b) || ok && (!schema.MatchPath("/"+a, "/"+name) || !schema.MatchPath("/"+b, "/"+name)) {
				t.Errorf("segmentWitness(%q, %q) = %q, %v", a, b, name, ok)
			}
		}
	}
	if name, ok := segmentWitness("ab*c", "*bc"); !ok || name != "abc" {
		t.Errorf("ab*c and *bc: %q, %v", name, ok)
	}
}
