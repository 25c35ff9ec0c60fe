// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
)

// hostile are names that a container may give to its programs.
var hostile = []string{
	`/tmp/"}, "/bin/evil": {}, "/x": {why: "`,
	`/tmp/a": {}` + "\n\t\t\"/**",
	"/tmp/\\(1+1)",
	`/tmp/"""`, `/tmp/'''`, `/tmp/#"x"#`, `/tmp/\`, `/tmp/\u0041`, `/tmp/\"`,
	"/tmp/\u202e\u2066gnp.elifkcol\u2069", "/tmp/\u200b\ufeffzero", "/tmp/\u2028line\u2029paragraph", "/tmp/\u0085next",
	"/tmp/\x1b]0;owned\a", "/tmp/\x1b[2J", "/tmp/\r\nWrit-Change: 0000000000000000", "/tmp/\n\nSigned-off-by: root <root@localhost>",
	"/tmp/// comment", "/tmp/ //x", "/tmp/@everyone", "/tmp/fixes #1", "/tmp/Closes GH-1", "/tmp/![x](http:evil)", "/tmp/<img src=x onerror=y>",
	"/tmp/`code`|a|b", "/tmp/*bold*", "/tmp/a\x00b", "/tmp/\xff\xfe", "/tmp/\U0001F4A9", "/tmp/Grüße", "/tmp/\u00a0", "/tmp/ ", "/ /x",
	"/tmp/" + strings.Repeat("\"", 2000), "/tmp/" + strings.Repeat("\u202e", 1300), "/tmp/$(reboot)", "/tmp/-- a/b.cue", "/tmp/\u007f",
}

// TestHostileNames sends each name through the whole of learning, as a program, as a caller, and as both: the policy afterwards allows exactly what was
// proposed, and neither file nor message holds anything that acts on its reader.
func TestHostileNames(t *testing.T) {
	tree := repoOf(map[string]string{"w.cue": "package policy\n\nworkload: w: {\n\tmatch: namespace: \"w\"\n\tmode: \"learn\"\n\texec: {\n\t\t\"/bin/child\": parent: \"/bin/a\": {}\n\t\t\"/bin/z\": {}\n\t}\n}\n"})
	c := compiler.New(compiler.Config{})
	old := policyOf(t, tree)
	for _, name := range hostile {
		for _, r := range []schema.Report{
			report("w", schema.ActionLearn, name, "/bin/sh"), report("w", schema.ActionLearn, "/bin/new", name),
			report("w", schema.ActionLearn, name, name), report("w", schema.ActionLearn, "/bin/child", name),
		} {
			got, err := Propose(old, observed(t, r), Options{})
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			for _, p := range got.Proposals {
				checkHostile(t, c, tree, old, p, r)
			}
			if len(got.Proposals)+len(got.Findings) == 0 {
				t.Errorf("%q was dropped in silence", name)
			}
		}
	}
}

func checkHostile(t *testing.T, c *compiler.Compiler, tree compiler.Tree, old *schema.Policy, p Proposal, r schema.Report) {
	t.Helper()
	got, err := Edit(t.Context(), c, tree, p)
	if err != nil {
		t.Fatalf("%q from %q: %v", r.Object, r.Parent, err)
	}
	checkInert(t, "file", string(got.Files["w.cue"]))
	checkInert(t, "message", message(p))
	was, is := old.Workloads[0].Rules, lowered(t, got.Result).Workloads[0].Rules
	added := 0
	for _, rule := range is {
		i := slices.IndexFunc(was, func(o schema.Rule) bool { return o.ID == rule.ID })
		switch {
		case i < 0 && rule.Object == string(r.Object):
			added++
		case i >= 0 && slices.Equal(rule.Parents, was[i].Parents):
		case i >= 0 && rule.Object == "/bin/child" && slices.Contains(rule.Parents, string(r.Parent)) && len(rule.Parents) == len(was[i].Parents)+1:
			added++
		default:
			t.Errorf("%q from %q: rule %+v", r.Object, r.Parent, rule)
		}
	}
	if added != 1 || len(is) > len(was)+1 {
		t.Errorf("%q from %q: %d changes, %d rules; want 1 and at most %d", r.Object, r.Parent, added, len(is), len(was)+1)
	}
}

// checkInert holds that a text has nothing that a terminal or an editor acts on or hides.
func checkInert(t *testing.T, what, text string) {
	t.Helper()
	for _, c := range text {
		if c != '\n' && c != '\t' && !strconv.IsPrint(c) || c == utf8.RuneError {
			t.Fatalf("%s holds %U:\n%q", what, c, text)
		}
	}
}

