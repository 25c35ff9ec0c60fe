// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/writ-sec/writ/schema"
)

// StoreConfig bounds a [Store]. The zero StoreConfig is useful.
type StoreConfig struct {
	MaxObservations int   // 0: 100,000
	MaxPerSet       int   // of one set of workloads, so that one container can't take the room of the others; 0: 20,000
	MaxBytes        int64 // of the file, roughly; 0: 64 MiB
}

func (c StoreConfig) withDefaults() StoreConfig {
	if c.MaxObservations == 0 {
		c.MaxObservations = 100_000
	}
	if c.MaxPerSet == 0 {
		c.MaxPerSet = 20_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	return c
}

// Snapshot is what a store holds at an instant.
type Snapshot struct {
	// Dropped is how many reports of new behaviours found no room. Known behaviours are always counted on.
	Dropped      uint64        `json:"dropped"`
	Observations []Observation `json:"observations"` // sorted by workloads, verb, object and ID
}

// Store folds reports into observations and keeps them in one file. One process writes it, any number read it with [Read]. Its methods
// are safe for concurrent use.
type Store struct {
	path   string
	cfg    StoreConfig
	lock   *os.File
	damage string

	saving sync.Mutex // held during Save, so that an older snapshot can't replace a newer one
	mu     sync.Mutex // guards what follows
	byID   map[string]*entry
	perSet map[string]int
	bytes  int64
	drops  uint64
	dirty  bool
}

// entry is an observation with its size in the file.
type entry struct {
	Observation
	size int64
}

// Open opens the store at a path, or begins an empty one that the first [Store.Save] writes. It holds path+".lock" until [Store.Close]; a
// second writer gets an error. A damaged file is moved aside, see [Store.Damage].
func Open(path string, cfg StoreConfig) (*Store, error) {
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, cfg: cfg.withDefaults(), lock: lock, byID: map[string]*entry{}, perSet: map[string]int{}}
	snap, err := readFile(path, s.cfg)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errDamaged):
		if err := s.moveAside(err); err != nil {
			lock.Close()
			return nil, err
		}
	case err != nil:
		lock.Close()
		return nil, fmt.Errorf("open evidence: %w", err)
	}
	s.drops = snap.Dropped
	for _, o := range snap.Observations {
		if !s.insert(o) { // the limits are lower now
			s.drops++
			s.dirty = true
		}
	}
	return s, nil
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock evidence: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock evidence: another process writes it (it holds %q); stop that one, or give this one another file", path)
		}
		return nil, fmt.Errorf("lock evidence: flock %q: %w", path, err)
	}
	return f, nil
}

// moveAside keeps a damaged file for a person to look at.
func (s *Store) moveAside(cause error) error {
	aside := fmt.Sprintf("%s.damaged-%s", s.path, time.Now().UTC().Format("20060102T150405.000000000Z"))
	if err := os.Rename(s.path, aside); err != nil {
		return fmt.Errorf("open evidence: %w, and it can't be moved aside: %w", cause, err)
	}
	s.damage = fmt.Sprintf("%v; it was moved to %q and evidence begins anew", cause, aside)
	return nil
}

// Damage says what was wrong with the file that Open found and where it is now; "" if nothing was.
func (s *Store) Damage() string { return s.damage }

// Add folds one report. Allowed events are no evidence of a missing rule and are left out. The error says why a report is not one; such a
// report changes nothing. A report for which there is no room is counted in [Store.Dropped].
func (s *Store) Add(r schema.Report) error {
	if r.Verdict.Action == schema.ActionAllow {
		return nil
	}
	o, err := observe(r)
	if err != nil {
		return fmt.Errorf("report %q %w", r.ID, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.byID[o.ID]; ok {
		s.dirty = old.fold(o) || s.dirty
		return nil
	}
	if !s.insert(o) {
		s.drops++
	}
	s.dirty = true
	return nil
}

// insert adds a new observation if there is room for it.
func (s *Store) insert(o Observation) bool {
	data, err := json.Marshal(o)
	size := int64(len(data)) + 64 // numbers may grow
	if err != nil || len(s.byID) >= s.cfg.MaxObservations || s.perSet[o.set()] >= s.cfg.MaxPerSet || s.bytes+size > s.cfg.MaxBytes {
		return false
	}
	s.byID[o.ID] = &entry{o, size}
	s.perSet[o.set()]++
	s.bytes += size
	return true
}

// Dropped returns how many reports of new behaviours found no room since the store was begun.
func (s *Store) Dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drops
}

// Snapshot returns a copy of what the store holds.
func (s *Store) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot()
}

func (s *Store) snapshot() Snapshot {
	snap := Snapshot{Dropped: s.drops, Observations: make([]Observation, 0, len(s.byID))}
	for _, e := range s.byID {
		snap.Observations = append(snap.Observations, e.Observation)
	}
	sortObservations(snap.Observations)
	return snap
}

func sortObservations(os []Observation) {
	slices.SortFunc(os, func(a, b Observation) int {
		for _, c := range []int{slices.Compare(a.Workloads, b.Workloads), strings.Compare(string(a.Verb), string(b.Verb)),
			strings.Compare(string(a.Object), string(b.Object))} {
			if c != 0 {
				return c
			}
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// Find returns the observation whose ID is id or begins with it, see [Find].
func (s *Store) Find(id string) (Observation, error) { return Find(s.Snapshot().Observations, id) }

// Settle forgets what the policy allows at an instant, which makes room, and returns how many observations that were. Denials under workloads
// that are gone are kept: a policy may be broken for a while.
func (s *Store) Settle(p *schema.Policy, at time.Time) int {
	j := newJudge(p, at)
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.byID)
	maps.DeleteFunc(s.byID, func(_ string, e *entry) bool {
		v, known := j.verdict(e.Observation)
		if !known || v.Action != schema.ActionAllow {
			return false
		}
		s.perSet[e.set()]--
		s.bytes -= e.size
		return true
	})
	s.dirty = s.dirty || len(s.byID) < before
	return before - len(s.byID)
}

// Save writes the file if anything changed: a reader sees the old or the new one, and so does a machine that lost power.
func (s *Store) Save() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	if !s.dirty {
		s.mu.Unlock()
		return nil
	}
	snap := s.snapshot()
	s.dirty = false
	s.mu.Unlock()
	if err := writeFile(s.path, snap); err != nil {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
		return fmt.Errorf("save evidence: %w", err)
	}
	return nil
}

// Close saves, and lets another process write.
func (s *Store) Close() error { return errors.Join(s.Save(), s.lock.Close()) }
