// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// The bounds. All else is bounded by the size of the object alone.
const (
	MaxContainers = 1000 // whose fields are read, of all kinds together
	MaxPlaces     = 64   // that [Pod.Fields] gives for one value of a field
	MaxProblems   = 100  // that [Pod.Problems] gives
)

// Pod is a Pod, or the template of one. It is made by [Makers.Of]. Its methods read Object anew each time and change nothing.
type Pod struct {
	Path      []string          // fields from the object's root to the Pod; empty: the object is the Pod
	Namespace string            // "" is not known
	Labels    map[string]string // nil if there are none
	Object    map[string]any    // metadata and spec
}

// Container is one of the containers of a Pod. Sidecars are init containers.
type Container struct {
	Name, Image string // as written; "" is unset
	Kind        string // the list that it stands in: "containers", "initContainers" or "ephemeralContainers"
	Index       int    // in that list, from 0
	Path        []any  // from the Pod's root
}

// Value is one value of a field of the Pod, and where it stands.
type Value struct {
	Value     string
	Path      []any  // from the Pod's root: strings and ints. For a default, the nearest object that exists
	Container string // the container's name; "" for the Pod
}

// Problem is something in the Pod that could not be read.
type Problem struct {
	Path []any // from the Pod's root: strings and ints
	Msg  string
}

// String returns the problem with its path.
func (p Problem) String() string { return FormatPath(p.Path) + ": " + p.Msg }

// maxName is how many bytes of a field's name a text shows.
const maxName = 200

// FormatPath returns a path as kubectl writes it: spec.containers[0].image. Names that are not plain are quoted, and long ones are cut.
func FormatPath(path []any) string {
	var text []byte
	for _, step := range path {
		switch step := step.(type) {
		case int:
			text = fmt.Appendf(text, "[%d]", step)
		case string:
			switch {
			case len(step) > maxName:
				text = fmt.Appendf(text, "[%q…]", step[:maxName])
			case !plain(step):
				text = fmt.Appendf(text, "[%q]", step)
			case len(text) > 0:
				text = fmt.Appendf(text, ".%s", step)
			default:
				text = append(text, step...)
			}
		}
	}
	return string(text)
}

func plain(name string) bool {
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' {
			return false
		}
	}
	return name != ""
}

// Containers returns the containers, then the init containers, then the ephemeral ones, each in the order of their list.
func (p Pod) Containers() []Container {
	var containers []Container
	newScan(&p).each(func(kind string, n node) {
		index, _ := n.path[len(n.path)-1].(int)
		containers = append(containers, Container{n.text("name").value, n.text("image").value, kind, index, n.path})
	})
	return containers
}

// Fields returns the values of each field, sorted by value, then path. A field without values is not there, but for dropCapabilities, which is
// there, if empty, for each Pod that has containers and is not for Windows.
func (p Pod) Fields() map[schema.PodField][]Value {
	fields := map[schema.PodField][]Value{}
	places := map[schema.PodField]map[string]int{}
	scan := newScan(&p)
	scan.fields(func(field schema.PodField, v Value) {
		if places[field] == nil {
			places[field] = map[string]int{}
		}
		if places[field][v.Value]++; places[field][v.Value] <= MaxPlaces {
			fields[field] = append(fields[field], v)
		}
	})
	if fields[schema.PodDropCapabilities] == nil && scan.drops() {
		fields[schema.PodDropCapabilities] = []Value{}
	}
	for _, values := range fields {
		slices.SortStableFunc(values, func(a, b Value) int {
			return cmp.Or(cmp.Compare(a.Value, b.Value), comparePaths(a.Path, b.Path), cmp.Compare(a.Container, b.Container))
		})
	}
	return fields
}

// comparePaths orders paths: fields by name, items by number.
func comparePaths(a, b []any) int {
	return slices.CompareFunc(a, b, func(a, b any) int {
		i, aInt := a.(int)
		j, bInt := b.(int)
		if aInt && bInt {
			return cmp.Compare(i, j)
		}
		return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
}

// Events returns what admission asks: a run for each container, in the order of [Pod.Containers], then a set.
func (p Pod) Events() []schema.Event {
	subject := schema.Subject{Namespace: p.Namespace, Labels: p.Labels}
	var events []schema.Event
	for _, c := range p.Containers() {
		s := subject
		s.Container, s.Image = c.Name, c.Image
		events = append(events, schema.Event{Subject: s, Verb: schema.VerbRun, Object: schema.Path(c.Image)})
	}
	return append(events, schema.Event{Subject: subject, Verb: schema.VerbSet, Set: newScan(&p).set()})
}

// Problems says what of the Pod could not be read, in the order in which it is read, each once. There are at most [MaxProblems].
func (p Pod) Problems() []Problem {
	scan := newScan(&p)
	scan.each(func(_ string, n node) { n.text("image") })
	labels(scan.metadata)
	scan.fields(func(schema.PodField, Value) {})
	return scan.problems
}
