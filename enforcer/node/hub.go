// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"sync"
	"time"

	"github.com/writ-sec/writ/enforcer/node/wire"
)

// queueSize is how many messages wait for one watcher. A watcher that is slower than what happens loses some, and is told how many.
const queueSize = 4096

// causeWatcher is the cause of the [wire.Lost] that a slow watcher gets.
const causeWatcher = "watcher"

// hub hands messages to all watchers and never waits for one. It is safe for concurrent use. Its zero value is ready.
type hub struct {
	mu       sync.Mutex
	watchers map[*watcher]bool
}

// watcher is one reader of messages.
type watcher struct {
	queue   chan wire.Message
	started bool // somebody drains it; of the session
	mu      sync.Mutex
	lost    uint64
}

func (h *hub) join() *watcher {
	w := &watcher{queue: make(chan wire.Message, queueSize)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = map[*watcher]bool{}
	}
	h.watchers[w] = true
	return w
}

func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
}

// publish hands a message to every watcher.
func (h *hub) publish(m wire.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		w.offer(m)
	}
}

func (w *watcher) offer(m wire.Message) {
	select {
	case w.queue <- m:
		return
	default:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case m.Lost != nil:
		w.lost += m.Lost.Count
	default:
		w.lost++
	}
}

// takeLost returns the loss since the last call.
func (w *watcher) takeLost() *wire.Lost {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost == 0 {
		return nil
	}
	l := &wire.Lost{Cause: causeWatcher, Count: w.lost, Time: time.Now().UTC()}
	w.lost = 0
	return l
}

// drain hands messages to send until ctx is done or send fails. A loss is told before the next message.
func (w *watcher) drain(ctx context.Context, send func(wire.Message) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-w.queue:
			if l := w.takeLost(); l != nil {
				if err := send(wire.Message{Lost: l}); err != nil {
					return err
				}
			}
			if err := send(m); err != nil {
				return err
			}
		}
	}
}

// flush hands on what waits, without waiting for more.
func (w *watcher) flush(send func(wire.Message) error) error {
	for {
		select {
		case m := <-w.queue:
			if err := send(m); err != nil {
				return err
			}
		default:
			if l := w.takeLost(); l != nil {
				return send(wire.Message{Lost: l})
			}
			return nil
		}
	}
}
