// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/enforcer/node"
)

func newRun() *cobra.Command {
	var cfg node.Config
	fd := -1
	c := &cobra.Command{
		Use:   "run",
		Short: "Serve a socket and put in force what comes over it",
		Long: `run puts the saved generation in force, then serves writ over a unix socket until it is told to end.

What is in force stays in force when run ends, however it ends: programs and bindings are
pinned. A later run takes them over without a gap; writ-node unload removes them.

Each report of something that no rule allows, and each loss of such reports, is one line of
JSON on standard output: {"report": ...} or {"lost": ...}. Logs go to standard error.`,
		Example: `  sudo writ-node run
  sudo writ-node run --socket /run/writ-node.sock --allow-uid 1000
  sudo writ-node run --backend tracing --pin-dir /sys/fs/bpf/writ-test --state /tmp/writ-test`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("fd") {
				conn, err := inherited(fd)
				if err != nil {
					return err
				}
				cfg.Conn = conn
			}
			if cfg.FoldWindow < 0 {
				return fmt.Errorf("--fold-window %s is negative; want a duration such as 10s", cfg.FoldWindow)
			}
			cfg.Reports = c.OutOrStdout()
			cfg.Log = slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
			return node.Run(c.Context(), cfg)
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.Socket, "socket", node.DefaultSocket, "unix socket to serve, readable by root and --allow-uid alone")
	f.IntVar(&fd, "fd", -1, "serve this inherited socket instead, and end when the other side closes it")
	f.StringVar(&cfg.PinDir, "pin-dir", node.DefaultPinDir, "directory on a bpffs for what outlives this process; a bpffs is mounted if there is none")
	f.StringVar(&cfg.StateDir, "state", node.DefaultStateDir, "directory for the last generation")
	f.StringVar(&cfg.CgroupRoot, "cgroup-root", "", "where cgroup2 is mounted (default: found in /proc/self/mountinfo)")
	f.StringVar(&cfg.Backend, "backend", "", "lsm or tracing (default: the strongest that this kernel loads)")
	f.DurationVar(&cfg.FoldWindow, "fold-window", 10*time.Second, "how long a repeated behaviour is only counted")
	f.Uint32Var(&cfg.AllowUID, "allow-uid", 0, "a user besides root that may use the socket")
	c.MarkFlagsMutuallyExclusive("socket", "fd")
	c.MarkFlagsMutuallyExclusive("allow-uid", "fd")
	return c
}

// inherited takes over a connected socket that the parent process left open.
func inherited(fd int) (net.Conn, error) {
	if fd < 3 {
		return nil, fmt.Errorf("--fd %d is not an inherited socket; want 3 or more", fd)
	}
	f := os.NewFile(uintptr(fd), "parent")
	defer f.Close() // FileConn duplicates it
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("--fd %d is not a connected socket: %w", fd, err)
	}
	return conn, nil
}
