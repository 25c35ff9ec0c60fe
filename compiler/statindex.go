// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// statIndex knows the files of a repository as they were when they were read before, as git's index does. A file whose inode, size and times
// are the same has the same content: to change it sets its ctime, which nobody sets back. Only times have a grain. So of files that
// changed shortly before they were read nothing is kept.
type statIndex struct {
	root   string
	store  *store
	key    digest
	known  map[string]statEntry
	before int64 // the file system's time when the reading began, in nanoseconds; 0: unknown, and nothing is kept

	mu   sync.Mutex
	seen map[string]fileStat
}

// statGrain is more than the grain of a file system's times, in nanoseconds: the kernel's tick is at most 10 ms.
const statGrain = 20e6

// fileStat identifies the state of a file.
type fileStat struct {
	_                  struct{} `cbor:",toarray"`
	Size, Mtime, Ctime int64
	Inode, Device      uint64
}

type statEntry struct {
	_    struct{} `cbor:",toarray"`
	Path string
	Stat fileStat
	Sum  digest
}

// openStatIndex reads what is known of the repository in a folder. Without a cache, or where a file's state can't be told, it knows nothing.
func openStatIndex(root, cache string) *statIndex {
	x := &statIndex{root: root, known: map[string]statEntry{}, seen: map[string]fileStat{}}
	abs, err := filepath.Abs(root)
	if cache == "" || err != nil {
		return x
	}
	x.store, x.key = newStore(cache), contentKey("stat index", buildVersion(), abs)
	x.before = x.now()
	var entries []statEntry
	if data := x.store.head(x.key); data != nil && cborNodes.Unmarshal(data, &entries) == nil {
		for _, e := range entries {
			x.known[e.Path] = e
		}
	}
	return x
}

// now is the time of the file system that the cache is on, which is the kernel's for all that are on this machine. Of others, a file that
// changed lately may be kept wrongly when their clock is behind; the difference would have to be more than the time since the change.
func (x *statIndex) now() int64 {
	if err := os.MkdirAll(x.store.dir, 0o700); err != nil {
		return 0
	}
	f, err := os.CreateTemp(x.store.dir, ".now-")
	if err != nil {
		return 0
	}
	defer os.Remove(f.Name())
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// find returns what is known of a file that did not change, or nil.
func (x *statIndex) find(name string) *keptFile {
	if x.before == 0 || strings.HasPrefix(name, moduleDir+"/") {
		return nil
	}
	info, err := os.Lstat(filepath.Join(x.root, filepath.FromSlash(name)))
	if err != nil {
		return nil
	}
	st, ok := statOf(info)
	if !ok || st.Ctime >= x.before-statGrain {
		return nil
	}
	x.mu.Lock()
	x.seen[name] = st
	e, known := x.known[name]
	x.mu.Unlock()
	if !known || e.Stat != st {
		return nil
	}
	return &keptFile{root: x.root, sum: e.Sum, size: st.Size}
}

// write keeps what was read, if it is more than was known. A file that changed while it was read is not kept: its state is not the one seen.
func (x *statIndex) write(t *Tree) {
	var entries []statEntry
	changed := false
	for i := range t.Files {
		f := &t.Files[i]
		st, seen := x.seen[f.Path]
		switch {
		case !seen:
		case f.kept != nil:
			entries = append(entries, statEntry{Path: f.Path, Stat: st, Sum: f.kept.sum})
		case len(f.Data) <= MaxFile && int64(len(f.Data)) == st.Size && utf8.Valid(f.Data):
			changed = true
			entries = append(entries, statEntry{Path: f.Path, Stat: st, Sum: sumOf(f.Path, f.Data)})
		}
	}
	if !changed {
		return
	}
	if data, err := cbor.Marshal(entries); err == nil {
		x.store.keep(x.key, data, nil)
	}
}
