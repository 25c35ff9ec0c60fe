// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// version is set by the linker; see the Makefile.
var version = ""

// hurriedGC is the garbage collector's target (see GOGC), and enoughMemory is from where on, in bytes, it collects as often as it takes to stay
// there (see GOMEMLIMIT): the process ends soon, and most of what a review allocates is garbage right after it.
const (
	hurriedGC    = 400
	enoughMemory = 192 << 20
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Printf("writ-check %s\n", version)
		return
	}
	if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "writ-check: takes no arguments but --version; it is started by: writ check")
		os.Exit(2)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(hurriedGC)
		debug.SetMemoryLimit(enoughMemory)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "writ-check: %v\n", err)
		os.Exit(2)
	}
}

// serve answers requests until there are no more.
func serve(ctx context.Context, in io.Reader, out io.Writer) error {
	s, err := newServer(ctx, out)
	if err != nil {
		return err
	}
	return s.run(in)
}
