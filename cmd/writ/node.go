// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/writ-sec/writ/enforcer/node/wire"
	"github.com/writ-sec/writ/schema/bundle"
)

// nodeTarget puts bundles in force on this host.
type nodeTarget struct {
	client *wire.Client
	before func(*bundle.Bundle) error // called before a bundle is put in force
}

// Name implements reconciler.Target.
func (nodeTarget) Name() string { return "this host" }

// Current implements reconciler.Target.
func (t nodeTarget) Current(ctx context.Context) (string, error) {
	st, err := t.client.Status(ctx)
	return st.Generation, err
}

// Apply implements reconciler.Target.
func (t nodeTarget) Apply(ctx context.Context, b *bundle.Bundle) error {
	if err := t.before(b); err != nil {
		return err
	}
	_, err := t.client.Apply(ctx, b)
	return err
}

// nodeProcess is the root child.
type nodeProcess struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is reaped
	err   error         // of Wait; valid once ended is closed
}

// startNode starts writ-node on one end of a socket pair and returns the other. It must be called as root.
func startNode(args []string, stderr io.Writer) (*nodeProcess, *wire.Client, error) {
	path, err := findNode()
	if err != nil {
		return nil, nil, err
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("start writ-node: socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "writ"), os.NewFile(uintptr(fds[1]), "writ-node")
	defer ours.Close() // FileConn duplicates it
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, fmt.Errorf("start writ-node: %w", err)
	}
	cmd := exec.Command(path, append([]string{"run", "--fd", "3"}, args...)...)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = stderr
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt from the terminal is for writ up, which then closes the socket
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("start writ-node: %w", err)
	}
	p := &nodeProcess{cmd: cmd, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, wire.NewClient(conn), nil
}

// stop waits for the process to end after its socket is closed.
func (p *nodeProcess) stop() error {
	select {
	case <-p.ended:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("writ-node (pid %d) still runs 10 s after its socket was closed", p.cmd.Process.Pid)
	}
}

// findNode returns the writ-node beside this program, or in PATH.
func findNode() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "writ-node")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath("writ-node")
	if errors.Is(err, exec.ErrNotFound) {
		return "", hinted{errors.New("writ-node is neither beside writ nor in PATH"), "install it beside writ; make build makes both"}
	}
	return path, err
}
