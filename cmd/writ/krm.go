// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/compiler/kubeyaml"
	"github.com/writ-sec/writ/schema/bundle"
)

// maxResourceList bounds a ResourceList in bytes. It is all in memory, several times.
const maxResourceList = 256 << 20

// krmKind is the kind of a functionConfig of our own.
const (
	krmGroup = "policy.writ-sec.github.io/v1alpha1"
	krmKind  = "Compile"
)

// compileKRM is writ compile as a generator of KRM functions: it reads a ResourceList and writes it with the objects of the policy. What goes
// wrong stands in the list's results, beside the exit code.
func compileKRM(ctx context.Context, io stdio, f compileFlags, args []string) error {
	list, items, err := readResourceList(io)
	if err != nil {
		return err
	}
	res, err := krmResult(ctx, f, args, list.FunctionConfig)
	var results []krmFinding
	if err == nil {
		results = krmWarnings(io, res)
		items, err = generated(items, res.Bundle)
	}
	if err != nil {
		results = krmErrors(err)
	}
	var failed error
	if list.Results, failed = krmNode(results); failed == nil {
		failed = list.Write(items)
	}
	if failed != nil {
		return fmt.Errorf("write ResourceList: %w", failed)
	}
	return err
}

// readResourceList reads a ResourceList from standard input. It is written back to standard output.
func readResourceList(io stdio) (*kio.ByteReadWriter, []*yaml.RNode, error) {
	list := &kio.ByteReadWriter{Reader: &boundedReader{io.in, maxResourceList}, Writer: io.out, KeepReaderAnnotations: true}
	items, err := list.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("read ResourceList: %w", err)
	}
	if list.WrappingKind != kio.ResourceListKind {
		return nil, nil, hinted{errors.New("standard input is no ResourceList"), "--krm is for programs that run functions, such as kustomize and kpt"}
	}
	for i, item := range items {
		switch {
		case item.YNode() == nil || item.YNode().Kind != yaml.MappingNode:
			return nil, nil, fmt.Errorf("read ResourceList: items[%d] is no object", i)
		case !kubeyaml.Bounded(item.YNode()):
			return nil, nil, fmt.Errorf("read ResourceList: items[%d] holds too many values, or too deep ones, aliases followed; want fewer", i)
		}
	}
	if list.FunctionConfig != nil && !kubeyaml.Bounded(list.FunctionConfig.YNode()) {
		return nil, nil, errors.New("read ResourceList: functionConfig holds too many values, aliases followed; want fewer")
	}
	return list, items, nil
}

// krmNode returns the results as they stand in a ResourceList; nil without any.
func krmNode(results []krmFinding) (*yaml.RNode, error) {
	if len(results) == 0 {
		return nil, nil
	}
	data, err := yaml.Marshal(results)
	if err != nil {
		return nil, err
	}
	return yaml.Parse(string(data))
}

// krmResult compiles what the functionConfig and the command line name.
func krmResult(ctx context.Context, f compileFlags, args []string, config *yaml.RNode) (*compiler.Result, error) {
	dir, err := f.configured(config)
	if err != nil {
		return nil, fmt.Errorf("functionConfig: %w", err)
	}
	if len(args) > 0 || dir == "" {
		dir = dirArg(args)
	}
	cfg := f.config()
	if cfg.At, err = f.given(); err != nil {
		return nil, err
	}
	res, _, err := compileDir(ctx, dir, cfg)
	return res, err
}

// configured takes what a functionConfig says, where no flag says it, and returns the folder of the policy that it names.
func (f *compileFlags) configured(config *yaml.RNode) (dir string, err error) {
	fields, err := krmFields(config, krmKind)
	if err != nil {
		return "", err
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		switch name {
		case "dir":
			dir = value
		case "cluster":
			if f.cluster == "" {
				f.cluster = value
			}
		case "at":
			if f.at == "" {
				f.at = value
			}
		case "admission":
			if f.admission == "" {
				err = f.admission.Set(value)
			}
		case "cilium":
			if f.cilium.is == nil {
				err = f.cilium.Set(value)
			}
		default:
			err = errors.New("is not known; want dir, cluster, at, admission or cilium")
		}
		if err != nil {
			return "", fmt.Errorf("field %.100q: %w", name, err)
		}
	}
	return dir, nil
}

