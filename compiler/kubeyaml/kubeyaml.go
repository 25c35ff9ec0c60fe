// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package kubeyaml reads Kubernetes objects from YAML and JSON, and remembers where each value stands. Values are what kubectl makes of the same
// text (sigs.k8s.io/yaml, which reads YAML 1.1: a plain yes is true), so what is judged is what a cluster would get. Two things are stricter: the
// same key twice is an error, and so is what an API server would refuse for its size. Text from outside may mean harm: sizes, depths and numbers of
// values are bounded, with aliases followed.
package kubeyaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/writ-sec/writ/schema"
)

// Limits of what is read.
const (
	MaxFile   = 16 << 20 // bytes in one file, and so in one document
	MaxObject = 3 << 20  // bytes of an object as JSON, as an API server has it (MaxRequestBodyBytes in k8s.io/apiserver/pkg/server/config.go)
	MaxDepth  = 100      // values within values
	maxTokens = 1 << 20  // of one document, about: each may become a value of a few hundred bytes in memory
	maxLists  = 3        // lists within lists of objects
)

// Problem is something that can't be read. Its position has line 0 where it is about the file as a whole.
type Problem struct {
	Pos    schema.Pos
	Msg    string
	Source string // the line at Pos
}

// Object is one Kubernetes object of a file.
type Object struct {
	Value map[string]any // as JSON decodes it, but for numbers: int64, uint64 or float64
	src   *source
	node  *yaml.Node
}

// source is a file that is being read.
type source struct {
	file string
	data []byte // of the document
	line int    // of the file, before the document begins
}

// Read reads all objects of a file: several documents, and the items of lists. What can't be read is a problem, and the rest is read.
func Read(file string, data []byte) (objects []Object, problems []Problem) {
	if len(data) > MaxFile {
		return nil, []Problem{{Pos: schema.Pos{File: file}, Msg: fmt.Sprintf("has more than %d bytes; want at most that in a file", MaxFile)}}
	}
	data = BlankTabs(bytes.TrimPrefix(data, []byte("\ufeff")))
	for _, d := range documents(data) {
		src := &source{file, d.data, d.line}
		r := reader{src: src}
		r.document()
		objects, problems = append(objects, r.objects...), append(problems, r.problems...)
	}
	return objects, problems
}

// FromNode returns the objects that a node is, as one of a bigger document that somebody else has parsed. Positions name the file alone: what the
// node's lines are lines of is not known.
func FromNode(file string, n *yaml.Node) (objects []Object, problems []Problem) {
	r := reader{src: &source{file: file}}
	r.add(n, nil, 0)
	return r.objects, r.problems
}

// Bounded says whether nodes that somebody else has parsed hold, with aliases followed, no more than what is read of a document here. A few lines of
// YAML can stand for billions of values, or contain themselves.
func Bounded(nodes ...*yaml.Node) bool {
	left := maxTokens
	for _, n := range nodes {
		if !within(n, 0, &left) {
			return false
		}
	}
	return true
}

func within(n *yaml.Node, depth int, left *int) bool {
	if *left--; *left < 0 || depth > MaxDepth {
		return false
	}
	if n == nil {
		return true
	}
	if n.Kind == yaml.AliasNode {
		return within(n.Alias, depth+1, left)
	}
	for _, c := range n.Content {
		if !within(c, depth+1, left) {
			return false
		}
	}
	return true
}

// document is a part of a file.
type document struct {
	data []byte
	line int // lines of the file before it
}

// documents splits a file at the lines that begin a document (YAML 1.2.2, 9.1.2: no content line begins with "---"), so that one that is broken
// does not hide the rest. Directives and comments belong to the document that follows.
func documents(data []byte) []document {
	var all []document
	start, startLine, content := 0, 0, false
	at, line := 0, 0
	for l := range bytes.Lines(data) {
		text := bytes.TrimSpace(l)
		marker := bytes.HasPrefix(l, []byte("---")) && (len(text) == 3 || l[3] == ' ' || l[3] == '\t')
		if marker && content {
			all = append(all, document{data[start:at], startLine})
			start, startLine, content = at, line, false
		}
		content = content || marker || len(text) > 0 && text[0] != '#' && l[0] != '%'
		at, line = at+len(l), line+1
	}
	return append(all, document{data[start:], startLine})
}

// reader reads one document.
type reader struct {
	src      *source
	objects  []Object
	problems []Problem
}

func (r *reader) problem(n *yaml.Node, format string, args ...any) {
	r.at(r.src.pos(n), fmt.Sprintf(format, args...))
}

func (r *reader) at(p schema.Pos, msg string) {
	r.problems = append(r.problems, Problem{p, msg, r.src.text(p.Line - r.src.line)})
}

func (r *reader) document() {
	defer func() { // the parser keeps its promises with errors, mostly
		if p := recover(); p != nil {
			r.whole(fmt.Sprintf("is not YAML: the parser failed: %.200v", p))
		}
	}()
	switch {
	case !utf8.Valid(r.src.data):
		r.whole("is not UTF-8; want UTF-8 text")
		return
	case tokens(r.src.data) > maxTokens:
		r.whole(fmt.Sprintf("has more than %d values; want a smaller document", maxTokens))
		return
	}
	decoder := yaml.NewDecoder(bytes.NewReader(r.src.data))
	for {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.notYAML(err)
			return
		}
		for _, n := range doc.Content {
			r.add(n, nil, 0)
		}
	}
}

