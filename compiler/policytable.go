// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// PolicyTable returns the rule table of what no workload states.
func PolicyTable(p *schema.Policy) bundle.RuleTable {
	t := bundle.RuleTable{Pos: []schema.Pos{}, Entries: []bundle.RuleEntry{}}
	add := func(e bundle.RuleEntry) { t.Entries = append(t.Entries, e) }
	for i := range p.Bounds {
		t.Entries = append(t.Entries, boundEntries(&p.Bounds[i])...)
	}
	for i := range p.Exceptions {
		t.Entries = append(t.Entries, exceptionEntries(&p.Exceptions[i])...)
	}
	for i := range p.Gates {
		t.Entries = append(t.Entries, gateEntries(&p.Gates[i])...)
	}
	for _, s := range p.Signers {
		add(bundle.RuleEntry{Kind: bundle.KindSigner, Name: s.Name, Owner: s.Owner, Why: s.Why, Text: describeSigner(s), Pos: s.Pos})
	}
	for _, r := range p.Registries {
		add(bundle.RuleEntry{Kind: bundle.KindRegistry, Name: r.Name, Owner: r.Owner, Why: r.Why, Text: describeRegistry(r), Pos: r.Pos})
	}
	for _, r := range p.Responses {
		add(bundle.RuleEntry{Kind: bundle.KindResponse, Name: r.Name, Owner: r.Owner, Why: r.Why, Mode: r.Mode, Then: r.Then, After: r.After,
			Text: describeResponse(r), Pos: r.Pos})
	}
	for _, n := range p.Notify {
		add(bundle.RuleEntry{Kind: bundle.KindNotify, Name: n.Name, Owner: n.Owner, Why: n.Why, Text: n.Kind + " to " + quoted(n.To), Pos: n.Pos})
	}
	for _, b := range p.Benchmarks {
		add(bundle.RuleEntry{Kind: bundle.KindBenchmark, Name: b.Name, Owner: b.Owner, Why: b.Why, Text: describeBenchmark(b), Pos: b.Pos})
	}
	for _, c := range p.Checks {
		add(bundle.RuleEntry{Kind: bundle.KindCheck, Name: c.Name, Owner: c.Owner, Why: c.Why, Text: describeCheck(c), Pos: c.Pos})
	}
	for _, c := range p.Clusters {
		add(bundle.RuleEntry{Kind: bundle.KindCluster, Name: c.Name, Owner: c.Owner, Why: c.Why, Text: describeCluster(c), Pos: c.Pos})
	}
	for _, f := range p.Folders {
		add(bundle.RuleEntry{Kind: bundle.KindFolder, Name: f.Path, Owner: f.Owner, Text: describeFolder(f), Pos: f.Pos})
	}
	for _, s := range p.Tests {
		add(bundle.RuleEntry{Kind: bundle.KindTest, Name: s.Name, Why: s.Why, Text: describeTest(s), Pos: s.Pos})
	}
	if len(p.Admission.Pos) > 0 {
		add(bundle.RuleEntry{Kind: bundle.KindAdmission, Name: bundle.KindAdmission, Text: describeAdmission(p.Admission), Pos: p.Admission.Pos})
	}
	if len(p.Budget.Pos) > 0 {
		add(bundle.RuleEntry{Kind: bundle.KindBudget, Name: bundle.KindBudget, Text: describeBudget(p.Budget), Pos: p.Budget.Pos})
	}
	sortEntries(t.Entries)
	return t
}

func boundEntries(b *schema.Bound) []bundle.RuleEntry {
	self := bundle.RuleEntry{ID: b.ID, Kind: bundle.KindBound, Name: b.Name, Owner: b.Owner, Why: b.Why, Mode: b.Mode, Then: b.Then, After: b.After,
		Requires: requires(b.Require), Text: "holds for " + DescribeMatch(b.Match), Pos: b.Pos}
	if !b.Match.Zero() {
		self.Match = &b.Match
	}
	if len(self.Requires) > 0 {
		self.Text += ", whose workloads must state " + strings.Join(self.Requires, ", ")
	}
	entries := []bundle.RuleEntry{self}
	for i := range b.Never {
		entries = append(entries, limitEntry(b, bundle.KindNever, &b.Never[i]))
	}
	for i := range b.Only {
		limit := &b.Only[i]
		for j := range limit.Rules {
			entries = append(entries, limitEntry(b, bundle.KindOnly, &limit.Rules[j]))
		}
		if len(limit.Rules) == 0 {
			entries = append(entries, bundle.RuleEntry{Kind: bundle.KindOnly, Name: b.Name, Owner: b.Owner, Plane: limit.Plane, Pos: limit.Pos})
		}
	}
	return entries
}

func limitEntry(b *schema.Bound, kind string, r *schema.Rule) bundle.RuleEntry {
	e := ruleEntry(r)
	e.Kind, e.Name, e.Owner, e.Why = kind, b.Name, b.Owner, cmp.Or(r.Why, b.Why)
	if !b.Match.Zero() {
		e.Match = &b.Match
	}
	if kind == bundle.KindNever {
		e.Mode, e.Then, e.After = b.Mode, b.Then, b.After
	}
	return e
}

