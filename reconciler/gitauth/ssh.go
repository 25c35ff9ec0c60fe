// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gitauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// SSH is what an ssh client needs for one visit: a user, keys, and whom to trust. It is an AuthMethod of go-git's own client too.
type SSH struct {
	config *ssh.ClientConfig
	agent  net.Conn // nil with a key file
}

var _ gitssh.AuthMethod = (*SSH)(nil)

// SSH returns the credentials for an address of ssh. They must be closed. Connecting to the agent ends with ctx, whose deadline also bounds
// a dial of go-git's client.
func (a Auth) SSH(ctx context.Context, at Address) (*SSH, error) {
	var files []string
	if a.KnownHosts != "" {
		files = []string{a.KnownHosts}
	}
	known, err := gitssh.NewKnownHostsDb(files...)
	if err != nil {
		return nil, fmt.Errorf("known_hosts cannot be read, and without it nobody knows whom we talk to: %w", err)
	}
	s := &SSH{config: &ssh.ClientConfig{
		User:              cmp.Or(a.User, at.user, gitssh.DefaultUsername),
		HostKeyCallback:   known.HostKeyCallback(),
		HostKeyAlgorithms: known.HostKeyAlgorithms(at.HostPort()),
	}}
	if deadline, ok := ctx.Deadline(); ok {
		s.config.Timeout = time.Until(deadline)
	}
	var keys ssh.AuthMethod
	if a.KeyFile != "" {
		keys, err = keyOf(a.KeyFile)
	} else {
		keys, s.agent, err = keysOfAgent(ctx)
	}
	if err != nil {
		return nil, err
	}
	s.config.Auth = []ssh.AuthMethod{keys}
	return s, nil
}

func keyOf(file string) (ssh.AuthMethod, error) {
	data, err := ReadFile(file, maxCredential)
	if err != nil {
		return nil, fmt.Errorf("read ssh key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, fmt.Errorf("ssh key %q has a passphrase; load it into an agent instead", file)
	case err != nil:
		return nil, fmt.Errorf("ssh key %q cannot be read: %w", file, err)
	}
	return ssh.PublicKeys(signer), nil
}

func keysOfAgent(ctx context.Context) (ssh.AuthMethod, net.Conn, error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, nil, errors.New("neither a key file is named nor an ssh agent runs (SSH_AUTH_SOCK is empty); want one of them")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, nil, fmt.Errorf("ssh agent: %w", err)
	}
	return ssh.PublicKeysCallback(agent.NewClient(conn).Signers), conn, nil
}

// ClientConfig returns a configuration of the caller's own. Its error is always nil.
func (s *SSH) ClientConfig() (*ssh.ClientConfig, error) {
	config := *s.config
	return &config, nil
}

// Name implements [gitssh.AuthMethod].
func (*SSH) Name() string { return gitssh.PublicKeysCallbackName }

// String implements [gitssh.AuthMethod].
func (s *SSH) String() string { return "ssh keys of the user " + s.config.User }

// Close leaves the agent. A connection that is open stays open; a new one cannot be made.
func (s *SSH) Close() error {
	if s.agent == nil {
		return nil
	}
	return s.agent.Close()
}
