// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"strings"
	"testing"
)

const testDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestImagePattern(t *testing.T) {
	for _, c := range []struct {
		pattern, ref string
		want         bool
	}{
		{"nginx", "docker.io/library/nginx:1.27", true},
		{"nginx", "nginx@" + testDigest, true},
		{"nginx:1.27", "nginx", false},
		{"nginx@" + testDigest, "nginx:1.27@" + testDigest, true},
		{"nginx:1@" + testDigest, "nginx:2@" + testDigest, false},
		{"nginx@" + testDigest, "nginx:1.27", false},
		{"registry.example.com/shop/*", "registry.example.com/shop/payments:v1", true},
		{"registry.example.com/shop/*", "registry.example.com/shop/a/b", false},
		{"registry.example.com/**", "registry.example.com/shop/a/b", true},
		{"registry.example.com/**", "registry.example.com.evil.com/shop", false},
		{"registry.example.com/shop/pay*", "registry.example.com/shop/payments", true},
		{"docker.io/**", "nginx", true},
		{"docker.io/**", "registry.example.com/a", false},
		{"**", "nginx", true},
		{"**", "registry.example.com:5000/a/b:v1", true},
		{"**", "[::1]:5000/a", true},
		{"**:latest", "registry.example.com/a/b", true},
		{"**:latest", "nginx@" + testDigest, false},
		{"**:latest", "nginx:latest@" + testDigest, true},
		{"**:latest", "nginx:1.27", false},
		{"**/nginx", "nginx", true},
		{"**/nginx", "registry.example.com/nginx", true},
		{"**/nginx", "registry.example.com/a/b/nginx", true},
		{"**/nginx", "registry.example.com/nginx/a", false},
		{"**/nginx", "nginx.example.com/a", false}, // a registry is no segment of the path
		{"**/library/*", "registry.example.com/library/a", true},
		{"**/*", "registry.example.com/a/b", true},
		{"**@*", "nginx", false},
		{"**@*", "nginx@" + testDigest, true},
		{"**@*", "a@sha512:" + strings.Repeat("0", 128), true},
		{"registry.example.com/**@*", "registry.example.com/a:v1@" + testDigest, true},
		{"registry.example.com/**@*", "registry.example.com/a:v1", false},
		{"registry.example.com/**@*", "a@" + testDigest, false},
		{"nginx:1@*", "nginx:1@" + testDigest, true},
		{"nginx:1@*", "nginx@" + testDigest, false},
		{"registry.example.com/a", "registry.example.com:443/a", false},
	} {
		p, err := ParseImagePattern(c.pattern)
		if err != nil {
			t.Fatalf("ParseImagePattern(%q): %v", c.pattern, err)
		}
		i, err := ParseImage(c.ref)
		if err != nil {
			t.Fatalf("ParseImage(%q): %v", c.ref, err)
		}
		if got := p.Matches(i); got != c.want {
			t.Errorf("%q matches %q = %v; want %v", c.pattern, c.ref, got, c.want)
		}
		if again, err := ParseImagePattern(p.String()); err != nil || again != p {
			t.Errorf("%q reads as %+v; its full form %q as %+v, %v", c.pattern, p, p.String(), again, err)
		}
	}
}

func TestImagePatternErrors(t *testing.T) {
	for pattern, want := range map[string]string{
		"a/b**": `"**" beside other characters`, "**.example.com/a": `"**.example.com"`, "**:5000/a": `"**:5000"`, "**/": `path segment ""`,
		"**@": `digest ""`, "**@sha256:*": `digest "sha256:*"`, "**@**": `digest "**"`, "a:*@*": `tag "*"`, "": "is empty",
	} {
		if p, err := ParseImagePattern(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseImagePattern(%q) = %+v, %v; want error %q", pattern, p, err, want)
		}
	}
	for _, ref := range []string{"**", "**/a", "a@*"} {
		if i, err := ParseImage(ref); err == nil {
			t.Errorf("ParseImage(%q) = %+v; want an error", ref, i)
		}
	}
}

func FuzzParseImage(f *testing.F) {
	f.Add("registry.example.com:5000/a/b:t@" + testDigest)
	f.Add("nginx")
	f.Fuzz(func(t *testing.T, ref string) {
		i, err := ParseImage(ref)
		if err != nil {
			return
		}
		if again, err := ParseImage(i.String()); err != nil || again != i {
			t.Fatalf("ParseImage(%q) = %+v; its full form %q reads as %+v, %v", ref, i, i.String(), again, err)
		}
	})
}
