// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
)

// testOutput is the flag -o of writ test, which has a form more than other commands.
type testOutput string

const testJUnit testOutput = "junit"

func (o *testOutput) String() string { return string(*o) }
func (o *testOutput) Type() string   { return "text|json|junit" }

// Set implements pflag.Value.
func (o *testOutput) Set(s string) error {
	if slices.Contains(testOutputs, s) {
		*o = testOutput(s)
		return nil
	}
	return fmt.Errorf("%q is not an output form; want text, json or junit", s)
}

var testOutputs = []string{string(outputText), string(outputJSON), string(testJUnit)}

// testFlags are the flags of writ test.
type testFlags struct {
	out      testOutput
	coverage bool
	run      string
	compile  compileFlags
}

func newTest(io stdio) *cobra.Command {
	f := testFlags{out: testOutput(outputText)}
	c := &cobra.Command{
		Use:   "test [DIR]",
		Short: "Run the tests that a policy repository states",
		Long: `test judges what the test entries of the policy repository that holds DIR (default: the current folder) state: that this program is denied
by that bound, that this connection is allowed, that this Pod may run that image. It needs no cluster and no node: it asks what the policy
means. It exits with 1 if a test fails, and says which line to change.

Each test is judged at its own date, if it has one, else at --at, else now.`,
		Example: `  writ test
  writ test --coverage
  writ test --run '^payments' --at 2027-01-31
  writ test -o junit > report.xml`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeDirs,
		RunE:              func(c *cobra.Command, args []string) error { return runPolicyTests(c, io, f, dirArg(args)) },
	}
	c.Flags().VarP(&f.out, "output", "o", "output form")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(testOutputs, cobra.ShellCompDirectiveNoFileComp))
	c.Flags().BoolVar(&f.coverage, "coverage", false, "list what no test touches")
	c.Flags().StringVar(&f.run, "run", "", "run the tests whose name matches this regular expression")
	f.compile.register(c, "judge as of this day or instant (default: now)")
	return c
}

// testReport is what test -o json prints.
type testReport struct {
	Tests    []compiler.TestResult `json:"tests"` // by position
	Passed   int                   `json:"passed"`
	Failed   int                   `json:"failed"`
	Coverage compiler.Coverage     `json:"coverage"`
}

func runPolicyTests(c *cobra.Command, io stdio, f testFlags, dir string) error {
	at, err := instantArg(f.compile.at)
	if err != nil {
		return err
	}
	name, err := regexp.Compile(f.run)
	if err != nil {
		return fmt.Errorf("--run: %w", err)
	}
	res, _, err := compileDir(c.Context(), dir, f.compile.config())
	if err != nil {
		return err
	}
	whole, err := res.Policy()
	if err != nil {
		return err
	}
	policy := *whole
	stated := len(policy.Tests)
	policy.Tests = slices.DeleteFunc(slices.Clone(policy.Tests), func(t schema.Test) bool { return !name.MatchString(t.Name) })
	r := testReport{Tests: compiler.RunTests(&policy, at)}
	slices.SortStableFunc(r.Tests, func(a, b compiler.TestResult) int { return slices.CompareFunc(a.Pos, b.Pos, schema.Pos.Compare) })
	for _, t := range r.Tests {
		if t.Passed {
			r.Passed++
		} else {
			r.Failed++
		}
	}
	r.Coverage = compiler.CoverTests(&policy, r.Tests)
	if err := r.write(io, f, stated); err != nil {
		return err
	}
	if r.Failed > 0 {
		return saysNo{fmt.Sprintf("%s of %d failed", plural(r.Failed, "test"), len(r.Tests))}
	}
	return nil
}

func (r *testReport) write(io stdio, f testFlags, stated int) error {
	switch f.out {
	case testOutput(outputJSON):
		return io.json(r)
	case testJUnit:
		return r.writeJUnit(io.out)
	}
	switch {
	case stated == 0:
		fmt.Fprintln(io.out, "no tests: the policy repository states none")
	case len(r.Tests) == 0:
		fmt.Fprintf(io.out, "no tests: of %s none has a name that matches %s\n", plural(stated, "test"), printable(f.run))
	}
	r.writeText(io.out, f.coverage)
	return nil
}

// writeText writes what failed, what is not touched if that is wanted, and two lines of summary.
func (r *testReport) writeText(w io.Writer, coverage bool) {
	for _, t := range r.Tests {
		if !t.Passed {
			writeFailure(w, t)
		}
	}
	if coverage {
		writeUntouched(w, r.Coverage.Untouched)
	}
	if len(r.Tests) > 0 {
		fmt.Fprintf(w, "%s: %d passed, %d failed\n", plural(len(r.Tests), "test"), r.Passed, r.Failed)
	}
	if len(r.Tests) > 0 || coverage {
		fmt.Fprintln(w, coverageLine(r.Coverage))
	}
}

func coverageLine(c compiler.Coverage) string {
	return fmt.Sprintf("touched: %d of %s, %d of %s, %d of %s", c.Rules.Touched, plural(c.Rules.Of, "rule"), c.Closings.Touched, plural(c.Closings.Of, "closing"),
		c.Limits.Touched, plural(c.Limits.Of, "limit"))
}

func writeFailure(w io.Writer, t compiler.TestResult) {
	at := ""
	if len(t.Pos) > 0 {
		at = positions(t.Pos[:1]) + ": "
	}
	fmt.Fprintf(w, "%stest %s: %s\n", at, printable(t.Name), printableText(t.Problem))
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "    %-7s %s\n", name, value)
		}
	}
	row("event", t.Event)
	if t.Why != "" {
		row("why", printableText(t.Why))
	}
	if t.By != nil {
		row("decides", strings.TrimPrefix(positions(t.By.Pos)+": ", ": ")+t.By.Headline())
		if t.By.Owner != "" {
			row("owner", printableText(t.By.Owner))
		}
	}
	if t.Change != nil {
		row("change", positions([]schema.Pos{t.Change.Pos})+": "+t.Change.Text)
	}
}

// writeUntouched lists what no test touches, in one line what stands at one place: a profile or a named set may state hundreds of rules there.
func writeUntouched(w io.Writer, all []compiler.Stated) {
	for len(all) > 0 {
		first := all[0]
		n := 1
		for n < len(all) && len(first.Pos) > 0 && all[n].At() == first.At() && all[n].Workload == first.Workload {
			n++
		}
		at := ""
		if len(first.Pos) > 0 {
			at = positions(first.Pos[:1]) + ": "
		}
		more := ""
		if n > 1 {
			more = fmt.Sprintf(", and %d more that stand there", n-1)
		}
		fmt.Fprintf(w, "%snot tested: %s%s\n", at, first.Headline(), more)
		all = all[n:]
	}
}
