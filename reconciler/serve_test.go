// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-sec/writ/reconciler/gitauth"
	"github.com/writ-sec/writ/schema/testneed"
)

// gitBinary returns a function that runs git in a folder, undisturbed by the settings of the machine.
func gitBinary(t testing.TB) func(dir string, args ...string) string {
	path := testneed.Binary(t, "git", "install git")
	return func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command(path, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=Ada",
			"GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
}

// serve serves the repositories below a folder over https with git's own backend, to whoever knows the password, and returns the URL of
// the folder and a file with the server's certificate.
func serve(t testing.TB, root string, wrap func(http.Handler) http.Handler) (url, caFile string) {
	t.Helper()
	gitPath := testneed.Binary(t, "git", "install git")
	out, err := exec.Command(gitPath, "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		testneed.Skip(t, "needs git-http-backend: "+err.Error())
	}
	var h http.Handler = &cgi.Handler{Path: backend, Logger: log.New(io.Discard, "", 0), Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_COUNT=1",
			"GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}}
	if wrap != nil {
		h = wrap(h)
	}
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, caFile
}

// The password would be rewritten by careless escaping.
const testPassword = "ge/h%eim+ +tok'en"

// demand lets pass who has the password, as "ada" or as a bearer, and repeats to all others what they sent, as bad servers do.
func demand(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		switch {
		case ok && user == "ada" && password == testPassword, r.Header.Get("Authorization") == "Bearer "+testPassword:
			h.ServeHTTP(w, r)
		case ok && user == "eve":
			http.Error(w, "eve may not: "+r.Header.Get("Authorization")+" "+password, http.StatusForbidden)
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			http.Error(w, "\x1b[31mno: "+r.Header.Get("Authorization")+" "+password, http.StatusUnauthorized)
		}
	})
}

func writeFile(t testing.TB, data string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// noSecrets fails if a text has a secret in any form.
func noSecrets(t testing.TB, text string) {
	t.Helper()
	forms := gitauth.Secrets{}.With("ada", testPassword)
	forms = forms.With("eve", testPassword).With("", testPassword)
	for _, s := range append(forms, "geheim", "ge/h") {
		if strings.Contains(text, s) {
			t.Errorf("the text has the secret %q: %s", s, text)
		}
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' }) {
		t.Errorf("the text has control characters: %q", text)
	}
}

func TestHTTPSCredentials(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	url, ca := serve(t, filepath.Dir(o.path), demand)
	url += "/policy.git"
	host := strings.TrimPrefix(url, "https://")
	inURL := func(user string) string {
		return "https://" + neturl.UserPassword(user, testPassword).String() + "@" + host
	}
	file := writeFile(t, testPassword+"\n")
	t.Setenv("WRIT_TEST_TOKEN", testPassword)
	tests := map[string]struct {
		url  string
		auth Auth
		want string // of the error; "" for success
	}{
		"file":             {url, Auth{User: "ada", PasswordFile: file}, ""},
		"environment":      {url, Auth{User: "ada", PasswordEnv: "WRIT_TEST_TOKEN"}, ""},
		"bearer":           {url, Auth{Bearer: true, PasswordFile: file}, ""},
		"in the URL":       {inURL("ada"), Auth{}, ""},
		"user in the URL":  {"https://ada@" + host, Auth{PasswordFile: file}, ""},
		"none":             {url, Auth{}, "wants other credentials"},
		"wrong user":       {inURL("bob"), Auth{}, "wants other credentials"},
		"forbidden":        {inURL("eve"), Auth{}, "does not let this user read it"},
		"twice":            {inURL("ada"), Auth{PasswordFile: file}, "take it out of the URL"},
		"missing file":     {url, Auth{User: "ada", PasswordFile: file + "x"}, "check its path, owner and mode"},
		"empty file":       {url, Auth{User: "ada", PasswordFile: writeFile(t, " \n")}, "is empty or has several lines"},
		"empty variable":   {url, Auth{User: "ada", PasswordEnv: "WRIT_TEST_NONE"}, "is empty; put the token there"},
		"missing":          {strings.Replace(inURL("ada"), "policy.git", "none.git", 1), Auth{}, "no repository that these credentials may see"},
		"wrong host name":  {strings.Replace(inURL("ada"), "127.0.0.1", "localhost", 1), Auth{}, "certificate is for another name"},
		"token for a user": {url, Auth{User: testPassword, PasswordFile: file}, "wants other credentials"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, test.url, func(c *Config) { c.Auth = test.auth; c.Auth.CAFile = ca })
			if test.want == "" {
				b.once()
			} else {
				got := b.fails("", test.want, "policy repository https://")
				noSecrets(t, got.Err.Error())
				noSecrets(t, fmt.Sprintf("%+v %#v %v", got.Err, got.Err.Error(), got))
			}
			state, _ := os.ReadFile(statePath(b.cfg.Dir))
			noSecrets(t, string(state))
			config, err := os.ReadFile(filepath.Join(b.r.cfg.clonePath(), "config"))
			if err != nil {
				t.Fatal(err)
			}
			noSecrets(t, string(config))
		})
	}
	t.Run("unknown authority", func(t *testing.T) {
		newBench(t, inURL("ada"), nil).fails("", "signed by nobody that is trusted here", "name its CA file")
	})
	t.Run("no certificate in CA file", func(t *testing.T) {
		newBench(t, inURL("ada"), func(c *Config) { c.Auth.CAFile = file }).fails("", "holds no certificate")
	})
	t.Run("rotated", func(t *testing.T) {
		token := writeFile(t, "old")
		b := newBench(t, url, func(c *Config) { c.Auth = Auth{User: "ada", PasswordFile: token, CAFile: ca} })
		b.fails("", "wants other credentials")
		if err := os.WriteFile(token, []byte(testPassword), 0o600); err != nil {
			t.Fatal(err)
		}
		b.once()
	})
}

