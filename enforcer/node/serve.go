// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/writ-sec/writ/enforcer/node/wire"
	"github.com/writ-sec/writ/schema/bundle"
)

// maxSessions is how many peers are served at once. Each may make the agent hold one message in memory.
const maxSessions = 16

// listen serves the socket until ctx is done.
func (a *agent) listen(ctx context.Context) error {
	lock, err := lockFile(a.cfg.Socket + ".lock")
	if err != nil {
		return fmt.Errorf("socket %q: %w", a.cfg.Socket, err)
	}
	defer lock.Close()
	l, err := listenUnix(a.cfg.Socket, int(a.cfg.AllowUID))
	if err != nil {
		return err
	}
	a.log.Info("serving", "socket", a.cfg.Socket)
	stop := context.AfterFunc(ctx, func() { l.Close() }) // which removes the socket
	defer stop()
	slots := make(chan struct{}, maxSessions)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		conn, err := l.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		} else if err != nil {
			return fmt.Errorf("serve socket %q: %w", a.cfg.Socket, err)
		}
		select {
		case slots <- struct{}{}:
		default:
			a.log.Warn("a peer is turned away: too many are served", "limit", maxSessions)
			conn.Close()
			continue
		}
		sessions.Go(func() {
			defer func() { <-slots }()
			a.welcome(ctx, conn)
		})
	}
}

func (a *agent) welcome(ctx context.Context, conn *net.UnixConn) {
	uid, err := peerUID(conn)
	if err == nil && uid != 0 && uid != a.cfg.AllowUID {
		err = fmt.Errorf("user %d is neither root nor the one given by --allow-uid", uid)
	}
	if err != nil {
		a.log.Warn("a peer is turned away", "reason", err)
		conn.Close()
		return
	}
	if err := a.session(ctx, conn); err != nil {
		a.log.Warn("a peer's connection ended", "uid", uid, "error", err)
	}
}

// listenUnix makes the socket. The caller holds the lock beside it, so a socket that is there is a dead one's.
func listenUnix(path string, owner int) (*net.UnixListener, error) {
	switch fi, err := os.Lstat(path); {
	case err == nil && fi.Mode().Type() != os.ModeSocket:
		return nil, fmt.Errorf("socket %q: something else has that name; give another with --socket", path)
	case err == nil:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("socket %q: replace the old one: %w", path, err)
		}
	}
	old := unix.Umask(0o177) // nobody else may connect, from the first moment on
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("socket: %w; is %q a directory?", err, filepath.Dir(path))
	}
	if err := os.Lchown(path, owner, -1); err != nil { // no link is followed, should somebody have put one there
		return nil, errors.Join(fmt.Errorf("socket %q: %w", path, err), l.Close())
	}
	return l, nil
}

// peerUID returns the user that a peer had when it connected, see SO_PEERCRED in unix(7).
func peerUID(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) { cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if cerr != nil {
		return 0, fmt.Errorf("ask who the peer is: %w", cerr)
	}
	return cred.Uid, nil
}

// session is one peer.
type session struct {
	a       *agent
	conn    net.Conn
	enc     *wire.Encoder
	files   map[string][]byte // put, but not in force; by path
	size    int               // bytes in files
	watcher *watcher          // nil: it does not watch
	drained sync.WaitGroup
}

// session serves one peer until it closes the connection, sends what is not a message, or ctx is done. It closes conn.
func (a *agent) session(ctx context.Context, conn net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &session{a: a, conn: conn, enc: wire.NewEncoder(conn), files: map[string][]byte{}}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // also ends a write that a slow peer holds up
	defer func() {
		cancel()
		stop()
		conn.Close()
		s.drained.Wait()
	}()
	dec := wire.NewDecoder(conn)
	for {
		var req wire.Request
		if err := dec.Decode(&req); errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		} else if err != nil {
			// The rest of the line can't be told from a new message, so this is the last answer.
			return errors.Join(err, s.answer(wire.Response{Error: err.Error()}))
		}
		if err := s.answer(s.respond(ctx, req)); err != nil {
			return err
		}
		if req.Watch != nil {
			s.startWatch(ctx)
		}
	}
}

func (s *session) answer(r wire.Response) error { return s.enc.Encode(wire.Message{Response: &r}) }

func (s *session) respond(ctx context.Context, req wire.Request) wire.Response {
	fields := 0
	for _, set := range []bool{req.Apply != nil, req.Put != nil, req.Status != nil, req.Watch != nil, req.Unload != nil} {
		if set {
			fields++
		}
	}
	if fields != 1 {
		return wire.Response{Error: fmt.Sprintf("a request has %d fields filled in; want exactly one", fields)}
	}
	switch {
	case req.Apply != nil:
		return s.apply(ctx, req.Apply.Manifest)
	case req.Put != nil:
		return s.put(req.Put.Files)
	case req.Unload != nil:
		return s.a.call(ctx, func() wire.Response { return s.a.unload() })
	case req.Status != nil:
		return s.a.call(ctx, func() wire.Response { return wire.Response{Status: s.a.status()} })
	}
	if s.watcher == nil { // before the answer, so that nothing is missed after it
		s.watcher = s.a.hub.join()
		return wire.Response{}
	}
	return wire.Response{Error: "this connection is watching already"}
}

