// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// armor drafts from one KubeArmor policy (pkg/KubeArmorController/api/security.kubearmor.com/v1 of KubeArmor).
type armor struct {
	g    *group
	name string
}

// told is what a rule says, or its section, or the policy: the innermost counts.
type told struct {
	action, message, severity string
	tags                      []string
}

func (im *importer) armorPolicy(o *object) {
	spec, ok := armorSpec(o)
	if !ok {
		return
	}
	m := schema.Match{Namespace: o.namespace}
	pods := selector{}
	if v, ok := spec.get("selector"); ok && !armorSelector(v, pods, &m) {
		v.lost("does not say which Pods are selected, so the policy is not drafted")
		return
	}
	m.Labels, m.Expressions = pods.split()
	a := &armor{im.workload(m, o, o.name), o.name}
	a.sections(spec)
	for _, name := range []string{"syscalls", "presets", "apparmor"} {
		if v, ok := spec.get(name); ok {
			v.lost("has no counterpart in policy")
		}
	}
	spec.finish()
}

func (im *importer) armorHostPolicy(o *object) {
	spec, ok := armorSpec(o)
	if !ok {
		return
	}
	if v, ok := spec.get("nodeSelector"); ok {
		if ml, ok := v.dig("matchLabels"); ok && len(ml.node.Content) > 0 {
			v.lost("selects nodes by labels, and host: true is the processes of every node that the policy is for")
		}
	}
	g := im.workload(schema.Match{Host: true}, o)
	g.owner = hostOwner
	a := &armor{g, o.name}
	a.sections(spec)
	for _, name := range []string{"syscalls", "device", "apparmor"} {
		if v, ok := spec.get(name); ok {
			v.lost("has no counterpart in policy")
		}
	}
	spec.finish()
}

// hostOwner stands where an owner is compulsory and the source names none.
const hostOwner = "platform"

func armorSpec(o *object) (*fields, bool) {
	top := o.root.fields()
	top.ignore("apiVersion", "kind", "metadata", "status")
	v, ok := top.get("spec")
	top.finish()
	if !ok {
		o.root.lost("has no spec")
		return nil, false
	}
	return v.fields(), true
}

// containerLabel selects containers by name in KubeArmor: "[a, b]".
const containerLabel = "kubearmor.io/container.name"

// armorSelector reads a SelectorType: labels, and expressions on whole labels such as "app=web".
func armorSelector(v value, pods selector, m *schema.Match) bool {
	f := v.fields()
	ok := true
	if ml, is := f.get("matchLabels"); is {
		if c, is := ml.dig(containerLabel); is {
			names := strings.Split(strings.Trim(c.node.Value, "[]"), ",")
			if m.Container = strings.TrimSpace(names[0]); len(names) != 1 || m.Container == "" {
				c.lost("names %d containers, and a match one", len(names))
				ok = false
			}
		}
		named := selector{}
		ok = named.addLabels(ml) && ok
		delete(named, containerLabel)
		for key, x := range named {
			pods.require(key, x)
		}
	}
	for _, e := range f.list("matchExpressions") {
		ok = armorExpression(e, pods) && ok
	}
	return f.finish() && ok
}

// armorExpression reads a MatchExpressionsType. In is any of its labels, NotIn none of them.
func armorExpression(v value, pods selector) bool {
	f := v.fields()
	key, _ := f.text("key")
	op, _ := f.text("operator")
	list, _ := f.get("values")
	if !f.finish() || list.node == nil {
		return false
	}
	values, ok := list.texts()
	byKey := map[string]schema.Names{}
	for _, label := range values {
		k, val, is := strings.Cut(label, "=")
		ok = ok && is
		byKey[k] = append(byKey[k], val)
	}
	if !ok || key != "label" || op != "In" && op != "NotIn" || len(values) == 0 {
		v.lost("is not known; want key label, operator In or NotIn, and values such as \"app=web\"")
		return false
	}
	if op == "In" && len(byKey) > 1 {
		v.lost("selects by any of several labels, and a match by all of its conditions; write a workload for each")
		return false
	}
	for _, k := range sortedKeys(byKey) {
		x := schema.Expression{In: byKey[k]}
		if op == "NotIn" {
			x = schema.Expression{NotIn: byKey[k]}
		}
		if !pods.require(k, x) {
			v.lost("contradicts another condition on the label %q, so nothing is selected", k)
			return false
		}
	}
	return true
}

// inherit reads what is told at a place within another.
func (t told) inherit(f *fields) told {
	if s, ok := f.text("action"); ok && s != "" {
		t.action = s
	}
	if s, ok := f.text("message"); ok && s != "" {
		t.message = s
	}
	if v, ok := f.get("severity"); ok && v.node.Value != "0" {
		t.severity = v.node.Value
	}
	if v, ok := f.get("tags"); ok {
		if tags, ok := v.texts(); ok && len(tags) > 0 {
			t.tags = tags
		}
	}
	return t
}

