// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gitauth

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
)

// Address is a parsed URL of a policy repository. Its Endpoint has no password, and a user for ssh only, where it is no secret; what the URL
// said is kept for [Auth.HTTP] and [Auth.SSH].
type Address struct {
	transport.Endpoint
	shown          string
	user, password string // what the URL said
}

// String returns the address for people, without a secret. For a repository of this machine it is the path.
func (a Address) String() string { return a.shown }

// GoString keeps the password out of %#v.
func (a Address) GoString() string { return fmt.Sprintf("gitauth.Address(%q)", a.shown) }

// URL returns the address for go-git, without a secret.
func (a Address) URL() string { return a.Endpoint.String() }

// HostPort returns where an ssh server listens, for net.Dial.
func (a Address) HostPort() string {
	port := a.Port
	if port == 0 {
		port = gitssh.DefaultPort
	}
	return net.JoinHostPort(strings.Trim(a.Host, "[]"), strconv.Itoa(port))
}

const wantURL = "want https://…, ssh://…, user@host:path, file://… or a path"

// Parse reads the URL of a policy repository: https, ssh (also as user@host:path), file or a path, and http on loopback.
// An error does not repeat a password.
func Parse(raw string) (Address, error) {
	if raw == "" {
		return Address{}, errors.New("no policy repository is named; want a URL such as https://git.example.com/policy.git, or a local path")
	}
	ep, err := transport.NewEndpoint(raw)
	if err != nil {
		return Address{}, fmt.Errorf("URL of the policy repository cannot be read: %s; %s", unreadable(raw, err), wantURL)
	}
	a := Address{Endpoint: *ep, user: ep.User, password: ep.Password}
	if a.Protocol == "ssh" && a.password == "" { // user:password@host:path
		a.user, a.password, _ = strings.Cut(a.user, ":")
	}
	a.User, a.Password = "", ""
	if a.Protocol == "ssh" {
		a.User = a.user
	}
	a.shown = a.URL()
	if a.Protocol == "file" {
		a.shown = a.Path
	}
	return a, a.check()
}

// unreadable says why a URL cannot be parsed, without any part of a password.
func unreadable(raw string, err error) string {
	if strings.Contains(raw, "@") {
		return `its form is wrong; before the "@", write characters such as / : ? # % of a user or password as %2F %3A %3F %23 %25`
	}
	var u *url.Error // its text repeats the whole URL
	if errors.As(err, &u) {
		err = u.Err
	}
	return Foreign(err.Error(), MaxForeign)
}

func (a Address) check() error {
	switch a.Protocol {
	case "https", "ssh":
	case "http":
		if !IsLoopback(a.Host) {
			return fmt.Errorf("policy repository %s is asked for over plain http, which anybody on the way can read and change; want https", a)
		}
	case "file":
		if a.Host != "" && a.Host != "localhost" {
			return fmt.Errorf("policy repository %s names the host %q; want file:///path", a, a.Host)
		}
	default:
		return fmt.Errorf("policy repository %s has the scheme %q; want https, ssh or file", a, a.Protocol)
	}
	if a.Protocol == "ssh" && a.password != "" {
		return fmt.Errorf("policy repository %s has a password, which ssh is not given here; want a key file or an agent", a)
	}
	if a.Protocol != "file" && a.Host == "" {
		return fmt.Errorf("policy repository %s names no host; want https://host/path", a)
	}
	return nil
}

// IsLoopback says whether a host, an IPv6 address with or without brackets, is this machine.
func IsLoopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
