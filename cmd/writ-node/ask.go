// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/enforcer/bpf"
	"github.com/writ-sec/writ/enforcer/node"
	"github.com/writ-sec/writ/enforcer/node/wire"
)

// askTimeout bounds how long an agent may take to answer.
const askTimeout = 30 * time.Second

func newProbe() *cobra.Command {
	var out outputFlag
	backend := ""
	c := &cobra.Command{
		Use:   "probe",
		Short: "Tell what this kernel can put in force, and how strongly",
		Long: `probe loads small programs to find out what this kernel can put in force, and changes nothing.

Each feature has one of four claims: prevent; prevent while the agent runs; detect; none.
It exits with 2 if nothing can be put in force here.`,
		Example: "  sudo writ-node probe\n  sudo writ-node probe -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b := bpf.Probe(backend)
			if err := out.print(c.OutOrStdout(), b, func(w io.Writer) error { return printBackend(w, b) }); err != nil {
				return err
			}
			if b.Name != "none" {
				return nil
			}
			if os.Geteuid() != 0 {
				return fmt.Errorf("user %d may not load BPF programs; run it as root", os.Geteuid())
			}
			return errors.New("this kernel can put nothing in force; the reasons stand above")
		},
	}
	c.Flags().StringVar(&backend, "backend", "", "lsm or tracing (default: the strongest that works)")
	out.register(c)
	return c
}

func printBackend(w io.Writer, b wire.Backend) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "backend\t%s\nkernel\t%s\n", b.Name, b.Kernel)
	if len(b.Features) > 0 {
		fmt.Fprintf(t, "\nFEATURE\tCLAIM\tWHY\n")
	}
	for _, f := range b.Features {
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Name, f.Claim, f.Why)
	}
	return t.Flush()
}

func newStatus() *cobra.Command {
	var out outputFlag
	socket := ""
	c := &cobra.Command{
		Use:     "status",
		Short:   "Tell what is in force",
		Example: "  sudo writ-node status\n  sudo writ-node status --socket /run/writ-node.sock -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), askTimeout)
			defer cancel()
			client, err := wire.Dial(socket)
			if err != nil {
				return err
			}
			defer client.Close()
			st, err := client.Status(ctx)
			if err != nil {
				return err
			}
			return out.print(c.OutOrStdout(), st, func(w io.Writer) error { return printStatus(w, st) })
		},
	}
	c.Flags().StringVar(&socket, "socket", node.DefaultSocket, "unix socket of the writ-node to ask")
	out.register(c)
	return c
}

func printStatus(w io.Writer, st wire.Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	generation := st.Generation
	if generation == "" {
		generation = "none"
	}
	fmt.Fprintf(t, "generation\t%s\n", generation)
	if st.Commit != "" {
		fmt.Fprintf(t, "commit\t%s\n", st.Commit)
	}
	fmt.Fprintf(t, "backend\t%s on %s\n", st.Backend.Name, st.Backend.Kernel)
	for _, cause := range slices.Sorted(maps.Keys(st.Lost)) {
		fmt.Fprintf(t, "lost events\t%d (%s)\n", st.Lost[cause], cause)
	}
	if len(st.Workloads) > 0 {
		fmt.Fprintf(t, "\nWORKLOAD\tIN FORCE\n")
	}
	for _, ws := range st.Workloads {
		fmt.Fprintf(t, "%s\t%s\n", ws.Name, where(ws))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, warning := range st.Warnings {
		if _, err := fmt.Fprintf(w, "warning: %s\n", warning); err != nil {
			return err
		}
	}
	return nil
}

// maxShown is how many cgroups of a workload the text form names.
const maxShown = 3

func where(ws wire.WorkloadStatus) string {
	if len(ws.Cgroups) == 0 {
		return "nowhere: " + ws.Why
	}
	var quoted []string
	for _, c := range ws.Cgroups[:min(maxShown, len(ws.Cgroups))] {
		quoted = append(quoted, fmt.Sprintf("%q", c)) // names of cgroups are chosen by others, so no byte of theirs reaches a terminal raw
	}
	s := strings.Join(quoted, ", ")
	if more := len(ws.Cgroups) - maxShown; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

func newUnload() *cobra.Command {
	var socket, pinDir, stateDir string
	c := &cobra.Command{
		Use:   "unload",
		Short: "Take everything out of force",
		Long: `unload takes everything out of force and forgets the saved generation.

A running writ-node is asked over its socket. Where none runs, what one left pinned is removed.
With a --pin-dir that is not the default, no saved generation is forgotten unless --state names it.`,
		Example: "  sudo writ-node unload\n  sudo writ-node unload --pin-dir /sys/fs/bpf/writ",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), askTimeout)
			defer cancel()
			if client, err := wire.Dial(socket); err == nil && !c.Flags().Changed("pin-dir") {
				defer client.Close()
				return client.Unload(ctx)
			} else if err != nil && c.Flags().Changed("socket") {
				return err
			}
			if !c.Flags().Changed("state") {
				stateDir = defaultState(pinDir)
			}
			return node.Unload(pinDir, stateDir)
		},
	}
	c.Flags().StringVar(&socket, "socket", node.DefaultSocket, "unix socket of a running writ-node")
	c.Flags().StringVar(&pinDir, "pin-dir", node.DefaultPinDir, "where a writ-node that runs no more has pinned")
	c.Flags().StringVar(&stateDir, "state", node.DefaultStateDir, "directory of its last generation")
	c.MarkFlagsMutuallyExclusive("socket", "pin-dir")
	return c
}

// defaultState is the state directory that goes with a pin directory, where none is given; "": not known. The default one goes with the
// default pins alone: it may be that of another writ-node.
func defaultState(pinDir string) string {
	if filepath.Clean(pinDir) == node.DefaultPinDir {
		return node.DefaultStateDir
	}
	return ""
}
