// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// Effect says what a change does to what may happen.
type Effect string

// The effects. A change that lets one thing happen and forbids another is widened: of two it is the one to look at. Where it cannot be decided
// whether something new may happen, the change is widened too.
const (
	EffectWidened  Effect = "widened"  // head lets something happen that base did not, or holds it against less
	EffectNarrowed Effect = "narrowed" // head lets less happen, and nothing that base did not
	EffectChanged  Effect = "changed"  // the same may happen, and something else is done about it
	EffectNote     Effect = "note"     // the same in other words: a reason, an owner, a name
)

// diffEffects is the order in which changes of one risk are listed.
var diffEffects = []Effect{EffectWidened, EffectNarrowed, EffectChanged, EffectNote}

// Risk says how much a reviewer should look at a change.
type Risk int

// The levels. What is narrowed is at most low: it may stop what runs today.
const (
	RiskNone   Risk = iota
	RiskLow         // one thing that is named exactly, or what stops nothing in the present mode
	RiskMedium      // a pattern, or a guard that only reports
	RiskHigh        // a guard that stops things is gone or weaker, or a pattern allows very much
)

var riskWords = []string{"none", "low", "medium", "high"}

// String returns the level's word.
func (r Risk) String() string { return riskWords[max(0, min(int(r), len(riskWords)-1))] }

// MarshalText implements [encoding.TextMarshaler].
func (r Risk) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// lowered returns the level below, but at least RiskLow.
func (r Risk) lowered() Risk { return max(RiskLow, r-1) }

// PolicyChange is one difference between two policies.
type PolicyChange struct {
	Effect  Effect        `json:"effect"`
	Risk    Risk          `json:"risk"`
	Kind    string        `json:"kind"`             // as authors write it: "workload", "bound", "gate" and so on
	Name    string        `json:"name,omitempty"`   // of the workload, the bound and so on; in head if it is there
	Plane   schema.Plane  `json:"plane,omitempty"`  // "" if it is about no single plane
	Aspect  string        `json:"aspect,omitempty"` // what of it: "rule", "mode", "match", "owner" and so on; "" is the whole
	Key     string        `json:"key,omitempty"`    // which of several: of the rule whose reason changed, the repository, the check
	Msg     string        `json:"msg"`              // what happens to it, such as "newly allowed"; nothing in it is an author's
	Before  string        `json:"before,omitempty"` // as people read it; "" if base has none
	After   string        `json:"after,omitempty"`  // "" if head has none
	Details []string      `json:"details,omitempty"`
	By      string        `json:"by,omitempty"`    // what has to do with it: who says the same, the workloads whose containers it reaches
	Why     string        `json:"why,omitempty"`   // the author's reason
	Owner   string        `json:"owner,omitempty"` // the team to ask
	Rule    schema.RuleID `json:"rule,omitzero"`   // of a rule; zero if it is about none
	Side    string        `json:"side"`            // where Pos is: "head", or "base" for what is gone
	Pos     schema.Pos    `json:"pos"`             // the zero Pos if no line says it
}

// The sides of a difference.
const (
	SideBase = "base"
	SideHead = "head"
)

// Difference is what distinguishes two policies in meaning. Lines and files, and the order of things, do not count.
type Difference struct {
	Changes []PolicyChange `json:"changes"` // the highest risk first
}

// Count returns how many changes have an effect.
func (d *Difference) Count(e Effect) int {
	n := 0
	for i := range d.Changes {
		if d.Changes[i].Effect == e {
			n++
		}
	}
	return n
}

// Diff returns what head means that base does not, and the reverse. It is a pure function. It takes a second for 10,000 workloads of 50
// rules; what would take longer, comparing patterns that are made for it, counts as widened.
func Diff(base, head *schema.Policy) *Difference { return DiffWorkloads(base, head, nil) }

// DiffWorkloads is [Diff] for two policies from which workloads have been left out that are the same on both sides. Of those, same holds all that
// is read: Name, Match and Closures. A rule that is new to a workload is new to all workloads that select the same containers, too.
func DiffWorkloads(base, head *schema.Policy, same []schema.Workload) *Difference {
	d := &differ{base: base, head: head, same: same, cover: &diffCover{steps: maxCoverSteps}, renamed: map[string]map[string]string{}}
	d.signers() // before those that name them, because of other names for the same
	d.gates()
	d.notify()
	d.bounds()
	d.workloads()
	d.exceptions()
	d.folders()
	d.registries()
	d.responses()
	d.benchmarks()
	d.checks()
	d.clusters()
	d.tests()
	d.admission()
	d.budget()
	slices.SortFunc(d.changes, compareChanges)
	return &Difference{Changes: append([]PolicyChange{}, d.changes...)}
}

// differ collects the changes.
type differ struct {
	base, head *schema.Policy
	same       []schema.Workload
	cover      *diffCover
	renamed    map[string]map[string]string // by kind: base's name for what head gives another
	near       *diffNeighbours              // made when it is needed
	changes    []PolicyChange
}

// diffKinds is the order in which changes of one risk and effect are listed.
var diffKinds = []string{"folder", "bound", "workload", "exception", "gate", "signer", "registry", "cluster", "response", "notify", "benchmark", "check",
	"test", "admission", "budget"}

