// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// storeLimit bounds the files of a cache folder in bytes, and pruneTo is what is left when it was passed.
const (
	storeLimit = 2 << 30
	pruneTo    = storeLimit / 2
)

// entryLimit bounds what is read of one entry in bytes.
const entryLimit = 1 << 30

type digest [sha256.Size]byte

// store keeps what was computed, by the digest of everything it was computed from: in a folder that several processes may share, or in
// memory. An entry has a head, which is read often, and a body. What is damaged is not there: it is computed anew. Losing any entry at any time
// costs time and nothing else, so errors of the disk are not errors of the compile.
//
// It may be used by several goroutines.
type store struct {
	dir string // "" keeps everything in memory
	mu  sync.Mutex
	mem map[digest]*memEntry
	put int // entries put since the last prune
	age int // of a run, for entries in memory

	heads map[digest][]byte // of entries in the folder, read or put in this run or the last
	alone int               // how many of them were read from files of their own
}

type memEntry struct {
	head, body []byte
	used       int
}

func newStore(dir string) *store {
	return &store{dir: dir, mem: map[digest]*memEntry{}, heads: map[digest][]byte{}}
}

// entryHeader begins a file: lengths of head and body, big endian, and their digests, each over key and content.
const entryHeader = 8 + 8 + 2*sha256.Size

func sealOf(key digest, part string, data []byte) digest {
	h := sha256.New()
	h.Write(key[:])
	h.Write([]byte(part))
	h.Write(data)
	return digest(h.Sum(nil))
}

func (s *store) path(key digest) string {
	name := hex.EncodeToString(key[:])
	return filepath.Join(s.dir, name[:2], name[2:])
}

// head returns the head of an entry, or nil.
func (s *store) head(key digest) []byte { return s.read(key, "head") }

// body returns the body of an entry, or nil.
func (s *store) body(key digest) []byte { return s.read(key, "body") }

func (s *store) read(key digest, part string) []byte {
	s.mu.Lock()
	if m := s.mem[key]; m != nil {
		m.used = s.age
		defer s.mu.Unlock()
		if part == "head" {
			return m.head
		}
		return m.body
	}
	if h := s.heads[key]; h != nil && part == "head" {
		s.mu.Unlock()
		return h
	}
	s.mu.Unlock()
	if s.dir == "" {
		return nil
	}
	f, err := os.Open(s.path(key))
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := readEntry(f, key, part)
	if err != nil {
		return nil
	}
	if part == "head" {
		touch(f)
		s.mu.Lock()
		s.heads[key], s.alone = data, s.alone+1
		s.mu.Unlock()
	}
	return data
}

func readEntry(f *os.File, key digest, part string) ([]byte, error) {
	var header [entryHeader]byte
	if _, err := io.ReadFull(f, header[:]); err != nil {
		return nil, err
	}
	headLen, bodyLen := binary.BigEndian.Uint64(header[:]), binary.BigEndian.Uint64(header[8:])
	if headLen > entryLimit || bodyLen > entryLimit {
		return nil, errors.New("damaged")
	}
	offset, n, want := int64(entryHeader), headLen, digest(header[16:16+sha256.Size])
	if part == "body" {
		offset, n, want = offset+int64(headLen), bodyLen, digest(header[16+sha256.Size:])
	}
	var buf bytes.Buffer
	if info, err := f.Stat(); err != nil || info.Size() < offset+int64(n) {
		return nil, errors.New("damaged")
	}
	buf.Grow(int(n))
	if _, err := io.Copy(&buf, io.NewSectionReader(f, offset, int64(n))); err != nil {
		return nil, err
	}
	if sealOf(key, part, buf.Bytes()) != want {
		return nil, errors.New("damaged")
	}
	return buf.Bytes(), nil
}

// use marks an entry as used without reading it.
func (s *store) use(key digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.mem[key]; m != nil {
		m.used = s.age
	}
}

