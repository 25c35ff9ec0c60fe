// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// stated is one named entry of a kind as the repository states it: what check takes positions from.
type stated struct {
	kind, name string // "workload", "payments"; a budget has no name
	folder     string // the folder that declares it; "." is the root
	partial    bool   // something of it is not valid, so not all of it could be read: only its rules are checked
	node       *node  // the entry's value; nil: positions are not known
}

// at returns the places that state a path of the entry, or the nearest value around it.
func (s stated) at(path ...string) []schema.Pos { return s.node.at(path...) }

// has reports whether the entry states a path.
func (s stated) has(path ...string) bool { return s.node.get(path...) != nil }

// keys returns the names of the fields at a path, sorted.
func (s stated) keys(path ...string) []string {
	n := s.node.get(path...)
	if n == nil {
		return nil
	}
	keys := make([]string, len(n.Fields))
	for i, f := range n.Fields {
		keys[i] = f.Name
	}
	return keys
}

// fail makes an error about the entry. Without a place it stands at the entry itself.
func (s stated) fail(at []schema.Pos, format string, args ...any) Diagnostic {
	d := Diagnostic{Path: strings.TrimSpace(s.kind + " " + s.name), Msg: fmt.Sprintf(format, args...)}
	if len(at) == 0 {
		at = s.at()
	}
	if len(at) > 0 {
		d.Pos = at[0]
	}
	return d
}

// head is what the checks of other entries need to know of one workload.
type head struct {
	name, folder, owner string
	match               schema.Match
	matchSum            digest         // of match
	shared, dated       bool           // dated: some mode of it is planned
	planes              []schema.Plane // those that it mentions, sorted
	uses                []string       // gates and signers, as entryKey
	pos, matchPos       []schema.Pos
	ownerPos            []schema.Pos
}

// stated is the head as far as diagnostics need it.
func (h *head) stated() stated { return stated{kind: "workload", name: h.name, folder: h.folder} }

// nameSet is a set of names that can be referred to.
type nameSet map[string]bool

func (n nameSet) sorted() []string { return slices.Sorted(maps.Keys(n)) }

// scope is what the names in a policy refer to: everything outside of the entry that is checked. It does not change once made and may
// be used concurrently.
type scope struct {
	workloads  map[string]*head
	bounds     []*schema.Bound // sorted by name
	gates      nameSet
	signers    nameSet
	notify     nameSet
	exceptions nameSet
	folders    nameSet         // that hold policy files; "." is the root
	around     nameSet         // those, and all folders around them
	given      givenFolders    // what folders may speak of
	limits     []*boundLimits  // of bounds
	policy     *schema.Policy  // all kinds but workloads
	cluster    *schema.Cluster // that it is compiled for, or nil
}

// newScope makes the scope of a policy. heads are its workloads, folders those that hold policy files.
func newScope(p *schema.Policy, heads []*head, folders []string) *scope {
	sc := &scope{policy: p, workloads: map[string]*head{}, gates: nameSet{}, signers: nameSet{}, notify: nameSet{}, exceptions: nameSet{},
		folders: nameSet{}, around: nameSet{}, given: newGivenFolders(p.Folders)}
	for _, h := range heads {
		sc.workloads[h.name] = h
	}
	for i := range p.Bounds {
		sc.bounds = append(sc.bounds, &p.Bounds[i])
		sc.limits = append(sc.limits, limitsOf(&p.Bounds[i]))
	}
	for i := range p.Gates {
		sc.gates[p.Gates[i].Name] = true
	}
	for i := range p.Signers {
		sc.signers[p.Signers[i].Name] = true
	}
	for i := range p.Notify {
		sc.notify[p.Notify[i].Name] = true
	}
	for i := range p.Exceptions {
		sc.exceptions[p.Exceptions[i].Name] = true
	}
	for _, dir := range folders {
		sc.hold(dir)
	}
	return sc
}

// hold notes a folder that holds policy files.
func (sc *scope) hold(dir string) {
	sc.folders[dir] = true
	for d := dir; !sc.around[d]; d = path.Dir(d) {
		sc.around[d] = true
	}
}

func (sc *scope) workloadNames() []string { return slices.Sorted(maps.Keys(sc.workloads)) }

// report collects what is wrong or doubtful about one entry.
type report struct {
	s        stated
	sc       *scope
	errs     []Diagnostic
	warnings []Diagnostic
	guessed  int // names for which a similar one was looked for
}

// fail reports an error at a path of the entry.
func (r *report) fail(where []string, format string, args ...any) {
	r.errs = append(r.errs, r.s.fail(r.s.at(where...), format, args...))
}

// warn reports a warning at a path of the entry.
func (r *report) warn(code string, where []string, format string, args ...any) {
	d := r.s.fail(r.s.at(where...), format, args...)
	d.Code = code
	r.warnings = append(r.warnings, d)
}

// way is a path of fields: the parts after the first do not change it.
func way(first []string, rest ...string) []string { return slices.Concat(first, rest) }

// dotted is a path of fields as text.
func dotted(where []string) string { return strings.Join(where, ".") }

// quotedList quotes words and joins them: "a", "b" or "c".
func quotedList(words []string, conjunction string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " " + conjunction + " " + quoted[len(quoted)-1]
}

// inFolder returns the first place in the files of a folder or below it, as the lists come; if there is none, the first list. What a value takes
// in from a folder above is right there, and wrong where it is taken in.
func inFolder(dir string, lists ...[]schema.Pos) []schema.Pos {
	for _, list := range lists {
		for _, p := range list {
			if isWithin(path.Dir(p.File), dir) {
				return []schema.Pos{p}
			}
		}
	}
	return lists[0]
}

// posText is where something else stands, for the middle of a message.
func posText(all []schema.Pos) string {
	if len(all) == 0 {
		return "an unknown place"
	}
	return all[0].String()
}
