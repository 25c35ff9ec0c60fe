// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"

	"github.com/writ-sec/writ/cmd/checkwire"
	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
	"github.com/writ-sec/writ/schema/manifest"
)

// checkReport is what check found, and what -o json prints.
type checkReport struct {
	Objects   int                   `json:"objects"` // all that were read
	Judged    int                   `json:"judged"`  // those that make Pods
	Skipped   map[string]int        `json:"skipped"` // those that make none, by kind
	Denied    int                   `json:"denied"`
	Warned    int                   `json:"warned"`    // admitted with a warning
	Noted     int                   `json:"noted"`     // admitted, and only recorded
	Findings  []checkFinding        `json:"findings"`  // by position
	Uncovered []objectRef           `json:"uncovered"` // which no workload of the policy selects
	Problems  []compiler.Diagnostic `json:"problems"`  // of the input, by position
	root      string                // of the policy repository
	judged    []*checkObject        // in the order of the input
	tables    map[string][]compiler.Stated
}

// checkFinding is one violation.
type checkFinding struct {
	Pos       schema.Pos    `json:"pos"` // of the value at fault, or of what is nearest around it; of an item of a ResourceList line 0
	Object    objectRef     `json:"object"`
	Path      string        `json:"path,omitempty"` // of the value at fault, from the object's root
	Action    string        `json:"action"`         // deny, warn or dryrun
	Container string        `json:"container,omitempty"`
	Field     string        `json:"field"` // of the Pod, or "image"
	Value     string        `json:"value,omitempty"`
	Reason    string        `json:"reason,omitempty"`
	Workload  string        `json:"workload,omitempty"`
	Bound     string        `json:"bound,omitempty"`
	Rule      schema.RuleID `json:"rule,omitzero"`
	Stated    []schema.Pos  `json:"stated,omitempty"` // where the policy states the rule
	Why       string        `json:"why,omitempty"`
	Owner     string        `json:"owner,omitempty"`
	Msg       string        `json:"msg"`              // what the cluster says
	Change    string        `json:"change,omitempty"` // what to do
	Source    string        `json:"source,omitempty"` // the line at pos
	what      string        // the part of msg that says what is wrong
	object    *checkObject
}

func newCheckReport(in *checkInput, root string) *checkReport {
	return &checkReport{Objects: in.objects, Judged: len(in.judged), Skipped: in.skipped, Findings: []checkFinding{}, Uncovered: []objectRef{},
		Problems: append([]compiler.Diagnostic{}, in.problems...), root: root, judged: in.judged, tables: map[string][]compiler.Stated{}}
}

// add adds what the engine says of an object.
func (r *checkReport) add(o *checkObject, answer checkwire.Reply, b *bundle.Bundle) {
	if answer.Error != "" {
		p := o.At(nil)
		r.Problems = append(r.Problems, compiler.Diagnostic{Pos: p, Path: o.ref().String(), Msg: "can't be judged: " + answer.Error, Source: o.Source(p)})
		return
	}
	var place places
	most := compiler.Level("")
	for _, v := range answer.Violations {
		if place.fields == nil {
			place = places{o.pod.Fields(), o.pod.Containers()}
		}
		f := newFinding(o, v, place)
		r.explain(&f, b)
		r.Findings = append(r.Findings, f)
		if l := f.level(); most == "" || rankOf[l] > rankOf[most] {
			most = l
		}
	}
	switch most {
	case compiler.LevelError:
		r.Denied++
	case compiler.LevelWarning:
		r.Warned++
	case compiler.LevelNote:
		r.Noted++
	}
}

var rankOf = map[compiler.Level]int{compiler.LevelNote: 1, compiler.LevelWarning: 2, compiler.LevelError: 3}

// level says how much the finding counts. An action that this version does not know counts most.
func (f *checkFinding) level() compiler.Level {
	switch f.Action {
	case "warn":
		return compiler.LevelWarning
	case "dryrun":
		return compiler.LevelNote
	}
	return compiler.LevelError
}

func newFinding(o *checkObject, v checkwire.Violation, place places) checkFinding {
	text := func(key string) string { s, _ := v.Details[key].(string); return s }
	f := checkFinding{Object: o.ref(), Action: v.Action, Container: text("container"), Field: text("field"), Value: text("value"), Reason: text("reason"),
		Workload: text("workload"), Bound: text("bound"), Msg: v.Msg, object: o}
	_ = f.Rule.UnmarshalText([]byte(text("rule"))) // the zero ID is none
	if f.Field == "" {
		f.Field = "image"
	}
	path := slices.Concat(anyPath(o.pod.Path), place.of(f))
	f.Path = manifest.FormatPath(path)
	f.Pos = o.At(path)
	f.Source = o.Source(f.Pos)
	f.what, f.Change = split(f)
	return f
}

