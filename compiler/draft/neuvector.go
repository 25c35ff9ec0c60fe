// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// neuVectorRule drafts from an NvSecurityRule or NvClusterSecurityRule (controller/k8sapi/v1 of NeuVector).
func (im *importer) neuVectorRule(o *object) {
	top := o.root.fields()
	top.ignore("apiVersion", "kind", "metadata", "status")
	specValue, ok := top.get("spec")
	top.finish()
	if !ok {
		o.root.lost("has no spec")
		return
	}
	spec := specValue.fields()
	targetValue, ok := spec.get("target")
	if !ok {
		specValue.lost("has no target, so nothing is drafted")
		return
	}
	target := targetValue.fields()
	sel, ok := target.get("selector")
	if !ok {
		targetValue.lost("has no selector, so nothing is drafted")
		return
	}
	at := im.vectorGroup(sel)
	if at.pods == nil && !at.host && !at.everything {
		sel.lost("is not a target that policy can select, so nothing is drafted")
		return
	}
	v := &vector{im: im, o: o, target: at, g: im.targetGroup(at, o)}
	if mode, ok := target.get("policymode"); ok {
		v.protects = mode.node.Value == "Monitor" || mode.node.Value == "Protect"
		if mode.node.Value == "Protect" {
			mode.lost("denies in the source; every draft is in mode audit until you say enforce")
		}
	}
	target.finish()
	v.processes(spec)
	v.files(spec)
	v.networks(spec, schema.PlaneIngress)
	v.networks(spec, schema.PlaneEgress)
	notDrafted(spec)
}

// notDrafted notes the parts of a rule that have no counterpart.
func notDrafted(spec *fields) {
	for _, name := range []string{"dlp", "waf"} {
		if s, ok := spec.get(name); ok {
			if settings, ok := s.dig("settings"); ok && len(settings.node.Content) > 0 {
				s.lost("inspects content, which has no counterpart in policy")
			}
		}
	}
	if r, ok := spec.get("response"); ok && len(r.node.Content) > 0 {
		r.lost("says what is done after an event; write a response for it")
	}
	spec.finish()
}

// targetGroup returns the group that rules are drafted for.
func (im *importer) targetGroup(at vectorGroup, o *object) *group {
	switch {
	case at.pods != nil:
		g := im.workload(*at.pods, o, at.name, o.name)
		if at.guessed != "" {
			g.guessed = at.guessed
		}
		return g
	case at.host:
		g := im.workload(schema.Match{Host: true}, o)
		g.owner = hostOwner
		return g
	}
	return im.workload(schema.Match{}, o)
}

// vector drafts from one rule object.
type vector struct {
	im       *importer
	o        *object
	g        *group
	target   vectorGroup
	protects bool // what no rule allows is reported or denied
}

// bound returns the bound for what the object denies.
func (v *vector) bound() *bound { return v.g.never(v.o.name, "denied by NeuVector") }

// action reads allow or deny.
func action(at value, f *fields) (allow, ok bool) {
	s, _ := f.text("action")
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "allow":
		return true, true
	case "deny":
		return false, true
	}
	at.lost("has the action %.50q; want allow or deny", s)
	return false, false
}

// processes drafts the process profile.
func (v *vector) processes(spec *fields) {
	if p, ok := spec.get("process_profile"); ok {
		f := p.fields()
		f.ignore("mode")
		if base, ok := f.get("baseline"); ok && (base.node.Value == "zero-drift" || base.node.Value == "shield") {
			base.lost("lets every program of the image run, which policy does not; in the draft only those that are listed may")
		}
		f.finish()
	}
	allowed := false
	for _, r := range spec.list("process") {
		f := r.fields()
		allow, ok1 := action(r, f)
		name, ok2 := f.text("name")
		path, ok3 := f.text("path")
		if update, _ := f.truth("allow_update"); update {
			r.lost("allow_update lets the program change files, which has no counterpart in policy")
		}
		allowed = allowed || allow
		if !f.finish() || !ok1 || !ok2 || !ok3 {
			continue
		}
		v.process(r, allow, strings.TrimSpace(name), strings.TrimSpace(path))
	}
	switch {
	case allowed && v.target.everything:
		spec.v.lost("allows programs in every container; a workload must select some, so what is allowed is not drafted")
	case allowed:
		v.g.closed[schema.PlaneExec] = true
	case v.protects && v.target.pods != nil:
		v.g.closed[schema.PlaneExec] = true
		spec.v.lost("allows no program although the group is protected, so exec is closed in the draft: nothing may run")
	}
}

