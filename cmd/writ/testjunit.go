// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"strconv"
	"strings"

	"github.com/writ-sec/writ/compiler"
)

// The form of JUnit that CI systems read (https://github.com/testmoapp/junitxml): a suite of cases, each with the line that states it.
type junitSuites struct {
	XMLName  xml.Name   `xml:"testsuites"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr,omitempty"`
	Suite    junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr,omitempty"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"` // the file, which is how readers group cases
	File    string        `xml:"file,attr,omitempty"`
	Line    int           `xml:"line,attr,omitempty"`
	Failure *junitFailure `xml:"failure"`
	Error   *junitFailure `xml:"error"`
	Output  string        `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func (r *testReport) writeJUnit(w io.Writer) error {
	s := junitSuite{Name: "writ test", Tests: len(r.Tests), Failures: r.Failed}
	for _, c := range []struct {
		name  string
		count compiler.Touched
	}{{"rules", r.Coverage.Rules}, {"closings", r.Coverage.Closings}, {"limits", r.Coverage.Limits}} {
		s.Properties = append(s.Properties,
			junitProperty{"coverage." + c.name + ".touched", strconv.Itoa(c.count.Touched)}, junitProperty{"coverage." + c.name + ".of", strconv.Itoa(c.count.Of)})
	}
	for _, t := range r.Tests {
		s.Cases = append(s.Cases, newJUnitCase(t))
	}
	return s.write(w)
}

// write writes the suite as a report of its own.
func (s *junitSuite) write(w io.Writer) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(junitSuites{Tests: s.Tests, Failures: s.Failures, Errors: s.Errors, Suite: *s}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// newJUnitCase makes a case. What a policy's author wrote may hold anything: printableText quotes what is not printable, so that no character
// is left that XML can't hold, and the encoder escapes the rest.
func newJUnitCase(t compiler.TestResult) junitCase {
	c := junitCase{Name: printableText(t.Name), Class: "policy"}
	if len(t.Pos) > 0 {
		c.File, c.Line = printableText(t.Pos[0].File), t.Pos[0].Line
		c.Class = c.File
	}
	if !t.Passed {
		var text bytes.Buffer
		writeFailure(&text, t)
		c.Failure = &junitFailure{Type: "policy", Message: printableText(t.Problem), Text: strings.TrimSpace(text.String())}
	}
	return c
}
