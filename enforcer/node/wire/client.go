// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/writ-sec/writ/schema/bundle"
)

const (
	maxPut     = 8 << 20 // encoded bytes of files in one Put, unless one file alone has more
	maxRounds  = 3       // how often Apply sends what the server says it lacks
	watchQueue = 4096    // reports that wait for a Watch; what comes beyond is counted as lost
)

// causeClient is the cause of the [Lost] that a Client makes when the function given to Watch is too slow.
const causeClient = "client"

// Refused is the answer of a server that is well but did not do what was asked. Nothing in force has changed, unless Reason says so.
// Every other error of a [Client] means that the connection is of no more use.
type Refused struct {
	Reason string
}

// Error returns the server's reason.
func (r *Refused) Error() string { return "writ-node refused: " + r.Reason }

// Client talks to a writ-node over one connection. It is safe for concurrent use: requests are sent in the order of the calls, and
// reports come in between. Its reader runs from the first request until the connection ends.
type Client struct {
	conn  net.Conn
	enc   *Encoder
	start sync.Once

	send sync.Mutex // held while a request is written, so that waiting stands in the order of the requests

	mu      sync.Mutex
	waiting []chan Response // one for each request without an answer yet, oldest first
	watch   *watch          // nil: reports are thrown away
	err     error           // why the connection ended
}

// watch is a running call of Client.Watch.
type watch struct {
	queue chan Message
	lost  uint64 // messages that found the queue full; guarded by Client.mu
}

// Dial connects to the socket of a writ-node.
func Dial(path string) (*Client, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, fmt.Errorf("connect to writ-node: %w; is \"writ-node run --socket %s\" running?", err, path)
	}
	return NewClient(conn), nil
}

// NewClient returns a Client on a connection, which it owns from now on.
func NewClient(conn net.Conn) *Client {
	return &Client{conn: conn, enc: NewEncoder(conn)}
}

// Close ends the connection. Calls that wait return an error. A server that was given this connection by its parent ends.
func (c *Client) Close() error { return c.conn.Close() }

// Status asks what is in force.
func (c *Client) Status(ctx context.Context) (Status, error) {
	resp, err := c.do(ctx, Request{Status: &Empty{}})
	if err != nil {
		return Status{}, err
	}
	return statusOf(resp)
}

// Unload asks to take everything out of force, pins included.
func (c *Client) Unload(ctx context.Context) error {
	_, err := c.do(ctx, Request{Unload: &Empty{}})
	return err
}

// Apply puts a bundle in force and returns what is then in force. Only files that the server lacks are sent. When it returns a
// [*Refused], what was in force before still is.
func (c *Client) Apply(ctx context.Context, b *bundle.Bundle) (Status, error) {
	for range maxRounds {
		resp, err := c.do(ctx, Request{Apply: &Apply{Manifest: b.Manifest}})
		if err != nil {
			return Status{}, err
		}
		if len(resp.Missing) == 0 {
			return statusOf(resp)
		}
		puts, err := splitPuts(b, resp.Missing, maxPut)
		if err != nil {
			return Status{}, err
		}
		for _, put := range puts {
			if _, err := c.do(ctx, Request{Put: put}); err != nil {
				return Status{}, err
			}
		}
	}
	return Status{}, &Refused{Reason: fmt.Sprintf("it still lacks files of the bundle after they were sent %d times", maxRounds)}
}

// splitPuts spreads files over messages of at most limit encoded bytes, or of one file.
func splitPuts(b *bundle.Bundle, paths []string, limit int) ([]*Put, error) {
	var puts []*Put
	size := 0
	for _, p := range slices.Sorted(slices.Values(paths)) {
		data, err := b.Open(p)
		if err != nil {
			return nil, &Refused{Reason: fmt.Sprintf("it asks for %q, which cannot be had: %v", p, err)}
		}
		n := (len(data)+2)/3*4 + len(p) + len(`"":"",`) // as JSON holds bytes
		if len(puts) == 0 || size+n > limit {
			puts, size = append(puts, &Put{Files: map[string][]byte{}}), 0
		}
		size += n
		maps.Copy(puts[len(puts)-1].Files, map[string][]byte{p: data})
	}
	return puts, nil
}

