// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"

	"github.com/writ-sec/writ/reconciler/gitauth"
)

// sshSession runs git-upload-pack on a server. go-git's own client does not end when a context does during the handshake, and reads
// the user's ssh_config; this one does neither.
type sshSession struct {
	conn   net.Conn
	stop   func() bool // ends the watch over the context of the last call
	client *ssh.Client
	sess   *ssh.Session
	in     io.WriteCloser
	out    io.Reader
	stderr *tail
	run    bool // upload-pack has been asked for a pack
}

func dialSSH(ctx context.Context, at gitauth.Address, auth Auth) (transport.UploadPackSession, error) {
	login, err := auth.SSH(ctx, at)
	if err != nil {
		return nil, err
	}
	defer login.Close()
	config, err := login.ClientConfig()
	if err != nil {
		return nil, err
	}
	addr := at.HostPort()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &sshSession{conn: conn, stop: func() bool { return true }, stderr: &tail{}}
	s.watch(ctx)
	var refused error // what the check of the host key said, which the handshake may wrap in text
	check := config.HostKeyCallback
	config.HostKeyCallback = func(host string, remote net.Addr, key ssh.PublicKey) error {
		refused = check(host, remote, key)
		return refused
	}
	c, chans, reqs, err := ssh.NewClientConn(conn, addr, config)
	if err != nil {
		s.stop()
		conn.Close()
		return nil, cmp.Or(ctx.Err(), refused, err)
	}
	s.client = ssh.NewClient(c, chans, reqs)
	if err := s.start("git-upload-pack " + quote(at.Path)); err != nil {
		s.Close()
		return nil, cmp.Or(ctx.Err(), err)
	}
	return s, nil
}

// quote makes one argument for the server's shell, as git does (sq_quote_buf in quote.c).
func quote(arg string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(arg) + "'"
}

func (s *sshSession) start(command string) error {
	sess, err := s.client.NewSession()
	if err != nil {
		return err
	}
	s.sess = sess
	if s.in, err = sess.StdinPipe(); err != nil {
		return err
	}
	if s.out, err = sess.StdoutPipe(); err != nil {
		return err
	}
	sess.Stderr = s.stderr
	return sess.Start(command)
}

// watch closes the connection when ctx is done before the next call: what waits for it then ends.
func (s *sshSession) watch(ctx context.Context) {
	s.stop()
	s.stop = context.AfterFunc(ctx, func() { s.conn.Close() })
}

// AdvertisedReferences implements [transport.UploadPackSession].
func (s *sshSession) AdvertisedReferences() (*packp.AdvRefs, error) {
	return s.AdvertisedReferencesContext(context.Background())
}

// AdvertisedReferencesContext implements [transport.UploadPackSession].
func (s *sshSession) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	s.watch(ctx)
	refs := packp.NewAdvRefs()
	err := refs.Decode(s.out)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && refs.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case err != nil:
		return nil, s.explain(err)
	}
	transport.FilterUnsupportedCapabilities(refs.Capabilities)
	return refs, nil
}

// explain prefers what the server said on its standard error.
func (s *sshSession) explain(err error) error {
	stop := time.AfterFunc(time.Second, func() { s.client.Close() }) // a server that goes on talking nonsense
	_ = s.sess.Wait()                                                // how it ended does not matter; its output is here now
	stop.Stop()
	said := s.stderr.String()
	if strings.Contains(said, "does not appear to be a git repository") || strings.Contains(said, "epository not found") ||
		strings.Contains(said, "could not be found") {
		return fmt.Errorf("%w: %s", transport.ErrRepositoryNotFound, said)
	}
	if said != "" {
		return fmt.Errorf("%w: the server says %q", err, said)
	}
	return err
}

// UploadPack implements [transport.UploadPackSession].
func (s *sshSession) UploadPack(ctx context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	s.watch(ctx) // until Close, for the reading of the pack
	s.run = true
	var buf bytes.Buffer
	if err := req.UploadRequest.Encode(&buf); err != nil {
		return nil, err
	}
	if err := req.UploadHaves.Encode(&buf, true); err != nil {
		return nil, err
	}
	if err := pktline.NewEncoder(&buf).EncodeString("done\n"); err != nil {
		return nil, err
	}
	if _, err := s.in.Write(buf.Bytes()); err != nil {
		return nil, cmp.Or(ctx.Err(), s.explain(err))
	}
	resp := packp.NewUploadPackResponse(req)
	if err := resp.Decode(io.NopCloser(s.out)); err != nil {
		return nil, cmp.Or(ctx.Err(), s.explain(err))
	}
	return resp, nil
}

// Close implements [transport.UploadPackSession].
func (s *sshSession) Close() error {
	s.stop()
	if !s.run && s.in != nil {
		_, _ = s.in.Write(pktline.FlushPkt) // "no more": the server ends without a complaint in its log
	}
	return s.client.Close()
}

// tail keeps the first bytes of a server's standard error.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p[:min(len(p), maxErrorBody-len(t.buf))]...)
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return gitauth.Foreign(string(t.buf), gitauth.MaxForeign)
}
