// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func files(b *Bundle) fstest.MapFS {
	m := fstest.MapFS{ManifestName: {Data: b.EncodeManifest()}}
	for p, data := range b.Files {
		m[p] = &fstest.MapFile{Data: data}
	}
	return m
}

func sample() *Bundle {
	return New(map[string][]byte{"node/b.json": []byte("{}\n"), "node/a.json": []byte("[]\n")}, Envelope{Commit: "c0ffee"})
}

func TestRead(t *testing.T) {
	want := sample()
	got, err := Read(files(want))
	if err != nil {
		t.Fatal(err)
	}
	if got.Manifest.Digest != want.Manifest.Digest || string(got.Files["node/a.json"]) != "[]\n" || got.Manifest.Envelope.Commit != "c0ffee" {
		t.Errorf("Read = %+v; want %+v", got, want)
	}
	if again := New(want.Files, Envelope{Commit: "another"}); again.Manifest.Digest != want.Manifest.Digest {
		t.Error("the commit changes the digest of the generation")
	}
}

func TestReadDamaged(t *testing.T) {
	for name, damage := range map[string]func(fstest.MapFS){
		"truncated file":     func(m fstest.MapFS) { m["node/a.json"].Data = []byte("[") },
		"altered file":       func(m fstest.MapFS) { m["node/a.json"].Data = []byte("{}\n") },
		"longer file":        func(m fstest.MapFS) { m["node/a.json"].Data = []byte("[]\n\n") },
		"missing file":       func(m fstest.MapFS) { delete(m, "node/a.json") },
		"truncated manifest": func(m fstest.MapFS) { m[ManifestName].Data = m[ManifestName].Data[:40] },
		"empty manifest":     func(m fstest.MapFS) { m[ManifestName].Data = nil },
		"other format":       func(m fstest.MapFS) { edit(m, "\"format\": 1", "\"format\": 9") },
		"climbing path":      func(m fstest.MapFS) { edit(m, "node/a.json", "../a.json") },
		"manifest of itself": func(m fstest.MapFS) { edit(m, "node/a.json", ManifestName) },
		"not sorted":         func(m fstest.MapFS) { edit(m, "node/a.json", "node/c.json") },
		"size":               func(m fstest.MapFS) { edit(m, "\"size\": 3", "\"size\": -3") },
		"digest":             func(m fstest.MapFS) { edit(m, "\"digest\": \"", "\"digest\": \"0") },
	} {
		m := files(sample())
		damage(m)
		if _, err := Read(m); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v; want ErrDamaged", name, err)
		}
	}
	if _, err := Read(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no bundle: %v; want ErrNotExist", err)
	}
}

func edit(m fstest.MapFS, old, replacement string) {
	m[ManifestName].Data = []byte(strings.Replace(string(m[ManifestName].Data), old, replacement, 1))
}
