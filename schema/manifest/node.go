// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// node is an object within the Pod. One that is not set has no fields; its path is that of the nearest one that is.
type node struct {
	fields map[string]any
	path   []any
	scan   *scan
}

// reading is the value of a field. The path of one that is not set is that of the nearest object.
type reading struct {
	value string
	path  []any
	set   bool
}

func (n node) isSet() bool { return n.fields != nil }

// at returns the path of a field of the node.
func (n node) at(names ...any) []any { return append(slices.Clip(n.path), names...) }

// get returns what a field holds if it is of type T. Null is not set, and so is what is of another type, which is a problem.
func get[T any](n node, name, want string) (T, bool) {
	value, ok := n.fields[name].(T)
	if !ok && n.fields[name] != nil {
		n.scan.problem(n.at(name), fmt.Sprintf("is %s; want %s", typeOf(n.fields[name]), want))
	}
	return value, ok
}

// object returns a field that is an object.
func (n node) object(names ...string) node {
	for _, name := range names {
		if fields, ok := get[map[string]any](n, name, "an object"); ok && fields != nil {
			n = node{fields, n.at(name), n.scan}
		} else {
			return node{nil, n.path, n.scan}
		}
	}
	return n
}

// list returns the objects of a field that is a list.
func (n node) list(name string) []node {
	items, _ := get[[]any](n, name, "a list")
	nodes := make([]node, 0, len(items))
	for i, item := range items {
		if fields, ok := item.(map[string]any); ok && fields != nil {
			nodes = append(nodes, node{fields, n.at(name, i), n.scan})
		} else {
			n.scan.problem(n.at(name, i), fmt.Sprintf("is %s; want an object", typeOf(item)))
		}
	}
	return nodes
}

// texts returns the strings of a field that is a list.
func (n node) texts(name string) []reading {
	items, _ := get[[]any](n, name, "a list")
	var texts []reading
	for i, item := range items {
		if text, ok := item.(string); ok {
			texts = append(texts, reading{text, n.at(name, i), true})
		} else {
			n.scan.problem(n.at(name, i), fmt.Sprintf("is %s; want a string", typeOf(item)))
		}
	}
	return texts
}

// text returns a field that is a string.
func (n node) text(name string) reading {
	if value, ok := get[string](n, name, "a string"); ok {
		return reading{value, n.at(name), true}
	}
	return reading{path: n.path}
}

// boolean returns a field that is a boolean, as "true" or "false".
func (n node) boolean(name string) reading {
	if value, ok := get[bool](n, name, "true or false"); ok {
		return reading{strconv.FormatBool(value), n.at(name), true}
	}
	return reading{path: n.path}
}

// number returns a field that is a whole number, in decimal.
func (n node) number(name string) reading {
	value := n.fields[name]
	if whole, ok := wholeNumber(value); ok {
		return reading{strconv.FormatInt(whole, 10), n.at(name), true}
	}
	if value != nil {
		n.scan.problem(n.at(name), fmt.Sprintf("is %s; want a whole number", typeOf(value)))
	}
	return reading{path: n.path}
}

// or returns the reading, or the default if it is not set.
func (r reading) or(value string) reading {
	if !r.set {
		r.value, r.set = value, true
	}
	return r
}

// wholeNumber reads the forms that decoders give to a number. 1e3 and 1000.0 are 1000.
func wholeNumber(value any) (int64, bool) {
	switch v := value.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case float64:
		// -2^63 is a float64, 2^63-1 is not, 2^63 is.
		return int64(v), v == math.Trunc(v) && v >= math.MinInt64 && v < math.MaxInt64
	case json.Number:
		if whole, err := v.Int64(); err == nil {
			return whole, true
		}
		if f, err := v.Float64(); err == nil {
			return wholeNumber(f)
		}
	}
	return 0, false
}

// typeOf names a value's type as JSON does.
func typeOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "a string"
	case bool:
		return "true or false"
	}
	return "a number"
}
