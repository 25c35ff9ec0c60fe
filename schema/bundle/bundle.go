// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package bundle is the form in which compiled policy passes between the rooms: a set of files, each with its digest, and one
// digest over all of them. The compiler makes it, the reconciler compares and stores it, the enforcers read their part of it.
// It uses the standard library only.
//
// Paths in a bundle:
//
//	manifest.json            [Manifest]
//	rules/<workload>.json    [RuleTable]: what a rule ID means, for people
//	node/<workload>.json     a [schema.Workload] without positions and reasons: what a node puts in force
//	admission/<name>.yaml    objects for the Kubernetes API server
package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
)

// Format is the version of the layout that this package reads and writes.
const Format = 1

// Limits of a bundle. They bound what a reader takes from disk or from a peer.
const (
	MaxFile  = 64 << 20 // bytes in one file
	MaxFiles = 100_000
)

// ManifestName is the name of the manifest in a bundle's folder.
const ManifestName = "manifest.json"

// Folders of a bundle.
const (
	RulesDir     = "rules"
	NodeDir      = "node"
	AdmissionDir = "admission"
)

// ErrDamaged is wrapped by every error about a bundle that is truncated, altered or incomplete.
var ErrDamaged = errors.New("bundle is damaged")

// Envelope says where a bundle comes from. It stands outside the digest: another commit with the same policy is the same generation.
type Envelope struct {
	Commit  string    `json:"commit,omitempty"`  // hexadecimal; "" when compiled from a folder
	Author  string    `json:"author,omitempty"`  // "Name <address>" of the commit's author
	Time    time.Time `json:"time,omitzero"`     // of the commit's author, UTC
	Subject string    `json:"subject,omitempty"` // first line of the commit's message
}

// File names one file of a bundle.
type File struct {
	Path   string `json:"path"`   // slash-separated, relative, clean
	Size   int64  `json:"size"`   // bytes
	Digest string `json:"sha256"` // 64 hexadecimal digits
}

// Manifest lists a bundle.
type Manifest struct {
	Format   int      `json:"format"`
	Digest   string   `json:"digest"` // of the generation: see [Digest]
	Envelope Envelope `json:"envelope,omitzero"`
	Files    []File   `json:"files"` // sorted by path
}

// Bundle is a compiled policy. It is not changed once made and may be read concurrently.
type Bundle struct {
	Manifest Manifest
	Files    map[string][]byte // by path; the manifest is not among them
}

// RuleTable explains the IDs of one workload.
type RuleTable struct {
	Workload string       `json:"workload"`
	Owner    string       `json:"owner,omitempty"`
	Pos      []schema.Pos `json:"pos"`
	Entries  []RuleEntry  `json:"entries"` // sorted by ID
}

// RuleEntry is what an ID stands for: a rule, or the closing of a plane (Verb and Object are empty then).
type RuleEntry struct {
	ID      schema.RuleID `json:"id"`
	Plane   schema.Plane  `json:"plane"`
	Verb    schema.Verb   `json:"verb,omitempty"`
	Object  string        `json:"object,omitempty"`
	Parents []string      `json:"parents,omitempty"`
	Mode    schema.Mode   `json:"mode,omitempty"` // of a closure
	Why     string        `json:"why,omitempty"`
	Pos     []schema.Pos  `json:"pos"`
}

// New makes a bundle of files. It keeps the map.
func New(files map[string][]byte, env Envelope) *Bundle {
	b := &Bundle{Manifest: Manifest{Format: Format, Envelope: env, Files: []File{}}, Files: files}
	for _, p := range slices.Sorted(maps.Keys(files)) {
		b.Manifest.Files = append(b.Manifest.Files, File{Path: p, Size: int64(len(files[p])), Digest: Sum(files[p])})
	}
	b.Manifest.Digest = Digest(b.Manifest.Files)
	return b
}

