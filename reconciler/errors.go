// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/writ-sec/writ/reconciler/gitauth"
)

// What an [Outcome]'s error may be, for errors.Is. A broken commit is found with errors.As and compiler.Errors.
var (
	// ErrRemote says that the remote could not be read: it is away, refuses, or does not have what is asked of it.
	ErrRemote = errors.New("policy repository cannot be read")
	// ErrRewound says that the commit does not descend from the one in force and nobody accepted it.
	ErrRewound = errors.New("commit does not descend from the one in force")
	// ErrTarget says that at least one target did not take the bundle.
	ErrTarget = errors.New("policy could not be put in force")
)

// errCorrupt marks what only a damaged clone explains. It is answered by cloning anew, once.
var errCorrupt = errors.New("local clone is damaged")

// remoteError says what is wrong with the remote. Its cause may be asked for with errors.Is, but its text is the scrubbed one alone.
type remoteError struct {
	msg   string
	cause error
}

func (e *remoteError) Error() string { return e.msg }
func (e *remoteError) Is(target error) bool { // the damage of a repository that is read in place is not the clone's
	return target == ErrRemote || target != errCorrupt && errors.Is(e.cause, target)
}

// explain turns an error of a transfer into one message: where, what, and what to do.
func explain(where string, err error, hide gitauth.Secrets, timeout time.Duration) error {
	var already *remoteError
	if err == nil || errors.As(err, &already) || errors.Is(err, errCorrupt) {
		return err
	}
	what, todo := diagnose(err, timeout)
	if what == "" {
		what, todo = hide.Scrub(err.Error()), "check the URL and that the server is well"
	} else if detail := hide.Scrub(err.Error()); !strings.Contains(what, detail) {
		what += " (" + detail + ")"
	}
	return &remoteError{fmt.Sprintf("policy repository %s: %s; %s", where, what, todo), err}
}

// room adds what to do to an error of a full disk.
func room(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w; make room on that disk", err)
	}
	return err
}

// diagnose names the errors that have a remedy of their own.
func diagnose(err error, timeout time.Duration) (what, todo string) {
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var key *knownhosts.KeyError
	var dns *net.DNSError
	var limit *limitError
	switch {
	case errors.As(err, &limit):
		return limit.msg, "if it is a policy repository after all, raise the limit"
	case errors.Is(err, context.Canceled):
		return "the transfer was stopped", "it is tried again at the next poll"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("did not finish within %v", timeout), "check the server and the network, or allow more time"
	case errors.Is(err, transport.ErrAuthenticationRequired):
		return "wants other credentials", "check the user and the token or password"
	case errors.Is(err, transport.ErrAuthorizationFailed):
		return "does not let this user read it", "give the token or user read access"
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return "there is no repository that these credentials may see", "check the URL and the credentials"
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return "is empty", "push a first commit"
	case errors.As(err, &authority):
		return "the server's certificate is signed by nobody that is trusted here", "name its CA file, or check that nobody stands between"
	case errors.As(err, &hostname):
		return "the server's certificate is for another name", "use the name that the certificate has"
	case errors.As(err, &key) && len(key.Want) == 0:
		return "the server's host key is not in known_hosts", "add it, from a source that you trust (ssh-keyscan alone proves nothing)"
	case errors.As(err, &key):
		return "the server's host key is another than known_hosts says", "find out why it changed before you correct known_hosts"
	case errors.As(err, &dns):
		return "its host name cannot be resolved", "check the URL and the resolver"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH),
		errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, syscall.ECONNRESET):
		return "cannot be reached", "check that the server is up and that this host may connect to it"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk of the clone is full", "make room there"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		return "a file of this host cannot be used", "check its path, owner and mode"
	case strings.Contains(err.Error(), "unable to authenticate"):
		return "the server accepts none of the ssh keys", "give the key read access, or name another key file"
	}
	return "", ""
}
