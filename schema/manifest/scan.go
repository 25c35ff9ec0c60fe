// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// scan is one reading of a Pod.
type scan struct {
	metadata, spec, security node
	windows                  bool        // Kubernetes refuses some fields there
	userNamespace            bool        // root in a container is nobody on the host
	containers               []container // MaxContainers at most
	unread                   int         // containers beyond these
	emit                     func(schema.PodField, Value)
	problems                 []Problem
	seen                     map[string]bool // the problems, as text
}

// container is a container whose fields are read.
type container struct {
	name           string
	node, security node
}

// kinds are the lists of containers of a Pod.
var kinds = []string{"containers", "initContainers", "ephemeralContainers"}

func newScan(p *Pod) *scan {
	s := &scan{seen: map[string]bool{}}
	root := node{p.Object, nil, s}
	s.metadata, s.spec = root.object("metadata"), root.object("spec")
	s.security = s.spec.object("securityContext")
	s.windows = s.spec.object("os").text("name").value == "windows"
	s.userNamespace = s.spec.boolean("hostUsers").value == "false"
	s.each(func(_ string, n node) {
		if len(s.containers) == MaxContainers {
			s.unread++
			return
		}
		s.containers = append(s.containers, container{n.text("name").value, n, n.object("securityContext")})
	})
	if s.unread > 0 {
		s.problem(s.spec.path, fmt.Sprintf("has %d containers; want at most %d", MaxContainers+s.unread, MaxContainers))
	}
	return s
}

// each visits all containers.
func (s *scan) each(visit func(kind string, n node)) {
	for _, kind := range kinds {
		for _, n := range s.spec.list(kind) {
			visit(kind, n)
		}
	}
}

// problem notes a problem, unless it was noted before or there are too many.
func (s *scan) problem(path []any, msg string) {
	if len(s.problems) == MaxProblems {
		return
	}
	p := Problem{path, msg}
	if text := p.String(); !s.seen[text] {
		s.seen[text] = true
		s.problems = append(s.problems, p)
	}
}

// labels returns the labels whose values are strings; nil if there are none.
func labels(metadata node) map[string]string {
	var all map[string]string
	n := metadata.object("labels")
	for _, key := range sortedKeys(n.fields) {
		if text := n.text(key); text.set {
			if all == nil {
				all = map[string]string{}
			}
			all[key] = text.value
		}
	}
	return all
}

// drops says whether it is known which capabilities all containers drop.
func (s *scan) drops() bool { return !s.windows && len(s.containers) > 0 }

// set returns the values of each field, without their places.
func (s *scan) set() map[schema.PodField]schema.Names {
	set := map[schema.PodField]schema.Names{}
	known := map[schema.PodField]map[string]bool{}
	s.fields(func(field schema.PodField, v Value) {
		if known[field] == nil {
			known[field] = map[string]bool{}
		}
		if !known[field][v.Value] {
			known[field][v.Value] = true
			set[field] = append(set[field], v.Value)
		}
	})
	if set[schema.PodDropCapabilities] == nil && s.drops() {
		set[schema.PodDropCapabilities] = schema.Names{}
	}
	for _, values := range set {
		slices.Sort(values)
	}
	return set
}

// put emits a reading that is set.
func (s *scan) put(field schema.PodField, container string, r reading) {
	if r.set {
		s.emit(field, Value{r.value, r.path, container})
	}
}

func sortedKeys(fields map[string]any) []string { return slices.Sorted(maps.Keys(fields)) }
