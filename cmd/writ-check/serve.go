// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/writ-sec/writ/cmd/checkwire"
	"github.com/writ-sec/writ/cmd/writ-check/engine"
)

// reviewTime is what a review may take. It is ten times what Gatekeeper's webhook gives one in a cluster (timeoutSeconds of its
// ValidatingWebhookConfiguration is 3): on a busy machine, an answer that comes late is better than none.
const reviewTime = 30 * time.Second

// server answers the requests of one writ.
type server struct {
	ctx     context.Context
	engine  *engine.Engine
	refused bool

	mu  sync.Mutex // guards out
	out *bufio.Writer
	err error // of the first write that failed
}

func newServer(ctx context.Context, out io.Writer) (*server, error) {
	e, err := engine.New()
	if err != nil {
		return nil, fmt.Errorf("start Gatekeeper's engine: %w", err)
	}
	s := &server{ctx: ctx, engine: e, out: bufio.NewWriter(out)}
	s.say(checkwire.Hello{Protocol: checkwire.Protocol, Version: version})
	return s, s.err
}

// say writes a line at once: the other side waits for it.
func (s *server) say(v any) {
	data, err := json.Marshal(v)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		_, err = s.out.Write(append(data, '\n'))
	}
	if err == nil {
		err = s.out.Flush()
	}
	s.err = errors.Join(s.err, err)
}

// run reads requests to their end, and returns when all are answered.
func (s *server) run(in io.Reader) error {
	lines := checkwire.NewReader(in)
	work := make(chan checkwire.Review)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for r := range work {
				s.say(s.review(r))
			}
		})
	}
	err := s.requests(lines, work)
	close(work)
	workers.Wait()
	return errors.Join(err, s.err)
}

func (s *server) requests(lines *checkwire.Reader, work chan<- checkwire.Review) error {
	reviewed := false
	for {
		var r checkwire.Request
		if err := lines.Read(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		switch {
		case r.Review != nil:
			reviewed = true
			select {
			case work <- *r.Review:
			case <-s.ctx.Done():
				return s.ctx.Err()
			}
		case r.Object != nil && !reviewed:
			if refused := s.engine.Load(s.ctx, r.Object); refused != nil {
				s.refused = true
				s.say(checkwire.Reply{Refused: refused})
			}
		default:
			return errors.New("want an object or a review in each request, and the objects first")
		}
	}
}

// review judges one object. What goes wrong, goes wrong for it alone.
func (s *server) review(r checkwire.Review) (reply checkwire.Reply) {
	reply.ID = r.ID
	if s.refused {
		reply.Error = "not judged: the engine refuses an object of the policy"
		return reply
	}
	defer func() {
		if p := recover(); p != nil {
			reply = checkwire.Reply{ID: r.ID, Error: fmt.Sprintf("the engine failed: %.200v", p)}
		}
	}()
	ctx, cancel := context.WithTimeout(s.ctx, reviewTime)
	defer cancel()
	violations, err := s.engine.Review(ctx, r)
	switch {
	case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil && s.ctx.Err() == nil:
		reply.Error = fmt.Sprintf("takes longer than %v to judge", reviewTime)
	case err != nil:
		reply.Error = err.Error()
	default:
		reply.Violations = violations
	}
	return reply
}
