// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"regexp"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// The functions of this file write patterns of the schema as regular expressions (RE2) over a whole string, in the syntax that Go, OPA's
// regex.match and CEL's matches share. Each matches what a matcher of the schema does, of valid patterns and of strings that are UTF-8, as all
// strings in JSON are.

// imageRegexp is [schema.ImagePattern.Matches] over "host/path".
func imageRegexp(p schema.ImagePattern) string {
	host := regexp.QuoteMeta(p.Host)
	if p.Host == "" {
		host = "[^/]+"
	}
	return "^" + host + segmentsRegexp(strings.Split(p.Path, "/")) + "$"
}

// pathRegexp is [schema.MatchPath].
func pathRegexp(pattern string) string { return "^" + segmentsRegexp(segmentsOf(pattern)) + "$" }

// segmentRegexp is the match of a container's name, see [schema.Match].
func segmentRegexp(pattern string) string { return "^" + segment(pattern) + "$" }

// starsRegexp matches a permitted value in which "*" is any run of characters, see [schema.PodField].
func starsRegexp(pattern string) string {
	return "^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `(?s:.*)`) + "$"
}

// exposeDepth is how many segments are nested into each other: regexp/syntax takes at most 1,000 levels, of which each segment needs two.
const exposeDepth = 200

// exposesRegexp is [schema.ExposesPath] over the directory: the root, or what the first segments of the pattern match. From "**" on, that is
// everything below.
func exposesRegexp(pattern string) string {
	segments := segmentsOf(pattern)
	if i := slices.Index(segments, "**"); i >= 0 {
		segments = segments[:i+1]
	}
	ways := []string{"/"}
	for i := 0; i < len(segments); i += exposeDepth {
		ways = append(ways, segmentsRegexp(segments[:i])+exposed(segments[i:min(i+exposeDepth, len(segments))]))
	}
	return "^(?:" + strings.Join(ways, "|") + ")$"
}

// exposed matches the first of some segments, or the first two, and so on.
func exposed(segments []string) string {
	if segments[0] == "**" {
		return "(?:/[^/]+)+"
	}
	first := "/" + segment(segments[0])
	if len(segments) == 1 {
		return first
	}
	return first + "(?:" + exposed(segments[1:]) + ")?"
}

func segmentsOf(pattern string) []string { return strings.Split(strings.TrimPrefix(pattern, "/"), "/") }

// segmentsRegexp matches segments, each after a "/". A path has no empty one.
func segmentsRegexp(segments []string) string {
	var b strings.Builder
	for i, s := range segments {
		switch {
		case s == "**" && i == len(segments)-1:
			b.WriteString("(?:/[^/]+)+")
		case s == "**":
			b.WriteString("(?:/[^/]+)*")
		default:
			b.WriteString("/" + segment(s))
		}
	}
	return b.String()
}

// segment matches one segment, which is not empty.
func segment(s string) string {
	if strings.Trim(s, "*") == "" {
		return "[^/]+"
	}
	return strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, "[^/]*")
}
