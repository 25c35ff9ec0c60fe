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
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/learn"
	"github.com/writ-sec/writ/schema"
)

var (
	idRE   = regexp.MustCompile("^[0-9a-f]{16}$")
	lineRE = regexp.MustCompile(`^(.+\.cue):([0-9]+)(?::[0-9]+)?$`)
)

// explainFlags are the flags of writ explain.
type explainFlags struct {
	out          outputFlag
	state        state
	bundle, repo string
	event        string
	compile      compileFlags
}

func newExplain(io stdio) *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain EVENT|RULE-ID|FILE:LINE",
		Short: "Say which line of policy decides, and why",
		Long: `explain takes the ID of an event, as writ up prints it, the ID of a rule, or a line of policy, and says what is stated there: which
workload, mode and owner, the author's reason, the commit and author that put it in force, where it is enforced and how strongly, and
what else was considered: the other rules that allow it or nearly do, the other workloads of the same container, bounds and exceptions.

With --event it takes no ID but an event as JSON, of a file or of standard input ("-"), and judges it: one that writ-node or writ up printed, or
one written by hand. This needs no node.

It reads the bundle that writ up keeps in its state folder, or the one named by --bundle, or compiles the repository named by --repo.`,
		Example: `  writ explain shop/payments.cue:12
  writ explain 1f00c0ffee1f00c0
  writ explain --repo . shop/payments.cue:12 -o json
  echo '{"subject": {"cgroup": "/payments.slice"}, "verb": "exec", "object": "/bin/sh"}' | writ explain --repo . --event -`,
		Args: func(c *cobra.Command, args []string) error {
			if f.compile.cluster != "" && f.repo == "" {
				return errors.New("--cluster is given without --repo: a bundle has been compiled for its cluster already")
			}
			if f.event != "" {
				return cobra.NoArgs(c, args)
			}
			return cobra.ExactArgs(1)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error { return explain(c, io, f, args) },
	}
	f.state.register(c)
	c.Flags().StringVarP(&f.bundle, "bundle", "b", "", "read this bundle")
	c.Flags().StringVar(&f.repo, "repo", "", "compile this policy repository")
	c.Flags().StringVar(&f.event, "event", "", "judge the event of this file; \"-\" is standard input")
	f.compile.register(c, "judge as of this day or instant (default: now)")
	_ = c.MarkFlagDirname("bundle")
	_ = c.MarkFlagDirname("repo")
	_ = c.MarkFlagFilename("event")
	c.MarkFlagsMutuallyExclusive("bundle", "repo")
	f.out.register(c)
	return c
}

