// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package sshdtest starts a real sshd on loopback for the tests of what speaks git over ssh. It imports schema/testneed, which says what a
// machine lacks for it.
package sshdtest

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
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/writ-sec/writ/schema/testneed"
)

// Server lets in the current user with one key. It ends with the test.
type Server struct {
	URL        string             // of the root directory
	Addr       string             // host:port
	Private    ed25519.PrivateKey // that is let in
	KeyFile    string             // of Private
	KnownHosts string             // a file with the server's key
}

// Start starts sshd, or skips the test when the machine has none that starts.
func Start(t testing.TB) *Server {
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
	if os.Geteuid() == 0 {
		privilegeSeparation(t)
	}
	_, hostKey, hostPublic := NewKey(t)
	private, key, public := NewKey(t)
	config := fmt.Sprintf("HostKey %s\nAuthorizedKeysFile %s\nPidFile none\nStrictModes no\nUsePAM no\n"+
		"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 100\n",
		hostKey, write(t, string(ssh.MarshalAuthorizedKey(public))))
	addr := listen(t, binary, config)
	return &Server{URL: fmt.Sprintf("ssh://%s@%s", me.Username, addr), Addr: addr, Private: private, KeyFile: key,
		KnownHosts: write(t, KnownHost(addr, hostPublic))}
}

// NewKey makes a key, and a file with its private part.
func NewKey(t testing.TB) (private ed25519.PrivateKey, file string, public ssh.PublicKey) {
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
	return private, write(t, string(pem.EncodeToMemory(block))), signer.PublicKey()
}

// KnownHost returns a line of known_hosts for host:port.
func KnownHost(addr string, key ssh.PublicKey) string {
	host, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf("[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(key))
}

func write(t testing.TB, data string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// listen starts sshd on a port that is free. Between its choice and its use another process may take the port.
func listen(t testing.TB, binary, config string) string {
	t.Helper()
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close()
		said, ok := run(t, binary, write(t, "ListenAddress "+addr+"\n"+config))
		if ok {
			return addr
		}
		if !strings.Contains(said, "already in use") {
			testneed.Skip(t, "needs an sshd that starts as this user: "+said)
		}
	}
	t.Fatal("sshd finds no free port in 5 tries")
	return ""
}

// run starts sshd and waits until it says that it listens: a connection might reach another process. If it ends, what it said is returned.
func run(t testing.TB, binary, config string) (said string, ok bool) {
	t.Helper()
	log := &output{}
	cmd := exec.Command(binary, "-D", "-e", "-f", config)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed below, or says itself what is wrong
		close(ended)
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("sshd is left behind as process %d: %v", cmd.Process.Pid, err)
			return
		}
		<-ended
		if t.Failed() {
			t.Logf("sshd said:\n%s", log)
		}
	})
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(log.String(), "Server listening on"); {
		select {
		case <-ended:
			return log.String(), false
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("sshd does not listen: %s", log)
		}
	}
	return "", true
}

// output is what a process says, for reading while it runs.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
