// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

// look returns the cgroups that a forest binds and the patterns that select each, as "/a:0,2".
func look(f *forest) []string {
	var out []string
	for _, d := range f.selected() {
		out = append(out, fmt.Sprintf("%s:%s", d.path, strings.Trim(strings.ReplaceAll(fmt.Sprint(d.set), " ", ","), "[]")))
	}
	slices.Sort(out)
	return out
}

// follow hands events to a forest until it looks as wanted.
func follow(t *testing.T, f *forest, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for !slices.Equal(look(f), want) {
		select {
		case <-ctx.Done():
			t.Fatalf("the forest looks like %q, want %q", look(f), want)
		case events := <-f.read(t):
			if !f.handle(events) {
				t.Fatal("events were lost")
			}
		}
	}
}

// read gives one batch of events.
func (f *forest) read(t *testing.T) <-chan []inotifyEvent {
	out := make(chan []inotifyEvent, 1)
	_ = f.inotify.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 64<<10)
	n, err := f.inotify.Read(buf)
	if err != nil {
		t.Fatalf("no event came; the forest looks like %q: %v", look(f), err)
	}
	out <- parseInotify(buf[:n])
	return out
}

func mkdirs(t *testing.T, root string, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := os.MkdirAll(root+p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func plant(t *testing.T, root string, patterns ...string) *forest {
	t.Helper()
	f, err := newForest(root, patterns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestForestFollowsChanges(t *testing.T) {
	root := t.TempDir()
	mkdirs(t, root, "/shop/pay/c1", "/other")
	f := plant(t, root, "/shop/*", "/shop/pay/c2", "/late/**")
	follow(t, f, "/shop/pay:0")
	mkdirs(t, root, "/shop/pay/c2/deep", "/shop/web", "/late")
	follow(t, f, "/shop/pay/c2:0,1", "/shop/pay:0", "/shop/web:0")
	mkdirs(t, root, "/late/x/y/z")
	follow(t, f, "/late/x:2", "/shop/pay/c2:0,1", "/shop/pay:0", "/shop/web:0")
	if err := os.RemoveAll(root + "/shop"); err != nil {
		t.Fatal(err)
	}
	follow(t, f, "/late/x:2")
	mkdirs(t, root, "/shop/pay/c2")
	follow(t, f, "/late/x:2", "/shop/pay/c2:0,1", "/shop/pay:0")
	if len(f.warnings) > 0 {
		t.Errorf("warnings: %q", f.warnings)
	}
}

func TestForestSeesANewDirectoryOfTheSameName(t *testing.T) {
	root := t.TempDir()
	mkdirs(t, root, "/a")
	f := plant(t, root, "/a", "/a/b")
	before := f.selected()[0].id
	mkdirs(t, root, "/keep") // holds the name's old inode from being used again
	if err := os.Rename(root+"/a", root+"/keep/a"); err != nil {
		t.Fatal(err)
	}
	mkdirs(t, root, "/a/b")
	follow(t, f, "/a/b:0,1", "/a:0")
	for _, d := range f.selected() {
		if d.path == "/a" && d.id == before {
			t.Error("the forest holds the directory that is gone")
		}
	}
}

// TestForestWatchesOnlyWhatCanMatter holds the number of watches down: a hierarchy may have thousands of directories.
func TestForestWatchesOnlyWhatCanMatter(t *testing.T) {
	root := t.TempDir()
	mkdirs(t, root, "/a/b/c/d", "/system/x/y", "/user/x/y")
	f := plant(t, root, "/a/b", "/a/b/**")
	var watched []string
	for _, d := range f.byWatch {
		watched = append(watched, d.path)
	}
	slices.Sort(watched)
	if want := []string{"", "/a", "/a/b"}; !slices.Equal(watched, want) {
		t.Errorf("watched %q, want %q", watched, want)
	}
}

func TestForestLimits(t *testing.T) {
	t.Run("depth", func(t *testing.T) {
		root := t.TempDir()
		mkdirs(t, root, strings.Repeat("/d", 70))
		f := plant(t, root, "/**/x")
		if len(f.warnings) != 1 || !strings.Contains(f.warnings[0], "64 levels deep") {
			t.Errorf("warnings: %q", f.warnings)
		}
	})
	t.Run("count", func(t *testing.T) {
		root := t.TempDir()
		mkdirs(t, root, "/a", "/b", "/c")
		f, err := newForestOf(root, []string{"/*"}, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if len(f.selected()) != 2 || len(f.warnings) != 1 || !f.partial {
			t.Errorf("selected %q, warnings %q, partial %v", look(f), f.warnings, f.partial)
		}
	})
	t.Run("files and links are no cgroups", func(t *testing.T) {
		root := t.TempDir()
		mkdirs(t, root, "/a")
		if err := os.WriteFile(root+"/file", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(root+"/a", root+"/link"); err != nil {
			t.Fatal(err)
		}
		follow(t, plant(t, root, "/**"), "/a:0")
	})
	t.Run("no root", func(t *testing.T) {
		if _, err := newForest(filepath.Join(t.TempDir(), "none"), nil); err == nil || !strings.Contains(err.Error(), "is cgroup2 mounted there?") {
			t.Errorf("newForest: %v", err)
		}
	})
}

func TestForestTellsLostEvents(t *testing.T) {
	f := plant(t, t.TempDir(), "/*")
	if f.handle(parseInotify([]byte{0xff, 0xff, 0xff, 0xff, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})) {
		t.Error("IN_Q_OVERFLOW must lead to a new walk")
	}
}

// TestForestAgreesWithSelects makes random hierarchies while the forest watches, and compares with the meaning of match.
func TestForestAgreesWithSelects(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	names := []string{"a", "b", "ab"}
	segments := []string{"a", "b", "ab", "*", "a*", "**"}
	for range 40 {
		root := t.TempDir()
		var patterns []string
		for range 1 + r.IntN(4) {
			p := ""
			for range 1 + r.IntN(3) {
				p += "/" + segments[r.IntN(len(segments))]
			}
			patterns = append(patterns, p)
		}
		randomDirs(t, r, root, names)
		f := plant(t, root, patterns...)
		randomDirs(t, r, root, names)
		mkdirs(t, root, "/end")
		sync := plant(t, root, "/end2") // its own event comes after those of f were queued
		mkdirs(t, root, "/end2")
		follow(t, sync, "/end2:0")
		drain(t, f)
		compareForest(t, f, patterns)
	}
}

func randomDirs(t *testing.T, r *rand.Rand, root string, names []string) {
	t.Helper()
	for range 12 {
		p := root
		for range 1 + r.IntN(4) {
			p += "/" + names[r.IntN(len(names))]
		}
		if r.IntN(4) == 0 {
			if err := os.RemoveAll(p); err != nil {
				t.Fatal(err)
			}
		} else if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// drain hands over everything that is queued.
func drain(t *testing.T, f *forest) {
	t.Helper()
	buf := make([]byte, 64<<10)
	for {
		_ = f.inotify.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, err := f.inotify.Read(buf)
		if err != nil {
			return
		}
		f.handle(parseInotify(buf[:n]))
	}
}

func compareForest(t *testing.T, f *forest, patterns []string) {
	t.Helper()
	bound := map[string][]int{}
	for _, d := range f.selected() {
		bound[d.path] = d.set
	}
	err := filepath.WalkDir(f.root, func(p string, e os.DirEntry, err error) error {
		if err != nil || p == f.root {
			return err
		}
		cgroup := strings.TrimPrefix(p, f.root)
		var want, got []int
		for i, pattern := range patterns {
			if (schema.Match{Cgroup: pattern}).Selects(schema.Subject{Cgroup: cgroup}) {
				want = append(want, i)
			}
		}
		for c := cgroup; c != ""; c = c[:strings.LastIndexByte(c, '/')] { // the kernel's look-up: the nearest one bound
			if set, ok := bound[c]; ok {
				got = set
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("patterns %q: cgroup %s is under %v, want %v (bound: %v)", patterns, cgroup, got, want, slices.Sorted(maps.Keys(bound)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
