// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-sec/writ/reconciler/gitauth/sshdtest"
	"github.com/writ-sec/writ/schema/testneed"
)

// serveHTTP serves the folder of a repository over https with git's own server behind basic authentication: bob may read and push, eve may
// read. It returns the URL and a file with the server's certificate.
func serveHTTP(t *testing.T, r *remote) (url, ca string) {
	execPath := strings.TrimSpace(r.run("", "--exec-path"))
	backend := testneed.Binary(t, filepath.Join(execPath, "git-http-backend"), "install git with its http-backend")
	r.run(r.bare, "config", "http.receivepack", "true")
	h := &cgi.Handler{Path: backend, Root: "/", Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.bare), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=x"}}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		user, password, ok := req.BasicAuth()
		switch push := strings.Contains(req.URL.RequestURI(), "git-receive-pack"); {
		case !ok || password != "s3cr3t/+":
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
		case push && user == "eve":
			http.Error(w, "reading only", http.StatusForbidden)
		default:
			h.ServeHTTP(w, req)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	writeTestFile(t, ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	return s.URL + "/" + filepath.Base(r.bare), ca
}

func TestRemoteHTTP(t *testing.T) {
	r := newRemote(t, map[string]string{"payments.cue": paymentsFile})
	url, ca := serveHTTP(t, r)
	token := filepath.Join(t.TempDir(), "token")
	writeTestFile(t, token, []byte("s3cr3t/+\n"))
	wrong := filepath.Join(t.TempDir(), "wrong")
	writeTestFile(t, wrong, []byte("t0k3n-of-another"))
	inURL := strings.Replace(url, "https://", "https://bob:t0k3n-of-another@", 1)
	tests := []struct {
		name string
		url  string
		auth Auth
		want string
	}{
		{"no CA", url, Auth{User: "bob", PasswordFile: token}, "unknown authority"},
		{"no CA, password in URL", inURL, Auth{}, "unknown authority"},
		{"wrong CA", url, Auth{User: "bob", PasswordFile: token, CAFile: token}, "holds no certificate"},
		{"no CA file", url, Auth{User: "bob", PasswordFile: token, CAFile: ca + "x"}, "read CA file"},
		{"no credentials", url, Auth{CAFile: ca}, "name credentials that it takes"},
		{"wrong password", url, Auth{CAFile: ca, User: "bob", PasswordFile: wrong}, "name credentials"},
		{"no token file", url, Auth{CAFile: ca, User: "bob", PasswordFile: token + "x"}, "read token"},
		{"empty variable", url, Auth{CAFile: ca, User: "bob", PasswordEnv: "WRIT_TEST_NO_SUCH_TOKEN"}, "is empty"},
		{"read-only", url, Auth{CAFile: ca, User: "eve", PasswordFile: token}, "may push branches under writ/learn/"},
		{"password in URL, wrong", inURL, Auth{CAFile: ca}, "name credentials"},
		{"two passwords", inURL, Auth{CAFile: ca, PasswordFile: token}, "take it out of the URL"},
		{"allowed", url, Auth{CAFile: ca, User: "bob", PasswordFile: token}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			repo, err := NewRepository(Config{URL: tt.url, Auth: tt.auth, TempDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			req := audited(t, "/usr/bin/curl")
			req.Now = noon
			_, err = repo.Propose(t.Context(), req)
			if tt.want == "" {
				if err != nil || r.at(branchOf) == "" {
					t.Errorf("Propose: %v; the branch is at %q", err, r.at(branchOf))
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "t0k3n") || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("Propose: %v; want an error with %q and without a secret", err, tt.want)
			}
			if r.at(branchOf) != "" {
				t.Error("the branch exists")
			}
		})
	}
}

// TestRemoteSSH pushes over a real sshd.
func TestRemoteSSH(t *testing.T) {
	s := sshdtest.Start(t)
	r := newRemote(t, map[string]string{"payments.cue": paymentsFile})
	_, otherKey, otherHost := sshdtest.NewKey(t)
	other := filepath.Join(t.TempDir(), "known_hosts")
	writeTestFile(t, other, []byte(sshdtest.KnownHost(s.Addr, otherHost)))
	empty := filepath.Join(t.TempDir(), "empty")
	writeTestFile(t, empty, nil)
	t.Setenv("SSH_AUTH_SOCK", "")
	for _, tt := range []struct {
		name string
		auth Auth
		want string
	}{
		{"no known_hosts", Auth{KeyFile: s.KeyFile, KnownHosts: empty + "x"}, "known_hosts cannot be read"},
		{"unknown host", Auth{KeyFile: s.KeyFile, KnownHosts: empty}, "key is unknown"},
		{"another host key", Auth{KeyFile: s.KeyFile, KnownHosts: other}, "key mismatch"},
		{"another key", Auth{KeyFile: otherKey, KnownHosts: s.KnownHosts}, "unable to authenticate"},
		{"no agent", Auth{KnownHosts: s.KnownHosts}, "SSH_AUTH_SOCK is empty"},
		{"allowed", Auth{KeyFile: s.KeyFile, KnownHosts: s.KnownHosts}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			repo, err := NewRepository(Config{URL: s.URL + r.bare, Auth: tt.auth, TempDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			req := audited(t, "/usr/bin/curl")
			req.Now = noon
			out, err := repo.Propose(t.Context(), req)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || r.at(branchOf) != "" {
					t.Errorf("Propose: %v; the branch is at %q; want an error with %q and no branch", err, r.at(branchOf), tt.want)
				}
				return
			}
			if err != nil || len(out.Results) != 1 || out.Results[0].Status != StatusPushed || out.Results[0].Commit != r.at(branchOf) {
				t.Errorf("Propose: %+v, %v; the branch is at %q; want the commit there", out, err, r.at(branchOf))
			}
		})
	}
}

// TestRemoteURLs holds which URLs are taken, and that no error repeats a password.
func TestRemoteURLs(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://git.example.com/policy.git": true, "ssh://git@git.example.com/policy.git": true, "git@git.example.com:policy.git": true,
		"file:///srv/policy.git": true, "/srv/policy.git": true, "http://127.0.0.1:8080/policy.git": true, "http://localhost/policy.git": true,
		"http://bob:t0k3n@git.example.com/policy.git": false, "git://bob:t0k3n@git.example.com/policy.git": false,
		"": false, "https://bob:t0k3n@[::1/policy.git": false, "ftp://bob:t0k3n@example.com/x": false,
	} {
		_, err := NewRepository(Config{URL: url})
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), "t0k3n") {
			t.Errorf("%q: %v; want taken: %v, without the password", url, err, ok)
		}
	}
}

func TestTemporaryCloneIsRemoved(t *testing.T) {
	r := newRemote(t, map[string]string{"payments.cue": paymentsFile})
	dir := t.TempDir()
	repo, err := NewRepository(Config{URL: r.bare, TempDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	req := audited(t, "/usr/bin/curl")
	req.Now = noon
	if _, err := repo.Propose(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	r.run(r.bare, "update-ref", "-d", "refs/heads/main")
	if _, err := repo.Propose(t.Context(), req); err == nil {
		t.Error("a remote without its base was taken")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
