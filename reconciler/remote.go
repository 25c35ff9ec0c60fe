// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"
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
