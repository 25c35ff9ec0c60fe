// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gitauth

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

const (
	maxCredential = 64 << 10 // bytes of a file with a token or a key
	maxCAFile     = 16 << 20 // bytes
	// defaultUser is what GitHub wants beside a token of an application; other forges take any name beside a token.
	defaultUser = "x-access-token"
)

// Auth is how a remote is told who asks. Files are read anew for each visit, so a rotated credential needs no restart.
// The zero Auth uses what the URL says; for ssh, the agent of SSH_AUTH_SOCK.
type Auth struct {
	User         string // https: "" means the URL's user, or "x-access-token"; ssh: "" means the URL's user, or "git"
	PasswordFile string // https: a file that holds a token or password; white space around it is not part of it
	PasswordEnv  string // https: the name of an environment variable that holds it
	Bearer       bool   // https: send the token as "Authorization: Bearer" instead of as a password
	CAFile       string // https: PEM certificates that are trusted besides the system's
	KeyFile      string // ssh: a private key without passphrase; "" uses the agent
	KnownHosts   string // ssh: "" means SSH_KNOWN_HOSTS, else ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts
}

// HTTP returns the credentials for an address of http or https, nil for none, and what must never be printed, also beside an error.
func (a Auth) HTTP(at Address) (transport.AuthMethod, Secrets, error) {
	hide := Secrets{}.With(at.user, at.password)
	password, err := a.password()
	if err != nil {
		return nil, hide, err
	}
	if password != "" && at.password != "" {
		return nil, hide.With(at.user, password), errors.New("a password stands in the URL and another one is named; take it out of the URL")
	}
	password = cmp.Or(password, at.password)
	user := cmp.Or(a.User, at.user)
	if password == "" && user == "" {
		return nil, hide, nil
	}
	if at.password == "" && a.User == "" && at.user != "" {
		hide = hide.With(at.user, at.user) // a token is often given as the user
	}
	user = cmp.Or(user, defaultUser)
	hide = hide.With(user, password)
	if a.Bearer {
		return &githttp.TokenAuth{Token: password}, hide, nil
	}
	return &githttp.BasicAuth{Username: user, Password: password}, hide, nil
}

func (a Auth) password() (string, error) {
	switch {
	case a.PasswordFile != "" && a.PasswordEnv != "":
		return "", errors.New("both a file and an environment variable are named for the token; want one")
	case a.PasswordEnv != "":
		s := strings.TrimSpace(os.Getenv(a.PasswordEnv))
		if s == "" {
			return "", fmt.Errorf("environment variable %q is empty; put the token there", a.PasswordEnv)
		}
		return s, nil
	case a.PasswordFile != "":
		data, err := ReadFile(a.PasswordFile, maxCredential)
		if err != nil {
			return "", fmt.Errorf("read token: %w", err)
		}
		s := strings.TrimSpace(string(data))
		if s == "" || strings.ContainsAny(s, "\r\n\x00") {
			return "", fmt.Errorf("token file %q is empty or has several lines; want the token alone", a.PasswordFile)
		}
		return s, nil
	}
	return "", nil
}

// CABundle returns the PEM certificates of CAFile, of which there is at least one, or nil when no file is named.
func (a Auth) CABundle() ([]byte, error) {
	if a.CAFile == "" {
		return nil, nil
	}
	data, err := ReadFile(a.CAFile, maxCAFile)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("CA file %q holds no certificate; want PEM blocks of type CERTIFICATE", a.CAFile)
	}
	return data, nil
}

// CAPool returns the system's certificates and those of CAFile, or nil, which means the system's, when no file is named.
func (a Auth) CAPool() (*x509.CertPool, error) {
	bundle, err := a.CABundle()
	if bundle == nil || err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without certificates of its own
	}
	pool.AppendCertsFromPEM(bundle)
	return pool, nil
}

// ReadFile reads a file that has at most limit bytes; a longer one is an error.
func ReadFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%q has more than %d bytes", name, limit)
	}
	return data, err
}
