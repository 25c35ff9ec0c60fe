// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"io"
	"strings"
)

// RenderGitHub writes diagnostics as workflow commands of GitHub Actions, one line each, which GitHub shows at the line of a pull request.
// The form is that of "Workflow commands for GitHub Actions": ::error file=F,line=L,col=C,title=T::MESSAGE. Columns are in UTF-16 code units.
// Errors of w are not reported; w is a log or a buffer.
func RenderGitHub(w io.Writer, ds []Diagnostic) {
	for _, d := range ds {
		if d.Code != "" {
			writeAnnotation(w, "warning", "writ "+d.Code, d)
		} else {
			writeAnnotation(w, "error", "writ", d)
		}
	}
}

// RenderGitHubFindings does with findings what [RenderGitHub] does with diagnostics; a note is a notice there.
func RenderGitHubFindings(w io.Writer, fs []Finding) {
	for _, f := range fs {
		command := string(f.Level)
		if f.Level == LevelNote {
			command = "notice"
		}
		writeAnnotation(w, command, "writ "+f.Rule, f.Diagnostic)
	}
}

func writeAnnotation(w io.Writer, command, title string, d Diagnostic) {
	var properties []string
	add := func(name, value string) { properties = append(properties, name+"="+githubProperty.Replace(value)) }
	if d.Pos.File != "" {
		add("file", d.Pos.File)
	}
	if d.Pos.Line > 0 {
		add("line", fmt.Sprint(d.Pos.Line))
		if col := utf16Column(d); col > 0 {
			add("col", fmt.Sprint(col))
		}
	}
	add("title", escape(title))
	text := escape(d.Msg)
	if d.Path != "" {
		text = escape(d.Path) + ": " + text
	}
	if d.Hint != "" {
		text += "\nhint: " + escape(d.Hint)
	}
	fmt.Fprintf(w, "::%s %s::%s\n", command, strings.Join(properties, ","), githubMessage.Replace(text))
}

// What the runner decodes in messages and in properties (actions/toolkit, packages/core/src/command.ts).
var (
	githubMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	githubProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)