func (t told) allows() bool { return strings.EqualFold(t.action, "Allow") }

// close closes a plane for a rule that allows, even if the rule cannot be drafted: the source forbids what no rule allows.
func (a *armor) close(p schema.Plane, t told) {
	if t.allows() {
		a.g.closed[p] = true
	}
}

// maxWhy bounds a reason, in bytes.
const maxWhy = 500

// why is the reason that policy keeps of a message, a severity and tags.
func (t told) why() string {
	var rest []string
	if t.severity != "" {
		rest = append(rest, "severity "+t.severity)
	}
	if len(t.tags) > 0 {
		rest = append(rest, strings.Join(t.tags, ", "))
	}
	s := strings.Join(strings.Fields(t.message), " ")
	switch {
	case len(rest) > 0 && s != "":
		s += " (" + strings.Join(rest, "; ") + ")"
	case len(rest) > 0:
		s = strings.Join(rest, "; ")
	}
	for len(s) > maxWhy {
		s = strings.ToValidUTF8(s[:maxWhy-3], "") + "..."
	}
	return s
}

// sections reads what is allowed, watched and forbidden.
func (a *armor) sections(spec *fields) {
	policy := told{action: "Block"}.inherit(spec)
	for _, s := range []struct {
		name string
		read map[string]func(*armor, value, *fields, told)
	}{
		{"process", map[string]func(*armor, value, *fields, told){"matchPaths": (*armor).processPath, "matchDirectories": (*armor).processDirectory, "matchPatterns": (*armor).processPattern}},
		{"file", map[string]func(*armor, value, *fields, told){"matchPaths": (*armor).filePath, "matchDirectories": (*armor).fileDirectory, "matchPatterns": (*armor).filePattern}},
		{"capabilities", map[string]func(*armor, value, *fields, told){"matchCapabilities": (*armor).capability}},
	} {
		v, ok := spec.get(s.name)
		if !ok {
			continue
		}
		f := v.fields()
		section := policy.inherit(f)
		for _, list := range sortedKeys(s.read) {
			for _, rule := range f.list(list) {
				rf := rule.fields()
				s.read[list](a, rule, rf, section.inherit(rf))
			}
		}
		f.finish()
	}
	if v, ok := spec.get("network"); ok {
		v.lost("allows or forbids protocols whoever the peer is, and policy speaks of peers; write egress and ingress")
	}
}

// plain reports whether a rule has no condition that policy does not know. Without it, a rule would allow more, or forbid more.
func plain(f *fields) bool {
	ok := true
	condition := func(name, why string) {
		if v, is := f.get(name); is && v.node.Value != "false" && !(len(v.node.Content) == 0 && v.node.Value == "") {
			v.lost("%s, so the rule is not drafted", why)
			ok = false
		}
	}
	condition("ownerOnly", "holds for the owner of the file alone, which policy does not judge")
	condition("allowedArgs", "holds for some arguments alone, which policy does not judge")
	if v, is := f.get("pts"); is && v.node.Value != "true" {
		v.lost("holds outside of terminals alone, which policy does not judge, so the rule is not drafted")
		ok = false
	}
	return f.finish() && ok
}

// sources reads fromSource: paths of programs.
func sources(f *fields) (paths []string, ok bool) {
	ok = true
	for _, v := range f.list("fromSource") {
		sf := v.fields()
		path, is := sf.text("path")
		pattern, err := exactPath(path)
		switch {
		case !sf.finish() || !is:
			ok = false
		case err != nil:
			v.lost("path %.200q %v", path, err)
			ok = false
		}
		paths = append(paths, pattern)
	}
	return paths, ok
}

func (a *armor) processPath(v value, f *fields, t told) {
	path, ok1 := f.text("path")
	name, ok2 := f.text("execname")
	if name != "" && path == "" {
		path = "/" + name // for the check
	}
	pattern, err := exactPath(path)
	if name != "" && err == nil {
		pattern = "/**/" + name
	}
	a.process(v, f, t, ok1 && ok2, pattern, err)
}

func (a *armor) processDirectory(v value, f *fields, t told) {
	dir, ok1 := f.text("dir")
	recursive, ok2 := f.truth("recursive")
	pattern, err := directory(dir, recursive)
	a.process(v, f, t, ok1 && ok2, pattern, err)
}