// TestMessageIsInert holds that every byte of a message that came from a container is one of few.
func TestMessageIsInert(t *testing.T) {
	for _, name := range hostile {
		c := newRule("w", name)
		c.Evidence.add(observed(t, report("w", schema.ActionLearn, name, name))[0])
		m := message(Proposal{Workload: "w", Changes: []Change{c}})
		body := m[strings.Index(m, "program\n")+len("program\n"):]
		table, trailers, ok := strings.Cut(body, "\n\n")
		if !ok || !regexp.MustCompile(`^Writ-Workload: w\nWrit-Change: [0-9a-f]{16}\n$`).MatchString(trailers) {
			t.Errorf("trailers %q", trailers)
		}
		for line := range strings.Lines(table + "\n") {
			if !regexp.MustCompile(`^    [-a-zA-Z0-9/._+:,=%\\ ()]*\n$`).MatchString(line) {
				t.Errorf("line %q", line)
			}
		}
		found := map[string]bool{}
		proposed(m, found)
		if len(found) != 1 || !found[c.marks()[0].String()] {
			t.Errorf("marks %v; want the one of the change", found)
		}
	}
}

func TestMessage(t *testing.T) {
	r := window(report("payments", schema.ActionAudit, "/usr/bin/curl", "/usr/bin/dash"), 0, 61, 12)
	a := newRule("payments", "/usr/bin/curl")
	a.Evidence.add(observed(t, r)[0])
	b := newParents("payments", "/usr/bin/dig", "/usr/bin/@x")
	b.Evidence.add(observed(t, report("payments", schema.ActionDeny, "/usr/bin/dig", "/usr/bin/@x"))[0])
	want := `learn: allow 1 program and 1 caller in payments

Seen in workload payments, and not allowed by its policy:

       count  first seen            last seen             program
          12  2026-11-24T12:00:00Z  2026-11-24T12:01:01Z  /usr/bin/curl
              from /usr/bin/dash
              event ` + r.ID + `
           1  2026-11-24T12:00:00Z  2026-11-24T12:00:00Z  /usr/bin/dig
              from /usr/bin/\x40x
              denied, event ` + b.Evidence.Observations[0] + `
              rule ` + b.Rule.String() + ` names it for other callers; new caller /usr/bin/\x40x

Writ-Workload: payments
Writ-Change: ` + a.marks()[0].String() + `
Writ-Change: ` + b.marks()[0].String() + "\n"
	if got := message(Proposal{Workload: "payments", Changes: []Change{a, b}}); got != want {
		t.Errorf("message:\n%s\nwant:\n%s", got, want)
	}
}

func TestWhy(t *testing.T) {
	for want, e := range map[string]Evidence{
		"seen once":                                                       {Count: 1},
		"seen 12 times, from /usr/bin/dash":                               {Count: 12, Parents: []schema.Path{"/usr/bin/dash"}},
		"denied 2 times, from /a, /b and 1 more":                          {Count: 2, Denied: true, Parents: []schema.Path{"/a", "/b", "/c"}},
		`seen once, from /\x1b[2J\u202e\xff\\x`:                           {Count: 1, Parents: []schema.Path{"/\x1b[2J\u202e\xff\\x"}},
		"seen once, from /" + strings.Repeat("a", 79) + "...(4001 bytes)": {Count: 1, Parents: []schema.Path{schema.Path("/" + strings.Repeat("a", 4000))}},
	} {
		if got := why(e); got != want {
			t.Errorf("why = %q; want %q", got, want)
		}
	}
}

func TestBranchName(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"payments", "a.b", "a=b", "a/b", "a b", ".a", "a.", "a..b", "a.lock", "a~1", "@", "-a", "ä", "", "a\nb", "*", "a.lock.lock", "HEAD"} {
		b := BranchName(name)
		if err := plumbing.NewBranchReferenceName(b).Validate(); err != nil && name != "" {
			t.Errorf("%q: branch %q: %v", name, b, err)
		}
		if strings.Count(b, "/") != 2 || seen[b] != "" {
			t.Errorf("%q: branch %q is that of %q, or a folder", name, b, seen[b])
		}
		seen[b] = name
	}
	if got := BranchName("payments"); got != "writ/learn/payments" {
		t.Errorf("branch %q", got)
	}
}
