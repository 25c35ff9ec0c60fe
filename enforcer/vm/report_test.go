// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"regexp"
	"strings"
	"testing"
)

// report collects the results of the tests that a guest prints.
type report struct {
	order []string
	tests map[string]*outcome
	now   string // the test that prints
}

type outcome struct {
	result string // PASS, FAIL or SKIP, or "" for a test that did not end
	log    []string
}

var (
	running = regexp.MustCompile(`^=== (?:RUN|CONT|NAME) +(\S+)$`)
	ended   = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+) \(`)
)

func (r *report) line(line string) {
	if m := running.FindStringSubmatch(line); m != nil {
		r.now = m[1]
		r.of(r.now)
		return
	}
	if m := ended.FindStringSubmatch(line); m != nil {
		r.of(m[2]).result = m[1]
		return
	}
	if r.now != "" {
		o := r.of(r.now)
		o.log = append(o.log, line)
	}
}

func (r *report) of(test string) *outcome {
	if r.tests == nil {
		r.tests = map[string]*outcome{}
	}
	if r.tests[test] == nil {
		r.tests[test] = &outcome{}
		r.order = append(r.order, test)
	}
	return r.tests[test]
}

// replay makes a subtest of each top-level test, with its outcome.
func (r *report) replay(t *testing.T) {
	for _, name := range r.order {
		if strings.Contains(name, "/") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			o := r.tests[name]
			switch o.result {
			case "PASS":
			case "SKIP":
				t.Skip(strings.Join(o.log, "\n"))
			case "FAIL":
				t.Error("failed in the guest: see its lines above")
			default:
				t.Error("did not end in the guest: see its lines above")
			}
		})
	}
	if len(r.order) == 0 {
		t.Error("no test ran in the guest")
	}
}

func TestReport(t *testing.T) {
	var r report
	for line := range strings.Lines("noise\n=== RUN   TestRootA\n=== RUN   TestRootA/sub\n    a_test.go:1: says\n--- PASS: TestRootA (0.00s)\n" +
		"    --- PASS: TestRootA/sub (0.00s)\n=== RUN   TestRootB\n    b_test.go:2: needs x\n--- SKIP: TestRootB (0.00s)\n" +
		"=== RUN   TestRootC\n--- FAIL: TestRootC (1.00s)\n=== RUN   TestRootD\npanic: boom\n") {
		r.line(strings.TrimRight(line, "\n"))
	}
	if got, want := strings.Join(r.order, " "), "TestRootA TestRootA/sub TestRootB TestRootC TestRootD"; got != want {
		t.Errorf("got the tests %q, want %q", got, want)
	}
	for name, want := range map[string]string{"TestRootA": "PASS", "TestRootA/sub": "PASS", "TestRootB": "SKIP", "TestRootC": "FAIL", "TestRootD": ""} {
		if got := r.of(name).result; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := r.of("TestRootB").log; len(got) != 1 || !strings.Contains(got[0], "needs x") {
		t.Errorf("TestRootB: got the log %q, want its reason", got)
	}
}
