// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// wantError holds a check against a part of the message that is wanted, "" for none.
func wantError(t *testing.T, what, value string, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s(%.40q) = %v; want %q", what, value, err, want)
	}
}

var nameTable = []struct {
	pattern, name string
	want          bool
}{
	{"api.example.com", "api.example.com", true},
	{"api.example.com", "API.Example.COM.", true},
	{"API.example.com.", "api.example.com", true},
	{"api.example.com", "x.api.example.com", false},
	{"api.example.com", "xapi.example.com", false},
	{"*.example.com", "api.example.com", true},
	{"*.example.com", "example.com", false},
	{"*.example.com", ".example.com", false},
	{"*.example.com", "x.api.example.com", false},
	{"**.example.com", "example.com", false},
	{"**.example.com", "api.example.com", true},
	{"**.example.com", "x.y.api.example.com.", true},
	{"**.example.com", "badexample.com", false},
	{"*.example.com", "x*.example.com", true},
	{"a.*.com", "a.b.com", false},
	{"a.*.com", "a.*.com", true},
	{"a*.example.com", "ab.example.com", false},
	{"*", "a", false},
	{"**", "a.b", false},
	{"*.", "a", false},
	{"example.com", "example.com..", false},
	{"**.com", "a..com", false},
	{"", "", false},
	{".", ".", false},
	{"*.b", "\xff.b", true},
	{"\xff.b", "\xfe.b", false},
	{"k.b", "\u212a.b", false}, // the Kelvin sign folds to k, but not in DNS
	{"10.0.0.1", "10.0.0.1", true},
}

func TestMatchName(t *testing.T) {
	for _, c := range nameTable {
		if got := schema.MatchName(c.pattern, c.name); got != c.want {
			t.Errorf("MatchName(%q, %q) = %v; want %v", c.pattern, c.name, got, c.want)
		}
	}
}

func FuzzMatchName(f *testing.F) {
	for _, c := range nameTable {
		f.Add(c.pattern, c.name)
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := schema.MatchName(pattern, name)
		if schema.CheckName(pattern) != nil || strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 }) {
			return // the naive one folds all letters, and knows valid patterns alone
		}
		if want := naiveName(pattern, name); got != want {
			t.Fatalf("MatchName(%q, %q) = %v; want %v", pattern, name, got, want)
		}
	})
}

func TestCheckName(t *testing.T) {
	for pattern, want := range map[string]string{
		"api.example.com": "", "API.example.com.": "", "*.example.com": "", "**.svc.cluster.local": "", "ledger": "", "_http._tcp.example.com": "", "xn--caf-dma.example": "",
		"":                             "is empty; want a name",
		".":                            "is empty",
		"*":                            "names no domain",
		"**.":                          "names no domain",
		"*..":                          "is empty",
		"a..b":                         "empty label",
		"a.*.b":                        "has \"*\" in the label \"*\"",
		"a*.b":                         "has \"*\" in the label \"a*\"",
		"*.*.b":                        "has \"*\" in the label",
		"-a.b":                         "no \"-\" at its begin",
		"a b.c":                        "has the label \"a b\"",
		"caf\u00e9.example":            "not ASCII; want its form for DNS",
		"10.0.0.1":                     "is an address",
		"::1":                          "is an address",
		"a.1":                          "ends in the number \"1\"",
		"https://x.example":            "has the label \"https://x\"",
		strings.Repeat("a", 64) + ".b": "label of 64 bytes; want at most 63",
		strings.Repeat("a.", 130):      "has 259 bytes; want at most 253",
	} {
		wantError(t, "CheckName", pattern, schema.CheckName(pattern), want)
	}
}

