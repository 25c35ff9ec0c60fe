// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// hostile has what changes a terminal or the order of its text: ESC, C1 controls as runes and as a bare byte, overrides and isolates of
// direction, a line separator, and characters of no width.
const hostile = "a\x1b[2J\x07\u009b31m\x9b\u202eb\u2066\u200f\u2028\u200b\ufeff\r\x7fz"

func checkPrintable(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			t.Errorf("text has %U: %q", r, text)
		}
	}
	if strings.ToValidUTF8(text, "") != text {
		t.Errorf("text is not UTF-8: %q", text)
	}
}

func TestRenderIsPrintable(t *testing.T) {
	d := Diagnostic{Pos: schema.Pos{File: "w" + hostile + ".cue", Line: 1, Col: len("\t"+hostile) + 1}, Path: "workload " + hostile,
		Msg: "line\none: " + hostile, Hint: "hint\n" + hostile, Code: "W0" + hostile, Source: "\t" + hostile + "x ä 世界"}
	var b strings.Builder
	Render(&b, []Diagnostic{d})
	checkPrintable(t, b.String())
	checkPrintable(t, Errors{d}.Error())
	if n := strings.Count(b.String(), "\n"); n != 4 {
		t.Errorf("%d lines; want the message, the source, the caret and the hint: %q", n, b.String())
	}
	for _, want := range []string{`line\none: a\x1b[2J\a\u009b31m`, `\u202eb\u2066`, "x ä 世界", "a·[2J··31m\ufffd·b··"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("text lacks %q: %q", want, b.String())
		}
	}
	lines := strings.Split(b.String(), "\n")
	if caret, x := strings.Index(lines[2], "^"), strings.Index(lines[1], "x"); caret < 0 || x < 0 ||
		utf8.RuneCountInString(lines[2][:caret]) != utf8.RuneCountInString(lines[1][:x]) {
		t.Errorf("the caret is not below the x:\n%s\n%s", lines[1], lines[2])
	}
}

// What an author wrote comes back in CUE's own words, too.
func TestErrorsOfHostilePolicy(t *testing.T) {
	sources := map[string]string{
		"field name":   "package policy\nworkload: w: {match: namespace: \"a\", \"x\\u001b[2J\\u202e\": 1}\n",
		"workload":     "package policy\nworkload: \"x\\u001b[2J\\u202e\": {match: namespace: \"a\", mode: \"z\"}\n",
		"value":        "package policy\nworkload: w: {match: namespace: \"a\", mode: \"\\u001b[2J\\u202e\" & string}\n",
		"conflict":     "package policy\nworkload: w: {match: namespace: \"a\", owner: \"\\u001b[2J\" & \"\\u202e\"}\n",
		"error()":      "package policy\nimport \"strings\"\nworkload: w: {match: namespace: \"a\", owner: strings.MinRunes(99) & \"\\u009b\\u202e\"}\n",
		"comment":      "package policy\n// \u202e \u009b\nworkload: w: /* */ {\n",
		"raw override": "package policy\nworkload: w: {match: namespace: \"a\", mode: \"\u202e\u009b\"}\n",
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			_, err := New(Config{}).Compile(t.Context(), Tree{Files: []File{{Path: "a\x1b.cue", Data: []byte(source)}}}, bundle.Envelope{})
			ds, ok := err.(Errors)
			if !ok {
				t.Fatalf("error is %v; want Errors", err)
			}
			var b strings.Builder
			Render(&b, ds)
			checkPrintable(t, b.String())
			checkPrintable(t, err.Error())
		})
	}
}
