// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gitauth

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

func TestParse(t *testing.T) {
	tests := []struct{ raw, shown, url, user, password string }{
		{"https://git.example.com/policy.git", "https://git.example.com/policy.git", "https://git.example.com/policy.git", "", ""},
		{"https://ada:geheim@git.example.com:8443/p", "https://git.example.com:8443/p", "https://git.example.com:8443/p", "ada", "geheim"},
		{"https://ada:ge%2Fheim@git.example.com/p", "https://git.example.com/p", "https://git.example.com/p", "ada", "ge/heim"},
		{"http://127.0.0.1:99/p", "http://127.0.0.1:99/p", "http://127.0.0.1:99/p", "", ""},
		{"http://[::1]:99/p", "http://[::1]:99/p", "http://[::1]:99/p", "", ""},
		{"http://localhost/p", "http://localhost/p", "http://localhost/p", "", ""},
		{"ssh://git@git.example.com:2222/p.git", "ssh://git@git.example.com:2222/p.git", "ssh://git@git.example.com:2222/p.git", "git", ""},
		{"git@git.example.com:team/p.git", "ssh://git@git.example.com/team/p.git", "ssh://git@git.example.com/team/p.git", "git", ""},
		{"file:///srv/p.git", "/srv/p.git", "file:///srv/p.git", "", ""},
		{"/srv/p.git", "/srv/p.git", "file:///srv/p.git", "", ""},
	}
	for _, test := range tests {
		a, err := Parse(test.raw)
		if err != nil || a.String() != test.shown || a.URL() != test.url || a.user != test.user || a.password != test.password {
			t.Errorf("%q is %q, for go-git %q, user %q, password %q, %v; want %q", test.raw, a, a.URL(), a.user, a.password, err, test)
		}
		if a.Password != "" || a.Protocol != "ssh" && a.User != "" {
			t.Errorf("%q: the endpoint keeps user %q and password %q", test.raw, a.User, a.Password)
		}
		if text := fmt.Sprintf("%v %+v %#v %s", a, a, a, &a); strings.Contains(text, "heim") {
			t.Errorf("printed, %q has the password: %s", test.raw, text)
		}
	}
}

// TestParseRefuses holds which URLs are not taken, and that no error repeats a part of a password.
func TestParseRefuses(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                    "no policy repository is named",
		"http://bob:t0k3n@git.example.com/p":  "plain http",
		"http://bob:t0k3n@127.0.0.1.evil/p":   "plain http",
		"git://bob:t0k3n@git.example.com/p":   `scheme "git"`,
		"ftp://bob:t0k3n@example.com/x":       `scheme "ftp"`,
		"https://bob:t0k3n@[::1/p":            `before the "@"`,
		"https://bob:t0k3n/x@git.example.com": `as %2F`,
		"https://bob:t0k3n%zz@example.com/p":  `before the "@"`,
		"https://example.com:port/p":          "invalid port",
		"https://bob:t0k3n@/p":                "names no host",
		"file://server/p":                     `names the host "server"`,
		"ssh://bob:t0k3n@git.example.com/p":   "want a key file or an agent",
		"bob:t0k3n@git.example.com:p":         "want a key file or an agent",
	} {
		_, err := Parse(raw)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(fmt.Sprintf("%+v %#v", err, err), "t0k3n") {
			t.Errorf("%q: %v; want an error with %q, without the password", raw, err, want)
		}
	}
}

func TestHostPort(t *testing.T) {
	for raw, want := range map[string]string{
		"git@git.example.com:p": "git.example.com:22", "ssh://git@[::1]:2222/p": "[::1]:2222", "ssh://git@[::1]/p": "[::1]:22",
	} {
		a, err := Parse(raw)
		if err != nil || a.HostPort() != want {
			t.Errorf("%q is at %q, %v; want %q", raw, a.HostPort(), err, want)
		}
	}
}

