// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"sigs.k8s.io/kustomize/kyaml/kio/kioutil"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/compiler/kubeyaml"
)

// krmCheckKind is the kind of check's own functionConfig.
const krmCheckKind = "Check"

// runKRM judges the items of a ResourceList. They are written as they are read, with what was found as results.
func (k manifestCheck) runKRM(ctx context.Context, io stdio) error {
	list, items, err := readResourceList(io)
	if err != nil {
		return err
	}
	if err := k.configured(list.FunctionConfig); err != nil {
		return fmt.Errorf("functionConfig: %w", err)
	}
	files := map[string]*krmFile{}
	report, err := k.judge(ctx, io, func() (*checkInput, error) { return readItems(items, files), nil })
	if err != nil {
		return err
	}
	added, err := krmNode(report.results(files))
	if err != nil {
		return err
	}
	if added != nil && list.Results != nil { // those of functions before this one
		added.YNode().Content = append(slices.Clone(list.Results.YNode().Content), added.YNode().Content...)
	}
	if added != nil {
		list.Results = added
	}
	if err := list.Write(items); err != nil {
		return fmt.Errorf("write ResourceList: %w", err)
	}
	if err := report.verdict(); err != nil { // what runs functions may show results, or what they say here
		report.writeText(io.err)
		compiler.Render(io.err, report.Problems)
		return err
	}
	return nil
}

// configured takes what a functionConfig says. It says more of this run than the command line, which whoever runs functions does not see.
func (k *manifestCheck) configured(config *yaml.RNode) error {
	fields, err := krmFields(config, krmCheckKind)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		switch name {
		case "policy":
			k.policy = value
		case "cluster":
			k.compile.cluster = value
		case "at":
			k.compile.at = value
		case "namespace":
			k.namespace = value
		default:
			return fmt.Errorf("field %.100q: is not known; want policy, cluster, at or namespace", name)
		}
	}
	return nil
}

// readItems reads the items, and notes in which file each of them stands, by the name that positions have.
func readItems(items []*yaml.RNode, files map[string]*krmFile) *checkInput {
	in := &checkInput{skipped: map[string]int{}}
	for i, item := range items {
		name := fmt.Sprintf("items[%d]", i)
		if path, index, err := kioutil.GetFileAnnotations(item); err == nil && path != "" {
			n, _ := strconv.Atoi(index) // without one it is the first
			if name = path; n > 0 {
				name = fmt.Sprintf("%s[%d]", path, n)
			}
			files[name] = &krmFile{path, n}
		}
		objects, problems := kubeyaml.FromNode(name, item.YNode())
		for _, p := range problems {
			in.fault(p.Pos, p.Msg, "")
		}
		for _, o := range objects {
			in.add(o)
		}
	}
	return in
}

// results are what was found, as results of a function.
func (r *checkReport) results(files map[string]*krmFile) []krmFinding {
	severities := map[compiler.Level]string{compiler.LevelError: "error", compiler.LevelWarning: "warning", compiler.LevelNote: "info"}
	var all []krmFinding
	for _, f := range r.Findings {
		result := krmFinding{Message: printableText(f.told()), Severity: severities[f.level()], File: files[f.Pos.File],
			ResourceRef: &krmRef{f.Object.APIVersion, f.Object.Kind, f.Object.Name, f.Object.Namespace}, Field: &krmField{f.Path, f.Value}}
		if f.Rule != 0 {
			result.Tags = map[string]string{"rule": f.Rule.String()}
		}
		all = append(all, result)
	}
	for _, p := range r.Problems {
		text := compiler.Diagnostic{Path: p.Path, Msg: p.Msg}.String()
		all = append(all, krmFinding{Message: text, Severity: "error", File: files[p.Pos.File]})
	}
	return all
}
