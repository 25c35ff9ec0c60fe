// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed init.sh
var initScript []byte

// Program is one program to run in the guest, as root.
type Program struct {
	Name string   // in results and errors
	Args []string // Args[0] is its path in the guest
	Dir  string   // working directory; "" is "/"
	Env  []string // "KEY=value", beside PATH and HOME
}

// Config says what to boot and what to run there.
type Config struct {
	Kernel   string // path of a bzImage on the host
	Busybox  string // path of a static busybox on the host; "" is the one in PATH
	Files    []File
	Programs []Program
	Timeout  time.Duration     // for the whole guest; 0 is 5 minutes
	Memory   int               // MiB; 0 is 2048
	Output   func(line string) // gets each line that a program prints, as it comes; nil drops them
	Console  func(line string) // gets each line of the kernel's console; nil drops them
}

// Exit is how one program ended.
type Exit struct {
	Name   string
	Status int // as a shell tells it: 128 plus the number for a signal
	Took   time.Duration
}

// Result is what a guest that ran to its end has to say.
type Result struct {
	Release string        // the kernel's, such as "6.1.0-50-cloud-amd64"
	LSM     string        // /sys/kernel/security/lsm
	Exits   []Exit        // one per program, in order
	Boot    time.Duration // from the start of QEMU to the first program
}

// Run boots a guest, runs the programs one after the other and waits for its end. A program's failure is an [Exit], not an error; an
// error means that the guest could not be started, ended before its last program did, or ran into the time-out. Several may run at once.
func Run(ctx context.Context, c Config) (*Result, error) {
	dir, err := os.MkdirTemp("", "writ-vm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	g := newGuest(c.Programs, c.Output)
	initrd := filepath.Join(dir, "initrd")
	if err := c.writeInitrd(initrd, g.token); err != nil {
		return nil, fmt.Errorf("initramfs: %w", err)
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 5 * time.Minute
	}
	bounded, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("stopped after %v", timeout))
	defer cancel()
	tail := &tail{also: c.Console}
	err = c.boot(bounded, initrd, g.line, tail.line)
	if cause := context.Cause(bounded); cause != nil {
		err = cause
	}
	if g.done {
		return &g.result, nil
	}
	return nil, fmt.Errorf("guest of kernel %s: %w %s; the console ended with:\n%s", c.Kernel, orEnded(err), g.where(), tail)
}

// orEnded words the end of a guest that QEMU saw nothing wrong with: a panic, since the kernel reboots on one and QEMU then exits.
func orEnded(err error) error {
	if err == nil {
		return errors.New("ended")
	}
	return err
}

// writeInitrd writes the guest's root: busybox, /init, the script that runs the programs, and the files of the caller.
func (c Config) writeInitrd(name, token string) error {
	busybox := c.Busybox
	if busybox == "" {
		found, err := exec.LookPath("busybox")
		if err != nil {
			return fmt.Errorf("needs a static busybox (Debian: busybox-static): %w", err)
		}
		busybox = found
	}
	if err := checkStatic(busybox); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = writeArchive(f, append([]File{
		{Path: "/init", Mode: 0o755, Data: initScript},
		{Path: "/bin/busybox", Mode: 0o755, Host: busybox},
		{Path: "/test/run", Mode: 0o755, Data: script(token, c.Programs)},
	}, c.Files...))
	return errors.Join(err, f.Close())
}

// boot runs QEMU until it ends or ctx does, and hands over what comes out of its two serial lines.
func (c Config) boot(ctx context.Context, initrd string, output, console func(string)) error {
	// The kernel kills QEMU when the thread that started it ends, so that thread stays until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	programs, toHost, err := os.Pipe()
	if err != nil {
		return err
	}
	defer programs.Close()
	cmd := c.qemu(ctx, initrd)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	cmd.ExtraFiles = []*os.File{toHost}
	fromConsole, err := cmd.StdoutPipe()
	if err != nil {
		return errors.Join(err, toHost.Close())
	}
	cmd.Stderr = cmd.Stdout // QEMU's own complaints
	err = errors.Join(cmd.Start(), toHost.Close())
	if err != nil {
		return fmt.Errorf("needs qemu-system-x86_64 (Debian: qemu-system-x86): %w", err)
	}
	var readers sync.WaitGroup
	readers.Go(func() { eachLine(programs, output) })
	readers.Go(func() { eachLine(fromConsole, console) })
	readers.Wait()
	return cmd.Wait()
}

// qemu returns the command of the guest. ttyS0 is its standard output, ttyS1 its file descriptor 3.
func (c Config) qemu(ctx context.Context, initrd string) *exec.Cmd {
	memory := c.Memory
	if memory == 0 {
		memory = 2048
	}
	return exec.CommandContext(ctx, "qemu-system-x86_64",
		"-accel", "tcg,thread=multi", "-cpu", "max,-cx16", "-smp", "2", "-m", fmt.Sprint(memory),
		"-display", "none", "-nodefaults", "-no-reboot", "-nic", "none",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", "file,id=programs,path=/dev/fd/3", "-serial", "chardev:programs",
		"-kernel", c.Kernel, "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 mitigations=off lsm=lockdown,capability,landlock,yama,bpf")
}

// eachLine hands over the lines of r without their ends, until r ends. A line longer than 64 KiB comes in pieces.
func eachLine(r io.Reader, each func(string)) {
	lines := newLineReader(r)
	for {
		line, err := lines.next()
		if line != "" || err == nil {
			each(strings.TrimRight(line, "\r\n"))
		}
		if err != nil {
			return
		}
	}
}