func statusOf(resp Response) (Status, error) {
	if resp.Status == nil {
		return Status{}, errors.New("writ-node answered without a status; client and server are not of the same version")
	}
	return *resp.Status, nil
}

// Watch asks for reports and calls fn with each message, which has either Report or Lost. It returns the error of fn, of ctx, or of the
// connection. fn may call the other methods. If fn is too slow for what happens, messages are dropped and fn is told by a Lost with
// the cause "client". There is one Watch at a time. When it has returned, reports are thrown away; a new Watch takes them up again.
func (c *Client) Watch(ctx context.Context, fn func(Message) error) error {
	w := &watch{queue: make(chan Message, watchQueue)}
	if err := c.setWatch(w); err != nil {
		return err
	}
	defer c.endWatch()
	if _, err := c.do(ctx, Request{Watch: &Empty{}}); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m, ok := <-w.queue:
			if !ok {
				return c.failure()
			}
			if err := c.deliver(w, m, fn); err != nil {
				return err
			}
		}
	}
}

// deliver hands over one message, and before it the loss of others, if any.
func (c *Client) deliver(w *watch, m Message, fn func(Message) error) error {
	c.mu.Lock()
	lost := w.lost
	w.lost = 0
	c.mu.Unlock()
	if lost > 0 {
		if err := fn(Message{Lost: &Lost{Cause: causeClient, Count: lost, Time: time.Now().UTC()}}); err != nil {
			return err
		}
	}
	return fn(m)
}

func (c *Client) setWatch(w *watch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if c.watch != nil {
		return errors.New("watch writ-node: this client is already watching")
	}
	c.watch = w
	return nil
}

func (c *Client) endWatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch = nil
}

// do sends one request and waits for its answer. When ctx ends while a request is half written, the connection is closed.
func (c *Client) do(ctx context.Context, req Request) (Response, error) {
	answer := make(chan Response, 1)
	if err := c.write(ctx, req, answer); err != nil {
		return Response{}, err
	}
	c.start.Do(func() { go c.read() })
	select {
	case <-ctx.Done():
		return Response{}, ctx.Err()
	case resp, ok := <-answer:
		switch {
		case !ok:
			return Response{}, c.failure()
		case resp.Error != "":
			return Response{}, &Refused{Reason: resp.Error}
		}
		return resp, nil
	}
}

func (c *Client) write(ctx context.Context, req Request, answer chan Response) error {
	c.send.Lock()
	defer c.send.Unlock()
	if err := c.enqueue(answer); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	err := c.enc.Encode(req)
	if !stop() {
		c.fail(ctx.Err())
		return ctx.Err()
	}
	if err != nil {
		err = fmt.Errorf("send to writ-node: %w", err)
		c.fail(err)
	}
	return err
}

func (c *Client) enqueue(answer chan Response) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.waiting = append(c.waiting, answer)
	return nil
}

// read is the one reader of the connection. It never waits for anything but the connection.
func (c *Client) read() {
	dec := NewDecoder(c.conn)
	for {
		var m Message
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			c.fail(fmt.Errorf("writ-node closed the connection: %w", io.ErrUnexpectedEOF))
			return
		} else if err != nil {
			c.fail(fmt.Errorf("read from writ-node: %w", err))
			return
		}
		if err := c.dispatch(m); err != nil {
			c.fail(err)
			return
		}
	}
}

func (c *Client) dispatch(m Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case m.Response != nil && len(c.waiting) == 0:
		return errors.New("read from writ-node: an answer without a request")
	case m.Response != nil:
		c.waiting[0] <- *m.Response
		c.waiting = c.waiting[1:]
	case c.watch != nil:
		select {
		case c.watch.queue <- m:
		default:
			c.watch.lost += lossOf(m)
		}
	}
	return nil
}

// lossOf returns how many events are not told when a message is dropped.
func lossOf(m Message) uint64 {
	if m.Lost != nil {
		return m.Lost.Count
	}
	return 1
}

// fail ends the client for good: the first reason counts, and everybody who waits learns it.
func (c *Client) fail(err error) {
	c.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	for _, w := range c.waiting {
		close(w)
	}
	c.waiting = nil
	if c.watch != nil {
		close(c.watch.queue)
	}
}

func (c *Client) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
