// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// networkMode is short for egress and ingress where modes are stated.
const networkMode = "network"

// stoppedVerbs says what cannot happen where a plane is closed without a rule.
var stoppedVerbs = map[schema.Plane]string{
	schema.PlaneExec:       "nothing can run",
	schema.PlaneFile:       "nothing can be read or written",
	schema.PlaneCapability: "no capability can be used",
	schema.PlaneEgress:     "nothing can be connected to",
	schema.PlaneIngress:    "nothing is accepted",
	schema.PlaneImage:      "nothing can run",
	schema.PlanePod:        "no Pod is admitted",
}

// ruleField is the field under which the rules of a plane stand, as messages call it.
func ruleField(p schema.Plane) string {
	if p == schema.PlaneImage {
		return "image.from"
	}
	return string(p)
}

// modes checks the modes, and what closed planes mean.
func (c *workloadCheck) modes() {
	c.hostMatch()
	c.modesAt([]string{"mode"}, func(p schema.Plane) bool { _, ok := c.w.Closure(p); return ok },
		func(where []string, value string, missing []string) {
			fields := missing[0]
			if len(missing) > 1 {
				fields += " or " + missing[1]
			}
			c.fail(where, "%s is %s, but the workload does not mention %s; want rules under %s, or no mode for it", dotted(where), value, fields, fields)
		})
	if c.s.node == nil {
		for _, cl := range c.w.Closures {
			c.planned([]string{"mode"}, cl.Mode, cl.Then, cl.After)
		}
	}
	for i := range c.w.Closures {
		c.lockOut(&c.w.Closures[i])
	}
	if len(c.w.Closures) == 0 {
		c.warn(codeNothing, nil, "mentions neither \"exec\" nor \"image.from\", so everything is allowed; want rules under these or under \"file\", \"capability\", \"egress\", \"ingress\" or \"pod\", or no workload")
	}
	if _, closed := c.w.Closure(schema.PlaneImage); !closed && c.s.has("image") {
		c.warn(codeNoImage, []string{"image"}, "image names no condition, so every image is allowed; want \"from\"")
	}
	if _, closed := c.w.Closure(schema.PlanePod); !closed && c.s.has("pod") {
		c.warn(codeNoPod, []string{"pod"}, "pod names no condition, so every Pod is allowed; want \"profile\" or a field of the Pod")
	}
}

// modesAt checks one word, or a word for each plane, at a path, as far as positions are known. mentioned says which planes may have one;
// otherwise gets the path, the value and the fields that would mention the plane.
func (r *report) modesAt(where []string, mentioned func(schema.Plane) bool, otherwise func(where []string, value string, missing []string)) {
	n := r.s.node.get(where...)
	if n == nil || n.Kind != nodeStruct {
		return
	}
	if n.get("now") != nil {
		r.plannedAt(where)
		return
	}
	for _, f := range n.Fields {
		at := way(where, f.Name)
		planes := []schema.Plane{schema.Plane(f.Name)}
		if f.Name == networkMode {
			planes = []schema.Plane{schema.PlaneEgress, schema.PlaneIngress}
			for _, p := range planes {
				if n.get(string(p)) != nil {
					r.fail(at, "%s stands beside %s; want %s alone, or one of both for each", dotted(at), dotted(way(where, string(p))), networkMode)
				}
			}
		}
		if !slices.ContainsFunc(planes, mentioned) {
			var missing []string
			for _, p := range planes {
				missing = append(missing, ruleField(p))
			}
			otherwise(at, modeText(f.Node), missing)
		}
		if f.Node.get("now") != nil {
			r.plannedAt(at)
		}
	}
}

func modeText(n *node) string {
	if n.Kind == nodeStruct {
		return "planned"
	}
	return fmt.Sprintf("%q", n.Text)
}

// plannedAt checks a planned mode as it is stated.
func (r *report) plannedAt(where []string) {
	n := r.s.node.get(where...)
	r.planned(where, schema.Mode(n.text("now")), schema.Mode(n.text("then")), schema.Date(n.text("after")))
}

// planned checks a planned change of mode at a path.
func (r *report) planned(where []string, now, then schema.Mode, after schema.Date) {
	if then == "" {
		return
	}
	if now == then {
		r.warn(codeSameMode, way(where, "then"), "%s is %q before and after %s; want one word, or another mode afterwards", dotted(where), now, after)
	}
	if _, err := after.Instant(); err != nil {
		r.fail(way(where, "after"), "%s.after: %v", dotted(where), err)
	}
}

// modeOf checks the mode of an entry that has one for all.
func (r *report) modeOf(now, then schema.Mode, after schema.Date) {
	r.planned([]string{"mode"}, now, then, after)
}

// lockOut warns of a plane that is closed without a rule in enforce.
func (c *workloadCheck) lockOut(cl *schema.Closure) {
	if !c.enforced(cl.Plane) {
		return
	}
	when := "in mode \"enforce\""
	if cl.Mode != schema.ModeEnforce {
		when += " from the end of " + string(cl.After) + " on"
	}
	lock := func(where []string, field string) {
		c.warn(codeLockOut, where, "%s is closed without a rule, %s: %s; want a rule, unless this lock-out is meant", field, when, stoppedVerbs[cl.Plane])
	}
	rules := c.rules[cl.Plane]
	without := func(v schema.Verb) bool {
		return cl.Names(v) && !slices.ContainsFunc(rules, func(r *schema.Rule) bool { return r.Verb == v })
	}
	switch cl.Plane {
	case schema.PlaneImage:
		if without(schema.VerbRun) {
			lock([]string{"image"}, "image.from")
		}
		if without(schema.VerbSigned) {
			lock([]string{"image", "signedBy"}, "image.signedBy")
		}
	case schema.PlanePod:
		for _, r := range rules {
			if len(r.Values) == 0 && slices.Contains(alwaysSet, schema.PodField(r.Object)) {
				lock([]string{"pod", r.Object}, "pod."+r.Object)
			}
		}
	default:
		if len(rules) == 0 {
			lock([]string{string(cl.Plane)}, ruleField(cl.Plane))
		}
	}
}

// alwaysSet are the fields that every Pod has a value for.
var alwaysSet = []schema.PodField{schema.PodServiceAccount, schema.PodSeccomp, schema.PodAppArmor}
