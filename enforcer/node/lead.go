// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"strings"

	"github.com/writ-sec/writ/schema"
)

// couldLead reports whether a path below dir could match a pattern, so that dir must be watched. dir is "" for the root of the
// hierarchy, else absolute and clean; pattern is valid. It is exact: it holds if and only if a name can be made up below dir that
// [schema.MatchPath] accepts.
func couldLead(pattern, dir string) bool {
	segments := strings.Split(pattern[1:], "/")
	at := make([]bool, len(segments)) // at[i]: the pattern before segment i matches what of dir has been read
	at[0] = true
	for name := range segmentsOf(dir) {
		next := make([]bool, len(segments))
		for i := range segments {
			if !at[i] {
				continue
			}
			if segments[i] == "**" { // it may take this name and go on, or take nothing, which skip has spread
				next[i] = true
			} else if i+1 < len(segments) && matchSegment(segments[i], name) {
				next[i+1] = true
			}
		}
		at = next
		skip(segments, at)
	}
	skip(segments, at)
	for _, ok := range at {
		if ok {
			return true
		}
	}
	return false
}

// skip spreads states over "**" that take no segment. A final "**" takes at least one, so it is never skipped.
func skip(segments []string, at []bool) {
	for i := range len(segments) - 1 {
		if at[i] && segments[i] == "**" {
			at[i+1] = true
		}
	}
}

func segmentsOf(dir string) func(func(string) bool) {
	if dir == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(dir[1:], "/")
}

func matchSegment(pattern, name string) bool { return schema.MatchPath("/"+pattern, "/"+name) }
