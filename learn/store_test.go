// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

func openStore(t testing.TB, path string, cfg StoreConfig) *Store {
	t.Helper()
	s, err := Open(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func add(t testing.TB, s *Store, reports ...schema.Report) {
	t.Helper()
	for _, r := range reports {
		if err := s.Add(r); err != nil {
			t.Fatal(err)
		}
	}
}

// window returns the report r for another span of time.
func window(r schema.Report, from, to int, count uint64) schema.Report {
	r.First, r.Last, r.Count = noon.Add(time.Duration(from)*time.Second), noon.Add(time.Duration(to)*time.Second), count
	return r
}

func TestStoreFolds(t *testing.T) {
	r := report("w", schema.ActionAudit, "/a", "/sh")
	reports := []schema.Report{window(r, 0, 5, 3), window(r, 6, 9, 4), window(r, 10, 10, 1), report("w", schema.ActionAudit, "/b", "/sh"),
		report("w", schema.ActionDeny, "/a", "/sh"), report("v", schema.ActionAudit, "/a", "/sh"), report("w", schema.ActionAudit, "/a", "")}
	reports[1].Verdict.Reason, reports[1].Verdict.Rule = schema.ReasonParent, 7
	var first Snapshot
	for i := range 20 {
		rand.New(rand.NewPCG(uint64(i), 1)).Shuffle(len(reports), func(i, j int) { reports[i], reports[j] = reports[j], reports[i] })
		s := openStore(t, filepath.Join(t.TempDir(), "s"), StoreConfig{})
		add(t, s, reports...)
		add(t, s, window(r, 10, 10, 1)) // what was sent last, once more
		got := s.Snapshot()
		if i == 0 {
			first = got
		} else if !reflect.DeepEqual(got, first) {
			t.Fatalf("another order gives\n%+v\nwant\n%+v", got, first)
		}
	}
	if len(first.Observations) != 5 {
		t.Fatalf("%d observations; want 5", len(first.Observations))
	}
	o, err := Find(first.Observations, r.ID)
	if err != nil || o.Count != 8 || !o.First.Equal(noon) || !o.Last.Equal(noon.Add(10*time.Second)) || o.Reason != schema.ReasonNoRule {
		t.Errorf("folded to %+v, %v; want 8 from noon to 10 s later, no-rule", o, err)
	}
}

func TestStoreRefuses(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "s"), StoreConfig{})
	for name, change := range map[string]func(*schema.Report){
		"another ID":         func(r *schema.Report) { r.ID = "0123456789abcdef" },
		"no ID":              func(r *schema.Report) { r.ID = "" },
		"no workload":        func(r *schema.Report) { r.Verdict.Workloads = nil },
		"unsorted workloads": func(r *schema.Report) { r.Verdict.Workloads = []string{"b", "a"} },
		"unknown verb":       func(r *schema.Report) { r.Verb = "fly" },
		"unknown action":     func(r *schema.Report) { r.Verdict.Action = "wave" },
		"no count":           func(r *schema.Report) { r.Count = 0 },
		"zero time":          func(r *schema.Report) { r.First = time.Time{} },
		"times exchanged":    func(r *schema.Report) { r.First = noon.Add(time.Second) },
		"year 10000":         func(r *schema.Report) { r.Last = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"long path":          func(r *schema.Report) { r.Object = schema.Path("/" + strings.Repeat("a", 5000)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := report("w", schema.ActionAudit, "/a", "/sh")
			change(&r)
			if name != "another ID" && name != "no ID" {
				r.ID = schema.NewReportID(r.Event, r.Verdict)
			}
			if err := s.Add(r); err == nil {
				t.Error("was taken")
			}
		})
	}
	if got := s.Snapshot(); len(got.Observations) != 0 || got.Dropped != 0 {
		t.Errorf("store holds %+v", got)
	}
	allowed := report("w", schema.ActionAllow, "/a", "/sh")
	if err := s.Add(allowed); err != nil || len(s.Snapshot().Observations) != 0 {
		t.Errorf("an allowed event: %v, %v; want nothing", err, s.Snapshot())
	}
}

func TestStoreBounds(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "s"), StoreConfig{MaxObservations: 6, MaxPerSet: 4})
	for i := range 10 {
		add(t, s, report("flood", schema.ActionLearn, fmt.Sprintf("/tmp/%d", i), ""))
	}
	add(t, s, report("quiet", schema.ActionLearn, "/a", ""))
	add(t, s, window(report("flood", schema.ActionLearn, "/tmp/1", ""), 1, 2, 5)) // known ones are counted on
	got := s.Snapshot()
	if len(got.Observations) != 5 || s.Dropped() != 6 {
		t.Errorf("%d observations, %d dropped; want 5 and 6", len(got.Observations), s.Dropped())
	}
	if o, err := s.Find(report("flood", schema.ActionLearn, "/tmp/1", "").ID); err != nil || o.Count != 6 {
		t.Errorf("a known behaviour is %+v, %v; want a count of 6", o, err)
	}
	small := openStore(t, filepath.Join(t.TempDir(), "s"), StoreConfig{MaxBytes: 4096})
	for i := range 100 {
		add(t, small, report("w", schema.ActionLearn, fmt.Sprintf("/%d", i), ""))
	}
	var b bytes.Buffer
	if err := encodeStore(&b, small.Snapshot()); err != nil || b.Len() > 4096+1024 || small.Dropped() == 0 {
		t.Errorf("%d bytes, %d dropped, %v; want at most about 4096", b.Len(), small.Dropped(), err)
	}
}

