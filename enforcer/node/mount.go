// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroupRootID is the inode number of the root of the cgroup2 hierarchy, and of nothing else in it: kernfs numbers from 1
// (kernfs_create_root in fs/kernfs/dir.c).
const cgroupRootID = 1

// mountPoint is one line of mountinfo, see proc_pid_mountinfo(5).
type mountPoint struct {
	root, dir, fstype, source string
}

// FindCgroupRoot returns the directory where the cgroup2 hierarchy is mounted. mountinfo is in the form of /proc/self/mountinfo.
func FindCgroupRoot(mountinfo io.Reader) (string, error) {
	mounts, err := parseMounts(mountinfo)
	if err != nil {
		return "", err
	}
	best := ""
	for _, m := range mounts {
		if m.fstype == "cgroup2" && m.root == "/" && (best == "" || len(m.dir) < len(best)) {
			best = m.dir
		}
	}
	if best == "" {
		return "", errors.New("no cgroup2 hierarchy is mounted here; mount one (mount -t cgroup2 none /sys/fs/cgroup) or say where it is with --cgroup-root")
	}
	return best, nil
}

// checkCgroupRoot holds that dir is the root of the whole cgroup2 hierarchy. The kernel counts levels from there, so what is seen
// from inside a cgroup namespace or from a subdirectory would bind the wrong cgroups.
func checkCgroupRoot(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("cgroup root %q: %w; want the directory where cgroup2 is mounted", dir, err)
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return fmt.Errorf("cgroup root %q is not on a cgroup2 file system; want the directory where cgroup2 is mounted", dir)
	}
	id, err := inode(dir)
	if err != nil {
		return fmt.Errorf("cgroup root %q: %w", dir, err)
	}
	if id != cgroupRootID {
		return fmt.Errorf("cgroup root %q is not the root of the hierarchy (its inode is %d; want %d); run writ-node in the host's cgroup namespace", dir, id, cgroupRootID)
	}
	return nil
}

// inode returns the inode number of a directory, which for a cgroup2 directory is its cgroup id.
func inode(dir string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return 0, unix.ENOTDIR
	}
	return st.Ino, nil
}

func parseMounts(r io.Reader) ([]mountPoint, error) {
	var mounts []mountPoint
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		// 31 23 0:28 / /sys/fs/cgroup rw,relatime shared:1 - tmpfs tmpfs rw: optional fields end at "-"
		front, back, ok := strings.Cut(s.Text(), " - ")
		f, b := strings.Fields(front), strings.Fields(back)
		if !ok || len(f) < 6 || len(b) < 2 {
			return nil, fmt.Errorf("read mounts: the line %q is not in the form of proc_pid_mountinfo(5)", s.Text())
		}
		mounts = append(mounts, mountPoint{root: unescapeMount(f[3]), dir: unescapeMount(f[4]), fstype: b[0], source: unescapeMount(b[1])})
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	return mounts, nil
}

// unescapeMount undoes mangle_path of fs/seq_file.c, which writes space, tab, newline and backslash as \ooo.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func ownMounts() ([]mountPoint, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w; is /proc mounted?", err)
	}
	defer f.Close()
	return parseMounts(f)
}

// pinSource is the source of the bpffs mounts that writ-node makes, by which it knows them again.
const pinSource = "writ-node"

// preloaded are the files that the kernel puts into each new bpffs (kernel/bpf/preload/bpf_preload_kern.c).
var preloaded = map[string]bool{"maps.debug": true, "progs.debug": true}

// preparePinDir makes sure that dir is a directory on a bpffs, and returns a sentence about what it mounted, if it did. Below
// /sys/fs/bpf the file system is mounted there, where everybody expects it; anywhere else at dir itself.
func preparePinDir(dir string) (string, error) {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || dir == "/" {
		return "", fmt.Errorf("pin directory %q is not an absolute, clean path; want one such as /sys/fs/bpf/writ", dir)
	}
	said := ""
	if on, err := onBPFFS(dir); err != nil {
		return "", err
	} else if !on {
		at := dir
		if strings.HasPrefix(dir, "/sys/fs/bpf/") {
			at = "/sys/fs/bpf"
		}
		if err := mountBPFFS(at); err != nil {
			return "", err
		}
		said = fmt.Sprintf("no bpffs at %s: mounted one", at)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return said, fmt.Errorf("pin directory: %w", err)
	}
	return said, nil
}

// onBPFFS reports whether dir, or what of it exists, is on a bpffs.
func onBPFFS(dir string) (bool, error) {
	for {
		var fs unix.Statfs_t
		err := unix.Statfs(dir, &fs)
		switch {
		case err == nil:
			return fs.Type == unix.BPF_FS_MAGIC, nil
		case errors.Is(err, unix.ENOENT) && dir != "/":
			dir = filepath.Dir(dir)
		default:
			return false, fmt.Errorf("pin directory %q: %w", dir, err)
		}
	}
}

func mountBPFFS(at string) error {
	if at != "/sys/fs/bpf" {
		if err := os.MkdirAll(at, 0o700); err != nil {
			return fmt.Errorf("pin directory: %w", err)
		}
		entries, err := os.ReadDir(at)
		if err != nil {
			return fmt.Errorf("pin directory: %w", err)
		}
		if len(entries) > 0 {
			return fmt.Errorf("pin directory %q is not on a bpffs and is not empty; give an empty directory or one on a bpffs with --pin-dir", at)
		}
	}
	err := unix.Mount(pinSource, at, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700")
	if err != nil {
		return fmt.Errorf("mount a bpffs at %q: %w; want root and a kernel with BPF, or a mounted one given with --pin-dir", at, err)
	}
	return nil
}

// releasePinDir undoes preparePinDir after everything was unloaded: it removes dir, and the mount if it was ours and is empty.
func releasePinDir(dir string) error {
	mounts, err := ownMounts()
	if err != nil {
		return err
	}
	at := ""
	for _, m := range mounts {
		if m.fstype == "bpf" && m.source == pinSource && (m.dir == dir || m.dir == "/sys/fs/bpf" && strings.HasPrefix(dir, "/sys/fs/bpf/")) {
			at = m.dir
		}
	}
	if at != dir {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the pin directory: %w", err)
		}
	}
	if at == "" {
		return nil
	}
	entries, err := os.ReadDir(at)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return !preloaded[e.Name()] }) {
		return nil // somebody else uses it by now
	}
	if err := unix.Unmount(at, 0); err != nil && !errors.Is(err, unix.EBUSY) { // EBUSY: somebody looks at it, which does no harm
		return fmt.Errorf("unmount the bpffs at %q: %w", at, err)
	}
	return nil
}
