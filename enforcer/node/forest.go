// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/writ-sec/writ/enforcer/bpf"
	"github.com/writ-sec/writ/schema"
)

// Limits of the walk. What lies beyond is told in the status.
const (
	maxDirs     = 65_536 // directories of the hierarchy that are looked at
	maxWarnings = 64     // sentences kept about what could not be looked at
)

// forest is the part of the cgroup2 hierarchy that the workloads of one generation speak of, kept up to date by inotify. A directory is
// watched as long as a workload that does not select it yet could select one below it; once all that could do, nothing below can
// change, since who selects a cgroup selects all below it. It belongs to one goroutine.
type forest struct {
	root     string // directory where the hierarchy is mounted
	patterns []string
	top      *dir
	inotify  *os.File
	byWatch  map[int]*dir
	dirs     int
	limit    int      // of dirs
	warnings []string // what could not be looked at
	partial  bool     // something was left out that a later walk may find
}

// dir is one directory of the hierarchy.
type dir struct {
	parent   *dir
	path     string // below the root; "" for the root itself
	id       uint64 // cgroup id
	level    int    // the root's is 0
	set      []int  // indexes of the patterns that select it, sorted
	may      []int  // those that do not, but could select one below
	watch    int    // inotify's watch descriptor; -1: not watched
	children map[string]*dir
}

// selects reports whether more patterns select the directory than the one above it.
func (d *dir) selects() bool { return d.parent != nil && len(d.set) > len(d.parent.set) }

// rewalkEvery is how often the hierarchy is read again while a part of it can't be watched.
const rewalkEvery = 5 * time.Second

// newForest walks the hierarchy for a list of valid cgroup patterns. Close it after use.
func newForest(root string, patterns []string) (*forest, error) {
	return newForestOf(root, patterns, maxDirs)
}

func newForestOf(root string, patterns []string, limit int) (*forest, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch cgroups: inotify: %w; see fs.inotify.max_user_instances", err)
	}
	f := &forest{
		root: root, patterns: patterns, byWatch: map[int]*dir{}, limit: limit,
		inotify: os.NewFile(uintptr(fd), "inotify"),
	}
	id, err := inode(root)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cgroup root %q: %w; is cgroup2 mounted there?", root, err)
	}
	f.top = &dir{id: id, watch: -1}
	for i, p := range patterns {
		if couldLead(p, "") {
			f.top.may = append(f.top.may, i)
		}
	}
	f.walk(f.top)
	return f, nil
}

// Close ends the watches.
func (f *forest) Close() error { return f.inotify.Close() }

// walk watches a directory and everything below it that matters. The watch comes before the reading, so that whatever is made
// after it is told, and whatever was made before it is read.
func (f *forest) walk(d *dir) {
	if len(d.may) == 0 {
		return
	}
	if d.level >= bpf.MaxLevel {
		f.warn("cgroup %q is %d levels deep; what lies below is not looked at", d.path, d.level)
		return
	}
	const mask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW
	wd, err := f.addWatch(f.root+d.path, mask)
	switch {
	case errors.Is(err, unix.ENOENT):
		return // gone meanwhile; the watch above tells
	case errors.Is(err, unix.ENOSPC):
		f.lack("cgroup %q is not watched: fs.inotify.max_user_watches is used up, raise it; until then it is read every %s", d.path, rewalkEvery)
	case err != nil:
		f.lack("cgroup %q is not watched: %v; it is read every %s", d.path, err, rewalkEvery)
	default:
		d.watch = wd
		f.byWatch[wd] = d
	}
	entries, err := os.ReadDir(f.root + d.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f.lack("cgroup %q can't be read: %v", d.path, err)
	}
	for _, e := range entries {
		if e.IsDir() {
			f.examine(d, e.Name())
		}
	}
}

func (f *forest) addWatch(path string, mask uint32) (int, error) {
	wd := -1
	var err error
	raw, rerr := f.inotify.SyscallConn()
	if rerr != nil {
		return -1, rerr
	}
	rerr = raw.Control(func(fd uintptr) { wd, err = unix.InotifyAddWatch(int(fd), path, mask) })
	return wd, errors.Join(err, rerr)
}

