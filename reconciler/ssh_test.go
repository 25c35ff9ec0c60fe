// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/writ-sec/writ/schema/testneed"
)

// sshServer is a real sshd on a loopback port, which lets in the current user with one key.
type sshServer struct {
	t          testing.TB
	url        string // of the root directory
	addr       string
	key        string // file of the key that is let in
	private    ed25519.PrivateKey
	knownHosts string
}

func newKey(t testing.TB) (private ed25519.PrivateKey, file string, public ssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return private, writeFile(t, string(pem.EncodeToMemory(block))), signer.PublicKey()
}

func knownHost(addr string, key ssh.PublicKey) string {
	host, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf("[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(key))
}

func startSSH(t testing.TB) *sshServer {
	t.Helper()
	testneed.Binary(t, "git-upload-pack", "install git")
	binary := "/usr/sbin/sshd" // sshd wants its absolute path, and sbin is in few users' PATH
	if _, err := os.Stat(binary); err != nil {
		testneed.Skip(t, "needs "+binary+": install openssh-server")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // sshd of root wants this folder, which its service makes
		if err := os.Mkdir("/run/sshd", 0o755); err == nil {
			t.Cleanup(func() { os.Remove("/run/sshd") })
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	_, hostKey, hostPublic := newKey(t)
	private, key, public := newKey(t)
	s := &sshServer{t: t, addr: addr, url: fmt.Sprintf("ssh://%s@%s", me.Username, addr), key: key, private: private,
		knownHosts: writeFile(t, knownHost(addr, hostPublic))}
	config := writeFile(t, fmt.Sprintf("ListenAddress %s\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nStrictModes no\nUsePAM no\n"+
		"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 100\n",
		addr, hostKey, writeFile(t, string(ssh.MarshalAuthorizedKey(public)))))
	s.run(binary, config)
	return s
}

// run starts sshd and waits until it lets us in.
func (s *sshServer) run(binary, config string) {
	s.t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(binary, "-D", "-e", "-f", config)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			testneed.Skip(s.t, fmt.Sprintf("needs an sshd that starts as this user: %v: %s", err, log.String()))
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("sshd does not listen: %s", log.String())
		}
	}
}

func TestSSHKeysAndHosts(t *testing.T) {
	s := startSSH(t)
	o := newOrigin(t)
	o.push(shop, "first")
	url := s.url + o.path
	good := Auth{KeyFile: s.key, KnownHosts: s.knownHosts}
	_, otherKey, otherPublic := newKey(t)
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(s.private, "", []byte("geheim"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		url  string
		auth Auth
		want []string // of the error; none for success
	}{
		"key file":       {url, good, nil},
		"unknown host":   {url, Auth{KeyFile: s.key, KnownHosts: writeFile(t, "")}, []string{"is not in known_hosts", "ssh-keyscan"}},
		"other host key": {url, Auth{KeyFile: s.key, KnownHosts: writeFile(t, knownHost(s.addr, otherPublic))}, []string{"another than known_hosts says"}},
		"no known_hosts": {url, Auth{KeyFile: s.key, KnownHosts: "/nonexistent/known_hosts"}, []string{"known_hosts"}},
		"other key":      {url, Auth{KeyFile: otherKey, KnownHosts: s.knownHosts}, []string{"accepts none of the ssh keys"}},
		"locked key":     {url, Auth{KeyFile: writeFile(t, string(pem.EncodeToMemory(locked))), KnownHosts: s.knownHosts}, []string{"has a passphrase", "agent"}},
		"no key":         {url, Auth{KeyFile: s.knownHosts, KnownHosts: s.knownHosts}, []string{"cannot be read"}},
		"missing key":    {url, Auth{KeyFile: "/nonexistent/key", KnownHosts: s.knownHosts}, []string{"check its path, owner and mode"}},
		"no agent":       {url, Auth{KnownHosts: s.knownHosts}, []string{"SSH_AUTH_SOCK is empty"}},
		"no repository":  {url + ".none", good, []string{"no repository that these credentials may see"}},
		"quoted path":    {s.url + "/a'b!c; touch x", good, []string{"no repository that these credentials may see"}},
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
		t.Setenv("SSH_AUTH_SOCK", startAgent(t, s.private))
		newBench(t, url, func(c *Config) { c.Auth = Auth{KnownHosts: s.knownHosts} }).once()
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
	s := startSSH(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := newBench(t, "ssh://git@"+l.Addr().String()+"/x", func(c *Config) {
		c.Timeout, c.Auth = 300*time.Millisecond, Auth{KeyFile: s.key, KnownHosts: s.knownHosts}
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
