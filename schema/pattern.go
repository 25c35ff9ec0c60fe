// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"slices"
	"strings"
)

// Limits of paths and patterns, in bytes.
const (
	MaxPath = 4095 // PATH_MAX of include/uapi/linux/limits.h without its final NUL
	// MaxGlob bounds patterns other than exact paths and dir/**. Matching one takes at most MaxPath*MaxGlob steps, which is
	// what the kernel's matcher is bounded by.
	MaxGlob = 512
	// MaxGlobs is how many patterns other than exact paths and dir/** a workload may have in a plane.
	MaxGlobs = 64
)

// Kind tells how a path pattern is looked up.
type Kind int

// The kinds, in the order in which enforcers try them.
const (
	KindExact Kind = iota // no "*": the path itself
	KindDir               // a literal directory followed by "/**", or "/**" alone
	KindGlob              // everything else
)

// PatternKind returns the kind of a valid path pattern.
func PatternKind(pattern string) Kind {
	switch i := strings.IndexByte(pattern, '*'); {
	case i < 0:
		return KindExact
	case i == len(pattern)-2 && strings.HasSuffix(pattern, "/**"):
		return KindDir
	}
	return KindGlob
}

// CheckPattern returns why a path pattern is not valid, or nil. The message says what was expected, without the pattern.
func CheckPattern(pattern string) error {
	switch {
	case pattern == "":
		return fmt.Errorf("is empty; want an absolute path such as \"/usr/bin/curl\"")
	case pattern[0] != '/':
		return fmt.Errorf("is not absolute; want a path that begins with \"/\"")
	case len(pattern) > MaxPath:
		return fmt.Errorf("has %d bytes; want at most %d", len(pattern), MaxPath)
	case pattern == "/":
		return fmt.Errorf("names the root directory; want a file, or \"/**\" for everything")
	case strings.HasSuffix(pattern, "/"):
		return fmt.Errorf("ends in \"/\"; want a file, or the directory followed by \"/**\"")
	}
	for i := range len(pattern) {
		if c := pattern[i]; c < 0x20 || c == 0x7f {
			return fmt.Errorf("has the control byte 0x%02x at offset %d; want printable bytes", c, i)
		}
	}
	for segment := range strings.SplitSeq(pattern[1:], "/") {
		if err := checkSegment(segment); err != nil {
			return err
		}
	}
	if PatternKind(pattern) == KindGlob && len(pattern) > MaxGlob {
		return fmt.Errorf("has %d bytes; want at most %d in a pattern that is neither exact nor dir/**", len(pattern), MaxGlob)
	}
	return nil
}

func checkSegment(segment string) error {
	switch {
	case segment == "":
		return fmt.Errorf("has an empty segment \"//\"; want the path as the kernel resolves it")
	case segment == "." || segment == "..":
		return fmt.Errorf("has a %q segment; want the path as the kernel resolves it", segment)
	case segment != "**" && strings.Contains(segment, "**"):
		return fmt.Errorf("has \"**\" beside other bytes in a segment; want it to stand alone between slashes, or one \"*\"")
	}
	return nil
}

// MatchPath reports whether a valid pattern matches a whole path. It is the one meaning of path patterns:
//
//	pattern = "/" segment { "/" segment }
//	segment = "**" | { byte | "*" }   not "", ".", ".." and without "**" beside other bytes
//
// A pattern matches a path when their segments match in order: "**" any number of segments, also none; any other segment
// exactly one, in which "*" matches any run of bytes, also none and also dots, and every other byte itself. A final "**" matches
// at least one segment: /a/** is everything below /a and not /a. A path is absolute and clean: it begins with "/", and has
// no empty segment. A path or a pattern that is not so matches nothing.
//
// It takes at most len(pattern)*len(path) steps and no memory.
func MatchPath(pattern, path string) bool {
	if !cleanPath(path) || pattern == "" || pattern[0] != '/' {
		return false
	}
	m := matcher{pattern: pattern, path: path, star: -1, stars: -1}
	for !m.done {
		m.step()
	}
	return m.ok
}