// keep puts an entry.
func (s *store) keep(key digest, head, body []byte) {
	s.mu.Lock()
	s.put++
	if s.dir == "" {
		s.mem[key] = &memEntry{head, body, s.age}
	} else {
		s.heads[key], s.alone = head, s.alone+1
	}
	s.mu.Unlock()
	if s.dir == "" {
		return
	}
	header := binary.BigEndian.AppendUint64(nil, uint64(len(head)))
	header = binary.BigEndian.AppendUint64(header, uint64(len(body)))
	for _, part := range []struct {
		name string
		data []byte
	}{{"head", head}, {"body", body}} {
		seal := sealOf(key, part.name, part.data)
		header = append(header, seal[:]...)
	}
	_ = writeEntry(s.path(key), header, head, body) // see the type's comment
}

// manyAlone is how many heads a run must have read or put one by one for all of them to be written together: most runs read all that the one
// before did, and a thousand files take longer to open than to read.
const manyAlone = 64

// togetherKey is the entry that holds heads of others.
var togetherKey = contentKey("heads together")

// readTogether reads the heads of the run before, of whichever repository it was.
func (s *store) readTogether() {
	if s.dir == "" || len(s.heads) > 0 {
		return
	}
	var all []togetherHead
	if data := s.head(togetherKey); data != nil && cborNodes.Unmarshal(data, &all) == nil {
		for _, h := range all {
			s.heads[h.Key] = h.Head
		}
	}
	delete(s.heads, togetherKey)
	s.alone = 0
}

type togetherHead struct {
	_    struct{} `cbor:",toarray"`
	Key  digest
	Head []byte
}

// writeTogether keeps the heads that a run used, if many of them were not together.
func (s *store) writeTogether(used map[digest]bool) {
	s.mu.Lock()
	alone := s.alone
	var all []togetherHead
	for key, h := range s.heads {
		if used[key] {
			all = append(all, togetherHead{Key: key, Head: h})
		}
	}
	s.mu.Unlock()
	if s.dir == "" || alone < manyAlone {
		return
	}
	if data, err := cbor.Marshal(all); err == nil { // losing them costs time alone
		s.keep(togetherKey, data, nil)
		s.mu.Lock()
		delete(s.heads, togetherKey)
		s.alone = 0
		s.mu.Unlock()
	}
}

// writeEntry makes a file appear whole. It is not flushed: what a crash leaves of it is damaged, and so not there.
func writeEntry(name string, parts ...[]byte) error {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, ".new-")
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(dir, 0o700); err == nil {
			f, err = os.CreateTemp(dir, ".new-")
		}
	}
	if err != nil {
		return err
	}
	for _, p := range parts {
		if _, err = f.Write(p); err != nil {
			break
		}
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// begin starts a run: what is in memory and was used neither in it nor in the run before goes at its end.
func (s *store) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age++
}

// end bounds the store. A folder is looked through when much was put, and now and then.
func (s *store) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, m := range s.mem {
		if m.used < s.age-1 {
			delete(s.mem, key)
		}
	}
	if s.dir != "" && (s.put >= 64 || s.put > 0 && s.age%16 == 0) {
		prune(s.dir, storeLimit, pruneTo)
	}
	s.put = 0
}

// prune removes the files that were not used for longest, and what crashed writers left, if there is more than a limit.
func prune(dir string, limit, to int64) {
	type file struct {
		path string
		size int64
		used int64
	}
	var files []file
	var total int64
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // what cannot be seen cannot be removed
		}
		if info, err := d.Info(); err == nil {
			files = append(files, file{path, info.Size(), info.ModTime().UnixNano()})
			total += info.Size()
		}
		return nil
	})
	if total <= limit {
		return
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.used, b.used) })
	for _, f := range files {
		if total <= to {
			return
		}
		if os.Remove(f.path) == nil {
			total -= f.size
		}
	}
}

// contentKey returns the digest of its parts, each with its length before it.
func contentKey(parts ...any) digest {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = append(binary.BigEndian.AppendUint64(b, uint64(len(p))), p...)
		case []byte:
			b = append(binary.BigEndian.AppendUint64(b, uint64(len(p))), p...)
		case digest:
			b = append(b, p[:]...)
		default:
			panic(fmt.Sprintf("compiler: key of %T", p)) // the callers are ours
		}
	}
	return sha256.Sum256(b)
}
