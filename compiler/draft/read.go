// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/writ-sec/writ/compiler/kubeyaml"
	"github.com/writ-sec/writ/schema"
)

// source is a file that is being read.
type source struct {
	path      string
	namespace string
	lines     []string
}

// pos returns where a value stands. The parser counts columns in characters.
func (s *source) pos(n *yaml.Node) schema.Pos {
	p := schema.Pos{File: s.path, Line: n.Line, Col: n.Column}
	if n.Line < 1 || n.Line > len(s.lines) {
		return p
	}
	p.Col = kubeyaml.ByteColumn(s.lines[n.Line-1], n.Column)
	return p
}

// object is one Kubernetes object.
type object struct {
	im                                *importer
	src                               *source
	root                              value
	apiVersion, kind, namespace, name string
}

// group returns the API group, "" for the core.
func (o *object) group() string {
	group, _, ok := strings.Cut(o.apiVersion, "/")
	if !ok {
		return ""
	}
	return group
}

// label names the object for messages.
func (o *object) label() string {
	name := o.name
	if o.namespace != "" && o.kind != "Namespace" && !strings.Contains(o.kind, "Host") && !strings.Contains(o.kind, "Cluster") {
		name = o.namespace + "/" + name
	}
	return strings.TrimSpace(o.kind + " " + name)
}

// read parses all sources and lists their objects.
func (im *importer) read(sources []Source) error {
	total := 0
	for _, s := range sources {
		if total += len(s.Data); len(s.Data) > MaxSource || total > MaxTotal {
			return fmt.Errorf("%s: has more than %d bytes, or all files more than %d; want fewer at once", s.Path, MaxSource, MaxTotal)
		}
	}
	for _, s := range sources {
		if !utf8.Valid(s.Data) {
			return fmt.Errorf("%s: is not UTF-8; want UTF-8 text", s.Path)
		}
		if err := im.readSource(s); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) readSource(s Source) (err error) {
	data := kubeyaml.BlankTabs(bytes.TrimPrefix(s.Data, []byte("\ufeff")))
	src := &source{path: s.Path, namespace: s.Namespace, lines: strings.Split(string(data), "\n")}
	if src.namespace == "" {
		src.namespace = "default"
	}
	defer func() { // the parser keeps its promises with errors, mostly
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: the YAML parser failed: %.200v", s.Path, r)
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return yamlError(s.Path, data, err)
		}
		for _, n := range doc.Content {
			if err := im.bounded(src, n, 0); err != nil {
				return err
			}
			if err := im.add(src, n, 0); err != nil {
				return err
			}
		}
	}
}

// yamlError gives an error of the parser the form of ours.
func yamlError(path string, data []byte, err error) error {
	line, text := kubeyaml.CutLine(data, err)
	if line > 0 {
		return fmt.Errorf("%s:%d: is not YAML: %s", path, line, text)
	}
	return fmt.Errorf("%s: is not YAML: %s", path, text)
}

// bounded holds a document against the limits, with aliases followed: a few lines of YAML can stand for billions of values, or contain themselves.
func (im *importer) bounded(src *source, n *yaml.Node, level int) error {
	if im.values++; im.values > maxValues {
		return fmt.Errorf("%s: holds more than %d values, aliases followed; want fewer at once", src.pos(n), maxValues)
	}
	if level > maxLevels {
		return fmt.Errorf("%s: is nested deeper than %d levels; want a Kubernetes object", src.pos(n), maxLevels)
	}
	if n.Kind == yaml.AliasNode {
		return im.bounded(src, n.Alias, level+1)
	}
	for _, c := range n.Content {
		if err := im.bounded(src, c, level+1); err != nil {
			return err
		}
	}
	return nil
}

// add lists an object, or the items of a list of objects.
func (im *importer) add(src *source, n *yaml.Node, level int) error {
	n = resolve(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil // an empty document
	}
	o := &object{im: im, src: src}
	o.root = value{node: n, at: n, obj: o}
	text := func(path ...string) string {
		if v, ok := o.root.dig(path...); ok && v.node.Kind == yaml.ScalarNode {
			return v.node.Value
		}
		return ""
	}
	o.apiVersion, o.kind, o.namespace, o.name = text("apiVersion"), text("kind"), text("metadata", "namespace"), text("metadata", "name")
	if items, ok := o.root.dig("items"); ok && strings.HasSuffix(o.kind, "List") && items.node.Kind == yaml.SequenceNode && level < 3 {
		for _, item := range items.node.Content {
			if err := im.add(src, item, level+1); err != nil {
				return err
			}
		}
		return nil
	}
	if len(im.objects) == maxObjects {
		return fmt.Errorf("%s: is object %d; want at most %d at once", src.pos(n), maxObjects+1, maxObjects)
	}
	if o.namespace == "" {
		o.namespace = src.namespace
	}
	im.objects = append(im.objects, o)
	return nil
}
