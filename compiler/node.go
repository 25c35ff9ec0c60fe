// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/writ-sec/writ/schema"
)

// nodeKind is what a value is.
type nodeKind uint8

const (
	nodeStruct nodeKind = iota
	nodeString
	nodeNumber
	nodeBool
	nodeNull
	nodeOther  // another value that is wholly given: a list, a fraction, bytes
	nodeOpen   // not one value: a type, or a disjunction without a default
	nodeBottom // an error of CUE, which is reported beside it
)

// node is an evaluated value with every place that states it. It is what passes from evaluation, of whichever kind, to shape and lowering.
// It does not change once made.
type node struct {
	_      struct{} `cbor:",toarray"`
	Kind   nodeKind
	Text   string      // of a string; of a whole number its digits; of a bool "true" or "false"; of others how CUE shows it
	Fields []nodeField // of a struct, sorted by name
	Pos    places      // of the labels that state it, sorted
	// Pattern holds the places of patterns such as [string]: {…} that add to it.
	Pattern places
}

type nodeField struct {
	_    struct{} `cbor:",toarray"`
	Name string
	Node *node
}

// get returns the value at a path, or nil. A nil node has no fields.
func (n *node) get(path ...string) *node {
	for _, name := range path {
		if n == nil {
			return nil
		}
		i, ok := slices.BinarySearchFunc(n.Fields, name, func(f nodeField, name string) int { return compareStrings(f.Name, name) })
		if !ok {
			return nil
		}
		n = n.Fields[i].Node
	}
	return n
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// at returns the places that state a path, or the nearest value around it that is stated at all.
func (n *node) at(path ...string) []schema.Pos {
	best := n.places()
	for i := range path {
		sub := n.get(path[:i+1]...)
		if sub == nil {
			break
		}
		if p := sub.places(); len(p) > 0 {
			best = p
		}
	}
	return best
}

// places are the labels that state a value, or else the patterns.
func (n *node) places() []schema.Pos {
	switch {
	case n == nil:
		return nil
	case len(n.Pos) > 0:
		return n.Pos
	}
	return n.Pattern
}

// text returns a string at a path, or "".
func (n *node) text(path ...string) string {
	if m := n.get(path...); m != nil && m.Kind == nodeString {
		return m.Text
	}
	return ""
}

// maxNodes bounds the values of one entry, counted as often as they are reached: a struct that refers to another twice holds it twice.
const maxNodes = 1 << 20

// size counts a node and everything in it. It stops counting at a limit, which is also the size of what is nested deeper than any policy.
func (n *node) size(limit int) int { return n.sizeAt(limit, 0) }

func (n *node) sizeAt(limit, level int) int {
	total := 1
	if level > maxDepth {
		return limit
	}
	for _, f := range n.Fields {
		if total >= limit {
			return total
		}
		total += f.Node.sizeAt(limit-total, level+1)
	}
	return total
}

// clash is where two values contradict each other.
type clash struct {
	path []string
	a, b *node
}

// unify returns what both values say, as CUE does for values that are wholly given: structs are united, anything else must be equal. What
// contradicts is kept as a says it, and reported.
func unify(a, b *node, path []string, clashes *[]clash) *node {
	if a == b || b == nil {
		return a
	}
	if a == nil {
		return b
	}
	u := &node{Kind: a.Kind, Text: a.Text, Pos: unitePositions(a.Pos, b.Pos), Pattern: unitePositions(a.Pattern, b.Pattern)}
	if a.Kind != b.Kind || a.Text != b.Text {
		*clashes = append(*clashes, clash{slices.Clone(path), a, b})
		u.Fields = a.Fields
		return u
	}
	u.Fields = uniteFields(a.Fields, b.Fields, path, clashes)
	return u
}

// uniteFields merges two sorted lists.
func uniteFields(a, b []nodeField, path []string, clashes *[]clash) []nodeField {
	if len(a) == 0 || len(b) == 0 {
		return slices.Concat(a, b)
	}
	all := make([]nodeField, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := compareStrings(a[0].Name, b[0].Name); {
		case c < 0:
			all, a = append(all, a[0]), a[1:]
		case c > 0:
			all, b = append(all, b[0]), b[1:]
		default:
			all = append(all, nodeField{Name: a[0].Name, Node: unify(a[0].Node, b[0].Node, append(path, a[0].Name), clashes)})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(all, a...), b...)
}

func unitePositions(a, b []schema.Pos) []schema.Pos {
	switch {
	case len(b) == 0:
		return a
	case len(a) == 0:
		return b
	}
	return sortPositions(slices.Concat(a, b))
}

func sortPositions(all []schema.Pos) []schema.Pos {
	slices.SortFunc(all, schema.Pos.Compare)
	return slices.Compact(all)
}

// equalValues reports whether two values are the same, wherever they are stated. Neither may be nil.
func equalValues(a, b *node) bool {
	return a == b || a.Kind == b.Kind && a.Text == b.Text &&
		slices.EqualFunc(a.Fields, b.Fields, func(x, y nodeField) bool { return x.Name == y.Name && equalValues(x.Node, y.Node) })
}

// places is a list of positions with a short form for the cache.
type places []schema.Pos

// MarshalCBOR implements [cbor.Marshaler]: one text of file, line and column for each, with NUL bytes between.
func (p places) MarshalCBOR() ([]byte, error) {
	var b []byte
	for i, at := range p {
		if i > 0 {
			b = append(b, 0)
		}
		b = append(b, at.File...)
		b = strconv.AppendInt(append(b, 0), int64(at.Line), 10)
		b = strconv.AppendInt(append(b, 0), int64(at.Col), 10)
	}
	return cbor.Marshal(string(b))
}

// UnmarshalCBOR implements [cbor.Unmarshaler].
func (p *places) UnmarshalCBOR(data []byte) error {
	var text string
	if err := cbor.Unmarshal(data, &text); err != nil {
		return err
	}
	*p = nil
	for rest, more := text, text != ""; more; {
		var file, line, col string
		file, rest, _ = strings.Cut(rest, "\x00")
		line, rest, _ = strings.Cut(rest, "\x00")
		col, rest, more = strings.Cut(rest, "\x00")
		l, err := strconv.Atoi(line)
		c, err2 := strconv.Atoi(col)
		if err := errors.Join(err, err2); err != nil {
			return fmt.Errorf("positions are damaged: %w", err)
		}
		*p = append(*p, schema.Pos{File: file, Line: l, Col: c})
	}
	return nil
}
