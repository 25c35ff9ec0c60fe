// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schematest

import "strings"

// Digest is a digest as image references have it.
const Digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// Reference is an image reference, and what it is when it is normalised: its full form, or "! " and part of the error.
type Reference struct{ Ref, Want string }

// References is the one table of what image references mean. Whatever reads them is held against it.
var References = []Reference{
	{"nginx", "docker.io/library/nginx:latest"},
	{"nginx:1.27", "docker.io/library/nginx:1.27"},
	{"team/app", "docker.io/team/app:latest"},
	{"docker.io/nginx", "docker.io/library/nginx:latest"},
	{"index.docker.io/nginx", "docker.io/library/nginx:latest"},
	{"Docker.IO/nginx", "docker.io/library/nginx:latest"},
	{"Registry.Example.com/a/b", "registry.example.com/a/b:latest"},
	{"registry.example.com:5000/a", "registry.example.com:5000/a:latest"},
	{"localhost/a", "localhost/a:latest"},
	{"localhost:5000/a:t", "localhost:5000/a:t"},
	{"[::1]:5000/a", "[::1]:5000/a:latest"},
	{"a@" + Digest, "docker.io/library/a@" + Digest},
	{"a:t@" + Digest, "docker.io/library/a:t@" + Digest},
	{"a/b__c/d--e.f", "docker.io/a/b__c/d--e.f:latest"},
	{"", "! is empty"},
	{"Nginx", "! path segment \"Nginx\""},
	{"a//b", "! path segment \"\""},
	{"a/", "! path segment \"\""},
	{"/a", "! path segment \"\""},
	{"a:", "! tag \"\""},
	{"a:b:c", "! path segment \"a:b\""},
	{"a:t/", "! registry \"a:t\""},
	{"a@sha256:12", "! digest"},
	{"a@", "! digest"},
	{"a b", "! path segment"},
	{"a/../b", "! path segment"},
	{"a*", "! path segment"},
	{strings.Repeat("a", 600), "! has 600 bytes"},
}
