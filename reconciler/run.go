// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Run reconciles until ctx is done, and then returns nil: at once, then at each poll, and as soon as now receives. What arrives while
// a reconciliation runs causes exactly one more. observe, which may be nil, gets each Outcome before the next reconciliation begins.
// While the remote cannot be read, or something takes too long, polls come less and less often, down to one in [MaxBackoff]; a receive
// from now still pulls at once.
func (r *Reconciler) Run(ctx context.Context, now <-chan struct{}, observe func(Outcome)) error {
	signal := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		coalesce(ctx, now, signal)
	}()
	defer func() { <-done }()
	failures := 0
	for {
		o := r.Once(ctx)
		if ctx.Err() != nil {
			return nil // the outcome says no more than that
		}
		if observe != nil {
			observe(o)
		}
		failures++
		if !errors.Is(o.Err, ErrRemote) && !errors.Is(o.Err, context.DeadlineExceeded) {
			failures = 0
		}
		timer := time.NewTimer(jitter(backoff(r.cfg.Interval, failures)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-signal:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// coalesce takes every signal at once, so that who sends never waits for a reconciliation, and keeps one.
func coalesce(ctx context.Context, now <-chan struct{}, signal chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-now:
			if !ok {
				return // no more signals; polls go on
			}
			select {
			case signal <- struct{}{}:
			default:
			}
		}
	}
}

// backoff returns the time until the next poll, after a number of failures in a row.
func backoff(interval time.Duration, failures int) time.Duration {
	limit := max(interval, MaxBackoff)
	for range failures {
		if interval >= limit/2 {
			return limit
		}
		interval *= 2
	}
	return interval
}

// jitter spreads a duration by ±10 %, so that many hosts do not ask one server at the same moment.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}