// Sum returns the SHA-256 of data in hexadecimal digits.
func Sum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Digest returns the digest of a generation: the SHA-256 over a line "<sha256> <path>\n" for each file, sorted by path.
func Digest(files []File) string {
	var b bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&b, "%s %s\n", f.Digest, f.Path)
	}
	return Sum(b.Bytes())
}

// Check verifies that the manifest is well-formed and agrees with itself. Errors wrap [ErrDamaged].
func (m *Manifest) Check() error {
	if m.Format != Format {
		return fmt.Errorf("%w: %s has format %d; this version reads %d", ErrDamaged, ManifestName, m.Format, Format)
	}
	if len(m.Files) > MaxFiles {
		return fmt.Errorf("%w: %s lists %d files; at most %d are read", ErrDamaged, ManifestName, len(m.Files), MaxFiles)
	}
	for i, f := range m.Files {
		switch {
		case !fs.ValidPath(f.Path) || f.Path == ManifestName || path.Clean(f.Path) != f.Path:
			return fmt.Errorf("%w: %s lists %q, which is not a path in a bundle", ErrDamaged, ManifestName, f.Path)
		case f.Size < 0 || f.Size > MaxFile:
			return fmt.Errorf("%w: %s gives %q %d bytes; at most %d are read", ErrDamaged, ManifestName, f.Path, f.Size, MaxFile)
		case i > 0 && m.Files[i-1].Path >= f.Path:
			return fmt.Errorf("%w: %s is not sorted at %q", ErrDamaged, ManifestName, f.Path)
		}
	}
	if got := Digest(m.Files); got != m.Digest {
		return fmt.Errorf("%w: %s says digest %q, its files have %q", ErrDamaged, ManifestName, m.Digest, got)
	}
	return nil
}

// CheckFile verifies the content of one file.
func (f File) CheckFile(data []byte) error {
	if int64(len(data)) != f.Size {
		return fmt.Errorf("%w: %s has %d bytes; want %d", ErrDamaged, f.Path, len(data), f.Size)
	}
	if got := Sum(data); got != f.Digest {
		return fmt.Errorf("%w: %s has the digest %s; want %s", ErrDamaged, f.Path, got, f.Digest)
	}
	return nil
}

// EncodeManifest returns the bytes of manifest.json.
func (b *Bundle) EncodeManifest() []byte { return Encode(b.Manifest) }

// Encode returns the one JSON form of a value in a bundle: indented, with a final newline, HTML characters as they are.
func Encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("bundle: encode %T: %v", v, err)) // the types of this package always encode
	}
	return buf.Bytes()
}

// Read reads and verifies a bundle. Files that the manifest does not list are not read. Errors about content wrap [ErrDamaged].
func Read(fsys fs.FS) (*Bundle, error) {
	data, err := readFile(fsys, ManifestName, MaxFile)
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	b := &Bundle{Files: map[string][]byte{}}
	if err := json.Unmarshal(data, &b.Manifest); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, ManifestName, err)
	}
	if err := b.Manifest.Check(); err != nil {
		return nil, err
	}
	for _, f := range b.Manifest.Files {
		data, err := readFile(fsys, f.Path, f.Size)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s is missing", ErrDamaged, f.Path)
		} else if err != nil {
			return nil, fmt.Errorf("read bundle: %w", err)
		}
		if err := f.CheckFile(data); err != nil {
			return nil, err
		}
		b.Files[f.Path] = data
	}
	return b, nil
}

func readFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// RuleTables reads the rule tables, sorted by workload.
func (b *Bundle) RuleTables() ([]RuleTable, error) {
	var tables []RuleTable
	for _, f := range b.Manifest.Files {
		if !strings.HasPrefix(f.Path, RulesDir+"/") {
			continue
		}
		var t RuleTable
		if err := json.Unmarshal(b.Files[f.Path], &t); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, f.Path, err)
		}
		tables = append(tables, t)
	}
	return tables, nil
}
