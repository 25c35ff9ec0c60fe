// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

func mustStore(t *testing.T, dir string) *store {
	t.Helper()
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func save(t *testing.T, s *store, g generation) {
	t.Helper()
	st, err := s.stage(g)
	if err == nil {
		err = st.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestStoreRoundTrip(t *testing.T) {
	s := mustStore(t, filepath.Join(t.TempDir(), "deep", "state"))
	if _, err := s.load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("load from an empty directory: %v", err)
	}
	g := mustGeneration(t, testBundle(testWorkload("a", "/a", schema.ModeEnforce, "/bin/a"), testWorkload("b", "/b", schema.ModeAudit)))
	save(t, s, g)
	got, err := s.load()
	if err != nil || !reflect.DeepEqual(got, g) {
		t.Fatalf("load: %v\ngot  %+v\nwant %+v", err, got, g)
	}
	empty := mustGeneration(t, testBundle())
	save(t, s, empty)
	if got, err := s.load(); err != nil || got.manifest.Digest != empty.manifest.Digest {
		t.Fatalf("load an empty generation: %v", err)
	}
	if err := s.clear(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("load after clear: %v", err)
	}
}

func TestStoreDropLeavesTheOld(t *testing.T) {
	dir := t.TempDir()
	s := mustStore(t, dir)
	g := mustGeneration(t, testBundle(testWorkload("a", "/a", schema.ModeEnforce)))
	save(t, s, g)
	st, err := s.stage(mustGeneration(t, testBundle()))
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Drop(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.load(); err != nil || got.manifest.Digest != g.manifest.Digest {
		t.Fatalf("load: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestStoreSeesEveryDamage cuts a saved generation at every length and flips each of its bytes.
func TestStoreSeesEveryDamage(t *testing.T) {
	var buf bytes.Buffer
	g := mustGeneration(t, testBundle(testWorkload("a", "/a", schema.ModeEnforce, "/bin/a")))
	if err := writeGeneration(&buf, g); err != nil {
		t.Fatal(err)
	}
	whole := buf.Bytes()
	read := func(data []byte) (generation, error) { return readGeneration(bufio.NewReader(bytes.NewReader(data))) }
	if _, err := read(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		if _, err := read(whole[:i]); !errors.Is(err, bundle.ErrDamaged) {
			t.Fatalf("cut at %d of %d: %v", i, len(whole), err)
		}
		flipped := bytes.Clone(whole)
		flipped[i] ^= 0x20
		got, err := read(flipped)
		if err == nil && !reflect.DeepEqual(got.workloads, g.workloads) {
			t.Fatalf("byte %d flipped gives another policy without an error", i) // the commit's name is not covered by the digest
		}
	}
	if _, err := read(append(bytes.Clone(whole), 'x')); !errors.Is(err, bundle.ErrDamaged) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestStoreIsLocked(t *testing.T) {
	dir := t.TempDir()
	s := mustStore(t, dir)
	if _, err := openStore(dir); !errors.Is(err, errLocked) {
		t.Fatalf("a second one: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustStore(t, dir)
}

func TestJournal(t *testing.T) {
	dir := t.TempDir()
	s := mustStore(t, dir)
	j, err := s.loadJournal()
	if err != nil || j.Programs == nil || j.Told == nil {
		t.Fatalf("an absent journal: %+v, %v", j, err)
	}
	j.Programs["ff"], j.Told["ring-buffer"] = []string{"a", "b"}, 3
	if err := s.saveJournal(j); err != nil {
		t.Fatal(err)
	}
	if got, err := s.loadJournal(); err != nil || !reflect.DeepEqual(got, j) {
		t.Fatalf("got %+v, %v; want %+v", got, err, j)
	}
	if err := os.WriteFile(filepath.Join(dir, journalName), []byte(`{"programs":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.loadJournal(); err == nil || got.Programs == nil {
		t.Errorf("a damaged journal: %+v, %v; want an empty one and an error", got, err)
	}
}

func FuzzReadGeneration(f *testing.F) {
	var buf bytes.Buffer
	b := testBundle(testWorkload("a", "/a", schema.ModeEnforce, "/bin/a"))
	g, _, err := newGeneration(b.Manifest, generation{}, from(b))
	if err == nil {
		err = writeGeneration(&buf, g)
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Add([]byte(stateHeader + "67108864\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := readGeneration(bufio.NewReader(bytes.NewReader(data)))
		if err == nil && g.manifest.Check() != nil {
			t.Fatal("accepted a manifest that does not hold")
		}
	})
}

// TestStateOfOthers holds that what others can write is not put in force.
func TestStateOfOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(link); err == nil || !strings.Contains(err.Error(), "no link") {
		t.Errorf("a link: %v", err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, 65534, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := openStore(dir); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
			t.Errorf("a directory of another user: %v", err)
		}
		if err := os.Chown(dir, 0, -1); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o770); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(dir); err == nil || !strings.Contains(err.Error(), "has the mode 0770") {
		t.Errorf("a directory that a group can write: %v", err)
	}
}
