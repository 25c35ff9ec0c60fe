// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// bound checks a bound by itself.
func (r *report) bound(b *schema.Bound) {
	r.owner(nil, b.Owner)
	r.reason(b.Why)
	r.match(&b.Match, true)
	r.modeOf(b.Mode, b.Then, b.After)
	r.limits([]string{"never"}, b.Never)
	r.neverApplies(b)
	for _, l := range b.Only {
		r.limits([]string{"only"}, l.Rules)
	}
	if len(b.Never) == 0 && len(b.Only) == 0 && b.Require == (schema.Require{}) {
		r.warn(codeNoEffect, nil, "forbids nothing and requires nothing; want \"never\", \"only\" or \"require\"")
	}
}

// neverApplies warns of what a bound says of images and Pods that its match keeps it from.
func (r *report) neverApplies(b *schema.Bound) {
	says := func(plane schema.Plane) bool {
		return slices.ContainsFunc(b.Never, func(rule schema.Rule) bool { return rule.Plane == plane })
	}
	for _, plane := range []schema.Plane{schema.PlaneImage, schema.PlanePod} {
		at := []string{"never", string(plane)}
		switch {
		case !says(plane):
		case b.Match.Cgroup != "" || b.Match.Host:
			r.warn(codeNoEffect, at, "%s never applies: the match selects by cgroup or host, and admission knows neither; want \"namespace\" or \"labels\"", dotted(at))
		case plane == schema.PlanePod && b.Match.Container != "":
			r.warn(codeNoEffect, at, "%s never applies: match.container selects containers, and a Pod is judged as a whole; want no \"container\"", dotted(at))
		}
	}
}

// limits checks what a bound or a virtual patch speaks of.
func (r *report) limits(where []string, rules []schema.Rule) {
	globs := map[schema.Plane]globCount{schema.PlaneExec: {}, schema.PlaneFile: {}, schema.PlanePod: {}}
	for i := range rules {
		rule := &rules[i]
		at := way(where, string(rule.Plane), rule.Object)
		field := dotted(way(where, string(rule.Plane)))
		switch rule.Plane {
		case schema.PlaneExec, schema.PlaneFile:
			if r.path(at, field+" path", rule.Object, globs[rule.Plane]) {
				r.doubt(at, field+" path", rule.Object, rule.Plane == schema.PlaneExec)
			}
		case schema.PlaneCapability:
			r.capability(at, field, rule.Object)
		case schema.PlaneEgress, schema.PlaneIngress:
			if rule.Peer != nil {
				r.peer(at, fmt.Sprintf("%s %.100q", field, rule.Object), rule, false, false)
			}
		case schema.PlaneImage:
			r.imagePattern(at, field+" pattern", rule.Object)
		case schema.PlanePod:
			r.podLimit(at, rule, globs[rule.Plane])
		}
		r.ruleReason(at, rule.Object, rule.Why)
	}
	for _, plane := range []schema.Plane{schema.PlaneExec, schema.PlaneFile} {
		r.tooMany(way(where, string(plane)), globs[plane], "")
	}
}

// podLimit checks forbidden values of a Pod's field. Here the fields are any name to the schema.
func (r *report) podLimit(where []string, rule *schema.Rule, globs globCount) {
	field := schema.PodField(rule.Object)
	if !slices.Contains(schema.PodFields, field) {
		known := make([]string, len(schema.PodFields))
		for i, f := range schema.PodFields {
			known[i] = string(f)
		}
		near := "; want such as \"hostNetwork\""
		if n := nearest(rule.Object, known); n != "" {
			near = fmt.Sprintf("; did you mean %q?", n)
		}
		r.fail(where, "%s %.100q is not a field of a Pod that policies speak of%s", dotted(where[:len(where)-1]), rule.Object, near)
		return
	}
	if field == schema.PodDropCapabilities {
		r.fail(where, "%s forbids what is demanded elsewhere; want \"addCapabilities\", the capabilities that must not be added", dotted(where))
		return
	}
	if len(rule.Values) == 0 {
		r.fail(where, "%s lists no value; want the forbidden ones, such as \"true\": {}", dotted(where))
	}
	r.podValues(where, field, rule.Values, globs)
}