func exceptionEntries(x *schema.Exception) []bundle.RuleEntry {
	entries := []bundle.RuleEntry{{Kind: bundle.KindException, Name: x.Name, Owner: x.Owner, Why: x.Why, Images: x.Images, Values: x.Findings, After: x.Expires, Pos: x.Pos,
		Text: fmt.Sprintf("%s does not count in %s %s", strings.Join(quotedAll(x.Findings), ", "), strings.Join(quotedAll(x.Images), ", "), through(x.Expires))}}
	for i := range x.Patch {
		e := ruleEntry(&x.Patch[i])
		e.Kind, e.Name, e.Owner, e.Why = bundle.KindPatch, x.Name, x.Owner, cmp.Or(e.Why, x.Why)
		e.Mode, e.After, e.Images = schema.ModeEnforce, x.Expires, x.Images
		entries = append(entries, e)
	}
	return entries
}

func gateEntries(g *schema.Gate) []bundle.RuleEntry {
	entries := []bundle.RuleEntry{{Kind: bundle.KindGate, Name: g.Name, Owner: g.Owner, Why: g.Why, Text: describeGate(g), Pos: g.Pos}}
	for _, a := range g.Deny {
		entries = append(entries, bundle.RuleEntry{ID: a.ID, Kind: bundle.KindAlternative, Name: g.Name, Owner: g.Owner, Object: a.Name, Text: describeAlternative(a), Why: a.Why, Pos: a.Pos})
	}
	return entries
}

// joinWords joins what is not empty.
func joinWords(separator string, words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), separator)
}

// labelled returns "what value", or nothing for an empty value.
func labelled(what, value string) string {
	if value == "" {
		return ""
	}
	return what + " " + quoted(value)
}

// chosen lists the words whose flag is set.
func chosen(words []string, flags ...bool) []string {
	var all []string
	for i, set := range flags {
		if set {
			all = append(all, words[i])
		}
	}
	return all
}

func requires(r schema.Require) schema.Names {
	names := chosen([]string{"workload", "owner", "why", "exec", "file", "capability", "egress", "ingress", "image", "signedBy", "gate"},
		r.Workload, r.Owner, r.Why, r.Exec, r.File, r.Capability, r.Egress, r.Ingress, r.Image, r.SignedBy, r.Gate)
	if r.Profile != "" {
		names = append(names, "profile "+r.Profile)
	}
	return names
}

func describeGate(g *schema.Gate) string {
	at := cmp.Or(strings.Join(chosen([]string{"build", "registry", "admission", "runtime"}, g.At.Build, g.At.Registry, g.At.Admission, g.At.Runtime), ", "), "everywhere")
	fresh := ""
	if g.Fresh != "" {
		fresh = fmt.Sprintf("a verdict older than %s: %s", quoted(g.Fresh), cmp.Or(g.Stale, "warn"))
	}
	grace := ""
	if g.Grace != "" {
		grace = "a finding denies only " + quoted(g.Grace) + " after it is first known"
	}
	return joinWords("; ", "stands at: "+at, countOf(len(g.Deny), "alternative"), grace, fresh, "no verdict: "+cmp.Or(g.Missing, "deny"))
}

func describeAlternative(a schema.Alternative) string {
	condition := func(set *bool, yes, no string) string {
		if set == nil {
			return ""
		}
		return map[bool]string{true: yes, false: no}[*set]
	}
	severity := ""
	if a.Severity != "" {
		severity = "severity " + quoted(a.Severity) + " or above"
	}
	words := joinWords(", ", severity, labelled("finding", a.Finding), labelled("package", a.Package), condition(a.Fixable, "fixable", "not fixable"),
		labelled("older than", a.OlderThan), labelled("based on", a.Base), condition(a.Root, "runs as root", "does not run as root"),
		condition(a.Signed, "signed", "not signed"))
	return a.Class + ": " + cmp.Or(words, "any")
}

func describeSigner(s schema.Signer) string {
	if s.Keyless != nil {
		return "signs as " + quoted(s.Keyless.Identity) + ", certified by " + quoted(s.Keyless.Issuer)
	}
	return "signs with a public key"
}

func describeRegistry(r schema.Registry) string {
	repositories := "all repositories"
	if len(r.Repositories) > 0 {
		repositories = strings.Join(quotedAll(slices.Sorted(maps.Keys(r.Repositories))), ", ")
	}
	return joinWords(", ", quoted(r.Host)+": "+repositories, labelled("every", r.Every), labelled("gate", r.Gate))
}

