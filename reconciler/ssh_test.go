// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/writ-sec/writ/reconciler/gitauth/sshdtest"
)

func TestSSHKeysAndHosts(t *testing.T) {
	s := sshdtest.Start(t)
	o := newOrigin(t)
	o.push(shop, "first")
	url := s.URL + o.path
	good := Auth{KeyFile: s.KeyFile, KnownHosts: s.KnownHosts}
	_, otherKey, otherPublic := sshdtest.NewKey(t)
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(s.Private, "", []byte("geheim"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		url  string
		auth Auth
		want []string // of the error; none for success
	}{
		"key file":       {url, good, nil},
		"unknown host":   {url, Auth{KeyFile: s.KeyFile, KnownHosts: writeFile(t, "")}, []string{"is not in known_hosts", "ssh-keyscan"}},
		"other host key": {url, Auth{KeyFile: s.KeyFile, KnownHosts: writeFile(t, sshdtest.KnownHost(s.Addr, otherPublic))}, []string{"another than known_hosts says"}},
		"no known_hosts": {url, Auth{KeyFile: s.KeyFile, KnownHosts: "/nonexistent/known_hosts"}, []string{"known_hosts"}},
		"other key":      {url, Auth{KeyFile: otherKey, KnownHosts: s.KnownHosts}, []string{"accepts none of the ssh keys"}},
		"locked key":     {url, Auth{KeyFile: writeFile(t, string(pem.EncodeToMemory(locked))), KnownHosts: s.KnownHosts}, []string{"has a passphrase", "agent"}},
		"no key":         {url, Auth{KeyFile: s.KnownHosts, KnownHosts: s.KnownHosts}, []string{"cannot be read"}},
		"missing key":    {url, Auth{KeyFile: "/nonexistent/key", KnownHosts: s.KnownHosts}, []string{"check its path, owner and mode"}},
		"no agent":       {url, Auth{KnownHosts: s.KnownHosts}, []string{"SSH_AUTH_SOCK is empty"}},
		"no repository":  {url + ".none", good, []string{"no repository that these credentials may see"}},
		"quoted path":    {s.URL + "/a'b!c; touch x", good, []string{"no repository that these credentials may see"}},
		"nobody listens": {"ssh://git@127.0.0.1:1/x", good, []string{"cannot be reached"}},
		"no such host":   {"git@host.invalid:x", good, []string{"host name cannot be resolved"}},
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, test.url, func(c *Config) { c.Auth = test.auth })
			if test.want == nil {
				b.once()
				return
			}
			if got := b.fails("", test.want...); !errors.Is(got.Err, ErrRemote) {
				t.Errorf("error is %v; want ErrRemote", got.Err)
			}
		})
	}
	t.Run("agent", func(t *testing.T) {
		t.Setenv("SSH_AUTH_SOCK", startAgent(t, s.Private))
		newBench(t, url, func(c *Config) { c.Auth = Auth{KnownHosts: s.KnownHosts} }).once()
	})
}

// startAgent serves a key as ssh-agent does.
func startAgent(t *testing.T, key ed25519.PrivateKey) string {
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			agent.ServeAgent(keys, conn) // until the client closes
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// A server that accepts a connection and says nothing must not hold a poll up.
func TestSSHServerIsSilent(t *testing.T) {
	s := sshdtest.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := newBench(t, "ssh://git@"+l.Addr().String()+"/x", func(c *Config) {
		c.Timeout, c.Auth = 300*time.Millisecond, Auth{KeyFile: s.KeyFile, KnownHosts: s.KnownHosts}
	})
	start := time.Now()
	b.fails("", "did not finish within 300ms")
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestQuote(t *testing.T) {
	for arg, want := range map[string]string{"/a b": "'/a b'", "it's": `'it'\''s'`, "a!b": `'a'\!'b'`, "$(x)": "'$(x)'"} {
		if got := quote(arg); got != want {
			t.Errorf("quote(%q) is %s; want %s", arg, got, want)
		}
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+quote(arg)).Output()
		if err != nil || strings.TrimSpace(string(out)) != arg {
			t.Errorf("a shell reads quote(%q) as %q, %v", arg, out, err)
		}
	}
}
