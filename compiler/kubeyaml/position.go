// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package kubeyaml

import (
	"bytes"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/writ-sec/writ/schema"
)

// pos returns where a value stands. The parser counts columns in characters, [schema.Pos] in bytes.
func (s *source) pos(n *yaml.Node) schema.Pos {
	switch {
	case s.data == nil:
		return schema.Pos{File: s.file}
	case n == nil || n.Line < 1:
		return schema.Pos{File: s.file, Line: s.line + 1}
	}
	return schema.Pos{File: s.file, Line: s.line + n.Line, Col: ByteColumn(s.text(n.Line), n.Column)}
}

// ByteColumn returns the column in bytes of one in characters, both from 1.
func ByteColumn(line string, column int) int {
	col := 1
	for i := range line {
		if col == column {
			return i + 1
		}
		col++
	}
	return column
}

// text returns a line of the document, from 1, without its end.
func (s *source) text(line int) string {
	n := 0
	for l := range bytes.Lines(s.data) {
		if n++; n == line {
			return strings.TrimRight(string(l), "\r\n")
		}
	}
	return ""
}

// At returns where the value at a path stands: its field's name, or the item of its list. Of what is not there, the nearest that is around it.
// A path's elements are names (string) and indices (int).
func (o *Object) At(path []any) schema.Pos {
	n, at := o.node, o.node
	for _, p := range path {
		key, value := step(n, p)
		if value == nil {
			break
		}
		n, at = value, key
	}
	return o.src.pos(at)
}

// Source returns the line on which a position of the object stands, "" if it is not known.
func (o *Object) Source(p schema.Pos) string { return o.src.text(p.Line - o.src.line) }

// step goes from a value to a part of it, and says what node shows where that stands.
func step(n *yaml.Node, part any) (at, value *yaml.Node) {
	n = followed(n)
	switch p := part.(type) {
	case int:
		if n == nil || n.Kind != yaml.SequenceNode || p < 0 || p >= len(n.Content) {
			return nil, nil
		}
		return n.Content[p], n.Content[p]
	case string:
		return lookup(n, p, 0)
	}
	return nil, nil
}

// lookup finds a field, also one that a merge brings.
func lookup(n *yaml.Node, name string, depth int) (at, value *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode || depth > MaxDepth {
		return nil, nil
	}
	for i := len(n.Content) - 2; i >= 0; i -= 2 { // what stands further down counts
		key := n.Content[i]
		if isMerge(key) {
			from := sources(n.Content[i+1])
			for j := len(from) - 1; j >= 0; j-- {
				if at, value := lookup(from[j], name, depth+1); value != nil {
					return at, value
				}
			}
			continue
		}
		if k := followed(key); k != nil && k.Kind == yaml.ScalarNode {
			if found, ok := keyName(k); ok && found == name {
				return key, n.Content[i+1]
			}
		}
	}
	return nil, nil
}