// examine looks at one name below a directory, and brings what is known of it up to date, whatever was told of it: events come
// late, so the name may stand for another directory by now.
func (f *forest) examine(parent *dir, name string) {
	at := parent.path + "/" + name
	id, err := inode(f.root + at)
	old := parent.children[name]
	if old != nil && (err != nil || old.id != id) {
		f.drop(old)
		delete(parent.children, name)
		old = nil
	}
	if err != nil {
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			f.lack("cgroup %q can't be looked at: %v", at, err)
		}
		return
	}
	if old != nil {
		return
	}
	if f.dirs >= f.limit {
		f.lack("more than %d cgroups could be selected; those beyond are not looked at", f.limit)
		return
	}
	d := f.child(parent, at, id)
	if parent.children == nil {
		parent.children = map[string]*dir{}
	}
	parent.children[name] = d
	f.dirs++
	f.walk(d)
}

func (f *forest) child(parent *dir, path string, id uint64) *dir {
	d := &dir{parent: parent, path: path, id: id, level: parent.level + 1, set: parent.set, watch: -1}
	var more []int
	for _, i := range parent.may {
		switch {
		case schema.MatchPath(f.patterns[i], path):
			more = append(more, i)
		case couldLead(f.patterns[i], path):
			d.may = append(d.may, i)
		}
	}
	if len(more) > 0 {
		d.set = slices.Sorted(slices.Values(slices.Concat(parent.set, more)))
	}
	return d
}

// drop forgets a directory and all below it.
func (f *forest) drop(d *dir) {
	f.dirs--
	if d.watch >= 0 {
		delete(f.byWatch, d.watch)
		if raw, err := f.inotify.SyscallConn(); err == nil {
			// The kernel has removed the watch of a directory that is gone, and says EINVAL.
			_ = raw.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(d.watch)) })
		}
	}
	for _, c := range d.children {
		f.drop(c)
	}
}

// handle brings the forest up to date after events of its inotify. It returns false if events were lost: walk anew then.
func (f *forest) handle(events []inotifyEvent) bool {
	for _, e := range events {
		if e.mask&unix.IN_Q_OVERFLOW != 0 {
			return false
		}
		d := f.byWatch[e.watch]
		if d == nil {
			continue // of a directory dropped meanwhile
		}
		if e.mask&unix.IN_IGNORED != 0 {
			f.lostWatch(d)
			continue
		}
		if e.mask&unix.IN_ISDIR != 0 && e.name != "" {
			f.examine(d, e.name)
		}
	}
	return true
}

// lostWatch deals with a directory that is gone, or was unmounted. Its name may stand for a new one, on some file systems with the
// same inode number, whose making was told before.
func (f *forest) lostWatch(d *dir) {
	delete(f.byWatch, d.watch)
	d.watch = -1
	if d.parent == nil {
		f.lack("the cgroup2 hierarchy at %q was unmounted", f.root)
		return
	}
	name := path.Base(d.path)
	f.drop(d)
	delete(d.parent.children, name)
	f.examine(d.parent, name)
}

// selected returns the cgroups that must be bound, in no order: those that more patterns select than the one above them.
func (f *forest) selected() []*dir {
	var out []*dir
	var visit func(*dir)
	visit = func(d *dir) {
		if d.selects() {
			out = append(out, d)
		}
		for _, c := range d.children {
			visit(c)
		}
	}
	visit(f.top)
	return out
}

func (f *forest) warn(format string, args ...any) {
	w := fmt.Sprintf(format, args...)
	if len(f.warnings) < maxWarnings && !slices.Contains(f.warnings, w) {
		f.warnings = append(f.warnings, w)
	}
}

// lack warns of something that a later walk may find.
func (f *forest) lack(format string, args ...any) {
	f.partial = true
	f.warn(format, args...)
}