func (a *armor) processPattern(v value, f *fields, t told) {
	p, ok := f.text("pattern")
	pattern, wider, err := appArmorPattern(strings.TrimSpace(p))
	if wider && t.allows() {
		err = fmt.Errorf("has \"/**/\", which in policy also matches no directory at all")
	}
	a.process(v, f, t, ok, pattern, err)
}

// process drafts one rule on programs.
func (a *armor) process(v value, f *fields, t told, ok bool, pattern string, err error) {
	a.close(schema.PlaneExec, t)
	parents, ok2 := sources(f)
	if !plain(f) || !ok || !ok2 {
		return
	}
	if err != nil {
		v.lost("%v", err)
		return
	}
	b, allow := a.act(v, t)
	switch {
	case allow:
		a.g.allowExec(pattern, reason{t.why(), v}, parents)
	case b != nil && len(parents) > 0:
		v.lost("forbids the program to some callers alone, and a bound forbids it whoever calls")
	case b != nil:
		b.exec[pattern] = reason{t.why(), v}
	}
}

func (a *armor) filePath(v value, f *fields, t told) {
	path, ok := f.text("path")
	pattern, err := exactPath(path)
	a.file(v, f, t, ok, []string{pattern}, err)
}

// fileDirectory speaks of the directory itself, too: AppArmor gets dir/{,**}.
func (a *armor) fileDirectory(v value, f *fields, t told) {
	dir, ok1 := f.text("dir")
	recursive, ok2 := f.truth("recursive")
	pattern, err := directory(dir, recursive)
	patterns := []string{pattern}
	if self := strings.TrimRight(dir, "/"); self != "" {
		patterns = append(patterns, self)
	}
	a.file(v, f, t, ok1 && ok2, patterns, err)
}

func (a *armor) filePattern(v value, f *fields, t told) {
	p, ok := f.text("pattern")
	pattern, wider, err := appArmorPattern(strings.TrimSpace(p))
	if wider && t.allows() {
		err = fmt.Errorf("has \"/**/\", which in policy also matches no directory at all")
	}
	a.file(v, f, t, ok, []string{pattern}, err)
}

// file drafts one rule on files.
func (a *armor) file(v value, f *fields, t told, ok bool, patterns []string, err error) {
	a.close(schema.PlaneFile, t)
	readOnly, ok2 := f.truth("readOnly")
	from := f.list("fromSource")
	if !plain(f) || !ok || !ok2 {
		return
	}
	switch {
	case err != nil:
		v.lost("%v", err)
		return
	case len(from) > 0:
		from[0].lost("holds for some programs alone, and rules for files hold for all of a container's, so the rule is not drafted")
		return
	}
	b, allow := a.act(v, t)
	switch {
	case allow && readOnly:
		addAll(a.g.read, patterns, reason{t.why(), v})
	case allow:
		addAll(a.g.write, patterns, reason{t.why(), v})
	case b != nil && readOnly:
		v.lost("forbids writing alone, and a bound forbids reading too")
	case b != nil:
		addAll(b.file, patterns, reason{t.why(), v})
	}
}

func addAll(m map[string]reason, keys []string, r reason) {
	for _, k := range keys {
		m[k] = r
	}
}

// capabilities are those of include/uapi/linux/capability.h, without CAP_.
var capabilities = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
	NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
	SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND
	AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

// capability reads a MatchCapabilitiesType. One entry may name several, with commas.
func (a *armor) capability(v value, f *fields, t told) {
	a.close(schema.PlaneCapability, t)
	names, ok := f.text("capability")
	from := f.list("fromSource")
	if !plain(f) || !ok {
		return
	}
	if len(from) > 0 {
		from[0].lost("holds for some programs alone, and rules for capabilities hold for all of a container's, so the rule is not drafted")
		return
	}
	b, allow := a.act(v, t)
	for name := range strings.SplitSeq(names, ",") {
		bare := strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(name)), "CAP_")
		if !slices.Contains(capabilities, bare) {
			v.lost("has the capability %.50q; want one of Linux such as net_raw", name)
			continue
		}
		name = "CAP_" + bare
		switch {
		case allow:
			a.g.capability[name] = reason{t.why(), v}
		case b != nil:
			b.capability[name] = reason{t.why(), v}
		}
	}
}

// act returns what a rule does: it allows, or it belongs to a bound. What is watched has a bound of its own, so that it is not
// enforced with what is forbidden.
func (a *armor) act(v value, t told) (b *bound, allow bool) {
	switch strings.ToLower(t.action) {
	case "allow":
		return nil, true
	case "audit":
		return a.g.never(a.name+"-audit", "watched by KubeArmor"), false
	case "block":
		return a.g.never(a.name, "forbidden by KubeArmor"), false
	}
	v.lost("has the action %.50q; want Allow, Audit or Block", t.action)
	return nil, false
}