func explainIndex(c *cobra.Command, f explainFlags) (*ruleIndex, error) {
	if f.repo != "" {
		res, _, err := compileDir(c.Context(), f.repo, f.compile.config())
		if err != nil {
			return nil, err
		}
		policy, err := res.Policy()
		if err != nil {
			return nil, err
		}
		ix, err := newPolicyIndex(policy, res.Bundle.Manifest.Envelope)
		if err != nil {
			return nil, err
		}
		return ix, ix.readNotes(res.Bundle)
	}
	if f.bundle != "" {
		return readRuleIndex(f.bundle)
	}
	if err := f.state.becomeOwner(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(f.state.bundle()); errors.Is(err, os.ErrNotExist) {
		return nil, hinted{fmt.Errorf("state folder %s holds no bundle", f.state.dir), "start writ up, or name a bundle with --bundle or a repository with --repo"}
	}
	return readRuleIndex(f.state.bundle())
}

// explanation is what explain -o json prints.
type explanation struct {
	Event  *learn.Observation   `json:"event,omitempty"`
	Rules  []explained          `json:"rules"`            // what decides the event, or what the ID or the line stands for
	Judged *compiler.Considered `json:"judged,omitempty"` // what the policy says of the event, and what else was considered
	Note   string               `json:"note,omitempty"`   // what can't be told, and why
}

// explaining is the work of one explain.
type explaining struct {
	ix *ruleIndex
	st state
	at time.Time
}

func explain(c *cobra.Command, io stdio, f explainFlags, args []string) error {
	at, err := instantArg(f.compile.at)
	if err != nil {
		return err
	}
	var event schema.Event
	if f.event != "" {
		if event, err = readEvent(io, f.event); err != nil {
			return err
		}
	}
	ix, err := explainIndex(c, f)
	if err != nil {
		return err
	}
	x := explaining{ix: ix, st: f.state, at: at}
	var found explanation
	if f.event != "" {
		found, err = x.judged(event)
	} else {
		found, err = x.find(args[0])
	}
	if err != nil {
		return err
	}
	if f.out == outputJSON {
		return io.json(found)
	}
	found.print(io)
	return nil
}

// instantArg reads a flag that names a day or an instant; "" is now.
func instantArg(at string) (time.Time, error) {
	if at == "" {
		return time.Now().UTC(), nil
	}
	t, err := compiler.TestInstant(schema.Date(at))
	if err != nil {
		return t, fmt.Errorf("--at: %w", err)
	}
	return t, nil
}

func (x explaining) find(what string) (explanation, error) {
	if m := lineRE.FindStringSubmatch(what); m != nil {
		line, err := strconv.Atoi(m[2])
		if err != nil {
			return explanation{}, fmt.Errorf("line of %q: %w", what, err)
		}
		return x.line(strings.TrimPrefix(m[1], "./"), line)
	}
	if !idRE.MatchString(what) {
		return explanation{}, hinted{fmt.Errorf("%q is neither an ID of 16 hexadecimal digits nor FILE.cue:LINE", what), "writ up prints the IDs of events and the lines of rules"}
	}
	var id schema.RuleID
	if err := id.UnmarshalText([]byte(what)); err != nil {
		return explanation{}, err
	}
	if e, ok := x.ix.inForce(id); ok {
		return x.stated([]explained{e})
	}
	return x.observed(what)
}

func (x explaining) line(file string, line int) (explanation, error) {
	found, err := x.ix.at(file, line)
	if err != nil {
		return explanation{}, err
	}
	if len(found) > 0 {
		return x.stated(found)
	}
	lines, err := x.ix.linesOf(file)
	if err != nil {
		return explanation{}, err
	}
	if len(lines) == 0 {
		return explanation{}, fmt.Errorf("no rule in force is stated in %q; paths are relative to the root of the policy repository", file)
	}
	words := make([]string, len(lines))
	for i, l := range lines {
		words[i] = strconv.Itoa(l)
	}
	return explanation{}, fmt.Errorf("nothing is stated at %s:%d; rules of that file stand at the lines %s", file, line, strings.Join(words, ", "))
}

// maxExamples bounds for how many rules of one line is told what else was considered: a line that takes in a named set states hundreds.
const maxExamples = 3

// stated adds to what an ID or a line stands for where it is enforced, and what else was considered for an event that it is about.
func (x explaining) stated(found []explained) (explanation, error) {
	out := explanation{Rules: found}
	for i := range found {
		x.ix.claim(&found[i])
	}
	if len(found) > maxExamples {
		out.Note = fmt.Sprintf("%s stand here; explain one by its ID to see what else was considered", plural(len(found), "rule"))
		return out, nil
	}
	p, err := x.ix.policy()
	if errors.Is(err, compiler.ErrNoMatch) {
		out.Note = noMatchNote
		return out, nil
	} else if err != nil {
		return out, err
	}
	for i := range found {
		if e, ok := compiler.ExampleOf(p, found[i].Stated, x.at); ok {
			found[i].Example = compiler.Consider(p, e, x.at)
		}
	}
	return out, nil
}

const noMatchNote = "what else was considered is not known: the bundle was made by an older version, which does not say what workloads select; compile it again"

// judged judges an event.
func (x explaining) judged(e schema.Event) (explanation, error) {
	p, err := x.ix.policy()
	if errors.Is(err, compiler.ErrNoMatch) {
		return explanation{}, hinted{err, "compile it again with this version, or name the repository with --repo"}
	} else if err != nil {
		return explanation{}, err
	}
	out := explanation{Rules: []explained{}, Judged: compiler.Consider(p, e, x.at)}
	if s := out.Judged.By; s != nil {
		e := explained{Stated: *s, Envelope: x.ix.envelope}
		x.ix.claim(&e)
		out.Rules = append(out.Rules, e)
	}
	return out, nil
}

// observed finds an event that writ up saw, and judges it anew by the policy in force, as of when it was seen last.
func (x explaining) observed(id string) (explanation, error) {
	snapshot, err := learn.Read(x.st.observations(), learn.StoreConfig{})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return explanation{}, err
	}
	o, err := learn.Find(snapshot.Observations, id)
	if err != nil {
		return explanation{}, fmt.Errorf("%s is not the ID of a rule in force; %w", id, err)
	}
	out := explanation{Event: &o, Rules: []explained{}}
	if e, ok := x.ix.inForce(o.Rule); ok {
		x.ix.claim(&e)
		out.Rules = append(out.Rules, e)
	}
	p, err := x.ix.policy()
	if errors.Is(err, compiler.ErrNoMatch) {
		out.Note = noMatchNote
		return out, nil
	} else if err != nil {
		return out, err
	}
	e := schema.Event{Verb: o.Verb, Object: o.Object, Origin: o.Origin, Parent: o.Parent}
	out.Judged = compiler.ConsiderWorkloads(p, o.Workloads, e, o.Last)
	if v := out.Judged.Verdict; v.Action != o.Action || v.Rule != o.Rule {
		out.Note = fmt.Sprintf("by the policy in force, for these workloads, it is %s now", compiler.ActionWord(v.Action))
	}
	return out, nil
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