func TestStoreSavesAndLoads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evidence.json")
	if _, err := Read(path, StoreConfig{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read before the first Save: %v; want %v", err, fs.ErrNotExist)
	}
	s := openStore(t, path, StoreConfig{})
	odd := report("w", schema.ActionAudit, "/bad\xff\x00\n\u202e\"", "/sh")
	add(t, s, report("w", schema.ActionAudit, "/a", "/sh"), odd)
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	want := s.Snapshot()
	if got, err := Read(path, StoreConfig{}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Read = %+v, %v; want %+v", got, err, want)
	}
	if _, err := Open(path, StoreConfig{}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second writer: %v; want an error that says so", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, path, StoreConfig{})
	add(t, again, window(report("w", schema.ActionAudit, "/a", "/sh"), 0, 0, 1)) // a repetition over a restart
	if got := again.Snapshot(); !reflect.DeepEqual(got, want) || again.Damage() != "" {
		t.Errorf("after a restart: %+v; want %+v", got, want)
	}
	left, _ := filepath.Glob(path + ".*")
	if len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
}

func TestStoreDamaged(t *testing.T) {
	good := func() string {
		s := Snapshot{Observations: observed(t, report("w", schema.ActionAudit, "/a", "/sh"))}
		var b bytes.Buffer
		if err := encodeStore(&b, s); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}()
	for name, text := range map[string]string{
		"empty":       "",
		"truncated":   good[:len(good)/2],
		"no end":      good[:len(good)-3],
		"more":        good + "{}",
		"format":      strings.Replace(good, `"format":1`, `"format":2`, 1),
		"field":       strings.Replace(good, `"verb"`, `"vreb"`, 1),
		"content":     strings.Replace(good, `"/a"`, `"/b"`, 1),
		"count":       strings.Replace(good, `"count":1`, `"count":0`, 1),
		"binary":      "\x00\x01\x02",
		"twice":       strings.Replace(good, "]}", ","+good[strings.Index(good, "\n"):], 1),
		"not a store": `{"format":1,"dropped":0,"observations":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			writeTestFile(t, path, []byte(text))
			if _, err := Read(path, StoreConfig{}); err == nil {
				t.Error("Read took it")
			}
			s := openStore(t, path, StoreConfig{})
			aside, _ := filepath.Glob(path + ".damaged-*")
			if len(aside) != 1 || !strings.Contains(s.Damage(), aside[0]) {
				t.Fatalf("moved to %q, told %q", aside, s.Damage())
			}
			if data, err := os.ReadFile(aside[0]); err != nil || string(data) != text {
				t.Errorf("kept %q, %v", data, err)
			}
			add(t, s, report("w", schema.ActionAudit, "/a", "/sh"))
			if err := s.Save(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStoreUnreadableIsNotDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, StoreConfig{}); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the folder was moved: %v", err)
	}
}

// TestStoreConcurrent reads the file while it is saved: a reader sees a whole one.
func TestStoreConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := openStore(t, path, StoreConfig{})
	add(t, s, report("w", schema.ActionLearn, "/first", ""))
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for w := range 3 {
		writers.Go(func() {
			for i := range 40 {
				add(t, s, report("w", schema.ActionLearn, fmt.Sprintf("/%d/%d", w, i), ""))
				if err := s.Save(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	readers.Go(func() {
		for last := 0; ; {
			snap, err := Read(path, StoreConfig{})
			if err != nil || len(snap.Observations) < last {
				t.Errorf("read %d observations after %d, %v", len(snap.Observations), last, err)
				return
			}
			last = len(snap.Observations)
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	writers.Wait()
	close(stop)
	readers.Wait()
	if snap, err := Read(path, StoreConfig{}); err != nil || len(snap.Observations) != 121 {
		t.Errorf("%d observations in the file, %v; want 121", len(snap.Observations), err)
	}
}

func TestStoreSettles(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "s"), StoreConfig{})
	add(t, s, report("w", schema.ActionLearn, "/a", ""), report("w", schema.ActionLearn, "/b", ""), report("gone", schema.ActionLearn, "/a", ""))
	p := policyOf(t, repoOf(map[string]string{"w.cue": "package policy\n\nworkload: w: {\n\tmatch: namespace: \"w\"\n\texec: \"/a\": {}\n}\n"}))
	if n := s.Settle(p, noon); n != 1 || len(s.Snapshot().Observations) != 2 {
		t.Errorf("settled %d, left %+v; want 1 and 2", n, s.Snapshot().Observations)
	}
}

func TestFind(t *testing.T) {
	var reports []schema.Report
	for i := range 40 {
		reports = append(reports, report("w", schema.ActionLearn, fmt.Sprintf("/prog\x1b[31m%d", i), ""))
	}
	os := observed(t, reports...)
	if o, err := Find(os, os[3].ID); err != nil || o.ID != os[3].ID {
		t.Errorf("by ID: %+v, %v", o, err)
	}
	if o, err := Find(os, os[3].ID[:12]); err != nil || o.ID != os[3].ID {
		t.Errorf("by prefix: %+v, %v", o, err)
	}
	for _, id := range []string{"", "xyz", "0000000000000000", os[0].ID + "0", os[0].ID[:1], strings.ToUpper(os[0].ID)} {
		if o, err := Find(os, id); err == nil && len(id) > 1 {
			t.Errorf("Find(%q) = %+v", id, o)
		} else if err != nil && strings.ContainsAny(err.Error(), "\x1b\x00") {
			t.Errorf("Find(%q) passes escapes on: %q", id, err)
		}
	}
	_, err := Find(os, "0000000000000000")
	if err == nil || !strings.Contains(err.Error(), `\x1b[31m`) {
		t.Errorf("candidates are missing: %v", err)
	}
}

func FuzzDecodeStore(f *testing.F) {
	var b bytes.Buffer
	snap := Snapshot{Dropped: 3, Observations: observed(f, report("w", schema.ActionAudit, "/a\xff", "/sh"), report("w", schema.ActionDeny, "/b", ""))}
	if err := encodeStore(&b, snap); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"format":1,"dropped":0,"observations":[]}`))
	f.Add([]byte(`{"format":1,"dropped":0,"observations":[{}]}`))
	f.Add(bytes.Repeat([]byte("["), 100))
	cfg := StoreConfig{MaxObservations: 4, MaxBytes: 1 << 16}.withDefaults()
	f.Fuzz(func(t *testing.T, data []byte) {
		snap, err := decodeStore(bytes.NewReader(data), cfg)
		if err != nil {
			return
		}
		if len(snap.Observations) > cfg.MaxObservations {
			t.Fatalf("%d observations", len(snap.Observations))
		}
		var once bytes.Buffer
		if err := encodeStore(&once, snap); err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		again, err := decodeStore(&once, StoreConfig{}.withDefaults())
		if err != nil || !reflect.DeepEqual(again, snap) {
			t.Fatalf("read %+v, then %+v, %v", snap, again, err)
		}
	})
}
