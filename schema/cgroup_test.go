// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import "testing"

func TestSelectsCgroup(t *testing.T) {
	for _, c := range []struct {
		pattern, cgroup string
		want            bool
	}{
		{"/a/*", "/a/b", true},
		{"/a/*", "/a/b/c/d", true},
		{"/a/*", "/a", false},
		{"/a", "/", false},
		{"/a", "a", false}, // events come from outside: what is no cgroup is selected by nothing
		{"/**", "a/b", false},
		{"/**", "", false},
	} {
		if got := (Match{Cgroup: c.pattern}).Selects(Subject{Cgroup: c.cgroup}); got != c.want {
			t.Errorf("the pattern %q selects the cgroup %q: %v; want %v", c.pattern, c.cgroup, got, c.want)
		}
	}
}
