// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// meaningArchives are the archives of testdata that are about meaning and hold nothing but literals.
func meaningArchives(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/meaning*.txtar")
	if err != nil || len(names) < 30 {
		t.Fatalf("found %d archives, %v", len(names), err)
	}
	return append(names, "testdata/warnings.txtar", "testdata/globs.txtar", "testdata/overlap.txtar", "testdata/overlap_warn.txtar", "testdata/overlap_pods.txtar")
}

// TestMeaning checks these archives without evaluation: what is said must be what the lines say, no more and no less, and the same each time.
// Together they show every code but those that depend on a date.
func TestMeaning(t *testing.T) {
	seen := map[string]bool{codePast: true, codeNear: true}
	for _, name := range meaningArchives(t) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			tree := archiveTree(a)
			errs, warnings := readLiteral(t, tree.Files).check()
			again, warnedAgain := readLiteral(t, tree.Files).check()
			if lines(errs)+lines(warnings) != lines(again)+lines(warnedAgain) {
				t.Error("the second time, something else is said")
			}
			if len(errs) == 0 {
				errs = warnings // a policy at fault is not warned of
			} else if len(warnings) > 0 && name != "testdata/meaning_silence.txtar" && strings.HasPrefix(filepath.Base(name), "meaning_") {
				t.Errorf("an archive for errors has the warnings\n%s", lines(warnings))
			}
			checkDiagnostics(t, tree, a, quote(errs, tree))
			for _, d := range errs {
				if seen[d.Code] = true; !strings.Contains(d.Msg, "; want") && !strings.Contains(d.Msg, "; did you mean") {
					t.Errorf("it does not say what was expected: %s", d)
				}
			}
		})
	}
	for _, c := range Codes() {
		if !seen[c.ID] {
			t.Errorf("no archive shows %s: %s", c.ID, c.Meaning)
		}
	}
	if len(seen) != len(codes)+1 {
		t.Errorf("codes that are not in the table: %v", slices.Sorted(maps.Keys(seen)))
	}
}

// TestWithoutPositions holds that a policy can be checked from its lowered form alone.
func TestWithoutPositions(t *testing.T) {
	for _, name := range meaningArchives(t) {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		l := readLiteral(t, archiveTree(a).Files)
		errs, warnings := l.check()
		l.bare = true
		bareErrs, bareWarnings := l.check()
		if len(errs) > 0 && len(bareErrs) == 0 {
			t.Errorf("%s: %d errors with positions, none without", name, len(errs))
		}
		if len(warnings) > 0 && len(bareWarnings) == 0 && !strings.HasSuffix(name, "meaning_pod_warn.txtar") { // a profile may have taken values away
			t.Errorf("%s: %d warnings with positions, none without", name, len(warnings))
		}
	}
}

// FuzzMeaning holds that check never panics, and says the same each time, whatever a policy says.
func FuzzMeaning(f *testing.F) {
	for _, name := range meaningArchives(f) {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			f.Add(string(file.Data))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := readLiteral(t, []File{{Path: "a.cue", Data: []byte(text)}})
		errs, warnings := l.check()
		again, warnedAgain := l.check()
		if lines(errs)+lines(warnings) != lines(again)+lines(warnedAgain) {
			t.Errorf("said\n%s%s\nthen\n%s%s", lines(errs), lines(warnings), lines(again), lines(warnedAgain))
		}
	})
}
