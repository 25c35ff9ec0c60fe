// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"strings"
	"testing"
)

const testDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParseImage(t *testing.T) {
	for _, c := range []struct{ ref, want string }{ // want: the full form, or "! " and part of the error
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
		{"a@" + testDigest, "docker.io/library/a@" + testDigest},
		{"a:t@" + testDigest, "docker.io/library/a:t@" + testDigest},
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
	} {
		got, err := ParseImage(c.ref)
		if want, fails := strings.CutPrefix(c.want, "! "); fails {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("ParseImage(%.30q) = %v, %v; want error %q", c.ref, got, err, want)
			}
			continue
		}
		if err != nil || got.String() != c.want {
			t.Errorf("ParseImage(%q) = %q, %v; want %q", c.ref, got, err, c.want)
		}
		if again, err := ParseImage(got.String()); err != nil || again != got {
			t.Errorf("ParseImage(%q) = %+v, %v; want %+v", got.String(), again, err, got)
		}
	}
}

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
		{"**", "nginx", true},
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
	}
	if _, err := ParseImagePattern("a/b**"); err == nil {
		t.Error("ParseImagePattern(\"a/b**\") succeeded")
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
