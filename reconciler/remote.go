// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// remote is a repository elsewhere: wire speaks git's protocol with a server, local reads a repository of this machine.
type remote interface {
	// open asks the remote what it has now. Errors are fit to be shown.
	open(ctx context.Context, c *clone) (session, error)
}

// session is one visit to a remote. What it reports as the tip does not change while it is open.
type session interface {
	// tip is the object that the followed reference names: a commit, or an annotated tag.
	tip() plumbing.Hash
	// fetch makes the tip, its tree and some history readable through objects. It does nothing when they are there.
	fetch(ctx context.Context) error
	// objects is where the tip can be read after fetch.
	objects() storer.EncodedObjectStorer
	// descends tells how a fetched commit relates to an earlier one.
	descends(ctx context.Context, commit, from plumbing.Hash) (relation, error)
	// keep makes sure that the clone can give the policy of a fetched commit without the remote.
	// The objects are all that its policy is made of, but for the commit itself.
	keep(ctx context.Context, commit plumbing.Hash, objects []plumbing.Hash) error
	// fault says whose fault it is that an object of objects cannot be read.
	fault(err error) error
	close()
}

// address is a parsed and scrubbed URL.
type address struct {
	transport.Endpoint        // without user and password, but for ssh, whose user is no secret
	shown              string // for people
	user, password     string // what the URL said
}

func parseAddress(raw string) (address, error) {
	ep, err := transport.NewEndpoint(raw)
	if err != nil {
		var u *url.Error // its text repeats the URL with the password; the inner error does not
		if errors.As(err, &u) {
			err = fmt.Errorf("%v", u.Err)
		}
		return address{}, fmt.Errorf("URL of the policy repository cannot be read: %s; want https://…, ssh://…, user@host:path, file://… or a path",
			secrets{raw}.scrub(err.Error()))
	}
	a := address{Endpoint: *ep, user: ep.User, password: ep.Password}
	a.Password = ""
	if a.Protocol != "ssh" {
		a.User = ""
	}
	a.shown = a.Endpoint.String()
	switch a.Protocol {
	case "https", "ssh":
	case "http":
		if !isLoopback(a.Host) {
			return address{}, fmt.Errorf(
				"policy repository %s is asked for over plain http, which anybody on the way can change; want https", a.shown)
		}
	case "file":
		if a.Host != "" && a.Host != "localhost" {
			return address{}, fmt.Errorf("policy repository %s names the host %q; want file:///path", a.shown, a.Host)
		}
		a.shown = a.Path
	default:
		return address{}, fmt.Errorf("policy repository %s has the scheme %q; want https, ssh or file", a.shown, a.Protocol)
	}
	if a.Protocol == "ssh" && a.password != "" {
		return address{}, fmt.Errorf("policy repository %s has a password, which ssh is not given here; want a key file or an agent", a.shown)
	}
	if a.Protocol != "file" && a.Host == "" {
		return address{}, fmt.Errorf("policy repository %s names no host; want https://host/path", a.shown)
	}
	return a, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// noReference says that a remote lacks what is followed, and what it has instead.
func noReference(shown, phrase string, name plumbing.ReferenceName, has []string) error {
	var names []string
	for _, n := range has {
		short, ok := strings.CutPrefix(n, "refs/heads/")
		if name.IsTag() {
			short, ok = strings.CutPrefix(n, "refs/tags/")
		}
		if ok && !strings.HasSuffix(n, "^{}") {
			names = append(names, fmt.Sprintf("%q", short))
		}
	}
	slices.Sort(names)
	const most = 5
	if len(names) > most {
		names = append(names[:most], "…")
	}
	known := "it has none of that kind"
	if len(names) > 0 {
		known = "it has " + strings.Join(names, ", ")
	}
	return &remoteError{msg: fmt.Sprintf("policy repository %s: %s does not exist; %s: name one of them, or push it", shown, phrase, known)}
}
