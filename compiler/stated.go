// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// Stated is one thing that a policy states: what an ID or a line stands for.
type Stated struct {
	Workload string      `json:"workload"`        // whose rule or closing it is, or ""
	Owner    string      `json:"owner,omitempty"` // whom to ask
	Mode     schema.Mode `json:"mode,omitempty"`  // of the plane in this workload, or of the bound
	bundle.RuleEntry
	// Withheld says that there is no policy of the network for the plane, or a wider one, because of another workload; see [bundle.Withheld].
	Withheld *bundle.Withholding `json:"withheld,omitempty"`
}

// StatedIn returns what a rule table states, in the order of its entries. Each entry of a workload has the mode of its plane, with both sides
// of a planned change, and what the workload selects.
func StatedIn(t *bundle.RuleTable) []Stated {
	closures := map[schema.Plane]*bundle.RuleEntry{}
	for i := range t.Entries {
		if e := &t.Entries[i]; t.Workload != "" && e.Verb == "" {
			closures[e.Plane] = e
		}
	}
	all := make([]Stated, len(t.Entries))
	for i, e := range t.Entries {
		s := Stated{Workload: t.Workload, Owner: t.Owner, Mode: e.Mode, RuleEntry: e}
		if t.Workload == "" {
			s.Owner = e.Owner
		} else {
			s.underClosure(closures[e.Plane])
			s.selects(&t.Match)
		}
		all[i] = s
	}
	return all
}

// StatedWorkload returns the workload that a rule table is of.
func StatedWorkload(t *bundle.RuleTable) Stated {
	s := Stated{Workload: t.Workload, Owner: t.Owner, RuleEntry: bundle.RuleEntry{Kind: bundle.KindWorkload, Name: t.Workload, Pos: t.Pos}}
	s.selects(&t.Match)
	var planes []string
	for _, e := range t.Entries {
		if e.Verb == "" {
			planes = append(planes, string(e.Plane))
		}
	}
	slices.Sort(planes)
	s.Text = fmt.Sprintf("mentions %s, with %s", strings.Join(planes, ", "), countOf(len(t.Entries)-len(planes), "rule"))
	if len(planes) == 0 {
		s.Text = "mentions no plane"
	}
	return s
}

func (s *Stated) underClosure(c *bundle.RuleEntry) {
	if c != nil {
		s.Mode, s.Then, s.After = c.Mode, c.Then, c.After
	}
}

func (s *Stated) selects(m *schema.Match) {
	if !m.Zero() {
		s.Match = m
	}
}

// At returns the first place that states it; the zero Pos is none.
func (s *Stated) At() schema.Pos {
	if len(s.Pos) == 0 {
		return schema.Pos{}
	}
	return s.Pos[0]
}

// Headline says in one line what it is, fit for a terminal.
func (s *Stated) Headline() string {
	switch s.Kind {
	case "":
		return s.permission()
	case bundle.KindNever:
		return "bound " + quoted(s.Name) + ": never " + Describe(s.Rule()) + s.acts()
	case bundle.KindOnly:
		if s.Verb == "" {
			return fmt.Sprintf("bound %s: no rule of %s", quoted(s.Name), quoted(string(s.Plane)))
		}
		return "bound " + quoted(s.Name) + ": rules of " + quoted(string(s.Plane)) + " only within " + Describe(s.Rule())
	case bundle.KindPatch:
		return "exception " + quoted(s.Name) + ": " + through(s.After) + " never " + Describe(s.Rule()) + ", in " + strings.Join(quotedAll(s.Images), ", ")
	case bundle.KindAlternative:
		return "gate " + quoted(s.Name) + " denies " + quoted(s.Object) + ": " + s.Text
	case bundle.KindBuiltin:
		return s.Text
	case bundle.KindWorkload:
		if s.Match != nil {
			return "workload " + quoted(s.Name) + " selects " + DescribeMatch(*s.Match) + "; it " + s.Text
		}
	case bundle.KindAdmission, bundle.KindBudget:
		return s.Kind + ": " + s.Text
	}
	return quoted(s.Kind) + " " + quoted(s.Name) + ": " + escape(s.Text)
}

