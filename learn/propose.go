// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
)

// DefaultLimit is how many changes a proposal for one workload holds when [Options.Limit] is 0. More is no longer reviewed by anybody.
const DefaultLimit = 1000

// Options choose what is proposed. The zero Options propose everything that was learned or audited.
type Options struct {
	// IDs name observations, in full or by a unique prefix. If there are any, only these are proposed, and only so are denials.
	IDs      []string
	Workload string // only changes to this workload; "": all
	Limit    int    // changes for one workload; 0: [DefaultLimit]. The most seen come first
	// At is the instant at which dated modes and exceptions are decided. The zero Time judges each observation as of when it was last seen.
	At time.Time
}

// Proposal is what one workload lacks.
type Proposal struct {
	Workload string   `json:"workload"`
	Changes  []Change `json:"changes"` // sorted by object, new rules first; at least one
}

// Change is a rule that is missing, or parents that an existing rule is missing.
type Change struct {
	Workload string        `json:"workload"`
	Verb     schema.Verb   `json:"verb"`
	Object   string        `json:"object"`            // of the rule; an exact path, unless the rule exists already
	Rule     schema.RuleID `json:"rule"`              // of the rule
	New      bool          `json:"new"`               // the rule is missing; otherwise only Parents are
	Parents  []string      `json:"parents,omitempty"` // sorted exact paths. Of a new rule: none allows any caller
	Why      string        `json:"why,omitempty"`     // of a new rule
	Evidence Evidence      `json:"evidence"`
}

// Evidence is what was seen, over all observations that a change would allow.
type Evidence struct {
	Count        uint64        `json:"count"`
	First        time.Time     `json:"first"`
	Last         time.Time     `json:"last"`
	Denied       bool          `json:"denied,omitempty"` // all of it was denied
	Parents      []schema.Path `json:"parents,omitempty"`
	Observations []string      `json:"observations"` // their IDs, sorted
}

// Cause is why something is not proposed, from a closed vocabulary.
type Cause string

// The causes.
const (
	CauseDenied  Cause = "denied"   // the policy denies it; a person must ask for it by ID
	CauseGone    Cause = "gone"     // its workloads exist no more
	CauseAllowed Cause = "allowed"  // asked for by ID, and allowed by now
	CauseVerb    Cause = "verb"     // learning does not cover the verb
	CauseBound   Cause = "bound"    // a bound, or a virtual patch, forbids it
	CauseOrigin  Cause = "origin"   // it has no path that a rule could allow
	CausePath    Cause = "path"     // its path, or its parent's, can't be written as an exact pattern
	CauseParent  Cause = "parent"   // only another parent is missing, and the parent is not known
	CauseLimit   Cause = "limit"    // it is beyond Options.Limit
	CauseRemoved Cause = "declined" // a person took it out of the branch
)

// Finding is something that was seen and is not proposed.
type Finding struct {
	Observation string      `json:"observation,omitempty"` // its ID
	Workloads   []string    `json:"workloads"`
	Object      schema.Path `json:"object"` // bytes from the kernel: quote them before they reach a terminal
	Cause       Cause       `json:"cause"`
	Text        string      `json:"text"` // one sentence without untrusted bytes
	// Pos is where the bound or the patch says so, of [CauseBound] alone.
	Pos []schema.Pos `json:"pos,omitempty"`
}

// Proposals is the outcome of [Propose].
type Proposals struct {
	Proposals []Proposal `json:"proposals,omitempty"` // sorted by workload
	Findings  []Finding  `json:"findings,omitempty"`  // in a fixed order
}

// Propose says which rules the policy lacks for what was observed. Each observation is judged anew, so what the policy allows by now is left
// out. The result depends on the set of observations and not on their order. The error says which of [Options.IDs] is unknown or ambiguous.
func Propose(p *schema.Policy, observations []Observation, opt Options) (Proposals, error) {
	asked := make(map[string]bool, len(opt.IDs))
	for _, id := range opt.IDs {
		o, err := Find(observations, id)
		if err != nil {
			return Proposals{}, err
		}
		asked[o.ID] = true
	}
	b := builder{judge: newJudge(p, opt.At), limits: compiler.NewLimits(p), asked: asked, changes: map[changeKey]*Change{}}
	for _, o := range bySetSize(observations) {
		if len(asked) == 0 || asked[o.ID] {
			b.add(o)
		}
	}
	return b.finish(opt), nil
}

// bySetSize sorts observations so that those of fewer workloads come first: a rule that a workload needs anyway may then serve the sets
// it is part of. Reports of a new rule's object come before those of a parent, which the new rule may make needless.
func bySetSize(observations []Observation) []Observation {
	sorted := slices.Clone(observations)
	sortObservations(sorted)
	slices.SortStableFunc(sorted, func(a, b Observation) int { return cmp.Compare(len(a.Workloads), len(b.Workloads)) })
	return sorted
}