func write(t *testing.T, data string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestHTTP(t *testing.T) {
	const bare, token = "https://git.example.com/p", "geh/eim"
	file := write(t, "\t"+token+"\n")
	t.Setenv("WRIT_TEST_TOKEN", token)
	basic := func(user, password string) string {
		return fmt.Sprint(&githttp.BasicAuth{Username: user, Password: password})
	}
	tests := map[string]struct {
		url  string
		auth Auth
		want string // the method as it prints itself
		user string
		err  string
	}{
		"none":              {bare, Auth{}, "<nil>", "", ""},
		"file":              {bare, Auth{PasswordFile: file}, basic("x-access-token", token), "x-access-token", ""},
		"environment":       {bare, Auth{User: "ada", PasswordEnv: "WRIT_TEST_TOKEN"}, basic("ada", token), "ada", ""},
		"URL":               {"https://ada:geh%2Feim@git.example.com/p", Auth{}, basic("ada", token), "ada", ""},
		"user of the URL":   {"https://ada@git.example.com/p", Auth{PasswordFile: file}, basic("ada", token), "ada", ""},
		"user over the URL": {"https://ada:geh%2Feim@git.example.com/p", Auth{User: "eve"}, basic("eve", token), "eve", ""},
		"bearer":            {bare, Auth{Bearer: true, PasswordFile: file}, fmt.Sprint(&githttp.TokenAuth{Token: token}), "", ""},
		"twice in flags":    {bare, Auth{PasswordFile: file, PasswordEnv: "WRIT_TEST_TOKEN"}, "<nil>", "", "want one"},
		"twice":             {"https://ada:other@git.example.com/p", Auth{PasswordFile: file}, "<nil>", "", "take it out of the URL"},
		"no file":           {bare, Auth{PasswordFile: file + "x"}, "<nil>", "", "read token"},
		"empty file":        {bare, Auth{PasswordFile: write(t, " \n")}, "<nil>", "", "is empty or has several lines"},
		"two lines":         {bare, Auth{PasswordFile: write(t, "geh/eim\nb")}, "<nil>", "", "is empty or has several lines"},
		"huge file":         {bare, Auth{PasswordFile: write(t, strings.Repeat("x", maxCredential+1))}, "<nil>", "", "more than 65536 bytes"},
		"no variable":       {bare, Auth{PasswordEnv: "WRIT_TEST_NONE"}, "<nil>", "", "is empty; put the token there"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			at, err := Parse(test.url)
			if err != nil {
				t.Fatal(err)
			}
			method, hide, err := test.auth.HTTP(at)
			if fmt.Sprint(method) != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("method %v, error %v; want %s and %q", method, err, test.want, test.err)
			}
			if b, ok := method.(*githttp.BasicAuth); ok && (b.Username != test.user || b.Password != token) {
				t.Errorf("user %q, password %q; want %q and the token", b.Username, b.Password, test.user)
			}
			if err != nil && strings.Contains(err.Error(), "geh") {
				t.Errorf("the error has the token: %v", err)
			}
			if test.want != "<nil>" && hide.Scrub("a "+token+" b geh%2Feim") != "a *** b ***" {
				t.Errorf("the token is not hidden: %s", hide.Scrub("a "+token+" b geh%2Feim"))
			}
		})
	}
	at, err := Parse("https://geheim@git.example.com/p")
	if err != nil {
		t.Fatal(err)
	}
	if _, hide, err := (Auth{}).HTTP(at); err != nil || hide.Scrub("no geheim") != "no ***" {
		t.Errorf("a token that is given as the user is not hidden: %v", err)
	}
}

func TestCA(t *testing.T) {
	if bundle, err := (Auth{}).CABundle(); bundle != nil || err != nil {
		t.Errorf("no file gives %q, %v; want nothing", bundle, err)
	}
	if pool, err := (Auth{}).CAPool(); pool != nil || err != nil {
		t.Errorf("no file gives %v, %v; want nil, for the system's", pool, err)
	}
	for file, want := range map[string]string{write(t, "-----BEGIN CERTIFICATE-----\n"): "holds no certificate", "/nonexistent/ca": "read CA file"} {
		if pool, err := (Auth{CAFile: file}).CAPool(); pool != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, %v; want an error with %q", file, pool, err, want)
		}
	}
}

func TestReadFile(t *testing.T) {
	name := write(t, "12345")
	if data, err := ReadFile(name, 5); string(data) != "12345" || err != nil {
		t.Errorf("read %q, %v", data, err)
	}
	if _, err := ReadFile(name, 4); err == nil || !strings.Contains(err.Error(), "more than 4 bytes") {
		t.Errorf("error is %v", err)
	}
}

func FuzzForeign(f *testing.F) {
	f.Add("plain", 10)
	f.Add("a\x1b[31mred\x00\r\n\tb\u202e\u2028", 300)
	f.Add("\xff\xfe", 3)
	f.Add(strings.Repeat("ä", 200), 301)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = max(0, min(limit, 1000))
		got := Foreign(text, limit)
		if !utf8.ValidString(got) || len(got) > limit+len("…") || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("Foreign(%q, %d) is %q", text, limit, got)
		}
	})
}

func TestScrubTakesTheLongestFirst(t *testing.T) {
	hide := Secrets{}.With("ada", "").With("ada", "s/e cret")
	text := "token s/e cret, s%2Fe+cret, s%2Fe%20cret, YWRhOnMvZSBjcmV0\x07"
	if got := hide.Scrub(text); got != "token ***, ***, ***, ***" {
		t.Errorf("scrubbed is %q", got)
	}
}