func TestMatchCIDR(t *testing.T) {
	for _, c := range []struct {
		cidr, address string
		want          bool
	}{
		{"10.0.0.0/8", "10.1.2.3", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.1.2.3/32", "10.1.2.3", true},
		{"0.0.0.0/0", "255.255.255.255", true},
		{"0.0.0.0/0", "::1", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "10.1.2.3", false},
		{"::/0", "::ffff:10.1.2.3", false},
		{"10.0.0.0/8", "::ffff:10.1.2.3", true},
		{"fe80::/10", "fe80::1%eth0", true},
		{"fd00::/8", "fe80::1", false},
		{"10.0.0.0/8", "", false},
		{"::/0", "", false},
		{"10.0.0.0", "10.0.0.0", false},
		{"", "10.0.0.0", false},
	} {
		a, _ := netip.ParseAddr(c.address)
		if got := schema.MatchCIDR(c.cidr, a); got != c.want {
			t.Errorf("MatchCIDR(%q, %q) = %v; want %v", c.cidr, c.address, got, c.want)
		}
	}
}

func TestCheckCIDR(t *testing.T) {
	for text, want := range map[string]string{
		"10.20.0.0/16": "", "0.0.0.0/0": "", "::/0": "", "2001:db8::/32": "", "10.0.0.1/32": "", "::ffff:0:0/90": "has host bits; want \"::ffc0:0:0/90\"",
		"10.20.0.1/16":         "has host bits; want \"10.20.0.0/16\"",
		"2001:db8::1/32":       "has host bits; want \"2001:db8::/32\"",
		"::ffff:10.0.0.0/104":  "IPv4 addresses written as IPv6; want \"10.0.0.0/8\"",
		"::ffff:10.20.0.1/112": "want \"10.20.0.0/16\"",
		"10.0.0.1":             "is an address; want a range such as \"10.0.0.1/32\"",
		"fe80::1%eth0":         "want a range such as \"fe80::1/128\"",
		"fe80::%eth0/64":       "is not a range of addresses",
		"10.0.0.0/33":          "is not a range of addresses",
		"10.0.0.0/08":          "is not a range of addresses",
		"10.0.0/24":            "is not a range of addresses",
		"":                     "is not a range of addresses",
	} {
		p, err := schema.CheckCIDR(text)
		wantError(t, "CheckCIDR", text, err, want)
		if err == nil && p.String() != text || err != nil && p.IsValid() {
			t.Errorf("CheckCIDR(%q) = %v, %v", text, p, err)
		}
	}
}

func FuzzCIDR(f *testing.F) {
	f.Add("10.0.0.0/8", []byte{10, 1, 2, 3})
	f.Add("::/0", []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 2, 3})
	f.Add("fd00::/8", []byte{})
	f.Fuzz(func(t *testing.T, cidr string, address []byte) {
		a, _ := netip.AddrFromSlice(address)
		got := schema.MatchCIDR(cidr, a)
		if _, err := schema.CheckCIDR(cidr); err == nil && got != naiveCIDR(cidr, a) {
			t.Fatalf("MatchCIDR(%q, %v) = %v; want %v", cidr, a, got, !got)
		}
	})
}

func TestMatchPort(t *testing.T) {
	for _, c := range []struct {
		pattern string
		port    int
		name    string
		want    bool
	}{
		{"443", 443, "", true}, {"443", 444, "", false}, {"443", 4430, "", false},
		{"8000-8100", 8000, "", true}, {"8000-8100", 8100, "", true}, {"8000-8100", 8101, "", false}, {"8000-8100", 7999, "", false},
		{"*", 0, "", true}, {"", 1, "x", true},
		{"web", 80, "web", true}, {"web", 80, "Web", false}, {"web", 80, "", false}, {"80-a", 80, "80-a", true}, {"80-a", 80, "", false},
		{"0", 0, "", false}, {"080", 80, "", false}, {"8100-8000", 8050, "", false}, {"-", 0, "-", false}, {"80-", 80, "", false}, {"1-2-3", 2, "", false}, {"+80", 80, "", false},
		{"99999999999999999999", 80, "", false},
	} {
		if got := schema.MatchPort(c.pattern, c.port, c.name); got != c.want {
			t.Errorf("MatchPort(%q, %d, %q) = %v; want %v", c.pattern, c.port, c.name, got, c.want)
		}
	}
}

func TestCheckPort(t *testing.T) {
	for pattern, want := range map[string]string{
		"1": "", "65535": "", "8000-8100": "", "*": "", "web": "", "grpc-web": "", "80-a": "", "http2": "",
		"":                 "is empty; want a number, a range",
		"0":                "has the port \"0\"; want a number from 1 to 65535",
		"65536":            "has the port \"65536\"",
		"080":              "has the port \"080\"",
		"-1":               "has the port \"\"",
		"80-":              "has the port \"\"",
		"80-80":            "want the lower port first",
		"90-80":            "is a range from 90 to 80",
		"1-2-3":            "has the port \"2-3\"",
		"Web":              "is not a port",
		"a--b":             "is not a port",
		"a-":               "is not a port",
		"a_b":              "is not a port",
		"abcdefghijklmnop": "is not a port",
		"80,81":            "is not a port",
	} {
		wantError(t, "CheckPort", pattern, schema.CheckPort(pattern), want)
	}
}

