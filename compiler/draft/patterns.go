// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"fmt"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// exactPath returns the pattern that matches one path alone.
func exactPath(path string) (string, error) {
	if strings.Contains(path, "*") {
		return "", fmt.Errorf("is a path with \"*\" in it, which is a wildcard in policy")
	}
	return path, schema.CheckPattern(path)
}

// directory returns the pattern of what is in a directory, written with or without a slash at the end: all files below, or its own alone.
func directory(dir string, recursive bool) (string, error) {
	if !strings.HasPrefix(dir, "/") || strings.Contains(dir, "*") {
		return "", fmt.Errorf("is no path of a directory; want an absolute one without \"*\"")
	}
	last := "/*"
	if recursive {
		last = "/**"
	}
	pattern := strings.TrimRight(dir, "/") + last
	return pattern, schema.CheckPattern(pattern)
}

// appArmorPattern translates a path pattern of AppArmor (apparmor.d(5), "Globbing"), where "*" is any run but of "/", and "**" any run. What
// cannot be said exactly is an error, but for one thing: /a/**/b of policy includes /a/b, and wider says so.
func appArmorPattern(p string) (pattern string, wider bool, err error) {
	if i := strings.IndexAny(p, "?[]{}^\\@\"'"); i >= 0 {
		return "", false, fmt.Errorf("has %q in its pattern, where policy knows \"*\" and \"**\" alone", p[i:i+1])
	}
	segments := strings.Split(p, "/")
	for i, s := range segments {
		if strings.Contains(s, "***") || s != "**" && strings.Contains(s, "**") {
			return "", false, fmt.Errorf("has \"**\" beside other characters, where policy knows it between slashes alone")
		}
		wider = wider || s == "**" && i < len(segments)-1
	}
	return p, wider, schema.CheckPattern(p)
}

// covers reports whether a pattern matches everything that another matches. It says no when in doubt.
func covers(wide, narrow string) bool {
	if wide == narrow || wide == "/**" {
		return true
	}
	if schema.PatternKind(narrow) == schema.KindExact {
		return schema.MatchPath(wide, narrow)
	}
	if schema.PatternKind(wide) == schema.KindDir {
		return strings.HasPrefix(narrow, strings.TrimSuffix(wide, "**")) // all that begins with dir/ is below dir
	}
	return false
}
