// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var (
	codeBlock   = regexp.MustCompile("(?ms)^```(?:sh|yaml)?\n(.*?)^```$")
	codeSpanned = regexp.MustCompile("`((?:sudo )?writ [^`\n]+)`")
	commandLine = regexp.MustCompile(`(?m)(?:^|\s|; |&& )writ ([a-z][^|>#;&\n]*)`)
)

// commandLines returns the command lines of writ in a text, without the name of the program.
func commandLines(text string) [][]string {
	var all [][]string
	for _, m := range commandLine.FindAllStringSubmatch(text, -1) {
		args := strings.Fields(m[1])
		for i := range args {
			args[i] = strings.Trim(args[i], `"'`)
		}
		all = append(all, args)
	}
	return all
}

// checkCommand says why a command line is none of this version.
func checkCommand(args []string) error {
	root := newRoot(stdio{strings.NewReader(""), io.Discard, io.Discard})
	c, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	return c.ParseFlags(rest)
}

// TestPageCommands holds the command lines of README.md and docs to what this version understands.
func TestPageCommands(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, page := range append(pages, "../../README.md", "../../CONTRIBUTING.md", "../../policies/README.md") {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, m := range codeBlock.FindAllStringSubmatch(string(data), -1) {
			texts = append(texts, m[1])
		}
		for _, m := range codeSpanned.FindAllStringSubmatch(string(data), -1) {
			texts = append(texts, m[1])
		}
		for _, text := range texts {
			for _, args := range commandLines(text) {
				n++
				if err := checkCommand(args); err != nil {
					t.Errorf("%s: writ %s: %v", page, strings.Join(args, " "), err)
				}
			}
		}
	}
	if n < 25 {
		t.Errorf("the pages have %d command lines", n)
	}
}

// TestHelp holds that every command says what it does and shows an example that it understands, and that the first page names the exit codes.
func TestHelp(t *testing.T) {
	root := newRoot(stdio{strings.NewReader(""), io.Discard, io.Discard})
	if !strings.Contains(root.Long, "Exit codes: 0 done; 1 the policy says no; 2 the work could not be done.") {
		t.Error("the help of writ does not name the exit codes")
	}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Short == "" || c.Long == "" || c.Example == "" {
			t.Errorf("%s: Short %q, Long %q, Example %q; want all of them", c.CommandPath(), c.Short, c.Long, c.Example)
		}
		found := false
		for _, args := range commandLines(c.Example) {
			if err := checkCommand(args); err != nil {
				t.Errorf("%s: its example does not work: writ %s: %v", c.CommandPath(), strings.Join(args, " "), err)
			}
			found = found || strings.HasPrefix("writ "+strings.Join(args, " ")+" ", c.CommandPath()+" ")
		}
		if !found {
			t.Errorf("%s: its example does not show it:\n%s", c.CommandPath(), c.Example)
		}
		for _, line := range strings.Split(c.Long, "\n") {
			if len(line) > 150 {
				t.Errorf("%s: a line of its help has %d bytes; want at most 150", c.CommandPath(), len(line))
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
}