func compareChanges(a, b PolicyChange) int {
	return cmp.Or(
		cmp.Compare(b.Risk, a.Risk),
		cmp.Compare(slices.Index(diffEffects, a.Effect), slices.Index(diffEffects, b.Effect)),
		cmp.Compare(slices.Index(diffKinds, a.Kind), slices.Index(diffKinds, b.Kind)),
		strings.Compare(a.Name, b.Name),
		cmp.Compare(slices.Index(schema.Planes, a.Plane), slices.Index(schema.Planes, b.Plane)),
		strings.Compare(a.Aspect, b.Aspect),
		strings.Compare(a.Key, b.Key),
		strings.Compare(a.After, b.After),
		strings.Compare(a.Before, b.Before),
		strings.Compare(a.Msg, b.Msg),
		a.Pos.Compare(b.Pos),
	)
}

// add takes a change, which stands at the first of some positions in head.
func (d *differ) add(c PolicyChange, at []schema.Pos) { d.addAt(c, SideHead, at) }

// gone takes a change whose positions are in base.
func (d *differ) gone(c PolicyChange, at []schema.Pos) { d.addAt(c, SideBase, at) }

func (d *differ) addAt(c PolicyChange, side string, at []schema.Pos) {
	c.Side = side
	if len(at) > 0 {
		c.Pos = at[0]
	}
	d.changes = append(d.changes, c)
}

// words notes changed words of something that is otherwise compared by its own function.
func (d *differ) words(c PolicyChange, aspect, base, head string, at []schema.Pos) {
	if base == head {
		return
	}
	c.Effect, c.Risk, c.Aspect, c.Before, c.After, c.Msg = EffectNote, RiskNone, aspect, base, head, changeWord(aspect, base, head)
	d.add(c, at)
}

// changeWord says that something came, went or changed. It is not there if it is "".
func changeWord(what, base, head string) string {
	switch {
	case base == "":
		return what + " added"
	case head == "":
		return what + " removed"
	}
	return what + " changed"
}

// headName returns what head calls something of base.
func (d *differ) headName(kind, name string) string {
	if n, ok := d.renamed[kind][name]; ok {
		return n
	}
	return name
}

// diffTwin is one thing on both sides; one of them is nil if it is only on the other.
type diffTwin[T any] struct {
	base, head *T
	renamed    bool
}

// diffPair finds what belongs together: by name, then by the keys, each of which must be unique among those left over on either side. A key of ""
// belongs to nothing.
func diffPair[T any](base, head []T, name func(*T) string, keys ...func(*T) string) []diffTwin[T] {
	byName := make(map[string]int, len(head))
	for i := range head {
		byName[name(&head[i])] = i
	}
	taken := make([]bool, len(head))
	twins, left := make([]diffTwin[T], 0, max(len(base), len(head))), []*T{}
	for i := range base {
		if j, ok := byName[name(&base[i])]; ok && !taken[j] {
			taken[j] = true
			twins = append(twins, diffTwin[T]{base: &base[i], head: &head[j]})
			continue
		}
		left = append(left, &base[i])
	}
	var added []*T
	for j := range head {
		if !taken[j] {
			added = append(added, &head[j])
		}
	}
	for _, key := range keys {
		left, added, twins = diffPairByKey(left, added, twins, key)
	}
	for _, b := range left {
		twins = append(twins, diffTwin[T]{base: b})
	}
	for _, h := range added {
		twins = append(twins, diffTwin[T]{head: h})
	}
	return twins
}

func diffPairByKey[T any](base, head []*T, twins []diffTwin[T], key func(*T) string) (restBase, restHead []*T, all []diffTwin[T]) {
	if len(base) == 0 || len(head) == 0 {
		return base, head, twins
	}
	group := func(all []*T) (map[string][]*T, []string) {
		m, keys := map[string][]*T{}, make([]string, len(all))
		for i, x := range all {
			keys[i] = key(x)
			m[keys[i]] = append(m[keys[i]], x)
		}
		return m, keys
	}
	bs, baseKeys := group(base)
	hs, headKeys := group(head)
	paired := func(k string) bool { return k != "" && len(bs[k]) == 1 && len(hs[k]) == 1 }
	for i, b := range base {
		if k := baseKeys[i]; paired(k) {
			twins = append(twins, diffTwin[T]{base: b, head: hs[k][0], renamed: true})
		} else {
			restBase = append(restBase, b)
		}
	}
	for i, h := range head {
		if !paired(headKeys[i]) {
			restHead = append(restHead, h)
		}
	}
	return restBase, restHead, twins
}

// renames remembers another name for the same, and notes it.
func (d *differ) renames(c PolicyChange, base, head string, at []schema.Pos) {
	if d.renamed[c.Kind] == nil {
		d.renamed[c.Kind] = map[string]string{}
	}
	d.renamed[c.Kind][base] = head
	c.Effect, c.Risk, c.Aspect, c.Msg, c.Before, c.After = EffectNote, RiskNone, "name", "renamed", base, head
	d.add(c, at)
}