// split takes from a message what is wrong, and what to change: its first and its last part. What is between them is told by the policy itself.
func split(f checkFinding) (what, change string) {
	by := "; workload " + f.Workload
	if f.Bound != "" {
		by = "; bound " + f.Bound
	}
	what, rest, ok := strings.Cut(f.Msg, by)
	if !ok || f.Workload+f.Bound == "" {
		return f.Msg, ""
	}
	if i := strings.LastIndex(rest, "; "); i >= 0 && !strings.HasPrefix(rest[i:], "; why: ") {
		change = rest[i+2:]
	}
	return what, change
}

// places knows where the values of a Pod stand.
type places struct {
	fields     map[schema.PodField][]manifest.Value
	containers []manifest.Container
}

// of returns the path, in the Pod, of what a finding is about.
func (p places) of(f checkFinding) []any {
	container := p.container(f)
	if f.Field == "image" {
		if container == nil {
			return []any{"spec"}
		}
		return slices.Concat(container.Path, []any{"image"})
	}
	if f.Field == string(schema.PodDropCapabilities) && container != nil { // what is lacking has no place of its own
		return slices.Concat(container.Path, []any{"securityContext", "capabilities", "drop"})
	}
	best, most := []any{"spec"}, -1
	for _, v := range p.fields[schema.PodField(f.Field)] {
		score := 0
		if isCut(f.Value, v.Value) {
			score += 2
		}
		if isCut(f.Container, v.Container) {
			score++
		}
		if score > most {
			best, most = v.Path, score
		}
	}
	if most < 0 && container != nil {
		return slices.Concat(container.Path, []any{"securityContext"})
	}
	return best
}

// container finds the container, best the one with the image.
func (p places) container(f checkFinding) *manifest.Container {
	var found *manifest.Container
	for i := range p.containers {
		c := &p.containers[i]
		if !isCut(f.Container, c.Name) {
			continue
		}
		if f.Field == "image" && f.Value != "" && isCut(f.Value, c.Image) {
			return c
		}
		if found == nil {
			found = c
		}
	}
	return found
}

// isCut says whether a text of a message is the whole one, or its beginning where it was too long.
func isCut(text, whole string) bool {
	begin, cut := strings.CutSuffix(text, "...")
	return text == whole || cut && strings.HasPrefix(whole, begin)
}

// explain adds what the policy says of the rule.
func (r *checkReport) explain(f *checkFinding, b *bundle.Bundle) {
	path := bundle.PolicyTable
	if f.Workload != "" {
		path = bundle.RulesDir + "/" + f.Workload + ".json"
	}
	stated, known := r.tables[path]
	if !known {
		if t, err := b.RuleTable(path); err == nil { // what is not told there is in the message
			stated = compiler.StatedIn(&t)
		}
		r.tables[path] = stated
	}
	i := slices.IndexFunc(stated, func(s compiler.Stated) bool { return s.ID != 0 && s.ID == f.Rule })
	if i < 0 {
		i = slices.IndexFunc(stated, func(s compiler.Stated) bool { return f.Bound != "" && s.Kind == bundle.KindBound && s.Name == f.Bound })
	}
	if i >= 0 {
		f.Stated, f.Why, f.Owner = stated[i].Pos, stated[i].Why, stated[i].Owner
	}
}

// coverage says which Pods the policy speaks of.
type coverage struct {
	byNamespace map[string][]schema.Match
}

func newCoverage(selectors map[string]schema.Match) coverage {
	c := coverage{map[string][]schema.Match{}}
	for _, m := range selectors {
		c.byNamespace[m.Namespace] = append(c.byNamespace[m.Namespace], m)
	}
	return c
}

// selects says whether a workload selects a Pod or one of its containers.
func (c coverage) selects(pod manifest.Pod) bool {
	subject := schema.Subject{Namespace: pod.Namespace, Labels: pod.Labels}
	subjects := []schema.Subject{subject}
	for _, container := range pod.Containers() {
		subject.Container, subject.Image = container.Name, container.Image
		subjects = append(subjects, subject)
	}
	for _, namespace := range []string{pod.Namespace, ""} {
		for _, m := range c.byNamespace[namespace] {
			if slices.ContainsFunc(subjects, m.Selects) {
				return true
			}
		}
	}
	return false
}
