// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/writ-sec/writ/schema/bundle"
)

// Names in the state directory.
const (
	generationName = "generation" // the last generation put in force: see writeGeneration
	journalName    = "journal.json"
	lockName       = "lock"
)

// stateHeader begins the file of a generation; the length of the manifest in bytes follows, then a newline.
const stateHeader = "writ-node generation 1 "

// maxJournal bounds the journal in bytes: 4,096 programs of a few names each take less than 4 MiB.
const maxJournal = 16 << 20

// errLocked is wrapped when another live process holds what this one wants.
var errLocked = errors.New("in use")

// store keeps on disk what must outlive the agent. One process holds a state directory at a time.
type store struct {
	dir  string
	lock *os.File
}

// journal is what helps to tell events apart after a restart. Losing it loses names, never enforcement.
type journal struct {
	Programs map[string][]string `json:"programs"` // program in hexadecimal digits -> workloads, sorted
	Told     map[string]uint64   `json:"told"`     // of the kernel's counts of lost events, by cause
}

func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w; give another with --state", err)
	}
	if err := checkOwn(dir); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("state directory %q: %w", dir, err)
	}
	return &store{dir: dir, lock: lock}, nil
}

// checkOwn holds that nobody else can write in the state directory: what stands there is put in force as root.
func checkOwn(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("state directory %q: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("state directory %q: want a directory, no link, that belongs to user %d and that nobody else can write; it belongs to user %d and has the mode %04o; give another with --state",
			dir, os.Geteuid(), st.Uid, st.Mode&0o7777)
	}
	return nil
}

// Close lets another process have the directory.
func (s *store) Close() error { return s.lock.Close() }

// lockFile takes a lock that ends with the process, whatever ends it.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := flock(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func flock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%w by another writ-node; ask that one (writ-node status), or end it first", errLocked)
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

// stage writes a generation beside the current one. Commit makes it the current one, Drop removes it.
func (s *store) stage(g generation) (*staged, error) {
	f, err := s.writeTemp(generationName, func(w io.Writer) error { return writeGeneration(w, g) }, true)
	if err != nil {
		return nil, fmt.Errorf("save the generation: %w", err)
	}
	return &staged{s, f}, nil
}

// staged is a generation on disk that is not the current one yet.
type staged struct {
	s    *store
	name string
}

// Commit makes it the one that the next start puts in force.
func (st *staged) Commit() error {
	if err := os.Rename(st.name, filepath.Join(st.s.dir, generationName)); err != nil {
		return fmt.Errorf("save the generation: %w", err)
	}
	return syncDir(st.s.dir)
}

// Drop removes it.
func (st *staged) Drop() error { return os.Remove(st.name) }

// writeGeneration writes the header, the manifest, and the bytes of the files under node/ in the manifest's order, which has
// their sizes and digests.
func writeGeneration(w io.Writer, g generation) error {
	manifest := bundle.Encode(g.manifest)
	byPath := map[string][]byte{}
	for _, l := range g.workloads {
		byPath[l.file.Path] = l.data
	}
	if _, err := fmt.Fprintf(w, "%s%d\n%s", stateHeader, len(manifest), manifest); err != nil {
		return err
	}
	for _, f := range g.manifest.Files {
		if data, ok := byPath[f.Path]; ok {
			if _, err := w.Write(data); err != nil {
				return err
			}
		}
	}
	return nil
}

// load reads and verifies the saved generation. It returns an error that wraps [fs.ErrNotExist] if none was saved, and
// [bundle.ErrDamaged] if it is not what was saved.
func (s *store) load() (generation, error) {
	f, err := os.Open(filepath.Join(s.dir, generationName))
	if err != nil {
		return generation{}, fmt.Errorf("read the saved generation: %w", err)
	}
	defer f.Close()
	g, err := readGeneration(bufio.NewReader(f))
	if err != nil {
		return generation{}, fmt.Errorf("saved generation %q: %w", f.Name(), err)
	}
	return g, nil
}

func readGeneration(r *bufio.Reader) (generation, error) {
	m, err := readManifest(r)
	if err != nil {
		return generation{}, err
	}
	files, err := nodeFiles(m)
	if err != nil {
		return generation{}, err
	}
	found := map[string][]byte{}
	for _, f := range files {
		data, err := readExactly(r, f.Size)
		if err != nil {
			return generation{}, fmt.Errorf("%w: %s: %w", bundle.ErrDamaged, f.Path, err)
		}
		if err := f.CheckFile(data); err != nil {
			return generation{}, err
		}
		found[f.Path] = data
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		return generation{}, fmt.Errorf("%w: it goes on after the last file", bundle.ErrDamaged)
	}
	g, _, err := newGeneration(m, generation{}, func(f bundle.File) []byte { return found[f.Path] })
	return g, err
}

func readManifest(r *bufio.Reader) (bundle.Manifest, error) {
	var m bundle.Manifest
	line, err := r.ReadSlice('\n')
	if err != nil {
		return m, fmt.Errorf("%w: no header: %w", bundle.ErrDamaged, err)
	}
	digits, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), stateHeader)
	size, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || size < 0 || size > bundle.MaxFile {
		return m, fmt.Errorf("%w: begins with %q; this version reads %q", bundle.ErrDamaged, line, stateHeader+"<bytes>")
	}
	data, err := readExactly(r, size)
	if err != nil {
		return m, fmt.Errorf("%w: manifest: %w", bundle.ErrDamaged, err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%w: manifest: %w", bundle.ErrDamaged, err)
	}
	return m, m.Check()
}

// readExactly takes memory only as bytes come, since size is not verified yet.
func readExactly(r io.Reader, size int64) ([]byte, error) {
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(r, size))
	if err == nil && n < size {
		err = fmt.Errorf("%d bytes are left of %d", n, size)
	}
	return buf.Bytes(), err
}

// clear removes the saved generation, so that the next start puts nothing in force.
func (s *store) clear() error {
	err := errors.Join(removeIfThere(filepath.Join(s.dir, generationName)), removeIfThere(filepath.Join(s.dir, journalName)))
	return errors.Join(err, syncDir(s.dir))
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *store) saveJournal(j journal) error {
	name, err := s.writeTemp(journalName, func(w io.Writer) error { return json.NewEncoder(w).Encode(j) }, false)
	if err == nil {
		err = os.Rename(name, filepath.Join(s.dir, journalName))
	}
	if err != nil {
		return fmt.Errorf("save the journal: %w", err)
	}
	return nil
}

// loadJournal returns an empty journal beside an error.
func (s *store) loadJournal() (journal, error) {
	j := journal{}
	f, err := os.Open(filepath.Join(s.dir, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return j.filled(), nil
	} else if err != nil {
		return j.filled(), fmt.Errorf("read the journal: %w", err)
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, maxJournal)).Decode(&j); err != nil {
		return journal{}.filled(), fmt.Errorf("journal %q is damaged: %w; events of before the start may miss their workloads", f.Name(), err)
	}
	return j.filled(), nil
}

func (j journal) filled() journal {
	if j.Programs == nil {
		j.Programs = map[string][]string{}
	}
	if j.Told == nil {
		j.Told = map[string]uint64{}
	}
	return j
}

// writeTemp writes a new file in the directory and returns its name. sync makes it survive a crash of the machine.
func (s *store) writeTemp(name string, write func(io.Writer) error, sync bool) (string, error) {
	f, err := os.CreateTemp(s.dir, "."+name+"-*")
	if err != nil {
		return "", err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	err = errors.Join(write(w), w.Flush())
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
