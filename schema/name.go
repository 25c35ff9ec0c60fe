// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"net/netip"
	"strings"
)

// Limits of names, in bytes, from RFC 1035, section 2.3.4.
const (
	MaxName  = 253 // a name without its last dot
	MaxLabel = 63
)

// foldName returns a name as names are compared: upper-case letters of ASCII as lower-case ones, without the last dot.
func foldName(name string) string {
	b := []byte(strings.TrimSuffix(name, "."))
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// MatchName reports whether a name pattern matches a name. It is the one meaning of name patterns:
//
//	pattern = name | "*." name | "**." name
//	name    = label { "." label }
//
// Both are compared with the letters of ASCII in lower case and without one last dot. "*." stands for exactly one label, "**." for
// one or more; all else, a "*" elsewhere among it, is literal. A name that is empty or has an empty label matches nothing. An address is a
// name of labels like any other, so only a pattern that states it matches it.
//
// It takes a number of steps linear in the length of both.
func MatchName(pattern, name string) bool {
	pattern, name = foldName(pattern), foldName(name)
	if name == "" || name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, "..") {
		return false
	}
	if suffix, ok := strings.CutPrefix(pattern, "**."); ok {
		return below(name, suffix)
	}
	if suffix, ok := strings.CutPrefix(pattern, "*."); ok {
		return below(name, suffix) && !strings.Contains(strings.TrimSuffix(name, "."+suffix), ".")
	}
	return pattern == name
}

// below reports whether a name ends in another name, with a label before it at least.
func below(name, suffix string) bool {
	return suffix != "" && strings.HasSuffix(name, "."+suffix) && len(name) > len(suffix)+1
}

// CheckName returns why a name pattern is not valid, or nil. The message says what was expected, without the pattern.
func CheckName(pattern string) error {
	name := strings.TrimSuffix(pattern, ".")
	for _, wild := range []string{"**.", "*."} {
		if rest, ok := strings.CutPrefix(name, wild); ok {
			name = rest
			break
		}
	}
	switch {
	case name == "":
		return fmt.Errorf("is empty; want a name such as \"api.example.com\"")
	case name == "*" || name == "**":
		return fmt.Errorf("names no domain; want a name such as \"*.example.com\"")
	case len(name) > MaxName:
		return fmt.Errorf("has %d bytes; want at most %d", len(name), MaxName)
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return fmt.Errorf("is an address; want a name, or the address as a cidr")
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	if last := name[strings.LastIndexByte(name, '.')+1:]; strings.Trim(last, "0123456789") == "" {
		return fmt.Errorf("ends in the number %q, as addresses do; want a name such as \"api.example.com\"", last)
	}
	return nil
}

// checkLabel holds labels to what host names have (RFC 1123, section 2.1), and "_", which names of services have (RFC 2782).
func checkLabel(label string) error {
	switch {
	case label == "":
		return fmt.Errorf("has an empty label; want labels separated by single dots")
	case len(label) > MaxLabel:
		return fmt.Errorf("has a label of %d bytes; want at most %d", len(label), MaxLabel)
	case strings.Contains(label, "*"):
		return fmt.Errorf("has \"*\" in the label %q; want \"*.\" or \"**.\" at the begin alone", label)
	case label[0] == '-' || label[len(label)-1] == '-':
		return fmt.Errorf("has the label %q; want no \"-\" at its begin or end", label)
	}
	for i := range len(label) {
		switch c := label[i]; {
		case c >= 0x80:
			return fmt.Errorf("has the label %q, which is not ASCII; want its form for DNS, \"xn--…\"", label)
		case !nameByte(c):
			return fmt.Errorf("has the label %q; want letters, digits, \"-\" and \"_\"", label)
		}
	}
	return nil
}

// nameByte reports whether a byte may stand in a label of a host name.
func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