type changeKey struct {
	workload, object string
	added            bool
}

type builder struct {
	judge    *judge
	limits   *compiler.Limits
	asked    map[string]bool
	changes  map[changeKey]*Change
	findings []Finding
}

func (b *builder) find(o Observation, cause Cause, format string, args ...any) {
	b.findings = append(b.findings, Finding{Observation: o.ID, Workloads: o.Workloads, Object: o.Object, Cause: cause, Text: fmt.Sprintf(format, args...)})
}

// bound reports what a bound or a patch stops, and where it says so.
func (b *builder) bound(o Observation, pos []schema.Pos, text string) {
	if len(pos) > 0 {
		text += ", at " + plain(pos[0].String(), posBytes)
	}
	b.findings = append(b.findings, Finding{Observation: o.ID, Workloads: o.Workloads, Object: o.Object, Cause: CauseBound, Text: text, Pos: pos})
}

// add turns one observation into a change, a part of one, a finding, or nothing.
func (b *builder) add(o Observation) {
	if o.Verb != schema.VerbExec {
		b.find(o, CauseVerb, "learning proposes programs (exec) alone; a rule for %s is a person's to write", o.Verb)
		return
	}
	v, known := b.judge.verdict(o)
	switch {
	case !known:
		b.find(o, CauseGone, "the policy has none of its workloads any more")
	case v.Reason == schema.ReasonBound || v.Reason == schema.ReasonPatch:
		rule, name := b.judge.ruling(v.Rule)
		b.bound(o, rule.Pos, name+" forbids it")
	case v.Action == schema.ActionAllow:
		if b.asked[o.ID] {
			b.find(o, CauseAllowed, "the policy allows it by now (%s)", v.Reason)
		}
	case (v.Action == schema.ActionDeny || o.Action == schema.ActionDeny) && !b.asked[o.ID]:
		b.find(o, CauseDenied, "it was denied, or would be; only a person who names the event %s can have it proposed", o.ID)
	case o.Origin != schema.OriginPath:
		b.find(o, CauseOrigin, "the program was reached as %q and has no path that a rule could allow", o.Origin)
	default:
		b.propose(o, v)
	}
}

// propose picks the rule that is to change: the verdict names it. For a missing rule that is the closure that decides, so the workload that
// the denial names is the one that gets the rule.
func (b *builder) propose(o Observation, v schema.Verdict) {
	if problem := notExact(string(o.Object)); problem != "" {
		b.find(o, CausePath, "its path %s", problem)
		return
	}
	w, rule := b.judge.workloadOf(o, v.Rule)
	if w == nil {
		b.find(o, CauseGone, "the policy names rule %s, which none of its workloads states", v.Rule)
		return
	}
	if c := b.served(o); c != nil {
		c.Evidence.add(o)
		return
	}
	exact := rule != nil && schema.PatternKind(rule.Object) == schema.KindExact
	if !exact && b.forbidden(o, w) {
		return
	}
	if v.Reason != schema.ReasonParent {
		b.change(w.Name, string(o.Object), true).Evidence.add(o)
		return
	}
	if o.Parent == "" {
		b.find(o, CauseParent, "rule %s allows it for other callers, and the program of this caller is not known", v.Rule)
		return
	}
	if problem := notExact(string(o.Parent)); problem != "" {
		b.find(o, CausePath, "the path of its caller's program %s", problem)
		return
	}
	// A rule for a pattern is not widened by what was seen of one program: the program gets a rule of its own.
	c := b.change(w.Name, string(o.Object), !exact)
	if i, found := slices.BinarySearch(c.Parents, string(o.Parent)); !found {
		c.Parents = slices.Insert(c.Parents, i, string(o.Parent))
	}
	c.Evidence.add(o)
}

// forbidden reports a new rule that would not compile, because a bound that may hold for the workload forbids it.
func (b *builder) forbidden(o Observation, w *schema.Workload) bool {
	limit, stops := b.limits.Forbids(w, &schema.Rule{Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: string(o.Object)})
	switch {
	case !stops:
	case limit.Rule != nil:
		b.bound(o, limit.Pos, "bound "+plain(limit.Bound.Name, nameBytes)+" forbids it")
	default:
		b.bound(o, limit.Pos, "it is outside of what bound "+plain(limit.Bound.Name, nameBytes)+" permits")
	}
	return stops
}

// served returns the new rule of this proposal that allows an observation already, if there is one.
func (b *builder) served(o Observation) *Change {
	for _, w := range o.Workloads {
		if c := b.changes[changeKey{w, string(o.Object), true}]; c != nil && len(c.Parents) == 0 {
			return c
		}
	}
	return nil
}

