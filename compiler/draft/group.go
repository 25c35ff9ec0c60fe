// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// group is what is drafted for one selection of containers: a workload if a plane or a condition is mentioned, and bounds.
type group struct {
	match   schema.Match // the zero Match, in bounds alone, is every container
	name    string       // of the workload and the file
	names   []string     // where name is taken from
	origins []string     // the objects that it is drafted from
	guessed string       // what of match is a guess
	owner   string       // where one is compulsory
	shared  bool

	closed     map[schema.Plane]bool
	exec       map[string]execRule
	read       map[string]reason // by path pattern
	write      map[string]reason
	capability map[string]reason
	flows      map[schema.Plane][]*flow
	profile    string
	bounds     map[string]*bound
}

// reason is why something is allowed or forbidden, and where that stands in the source.
type reason struct {
	why string
	at  value
}

// execRule allows a program.
type execRule struct {
	reason
	parents map[string]bool // nil: any
}

// flow allows, or in a bound forbids, connections.
type flow struct {
	peer schema.Peer
	to   *schema.Match // what the peer selects, until it has a name
	tls  bool
	base string // of its key
	reason
}

// bound is what is forbidden.
type bound struct {
	name, why              string
	exec, file, capability map[string]reason
	flows                  map[schema.Plane][]*flow
}

// mirror is a flow that is also one of the workload at its other end, if that is closed.
type mirror struct {
	key   string // of the group
	plane schema.Plane
	flow  *flow
}

func newGroup(m schema.Match) *group {
	return &group{match: m, closed: map[schema.Plane]bool{}, exec: map[string]execRule{}, read: map[string]reason{}, write: map[string]reason{},
		capability: map[string]reason{}, flows: map[schema.Plane][]*flow{}, bounds: map[string]*bound{}}
}

// never returns the bound of a name, for a policy that forbids something.
func (g *group) never(name, why string) *bound {
	b := g.bounds[name]
	if b == nil {
		b = &bound{name: name, why: why, exec: map[string]reason{}, file: map[string]reason{}, capability: map[string]reason{}, flows: map[schema.Plane][]*flow{}}
		g.bounds[name] = b
	}
	return b
}

func (g *group) sortedBounds() []*bound {
	var all []*bound
	for _, name := range slices.Sorted(maps.Keys(g.bounds)) {
		all = append(all, g.bounds[name])
	}
	return all
}

// stated reports whether the group has a workload.
func (g *group) stated() bool { return len(g.closed) > 0 || g.profile != "" }

// allowExec adds a rule. The same program with and without parents is allowed without.
func (g *group) allowExec(path string, why reason, parents []string) {
	g.closed[schema.PlaneExec] = true
	rule, known := g.exec[path]
	switch {
	case !known:
		rule = execRule{reason: why}
		if len(parents) > 0 {
			rule.parents = map[string]bool{}
		}
	case len(parents) == 0:
		rule.parents = nil
	}
	if rule.parents != nil {
		for _, p := range parents {
			rule.parents[p] = true
		}
	}
	g.exec[path] = rule
}

// nameLabels are the labels that tell what a Pod is, the recommended one first.
var nameLabels = []string{"app.kubernetes.io/name", "app", "k8s-app", "name"}

// candidates are names for the workload: what its label says, the object's name, each also with the namespace.
func (g *group) candidates() []string {
	var names []string
	for _, key := range nameLabels {
		if v := g.match.Labels[key]; v != "" {
			names = append(names, v)
			break
		}
	}
	switch {
	case g.match.Host:
		names = append(names, "host")
	case g.match.Zero():
		names = append(names, "every-container")
	case len(g.match.Labels)+len(g.match.Expressions) == 0 && g.match.Container == "":
		names = append(names, g.match.Namespace+"-pods")
	default:
		names = append(names, g.names...)
	}
	for _, n := range slices.Clone(names) {
		names = append(names, g.match.Namespace+"-"+n)
	}
	return append(names, "draft")
}

// matchKey is the same for matches that select the same in the same words.
func matchKey(m schema.Match) string {
	data, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("draft: a match has no JSON: %v", err)) // it is made of strings
	}
	return string(data)
}

// selects says in words what a match selects.
func selects(m schema.Match) string {
	var parts []string
	if m.Namespace != "" {
		parts = append(parts, "namespace "+m.Namespace)
	}
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		parts = append(parts, fmt.Sprintf("label %s=%s", k, m.Labels[k]))
	}
	for _, k := range slices.Sorted(maps.Keys(m.Expressions)) {
		parts = append(parts, "a condition on label "+k)
	}
	return strings.Join(parts, ", ")
}