// startWatch begins to send, once.
func (s *session) startWatch(ctx context.Context) {
	w := s.watcher
	if w == nil || w.started {
		return
	}
	w.started = true
	s.drained.Go(func() {
		defer s.a.hub.leave(w)
		if err := w.drain(ctx, func(m wire.Message) error { return s.enc.Encode(m) }); err != nil {
			s.conn.Close() // the reader of this session then ends
		}
	})
}

// put holds files for the next apply.
func (s *session) put(files map[string][]byte) wire.Response {
	for path, data := range files {
		if len(data) > maxNodeFile {
			return wire.Response{Error: fmt.Sprintf("%q has %d bytes; a node reads at most %d", path, len(data), maxNodeFile)}
		}
		s.size += len(data) + len(path) - len(s.files[path])
		if s.size > maxGeneration || len(s.files) >= bundle.MaxFiles {
			s.forget()
			return wire.Response{Error: fmt.Sprintf("more than %d bytes or %d files were put without an apply; put only what is missing", maxGeneration, bundle.MaxFiles)}
		}
		s.files[path] = data
	}
	return wire.Response{}
}

func (s *session) forget() { s.files, s.size = map[string][]byte{}, 0 }

// apply verifies and decodes outside the owner, so that a large generation does not hold up new cgroups.
func (s *session) apply(ctx context.Context, m bundle.Manifest) wire.Response {
	g, missing, err := newGeneration(m, *s.a.current.Load(), func(f bundle.File) []byte { return s.files[f.Path] })
	if len(missing) > 0 {
		return wire.Response{Missing: missing}
	}
	s.forget()
	if err != nil {
		s.a.log.Warn("a generation is refused", "revision", m.Digest, "error", err)
		return wire.Response{Error: fmt.Sprintf("%v; what was in force still is", err)}
	}
	return s.a.call(ctx, func() wire.Response { return s.a.apply(g) })
}

// call runs a function in the owner.
func (a *agent) call(ctx context.Context, fn func() wire.Response) wire.Response {
	answer := make(chan wire.Response, 1)
	select {
	case a.calls <- func() { answer <- fn() }:
		return <-answer
	case <-ctx.Done():
		return wire.Response{Error: "writ-node is ending; what is in force stays so"}
	}
}

// apply puts a generation in force. It runs in the owner.
func (a *agent) apply(g generation) wire.Response {
	began := time.Now()
	if err := a.tryApply(g); err != nil {
		a.log.Error("a generation is not put in force", "revision", g.manifest.Digest, "commit", g.manifest.Envelope.Commit, "error", err)
		return wire.Response{Error: fmt.Sprintf("%v; what was in force still is", err)}
	}
	a.trim()
	a.log.Info("a generation is in force", "revision", g.manifest.Digest, "commit", g.manifest.Envelope.Commit,
		"workloads", len(g.workloads), "took", time.Since(began))
	return wire.Response{Status: a.status()}
}

func (a *agent) tryApply(g generation) error {
	if a.kernel == nil { // after unload
		if err := a.openKernel(); err != nil {
			return err
		}
	}
	if now := a.current.Load().manifest; now.Digest == g.manifest.Digest && now.Envelope == g.manifest.Envelope && a.unsaved == "" {
		if err := a.kernel.force.put(g); err != nil { // on disk already; cgroups may have changed
			return err
		}
		a.settled(g)
		return nil
	}
	staged, err := a.store.stage(g)
	if err != nil {
		return err
	}
	if err := a.kernel.force.put(g); err != nil {
		return errors.Join(err, staged.Drop())
	}
	a.unsaved = ""
	if err := staged.Commit(); err != nil {
		a.unsaved = fmt.Sprintf("%v: this generation is in force, but a restart would begin with the one before", err)
		a.log.Error("the generation in force is not saved", "error", err)
	}
	a.settled(g)
	return nil
}

// unload takes everything out of force. It runs in the owner.
func (a *agent) unload() wire.Response {
	if a.kernel == nil {
		return wire.Response{}
	}
	a.unwatch()
	err := errors.Join(a.kernel.Unload(a.cfg.PinDir), a.store.clear())
	a.kernel, a.watched, a.events, a.journal, a.dirty = nil, nil, nil, journal{}.filled(), false
	a.current.Store(&generation{})
	a.restored, a.unsaved = "", ""
	if err != nil {
		a.log.Error("not everything is unloaded", "error", err)
		return wire.Response{Error: err.Error()}
	}
	a.log.Info("everything is unloaded")
	return wire.Response{}
}
