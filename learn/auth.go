// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
)

// Auth is how the remote is told who pushes. Files are read anew for each visit. The zero Auth uses what the URL says; for ssh, the agent of
// SSH_AUTH_SOCK. It has the fields of the reconciler's, but it should be another credential: one that may push learned branches and nothing else.
type Auth struct {
	User         string // https: "" means the URL's user, or "x-access-token"; ssh: "" means the URL's user, or "git"
	PasswordFile string // https: a file that holds a token or password; white space around it is not part of it
	PasswordEnv  string // https: the name of an environment variable that holds it
	Bearer       bool   // https: send the token as "Authorization: Bearer" instead of as a password
	CAFile       string // https: PEM certificates that are trusted besides the system's
	KeyFile      string // ssh: a private key without passphrase; "" uses the agent
	KnownHosts   string // ssh: "" means SSH_KNOWN_HOSTS, else ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts
}

const (
	maxCredential = 64 << 10 // bytes of a token file
	maxCAFile     = 16 << 20
	defaultUser   = "x-access-token" // what GitHub wants beside the token of an application; other forges take any name
)

// address is a remote's URL with the password taken out.
type address struct {
	url            string // for go-git, without user and password unless it is ssh
	shown          string // for people
	protocol       string
	user, password string
}

func parseAddress(raw string) (address, error) {
	ep, err := transport.NewEndpoint(raw)
	if err != nil {
		var u *url.Error // its text repeats the URL with the password; the inner error does not
		if errors.As(err, &u) {
			err = u.Err
		}
		return address{}, fmt.Errorf("URL of the policy repository: %w; want https://…, ssh://…, user@host:path, file://… or a path", err)
	}
	a := address{protocol: ep.Protocol, user: ep.User, password: ep.Password}
	ep.Password = ""
	if ep.Protocol != "ssh" {
		ep.User = ""
	}
	a.url, a.shown = ep.String(), ep.String()
	switch ep.Protocol {
	case "https", "ssh":
	case "file":
		a.shown = ep.Path
	case "http":
		host := strings.Trim(ep.Host, "[]")
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return a, fmt.Errorf("policy repository %s: a push over plain http shows its credentials to anybody on the way; want https", a.shown)
		}
	default:
		return a, fmt.Errorf("policy repository %s has the scheme %q; want https, ssh or file", a.shown, ep.Protocol)
	}
	return a, nil
}

// login is what go-git needs to speak with a remote once.
type login struct {
	method transport.AuthMethod
	ca     []byte
	secret string // must never be printed
}

func (auth Auth) login(a address) (login, error) {
	var l login
	var err error
	switch a.protocol {
	case "ssh":
		l.method, err = auth.ssh(a)
		return l, err
	case "http", "https":
	default:
		return l, nil
	}
	if auth.CAFile != "" {
		if l.ca, err = readBounded(auth.CAFile, maxCAFile); err != nil {
			return l, fmt.Errorf("read CA file: %w", err)
		}
	}
	password, err := auth.password()
	if err != nil {
		return l, err
	}
	l.secret = cmp.Or(password, a.password)
	user := cmp.Or(auth.User, a.user)
	switch {
	case l.secret == "" && user == "":
	case auth.Bearer:
		l.method = &githttp.TokenAuth{Token: l.secret}
	default:
		l.method = &githttp.BasicAuth{Username: cmp.Or(user, defaultUser), Password: l.secret}
	}
	return l, nil
}

func (auth Auth) ssh(a address) (transport.AuthMethod, error) {
	user := cmp.Or(auth.User, a.user, gitssh.DefaultUsername)
	var files []string
	if auth.KnownHosts != "" {
		files = []string{auth.KnownHosts}
	}
	known, err := gitssh.NewKnownHostsCallback(files...)
	if err != nil {
		return nil, fmt.Errorf("known_hosts can't be read, and without it nobody knows whom we talk to: %w", err)
	}
	if auth.KeyFile != "" {
		keys, err := gitssh.NewPublicKeysFromFile(user, auth.KeyFile, "")
		if err != nil {
			return nil, fmt.Errorf("ssh key %q: %w; want a key without passphrase, or load it into an agent", auth.KeyFile, err)
		}
		keys.HostKeyCallback = known
		return keys, nil
	}
	agent, err := gitssh.NewSSHAgentAuth(user)
	if err != nil {
		return nil, fmt.Errorf("ssh agent: %w; want a running one (SSH_AUTH_SOCK), or name a key file", err)
	}
	agent.HostKeyCallback = known
	return agent, nil
}

func (auth Auth) password() (string, error) {
	switch {
	case auth.PasswordFile != "" && auth.PasswordEnv != "":
		return "", errors.New("both a file and an environment variable are named for the token; want one")
	case auth.PasswordEnv != "":
		s := strings.TrimSpace(os.Getenv(auth.PasswordEnv))
		if s == "" {
			return "", fmt.Errorf("environment variable %q is empty; put the token there", auth.PasswordEnv)
		}
		return s, nil
	case auth.PasswordFile != "":
		data, err := readBounded(auth.PasswordFile, maxCredential)
		if err != nil {
			return "", fmt.Errorf("read token: %w", err)
		}
		s := strings.TrimSpace(string(data))
		if s == "" || strings.ContainsAny(s, "\r\n\x00") {
			return "", fmt.Errorf("token file %q is empty or has several lines; want the token alone", auth.PasswordFile)
		}
		return s, nil
	}
	return "", nil
}

func readBounded(name string, limit int64) ([]byte, error) {
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

// clean makes foreign text fit for a message: without the secret and the URL's password, in one line, without control characters.
func (l login) clean(a address, err error) string {
	text := err.Error()
	for _, s := range []string{l.secret, a.password} {
		if s != "" {
			text = strings.NewReplacer(s, "***", url.QueryEscape(s), "***", url.PathEscape(s), "***").Replace(text)
		}
	}
	return plain(strings.Join(strings.Fields(text), " "), 400)
}