// process drafts one rule. A program is known by its path: a name that is not the path's last part cannot be told apart.
func (v *vector) process(at value, allow bool, name, path string) {
	pattern, err := vectorPath(name, path)
	if err != nil {
		at.lost("%v", err)
		return
	}
	base := path[strings.LastIndexByte(path, '/')+1:]
	if name != "" && name != "*" && base != "" && !strings.Contains(base, "*") && base != name {
		at.lost("is for the program under the name %.100q, and policy knows programs by their path alone: the draft speaks of %q under any name", name, path)
	}
	switch {
	case allow && v.target.everything:
	case allow:
		v.g.allowExec(pattern, reason{"", at}, nil)
	case slices.ContainsFunc(sortedKeys(v.g.exec), func(p string) bool { return covers(pattern, p) }):
		at.lost("denies what a rule above it allows; that comes first, and a bound would come before it. What no rule allows is not allowed anyway")
	default:
		v.bound().exec[pattern] = reason{"", at}
	}
}

// vectorPath translates name and path of a process rule (MatchProfileProcess in agent/policy/process.go of NeuVector).
func vectorPath(name, path string) (string, error) {
	anywhere := path == "" || path == "*" || path == "/*"
	switch {
	case anywhere && (name == "*" || name == ""):
		return "/**", nil
	case anywhere:
		return "/**/" + name, checkName(name)
	case strings.HasSuffix(path, "/*"):
		pattern, err := directory(strings.TrimSuffix(path, "*"), true)
		if err == nil && name != "*" && name != "" {
			return pattern + "/" + name, checkName(name)
		}
		return pattern, err
	case strings.Count(path, "/*/") == 1 && strings.Count(path, "*") == 1:
		pattern := strings.Replace(path, "/*/", "/**/", 1)
		return pattern, schema.CheckPattern(pattern)
	}
	return exactPath(path)
}

func checkName(name string) error {
	_, err := exactPath("/" + name)
	return err
}

// files drafts what is forbidden of files. What is only watched when it changes would be reported whenever it is read.
func (v *vector) files(spec *fields) {
	for _, r := range spec.list("file") {
		f := r.fields()
		filter, ok1 := f.text("filter")
		recursive, ok2 := f.truth("recursive")
		does, _ := f.text("behavior")
		var apps []string
		if a, ok := f.get("app"); ok {
			apps, _ = a.texts()
		}
		if !f.finish() || !ok1 || !ok2 {
			continue
		}
		switch {
		case does == "monitor_change":
			r.lost("watches changes alone, and a bound forbids reading too")
		case does != "block_access":
			r.lost("has the behavior %.50q; want block_access or monitor_change", does)
		case len(apps) > 0:
			r.lost("lets the programs %q alone use the file, and rules for files hold for all programs of a container", apps)
		default:
			patterns, err := vectorFilter(filter, recursive)
			if err != nil {
				r.lost("%v", err)
				continue
			}
			addAll(v.bound().file, patterns, reason{"", r})
		}
	}
}

// vectorFilter translates a filter: a path, whose last part may have "*". With recursive, also what is below.
func vectorFilter(filter string, recursive bool) ([]string, error) {
	filter = strings.TrimSpace(filter)
	if strings.HasSuffix(filter, "/") {
		filter += "*"
	}
	i := strings.LastIndexByte(filter, '/')
	dir, last := filter[:max(i, 0)], filter[i+1:]
	var patterns []string
	switch {
	case i < 0 || strings.Contains(dir, "*"):
		return nil, errFilter
	case last == "*" && recursive:
		patterns = []string{dir + "/**"}
	case !recursive:
		patterns = []string{filter}
	case strings.Contains(last, "*"):
		patterns = []string{dir + "/**/" + last}
	default:
		patterns = []string{filter, filter + "/**"}
	}
	for _, p := range patterns {
		if err := schema.CheckPattern(p); err != nil {
			return nil, err
		}
	}
	return patterns, nil
}