func FuzzPort(f *testing.F) {
	for _, pattern := range []string{"443", "8000-8100", "web", "*", "", "1-2-3", "99999999999999999999-1"} {
		f.Add(pattern, 443, "web")
	}
	f.Fuzz(func(t *testing.T, pattern string, port int, name string) {
		got := schema.MatchPort(pattern, port, name)
		if schema.CheckPort(pattern) == nil && port >= 0 && port <= 65535 && schema.CheckPort(name) == nil {
			if digits := strings.Trim(name, "0123456789-*") == ""; !digits && got != naivePort(pattern, schema.Flow{Port: port, PortName: name}) {
				t.Fatalf("MatchPort(%q, %d, %q) = %v; want %v", pattern, port, name, got, !got)
			}
		}
	})
}

var httpTable = []struct {
	pattern, path string
	want          bool
}{
	{"/", "/", true},
	{"/", "", false},
	{"/", "/?q", true},
	{"/", "/a", false},
	{"/a", "/a", true},
	{"/a", "/a/", false},
	{"/a/", "/a/", true},
	{"/a/", "/a", false},
	{"/a/*", "/a/b", true},
	{"/a/*", "/a/", false},
	{"/a/*", "/a/b/", false},
	{"/a/*", "/a/b/c", false},
	{"/a/*/", "/a/b/", true},
	{"/a/b*", "/a/b", true},
	{"/a/b*c", "/a/bxc", true},
	{"/a/**", "/a", false},
	{"/a/**", "/a/", true},
	{"/a/**", "/a/b/c/", true},
	{"/a/**/c", "/a/c", true},
	{"/a/**/c", "/a/b/b/c", true},
	{"/a/**/c", "/a/b/b/c/", false},
	{"/a/**/", "/a/", true},
	{"/a/**/", "/a/b/c/", true},
	{"/a/**/", "/a/b/c", false},
	{"/**", "/", true},
	{"/**", "/a", true},
	{"/**/a/**", "/a", false},
	{"/**/a/**", "/a/a", true},
	{"/a", "/a?b=/c", true},
	{"/a", "/%61", true},
	{"/a", "/b/../a", true},
	{"/a", "/./a", true},
	{"/a/", "/a/.", true},
	{"/a/", "/a/b/..", true},
	{"/a/", "/a/b/%2e%2E", true},
	{"/**", "/..", false},
	{"/**", "/a/../../b", false},
	{"/**", "/a/..;x=y/b", false},
	{"/**", "/a/.;/b", false},
	{"/a/b;x=..", "/a/b;x=..", true},
	{"/**", "/a//b", false},
	{"/**", "//", false},
	{"/**", "/a%2fb", false},
	{"/**", "/a%2Fb", false},
	{"/**", "/a\\b", false},
	{"/**", "/a%5Cb", false},
	{"/**", "/a%00b", false},
	{"/**", "/a\x00b", false},
	{"/**", "/a%0ab", false},
	{"/**", "/a%7F", false},
	{"/**", "/a#b", false},
	{"/a#b", "/a%23b", true},
	{"/**", "/a%", false},
	{"/**", "/a%4", false},
	{"/**", "/a%zz", false},
	{"/**", "/a%ff", false},
	{"/**", "/a\xff", false},
	{"/caf\u00e9", "/caf%C3%A9", true},
	{"/caf\u00e9", "/caf\u00e9", true},
	{"/a:b", "/a%3Ab", true},
	{"/a?b", "/a%3Fb", true},
	{"/%2e%2e/b", "/a/%252e%252e/b", false},
	{"/a/%2e%2e/b", "/a/%252e%252e/b", true},
	{"/**", "*", false},
	{"/**", "http://x/a", false},
	{"/A", "/a", false},
	{"a", "/a", false},
	{"", "/", false},
}

func TestMatchHTTPPath(t *testing.T) {
	for _, c := range httpTable {
		if got := schema.MatchHTTPPath(c.pattern, c.path); got != c.want {
			t.Errorf("MatchHTTPPath(%q, %q) = %v; want %v", c.pattern, c.path, got, c.want)
		}
	}
}

