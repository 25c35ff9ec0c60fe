// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// leaf is one thing that an author can write: a value at a path of an entry, among what it needs around it.
type leaf struct {
	path   []string
	around map[string]any // the entry without it
	values []any          // those that it can have, of which no two mean the same
}

// leaves returns all leaves of a kind's entries.
func leaves(s *shape) []leaf {
	w := &leafWalk{}
	w.visit(s, nil, map[string]any{})
	return w.found
}

type leafWalk struct{ found []leaf }

// visit adds the leaves of a value. around is the entry with everything on the way to it.
func (w *leafWalk) visit(s *shape, path []string, around map[string]any) {
	var values []any
	for _, word := range s.words {
		values = append(values, word)
	}
	if s.text {
		values = append(values, textAt(path))
	}
	if s.boolean {
		values = append(values, true)
	}
	if s.integer {
		values = append(values, 7)
	}
	if len(values) > 0 {
		w.found = append(w.found, leaf{path, around, values})
	}
	for _, form := range s.structs {
		w.form(form, path, around)
	}
}

func (w *leafWalk) form(form *structShape, path []string, around map[string]any) {
	in := func(name string) map[string]any {
		all := map[string]any{}
		for _, other := range form.order {
			if f := form.fields[other]; f.required && other != name {
				all[other] = sample(f.shape, append(slices.Clip(path), other))
			}
		}
		return put(around, path, all)
	}
	for _, name := range form.order {
		w.visit(form.fields[name].shape, append(slices.Clip(path), name), in(name))
	}
	if form.any != nil {
		key := append(slices.Clip(path), keyAt(path))
		w.found = append(w.found, leaf{key, put(around, path, map[string]any{}), []any{sample(form.any, key)}})
		w.visit(form.any, key, put(around, key, map[string]any{}))
	}
}

// sample is some value of a shape.
func sample(s *shape, path []string) any {
	switch {
	case s.text:
		return textAt(path)
	case len(s.words) > 0:
		return s.words[0]
	case s.boolean:
		return true
	case s.integer:
		return 7
	}
	form := s.structs[0]
	all := map[string]any{}
	for _, name := range form.order {
		if f := form.fields[name]; f.required {
			all[name] = sample(f.shape, append(slices.Clip(path), name))
		}
	}
	if form.any != nil {
		key := append(slices.Clip(path), keyAt(path))
		all[key[len(key)-1]] = sample(form.any, key)
	}
	return all
}

// textAt and keyAt are what lowering takes apart.
func textAt(path []string) string {
	switch path[len(path)-1] {
	case "address":
		return "192.0.2.1"
	case "http":
		return "GET /x"
	}
	return "text"
}

func keyAt(path []string) string {
	if path[len(path)-1] == "http" {
		return "GET /x"
	}
	return "key"
}

// put returns a copy of a struct in which a value stands at a path; structs are united.
func put(in map[string]any, path []string, value any) map[string]any {
	all := maps.Clone(in)
	if all == nil {
		all = map[string]any{}
	}
	if len(path) == 0 {
		if fields, ok := value.(map[string]any); ok {
			maps.Copy(all, fields)
		}
		return all
	}
	below, _ := all[path[0]].(map[string]any)
	if _, isStruct := value.(map[string]any); len(path) == 1 && !isStruct {
		all[path[0]] = value
	} else {
		all[path[0]] = put(below, path[1:], value)
	}
	return all
}

// needs is what must stand beside a leaf for it to mean something, by the beginning of its path.
var needs = map[string]map[string]any{
	"workload.e.mode":     {"exec": map[string]any{}, "file": map[string]any{}, "capability": map[string]any{}, "egress": map[string]any{}, "ingress": map[string]any{}, "image": map[string]any{"gate": "g"}, "pod": map[string]any{"hostPID": true}},
	"test.e.signedBy":     {"run": "nginx"},
	"test.e.passes":       {"run": "nginx"},
	"test.e.connect.host": {"connect": map[string]any{"http": "GET /x"}},
	"test.e.accept.host":  {"accept": map[string]any{"http": "GET /x"}},
}

