// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
)

// policyTime is when the tests judge.
var policyTime = time.Date(2027, 1, 10, 12, 0, 0, 0, time.UTC)

func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }

// someReport runs three tests: one that passes, and two that fail, of which one has a name and a reason that no terminal and no XML can hold.
func someReport() testReport {
	p := testPolicy()
	at := func(line int) []schema.Pos { return []schema.Pos{{File: "tests.cue", Line: line, Col: 7}} }
	exec := func(object string) schema.Event {
		return schema.Event{Verb: schema.VerbExec, Object: schema.Path(object)}
	}
	p.Tests = []schema.Test{
		{Name: "health", In: "web", Event: exec("/bin/true"), Is: schema.ActionAllow, By: "/bin/true", Pos: at(3)},
		{Name: "no-shell", In: "web", Event: exec("/bin/sh"), Is: schema.ActionDeny, Why: "shells are for people", Pos: at(4)},
		{Name: "a<b>&\"\x00\x1b[2J\u202e\xff", In: "nobody", Event: exec("/bin/]]>\x01"), Is: schema.ActionDeny, Why: "\x1b[31m", Pos: at(5)},
	}
	r := testReport{Tests: compiler.RunTests(p, policyTime), Passed: 1, Failed: 2}
	r.Coverage = compiler.CoverTests(p, r.Tests)
	return r
}

const wantText = `tests.cue:4:7: test no-shell: want denied, got audited: exec is closed and no rule names it
    event   exec /bin/sh in cgroup /web
    why     shells are for people
    decides a.cue:4:2: workload web closes exec: what no rule names is allowed and reported through 2027-01-15, then denied
    owner   team-web
    change  a.cue:4:2: the mode here is audit through 2027-01-15, then enforce
tests.cue:5:7: test "a<b>&\"\x00\x1b[2J\u202e\xff": in: workload "nobody" does not exist
    event   exec "/bin/]]>\x01"
    why     "\x1b[31m"
3 tests: 1 passed, 2 failed
touched: 1 of 1 rule, 1 of 1 closing, 0 of 0 limits
`

func TestReportText(t *testing.T) {
	var out bytes.Buffer
	r := someReport()
	r.writeText(&out, false)
	if out.String() != wantText {
		t.Errorf("the text is\n%s\nwant\n%s", out.String(), wantText)
	}
	out.Reset()
	r.Tests = nil
	r.Coverage = compiler.CoverTests(testPolicy(), nil)
	r.writeText(&out, true)
	want := "a.cue:4:2: not tested: workload web closes exec: what no rule names is allowed and reported through 2027-01-15, then denied\n" +
		"a.cue:5:2: not tested: workload web may exec /bin/true\ntouched: 0 of 1 rule, 0 of 1 closing, 0 of 0 limits\n"
	if out.String() != want {
		t.Errorf("the coverage is\n%s\nwant\n%s", out.String(), want)
	}
}

// TestUntouchedAtOnePlace holds that what stands at one place is told once.
func TestUntouchedAtOnePlace(t *testing.T) {
	p := testPolicy()
	w := &p.Workloads[0]
	for i := range schema.RuleID(3) {
		r := w.Rules[0]
		r.ID, r.Object = 10+i, "/lib/"+strings.Repeat("x", int(i)+1)
		w.Rules = append(w.Rules, r)
	}
	var out bytes.Buffer
	writeUntouched(&out, compiler.CoverTests(p, nil).Untouched)
	if !strings.HasSuffix(out.String(), "a.cue:5:2: not tested: workload web may exec /bin/true, and 3 more that stand there\n") || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("untouched is\n%s", out.String())
	}
}

func TestReportJUnit(t *testing.T) {
	var out bytes.Buffer
	r := someReport()
	if err := r.writeJUnit(&out); err != nil {
		t.Fatal(err)
	}
	var suites junitSuites
	if err := xml.Unmarshal(out.Bytes(), &suites); err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	if suites.Tests != 3 || suites.Failures != 2 || len(suites.Suite.Cases) != 3 || len(suites.Suite.Properties) != 6 {
		t.Errorf("the suites are %+v", suites)
	}
	if c := suites.Suite.Cases[0]; c.Name != "health" || c.File != "tests.cue" || c.Line != 3 || c.Failure != nil {
		t.Errorf("the first case is %+v", c)
	}
	if f := suites.Suite.Cases[1].Failure; f == nil || !strings.Contains(f.Text, "change  a.cue:4:2") || !strings.HasPrefix(f.Message, "want denied, got audited") {
		t.Errorf("the failure of the second case is %+v", f)
	}
	for _, r := range out.String() {
		if r != '\n' && unprintable(r) {
			t.Fatalf("the XML holds the character %U:\n%s", r, out.String())
		}
	}
}

// TestReportJSON holds the names of fields that programs read.
func TestReportJSON(t *testing.T) {
	var out bytes.Buffer
	r := someReport()
	if err := r.write(stdio{out: &out}, testFlags{out: testOutput(outputJSON)}, 3); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Tests []struct {
			Name, Problem string
			Passed        bool
			Pos           []schema.Pos
			Want          schema.Action
			Verdict       schema.Verdict
			By            struct{ Workload, Owner string }
			Change        *compiler.Fix
		}
		Passed, Failed int
		Coverage       struct{ Rules, Closings, Limits compiler.Touched }
	}
	dec := json.NewDecoder(&out)
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	second := got.Tests[1]
	if got.Passed != 1 || got.Failed != 2 || second.Passed || second.By.Owner != "team-web" || second.Change == nil || second.Pos[0].Line != 4 ||
		second.Want != schema.ActionDeny || second.Verdict.Action != schema.ActionAudit || got.Coverage.Rules.Of != 1 {
		t.Errorf("the report is %+v", got)
	}
}
