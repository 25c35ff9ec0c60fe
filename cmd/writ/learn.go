// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/learn"
)

func newLearn(io stdio) *cobra.Command {
	c := &cobra.Command{
		Use:   "learn",
		Short: "Propose what workloads really do as commits",
		Long: `learn works on what writ up saw and no rule allows: status lists it, propose pushes the missing rules to a branch, for review.
It never changes the branch that is in force.`,
		Example: "  writ learn status\n  writ learn propose",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newLearnStatus(io), newLearnPropose(io))
	return c
}

func newLearnStatus(io stdio) *cobra.Command {
	var st state
	var out outputFlag
	c := &cobra.Command{
		Use:   "status [WORKLOAD...]",
		Short: "List what was seen and no rule allows",
		Long: `status lists the behaviours that writ up saw and that no rule allows: how often, since when, by which program, and what was done.
The first column is what writ learn propose --event takes. Of these, programs (exec) alone are proposed.`,
		Example: "  writ learn status\n  writ learn status payments -o json",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := st.becomeOwner(); err != nil {
				return err
			}
			snapshot, err := readObservations(st)
			if err != nil {
				return err
			}
			found := snapshot.Observations
			if len(args) > 0 {
				found = slices.DeleteFunc(found, func(o learn.Observation) bool {
					return !slices.ContainsFunc(o.Workloads, func(w string) bool { return slices.Contains(args, w) })
				})
			}
			if out == outputJSON {
				return io.json(learn.Snapshot{Observations: append([]learn.Observation{}, found...), Dropped: snapshot.Dropped})
			}
			for _, o := range found {
				fmt.Fprintln(io.out, describeObservation(o))
			}
			if snapshot.Dropped > 0 {
				fmt.Fprintf(io.err, "%s found no room and are not listed\n", plural(int(snapshot.Dropped), "report"))
			}
			return nil
		},
	}
	st.register(c)
	out.register(c)
	return c
}

// readObservations reads what writ up saw; nothing seen yet is an empty snapshot.
func readObservations(st state) (learn.Snapshot, error) {
	if _, err := st.source(); err != nil {
		return learn.Snapshot{}, err
	}
	snapshot, err := learn.Read(st.observations(), learn.StoreConfig{})
	if errors.Is(err, fs.ErrNotExist) {
		return learn.Snapshot{}, nil
	}
	return snapshot, err
}

// proposeFlags are the flags of writ learn propose.
type proposeFlags struct {
	state  state
	events []string
	dryRun bool
	auth   authFlags
	out    outputFlag
}

func newLearnPropose(io stdio) *cobra.Command {
	var f proposeFlags
	c := &cobra.Command{
		Use:   "propose [WORKLOAD]",
		Short: "Push the missing rules to a branch, as a commit with its evidence",
		Long: `propose writes the rules that are missing for what writ up saw into the policy's CUE files, and pushes them as one commit for each
workload to the branch writ/learn/WORKLOAD. The message carries the evidence. The same evidence twice gives no second commit.

What was learned or audited is proposed. What was denied is proposed only when you name its event: you vouch for it. What a bound or a virtual
patch forbids is never proposed. Programs (exec) alone are; what was seen of other planes is listed, and its rules are yours to write.

As root it becomes the owner of the state folder first, and pushes as that user.`,
		Example: `  writ learn propose
  writ learn propose payments --dry-run
  writ learn propose --event 1f00c0ffee1f00c0`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			workload := ""
			if len(args) > 0 {
				workload = args[0]
			}
			return propose(c, io, f, workload)
		},
	}
	f.state.register(c)
	c.Flags().StringSliceVar(&f.events, "event", nil, "ID of an event to propose, in full or a unique beginning; may be repeated")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "show what would be pushed, and push nothing")
	f.auth.register(c)
	f.out.register(c)
	return c
}

func propose(c *cobra.Command, io stdio, f proposeFlags, workload string) error {
	if err := f.state.becomeOwner(); err != nil {
		return err
	}
	src, err := f.state.source()
	if err != nil {
		return err
	}
	snapshot, err := readAsked(f)
	if err != nil {
		return err
	}
	if src.Tag != "" {
		return hinted{fmt.Errorf("writ up follows the tag %q, and a proposal needs a branch", src.Tag), "run writ up with --branch"}
	}
	repo, err := learn.NewRepository(learn.Config{URL: src.URL, Branch: src.Branch, Auth: f.auth.credentials()})
	if err != nil {
		return err
	}
	res, err := repo.Propose(c.Context(), learn.Request{
		Observations: snapshot.Observations,
		Options:      learn.Options{IDs: f.events, Workload: workload},
		Now:          time.Now().UTC(),
		DryRun:       f.dryRun,
	})
	if f.out == outputJSON {
		return errors.Join(io.json(res), err)
	}
	printProposal(io, res)
	if err == nil && len(res.Results) == 0 && len(res.Findings) == 0 {
		fmt.Fprintln(io.out, "nothing to propose: the policy allows all that was seen")
	}
	return err
}

// readAsked reads the observations, and again for a moment when an event that was asked for is not among them yet: writ up prints an event up to
// saveDelay before it saves it.
func readAsked(f proposeFlags) (learn.Snapshot, error) {
	const saveDelay = 2 * time.Second
	for deadline := time.Now().Add(saveDelay); ; time.Sleep(100 * time.Millisecond) {
		snapshot, err := readObservations(f.state)
		if err != nil || time.Now().After(deadline) || !slices.ContainsFunc(f.events, func(id string) bool {
			_, err := learn.Find(snapshot.Observations, id)
			return err != nil
		}) {
			return snapshot, err
		}
	}
}

func printProposal(io stdio, res *learn.Outcome) {
	for _, r := range res.Results {
		switch r.Status {
		case learn.StatusPushed:
			fmt.Fprintf(io.out, "%s: pushed %.12s to the branch %s\n", r.Workload, r.Commit, r.Branch)
		case learn.StatusDryRun:
			fmt.Fprintf(io.out, "%s: would be pushed to the branch %s\n", r.Workload, r.Branch)
		case learn.StatusPresent:
			fmt.Fprintf(io.out, "%s: the branch %s holds it already\n", r.Workload, r.Branch)
		}
		if r.Diff != "" {
			fmt.Fprintf(io.out, "\n%s\n", escapeLines(strings.TrimRight(r.Diff, "\n")))
		}
		printFindings(io, r.Findings)
	}
	printFindings(io, res.Findings)
}

func printFindings(io stdio, findings []learn.Finding) {
	for _, f := range findings {
		fmt.Fprintf(io.err, "not proposed: %s %s %s: %s\n", f.Observation, strings.Join(f.Workloads, "+"), printable(string(f.Object)), f.Text)
	}
}

// escapeLines quotes what is not printable in a text of several lines; tabs stay.
func escapeLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		parts := strings.Split(l, "\t")
		for j, p := range parts {
			if p != "" {
				parts[j] = printableText(p)
			}
		}
		lines[i] = strings.Join(parts, "\t")
	}
	return strings.Join(lines, "\n")
}