func (s *Stated) permission() string {
	if s.Verb == "" {
		return fmt.Sprintf("workload %s %s is %s", quoted(s.Workload), s.closes(), s.consequence())
	}
	may := "may "
	if s.Verb == schema.VerbSet {
		may = "demands of a Pod to "
	}
	return "workload " + quoted(s.Workload) + " " + may + Describe(s.Rule())
}

func (s *Stated) closes() string {
	switch s.Plane {
	case schema.PlaneImage:
		return "states conditions on images: what does not meet them"
	case schema.PlanePod:
		return "states conditions on Pods: what does not meet them"
	}
	return fmt.Sprintf("closes %s: what no rule names", quoted(string(s.Plane)))
}

// consequence says what happens to what a closed plane or a bound does not allow, on both sides of a planned change.
func (s *Stated) consequence() string {
	if s.Then == "" {
		return consequenceOf(s.Mode)
	}
	return consequenceOf(s.Mode) + " " + through(s.After) + ", then " + consequenceOf(s.Then)
}

// acts adds to a headline what a bound does that does not forbid in earnest.
func (s *Stated) acts() string {
	if s.Then == "" && s.Mode == schema.ModeEnforce {
		return ""
	}
	return " (" + s.consequence() + ")"
}

func consequenceOf(m schema.Mode) string {
	switch m {
	case schema.ModeLearn:
		return "allowed and learned"
	case schema.ModeAudit:
		return "allowed and reported"
	}
	return "denied"
}

// findStated returns what the rule of a verdict stands for. The selection is looked through first, then all bounds: one may require a
// workload of whom none selects.
func findStated(p *schema.Policy, sel schema.Selection, id schema.RuleID) (Stated, bool) {
	if id == 0 {
		return Stated{}, false
	}
	if id == schema.BuiltinProbe {
		return Stated{RuleEntry: bundle.RuleEntry{ID: id, Kind: bundle.KindBuiltin, Name: "probe", Plane: schema.PlaneIngress,
			Text: "builtin/probe: the own node may probe a container; it has no line of policy"}}, true
	}
	for _, w := range sel.Workloads {
		if s, ok := statedByWorkload(w, id); ok {
			return s, true
		}
	}
	for _, x := range sel.Patches {
		if s, ok := statedAmong(exceptionEntries(x), id); ok {
			return s, true
		}
	}
	for i := range p.Bounds {
		if s, ok := statedAmong(boundEntries(&p.Bounds[i]), id); ok {
			return s, true
		}
	}
	return Stated{}, false
}

func statedByWorkload(w *schema.Workload, id schema.RuleID) (Stated, bool) {
	for i := range w.Closures {
		if w.Closures[i].ID == id {
			return closureStated(w, &w.Closures[i]), true
		}
	}
	for i := range w.Rules {
		if w.Rules[i].ID == id {
			return ruleStated(w, &w.Rules[i]), true
		}
	}
	return Stated{}, false
}

func statedAmong(entries []bundle.RuleEntry, id schema.RuleID) (Stated, bool) {
	for _, e := range entries {
		if e.ID == id {
			return entryStated(e), true
		}
	}
	return Stated{}, false
}

// entryStated is for entries of the policy's own table.
func entryStated(e bundle.RuleEntry) Stated {
	return Stated{Owner: e.Owner, Mode: e.Mode, RuleEntry: e}
}

func ruleStated(w *schema.Workload, r *schema.Rule) Stated {
	s := Stated{Workload: w.Name, Owner: w.Owner, RuleEntry: ruleEntry(r)}
	if c, ok := w.Closure(r.Plane); ok {
		s.Mode, s.Then, s.After = c.Mode, c.Then, c.After
	}
	s.selects(&w.Match)
	return s
}

func closureStated(w *schema.Workload, c *schema.Closure) Stated {
	s := Stated{Workload: w.Name, Owner: w.Owner, Mode: c.Mode, RuleEntry: closureEntry(c)}
	s.selects(&w.Match)
	return s
}
