// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/enforcer/node/wire"
	"github.com/writ-sec/writ/reconciler"
	"github.com/writ-sec/writ/schema"
)

// entry is one line of writ up. Exactly one field besides Time is filled in.
type entry struct {
	Time    time.Time     `json:"time"`
	InForce *inForce      `json:"inForce,omitempty"`
	Broken  *broken       `json:"broken,omitempty"`
	Report  *reportEntry  `json:"report,omitempty"`
	Lost    *wire.Lost    `json:"lost,omitempty"`
	Backend *wire.Backend `json:"backend,omitempty"`
	Notice  string        `json:"notice,omitempty"`
}

// inForce tells of a generation that is now in force.
type inForce struct {
	Digest   string                `json:"digest"`
	Commit   string                `json:"commit"`
	Author   string                `json:"author"`
	Subject  string                `json:"subject"`
	Changes  []reconciler.Change   `json:"changes"`
	Warnings []compiler.Diagnostic `json:"warnings,omitempty"`
	Millis   millis                `json:"ms"`
}

// millis says where the time from the begin of the pull to in force went, in milliseconds.
type millis struct {
	Fetch   float64 `json:"fetch"`
	Read    float64 `json:"read"`
	Compile float64 `json:"compile"`
	Apply   float64 `json:"apply"`
	Total   float64 `json:"total"`
}

func newMillis(t reconciler.Timings) millis {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return millis{ms(t.Fetch), ms(t.Read), ms(t.Compile), ms(t.Apply), ms(t.Total)}
}

// broken tells of a commit that is not in force, and what is instead.
type broken struct {
	Commit string                `json:"commit,omitempty"`
	Error  string                `json:"error"`
	Errors []compiler.Diagnostic `json:"errors,omitempty"`  // when the policy is at fault
	Digest string                `json:"inForce,omitempty"` // the generation that stays
}

// reportEntry is an event of this host with the line of policy behind the verdict.
type reportEntry struct {
	schema.Report
	Rule *explained `json:"ruleEntry,omitempty"`
}

// journal prints what happens, as text or JSON lines. It is safe for concurrent use.
type journal struct {
	mu    sync.Mutex
	io    stdio
	out   outputFlag
	style style
	last  string // the last broken line, which is printed once and not at each poll
}

func newJournal(io stdio, out outputFlag) *journal {
	return &journal{io: io, out: out, style: styleFor(io.out)}
}

func (j *journal) write(e entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Time = time.Now().UTC()
	if e.Broken != nil {
		key := e.Broken.Commit + "\x00" + e.Broken.Error
		if key == j.last {
			return
		}
		j.last = key
	} else if e.InForce != nil {
		j.last = ""
	}
	if j.out == outputJSON {
		_ = j.io.json(e) // a closed standard output is the reader's choice; enforcement goes on
		return
	}
	fmt.Fprintf(j.io.out, "%s %s\n", j.style.dim(e.Time.Format("15:04:05")), j.text(e))
}

func (j *journal) text(e entry) string {
	switch {
	case e.InForce != nil:
		return j.textInForce(*e.InForce)
	case e.Broken != nil:
		return j.textBroken(*e.Broken)
	case e.Report != nil:
		return j.textReport(*e.Report)
	case e.Lost != nil:
		return j.style.red("lost") + fmt.Sprintf("      %s (%s)", plural(int(e.Lost.Count), "event"), printable(e.Lost.Cause))
	case e.Backend != nil:
		return fmt.Sprintf("backend   %s on Linux %s", e.Backend.Name, e.Backend.Kernel)
	}
	return "note      " + printableText(e.Notice)
}

func (j *journal) textInForce(f inForce) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %.12s, commit %.12s by %s: %s (%.0f ms)", j.style.green("in force"), f.Digest, f.Commit, printableText(f.Author), printableText(f.Subject), f.Millis.Total)
	if len(f.Changes) == 0 {
		b.WriteString("\n           the policy is as it was")
	}
	for _, c := range f.Changes {
		fmt.Fprintf(&b, "\n           %s", c)
	}
	for _, w := range f.Warnings {
		fmt.Fprintf(&b, "\n           warning: %s", printableText(w.String()))
	}
	return b.String()
}

func (j *journal) textBroken(f broken) string {
	var b strings.Builder
	b.WriteString(j.style.red("broken") + "    ")
	for i, l := range strings.Split(f.Error, "\n") {
		if i > 0 {
			b.WriteString("\n           ")
		}
		b.WriteString(printableText(l))
	}
	switch {
	case len(f.Errors) > 0: // the message says what stays
	case f.Digest != "":
		fmt.Fprintf(&b, "\n           generation %.12s stays in force", f.Digest)
	default:
		b.WriteString("\n           nothing is in force by this process")
	}
	return b.String()
}

func (j *journal) textReport(r reportEntry) string {
	word := map[schema.Action]string{schema.ActionDeny: j.style.red("denied"), schema.ActionAudit: "audited", schema.ActionLearn: "new"}[r.Verdict.Action]
	if word == "" {
		word = string(r.Verdict.Action)
	}
	pad := strings.Repeat(" ", max(1, 10-len(word)))
	if j.style.on && r.Verdict.Action == schema.ActionDeny {
		pad = "    "
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s%s %s %s", word, pad, strings.Join(r.Verdict.Workloads, "+"), r.Verb, printable(string(r.Object)))
	if r.Origin != schema.OriginPath {
		fmt.Fprintf(&b, " (%s)", r.Origin)
	}
	if r.Count > 1 {
		fmt.Fprintf(&b, " x%d", r.Count)
	}
	if r.Parent != "" {
		fmt.Fprintf(&b, " by %s", printable(string(r.Parent)))
	}
	fmt.Fprintf(&b, ", pid %d, event %s", r.PID, r.ID)
	if r.Rule != nil {
		fmt.Fprintf(&b, "\n           %s: %s", j.style.bold(r.Rule.where()), r.Rule.headline())
		if r.Rule.Why != "" {
			fmt.Fprintf(&b, " (%s)", printableText(r.Rule.Why))
		}
		if r.Rule.Owner != "" {
			fmt.Fprintf(&b, "; ask %s", printableText(r.Rule.Owner))
		}
	}
	return b.String()
}

// outcomeEntry turns what the reconciler says into an entry. It is silent when nothing was written and the commit in force is the one told of
// before; last is that one's hash.
func outcomeEntry(o reconciler.Outcome, last string) (e entry, ok bool) {
	if o.Err != nil {
		b := &broken{Commit: o.Commit, Error: o.Err.Error(), Digest: o.Digest}
		var errs compiler.Errors
		if errors.As(o.Err, &errs) {
			b.Errors = errs
		}
		return entry{Broken: b}, true
	}
	if !o.Changed && o.InForce == last {
		return entry{}, false
	}
	return entry{InForce: &inForce{
		Digest: o.Digest, Commit: o.Commit, Author: o.Author, Subject: o.Subject, Changes: append([]reconciler.Change{}, o.Changes...),
		Warnings: o.Warnings, Millis: newMillis(o.Timings),
	}}, true
}