func describeResponse(r schema.Response) string {
	on := r.On
	when := joinWords(", ", labelled("workload", on.Workload), labelled("plane", string(on.Plane)), labelled("verdict", string(on.Verdict)),
		labelled("bound", on.Bound), labelled("gate", on.Gate), labelled("severity", on.Severity))
	if on.Count > 1 {
		when = joinWords(", ", when, fmt.Sprintf("%d times", on.Count), labelled("within", on.Within))
	}
	notify, kill := "", ""
	if len(r.Do.Notify) > 0 {
		notify = "notify " + strings.Join(quotedAll(r.Do.Notify), ", ")
	}
	if r.Do.Kill {
		kill = "kill"
	}
	return "on " + cmp.Or(when, "anything") + ": " + joinWords(", ", notify, labelled("quarantine for", r.Do.Quarantine), labelled("capture for", r.Do.Capture), kill)
}

func describeBenchmark(b schema.Benchmark) string {
	skip := ""
	if len(b.Skip) > 0 {
		skip = "without " + strings.Join(quotedAll(slices.Sorted(maps.Keys(b.Skip))), ", ")
	}
	return joinWords(", ", fmt.Sprintf("%s, level %d", quoted(b.Profile), max(b.Level, 1)), labelled("every", b.Every), skip)
}

func describeCheck(c schema.Check) string {
	return joinWords(", ", quoted(c.Of.Kind)+" of "+quoted(c.Of.APIVersion), labelled("namespace", c.Of.Namespace),
		"must hold: "+strings.Join(quotedAll(slices.Sorted(maps.Keys(c.Must))), ", "))
}

func describeCluster(c schema.Cluster) string {
	folders := "all folders"
	if len(c.Folders) > 0 {
		folders = "folders " + strings.Join(quotedAll(c.Folders), ", ")
	}
	var modes []string
	for _, m := range c.Modes {
		modes = append(modes, joinWords(" ", string(m.Plane), DescribeMode(m.Mode, m.Then, m.After)))
	}
	mode := ""
	if len(modes) > 0 {
		mode = "mode: " + strings.Join(modes, ", ")
	}
	single := ""
	if len(c.Workloads) > 0 {
		single = "other modes for " + strings.Join(quotedAll(slices.Sorted(maps.Keys(c.Workloads))), ", ")
	}
	return joinWords("; ", folders, mode, single, labelled("admission by", c.Admission))
}

func describeFolder(f schema.Folder) string {
	namespaces := "no namespace"
	if len(f.Namespaces) > 0 {
		namespaces = "namespaces " + strings.Join(quotedAll(f.Namespaces), ", ")
	}
	host := ""
	if f.Host {
		host = "the host"
	}
	images := ""
	if len(f.Images) > 0 {
		images = "exceptions for images " + strings.Join(quotedAll(f.Images), ", ")
	}
	return "its files may speak of " + joinWords(", ", namespaces, host, images)
}

func describeTest(t schema.Test) string {
	who := DescribeSubject(t.Event.Subject)
	if t.In != "" {
		who = "workload " + quoted(t.In)
	}
	return joinWords(" ", describeEvent(t.Event, t.Peer), "in "+who, "is "+ActionWord(t.Is), labelled("by", t.By))
}

func describeAdmission(stated schema.Admission) string {
	a := stated.Effective()
	makers := make([]string, len(a.Makers))
	for i, m := range a.Makers {
		makers[i] = m.Kind
	}
	words := []string{"by " + admissionNames[a.By]}
	if a.Gatekeeper() {
		words = append(words, "Gatekeeper's failure policy "+a.FailurePolicy.Gatekeeper)
	}
	if a.VAP() {
		words = append(words, "that of ValidatingAdmissionPolicy "+a.FailurePolicy.VAP)
	}
	if a.Cilium {
		words = append(words, "network by Cilium")
	}
	if len(makers) > 0 {
		words = append(words, "Pods are also made by "+strings.Join(quotedAll(makers), ", "))
	}
	return strings.Join(words, ", ")
}

// admissionNames are the names of what enforces at admission, as people know them.
var admissionNames = map[string]string{
	schema.AdmissionGatekeeper: "Gatekeeper", schema.AdmissionVAP: "ValidatingAdmissionPolicy", schema.AdmissionBoth: "Gatekeeper and ValidatingAdmissionPolicy",
}

func describeBudget(b schema.Budget) string {
	bound := func(n int64, what string) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf("at most %d %s", n, what)
	}
	return joinWords(", ", bound(int64(b.NodeEntries), "map entries on a node"), bound(b.NodeBytes, "bytes of maps on a node"), bound(int64(b.Objects), "admission objects"),
		bound(b.ObjectBytes, "bytes in the largest object"))
}

// ActionWord returns the word that a policy has for an action: "allowed", "learned", "audited" or "denied".
func ActionWord(a schema.Action) string {
	words := map[schema.Action]string{schema.ActionAllow: "allowed", schema.ActionLearn: "learned", schema.ActionAudit: "audited", schema.ActionDeny: "denied"}
	if w, ok := words[a]; ok {
		return w
	}
	return quoted(string(a))
}
