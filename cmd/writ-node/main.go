// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker; see the Makefile.
var version = ""

const (
	exitDone    = 0 // the work is done
	exitNotDone = 2 // the work could not be done: usage, privileges, the kernel, files
)

// The agent's memory is small and steady: collect early rather than let the heap double. The variables of the Go runtime win.
const (
	gcPercent   = 40
	memoryLimit = 28 << 20 // bytes, of the Go runtime alone; a limit that slows the agent when passed, and does not end it
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	signal.Ignore(syscall.SIGPIPE) // who reads the reports may end before us
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "writ-node: %v\n", err)
		return exitNotDone
	}
	return exitDone
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "writ-node",
		Short: "Put compiled policy in force in this host's kernel",
		Long: `writ-node puts compiled policy in force in this host's kernel and reports what it stops.

writ up starts it; run it alone where a generation comes from elsewhere.

Exit codes: 0 done; 2 the work could not be done.`,
		Example: `  sudo writ-node probe
  sudo writ-node run --socket /run/writ-node.sock
  sudo writ-node status`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.AddCommand(newRun(), newProbe(), newStatus(), newUnload(), newVersion())
	return root
}

// outputFlag is the flag -o of every command that has output to read.
type outputFlag string

func (o *outputFlag) String() string { return string(*o) }
func (o *outputFlag) Type() string   { return "text|json" }

// Set implements pflag.Value.
func (o *outputFlag) Set(s string) error {
	if s != "text" && s != "json" {
		return fmt.Errorf("%q is not an output form; want text or json", s)
	}
	*o = outputFlag(s)
	return nil
}

func (o *outputFlag) register(c *cobra.Command) {
	*o = "text"
	c.Flags().VarP(o, "output", "o", "output form")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// print writes v as JSON on one line, or has text write it.
func (o outputFlag) print(w io.Writer, v any, text func(io.Writer) error) error {
	if o != "json" {
		return text(w)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func newVersion() *cobra.Command {
	var out outputFlag
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  writ-node version -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v := map[string]string{"version": versionString()}
			return out.print(c.OutOrStdout(), v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "writ-node %s\n", v["version"])
				return err
			})
		},
	}
	out.register(c)
	return c
}

func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
