// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/writ-sec/writ/schema/bundle"
)

func sampleBundle(n int) *bundle.Bundle {
	files := map[string][]byte{}
	for i := range 20 {
		files[fmt.Sprintf("rules/w%d.json", i)] = fmt.Appendf(nil, "{\"n\": %d, \"i\": %d}\n", n, i)
	}
	return bundle.New(files, bundle.Envelope{Commit: fmt.Sprint(n)})
}

func TestWriteFolder(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "deep", "bundle")
	for n := range 3 {
		if err := WriteFolder(dir, sampleBundle(n)); err != nil {
			t.Fatal(err)
		}
		got, err := bundle.Read(os.DirFS(dir))
		if err != nil || got.Manifest.Envelope.Commit != fmt.Sprint(n) {
			t.Fatalf("Read = %v, %v", got, err)
		}
	}
	before, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteFolder(dir, sampleBundle(2)); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(dir); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the same bundle was written again, %v", err)
	}
	blobs := filepath.Join(dir, filepath.FromSlash(bundle.BlobsDir))
	entries, err := os.ReadDir(blobs)
	if err != nil || len(entries) != 40 { // of this bundle, and of the one before
		t.Fatalf("%d blobs, %v; want 40", len(entries), err)
	}
	for _, e := range entries {
		if err := os.WriteFile(filepath.Join(blobs, e.Name()), nil, 0o644); err != nil { // truncated
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(blobs, temporary+"123"), []byte("x"), 0o644); err != nil { // left by a crash
		t.Fatal(err)
	}
	if err := WriteFolder(dir, sampleBundle(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Read(os.DirFS(dir)); err != nil {
		t.Errorf("a damaged bundle was not written anew: %v", err)
	}
	if entries, err := os.ReadDir(blobs); err != nil || len(entries) != 20 {
		t.Errorf("%d blobs, %v; want the 20 of the bundle", len(entries), err)
	}
}

func TestWriteFolderRefuses(t *testing.T) {
	for name, make := range map[string]func(dir string) error{
		"a user's file": func(dir string) error { return os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("mine"), 0o644) },
		"a folder of the same name": func(dir string) error {
			return os.MkdirAll(filepath.Join(dir, "rules"), 0o755)
		},
		"a bundle and a user's file": func(dir string) error {
			if err := WriteFolder(dir, sampleBundle(1)); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("mine"), 0o644)
		},
	} {
		dir := t.TempDir()
		if err := make(dir); err != nil {
			t.Fatal(err)
		}
		before := listing(t, dir)
		if err := WriteFolder(dir, sampleBundle(2)); err == nil || !strings.Contains(err.Error(), "want an empty folder or a bundle") {
			t.Errorf("%s: %v; want a refusal", name, err)
		}
		if after := listing(t, dir); after != before {
			t.Errorf("%s: the folder held %s and now %s", name, before, after)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteFolder(file, sampleBundle(1)); err == nil || !strings.Contains(err.Error(), "is not a folder") {
		t.Errorf("a file: %v; want a refusal", err)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// TestWriteFolderReaders opens the folder again and again while it is written: it is always there and whole.
func TestWriteFolderReaders(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := WriteFolder(dir, sampleBundle(0)); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	reads := 0
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			root, err := os.OpenRoot(dir) // one folder, whatever takes its name later
			if err != nil {
				t.Errorf("the folder is gone: %v", err)
				return
			}
			// The old folder is removed after the exchange, so a slow reader of it can miss files; it never sees a mixture.
			if b, err := bundle.Read(root.FS()); err == nil {
				reads++
				for _, f := range b.Manifest.Files {
					name := f.Path
					data, err := b.Open(name)
					if err != nil {
						t.Error(err)
					}
					if want := fmt.Sprintf("{\"n\": %s, ", b.Manifest.Envelope.Commit); !strings.HasPrefix(string(data), want) {
						t.Errorf("%s is %q; want %q", name, data, want)
					}
				}
			}
			root.Close()
		}
	})
	for n := range 15 {
		if err := WriteFolder(dir, sampleBundle(n)); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	if reads == 0 {
		t.Error("no read succeeded")
	}
}
