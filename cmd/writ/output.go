// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
)

// stdio is what a command reads and writes.
type stdio struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// json prints one value on one line.
func (s stdio) json(v any) error {
	enc := json.NewEncoder(s.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// outputFlag is the flag -o of every command that has output to read.
type outputFlag string

const (
	outputText   outputFlag = "text"   // for people
	outputJSON   outputFlag = "json"   // one value on one line
	outputSARIF  outputFlag = "sarif"  // SARIF 2.1.0, for code hosts
	outputJUnit  outputFlag = "junit"  // JUnit's XML, for CI systems
	outputGitHub outputFlag = "github" // workflow commands of GitHub Actions
)

// register adds the flag to a command that takes the given forms, the first of which is the default. None: text and json.
func (o *outputFlag) register(c *cobra.Command, forms ...outputFlag) {
	if len(forms) == 0 {
		forms = []outputFlag{outputText, outputJSON}
	}
	*o = forms[0]
	v := outputValue{o, forms}
	c.Flags().VarP(v, "output", "o", "output form")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(v.names(), cobra.ShellCompDirectiveNoFileComp))
}

// outputValue is an outputFlag with the forms that its command takes.
type outputValue struct {
	to    *outputFlag
	forms []outputFlag
}

func (v outputValue) names() []string {
	names := make([]string, len(v.forms))
	for i, f := range v.forms {
		names[i] = string(f)
	}
	return names
}

func (v outputValue) String() string {
	if v.to == nil { // pflag makes a zero value to know the default
		return ""
	}
	return string(*v.to)
}

func (v outputValue) Type() string { return strings.Join(v.names(), "|") }

// Set implements pflag.Value.
func (v outputValue) Set(s string) error {
	if !slices.Contains(v.forms, outputFlag(s)) {
		return fmt.Errorf("%q is not an output form; want %s", s, alternatives(v.names()))
	}
	*v.to = outputFlag(s)
	return nil
}

// alternatives returns "a", "a or b", "a, b or c".
func alternatives(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// printable returns a string from outside as it may stand on a terminal: quoted if it holds anything but printable characters.
func printable(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar || r == ' ' }) {
		return strconv.Quote(s)
	}
	return s
}

// plural returns "1 rule", "2 rules".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

// style marks up text for people. On anything but a terminal, or with NO_COLOR set (https://no-color.org), it leaves text as it is.
type style struct{ on bool }

func styleFor(w io.Writer) style {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return style{}
	}
	info, err := f.Stat()
	return style{on: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (s style) sgr(code, text string) string {
	if !s.on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(t string) string  { return s.sgr("1", t) }
func (s style) dim(t string) string   { return s.sgr("2", t) }
func (s style) red(t string) string   { return s.sgr("31", t) }
func (s style) green(t string) string { return s.sgr("32", t) }

// printableText is printable for sentences: spaces are fine.
func printableText(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(s)
	}
	return s
}
