// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package bundle is the form in which compiled policy passes between the rooms: a set of files, each with its digest, and one
// digest over all of them. The compiler makes it, the reconciler compares and stores it, the enforcers read their part of it.
// It uses the standard library only.
//
// On disk, manifest.json names the files of a bundle, and the content of each stands in blobs/sha256 under its digest. The paths of
// the files:
//
//	rules/<workload>.json    [RuleTable]: what a rule ID means, for people
//	rules/_policy.json       [RuleTable]: the same of what no workload states: bounds, gates, exceptions and so on
//	node/<workload>.json     a [schema.Workload] without positions and reasons: what a node puts in force
//	policy/<kind>.json       bounds, gates, exceptions and so on, as package schema has them, without positions
//	admission/<name>.yaml    objects for the Kubernetes API server
//	admission/order.json     [Order]: in which order they are applied
//	network/<workload>.yaml  a NetworkPolicy, or a CiliumNetworkPolicy, for the Pods of a workload
//	network.json             [Withheld]: the planes for which there is none because of another workload
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
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
)

// Format is the version of the layout that this package reads and writes.
const Format = 2

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
	PolicyDir    = "policy"
	AdmissionDir = "admission"
	NetworkDir   = "network"
	BlobsDir     = "blobs/sha256" // of a bundle on disk: the content of every file, by digest
)

var digestRE = regexp.MustCompile("^[0-9a-f]{64}$")

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
	source   Source
}

// Source holds the content of a bundle's files, by path. Both methods may be called concurrently.
type Source interface {
	Open(path string) ([]byte, error)
	// Each calls f with the content of several files, in any order, perhaps concurrently, and stops at the first error.
	Each(paths []string, f func(path string, data []byte) error) error
}

// Open returns the content of a file that the manifest lists. The content may be made, or read, only now; an error says that it can't be.
func (b *Bundle) Open(path string) ([]byte, error) {
	data, err := b.source.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return data, nil
}

// Each calls f with the content of several files, in the order that is cheapest, perhaps concurrently, and stops at the first error.
func (b *Bundle) Each(paths []string, f func(path string, data []byte) error) error {
	return b.source.Each(paths, f)
}

// NetworkNotes is the path of [Withheld]. A bundle in which nothing is withheld has no such file.
const NetworkNotes = "network.json"

// Withheld says, by workload and plane, for which planes a policy of the network, which the workload alone would have, is not made, or is
// wider: another workload may select the same Pods.
type Withheld map[string]map[schema.Plane]Withholding

// Withholding is one entry of [Withheld].
type Withholding struct {
	For  string `json:"for"`            // the other workload
	Wide bool   `json:"wide,omitempty"` // it is made, without restricting names and requests
}

// PolicyTable is the path of the rule table of what no workload states. No workload has a name that begins with "_".
const PolicyTable = RulesDir + "/_policy.json"

// RuleTable explains the IDs of one workload, or, without one, those of the policy as a whole.
type RuleTable struct {
	Workload string       `json:"workload"`
	Owner    string       `json:"owner,omitempty"`
	Match    schema.Match `json:"match,omitzero"` // what the workload selects
	Pos      []schema.Pos `json:"pos"`
	Entries  []RuleEntry  `json:"entries"` // sorted by ID, then by position
}

// The kinds of what an entry stands for. An entry of a workload's table has none.
const (
	KindWorkload    = "workload"    // a workload itself; in no table
	KindBound       = "bound"       // a bound, and what it requires
	KindNever       = "never"       // what the bound of that name forbids
	KindOnly        = "only"        // what rules must stay within under the bound of that name; without a verb: all of the plane
	KindException   = "exception"   // an exception
	KindPatch       = "patch"       // what is forbidden while the exception of that name stands
	KindGate        = "gate"        // a gate
	KindAlternative = "alternative" // one way in which the gate of that name denies; Object is its name
	KindSigner      = "signer"
	KindRegistry    = "registry"
	KindResponse    = "response"
	KindNotify      = "notify"
	KindBenchmark   = "benchmark"
	KindCheck       = "check"
	KindCluster     = "cluster"
	KindFolder      = "folder"
	KindTest        = "test"
	KindAdmission   = "admission"
	KindBudget      = "budget"
	KindBuiltin     = "builtin" // what holds without a line of policy; in no table
)