// unread are the leaves that mean nothing to anything but their reader, with the reason.
var unread = map[string]string{
	"workload.e.egress.key.http.GET /x.why":  "a request has no ID that a verdict could name; the reason of its rule is what is shown",
	"workload.e.ingress.key.http.GET /x.why": "a request has no ID that a verdict could name; the reason of its rule is what is shown",
	"workload.e.egress.key.grpc.key.why":     "the same for a call",
	"workload.e.ingress.key.grpc.key.why":    "the same for a call",
	"workload.e.egress.key.tls.key.why":      "the same for a server name",
	"workload.e.ingress.key.tls.key.why":     "the same for a server name",
}

// lowersTo lowers one entry, and returns the policy without positions, and what is wrong with the entry's shape.
func lowersTo(t *testing.T, kindName string, entry map[string]any) (string, []Diagnostic) {
	t.Helper()
	file := map[string]any{kindName: map[string]any{"e": entry}}
	if k, _ := kindNamed(kindName); k.single {
		file[kindName] = entry
	}
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	l := readLiteral(t, []File{{Path: "a.cue", Data: append([]byte("package policy\n"), text[1:len(text)-1]...)}})
	data, err := json.Marshal(l.policy())
	if err != nil {
		t.Fatal(err)
	}
	var p any
	if err := json.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	data, err = json.Marshal(withoutPlaces(p))
	if err != nil {
		t.Fatal(err)
	}
	return string(data), l.errs
}

func withoutPlaces(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "pos")
		for _, sub := range v {
			withoutPlaces(sub)
		}
	case []any:
		for _, sub := range v {
			withoutPlaces(sub)
		}
	}
	return v
}

// droppedBy returns the leaves of a kind that lowering drops: with them the policy means what it means without them, or with another value the same.
func droppedBy(t *testing.T, kindName string, s *shape) (dropped []string) {
	t.Helper()
	prefix := []string{kindName, "e"}
	if k, _ := kindNamed(kindName); k.single {
		prefix = prefix[:1]
	}
	for _, l := range leaves(s) {
		name := strings.Join(append(slices.Clone(prefix), l.path...), ".")
		around := l.around
		for begin, more := range needs {
			if strings.HasPrefix(name, begin) {
				for field, value := range more {
					around = put(around, []string{field}, value)
				}
			}
		}
		without, _ := lowersTo(t, kindName, around)
		seen := map[string]bool{}
		same := 0 // as if it were not written
		for _, v := range l.values {
			m, errs := lowersTo(t, kindName, put(around, l.path, v))
			if m == without || len(errs) > 0 {
				same++
			}
			seen[m] = true
		}
		// One of several words may be what holds where none is written.
		if len(seen) < len(l.values) || same > 1 || same == 1 && !defaulted(l) {
			dropped = append(dropped, name)
		}
	}
	return dropped
}

// defaulted reports whether a leaf has a value that also holds where none is written: modes and protocols do.
func defaulted(l leaf) bool {
	return slices.Contains(l.values, "audit") && slices.Contains(l.values, "enforce") || slices.Contains(l.values, "tcp")
}

// TestNothingIsDropped sets each leaf of each kind.
func TestNothingIsDropped(t *testing.T) {
	count := 0
	for _, k := range kinds {
		s := shapeOf(k)
		count += len(leaves(s))
		all := map[string]bool{}
		for _, name := range droppedBy(t, k.name, s) {
			all[name] = true
			if unread[name] == "" {
				t.Errorf("lowering drops %s", name)
			}
		}
		for name := range unread {
			if strings.HasPrefix(name, k.name+".") && !all[name] {
				t.Errorf("lowering does not drop %s any more; want no exception for it", name)
			}
		}
	}
	if count < 300 {
		t.Errorf("the schema has %d leaves; want more", count)
	}
	t.Log(fmt.Sprint(count, " leaves"))
}