func FuzzMatchHTTPPath(f *testing.F) {
	for _, c := range httpTable {
		f.Add(c.pattern, c.path)
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		got := schema.MatchHTTPPath(pattern, path)
		normal, ok := schema.NormalHTTPPath(path)
		if want, wantOK := naiveNormal(path); normal != want || ok != wantOK {
			t.Fatalf("NormalHTTPPath(%q) = %q, %v; want %q, %v", path, normal, ok, want, wantOK)
		}
		if ok && (strings.Contains(normal, "//") || strings.Contains(normal+"/", "/../") || strings.Contains(normal+"/", "/./") || normal[0] != '/') {
			t.Fatalf("NormalHTTPPath(%q) = %q, which is not normal", path, normal)
		}
		if _, err := schema.ParseHTTPRule("GET " + pattern); err != nil || len(pattern) > 20 || len(path) > 40 {
			return
		}
		if want := naiveHTTPPath(pattern, path); got != want {
			t.Fatalf("MatchHTTPPath(%q, %q) = %v; want %v", pattern, path, got, want)
		}
	})
}

// TestMatchHTTPPathIsBounded holds that no path, however chosen, keeps a proxy busy.
func TestMatchHTTPPathIsBounded(t *testing.T) {
	pattern := strings.Repeat("/**/a*a*b", 50) + "/x"
	if _, err := schema.ParseHTTPRule("GET " + pattern); err != nil {
		t.Fatal(err)
	}
	path := strings.Repeat("/"+strings.Repeat("a", 30), 300)
	if schema.MatchHTTPPath(pattern, path) {
		t.Error("matched")
	}
}

func TestParseHTTPRule(t *testing.T) {
	for key, want := range map[string]string{
		"GET /v1/items/*": "", "* /**": "", "POST /": "", "M-SEARCH /a/": "", "GET /caf\u00e9": "", "GET /a b": "",
		"GET":                              "has no space; want a method and a path",
		"/v1":                              "has no space",
		"get /v1":                          "has the method \"get\"; want one in upper case",
		"GET,POST /v1":                     "has the method",
		" /v1":                             "has the method \"\"",
		"GET v1":                           "has the path \"v1\"; want one that begins with \"/\"",
		"GET  /v1":                         "has the path \" /v1\"",
		"GET /a?b":                         "the query is not judged",
		"GET /a#b":                         "want the path alone",
		"GET /a%20b":                       "want the character itself",
		"GET /a\\b":                        "has a backslash",
		"GET /a\tb":                        "has the control byte 0x09",
		"GET /a//b":                        "has an empty segment",
		"GET //":                           "has an empty segment",
		"GET /a/../b":                      "has a \"..\" segment in its path; want the path that it leads to",
		"GET /a/.":                         "has a \".\" segment",
		"GET /a**":                         "stand alone",
		"GET /\xff":                        "not UTF-8",
		"GET /" + strings.Repeat("a", 600): "has a path of 601 bytes; want at most 512",
	} {
		rule, err := schema.ParseHTTPRule(key)
		wantError(t, "ParseHTTPRule", key, err, want)
		if err == nil && rule.Method+" "+rule.Path != key || rule.Host != "" {
			t.Errorf("ParseHTTPRule(%q) = %+v", key, rule)
		}
	}
}

func TestGRPC(t *testing.T) {
	for _, c := range []struct {
		entry, call string
		want        bool
	}{
		{"shop.Orders/Get", "shop.Orders/Get", true},
		{"shop.Orders/Get", "shop.Orders/Put", false},
		{"shop.Orders/*", "shop.Orders/Put", true},
		{"shop.Orders/*", "shop.Carts/Put", false},
		{"shop.Orders/*", "shop.Orders/", false},
		{"shop.Orders/*", "shop.Orders/a/b", false},
		{"shop.Orders/*", "shop.Orders", false},
		{"shop.Orders/Get", "/shop.Orders/Get", false},
		{"shop.Orders/Get", "shop.orders/Get", false},
		{"/*", "/Get", false},
	} {
		if got := schema.MatchGRPC(c.entry, c.call); got != c.want {
			t.Errorf("MatchGRPC(%q, %q) = %v; want %v", c.entry, c.call, got, c.want)
		}
	}
	for entry, want := range map[string]string{
		"shop.v1.Orders/Get": "", "Orders/*": "",
		"shop.Orders":                     "has no \"/\"; want a call",
		"/shop.Orders/Get":                "has the service \"\"",
		"shop..Orders/Get":                "has the service \"shop..Orders\"",
		"*/Get":                           "has the service \"*\"",
		"shop.Orders/":                    "has the method \"\"",
		"shop.Orders/Get*":                "has the method \"Get*\"",
		"shop.Orders/Get/x":               "has the method \"Get/x\"",
		strings.Repeat("a", 600) + "/Get": "has 604 bytes",
	} {
		wantError(t, "CheckGRPC", entry, schema.CheckGRPC(entry), want)
	}
}

