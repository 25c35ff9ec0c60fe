// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childEnv names the role that the test binary plays instead of running tests.
const childEnv = "WRIT_TEST_BPF_ROLE"

// deniedStatus is the exit status of a role whose exec was refused with EPERM.
const deniedStatus = 77

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		runtime.LockOSThread() // namespaces and roots belong to the thread
		err := roles[role](os.Args[1:])
		if errors.Is(err, unix.EPERM) {
			os.Exit(deniedStatus)
		}
		fmt.Fprintf(os.Stderr, "role %q: %v\n", role, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// roles end in an exec, or with an error.
var roles = map[string]func(args []string) error{
	"exec":    func(args []string) error { return unix.Exec(args[0], args, os.Environ()) },
	"memfd":   roleMemfd,
	"fd":      roleFD,
	"deleted": roleDeleted,
	"unshare": roleUnshare,
	"mount":   roleMount,
	"chroot":  roleChroot,
	"deep":    roleDeep,
	"thread":  roleThread,
	"runner":  roleRunner,

	"unprivileged": roleUnprivileged,
}

// execFD runs an open file, as fexecve(3) does.
func execFD(fd int) error {
	empty, argv, envp := []byte{0}, []*byte{nil}, []*byte{nil}
	_, _, errno := unix.Syscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&empty[0])), uintptr(unsafe.Pointer(&argv[0])),
		uintptr(unsafe.Pointer(&envp[0])), unix.AT_EMPTY_PATH, 0)
	return errno
}

func roleMemfd(args []string) error {
	data, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("writ", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, data); err != nil {
		return err
	}
	return execFD(fd)
}

func roleFD(args []string) error {
	fd, err := unix.Open(args[0], unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return execFD(fd)
}

func roleDeleted(args []string) error {
	fd, err := unix.Open(args[0], unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Unlink(args[0]); err != nil {
		return err
	}
	return execFD(fd)
}

// roleUnshare binds a folder onto another in a mount namespace of its own, and runs a program there.
func roleUnshare(args []string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %v", err)
	}
	return roleMount(args)
}

// roleMount binds args[0] onto args[1], "" for none, and runs args[2].
func roleMount(args []string) error {
	if args[0] != "" {
		if err := unix.Mount(args[0], args[1], "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind mount: %v", err)
		}
	}
	return unix.Exec(args[2], args[2:], os.Environ())
}

func roleChroot(args []string) error {
	if err := unix.Chroot(args[0]); err != nil {
		return fmt.Errorf("chroot: %v", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	return unix.Exec(args[1], args[1:], os.Environ())
}

// roleThread runs a program from a thread that is not the first of its process.
func roleThread(args []string) error {
	done := make(chan error)
	var run func()
	run = func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			go run() // on another thread: this one stays locked to a goroutine that waits
			select {}
		}
		done <- unix.Exec(args[0], args, os.Environ())
	}
	go run()
	return <-done
}

// roleDeep walks down args[0] by each of args[2:], and runs args[1] there: a path that is too long to be named at once.
func roleDeep(args []string) error {
	if err := unix.Chdir(args[0]); err != nil {
		return err
	}
	for _, dir := range args[2:] {
		if err := unix.Chdir(dir); err != nil {
			return err
		}
	}
	return unix.Exec("./"+args[1], args[1:2], os.Environ())
}

// roleRunner runs the programs that it is told on its standard input, one path a line, and answers each with a line "ran" or "denied".
func roleRunner([]string) error {
	in := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	devNull, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for in.Scan() {
		path := strings.TrimSuffix(in.Text(), "\n")
		if path == "" {
			if err := out.Flush(); err != nil {
				return err
			}
			continue
		}
		cmd := &exec.Cmd{Path: path, Args: []string{filepath.Base(path)}, Stdin: devNull, Stdout: devNull, Stderr: devNull, Env: []string{}}
		ran, err := verdictOf(cmd.Run())
		if err != nil {
			return err
		}
		fmt.Fprintln(out, map[bool]string{true: "ran", false: "denied"}[ran])
	}
	os.Exit(0)
	return nil
}

// roleUnprivileged opens the kernel side as nobody and checks what it is told.
func roleUnprivileged([]string) error {
	if err := unix.Setresuid(65534, 65534, 65534); err != nil {
		return fmt.Errorf("setresuid: %v", err)
	}
	_, err := Open(Config{PinDir: "/sys/fs/bpf/writ-test"})
	if !errors.Is(err, ErrPrivilege) {
		return fmt.Errorf("open: %v", err)
	}
	os.Exit(ranStatus)
	return nil
}
