// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/compiler"
)

// version is set by the linker; see the Makefile.
var version = ""

// The exit codes are a contract for every command, now and later.
const (
	exitDone    = 0 // the work is done
	exitPolicy  = 1 // the policy says no: it is invalid, or something violates it
	exitNotDone = 2 // the work could not be done: usage, files, network, or an interrupt
)

// hurriedGC is the garbage collector's target (see GOGC) of commands that end soon: evaluating CUE allocates much and keeps little, and
// collecting less often takes a fifth off a cold compile. writ up goes back to Go's default once policy is in force.
const hurriedGC = 400

// enoughMemory is from where on, in bytes, they collect as often as it takes to stay there (see GOMEMLIMIT).
const enoughMemory = 768 << 20

// saysNo is an error by which the policy, and not the work, failed. Its text is printed as it is.
type saysNo struct{ text string }

func (e saysNo) Error() string { return e.text }

// hinted is an error with a line of advice for the person who reads it.
type hinted struct {
	err  error
	hint string
}

func (e hinted) Error() string { return e.err.Error() }
func (e hinted) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(hurriedGC)
		debug.SetMemoryLimit(enoughMemory)
	}
	os.Exit(run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, io stdio) int {
	root := newRoot(io)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var no saysNo
	var policy compiler.Errors
	var hint hinted
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &no):
		fmt.Fprintln(io.err, no.text)
		return exitPolicy
	case errors.As(err, &policy):
		compiler.Render(io.err, policy)
		return exitPolicy
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(io.err, "writ: interrupted")
		return exitNotDone
	}
	fmt.Fprintf(io.err, "writ: %v\n", err)
	if errors.As(err, &hint) {
		fmt.Fprintf(io.err, "hint: %s\n", hint.hint)
	}
	return exitNotDone
}

func newRoot(io stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "writ",
		Short: "Container-security policy as code",
		Long: `writ compiles container-security policy from CUE in git and puts it in force.

A denial names the line of policy behind it, and what workloads really do comes back
as a proposed commit on a branch.

Begin with init, or with import if the cluster has NetworkPolicies and the like. While you
write: vet, test, fmt. For a review: diff. For manifests: check. In force on this host: up, then explain and learn.

Exit codes: 0 done; 1 the policy says no; 2 the work could not be done.`,
		Example: `  writ init policy && cd policy && writ vet
  writ diff main..feature
  sudo writ up file:///srv/policy.git
  writ learn propose --event 1f00c0ffee1f00c0`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	root.AddCommand(newInit(io), newImport(io), newVet(io), newCompile(io), newTest(io), newFmt(io), newCheck(io), newDiff(io), newExplain(io), newUp(io), newLearn(io),
		newVendor(io), newDemo(io), newVersion(io))
	return root
}

func newVersion(io stdio) *cobra.Command {
	var out outputFlag
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "version prints the version of writ, which is also that of the schema and the library in it.",
		Example: "  writ version\n  writ version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := map[string]string{"version": versionString()}
			if out == outputJSON {
				return io.json(v)
			}
			fmt.Fprintf(io.out, "writ %s\n", v["version"])
			return nil
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
