// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-sec/writ/reconciler/gitauth/sshdtest"
	"github.com/writ-sec/writ/schema/bundle"
)

// running starts Run and returns its outcomes, a way to signal it, and a way to end it.
func running(t *testing.T, b *bench) (outcomes chan Outcome, now chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	outcomes, now = make(chan Outcome, 100), make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- b.r.Run(ctx, now, func(o Outcome) { outcomes <- o }) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run returned %v; want nil", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end with its context")
		}
	})
	t.Cleanup(stop)
	return outcomes, now, stop
}

func next(t *testing.T, outcomes <-chan Outcome) Outcome {
	t.Helper()
	select {
	case o := <-outcomes:
		return o
	case <-time.After(20 * time.Second):
		t.Fatal("no outcome")
		panic("unreachable")
	}
}

func TestRunPullsOnSignalAndPoll(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	b := newBench(t, o.path, func(c *Config) { c.Interval = time.Hour })
	outcomes, now, stop := running(t, b)
	if got := next(t, outcomes); got.Err != nil || !got.Changed {
		t.Fatalf("first outcome is %+v", got)
	}
	second := o.push(shop.with(files{"web/web.cue": workloadFile("web", "/bin/two")}), "second")
	now <- struct{}{}
	if got := next(t, outcomes); got.InForce != second.String() {
		t.Errorf("in force is %s; want %s", got.InForce, second)
	}
	close(now) // a closed channel is no signal
	select {
	case got := <-outcomes:
		t.Errorf("outcome without signal or poll: %+v", got)
	case <-time.After(200 * time.Millisecond):
	}
	stop()
	b.restart(func(c *Config) { c.Interval = MinInterval })
	outcomes, _, _ = running(t, b)
	next(t, outcomes)
	third := o.push(shop, "third")
	if got := next(t, outcomes); got.InForce != third.String() {
		t.Errorf("poll puts %s in force; want %s", got.InForce, third)
	}
}

// slow is a target that shows how many reconciliations run at the same time.
type slow struct {
	Folder
	running, most, calls atomic.Int32
	gate                 chan struct{}
}

func (s *slow) Current(ctx context.Context) (string, error) {
	s.calls.Add(1)
	s.most.Store(max(s.most.Load(), s.running.Add(1)))
	defer s.running.Add(-1)
	select {
	case <-s.gate:
	case <-ctx.Done():
	}
	return s.Folder.Current(ctx)
}

func (s *slow) Apply(ctx context.Context, b *bundle.Bundle) error { return s.Folder.Apply(ctx, b) }

func TestSignalsAreCoalesced(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	target := &slow{gate: make(chan struct{})}
	b := newBench(t, o.path, func(c *Config) {
		c.Interval = time.Hour
		target.Folder = c.Targets[0].(Folder)
		c.Targets = []Target{target}
	})
	outcomes, now, _ := running(t, b)
	for target.running.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 20 { // while the first reconciliation waits at its gate; none of these may block
		select {
		case now <- struct{}{}:
		case <-time.After(5 * time.Second):
			t.Fatal("a signal waits for the reconciliation")
		}
	}
	direct := make(chan Outcome)
	go func() { direct <- b.r.Once(t.Context()) }() // waits its turn
	close(target.gate)
	next(t, outcomes)
	next(t, outcomes)
	<-direct
	select {
	case <-outcomes:
		t.Error("20 signals during one reconciliation cause more than one more")
	case <-time.After(300 * time.Millisecond):
	}
	if target.most.Load() != 1 || target.calls.Load() != 3 {
		t.Errorf("%d reconciliations, %d at the same time; want 3, one after the other", target.calls.Load(), target.most.Load())
	}
}

// A target that hangs is left after the timeout; the others have the bundle.
func TestTargetHangs(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	b := newBench(t, o.path, func(c *Config) {
		c.Timeout = time.Second
		c.Targets = append([]Target{hanging{}}, c.Targets...)
	})
	got := b.r.Once(t.Context())
	if !errors.Is(got.Err, ErrTarget) || !errors.Is(got.Err, context.DeadlineExceeded) || b.inForce() != got.Digest || got.Digest == "" {
		t.Errorf("outcome is %+v; want the folder written and the other target's timeout", got)
	}
}

type hanging struct{}

func (hanging) Name() string                            { return "hanging" }
func (hanging) Current(context.Context) (string, error) { return "", errors.New("not known") }
func (hanging) Apply(ctx context.Context, _ *bundle.Bundle) error {
	<-ctx.Done()
	return fmt.Errorf("apply: %w", ctx.Err())
}

// Run ends in the middle of a transfer, and what it leaves is used.
func TestRunEndsDuringTransfer(t *testing.T) {
	s := sshdtest.Start(t)
	o := newOrigin(t)
	o.push(shop, "first")
	for _, after := range []time.Duration{0, 20, 60, 100, 150, 200} {
		b := newBench(t, s.URL+o.path, func(c *Config) { c.Auth = Auth{KeyFile: s.KeyFile, KnownHosts: s.KnownHosts} })
		ctx, cancel := context.WithTimeout(t.Context(), after*time.Millisecond)
		start := time.Now()
		if err := b.r.Run(ctx, nil, nil); err != nil {
			t.Error(err)
		}
		cancel()
		if d := time.Since(start); d > after*time.Millisecond+2*time.Second {
			t.Errorf("Run ended %v after its context", d-after*time.Millisecond)
		}
		b.once()
	}
}

func TestBackoff(t *testing.T) {
	tests := []struct {
		interval time.Duration
		failures int
		want     time.Duration
	}{
		{30 * time.Second, 0, 30 * time.Second},
		{30 * time.Second, 1, time.Minute},
		{30 * time.Second, 2, 2 * time.Minute},
		{30 * time.Second, 4, MaxBackoff},
		{30 * time.Second, 1 << 30, MaxBackoff},
		{time.Hour, 3, time.Hour},
	}
	for _, test := range tests {
		if got := backoff(test.interval, test.failures); got != test.want {
			t.Errorf("backoff(%v, %d) is %v; want %v", test.interval, test.failures, got, test.want)
		}
	}
	low, high := time.Hour, time.Duration(0)
	for range 10_000 {
		d := jitter(time.Second)
		low, high = min(low, d), max(high, d)
	}
	if low < 900*time.Millisecond || low > 920*time.Millisecond || high > 1100*time.Millisecond || high < 1080*time.Millisecond {
		t.Errorf("jitter of 1s is from %v to %v; want 0.9s to 1.1s", low, high)
	}
}

func TestRunBacksOff(t *testing.T) {
	b := newBench(t, os.DevNull+"/none", func(c *Config) { c.Interval = MinInterval })
	outcomes, _, _ := running(t, b)
	start := time.Now()
	for range 2 {
		if got := next(t, outcomes); !errors.Is(got.Err, ErrRemote) {
			t.Errorf("error is %v; want ErrRemote", got.Err)
		}
	}
	if d := time.Since(start); d < 1700*time.Millisecond {
		t.Errorf("second try after %v; want about twice the interval", d)
	}
}
