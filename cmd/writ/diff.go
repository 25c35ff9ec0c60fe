// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema/bundle"
)

// diffForm is the flag -o of diff.
type diffForm string

const (
	diffText     diffForm = "text"
	diffJSON     diffForm = "json"
	diffMarkdown diffForm = "markdown"
)

func (o *diffForm) String() string { return string(*o) }
func (o *diffForm) Type() string   { return "text|json|markdown" }

// Set implements pflag.Value.
func (o *diffForm) Set(s string) error {
	switch v := diffForm(s); v {
	case diffText, diffJSON, diffMarkdown:
		*o = v
		return nil
	}
	return fmt.Errorf("%q is not an output form; want text, json or markdown", s)
}

// failOn is the flag --fail-on: what makes diff exit with 1.
type failOn string

const (
	failNever   failOn = ""
	failWidened failOn = "widened"
	failChanged failOn = "changed"
)

func (f *failOn) String() string { return string(*f) }
func (f *failOn) Type() string   { return "widened|changed" }

// Set implements pflag.Value.
func (f *failOn) Set(s string) error {
	switch v := failOn(s); v {
	case failWidened, failChanged:
		*f = v
		return nil
	}
	return fmt.Errorf("%q is not an effect; want widened, or changed for any but notes", s)
}

// check says no if the difference has what the flag is about.
func (f failOn) check(d *compiler.Difference) error {
	widened := d.Count(compiler.EffectWidened)
	switch all := len(d.Changes) - d.Count(compiler.EffectNote); {
	case f == failWidened && widened > 0:
		return saysNo{fmt.Sprintf("the policy is widened: %s", plural(widened, "change"))}
	case f == failChanged && all > 0:
		return saysNo{fmt.Sprintf("the policy is changed: %s", plural(all, "change"))}
	}
	return nil
}

func newDiff(io stdio) *cobra.Command {
	out, fail, repo := diffText, failNever, "."
	var f compileFlags
	c := &cobra.Command{
		Use:   "diff [BASE..HEAD | BASE...HEAD | BASE | DIR DIR]",
		Short: "Say how two policies differ in meaning",
		Long: `diff compares two versions of a policy repository by what they mean, not by their text: what is newly allowed and newly denied,
and what changed of modes, bounds, gates, exceptions and everything else, for each workload. Moved files and lines give no difference.
What widens the policy comes first. Where it cannot be decided whether something new is allowed, it counts as widened.

BASE and HEAD are git revisions of the repository that holds the current folder, or the one named by --repo; HEAD is the tip if it is left
out, and BASE...HEAD begins where the two parted. BASE alone, or nothing for HEAD, is compared with the folder as it is. Two folders are
compared as they are.

With --cluster, both sides are compiled for that cluster, which both must state.

-o markdown is a comment for a pull request. --fail-on widened exits with 1 if something is widened, --fail-on changed if there is any
difference but notes. If one side does not compile, diff exits with 2.`,
		Example: `  writ diff
  writ diff main..feature
  writ diff origin/main...HEAD -o markdown --fail-on widened
  writ diff ../before ./policy -o json`,
		Args:              cobra.MaximumNArgs(2),
		ValidArgsFunction: completeRevisions,
		RunE: func(c *cobra.Command, args []string) error {
			at, err := f.given()
			if err != nil {
				return err
			}
			base, head, err := diffSides(c.Context(), repo, args)
			if err != nil {
				return err
			}
			d, err := diffOf(c.Context(), io, f.config(), at, base, head)
			if err != nil {
				return err
			}
			if err := printDiff(io, out, base, head, d); err != nil {
				return err
			}
			return fail.check(d)
		},
	}
	c.Flags().VarP(&out, "output", "o", "output form")
	c.Flags().Var(&fail, "fail-on", "exit with 1 if the policy is widened, or changed")
	c.Flags().StringVar(&repo, "repo", repo, "policy repository whose revisions are compared")
	_ = c.MarkFlagDirname("repo")
	f.register(c, "compare what holds at this day or instant (default: dates, with what holds before and after)")
	fixed := func(words ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	}
	_ = c.RegisterFlagCompletionFunc("output", fixed(string(diffText), string(diffJSON), string(diffMarkdown)))
	_ = c.RegisterFlagCompletionFunc("fail-on", fixed(string(failWidened), string(failChanged)))
	return c
}

// diffOf compiles both sides and compares them. One compiler does both, so that folders that are the same are evaluated once.
// Without an instant, a date with both its sides is what is compared.
func diffOf(ctx context.Context, io stdio, cfg compiler.Config, at time.Time, base, head *diffSide) (*compiler.Difference, error) {
	c := compiler.New(cfg)
	b, err := base.compile(ctx, io, c)
	if err != nil {
		return nil, err
	}
	h, err := head.compile(ctx, io, c)
	if err != nil {
		return nil, err
	}
	return compiler.DiffResults(b, h, at)
}