func (b *builder) change(workload, object string, added bool) *Change {
	k := changeKey{workload, object, added}
	if b.changes[k] == nil {
		b.changes[k] = &Change{
			Workload: workload, Verb: schema.VerbExec, Object: object, New: added,
			Rule: schema.NewRuleID("rule", workload, string(schema.PlaneExec), string(schema.VerbExec), object),
		}
	}
	return b.changes[k]
}

// add adds an observation to the evidence.
func (e *Evidence) add(o Observation) {
	denied := o.Action == schema.ActionDeny
	if len(e.Observations) == 0 {
		e.First, e.Last, e.Denied = o.First, o.Last, true
	}
	e.Denied = e.Denied && denied
	if e.Count += o.Count; e.Count < o.Count {
		e.Count = ^uint64(0)
	}
	if o.First.Before(e.First) {
		e.First = o.First
	}
	if o.Last.After(e.Last) {
		e.Last = o.Last
	}
	if i, found := slices.BinarySearch(e.Parents, o.Parent); !found && o.Parent != "" {
		e.Parents = slices.Insert(e.Parents, i, o.Parent)
	}
	if i, found := slices.BinarySearch(e.Observations, o.ID); !found {
		e.Observations = slices.Insert(e.Observations, i, o.ID)
	}
}

// finish groups the changes by workload and applies the limit.
func (b *builder) finish(opt Options) Proposals {
	byWorkload := map[string][]Change{}
	for _, c := range b.changes {
		if c.New {
			c.Why = why(c.Evidence)
		}
		if opt.Workload == "" || opt.Workload == c.Workload {
			byWorkload[c.Workload] = append(byWorkload[c.Workload], *c)
		}
	}
	out := Proposals{Findings: b.findings}
	limit := cmp.Or(opt.Limit, DefaultLimit)
	for _, name := range slices.Sorted(maps.Keys(byWorkload)) {
		changes := byWorkload[name]
		slices.SortFunc(changes, func(a, b Change) int {
			return cmp.Or(cmp.Compare(b.Evidence.Count, a.Evidence.Count), compareChanges(a, b))
		})
		if more := len(changes) - limit; more > 0 {
			out.Findings = append(out.Findings, Finding{Workloads: []string{name}, Cause: CauseLimit,
				Text: fmt.Sprintf("%d more programs are left for later: one proposal holds %d; a pattern may say it better", more, limit)})
			changes = changes[:limit]
		}
		slices.SortFunc(changes, compareChanges)
		out.Proposals = append(out.Proposals, Proposal{Workload: name, Changes: changes})
	}
	return out
}

func compareChanges(a, b Change) int {
	if c := strings.Compare(a.Object, b.Object); c != 0 || a.New == b.New {
		return c
	} else if a.New {
		return -1
	}
	return 1
}

// notExact says why a path can't be written as an exact pattern, or "".
func notExact(path string) string {
	switch {
	case !utf8.ValidString(path):
		return "is not UTF-8, and a policy file is; only a pattern can allow it"
	case strings.Contains(path, "*"):
		return "contains \"*\", which a rule can't state literally; only a pattern can allow it"
	}
	if err := schema.CheckPattern(path); err != nil {
		return err.Error()
	}
	return ""
}

// Apply returns the policy with a proposal's changes: what [Edit] must arrive at. New rules have no position.
func (p Proposal) Apply(old *schema.Policy) (*schema.Policy, error) {
	copied := *old
	next := &copied
	next.Workloads = slices.Clone(old.Workloads)
	i := slices.IndexFunc(next.Workloads, func(w schema.Workload) bool { return w.Name == p.Workload })
	if i < 0 {
		return nil, fmt.Errorf("workload %q is not in the policy", p.Workload)
	}
	w := &next.Workloads[i]
	w.Rules = slices.Clone(w.Rules)
	at := make(map[schema.RuleID]int, len(w.Rules))
	for j, r := range w.Rules {
		at[r.ID] = j
	}
	for _, c := range p.Changes {
		j, exists := at[c.Rule]
		if exists == c.New {
			return nil, fmt.Errorf("workload %q: rule %s for %q: the proposal was made for another policy; propose anew", p.Workload, c.Rule, c.Object)
		}
		if c.New {
			w.Rules = append(w.Rules, schema.Rule{ID: c.Rule, Plane: c.Verb.Plane(), Verb: c.Verb, Object: c.Object, Parents: c.Parents, Why: c.Why})
			continue
		}
		parents := append(slices.Clone(w.Rules[j].Parents), c.Parents...)
		slices.Sort(parents)
		w.Rules[j].Parents = slices.Compact(parents)
	}
	slices.SortFunc(w.Rules, schema.CompareRules)
	return next, nil
}
