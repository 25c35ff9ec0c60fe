// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

func TestCouldLead(t *testing.T) {
	tests := []struct {
		pattern, dir string
		want         bool
	}{
		{"/a", "", true},
		{"/a", "/a", false},
		{"/a", "/b", false},
		{"/a/b", "/a", true},
		{"/a/b", "/b", false},
		{"/a/b", "/a/b", false},
		{"/a/**", "/a", true},
		{"/a/**", "/a/b/c", true},
		{"/a/**", "/b", false},
		{"/**", "", true},
		{"/**/c", "/x/y", true},
		{"/a/*/c", "/a/x", true},
		{"/a/*/c", "/a/x/c", false},
		{"/a/*/c", "/a/x/d", false},
		{"/a/**/c/d", "/a/c", true},
		{"/kube*/pod*/**", "/kubepods/podx", true},
		{"/kube*/pod*/**", "/kubepods/x", false},
	}
	for _, tt := range tests {
		if got := couldLead(tt.pattern, tt.dir); got != tt.want {
			t.Errorf("couldLead(%q, %q) = %v, want %v", tt.pattern, tt.dir, got, tt.want)
		}
	}
}

// TestCouldLeadIsExact compares with MatchPath on every path of up to five segments over a small alphabet.
func TestCouldLeadIsExact(t *testing.T) {
	names := []string{"a", "b", "ab"}
	paths := []string{""}
	for from, depth := 0, 0; depth < 5; depth++ {
		to := len(paths)
		for _, p := range paths[from:to] {
			for _, n := range names {
				paths = append(paths, p+"/"+n)
			}
		}
		from = to
	}
	r := rand.New(rand.NewPCG(1, 2))
	segments := []string{"a", "b", "ab", "*", "a*", "**"}
	for range 300 {
		pattern := ""
		for range 1 + r.IntN(3) {
			pattern += "/" + segments[r.IntN(len(segments))]
		}
		below := map[string]bool{}
		for _, p := range paths {
			if schema.MatchPath(pattern, p) {
				for i := strings.LastIndexByte(p, '/'); i >= 0; i = strings.LastIndexByte(p[:i], '/') {
					below[p[:i]] = true
				}
			}
		}
		for _, p := range paths {
			// A pattern of three segments that leads below p has a match at most three levels below, so look no deeper than two.
			if strings.Count(p, "/") <= 2 && couldLead(pattern, p) != below[p] {
				t.Fatalf("couldLead(%q, %q) = %v, but a path below that matches exists: %v", pattern, p, !below[p], below[p])
			}
		}
	}
}