// compile compiles a side. Its errors are printed: they must not be taken for those of the repository that is checked.
func (s *diffSide) compile(ctx context.Context, io stdio, c *compiler.Compiler) (*compiler.Result, error) {
	if s.empty {
		fmt.Fprintf(io.err, "warning: %s holds no policy repository at %s; it is compared as an empty policy\n", printableText(s.Name), printable(s.path))
		return compiler.Nothing(), nil
	}
	res, err := c.Compile(ctx, s.tree, bundle.Envelope{})
	var errs compiler.Errors
	if errors.As(err, &errs) {
		fmt.Fprintf(io.err, "in %s:\n", printableText(s.Name))
		compiler.Render(io.err, errs)
		return nil, fmt.Errorf("%s does not compile: %s", printableText(s.Name), plural(len(errs), "error"))
	}
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", printableText(s.Name), err)
	}
	return res, nil
}

// diffOutput is what diff -o json prints.
type diffOutput struct {
	Base    *diffSide               `json:"base"`
	Head    *diffSide               `json:"head"`
	Summary map[compiler.Effect]int `json:"summary"`
	Changes []compiler.PolicyChange `json:"changes"`
}

func printDiff(io stdio, out diffForm, base, head *diffSide, d *compiler.Difference) error {
	switch out {
	case diffJSON:
		summary := map[compiler.Effect]int{}
		for _, e := range []compiler.Effect{compiler.EffectWidened, compiler.EffectNarrowed, compiler.EffectChanged, compiler.EffectNote} {
			summary[e] = d.Count(e)
		}
		return io.json(diffOutput{base, head, summary, d.Changes})
	case diffMarkdown:
		_, err := fmt.Fprint(io.out, d.Markdown(base.Name, head.Name))
		return err
	}
	s := styleFor(io.out)
	for _, g := range d.Groups() {
		printChange(io, s, &g)
	}
	fmt.Fprintf(io.out, "%s\n", d.Summary())
	return nil
}

// maxShownDetails bounds the details of one change on a terminal.
const maxShownDetails = 10

// printChange prints a change in a few lines: what happens, from what to what, where and why.
func printChange(io stdio, s style, g *compiler.ChangeGroup) {
	mark := map[compiler.Effect]func(string) string{compiler.EffectWidened: s.red, compiler.EffectNarrowed: s.green}[g.Effect]
	if mark == nil {
		mark = s.bold
	}
	label := string(g.Effect)
	if g.Effect == compiler.EffectWidened {
		label += ", " + g.Risk.String() + " risk"
	}
	fmt.Fprintf(io.out, "%s: %s: %s\n", mark(label), changeSubject(g), g.Msg)
	switch before, after := printableText(g.Before), printableText(g.After); {
	case g.Before != "" && g.After != "":
		fmt.Fprintf(io.out, "    %s\n -> %s\n", before, after)
	case g.Before+g.After != "":
		fmt.Fprintf(io.out, "    %s\n", printableText(g.Before+g.After))
	}
	for i, detail := range g.Details {
		if i == maxShownDetails {
			fmt.Fprintf(io.out, "      and %d more\n", len(g.Details)-i)
			break
		}
		fmt.Fprintf(io.out, "      %s\n", printableText(detail))
	}
	var notes []string
	if g.Pos.Line > 0 {
		at := printableText(g.Pos.String())
		if g.Side == compiler.SideBase {
			at += " of base"
		}
		notes = append(notes, at)
	}
	for _, n := range []struct{ word, value string }{{"see", g.By}, {"why:", g.Why}, {"owner", g.Owner}} {
		if n.value != "" {
			notes = append(notes, n.word+" "+printableText(n.value))
		}
	}
	if notes != nil {
		fmt.Fprintf(io.out, "    %s\n", s.dim(strings.Join(notes, "; ")))
	}
}

// maxShownNames bounds the names of what one line of policy changes.
const maxShownNames = 5

// changeSubject says what a change is about: "workload payments, exec".
func changeSubject(g *compiler.ChangeGroup) string {
	words := g.Kind
	for i, name := range g.Names {
		if i == maxShownNames {
			words += fmt.Sprintf(" and %d more", len(g.Names)-i)
			break
		}
		if name != "" {
			words += " " + printable(name)
		}
	}
	for _, w := range []string{string(g.Plane), g.Aspect} {
		if w != "" && w != "rule" {
			words += ", " + w
		}
	}
	if g.Key != "" {
		words += " " + printableText(g.Key)
	}
	return words
}
