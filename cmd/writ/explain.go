// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/learn"
	"github.com/writ-sec/writ/schema"
)

var (
	idRE   = regexp.MustCompile("^[0-9a-f]{16}$")
	lineRE = regexp.MustCompile(`^(.+\.cue):([0-9]+)(?::[0-9]+)?$`)
)

func newExplain(io stdio) *cobra.Command {
	var out outputFlag
	var st state
	var bundleDir, repo string
	c := &cobra.Command{
		Use:   "explain EVENT|RULE-ID|FILE:LINE",
		Short: "Say which line of policy decides, and why",
		Long: `explain takes the ID of an event, as writ up prints it, the ID of a rule, or a line of policy, and says what is stated there: which
workload, mode and owner, the author's reason, and the commit and author that put it in force.

It reads the bundle that writ up keeps in its state folder, or the one named by --bundle, or compiles the repository named by --repo.`,
		Example: `  writ explain shop/payments.cue:12
  writ explain 1f00c0ffee1f00c0
  writ explain --repo . shop/payments.cue:12 -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ix, err := explainIndex(c, st, bundleDir, repo)
			if err != nil {
				return err
			}
			return explain(io, out, ix, st, args[0])
		},
	}
	st.register(c)
	c.Flags().StringVarP(&bundleDir, "bundle", "b", "", "read this bundle")
	c.Flags().StringVar(&repo, "repo", "", "compile this policy repository")
	_ = c.MarkFlagDirname("bundle")
	_ = c.MarkFlagDirname("repo")
	c.MarkFlagsMutuallyExclusive("bundle", "repo")
	out.register(c)
	return c
}

func explainIndex(c *cobra.Command, st state, bundleDir, repo string) (*ruleIndex, error) {
	if repo != "" {
		res, _, err := compileDir(c.Context(), repo)
		if err != nil {
			return nil, err
		}
		return newRuleIndex(res.Bundle)
	}
	if bundleDir != "" {
		return readRuleIndex(bundleDir)
	}
	if err := st.becomeOwner(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(st.bundle()); errors.Is(err, os.ErrNotExist) {
		return nil, hinted{fmt.Errorf("state folder %s holds no bundle", st.dir), "start writ up, or name a bundle with --bundle or a repository with --repo"}
	}
	return readRuleIndex(st.bundle())
}

// explanation is what explain -o json prints.
type explanation struct {
	Event *learn.Observation `json:"event,omitempty"`
	Rules []explained        `json:"rules"`
}

func explain(io stdio, out outputFlag, ix *ruleIndex, st state, what string) error {
	x, err := findExplanation(ix, st, what)
	if err != nil {
		return err
	}
	if out == outputJSON {
		return io.json(x)
	}
	if x.Event != nil {
		fmt.Fprintln(io.out, describeObservation(*x.Event))
	}
	for i, e := range x.Rules {
		if i > 0 {
			fmt.Fprintln(io.out)
		}
		e.print(io.out)
	}
	return nil
}

func findExplanation(ix *ruleIndex, st state, what string) (explanation, error) {
	if m := lineRE.FindStringSubmatch(what); m != nil {
		line, err := strconv.Atoi(m[2])
		if err != nil {
			return explanation{}, fmt.Errorf("line of %q: %w", what, err)
		}
		return explainLine(ix, strings.TrimPrefix(m[1], "./"), line)
	}
	if !idRE.MatchString(what) {
		return explanation{}, hinted{fmt.Errorf("%q is neither an ID of 16 hexadecimal digits nor FILE.cue:LINE", what), "writ up prints the IDs of events and the lines of rules"}
	}
	var id schema.RuleID
	if err := id.UnmarshalText([]byte(what)); err != nil {
		return explanation{}, err
	}
	if e, ok := ix.entries[id]; ok {
		return explanation{Rules: []explained{e}}, nil
	}
	return explainEvent(ix, st, what)
}

func explainLine(ix *ruleIndex, file string, line int) (explanation, error) {
	if found := ix.at(file, line); len(found) > 0 {
		return explanation{Rules: found}, nil
	}
	lines := ix.linesOf(file)
	if len(lines) == 0 {
		return explanation{}, fmt.Errorf("no rule in force is stated in %q; paths are relative to the root of the policy repository", file)
	}
	words := make([]string, len(lines))
	for i, l := range lines {
		words[i] = strconv.Itoa(l)
	}
	return explanation{}, fmt.Errorf("nothing is stated at %s:%d; rules of that file stand at the lines %s", file, line, strings.Join(words, ", "))
}

func explainEvent(ix *ruleIndex, st state, id string) (explanation, error) {
	snapshot, err := learn.Read(st.observations(), learn.StoreConfig{})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return explanation{}, err
	}
	o, err := learn.Find(snapshot.Observations, id)
	if err != nil {
		return explanation{}, fmt.Errorf("%s is not the ID of a rule in force; %w", id, err)
	}
	x := explanation{Event: &o}
	if e, ok := ix.entries[o.Rule]; ok {
		x.Rules = append(x.Rules, e)
	}
	return x, nil
}

// describeObservation says in one line what was seen.
func describeObservation(o learn.Observation) string {
	word := map[schema.Action]string{schema.ActionDeny: "denied", schema.ActionAudit: "audited", schema.ActionLearn: "new"}[o.Action]
	s := fmt.Sprintf("%s  %-8s %s %s %s", o.ID, word, strings.Join(o.Workloads, "+"), o.Verb, printable(string(o.Object)))
	if o.Origin != schema.OriginPath {
		s += fmt.Sprintf(" (%s)", o.Origin)
	}
	if o.Parent != "" {
		s += " by " + printable(string(o.Parent))
	}
	const day = "2006-01-02 15:04:05"
	return s + fmt.Sprintf(", %d times from %s to %s UTC (%s)", o.Count, o.First.Format(day), o.Last.Format(day), o.Reason)
}
