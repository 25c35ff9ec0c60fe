// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// dialogue runs the server's side of a connection as a script and returns a client on the other end.
func dialogue(t *testing.T, serve func(*Decoder, *Encoder) error) *Client {
	t.Helper()
	server, client := net.Pipe()
	done := make(chan error, 1)
	go func() {
		defer server.Close()
		done <- serve(NewDecoder(server), NewEncoder(server))
	}()
	c := NewClient(client)
	t.Cleanup(func() {
		c.Close()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return c
}

func expect(dec *Decoder, want func(Request) bool) error {
	var r Request
	if err := dec.Decode(&r); err != nil {
		return err
	}
	if !want(r) {
		return fmt.Errorf("unexpected request %+v", r)
	}
	return nil
}

func TestClientApply(t *testing.T) {
	b := bundle.New(map[string][]byte{"node/a.json": []byte("a"), "node/b.json": []byte("b"), "rules/a.json": []byte("r")}, bundle.Envelope{})
	isApply := func(r Request) bool { return r.Apply != nil && reflect.DeepEqual(r.Apply.Manifest, b.Manifest) }
	c := dialogue(t, func(dec *Decoder, enc *Encoder) error {
		return errors.Join(
			expect(dec, isApply),
			enc.Encode(Message{Response: &Response{Missing: []string{"node/b.json"}}}),
			expect(dec, func(r Request) bool {
				return r.Put != nil && reflect.DeepEqual(r.Put.Files, map[string][]byte{"node/b.json": []byte("b")})
			}),
			enc.Encode(Message{Response: &Response{}}),
			expect(dec, isApply),
			enc.Encode(Message{Response: &Response{Status: &Status{Generation: b.Manifest.Digest}}}),
		)
	})
	got, err := c.Apply(t.Context(), b)
	if err != nil || got.Generation != b.Manifest.Digest {
		t.Fatalf("Apply = %+v, %v", got, err)
	}
}

func TestClientRefused(t *testing.T) {
	c := dialogue(t, func(dec *Decoder, enc *Encoder) error {
		return errors.Join(
			expect(dec, func(r Request) bool { return r.Status != nil }),
			enc.Encode(Message{Response: &Response{Error: "no"}}),
			expect(dec, func(r Request) bool { return r.Unload != nil }),
			enc.Encode(Message{Response: &Response{}}),
		)
	})
	var refused *Refused
	if _, err := c.Status(t.Context()); !errors.As(err, &refused) || refused.Reason != "no" {
		t.Fatalf("Status: %v, want a Refused", err)
	}
	if err := c.Unload(t.Context()); err != nil {
		t.Fatalf("the connection must outlive a refusal: %v", err)
	}
}

func TestClientApplyGivesUp(t *testing.T) {
	b := bundle.New(map[string][]byte{"node/a.json": []byte("a")}, bundle.Envelope{})
	c := dialogue(t, func(dec *Decoder, enc *Encoder) error {
		for range maxRounds {
			if err := errors.Join(
				expect(dec, func(r Request) bool { return r.Apply != nil }),
				enc.Encode(Message{Response: &Response{Missing: []string{"node/a.json"}}}),
				expect(dec, func(r Request) bool { return r.Put != nil }),
				enc.Encode(Message{Response: &Response{}}),
			); err != nil {
				return err
			}
		}
		return nil
	})
	var refused *Refused
	if _, err := c.Apply(t.Context(), b); !errors.As(err, &refused) {
		t.Fatalf("Apply: %v, want a Refused", err)
	}
}

func TestClientWatch(t *testing.T) {
	report := schema.Report{ID: "0123456789abcdef", Count: 3}
	c := dialogue(t, func(dec *Decoder, enc *Encoder) error {
		return errors.Join(
			expect(dec, func(r Request) bool { return r.Watch != nil }),
			enc.Encode(Message{Response: &Response{}}),
			enc.Encode(Message{Report: &report}),
			expect(dec, func(r Request) bool { return r.Status != nil }),
			enc.Encode(Message{Lost: &Lost{Cause: "ring-buffer", Count: 7}}),
			enc.Encode(Message{Response: &Response{Status: &Status{Commit: "c"}}}),
		)
	})
	var got []string
	err := c.Watch(t.Context(), func(m Message) error {
		if m.Report != nil {
			st, err := c.Status(t.Context()) // a call from inside must not deadlock
			got = append(got, m.Report.ID, st.Commit)
			return err
		}
		got = append(got, fmt.Sprint(m.Lost.Cause, m.Lost.Count))
		return nil
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Watch ended with %v, want the end of the connection", err)
	}
	if want := []string{report.ID, "c", "ring-buffer7"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClientWatchCountsWhatItDrops(t *testing.T) {
	const sent = watchQueue + 100
	c := dialogue(t, func(dec *Decoder, enc *Encoder) error {
		if err := errors.Join(expect(dec, func(r Request) bool { return r.Watch != nil }), enc.Encode(Message{Response: &Response{}})); err != nil {
			return err
		}
		for range sent {
			if err := enc.Encode(Message{Report: &schema.Report{ID: "x"}}); err != nil {
				return err
			}
		}
		return nil
	})
	seen, lost := uint64(0), uint64(0)
	ready := false
	err := c.Watch(t.Context(), func(m Message) error {
		if m.Lost != nil {
			lost += m.Lost.Count
			return nil
		}
		seen++
		if !ready { // be slow once, until the server has sent everything
			ready = true
			for c.failure() == nil {
				time.Sleep(time.Millisecond)
			}
		}
		return nil
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if seen+lost != sent || lost == 0 {
		t.Errorf("seen %d and told as lost %d; want them to add up to %d, some lost", seen, lost, sent)
	}
}

func TestClientContext(t *testing.T) {
	server, client := net.Pipe() // nobody reads: the request is never written
	defer server.Close()
	c := NewClient(client)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Status(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Status: %v, want the end of the context", err)
	}
	if _, err := c.Status(t.Context()); err == nil {
		t.Fatal("the connection has half a request on it and must not be used again")
	}
}

func TestClientAnswerWithoutRequest(t *testing.T) {
	c := dialogue(t, func(dec *Decoder, enc *Encoder) error {
		return errors.Join(
			expect(dec, func(r Request) bool { return r.Status != nil }),
			enc.Encode(Message{Response: &Response{Status: &Status{}}}),
			enc.Encode(Message{Response: &Response{Status: &Status{}}}),
		)
	})
	if _, err := c.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	for c.failure() == nil {
		time.Sleep(time.Millisecond)
	}
	if err := c.failure(); !strings.Contains(err.Error(), "without a request") {
		t.Errorf("failure: %v", err)
	}
}

func TestDialNobody(t *testing.T) {
	_, err := Dial(t.TempDir() + "/none.sock")
	if err == nil || !strings.Contains(err.Error(), "writ-node run --socket") {
		t.Fatalf("Dial: %v, want it to say what to start", err)
	}
}

func TestSplitPuts(t *testing.T) {
	b := bundle.New(map[string][]byte{"a": make([]byte, 30), "b": make([]byte, 30), "c": make([]byte, 300), "d": nil}, bundle.Envelope{})
	puts, err := splitPuts(b, []string{"d", "a", "b", "c"}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	total := 0
	for _, p := range puts {
		got = append(got, len(p.Files))
		total += len(p.Files)
	}
	if want := []int{2, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("files per message: %v, want %v", got, want)
	}
	if _, err := splitPuts(b, []string{"nowhere"}, 100); err == nil {
		t.Error("a file that is not in the bundle must be an error")
	}
}
