// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/writ-sec/writ/enforcer/bpf"
	"github.com/writ-sec/writ/schema"
)

// newReport says of a record what people and learning need: the workloads of its program, and the path of its cgroup.
func newReport(r bpf.Record, workloads []string, cgroup string) schema.Report {
	e := schema.Event{
		Subject: schema.Subject{Cgroup: cgroup},
		Verb:    schema.VerbExec,
		Object:  r.Object,
		Origin:  r.Origin,
		Parent:  r.Parent,
	}
	v := schema.Verdict{Action: r.Action, Reason: r.Reason, Rule: r.Rule, Workloads: workloads}
	return schema.Report{
		ID: schema.NewReportID(e, v), Event: e, Verdict: v,
		Count: max(r.Count, 1), First: r.First.UTC(), Last: r.Last.UTC(),
		PID: r.PID, PPID: r.PPID, UID: r.UID,
	}
}

// maxNames bounds how many cgroups and programs a registry remembers.
const maxNames = 8192

// registry remembers what the numbers in records stand for, also for a while after they are gone: a record may come a fold window
// late. It is safe for concurrent use. Numbers are never used again: cgroup ids grow, programs are hashes.
type registry struct {
	root string // directory where cgroup2 is mounted

	mu       sync.Mutex
	cgroups  map[uint64]string
	programs map[uint64][]string
}

func newRegistry(root string) *registry {
	return &registry{root: root, cgroups: map[uint64]string{}, programs: map[uint64][]string{}}
}

// noteCgroup remembers the path of a cgroup.
func (r *registry) noteCgroup(id uint64, path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bound(r.cgroups)
	r.cgroups[id] = path
}

// noteProgram remembers the workloads of a program.
func (r *registry) noteProgram(id uint64, workloads []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bound(r.programs)
	r.programs[id] = workloads
}

// bound makes room: any one goes, which is rare and costs a name.
func bound[V any](m map[uint64]V) {
	for id := range m {
		if len(m) < maxNames {
			return
		}
		delete(m, id)
	}
}

// workloads returns the names of the workloads of a program, or nil.
func (r *registry) workloads(program uint64) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.programs[program]
}

// cgroup returns the path of a cgroup. If it is gone and was never asked for, the path of the bound one above it is the nearest
// that is known.
func (r *registry) cgroup(id, bound uint64) string {
	r.mu.Lock()
	path, ok := r.cgroups[id]
	r.mu.Unlock()
	if ok {
		return path
	}
	if path, err := cgroupPath(r.root, id); err == nil {
		r.noteCgroup(id, path)
		return path
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cgroups[bound]
}

// cgroupPath asks the kernel for the directory of a cgroup id. A file handle of kernfs is the id itself: see FILEID_KERNFS in
// include/linux/exportfs.h and kernfs_encode_fh in fs/kernfs/mount.c.
func cgroupPath(root string, id uint64) (string, error) {
	const fileidKernfs = 0xfe
	mount, err := os.Open(root)
	if err != nil {
		return "", err
	}
	defer mount.Close()
	var raw [8]byte
	binary.NativeEndian.PutUint64(raw[:], id)
	fd, err := unix.OpenByHandleAt(int(mount.Fd()), unix.NewFileHandle(fileidKernfs, raw[:]), unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return "", err
	}
	path, ok := strings.CutPrefix(name, root)
	if !ok || strings.HasSuffix(name, " (deleted)") {
		return "", unix.ENOENT
	}
	if path == "" {
		path = "/"
	}
	return path, nil
}
