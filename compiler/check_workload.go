// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"regexp"

	"github.com/writ-sec/writ/schema"
)

var (
	// entryRE is a DNS label (RFC 1123), as names of Kubernetes objects are made of: a name becomes part of file names and messages.
	entryRE      = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	ownerPattern = regexp.MustCompile(`^[A-Za-z0-9@]([-A-Za-z0-9._@/]{0,126}[A-Za-z0-9])?$`)
)

// maxReason bounds a reason in bytes: it is a sentence.
const maxReason = 1024

// workloadCheck looks at one workload.
type workloadCheck struct {
	report
	w     *schema.Workload
	rules map[schema.Plane][]*schema.Rule // of each plane, in their order
	work  int                             // what is left for comparing patterns
}

// checkWorkload says what is wrong or doubtful about one workload. It depends on its arguments alone. Of a partial one it looks at the rules.
// The scope must know every workload, those that are partial too.
func checkWorkload(s stated, w *schema.Workload, sc *scope) (errs, warnings []Diagnostic) {
	c := &workloadCheck{report: report{s: s, sc: sc}, w: w, rules: map[schema.Plane][]*schema.Rule{},
		work: coverWork + len(w.Rules)*coverWorkRule}
	for i := range w.Rules {
		r := &w.Rules[i]
		c.rules[r.Plane] = append(c.rules[r.Plane], r)
	}
	if !s.partial {
		c.name()
		c.owner(nil, w.Owner)
		c.match(&w.Match, false)
		c.modes()
	}
	c.exec()
	c.files()
	c.capabilities()
	c.flows(schema.PlaneEgress)
	c.flows(schema.PlaneIngress)
	c.images()
	c.pod()
	if !s.partial {
		c.bounds()
	}
	if c.work <= 0 {
		c.fail(nil, "has patterns with so many \"*\" that they cannot be compared with each other and with its bounds; want simpler ones: name the paths, or their folders")
	}
	return c.errs, c.warnings
}

// name checks the name of the entry.
func (r *report) name() {
	if !entryRE.MatchString(r.s.name) {
		r.fail(nil, "name %.100q is not a name; want at most 63 lower-case letters, digits and \"-\", with a letter or digit at both ends", r.s.name)
	}
}

// owner checks the owner of the entry, or of what stands at a path of it. A workload may have one of its folder, which is checked there.
func (r *report) owner(where []string, owner string) {
	where = way(where, "owner")
	if r.s.node != nil {
		if !r.s.has(where...) {
			return
		}
		owner = r.s.node.text(where...)
	} else if owner == "" {
		return
	}
	if !ownerPattern.MatchString(owner) {
		r.fail(where, "owner %.200q is not a name; want at most 128 letters, digits and \"-._@/\", such as \"team-payments\"", owner)
	}
}

// reason checks the reason of the entry.
func (r *report) reason(why string) {
	if len(why) > maxReason {
		r.fail([]string{"why"}, "why has %d bytes; want at most %d", len(why), maxReason)
	}
}

// ruleReason checks the reason of a rule. What a message calls it is key.
func (r *report) ruleReason(where []string, key, why string) {
	if len(why) > maxReason {
		r.fail(where, "%q: why has %d bytes; want at most %d", key, len(why), maxReason)
	}
}

// enforced reports whether a plane is in enforce, now or as planned.
func (c *workloadCheck) enforced(p schema.Plane) bool {
	cl, ok := c.w.Closure(p)
	return ok && (cl.Mode == schema.ModeEnforce || cl.Then == schema.ModeEnforce)
}
