// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"fmt"
	"strconv"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/writ-sec/writ/schema"
)

// value is a value in an object. What reads one of the wrong type says so and goes on without it.
type value struct {
	node *yaml.Node // never an alias
	at   *yaml.Node // where it is written; of a field its name
	obj  *object
	path string // from the object, such as "spec.ingress[0]"
}

// resolve follows aliases. im.bounded has followed them before, so they end.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func (v value) pos() schema.Pos { return v.obj.src.pos(v.at) }

// lost notes that the value is not carried over.
func (v value) lost(format string, args ...any) {
	v.obj.im.lost = append(v.obj.im.lost, Note{Pos: v.pos(), Object: v.obj.label(), Field: v.path, Msg: fmt.Sprintf(format, args...)})
}

// dig returns the value of a field of a field, if it is there and not null. It says nothing.
func (v value) dig(path ...string) (value, bool) {
	for _, name := range path {
		found := false
		for i := 0; v.node.Kind == yaml.MappingNode && i+1 < len(v.node.Content); i += 2 {
			if key := v.node.Content[i]; key.Value == name {
				sub := value{node: resolve(v.node.Content[i+1]), at: key, obj: v.obj, path: v.path + "." + name}
				if v.path == "" {
					sub.path = name
				}
				v, found = sub, true
				break
			}
		}
		if !found || v.isNull() {
			return value{}, false
		}
	}
	return v, true
}

func (v value) isNull() bool { return v.node.Kind == yaml.ScalarNode && v.node.Tag == "!!null" }

// damage finds what lets an object mean different things to different readers.
func (v value) damage() (where value, why string) {
	switch v.node.Kind {
	case yaml.MappingNode:
		seen := map[string]bool{}
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			key := v.node.Content[i]
			sub := value{node: resolve(v.node.Content[i+1]), at: key, obj: v.obj, path: v.path + "." + key.Value}
			if v.path == "" {
				sub.path = key.Value
			}
			switch {
			case key.Kind != yaml.ScalarNode:
				return value{node: key, at: key, obj: v.obj, path: v.path}, "has a field whose name is no string"
			case key.Tag == yaml.MergeTag:
				return sub, "is a merge key of YAML, which is not followed"
			case seen[key.Value]:
				return sub, "is given twice"
			}
			seen[key.Value] = true
			if where, why := sub.damage(); why != "" {
				return where, why
			}
		}
	case yaml.SequenceNode:
		for i, n := range v.node.Content {
			sub := value{node: resolve(n), at: n, obj: v.obj, path: fmt.Sprintf("%s[%d]", v.path, i)}
			if where, why := sub.damage(); why != "" {
				return where, why
			}
		}
	}
	return value{}, ""
}

// text returns a string.
func (v value) text() (string, bool) {
	if v.node.Kind != yaml.ScalarNode || v.node.Tag != "!!str" {
		v.lost("is %s; want a string", v.describe())
		return "", false
	}
	return v.node.Value, true
}

// truth returns a boolean as YAML 1.2 writes it.
func (v value) truth() (is, ok bool) {
	if v.node.Kind != yaml.ScalarNode || v.node.Tag != "!!bool" {
		v.lost("is %s; want true or false", v.describe())
		return false, false
	}
	return v.node.Value[0]|0x20 == 't', true // true, True, TRUE
}

// number returns an integer.
func (v value) number() (int, bool) {
	n, err := strconv.Atoi(v.node.Value)
	if v.node.Kind != yaml.ScalarNode || v.node.Tag != "!!int" || err != nil {
		v.lost("is %s; want a number", v.describe())
		return 0, false
	}
	return n, true
}

// list returns the elements of a list.
func (v value) list() []value {
	if v.node.Kind != yaml.SequenceNode {
		v.lost("is %s; want a list", v.describe())
		return nil
	}
	all := make([]value, len(v.node.Content))
	for i, n := range v.node.Content {
		all[i] = value{node: resolve(n), at: n, obj: v.obj, path: fmt.Sprintf("%s[%d]", v.path, i)}
	}
	return all
}

// texts returns the elements of a list of strings. ok is false if one is no string.
func (v value) texts() (all []string, ok bool) {
	if v.node.Kind != yaml.SequenceNode {
		v.lost("is %s; want a list", v.describe())
		return nil, false
	}
	ok = true
	for _, e := range v.list() {
		s, is := e.text()
		all, ok = append(all, s), ok && is
	}
	return all, ok
}

func (v value) describe() string {
	switch v.node.Kind {
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%.100q", v.node.Value)
}

// fields are the fields of an object of which note is taken that they have been read.
type fields struct {
	v    value
	read map[string]bool
	bad  bool // something is not what it should be
}

// fields returns the fields of an object. Of anything else it says that it is none, and has no fields.
func (v value) fields() *fields {
	f := &fields{v: v, read: map[string]bool{}}
	if v.node.Kind != yaml.MappingNode {
		v.lost("is %s; want an object", v.describe())
		f.bad = true
	}
	return f
}

// get returns a field that is there and not null.
func (f *fields) get(name string) (value, bool) {
	f.read[name] = true
	return f.v.dig(name)
}

// list returns the elements of a list field, or nothing.
func (f *fields) list(name string) []value {
	v, ok := f.get(name)
	if !ok {
		return nil
	}
	f.bad = f.bad || v.node.Kind != yaml.SequenceNode
	return v.list()
}

// text returns a string field, or "". ok is false if it is something else.
func (f *fields) text(name string) (s string, ok bool) {
	if v, is := f.get(name); is {
		return v.text()
	}
	return "", true
}

// truth returns a boolean field, or false. ok is false if it is something else.
func (f *fields) truth(name string) (is, ok bool) {
	if v, is := f.get(name); is {
		return v.truth()
	}
	return false, true
}

// ignore takes note of fields that say nothing of policy.
func (f *fields) ignore(names ...string) {
	for _, n := range names {
		f.read[n] = true
	}
}

// finish notes what has not been read, and reports whether that was nothing, the object is one, and its lists are lists. If not, the object
// may mean less than what was read of it.
func (f *fields) finish() bool {
	complete := !f.bad
	for i := 0; f.v.node.Kind == yaml.MappingNode && i+1 < len(f.v.node.Content); i += 2 {
		name := f.v.node.Content[i].Value
		if v, ok := f.v.dig(name); ok && !f.read[name] {
			v.lost("is not known here, so it is not carried over")
			complete = false
		}
	}
	return complete
}
