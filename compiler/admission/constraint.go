// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"cmp"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
)

// podRego judges Pods. It never changes with the data.
//
//go:embed pod.rego
var podRego string

const templateKind = "WritPod"

// templateText is the whole text of the template: podRego and the tables of the Pod Security Standards.
func templateText() string {
	var b strings.Builder
	b.WriteString(podRego)
	b.WriteString("\n# The Pod Security Standards, as schema.ProfileRules has them.\nprofiles := {\n")
	for _, profile := range schema.Profiles {
		rules := schema.ProfileRules(profile)
		if len(rules) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\t%q: {\n", profile)
		for _, r := range rules {
			values := "set()"
			if len(r.Values) > 0 {
				quoted := make([]string, len(r.Values))
				for i, v := range r.Values {
					quoted[i] = strconv.Quote(v)
				}
				values = "{" + strings.Join(quoted, ", ") + "}"
			}
			fmt.Fprintf(&b, "\t\t%q: %s,\n", r.Object, values)
		}
		b.WriteString("\t},\n")
	}
	return b.String() + "}\n"
}

// gatekeeper returns the template, and the constraints that hold the conditions of workloads and what bounds forbid and demand of Pods. Without
// such there are none.
func gatekeeper(in Input) ([]Object, error) {
	layouts, err := layoutsOf(in)
	if err != nil {
		return nil, err
	}
	kinds := newKinds(makersOf(in.Config))
	var objects []Object
	for _, action := range slices.Sorted(maps.Keys(layouts)) {
		objects = append(objects, layouts[action].constraints(kinds)...)
	}
	if len(objects) > 0 {
		objects = append(objects, Object{Name: strings.ToLower(templateKind), Stage: StageTemplates, From: []string{templateText()}, body: template})
	}
	return objects, nil
}

// makersOf returns the kinds that make Pods: those of Kubernetes, and those that the policy names.
func makersOf(a schema.Admission) manifest.Makers {
	makers := manifest.Builtin()
	for _, m := range a.Makers {
		group, kind := m.GroupKind()
		makers[manifest.Kind{Group: group, Kind: kind}] = m.Fields()
	}
	return makers
}

// layoutsOf puts the entries of bounds and workloads in place, by action.
func layoutsOf(in Input) (map[string]*layout, error) {
	layouts := map[string]*layout{}
	for i := range in.Policy.Bounds {
		b := &in.Policy.Bounds[i]
		e, ok, err := boundEntry(b)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		text, err := encode(e)
		if err != nil {
			return nil, err
		}
		layoutOf(layouts, actionAt(b.Mode, b.Then, b.ModeAt(in.At), in.At)).bound(&e, item{match: &b.Match, text: text})
	}
	for i := range in.Workloads {
		w := &in.Workloads[i]
		if !ofPods(&w.Match) {
			continue
		}
		namespace := cmp.Or(w.Match.Namespace, anyNamespace)
		for _, e := range w.Gatekeeper {
			l := layoutOf(layouts, e.Action)
			l.byNamespace[namespace] = append(l.byNamespace[namespace], item{match: &w.Match, text: e.Text})
		}
		for action, l := range layouts {
			if l.demands != nil {
				l.covers(namespace, w, slices.ContainsFunc(w.Gatekeeper, func(e Entry) bool { return e.Action == action }))
			}
		}
	}
	return layouts, nil
}

func layoutOf(layouts map[string]*layout, action string) *layout {
	if layouts[action] == nil {
		layouts[action] = &layout{action: action, byNamespace: map[string][]item{}}
	}
	return layouts[action]
}

// kindsOf are the kinds that the constraints look at.
type kindsOf struct {
	match  []object
	makers string // as pod.rego reads them, from which all that follows
}

func newKinds(makers manifest.Makers) *kindsOf {
	k := &kindsOf{}
	groups := map[string][]string{"": {"Pod"}}
	var makersText strings.Builder
	for _, kind := range slices.SortedFunc(maps.Keys(makers), func(a, b manifest.Kind) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind))
	}) {
		groups[kind.Group] = append(groups[kind.Group], kind.Kind)
		fmt.Fprintf(&makersText, "\n%s/%s\t%s", kind.Group, kind.Kind, strings.Join(makers[kind], "."))
	}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		k.match = append(k.match, object{"apiGroups": []string{group}, "kinds": groups[group]})
	}
	k.makers = makersText.String()
	return k
}

// constraint is one constraint of the kind.
type constraint struct {
	kinds                *kindsOf
	action, name         string
	sections             []section
	namespaces, excluded []string
}

func (c *constraint) object() Object {
	name := "writ-pod-" + c.action + "-" + c.name
	from := []string{c.action, name, c.kinds.makers, strings.Join(c.namespaces, " "), strings.Join(c.excluded, " ")}
	for i := range c.sections {
		from = append(from, c.sections[i].key, c.sections[i].digest())
	}
	return Object{Name: name, Stage: StageRules, From: from, body: func() object { return c.body(name) }}
}

// body names the constraint's namespaces in its match, so that Gatekeeper does not read it for others. An object without a namespace, which
// Gatekeeper matches with any, is left to the constraint that has none.
func (c *constraint) body(name string) object {
	sections := map[string]string{}
	for i := range c.sections {
		sections[c.sections[i].key] = c.sections[i].text
	}
	match := object{"kinds": c.kinds.match}
	if len(c.namespaces) > 0 {
		match["namespaces"], match["scope"] = c.namespaces, "Namespaced"
	}
	if len(c.excluded) > 0 {
		match["excludedNamespaces"] = c.excluded
	}
	return object{
		"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": templateKind, "metadata": metadata(name),
		"spec": object{"enforcementAction": c.action, "match": match, "parameters": object{"makers": c.kinds.makers, "sections": sections}},
	}
}

func template() object {
	return object{
		"apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate", "metadata": metadata(strings.ToLower(templateKind)),
		"spec": object{
			"crd": object{"spec": object{
				"names":      object{"kind": templateKind},
				"validation": object{"openAPIV3Schema": parametersSchema()},
			}},
			"targets": []object{{
				"target": "admission.k8s.gatekeeper.sh",
				"code":   []object{{"engine": "Rego", "source": object{"version": "v1", "rego": templateText()}}},
			}},
		},
	}
}

func parametersSchema() object {
	return object{
		"type": "object",
		"properties": object{
			"makers": object{
				"type":        "string",
				"description": "The kinds that make Pods: a line for each, of group/kind, a tab, and the path of the template.",
			},
			"sections": object{
				"type":                 "object",
				"description":          "What holds in each namespace: a digest, and a line for each workload and bound.",
				"additionalProperties": object{"type": "string"},
			},
		},
	}
}