// RuleEntry is what an ID stands for: a rule, or the closing of a plane (Verb and Object are empty then). In the table of the policy, Kind
// says what else it may be; most of those have no ID.
type RuleEntry struct {
	ID       schema.RuleID     `json:"id"`
	Kind     string            `json:"kind,omitempty"`
	Name     string            `json:"name,omitempty"` // of a bound, a gate and so on
	Plane    schema.Plane      `json:"plane"`
	Verb     schema.Verb       `json:"verb,omitempty"`
	Verbs    []schema.Verb     `json:"verbs,omitempty"` // of a closure: see [schema.Closure]
	Object   string            `json:"object,omitempty"`
	Parents  []string          `json:"parents,omitempty"`
	Peer     *schema.Peer      `json:"peer,omitempty"` // without what its workload selects
	HTTP     []schema.HTTPRule `json:"http,omitempty"`
	GRPC     []string          `json:"grpc,omitempty"`
	TLS      []string          `json:"tls,omitempty"`
	L4       bool              `json:"l4,omitempty"`
	Values   []string          `json:"values,omitempty"`
	Mode     schema.Mode       `json:"mode,omitempty"`  // of a closure or a bound
	Then     schema.Mode       `json:"then,omitempty"`  // the mode after After
	After    schema.Date       `json:"after,omitempty"` // of an exception the last day on which it stands
	Owner    string            `json:"owner,omitempty"` // in the table of the policy
	Match    *schema.Match     `json:"match,omitempty"` // of a bound
	Images   schema.Names      `json:"images,omitempty"`
	Requires schema.Names      `json:"requires,omitempty"` // of a bound: the fields of its require
	Text     string            `json:"text,omitempty"`     // in words what it says, where it is neither rule nor closure
	Why      string            `json:"why,omitempty"`
	Pos      []schema.Pos      `json:"pos"`
}

// Rule returns the rule that the entry stands for.
func (e *RuleEntry) Rule() schema.Rule {
	return schema.Rule{ID: e.ID, Plane: e.Plane, Verb: e.Verb, Object: e.Object, Parents: e.Parents, Peer: e.Peer, HTTP: e.HTTP, GRPC: e.GRPC,
		TLS: e.TLS, L4: e.L4, Values: e.Values, Why: e.Why, Pos: e.Pos}
}

// New makes a bundle of files. It keeps the map.
func New(files map[string][]byte, env Envelope) *Bundle {
	list := make([]File, 0, len(files))
	for p, data := range files {
		list = append(list, File{Path: p, Size: int64(len(data)), Digest: Sum(data)})
	}
	return NewLazy(list, inMemory(files), env)
}

// inMemory is a source that has everything at hand.
type inMemory map[string][]byte

func (m inMemory) Open(path string) ([]byte, error) {
	data, ok := m[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return data, nil
}

func (m inMemory) Each(paths []string, f func(path string, data []byte) error) error {
	for _, p := range paths {
		data, err := m.Open(p)
		if err == nil {
			err = f(p, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// NewLazy makes a bundle of files whose content is asked for later, if at all. It keeps the list, and sorts it.
func NewLazy(files []File, source Source, env Envelope) *Bundle {
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return &Bundle{Manifest: Manifest{Format: Format, Digest: Digest(files), Envelope: env, Files: files}, source: source}
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
		case !fs.ValidPath(f.Path) || f.Path == ManifestName || path.Clean(f.Path) != f.Path || !digestRE.MatchString(f.Digest):
			return fmt.Errorf("%w: %s lists %q, which is not a path in a bundle, or has no digest", ErrDamaged, ManifestName, f.Path)
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

// Encode returns the one JSON form of a value in a bundle: without white space but a final newline, HTML characters as they are.
func Encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
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
	var m Manifest
	files := map[string][]byte{}
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, ManifestName, err)
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	for _, f := range m.Files {
		data, err := readFile(fsys, BlobsDir+"/"+f.Digest, f.Size)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s is missing", ErrDamaged, f.Path)
		} else if err != nil {
			return nil, fmt.Errorf("read bundle: %w", err)
		}
		if err := f.CheckFile(data); err != nil {
			return nil, err
		}
		files[f.Path] = data
	}
	return New(files, m.Envelope), nil
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

// RuleTables reads the rule tables, sorted by path.
func (b *Bundle) RuleTables() ([]RuleTable, error) {
	var tables []RuleTable
	for _, f := range b.Manifest.Files {
		if !strings.HasPrefix(f.Path, RulesDir+"/") {
			continue
		}
		t, err := b.RuleTable(f.Path)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// Withheld reads what is withheld from the network, which may be nothing.
func (b *Bundle) Withheld() (Withheld, error) {
	w := Withheld{}
	if !slices.ContainsFunc(b.Manifest.Files, func(f File) bool { return f.Path == NetworkNotes }) {
		return w, nil
	}
	data, err := b.Open(NetworkNotes)
	if err != nil {
		return w, err
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return w, fmt.Errorf("%w: %s: %w", ErrDamaged, NetworkNotes, err)
	}
	return w, nil
}

// RuleTable reads one rule table.
func (b *Bundle) RuleTable(path string) (RuleTable, error) {
	var t RuleTable
	data, err := b.Open(path)
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(data, &t); err != nil {
		return t, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return t, nil
}