// whole notes a problem of the whole document.
func (r *reader) whole(msg string) {
	r.at(schema.Pos{File: r.src.file, Line: r.src.line + 1, Col: 1}, msg)
}

// tokens counts what may begin a value, so that memory is bounded before it is taken.
func tokens(data []byte) int {
	n := 0
	for _, c := range data {
		switch c {
		case '\n', ',', '[', '{', ':', '?':
			n++
		case '-':
			n++
		}
	}
	return n
}

var yamlLineRE = regexp.MustCompile(`^yaml: (?:[a-z ]+ )?line ([0-9]+)(?:, column [0-9]+)?: `)

// parserSays are the errors of the YAML parser's grammar, whose lines it counts from 0. Those of its scanner it counts from 1 (func fail in decode.go of
// go.yaml.in/yaml/v3).
var parserSays = regexp.MustCompile(`^(?:did not find expected (?:<stream-start>|<document start>|node content|'-' indicator|key|',' or '[\]}]')` +
	`|found undefined tag handle|found duplicate %(?:YAML|TAG) directive|found incompatible YAML document)$`)

// CutLine takes the line, 0 if there is none, off the text of an error of the YAML parser, which knows no columns. data is what was parsed: what it lacks
// at its end is told at its last line that is not blank.
func CutLine(data []byte, err error) (line int, text string) {
	text = err.Error()
	if m := yamlLineRE.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		if text = text[len(m[0]):]; parserSays.MatchString(text) {
			line = min(line+1, 1+bytes.Count(bytes.TrimRight(data, " \t\r\n"), []byte{'\n'}))
		}
		return line, text
	}
	return 0, strings.TrimPrefix(text, "yaml: ")
}

func (r *reader) notYAML(err error) {
	line, text := CutLine(r.src.data, err)
	r.at(schema.Pos{File: r.src.file, Line: r.src.line + max(1, line), Col: 1}, "is not YAML: "+text)
}

// BlankTabs makes JSON that is indented with tabs readable as YAML. Positions stay.
func BlankTabs(data []byte) []byte {
	first := bytes.TrimLeft(data, " \t\r\n")
	if len(first) == 0 || first[0] != '{' && first[0] != '[' {
		return data
	}
	out := bytes.Clone(data)
	quoted := false
	for i := 0; i < len(out); i++ {
		switch {
		case quoted && out[i] == '\\':
			i++
		case out[i] == '"':
			quoted = !quoted
		case !quoted && out[i] == '\t':
			out[i] = ' '
		}
	}
	return out
}

// header is what of an object is needed to know what it is.
type header struct{ apiVersion, kind string }

// add adds an object, or the items of a list. list is that which holds the object, nil if none does.
func (r *reader) add(n *yaml.Node, list *header, level int) {
	n = followed(n)
	switch {
	case n == nil || n.Kind == yaml.ScalarNode && n.Style == 0 && plainScalar(n.Value) == nil:
		return // an empty document
	case n.Kind != yaml.MappingNode:
		r.problem(n, "is %s; want a Kubernetes object", describe(n))
		return
	}
	h := header{text(n, "apiVersion"), text(n, "kind")}
	// kubectl takes whatever has items for a list (unstructuredJSONScheme in k8s.io/apimachinery).
	if items := field(n, "items"); h.kind != "" && items != nil && items.Kind == yaml.SequenceNode && level < maxLists {
		r.listHead(n)
		for _, item := range items.Content {
			r.add(item, &h, level+1)
		}
		return
	}
	c := converter{reader: r}
	value, ok := c.object(n)
	if !ok {
		return
	}
	if items, ok := value["items"].([]any); ok && len(items) > 0 { // by a merge or an alias, or too deep
		r.problem(n, "holds items that are not told apart; want them in the list itself, and at most %d lists within each other", maxLists)
		return
	}
	if _, named := value["kind"]; !named && list != nil && list.kind != "List" { // as those that an API server sends
		value["kind"], value["apiVersion"] = strings.TrimSuffix(list.kind, "List"), list.apiVersion
	}
	r.objects = append(r.objects, Object{value, r.src, n})
}

// listHead reads what a list says beside its first items. More of them would be read in place of these.
func (r *reader) listHead(n *yaml.Node) {
	head, first := *n, true
	head.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		if first && n.Content[i].Value == "items" {
			first = false
			continue
		}
		head.Content = append(head.Content, n.Content[i], n.Content[i+1])
	}
	c := converter{reader: r}
	if value, ok := c.object(&head); ok && value["items"] != nil {
		r.problem(n, "has items twice; want one list of them")
	}
}

// followed returns what an alias stands for.
func followed(n *yaml.Node) *yaml.Node {
	for range MaxDepth {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return nil
}

// field returns the value of a field of a mapping, nil if there is none. What a merge brings is not looked at.
func field(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return followed(n.Content[i+1])
		}
	}
	return nil
}

func text(n *yaml.Node, name string) string {
	if v := field(n, name); v != nil && v.Kind == yaml.ScalarNode {
		return v.Value
	}
	return ""
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return fmt.Sprintf("%.100q", n.Value)
	}
}

// JSON returns the object as JSON.
func (o *Object) JSON() ([]byte, error) { return json.Marshal(o.Value) }
