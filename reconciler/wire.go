// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/writ-sec/writ/reconciler/gitauth"
)

// wire is a repository behind a server that speaks git's pack protocol, version 0 (gitprotocol-pack).
type wire struct {
	at      gitauth.Address
	auth    Auth
	ref     plumbing.ReferenceName
	phrase  string
	lim     Limits
	timeout time.Duration
}

// wireSession is a visit to a server. One connection of ssh serves one request, so each further request takes another.
type wireSession struct {
	w     *wire
	c     *clone
	hide  gitauth.Secrets
	conn  transport.UploadPackSession
	caps  *capability.List
	want  plumbing.Hash
	spent bool // conn has served its request
}

func (w *wire) open(ctx context.Context, c *clone) (session, error) {
	s := &wireSession{w: w, c: c}
	refs, err := s.connect(ctx)
	if err != nil {
		s.close()
		return nil, explain(w.at.String(), err, s.hide, w.timeout)
	}
	if s.want = pick(refs, w.ref); s.want.IsZero() {
		s.close()
		return nil, noReference(w.at.String(), w.phrase, w.ref, slices.Collect(maps.Keys(refs.References)))
	}
	return s, nil
}

func pick(refs *packp.AdvRefs, name plumbing.ReferenceName) plumbing.Hash {
	if name == plumbing.HEAD && refs.Head != nil {
		return *refs.Head
	}
	return refs.References[name.String()]
}

// connect opens a connection and reads what the server has.
func (s *wireSession) connect(ctx context.Context) (*packp.AdvRefs, error) {
	var err error
	if s.w.at.Protocol == "ssh" {
		s.conn, err = dialSSH(ctx, s.w.at, s.w.auth)
	} else {
		s.conn, s.hide, err = dialHTTP(s.w.at, s.w.auth, s.w.lim.Transfer)
	}
	if err != nil {
		return nil, err
	}
	s.spent = false
	refs, err := s.conn.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, err
	}
	s.caps = refs.Capabilities
	return refs, nil
}

func (s *wireSession) tip() plumbing.Hash                  { return s.want }
func (s *wireSession) objects() storer.EncodedObjectStorer { return s.c.sto }

// keep has nothing to do: fetch has brought all.
func (s *wireSession) keep(context.Context, plumbing.Hash, []plumbing.Hash) error { return nil }

func (s *wireSession) close() {
	if s.conn != nil {
		s.conn.Close() // the answer is read already; what a server still says does not matter
	}
}

// fault returns the error itself: what is wrong with an object here is wrong with the clone.
func (s *wireSession) fault(err error) error { return err }

// fetch asks for the tip and depth commits of history. A commit that is in the clone is there completely: packs are added whole.
func (s *wireSession) fetch(ctx context.Context) error {
	if !s.c.has(s.want) {
		if err := s.request(ctx, depth); err != nil {
			return explain(s.w.at.String(), err, s.hide, s.w.timeout)
		}
	}
	if s.c.reference(refHead) == s.want {
		return nil
	}
	return s.c.setReference(refHead, s.want)
}

func (s *wireSession) request(ctx context.Context, deepen int) error {
	if s.spent {
		s.close()
		if _, err := s.connect(ctx); err != nil {
			return err
		}
	}
	s.spent = true
	req, shallow, err := s.newRequest(deepen)
	if err != nil {
		return err
	}
	resp, err := s.conn.UploadPack(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Close()
	// A commit is marked before it is here, and unmarked after its parents are: in between, history only looks shorter than it is.
	for _, h := range resp.Shallows {
		shallow[h] = true
	}
	if err := s.setShallow(shallow, len(resp.Shallows)); err != nil {
		return err
	}
	if err := s.c.receive(demux(req.Capabilities, resp)); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	for _, h := range resp.Unshallows {
		delete(shallow, h)
	}
	if err := s.setShallow(shallow, len(resp.Unshallows)); err != nil {
		return err
	}
	if !s.c.has(s.want) {
		return fmt.Errorf("the server did not send %s", s.want)
	}
	return nil
}

func (s *wireSession) setShallow(set map[plumbing.Hash]bool, changes int) error {
	if changes == 0 {
		return nil
	}
	return s.c.setShallow(set)
}

func (s *wireSession) newRequest(deepen int) (*packp.UploadPackRequest, map[plumbing.Hash]bool, error) {
	req := packp.NewUploadPackRequestFromCapabilities(s.caps)
	shallow, err := s.c.shallow()
	if err != nil {
		return nil, nil, err
	}
	if s.caps.Supports(capability.NoProgress) {
		if err := req.Capabilities.Set(capability.NoProgress); err != nil {
			return nil, nil, err
		}
	}
	if s.caps.Supports(capability.Shallow) { // without it all history comes, within the limits
		if err := req.Capabilities.Set(capability.Shallow); err != nil {
			return nil, nil, err
		}
		req.Depth = packp.DepthCommits(deepen)
		req.Shallows = slices.Collect(maps.Keys(shallow))
	}
	req.Wants = []plumbing.Hash{s.want}
	req.Haves = s.c.complete()
	return req, shallow, nil
}

func demux(caps *capability.List, r io.Reader) io.Reader {
	switch {
	case caps.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, r)
	case caps.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, r)
	}
	return r
}

// descends asks for more and more history, until the earlier commit is found, there is no more, or the limit is reached.
func (s *wireSession) descends(ctx context.Context, commit, from plumbing.Hash) (relation, error) {
	for deepen := depth * 8; ; deepen *= 8 {
		rel, err := s.related(ctx, commit, from)
		if err != nil || rel != unknown || deepen/8 >= s.w.lim.History {
			return rel, err
		}
		if !s.caps.Supports(capability.Shallow) {
			return rel, nil
		}
		if err := s.request(ctx, min(deepen, s.w.lim.History)); err != nil {
			return unknown, explain(s.w.at.String(), err, s.hide, s.w.timeout)
		}
	}
}

// related decides with the history that is here. A commit that the earlier one descends from cannot descend from it.
func (s *wireSession) related(ctx context.Context, commit, from plumbing.Hash) (relation, error) {
	shallow, err := s.c.shallow()
	if err != nil {
		return unknown, err
	}
	rel, err := ancestry(ctx, s.c.sto, shallow, commit, from, s.w.lim.History)
	if err != nil || rel != unknown || !s.c.has(from) {
		return rel, err
	}
	back, err := ancestry(ctx, s.c.sto, shallow, from, commit, s.w.lim.History)
	if err == nil && back == descends {
		return diverged, nil
	}
	return unknown, err
}
