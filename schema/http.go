// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// methodRE is a method of HTTP (RFC 9110, section 9.1) as those in use are written.
var methodRE = regexp.MustCompile(`^(\*|[A-Z][A-Z0-9_-]{0,62})$`)

// ParseHTTPRule reads the key of an HTTP rule, "METHOD /path". The error says why it is not valid and what was expected, without the key.
func ParseHTTPRule(key string) (HTTPRule, error) {
	method, path, ok := strings.Cut(key, " ")
	switch {
	case !ok:
		return HTTPRule{}, fmt.Errorf("has no space; want a method and a path such as \"GET /v1/items/*\"")
	case !methodRE.MatchString(method):
		return HTTPRule{}, fmt.Errorf("has the method %q; want one in upper case such as \"GET\", or \"*\"", method)
	}
	if err := checkHTTPPath(path); err != nil {
		return HTTPRule{}, err
	}
	return HTTPRule{Method: method, Path: path}, nil
}

// checkHTTPPath returns why a path pattern of an HTTP rule is not valid, or nil.
func checkHTTPPath(pattern string) error {
	switch {
	case pattern == "" || pattern[0] != '/':
		return fmt.Errorf("has the path %q; want one that begins with \"/\"", pattern)
	case len(pattern) > MaxGlob:
		return fmt.Errorf("has a path of %d bytes; want at most %d", len(pattern), MaxGlob)
	case !utf8.ValidString(pattern):
		return fmt.Errorf("has a path that is not UTF-8; want it as people read it")
	case strings.ContainsAny(pattern, "?#"):
		return fmt.Errorf("has %q in its path; want the path alone: the query is not judged", pattern[strings.IndexAny(pattern, "?#")])
	case strings.Contains(pattern, "%"):
		return fmt.Errorf("has \"%%\" in its path; want the character itself: a path is decoded before it is judged")
	case strings.Contains(pattern, `\`):
		return fmt.Errorf("has a backslash in its path, which no request that is allowed has; want \"/\"")
	}
	if i := strings.IndexFunc(pattern, control); i >= 0 {
		return fmt.Errorf("has the control byte 0x%02x in its path; want printable characters", pattern[i])
	}
	segments := strings.Split(pattern[1:], "/")
	for i, segment := range segments {
		if segment == "" && i == len(segments)-1 {
			continue // a slash at the end counts
		}
		switch {
		case segment == "":
			return fmt.Errorf("has an empty segment \"//\" in its path, which no request that is allowed has; want single slashes")
		case segment == "." || segment == "..":
			return fmt.Errorf("has a %q segment in its path; want the path that it leads to", segment)
		case segment != "**" && strings.Contains(segment, "**"):
			return fmt.Errorf("has \"**\" beside other characters in a segment of its path; want it to stand alone between slashes, or one \"*\"")
		}
	}
	return nil
}

func control(r rune) bool { return r < 0x20 || r == 0x7f }

// NormalHTTPPath returns the path of a request as it is judged, and whether there is one: what several servers could read as different
// paths is none. The path is what stands before the query ("?"), normalised as RFC 3986, section 6.2.2 says: each %XX is decoded, once, and
// the segments "." and ".." are resolved. That decodes reserved characters too, so "%3A" and ":" are the same.
//
// There is none if the path does not begin with "/"; has a fragment ("#"), "//", a backslash or a control byte, decoded or not; a "%" without
// two hexadecimal digits, or an encoded "/"; ".." segments that climb above the root; a segment "." or ".." with parameters
// (..;a=b); or bytes that are not UTF-8 once decoded. A slash at the end stays, and "/a/." and "/a/b/.." are "/a/".
func NormalHTTPPath(path string) (string, bool) {
	path, _, _ = strings.Cut(path, "?")
	decoded, ok := decodePath(path)
	if !ok || !strings.HasPrefix(decoded, "/") || strings.Contains(decoded, "//") || !utf8.ValidString(decoded) || strings.ContainsFunc(decoded, control) {
		return "", false
	}
	return resolveDots(decoded)
}

// decodePath decodes each %XX. Nothing that it decodes may change how the path is cut into segments.
func decodePath(path string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		encoded := c == '%'
		if encoded {
			if i+2 >= len(path) {
				return "", false
			}
			high, ok1 := hexDigit(path[i+1])
			low, ok2 := hexDigit(path[i+2])
			if !ok1 || !ok2 {
				return "", false
			}
			c = high<<4 | low
			i += 2
		}
		if c == '\\' || encoded && c == '/' || !encoded && c == '#' {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// resolveDots removes dot segments (RFC 3986, section 5.2.4) from a path that begins with "/".
func resolveDots(path string) (string, bool) {
	segments := strings.Split(path[1:], "/")
	var out []string
	for i, s := range segments {
		name, _, parameters := strings.Cut(s, ";")
		if dots := name == "." || name == ".."; dots && parameters {
			return "", false
		} else if !dots {
			out = append(out, s)
			continue
		}
		if name == ".." {
			if len(out) == 0 {
				return "", false
			}
			out = out[:len(out)-1]
		}
		if i == len(segments)-1 {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/"), true
}

// MatchHTTPPath reports whether a path pattern of an HTTP rule matches the path of a request, as it was sent. It is the one meaning of
// such patterns:
//
//	pattern = "/" segment { "/" segment }   only the last segment may be empty
//
// A pattern matches [NormalHTTPPath] of the path when their segments match in order: "**" any number of segments, also none; an empty one an
// empty one, so that a slash at the end counts; any other exactly one that is not empty, in which "*" matches any run of bytes, also
// none, and every other byte itself. A final "**" matches at least one segment, which may be empty: /a/** is /a/ and everything below
// it, and not /a. Without a normal path nothing matches.
//
// It takes at most len(pattern)*len(path) comparisons of segments.
func MatchHTTPPath(pattern, path string) bool {
	path, ok := NormalHTTPPath(path)
	if !ok || !strings.HasPrefix(pattern, "/") {
		return false
	}
	return matchSegments(strings.Split(pattern[1:], "/"), strings.Split(path[1:], "/"))
}

// matchSegments walks both together, and on a mismatch lets the last "**" take one segment more. Going back further is never needed:
// what an earlier "**" could take, the last one can.
func matchSegments(pattern, path []string) bool {
	p, s, stars, taken := 0, 0, -1, 0
	for {
		switch {
		case p == len(pattern) && s == len(path):
			return true
		case p < len(pattern) && pattern[p] == "**" && p == len(pattern)-1:
			return s < len(path)
		case p < len(pattern) && pattern[p] == "**":
			p++
			stars, taken = p, s
		case p < len(pattern) && s < len(path) && matchHTTPSegment(pattern[p], path[s]):
			p++
			s++
		case stars >= 0 && taken < len(path):
			taken++
			p, s = stars, taken
		default:
			return false
		}
	}
}

func matchHTTPSegment(pattern, segment string) bool {
	if segment == "" || pattern == "" {
		return pattern == segment
	}
	return matchStars(pattern, segment)
}

// matchStars reports whether a pattern in which "*" is any run of bytes, also none, matches all of s. It takes at most
// len(pattern)*len(s) steps.
func matchStars(pattern, s string) bool {
	p, i, star, taken := 0, 0, -1, 0
	for i < len(s) || p < len(pattern) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			star, taken = p, i
		case p < len(pattern) && i < len(s) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0 && taken < len(s):
			taken++
			p, i = star, taken
		default:
			return false
		}
	}
	return true
}
