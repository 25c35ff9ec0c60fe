// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"maps"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// selector is a condition on labels in its simplest form: of one label either permitted values, or forbidden ones, or presence, or absence.
type selector map[string]schema.Expression

// require adds a condition on a label. It reports whether both can hold.
func (s selector) require(key string, x schema.Expression) bool {
	have, known := s[key]
	if !known {
		have = schema.Expression{}
	}
	switch {
	case have.In == nil:
		have.In = x.In
	case x.In != nil:
		have.In = slices.DeleteFunc(slices.Clone(have.In), func(v string) bool { return !slices.Contains(x.In, v) })
	}
	have.NotIn = append(slices.Clone(have.NotIn), x.NotIn...)
	if x.Exists != nil {
		if have.Exists != nil && *have.Exists != *x.Exists {
			return false
		}
		have.Exists = x.Exists
	}
	if have.In != nil {
		have.In = slices.DeleteFunc(slices.Clone(have.In), func(v string) bool { return slices.Contains(have.NotIn, v) })
		if len(have.In) == 0 || have.Exists != nil && !*have.Exists {
			return false
		}
		have.NotIn, have.Exists = nil, nil
	}
	if have.Exists != nil && !*have.Exists {
		have.NotIn = nil // an absent label has no value
	}
	slices.Sort(have.In)
	slices.Sort(have.NotIn)
	have.In, have.NotIn = slices.Compact(have.In), slices.Compact(have.NotIn)
	s[key] = have
	return true
}

// split returns the labels that must have one value, and the other conditions.
func (s selector) split() (labels map[string]string, expressions map[string]schema.Expression) {
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if x := s[key]; len(x.In) == 1 {
			if labels == nil {
				labels = map[string]string{}
			}
			labels[key] = x.In[0]
		} else {
			if expressions == nil {
				expressions = map[string]schema.Expression{}
			}
			expressions[key] = x
		}
	}
	return labels, expressions
}

// add adds a label selector of Kubernetes. It reports whether all of it is said by s now.
func (s selector) add(v value) bool {
	f := v.fields()
	ok := true
	if ml, is := f.get("matchLabels"); is {
		ok = s.addLabels(ml) && ok
	}
	for _, e := range f.list("matchExpressions") {
		ok = s.addExpression(e) && ok
	}
	return f.finish() && ok
}

func (s selector) addLabels(v value) bool {
	f := v.fields()
	ok := !f.bad
	for i := 0; ok && i+1 < len(v.node.Content); i += 2 {
		key := v.node.Content[i].Value
		e, is := f.get(key)
		if !is {
			continue
		}
		text, is := e.text()
		if !is {
			ok = false
		} else if !s.require(key, schema.Expression{In: schema.Names{text}}) {
			e.lost("contradicts another condition on this label, so nothing is selected")
			ok = false
		}
	}
	return ok
}

// addExpression adds one of matchExpressions (LabelSelectorRequirement of k8s.io/apimachinery).
func (s selector) addExpression(v value) bool {
	f := v.fields()
	key, ok1 := f.text("key")
	op, ok2 := f.text("operator")
	var values []string
	ok3 := true
	if vs, is := f.get("values"); is {
		values, ok3 = vs.texts()
	}
	if !f.finish() || !ok1 || !ok2 || !ok3 {
		return false
	}
	yes, no := true, false
	var x schema.Expression
	switch {
	case op == "In" && len(values) > 0:
		x.In = values
	case op == "NotIn" && len(values) > 0:
		x.NotIn = values
	case op == "Exists" && len(values) == 0:
		x.Exists = &yes
	case op == "DoesNotExist" && len(values) == 0:
		x.Exists = &no
	default:
		v.lost("has the operator %.50q with %d values; want In or NotIn with some, Exists or DoesNotExist with none", op, len(values))
		return false
	}
	if !s.require(key, x) {
		v.lost("contradicts another condition on this label, so nothing is selected")
		return false
	}
	return true
}

// mayOverlap reports whether some container could be selected by both matches. It says yes when in doubt.
func mayOverlap(a, b schema.Match) bool {
	if a.Host != b.Host {
		return false
	}
	if a.Namespace != "" && b.Namespace != "" && a.Namespace != b.Namespace || a.Container != "" && b.Container != "" && a.Container != b.Container {
		return false
	}
	both := selector{}
	for _, m := range []schema.Match{a, b} {
		for key, value := range m.Labels {
			if !both.require(key, schema.Expression{In: schema.Names{value}}) {
				return false
			}
		}
		for key, x := range m.Expressions {
			if !both.require(key, x) {
				return false
			}
		}
	}
	return true
}
