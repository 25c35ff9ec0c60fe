// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/enforcer/node/wire"
	"github.com/writ-sec/writ/schema"
)

func TestHubCountsWhatASlowWatcherMisses(t *testing.T) {
	var h hub
	slow := h.join()
	for range queueSize + 10 {
		h.publish(wire.Message{Report: &schema.Report{}})
	}
	h.publish(wire.Message{Lost: &wire.Lost{Cause: "ring-buffer", Count: 5}})
	reports, lost := 0, uint64(0)
	err := slow.flush(func(m wire.Message) error {
		if m.Lost != nil {
			lost += m.Lost.Count
		} else {
			reports++
		}
		return nil
	})
	if err != nil || reports != queueSize || lost != 15 {
		t.Errorf("%d reports, %d lost, %v; want %d and 15", reports, lost, err, queueSize)
	}
	if l := slow.takeLost(); l != nil {
		t.Errorf("the loss is told twice: %+v", l)
	}
}

// size returns how many watch.
func (h *hub) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.watchers)
}

// bare returns an agent without a kernel, whose owner answers.
func bare(t *testing.T) *agent {
	t.Helper()
	a := &agent{log: slog.New(slog.DiscardHandler), calls: make(chan func())}
	a.current.Store(&generation{})
	go func() {
		for {
			select {
			case f := <-a.calls:
				f()
			case <-t.Context().Done():
				return
			}
		}
	}()
	return a
}

// peer connects to an agent.
func peer(t *testing.T, a *agent) net.Conn {
	t.Helper()
	server, client := net.Pipe()
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- a.session(ctx, server) }()
	t.Cleanup(func() {
		cancel()
		client.Close()
		<-done
	})
	return client
}

// TestSlowPeerHoldsNobodyUp has one watcher that reads nothing, while another gets every report and the owner answers.
func TestSlowPeerHoldsNobodyUp(t *testing.T) {
	a := bare(t)
	slow := peer(t, a)
	if err := wire.NewEncoder(slow).Encode(wire.Request{Watch: &wire.Empty{}}); err != nil {
		t.Fatal(err)
	}
	var m wire.Message
	if err := wire.NewDecoder(slow).Decode(&m); err != nil || m.Response == nil {
		t.Fatalf("watch: %+v, %v", m, err)
	}
	const sent = 3 * queueSize
	fast := wire.NewClient(peer(t, a))
	defer fast.Close()
	seen, enough := uint64(0), errors.New("enough")
	ready := make(chan struct{}, sent)
	go func() {
		for a.hub.size() < 2 {
			time.Sleep(time.Millisecond)
		}
		for range sent {
			a.hub.publish(wire.Message{Report: &schema.Report{ID: "x"}})
			<-ready // as fast as the fast one
		}
	}()
	err := fast.Watch(t.Context(), func(m wire.Message) error {
		if m.Lost != nil {
			seen += m.Lost.Count
			return nil
		}
		if seen++; seen == sent {
			return enough
		}
		ready <- struct{}{}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("the fast one: %v after %d", err, seen)
	}
	if _, err := fast.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestSessionBadRequests(t *testing.T) {
	a := bare(t)
	tests := []struct {
		name, send, want string
		ends             bool
	}{
		{"nothing asked", "{}\n", "0 fields", false},
		{"two things asked", `{"status":{},"unload":{}}` + "\n", "2 fields", false},
		{"not JSON", "hello\n", "message:", true},
		{"unknown request", `{"reboot":{}}` + "\n", "unknown field", true},
		{"damaged manifest", `{"apply":{"manifest":{"format":2,"digest":"x","files":[]}}}` + "\n", "damaged", false},
		{"a path out of the bundle", `{"apply":{"manifest":{"format":2,"digest":"x","files":[{"path":"../x","size":1,"sha256":"y"}]}}}` + "\n", "not a path in a bundle", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := peer(t, a)
			go conn.Write([]byte(tt.send))
			dec := wire.NewDecoder(conn)
			var m wire.Message
			if err := dec.Decode(&m); err != nil || m.Response == nil || !strings.Contains(m.Response.Error, tt.want) {
				t.Fatalf("got %+v, %v; want %q", m.Response, err, tt.want)
			}
			if tt.ends {
				if err := dec.Decode(&m); err == nil {
					t.Error("the connection must end")
				}
				return
			}
			go wire.NewEncoder(conn).Encode(wire.Request{Status: &wire.Empty{}})
			m = wire.Message{}
			if err := dec.Decode(&m); err != nil || m.Response == nil || m.Response.Status == nil {
				t.Fatalf("the connection must go on: %+v, %v", m, err)
			}
		})
	}
}

func TestPutIsBounded(t *testing.T) {
	s := &session{files: map[string][]byte{}}
	if r := s.put(map[string][]byte{"node/a.json": make([]byte, maxNodeFile+1)}); r.Error == "" {
		t.Error("a big file is taken")
	}
	piece := make([]byte, maxNodeFile)
	for i := range maxGeneration/maxNodeFile + 1 {
		if r := s.put(map[string][]byte{strings.Repeat("x", i+1): piece}); r.Error != "" {
			if s.size != 0 || len(s.files) != 0 {
				t.Errorf("%d bytes are held after the refusal", s.size)
			}
			return
		}
	}
	t.Errorf("%d bytes are held without an apply", s.size)
}
