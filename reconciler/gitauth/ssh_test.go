// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gitauth_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/writ-sec/writ/reconciler/gitauth"
	"github.com/writ-sec/writ/reconciler/gitauth/sshdtest"
)

// TestSSH holds what is refused before anything is dialled, and what is asked of the server.
func TestSSH(t *testing.T) {
	at, err := gitauth.Parse("ssh://bob@127.0.0.1:2222/p")
	if err != nil {
		t.Fatal(err)
	}
	_, key, public := sshdtest.NewKey(t)
	known := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, []byte(sshdtest.KnownHost("127.0.0.1:2222", public)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	for name, test := range map[string]struct {
		auth gitauth.Auth
		want string
	}{
		"no known_hosts": {gitauth.Auth{KeyFile: key, KnownHosts: known + "x"}, "known_hosts cannot be read"},
		"no key file":    {gitauth.Auth{KeyFile: key + "x", KnownHosts: known}, "read ssh key"},
		"no key":         {gitauth.Auth{KeyFile: known, KnownHosts: known}, "cannot be read"},
		"no agent":       {gitauth.Auth{KnownHosts: known}, "SSH_AUTH_SOCK is empty"},
	} {
		if s, err := test.auth.SSH(t.Context(), at); s != nil || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, %v; want an error with %q", name, s, err, test.want)
		}
	}
	s, err := gitauth.Auth{KeyFile: key, KnownHosts: known}.SSH(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	config, _ := s.ClientConfig()
	if config.User != "bob" || len(config.HostKeyAlgorithms) != 1 || config.HostKeyAlgorithms[0] != ssh.KeyAlgoED25519 || config.HostKeyCallback == nil {
		t.Errorf("configuration is %+v; want the user bob, and the algorithm of the known key alone", config)
	}
}
