// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package compiler

import (
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// selfPath is the running program, also when its file was replaced since.
func selfPath() (string, error) { return "/proc/self/exe", nil }

// fencedProcess lets the evaluator die with the compiler.
func fencedProcess() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// allowedCalls are the system calls that Go's runtime needs to compute, and to read and write what is open. There is none that opens, connects,
// executes or signals another process.
var allowedCalls = []uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_CLOSE, unix.SYS_FCNTL, unix.SYS_FSTAT,
	unix.SYS_FUTEX, unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_MPROTECT, unix.SYS_MINCORE, unix.SYS_BRK,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
	unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_PIPE2, unix.SYS_GETRANDOM,
	unix.SYS_GETRUSAGE, unix.SYS_PRCTL, unix.SYS_MEMBARRIER, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE,
}

// The layout of struct seccomp_data in include/uapi/linux/seccomp.h, and the architectures of include/uapi/linux/audit.h.
const (
	offsetCall = 0
	offsetArch = 4
	offsetArg0 = 16
)

// closeInherited closes what this process has open beside the three standard files: what whoever started the compiler left open to it, and so to
// this one.
func closeInherited() error {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("fence: open files: %w", err)
	}
	for _, f := range files {
		n, err := strconv.Atoi(f.Name())
		if err != nil || n <= 2 {
			continue
		}
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && !runtimeFile(to) {
			_ = unix.Close(n) // it is not written to
		}
	}
	return nil
}

// runtimeFile reports whether Go's runtime itself keeps a file open: to wait for others, and to know how many processors it may use.
func runtimeFile(to string) bool {
	return strings.HasPrefix(to, "anon_inode:") || strings.HasPrefix(to, "/sys/fs/cgroup/")
}

// raiseFence takes everything from this process but computing and the files that are open. It holds for all threads. What is not allowed fails
// with EPERM. tgkill stays for this process alone: Go's scheduler interrupts its own threads with it.
func raiseFence() error {
	if err := closeInherited(); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: evaluationMemory, Max: evaluationMemory}); err != nil {
		return fmt.Errorf("fence: limit memory: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("fence: forbid core dumps: %w", err)
	}
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	stmt := func(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }
	jump := func(k uint32, jt, jf uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: jt, Jf: jf, K: k}
	}
	load := func(offset uint32) unix.SockFilter { return stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset) }
	allow := stmt(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ALLOW)
	refuse := stmt(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM))
	filter := []unix.SockFilter{load(offsetArch), jump(arch, 1, 0), stmt(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_KILL_PROCESS), load(offsetCall)}
	for _, nr := range allowedCalls {
		filter = append(filter, jump(nr, 0, 1), allow)
	}
	filter = append(filter, jump(unix.SYS_TGKILL, 0, 3), load(offsetArg0), jump(uint32(os.Getpid()), 0, 1), allow, refuse)
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("fence: no new privileges: %w", err)
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("fence: seccomp: %w", errno)
	}
	return nil
}

// watch ends the process when an evaluation takes more than it may.
type watch struct {
	mu      sync.Mutex
	running bool
	before  time.Duration
}

// watchEvery is how often it looks. What is allocated in between is bounded by RLIMIT_DATA.
const watchEvery = 20 * time.Millisecond

// maxHeap is what values and stacks may take of evaluationMemory. Go's runtime needs the rest, and takes memory in pieces of 64 MiB.
const maxHeap = evaluationMemory - 2*(64<<20)

func newWatch() *watch {
	w := &watch{}
	go func() {
		for range time.Tick(watchEvery) {
			w.look()
		}
	}()
	return w
}

func (w *watch) look() {
	w.mu.Lock()
	running, before := w.running, w.before
	w.mu.Unlock()
	if !running {
		return
	}
	if processorTime()-before > evaluationCPU {
		os.Exit(exitCPU)
	}
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Uint64()+sample[1].Value.Uint64() > maxHeap {
		os.Exit(exitMemory)
	}
}

func (w *watch) begin() {
	runtime.GC() // so that the memory of the one before does not count
	w.mu.Lock()
	w.running, w.before = true, processorTime()
	w.mu.Unlock()
}

func (w *watch) end() {
	w.mu.Lock()
	w.running = false
	w.mu.Unlock()
}

func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		os.Exit(exitFence)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
