// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"slices"

	"github.com/writ-sec/writ/schema"
)

// response checks a response.
func (r *report) response(v *schema.Response) {
	r.owner(nil, v.Owner)
	r.reason(v.Why)
	r.modeOf(v.Mode, v.Then, v.After)
	if v.On == (schema.Trigger{}) && len(r.s.keys("on")) == 0 {
		r.fail([]string{"on"}, "on names nothing, and would act on everything that happens; want a workload, a plane, a verdict, a bound or a gate")
	}
	r.trigger(v)
	r.actions(v)
}

// trigger checks when a response acts.
func (r *report) trigger(v *schema.Response) {
	on := &v.On
	var h *head
	if on.Workload != "" {
		h = r.workload([]string{"on", "workload"}, "on.workload", r.textOr(on.Workload, []string{"on", "workload"}))
	}
	r.triggerPlane(on, h)
	if on.Bound != "" {
		names := nameSet{}
		for _, b := range r.sc.bounds {
			names[b.Name] = true
		}
		r.refers([]string{"on", "bound"}, "on.bound", on.Bound, names, "bound")
	}
	if on.Gate != "" {
		r.refers([]string{"on", "gate"}, "on.gate", on.Gate, r.sc.gates, "gate")
		if on.Plane != "" && on.Plane != schema.PlaneImage {
			r.fail([]string{"on", "gate"}, "on.gate is judged of images, and on.plane is %q; want plane \"image\", or none", on.Plane)
		}
	}
	count := r.states([]string{"on", "count"}, on.Count != 0)
	if count && on.Count < 1 {
		r.fail([]string{"on", "count"}, "on.count is %d; want 1 or more", on.Count)
	}
	_, within := r.duration([]string{"on", "within"}, on.Within, false)
	switch {
	case on.Count > 1 && on.Within == "":
		r.fail([]string{"on", "count"}, "on.count is %d without a time; want \"within\", such as \"10m\"", on.Count)
	case within && on.Count <= 1:
		r.warn(codeNoEffect, []string{"on", "within"}, "on.within has no effect without \"count\" of 2 or more; want both")
	}
}

// triggerPlane checks that what happens on the plane can happen at all.
func (r *report) triggerPlane(on *schema.Trigger, h *head) {
	if on.Plane == "" {
		return
	}
	for _, b := range r.sc.bounds {
		if b.Name == on.Bound && !slices.ContainsFunc(b.Never, func(l schema.Rule) bool { return l.Plane == on.Plane }) {
			r.fail([]string{"on", "plane"}, "on.plane is %q, of which bound %s at %s forbids nothing; want a plane that it speaks of", on.Plane, b.Name, posText(b.Pos))
		}
	}
	if h != nil && on.Bound == "" && !slices.Contains(h.planes, on.Plane) {
		r.warn(codeNever, []string{"on", "plane"}, "on.plane is %q, which workload %s at %s does not mention, so nothing of it is denied but by bounds; want a plane that it mentions",
			on.Plane, h.name, posText(h.pos))
	}
}

// actions checks what a response does.
func (r *report) actions(v *schema.Response) {
	do := &v.Do
	if len(do.Notify) == 0 && do.Quarantine == "" && do.Capture == "" && !do.Kill {
		r.fail([]string{"do"}, "do names nothing to do; want \"notify\", \"quarantine\", \"capture\" or \"kill\"")
	}
	for _, n := range do.Notify {
		r.refers([]string{"do", "notify", n}, "do.notify", n, r.sc.notify, "notify")
	}
	r.duration([]string{"do", "quarantine"}, do.Quarantine, false)
	r.duration([]string{"do", "capture"}, do.Capture, false)
	for _, f := range []struct {
		name string
		set  bool
	}{{"quarantine", do.Quarantine != ""}, {"capture", do.Capture != ""}, {"kill", do.Kill}} {
		where := []string{"do", f.name}
		switch {
		case !f.set:
		case v.On.Plane.Condition() && (v.On.Gate == "" || f.name == "kill"):
			r.fail(where, "do.%s acts on a container that runs, and on.plane is %q, which is judged before; want another plane, or \"notify\" alone", f.name, v.On.Plane)
		case v.Mode != schema.ModeEnforce && v.Then != schema.ModeEnforce:
			r.warn(codeNoEffect, where, "do.%s has no effect in mode %q: only in \"enforce\" is anything done beside notifying; want mode: \"enforce\"", f.name, v.Mode)
		}
	}
}