// krmFields returns the fields of a functionConfig: the data of a ConfigMap, or the spec of our own kind.
func krmFields(config *yaml.RNode, ours string) (map[string]string, error) {
	if yaml.IsMissingOrNull(config) {
		return nil, nil
	}
	var under string
	switch apiVersion, kind := config.GetApiVersion(), config.GetKind(); {
	case apiVersion == "v1" && kind == "ConfigMap":
		under = "data"
	case apiVersion == krmGroup && kind == ours:
		under = "spec"
	default:
		return nil, fmt.Errorf("is %.100q of %.100q; want %s of %s, or ConfigMap of v1", kind, apiVersion, ours, krmGroup)
	}
	fields := map[string]string{}
	node := config.Field(under)
	if node.IsNilOrEmpty() {
		return fields, nil
	}
	return fields, node.Value.VisitFields(func(field *yaml.MapNode) error {
		if field.Value.YNode().Kind != yaml.ScalarNode {
			return fmt.Errorf("field %.100q is no text", field.Key.YNode().Value)
		}
		fields[field.Key.YNode().Value] = field.Value.YNode().Value
		return nil
	})
}

// krmFinding is a result in a ResourceList (KRM Functions Specification, ResourceList.results).
type krmFinding struct {
	Message     string            `yaml:"message"`
	Severity    string            `yaml:"severity"` // "error", "warning" or "info"
	ResourceRef *krmRef           `yaml:"resourceRef,omitempty"`
	Field       *krmField         `yaml:"field,omitempty"`
	File        *krmFile          `yaml:"file,omitempty"` // of compile in the policy repository, of check that of the item
	Tags        map[string]string `yaml:"tags,omitempty"`
}

type krmRef struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Name       string `yaml:"name"`
	Namespace  string `yaml:"namespace,omitempty"`
}

type krmField struct {
	Path         string `yaml:"path"`
	CurrentValue string `yaml:"currentValue,omitempty"`
}

type krmFile struct {
	Path  string `yaml:"path"`
	Index int    `yaml:"index,omitempty"` // of the object in the file
}

// krmErrors returns what an error says, one by one if the policy is at fault.
func krmErrors(err error) []krmFinding {
	var policy compiler.Errors
	if !errors.As(err, &policy) {
		return []krmFinding{{Message: printableText(err.Error()), Severity: "error"}}
	}
	all := make([]krmFinding, len(policy))
	for i, d := range policy {
		all[i] = krmDiagnostic(d, "error")
	}
	return all
}

func krmDiagnostic(d compiler.Diagnostic, severity string) krmFinding {
	r := krmFinding{Message: d.String(), Severity: severity, Tags: map[string]string{}}
	if d.Path != "" {
		r.Field = &krmField{Path: d.Path}
	}
	if d.Pos.File != "" {
		r.File = &krmFile{Path: d.Pos.File}
	}
	if d.Pos.Line > 0 {
		r.Tags["line"], r.Tags["column"] = fmt.Sprint(d.Pos.Line), fmt.Sprint(d.Pos.Col)
	}
	if d.Code != "" {
		r.Tags["code"] = d.Code
	}
	return r
}

// krmWarnings returns what is doubtful about a policy that compiles, and says it on standard error too, which is what kustomize shows.
func krmWarnings(io stdio, res *compiler.Result) []krmFinding {
	var all []krmFinding
	for _, d := range res.Warnings {
		all = append(all, krmDiagnostic(d, "warning"))
		fmt.Fprintf(io.err, "warning: %s\n", d)
	}
	warnOfDates(io, res)
	switch {
	case res.Stricter > 0:
		all = append(all, krmFinding{Message: fmt.Sprintf("the objects have the stricter side of the dates of %s", plural(res.Stricter, "workload")), Severity: "warning"})
	case !res.Stale.IsZero():
		all = append(all, krmFinding{Message: "the objects are stale from " + res.Stale.Format(time.RFC3339) + " on", Severity: "warning"})
	}
	return all
}

// boundedReader reads up to a number of bytes, and fails where more follow.
type boundedReader struct {
	from io.Reader
	left int64
}

func (r *boundedReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return 0, fmt.Errorf("it has more than %d bytes", maxResourceList)
	}
	return n, err
}

// krmObjects returns the objects of a bundle in the order in which they are applied, each with the path of its file.
func krmObjects(b *bundle.Bundle) ([]*yaml.RNode, error) {
	order, err := b.Order()
	if err != nil {
		return nil, err
	}
	var all []*yaml.RNode
	for _, stage := range order.Stages {
		for _, path := range stage.Objects {
			data, err := b.Open(path)
			if err != nil {
				return nil, err
			}
			node, err := yaml.Parse(string(data))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			if err := annotate(node, fileAnnotations(path)); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			all = append(all, node)
		}
	}
	return all, nil
}

// runnersOwn reports whether an annotation is a note of the program that runs functions, and no part of the object.
func runnersOwn(annotation string) bool {
	for _, prefix := range []string{"internal.config.kubernetes.io/", "config.kubernetes.io/", "config.k8s.io/"} {
		if strings.HasPrefix(annotation, prefix) {
			return true
		}
	}
	return false
}
