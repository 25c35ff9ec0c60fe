// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// maxEvent bounds what is read as an event, in bytes.
const maxEvent = 1 << 20

// eventInput is an event as people and programs write it: the event itself, with what a report of writ-node or a line of writ up has besides.
type eventInput struct {
	schema.Report
	RuleEntry json.RawMessage `json:"ruleEntry"`
}

// readEvent reads the one event of a file, or of standard input: an object with the fields of an event, or one that holds it as "report".
func readEvent(s stdio, name string) (schema.Event, error) {
	in, what := s.in, "standard input"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return schema.Event{}, fmt.Errorf("event: %w", err)
		}
		defer f.Close()
		in, what = f, printable(name)
	}
	data, err := io.ReadAll(io.LimitReader(in, maxEvent+1))
	if err != nil {
		return schema.Event{}, fmt.Errorf("event: %w", err)
	}
	if len(data) > maxEvent {
		return schema.Event{}, fmt.Errorf("event: %s has more than %d bytes; want one event", what, maxEvent)
	}
	e, err := decodeEvent(data)
	if err != nil {
		return e, hinted{fmt.Errorf("event: %s: %w", what, err), `an event is such as {"subject": {"namespace": "shop", "labels": {"app": "payments"}}, "verb": "exec", "object": "/bin/sh"}`}
	}
	return e, nil
}

func decodeEvent(data []byte) (schema.Event, error) {
	var line struct {
		Report json.RawMessage `json:"report"`
	}
	if err := json.Unmarshal(data, &line); err != nil {
		return schema.Event{}, err
	}
	if line.Report != nil {
		data = line.Report
	}
	var in eventInput
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields() // a misspelt field would change the verdict
	if err := dec.Decode(&in); err != nil {
		return schema.Event{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return schema.Event{}, errors.New("holds more than one value; want one event")
	}
	return in.Event, checkEvent(&in.Event)
}

// checkEvent says what an event lacks to be judged.
func checkEvent(e *schema.Event) error {
	flow := false
	switch e.Verb {
	case schema.VerbExec, schema.VerbRead, schema.VerbWrite, schema.VerbUse, schema.VerbRun:
		if e.Object == "" {
			return fmt.Errorf("has no \"object\"; want one with the verb %q", e.Verb)
		}
	case schema.VerbConnect, schema.VerbAccept, schema.VerbRequest, schema.VerbServe:
		flow = true
	case schema.VerbSet:
		if e.Set == nil {
			return fmt.Errorf("has no \"set\"; want the values of the Pod's fields with the verb %q", e.Verb)
		}
	default:
		return fmt.Errorf("has the verb %q; want exec, read, write, use, connect, request, accept, serve, run or set", e.Verb)
	}
	switch f := e.Flow; {
	case flow && f == nil:
		return fmt.Errorf("has no \"flow\"; want one with the verb %q", e.Verb)
	case !flow && f != nil:
		return fmt.Errorf("has a \"flow\" with the verb %q; want it with connect, request, accept or serve alone", e.Verb)
	case !flow:
		return nil
	case f.Port < 0 || f.Port > 65535:
		return fmt.Errorf("has the port %d; want 0 to 65535", f.Port)
	case f.Protocol == "":
		f.Protocol = "tcp"
	case f.Protocol != "tcp" && f.Protocol != "udp" && f.Protocol != "sctp":
		return fmt.Errorf("has the protocol %q; want tcp, udp or sctp", f.Protocol)
	}
	return nil
}

// print writes an explanation for a person.
func (x *explanation) print(io stdio) {
	if x.Event != nil {
		fmt.Fprintln(io.out, describeObservation(*x.Event))
	}
	if x.Judged != nil && x.Event == nil {
		printJudged(io.out, x.Judged)
	}
	for i, e := range x.Rules {
		if i > 0 {
			fmt.Fprintln(io.out)
		}
		e.print(io.out)
		if e.Example != nil {
			fmt.Fprintf(io.out, "considered, for example %s in %s: %s\n", compiler.DescribeEvent(e.Example.Event), compiler.DescribeSubject(e.Example.Event.Subject),
				compiler.ActionWord(e.Example.Verdict.Action))
			if by := e.Example.By; by != nil && by.ID != e.ID {
				printConsidered(io.out, "decides", *by, e.Example.Because)
			}
			printOthers(io.out, e.Example)
		}
	}
	if x.Judged != nil {
		fmt.Fprintln(io.out, "considered")
		printOthers(io.out, x.Judged)
		if c := x.Judged.Change; c != nil {
			fmt.Fprintf(io.out, "to allow it\n  change  %s: %s\n", positions([]schema.Pos{c.Pos}), c.Text)
		}
	}
	if x.Note != "" {
		fmt.Fprintln(io.out, "note: "+x.Note)
	}
}

func printJudged(w io.Writer, c *compiler.Considered) {
	who := strings.Join(c.Verdict.Workloads, "+")
	if who == "" {
		who = compiler.DescribeSubject(c.Event.Subject)
	}
	fmt.Fprintf(w, "%-8s %s %s: %s\n", compiler.ActionWord(c.Verdict.Action), who, compiler.DescribeEvent(c.Event), c.Because)
}

func printOthers(w io.Writer, c *compiler.Considered) {
	for _, o := range c.Others {
		printConsidered(w, string(o.Outcome), o.Stated, o.Because)
	}
	if len(c.Others) == 0 {
		fmt.Fprintln(w, "  nothing else")
	}
	if c.More > 0 {
		fmt.Fprintf(w, "  and %d more\n", c.More)
	}
}

func printConsidered(w io.Writer, outcome string, s compiler.Stated, because string) {
	at := "-"
	if len(s.Pos) > 0 {
		at = positions(s.Pos[:1])
	}
	headline := s.Headline()
	if s.Kind == bundle.KindWorkload {
		headline = "workload " + printable(s.Name)
	}
	fmt.Fprintf(w, "  %-10s %s: %s: %s\n", outcome, at, headline, because)
}
