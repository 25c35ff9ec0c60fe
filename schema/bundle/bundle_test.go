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
	for _, f := range b.Manifest.Files {
		m[BlobsDir+"/"+f.Digest] = &fstest.MapFile{Data: content(b, f.Path)}
	}
	return m
}

func content(b *Bundle, path string) []byte {
	data, err := b.Open(path)
	if err != nil {
		panic(err)
	}
	return data
}

// blob finds the file that is damaged.
func blob(m fstest.MapFS) *fstest.MapFile { return m[blobPath()] }

func blobPath() string { return BlobsDir + "/" + Sum([]byte("[]\n")) }

func edited(path string) func(fstest.MapFS) {
	return func(m fstest.MapFS) { edit(m, "node/a.json", path) }
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
	if got.Manifest.Digest != want.Manifest.Digest || string(content(got, "node/a.json")) != "[]\n" || got.Manifest.Envelope.Commit != "c0ffee" {
		t.Errorf("Read = %+v; want %+v", got, want)
	}
	if again := NewLazy(want.Manifest.Files, nil, Envelope{Commit: "another"}); again.Manifest.Digest != want.Manifest.Digest {
		t.Error("the commit changes the digest of the generation")
	}
}

func TestReadDamaged(t *testing.T) {
	for name, damage := range map[string]func(fstest.MapFS){
		"truncated file":     func(m fstest.MapFS) { blob(m).Data = []byte("[") },
		"altered file":       func(m fstest.MapFS) { blob(m).Data = []byte("{}\n") },
		"longer file":        func(m fstest.MapFS) { blob(m).Data = []byte("[]\n\n") },
		"missing file":       func(m fstest.MapFS) { delete(m, blobPath()) },
		"truncated manifest": func(m fstest.MapFS) { m[ManifestName].Data = m[ManifestName].Data[:40] },
		"empty manifest":     func(m fstest.MapFS) { m[ManifestName].Data = nil },
		"other format":       func(m fstest.MapFS) { edit(m, "\"format\":2", "\"format\":9") },
		"climbing path":      edited("../a.json"),
		"manifest of itself": edited(ManifestName),
		"not sorted":         edited("node/c.json"),
		"size":               func(m fstest.MapFS) { edit(m, "\"size\":3", "\"size\":-3") },
		"a file's digest":    func(m fstest.MapFS) { edit(m, Sum([]byte("[]\n")), "../"+Sum([]byte("[]\n"))[3:]) },
		"digest":             func(m fstest.MapFS) { edit(m, "\"digest\":\"", "\"digest\":\"0") },
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
