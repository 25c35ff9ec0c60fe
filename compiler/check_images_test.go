// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// imageWorld returns patterns and references so few that every pair of patterns can be compared reference by reference. A reference that tells
// two of these patterns apart has a registry, names, a tag and a digest made of these.
func imageWorld(t *testing.T) (patterns []schema.ImagePattern, refs []schema.Image) {
	t.Helper()
	one, two := "@sha256:"+strings.Repeat("1", 64), "@sha256:"+strings.Repeat("2", 64)
	for _, path := range []string{"**", "**/a", "**/a/*", "r.example.com/**", "r.example.com/a", "r.example.com/*/a", "q.example.com/**/a", "q.example.com/*", "a", "library/**"} {
		for _, version := range []string{"", ":v1", ":latest", "@*", one, ":v1@*", ":v1" + one} {
			p, err := schema.ParseImagePattern(path + version)
			if err != nil {
				t.Fatal(err)
			}
			patterns = append(patterns, p)
		}
	}
	names := []string{"a", "b", "library"}
	paths := slices.Clone(names)
	for _, x := range names {
		for _, y := range names {
			paths = append(paths, x+"/"+y, x+"/"+y+"/a", x+"/"+y+"/b")
		}
	}
	for _, host := range []string{"docker.io/", "r.example.com/", "q.example.com/", "s.example.com/"} {
		for _, path := range paths {
			for _, tag := range []string{"", ":v1", ":latest", ":v2"} {
				for _, digest := range []string{"", one, two} {
					i, err := schema.ParseImage(host + path + tag + digest)
					if err != nil {
						t.Fatal(err)
					}
					refs = append(refs, i)
				}
			}
		}
	}
	return patterns, refs
}

// TestImageCoversAndMeets compares imageCovers and imageMeets, and what writ diff says, with schema.ImagePattern.Matches.
func TestImageCoversAndMeets(t *testing.T) {
	patterns, refs := imageWorld(t)
	matches := make([][]bool, len(patterns))
	for i, p := range patterns {
		for _, ref := range refs {
			matches[i] = append(matches[i], p.Matches(ref))
		}
	}
	work := 1000 * coverWork
	c := diffCover{steps: maxCoverSteps * 10}
	for i, broad := range patterns {
		for j, narrow := range patterns {
			left, both := 0, 0
			for k := range refs {
				switch {
				case matches[i][k] && matches[j][k]:
					both++
				case matches[j][k]:
					left++
				}
			}
			if got := imageCovers(broad, narrow, &work); got != (left == 0) {
				t.Errorf("imageCovers(%q, %q) = %v, and %d references are left", broad, narrow, got, left)
			}
			if got := c.image(broad.String(), narrow.String()); got != (left == 0) {
				t.Errorf("diff: %q includes %q: %v, and %d references are left", broad, narrow, got, left)
			}
			if got := imageMeets(broad, narrow, &work); got != (both > 0) {
				t.Errorf("imageMeets(%q, %q) = %v, and %d references are matched by both", broad, narrow, got, both)
			}
		}
	}
}