func FuzzGRPC(f *testing.F) {
	f.Add("shop.Orders/*", "shop.Orders/Get")
	f.Fuzz(func(t *testing.T, entry, call string) {
		got := schema.MatchGRPC(entry, call)
		if schema.CheckGRPC(entry) != nil {
			return
		}
		if want := naiveRequest(schema.Rule{GRPC: []string{entry}}, schema.Flow{GRPC: call}); got != want {
			t.Fatalf("MatchGRPC(%q, %q) = %v; want %v", entry, call, got, want)
		}
	})
}

func TestCheckCapability(t *testing.T) {
	if n := len(schema.Capabilities); n != 41 {
		t.Errorf("%d capabilities; Linux has 41 (CAP_LAST_CAP is 40)", n)
	}
	for name, want := range map[string]string{
		"CAP_CHOWN": "", "CAP_CHECKPOINT_RESTORE": "",
		"NET_RAW":     "want \"CAP_NET_RAW\"",
		"cap_net_raw": "want \"CAP_NET_RAW\"",
		"net_raw":     "want \"CAP_NET_RAW\"",
		"ALL":         "is no capability of Linux",
		"":            "is no capability of Linux",
	} {
		wantError(t, "CheckCapability", name, schema.CheckCapability(name), want)
	}
}

func TestExposesPath(t *testing.T) {
	for _, c := range []struct {
		pattern, dir string
		want         bool
	}{
		{"/var/run/docker.sock", "/var/run/docker.sock", true},
		{"/var/run/docker.sock", "/var/run", true},
		{"/var/run/docker.sock", "/var", true},
		{"/var/run/docker.sock", "/", true},
		{"/var/run/docker.sock", "/var/log", false},
		{"/var/run/docker.sock", "/var/run/docker.sock/a", false},
		{"/var/run/docker.sock", "/var/ru", false},
		{"/etc/**", "/etc", true},
		{"/etc/**", "/etc/a/b", true},
		{"/etc/**", "/usr", false},
		{"/**/log", "/a/b", true},
		{"/**/log", "/a/log", true},
		{"/*/log", "/a/b", false},
		{"/*/log", "/a", true},
		{"/a/**/b/*", "/a/b", true},
		{"/a*c/d", "/abc", true},
		{"/a*c/d", "/abd", false},
		{"/a/**/**", "/a", true},
		{"/a", "", false},
		{"/a", "a", false},
		{"/a", "/a/", false},
		{"", "/", false},
	} {
		if got := schema.ExposesPath(c.pattern, c.dir); got != c.want {
			t.Errorf("ExposesPath(%q, %q) = %v; want %v", c.pattern, c.dir, got, c.want)
		}
	}
}

func FuzzExposesPath(f *testing.F) {
	f.Add("/a/**/b*", "/a/c", "/b")
	f.Fuzz(func(t *testing.T, pattern, dir, below string) {
		got := schema.ExposesPath(pattern, dir)
		if len(pattern) > 20 || len(dir) > 20 || schema.CheckPattern(pattern) != nil || !strings.HasPrefix(dir, "/") ||
			dir != "/" && (strings.Contains(dir+"/", "//") || strings.Contains(dir+"/", "/./") || strings.Contains(dir+"/", "/../")) {
			return
		}
		if want := naiveExposes(pattern, dir); got != want {
			t.Fatalf("ExposesPath(%q, %q) = %v; want %v", pattern, dir, got, want)
		}
		if p := strings.TrimSuffix(dir, "/") + below; schema.MatchPath(pattern, p) && (below == "" || below[0] == '/') && !got {
			t.Fatalf("ExposesPath(%q, %q) = false, but it matches %q", pattern, dir, p)
		}
	})
}