// ExposesPath reports whether a path that a valid pattern matches is a directory itself, or may lie in it: what a mount of the directory
// would expose. The root directory "/" exposes every path. A directory that is not clean, see [MatchPath], exposes none.
//
// It takes a number of steps in proportion to the segments of the pattern times the length of the directory.
func ExposesPath(pattern, dir string) bool {
	if pattern == "" || pattern[0] != '/' || dir != "/" && !cleanPath(dir) {
		return false
	}
	segments := strings.Split(pattern[1:], "/")
	at := make([]bool, len(segments)+1) // at[i]: the directory so far can be what the first i segments match
	at[0] = true
	skipStars(segments, at)
	if dir == "/" {
		return true
	}
	for name := range strings.SplitSeq(dir[1:], "/") {
		next := make([]bool, len(at))
		for i, segment := range segments {
			switch {
			case !at[i]:
			case segment == "**":
				next[i] = true
			default:
				next[i+1] = next[i+1] || matchStars(segment, name)
			}
		}
		at = next
		skipStars(segments, at)
	}
	return slices.Contains(at, true)
}

// skipStars notes that "**" may be no segment at all.
func skipStars(segments []string, at []bool) {
	for i, segment := range segments {
		if at[i] && segment == "**" {
			at[i+1] = true
		}
	}
}

func cleanPath(path string) bool {
	return len(path) > 1 && path[0] == '/' && !strings.Contains(path, "//") && !strings.HasSuffix(path, "/")
}

// matcher walks pattern and path together, and on a mismatch returns to the last "*" of the same segment, else to the last "**".
// Going back further is never needed: at a "/" of the pattern everything before it is matched exactly, and what an earlier "**"
// could leave over a later "**" can take. The kernel's matcher (enforcer/bpf) takes the same steps.
type matcher struct {
	pattern, path string
	p, s          int // the next byte of pattern and path
	star, starS   int // the byte after the last "*" of this segment, and the path byte where its run ends; star < 0: none
	stars, starsS int // the byte after the last "**" and its "/", and the path's segment that follows its run; stars < 0: none
	done, ok      bool
}

func (m *matcher) step() {
	switch {
	case m.p == len(m.pattern):
		if m.s == len(m.path) {
			m.done, m.ok = true, true
			return
		}
		m.back()
	case m.atStars():
		m.p += len("/**")
		if m.p == len(m.pattern) { // a final "**": at least one segment must be left
			m.done, m.ok = true, m.s < len(m.path)
			return
		}
		m.stars, m.starsS, m.star = m.p, m.s, -1 // pattern and path both stand at a "/", or the path at its end
	case m.pattern[m.p] == '*':
		m.p++
		m.star, m.starS = m.p, m.s
	case m.s < len(m.path) && m.pattern[m.p] == m.path[m.s]:
		if m.pattern[m.p] == '/' {
			m.star = -1
		}
		m.p++
		m.s++
	default:
		m.back()
	}
}

// atStars reports whether "/**" as a whole segment is next, with the path at a segment's begin or at its end.
func (m *matcher) atStars() bool {
	rest := m.pattern[m.p:]
	return len(rest) >= 3 && rest[:3] == "/**" && (len(rest) == 3 || rest[3] == '/') && (m.s == len(m.path) || m.path[m.s] == '/')
}

func (m *matcher) back() {
	if m.star >= 0 && m.starS < len(m.path) && m.path[m.starS] != '/' {
		m.starS++
		m.p, m.s = m.star, m.starS
		return
	}
	if m.stars >= 0 {
		if i := m.nextSegment(m.starsS); i > 0 {
			m.starsS, m.star = i, -1
			m.p, m.s = m.stars, i
			return
		}
	}
	m.done = true
}

// nextSegment returns the offset of the "/" that follows offset i, or 0 if there is none.
func (m *matcher) nextSegment(i int) int {
	if i >= len(m.path) {
		return 0
	}
	j := strings.IndexByte(m.path[i+1:], '/')
	if j < 0 {
		return 0
	}
	return i + 1 + j
}