func TestHTTPSServersThatMisbehave(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	release := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(release) }))
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, to+r.URL.Path+"?"+r.URL.RawQuery, http.StatusFound)
		}
	}
	const short = 500 * time.Millisecond // for what nothing else ends; a busy machine needs more for the others
	tests := map[string]struct {
		timeout time.Duration
		h       http.HandlerFunc
		want    []string
	}{
		"hangs": {short, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}, []string{"did not finish within 500ms"}},
		"sends for ever": {30 * time.Second, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			hash := strings.Repeat("1", 40)
			line := "001e# service=git-upload-pack\n0000" + pktLine(hash+" HEAD\x00agent=x\n")
			for i := 0; ; i++ {
				if _, err := io.WriteString(w, line); err != nil {
					return
				}
				line = pktLine(fmt.Sprintf("%s refs/heads/b%d\n", hash, i))
			}
		}, []string{"policy repository https://", "sends more than"}},
		"talks nonsense":          {30 * time.Second, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>\x1b[31m welcome") }, []string{"policy repository https://", "check the URL"}},
		"fails":                   {30 * time.Second, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, []string{"418"}},
		"redirects to plain http": {30 * time.Second, redirect("http://git.example.com"), []string{"redirect"}},
		"redirects in a circle":   {30 * time.Second, redirect(""), []string{"redirect"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewTLSServer(test.h)
			defer s.Close()
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			ca := writeFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
			b := newBench(t, s.URL+"/policy.git", func(c *Config) {
				c.Auth, c.Timeout, c.Limits.Transfer = Auth{CAFile: ca, User: "ada", PasswordFile: writeFile(t, testPassword)}, test.timeout, 1<<20
			})
			start := time.Now()
			got := b.fails("", test.want...)
			if !errors.Is(got.Err, ErrRemote) || time.Since(start) > 5*time.Second {
				t.Errorf("error after %v is %v; want ErrRemote within the timeout", time.Since(start), got.Err)
			}
			noSecrets(t, got.Err.Error())
		})
	}
}

// pktLine frames a line as git does (gitprotocol-common).
func pktLine(line string) string { return fmt.Sprintf("%04x%s", len(line)+4, line) }

// A transfer that ends in the middle leaves a clone that is used for the next one.
func TestTransferIsCutOff(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	var cut atomic.Int64 // bytes of a pack to let through; 0: all
	url, ca := serve(t, filepath.Dir(o.path), func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n := cut.Load(); n > 0 && r.Method == http.MethodPost {
				w = &cutWriter{w, n}
			}
			h.ServeHTTP(w, r)
		})
	})
	b := newBench(t, url+"/policy.git", func(c *Config) { c.Auth.CAFile = ca })
	good := b.once()
	for i, n := range []int64{1, 20, 100, 300} {
		o.push(shop.with(files{"web/web.cue": workloadFile("web", fmt.Sprintf("/bin/%d", i), "/usr/bin/web")}), "more")
		cut.Store(n)
		b.fails(good.Digest, "policy repository https://")
		cut.Store(0)
		good = b.once()
		left, _ := filepath.Glob(filepath.Join(b.r.cfg.clonePath(), "objects/pack/tmp_*"))
		spool, _ := filepath.Glob(filepath.Join(b.r.cfg.clonePath(), "tmp_*"))
		if len(left)+len(spool) > 0 {
			t.Errorf("after %d bytes these files are left: %q %q", n, left, spool)
		}
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (w *cutWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		w.ResponseWriter.Write(p[:w.left])
		panic(http.ErrAbortHandler)
	}
	w.left -= int64(len(p))
	return w.ResponseWriter.Write(p)
}

func TestTransferLimits(t *testing.T) {
	o := newOrigin(t)
	o.push(shop.with(files{"zeros.bin": strings.Repeat("\x00", 8<<20)}), "a file that packs well")
	url, ca := serve(t, filepath.Dir(o.path), nil)
	tests := map[string]struct {
		lim  Limits
		want string
	}{
		"packed":   {Limits{Transfer: 1 << 10}, "sends more than 1024 bytes"},
		"object":   {Limits{Object: 1 << 20}, "sends an object of 8388608 bytes; at most 1048576"},
		"unpacked": {Limits{Unpacked: 1 << 20}, "sends objects of more than 1048576 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, url+"/policy.git", func(c *Config) { c.Auth.CAFile, c.Limits = ca, test.lim })
			b.fails("", test.want, "raise the limit")
			b.restart(func(c *Config) { c.Limits = Limits{} })
			b.once()
		})
	}
}
