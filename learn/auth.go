// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"context"

	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/writ-sec/writ/reconciler/gitauth"
)

// Auth is how the remote is told who pushes. It should be another credential than the one that reads policy: one that may push learned
// branches and nothing else.
type Auth = gitauth.Auth

// login is what go-git needs to speak with a remote for one visit. It must be closed.
type login struct {
	method transport.AuthMethod // nil for none
	ca     []byte
	hide   gitauth.Secrets
	close  func() error
}

func newLogin(ctx context.Context, at gitauth.Address, auth Auth) (login, error) {
	l := login{close: func() error { return nil }}
	var err error
	switch at.Protocol {
	case "ssh":
		keys, err := auth.SSH(ctx, at)
		if err != nil {
			return l, err
		}
		l.method, l.close = keys, keys.Close
		return l, nil
	case "http", "https":
		if l.ca, err = auth.CABundle(); err != nil {
			return l, err
		}
		l.method, l.hide, err = auth.HTTP(at)
	}
	return l, err
}
