// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema/bundle"
)

// cacheFiles are the entries in a cache folder, with their content.
func cacheFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func writeFiles(t *testing.T, files map[string][]byte) {
	t.Helper()
	for path, data := range files {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamagedCache damages all entries of a cache at once, in many ways: what comes out is the same.
func TestDamagedCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	files := sampleRepository(4, 3)
	files["w0/more/more.cue"] = "package policy\n\nworkload: w0: exec: {if true {\"/bin/more\": {why: \"more\"}}}\n"
	tree := treeOf(files)
	want := outcome(t, New(Config{}), tree)
	if got := outcome(t, New(Config{Cache: dir}), tree); got != want {
		t.Fatalf("with a cache:\n%s\nwant\n%s", got, want)
	}
	good := cacheFiles(t, dir)
	names := slices.Sorted(maps.Keys(good))
	longest := 0
	for _, data := range good {
		longest = max(longest, len(data))
	}
	if len(names) < 6 {
		t.Fatalf("the cache has %d entries; want one for each folder and more", len(names))
	}
	if res, err := New(Config{Cache: dir}).Compile(t.Context(), tree, bundle.Envelope{}); err != nil || res.Evaluated != 0 {
		t.Fatalf("a second process evaluates %+v, %v; want nothing", res, err)
	}
	hold := func(how string, damage func(name string, data []byte) []byte) {
		t.Helper()
		damaged := map[string][]byte{}
		for name, data := range good {
			damaged[name] = damage(name, bytes.Clone(data))
		}
		writeFiles(t, damaged)
		if got := outcome(t, New(Config{Cache: dir}), tree); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", how, got, want)
		}
	}
	for at := 0; at < longest; at += 50 {
		hold(fmt.Sprint("byte ", at), func(_ string, data []byte) []byte {
			if at < len(data) {
				data[at] ^= 0xff
			}
			return data
		})
	}
	for at := 0; at < longest; at += 211 {
		hold(fmt.Sprint("cut at ", at), func(_ string, data []byte) []byte { return data[:min(at, len(data))] })
	}
	hold("another entry's bytes", func(name string, _ []byte) []byte { return good[names[(slices.Index(names, name)+1)%len(names)]] })
	hold("more bytes", func(_ string, data []byte) []byte { return append(data, data...) })
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if got := outcome(t, New(Config{Cache: dir}), tree); got != want {
			t.Errorf("without %s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// TestSharedCache compiles different edits at the same time in one cache folder, as two processes would.
func TestSharedCache(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			c := New(Config{Cache: dir, Parallel: 2})
			for edition := range 4 {
				files := sampleRepository(5, 3)
				files["w1/w.cue"] = strings.ReplaceAll(files["w1/w.cue"], "reason 1", fmt.Sprint("edition ", i, " ", edition%2))
				if got, want := outcome(t, c, treeOf(files)), outcome(t, New(Config{}), treeOf(files)); got != want {
					t.Errorf("compiler %d, edition %d: got\n%s\nwant\n%s", i, edition, got, want)
				}
			}
		})
	}
	wg.Wait()
}

// TestPruneCache holds the bound on a cache's size, and that what was used last stays.
func TestPruneCache(t *testing.T) {
	s := newStore(t.TempDir())
	var keys []digest
	for i := range 20 {
		key := contentKey("entry", fmt.Sprint(i))
		keys = append(keys, key)
		s.keep(key, []byte("head"), make([]byte, 1000))
		at := int64(1_700_000_000 + i)
		if err := os.Chtimes(s.path(key), time.Unix(at, 0), time.Unix(at, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if newStore(s.dir).head(keys[0]) == nil { // it is used again
		t.Fatal("an entry is not there")
	}
	prune(s.dir, 1<<30, 0)
	if n := len(cacheFiles(t, s.dir)); n != 20 {
		t.Errorf("%d entries are left below the limit; want all", n)
	}
	prune(s.dir, 15_000, 6_000)
	total := 0
	for _, data := range cacheFiles(t, s.dir) {
		total += len(data)
	}
	if total > 6_000 || total < 3_000 {
		t.Errorf("%d bytes are left; want at most 6000, and not much less", total)
	}
	if s = newStore(s.dir); s.head(keys[19]) == nil || s.head(keys[0]) == nil || s.head(keys[1]) != nil {
		t.Error("want the entry that was used last, the newest one, and not the oldest")
	}
}

// TestCacheOfAnotherBuild holds that what another build kept is not used.
func TestCacheOfAnotherBuild(t *testing.T) {
	dir := t.TempDir()
	tree := treeOf(sampleRepository(3, 2))
	old := New(Config{Cache: dir})
	old.version = "another build"
	want := outcome(t, old, tree)
	for i, evaluated := range []int{4, 0} {
		res, err := New(Config{Cache: dir}).Compile(t.Context(), tree, bundle.Envelope{})
		if err != nil || res.Evaluated != evaluated {
			t.Errorf("run %d evaluates %+v, %v; want %d folders", i, res, err, evaluated)
		}
	}
	if got := outcome(t, New(Config{Cache: dir}), tree); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
