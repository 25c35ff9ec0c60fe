// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

// Read calls fn for every Record until ctx is done, which is no error, or until fn fails, whose error it returns. fn is called from one
// goroutine. At the end it hands over what is counted and not yet reported.
func (k *Kernel) Read(ctx context.Context, fn func(Record) error) error {
	if err := k.begin(); err != nil {
		return err
	}
	defer k.end()
	ring, err := ringbuf.NewReader(k.maps["events"])
	if err != nil {
		return fmt.Errorf("events: open the ring buffer: %w", err)
	}
	defer ring.Close()
	r := &reader{k: k, ring: ring, fn: fn, known: map[foldKey]Record{}}
	stop := context.AfterFunc(ctx, func() { _ = ring.Flush() }) // fails only when the ring is closed, which ends the reading too
	defer stop()
	if err := r.run(ctx); err != nil {
		return fmt.Errorf("events: %w", err)
	}
	return nil
}

func (k *Kernel) begin() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reading {
		return errors.New("events: a Read is under way; want one at a time")
	}
	k.reading = true
	return nil
}

func (k *Kernel) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reading = false
}

// reader merges the ring buffer, which has first events, with the fold table, which has repetitions.
type reader struct {
	k     *Kernel
	ring  *ringbuf.Reader
	fn    func(Record) error
	known map[foldKey]Record // first events whose key is in the fold table, so at most as many as it holds
	raw   ringbuf.Record
}

func (r *reader) run(ctx context.Context) error {
	// What another process has read the first event of is counted without it: send it anew.
	if err := errors.Join(r.now(), r.dropUnknown()); err != nil {
		return err
	}
	for {
		if err := r.drain(ctx, time.Now().Add(r.k.window/4)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return errors.Join(r.now(), r.sweep(0))
		}
		if err := r.sweep(r.k.window); err != nil {
			return err
		}
	}
}

// now hands over first events that are there already.
func (r *reader) now() error {
	r.ring.SetDeadline(time.Unix(1, 0))
	for {
		err := r.ring.ReadInto(&r.raw)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ringbuf.ErrFlushed) {
			return nil
		}
		if err == nil {
			err = r.first()
		}
		if err != nil {
			return err
		}
	}
}

// drain hands over first events until the deadline, or until ctx is done.
func (r *reader) drain(ctx context.Context, until time.Time) error {
	r.ring.SetDeadline(until)
	for ctx.Err() == nil {
		err := r.ring.ReadInto(&r.raw)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ringbuf.ErrFlushed) {
			return nil
		}
		if err == nil {
			err = r.first()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) first() error {
	rec, key, folded, err := decode(r.raw.RawSample, bootTime())
	if err != nil {
		return err
	}
	if folded {
		r.known[key] = rec
	}
	return r.fn(rec)
}

// sweep takes entries that are older than a window out of the fold table and hands over their repetitions. An exec that
// looked its entry up just before it is taken may count into nothing. The exec sees that the entry is gone, and counts a "fold-race".
func (r *reader) sweep(window time.Duration) error {
	now := bootNow()
	live := map[foldKey]bool{}
	err := r.takeWhere(func(key foldKey, f fold) bool {
		live[key] = true
		return now-f.First >= uint64(window)
	})
	for key, rec := range r.known { // an entry that never was, or that its event's failure took away
		if !live[key] && time.Since(rec.First) > window {
			delete(r.known, key)
		}
	}
	return err
}

// dropUnknown takes the entries whose first event this process has not read.
func (r *reader) dropUnknown() error {
	return r.takeWhere(func(key foldKey, _ fold) bool {
		_, ok := r.known[key]
		return !ok
	})
}

func (r *reader) takeWhere(which func(foldKey, fold) bool) error {
	var keys []foldKey
	var key foldKey
	var f fold
	it := r.k.maps["folds"].Iterate()
	for it.Next(&key, &f) {
		if which(key, f) {
			keys = append(keys, key)
		}
	}
	if err := it.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) {
		return fmt.Errorf("list the fold table: %w", err)
	}
	for _, key := range keys {
		if err := r.take(key); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) take(key foldKey) error {
	var f fold
	err := r.k.maps["folds"].LookupAndDelete(key, &f)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("take from the fold table: %w", err)
	}
	rec, ok := r.known[key]
	delete(r.known, key)
	if f.Count <= 1 || f.Count&sealed != 0 {
		return nil
	}
	if !ok {
		r.k.countUnread(f.Count - 1)
		return nil
	}
	boot := bootTime()
	rec.Count = f.Count - 1
	rec.First = rec.Last // repetitions came after the first event
	rec.Last = boot.Add(time.Duration(f.Last)).UTC()
	return r.fn(rec)
}

func (k *Kernel) countUnread(n uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unread["unread"] += n
}

// bootNow returns CLOCK_BOOTTIME in nanoseconds.
func bootNow() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("clock_gettime(CLOCK_BOOTTIME): %v", err)) // it exists since Linux 2.6.39
	}
	return uint64(ts.Nano())
}

// bootTime returns the instant at which CLOCK_BOOTTIME was 0, by the wall clock of now.
func bootTime() time.Time { return time.Now().Add(-time.Duration(bootNow())) }
