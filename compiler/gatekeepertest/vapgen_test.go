// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/writ-sec/writ/schema"
)

// podValues are values of rules on the fields of Pods, which the generated Pods have or nearly have.
var podValues = map[schema.PodField][]string{
	schema.PodHostNetwork: flags, schema.PodHostPID: flags, schema.PodHostIPC: flags, schema.PodPrivileged: flags, schema.PodEscalation: flags,
	schema.PodReadOnlyRoot: flags, schema.PodNonRoot: flags, schema.PodAutomount: flags,
	schema.PodServiceAccount:   {"default", "shop-*", "*", "a*b", "shop-a"},
	schema.PodAddCapabilities:  {"NET_RAW", "KILL", "SYS_ADMIN", "ALL"},
	schema.PodDropCapabilities: {"NET_RAW", "KILL", "ALL"},
	schema.PodVolumes:          {"configMap", "secret", "hostPath", "emptyDir", "csi", "projected"},
	schema.PodHostPaths:        {"/var/run/docker.sock", "/data/*", "/data/**", "/**/log", "/**", "/data/a.b", "/*/a"},
	schema.PodHostPorts:        {"80", "8080"},
	schema.PodSeccomp:          {"RuntimeDefault", "Localhost", "Unconfined"},
	schema.PodAppArmor:         {"RuntimeDefault", "Localhost", "Unconfined"},
	schema.PodSysctls:          {"kernel.a", "net.core.*", "*.b", "net/ipv4.x", "*"},
	schema.PodRunAsUser:        {"0", "1000", "1001"},
}

// vapGenerator makes policies and objects by chance, beside those of generator: of the kinds that the API server decodes, with null.
type vapGenerator struct{ generator }

func (g vapGenerator) several(from []string, most int) []string {
	set := map[string]bool{}
	for range g.IntN(most + 1) {
		set[g.pick(from...)] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// lowered is a policy as lowering leaves it, of what is judged at admission, and of what is not.
func (g vapGenerator) lowered(workloads int) *schema.Policy {
	p := &schema.Policy{}
	for i := range workloads {
		p.Workloads = append(p.Workloads, g.workload(fmt.Sprintf("w%03d", i)))
	}
	for i := range g.IntN(4) {
		p.Bounds = append(p.Bounds, g.bound(fmt.Sprint("b", i)))
	}
	for i := range g.IntN(3) {
		p.Exceptions = append(p.Exceptions, g.exception(fmt.Sprint("x", i)))
	}
	return p
}

func (g vapGenerator) workload(name string) schema.Workload {
	w := schema.Workload{Name: name, Match: g.lowerMatch(), Owner: g.pick("", "team-a"), Pos: []schema.Pos{{File: "shop/web.cue", Line: 7, Col: 1}}}
	if g.IntN(3) > 0 {
		c := g.closure(name, schema.PlaneImage)
		c.Verbs = []schema.Verb{schema.VerbRun}
		w.Closures = append(w.Closures, c)
		for _, pattern := range g.patterns(4) {
			w.Rules = append(w.Rules, schema.Rule{ID: schema.NewRuleID("rule", name, "image", "run", pattern), Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: pattern})
		}
	}
	if g.IntN(3) > 0 {
		w.Closures = append(w.Closures, g.closure(name, schema.PlanePod))
		w.Rules = append(w.Rules, g.podRules(&w)...)
	}
	slices.SortFunc(w.Rules, schema.CompareRules)
	return w
}

func (g vapGenerator) closure(name string, plane schema.Plane) schema.Closure {
	c := schema.Closure{ID: schema.NewRuleID("closure", name, string(plane)), Plane: plane, Pos: []schema.Pos{{File: "shop/web.cue", Line: 9, Col: 1}}}
	c.Mode, c.Then, c.After = g.planned()
	return c
}

func (g vapGenerator) planned() (mode, then schema.Mode, after schema.Date) {
	modes := []schema.Mode{schema.ModeLearn, schema.ModeAudit, schema.ModeEnforce}
	mode = modes[g.IntN(3)]
	if g.IntN(4) == 0 {
		return mode, modes[g.IntN(3)], schema.Date(g.pick(dates...))
	}
	return mode, "", ""
}

func (g vapGenerator) patterns(most int) []string {
	set := map[string]bool{}
	for range g.IntN(most + 1) {
		if ref := g.reference(true); valid(ref) {
			set[ref] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// podRules are those of a profile or of some fields, or of both.
func (g vapGenerator) podRules(w *schema.Workload) []schema.Rule {
	var rules []schema.Rule
	if g.IntN(4) == 0 {
		w.Profile = g.pick(schema.Profiles...)
		rules = profileRules(w)
	}
	for range g.IntN(5) {
		rules = append(rules, g.podRule(schema.PodFields[g.IntN(len(schema.PodFields))], "rule", w.Name))
	}
	return unique(rules)
}

// profileRules are those of the workload's profile.
func profileRules(w *schema.Workload) []schema.Rule {
	rules := schema.ProfileRules(w.Profile)
	for i := range rules {
		r := &rules[i]
		r.ID, r.Pos = schema.NewRuleID("rule", w.Name, "pod", "set", "profile/"+r.Object), []schema.Pos{{File: "shop/web.cue", Line: 11, Col: 1}}
	}
	return rules
}

func unique(rules []schema.Rule) []schema.Rule {
	slices.SortFunc(rules, schema.CompareRules)
	return slices.CompactFunc(rules, func(a, b schema.Rule) bool { return a.ID == b.ID })
}

func (g vapGenerator) podRule(field schema.PodField, kind ...string) schema.Rule {
	return schema.Rule{ID: schema.NewRuleID(append(kind, "pod", "set", string(field))...), Plane: schema.PlanePod, Verb: schema.VerbSet, Object: string(field),
		Values: g.several(podValues[field], 3), Why: g.pick("", "for \"reasons\"\nof ours"), Pos: []schema.Pos{{File: "shop/web.cue", Line: 12, Col: 2}}}
}

func (g vapGenerator) lowerMatch() schema.Match {
	m := schema.Match{Namespace: g.pick("shop", "shop", "web", ""), Labels: g.labels()}
	m.Expressions = g.expressions(m.Labels)
	if g.IntN(5) == 0 {
		m.Container = g.pick("c0", "c1", "c*", "*", "*-2", "d*")
	}
	switch g.IntN(40) {
	case 0:
		m.Cgroup = "/a"
	case 1:
		m = schema.Match{Host: true}
	}
	return m
}

func (g vapGenerator) bound(name string) schema.Bound {
	b := schema.Bound{Name: name, ID: schema.NewRuleID("bound", name, "require"), Owner: g.pick("", "security"), Why: g.pick("", "the auditors want it"), Pos: []schema.Pos{{File: "bounds.cue", Line: 3, Col: 1}}}
	if g.IntN(2) == 0 {
		b.Match = g.lowerMatch()
	}
	b.Mode, b.Then, b.After = g.planned()
	b.Require.Workload = g.IntN(3) == 0
	for _, pattern := range g.patterns(2) {
		b.Never = append(b.Never, schema.Rule{ID: schema.NewRuleID("bound", name, "never", "image", "run", pattern), Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: pattern})
	}
	for range g.IntN(4) {
		field := schema.PodFields[g.IntN(len(schema.PodFields))]
		if g.IntN(4) == 0 {
			field = schema.PodAddCapabilities // Pods seldom add any
		}
		if field != schema.PodDropCapabilities {
			b.Never = append(b.Never, g.podRule(field, "bound", name, "never"))
		}
	}
	if g.IntN(3) == 0 {
		b.Never = append(b.Never, schema.Rule{ID: schema.NewRuleID("bound", name, "never", "exec", "exec", "/a"), Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: "/a"})
	}
	b.Never = unique(b.Never)
	return b
}

func (g vapGenerator) exception(name string) schema.Exception {
	x := schema.Exception{Name: name, Images: g.patterns(2), Owner: "team-a", Why: "no fix yet", Expires: schema.Date(g.pick(dates...))}
	for _, pattern := range g.patterns(2) {
		x.Patch = append(x.Patch, schema.Rule{ID: schema.NewRuleID("patch", name, "image", "run", pattern), Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: pattern})
	}
	if g.IntN(2) == 0 {
		x.Patch = append(x.Patch, g.podRule(schema.PodPrivileged, "patch", name))
	}
	x.Patch = unique(x.Patch)
	return x
}

// decided is the policy at an instant, without dates: at the zero Time, the stricter side.
func decided(p *schema.Policy, at time.Time) *schema.Policy {
	out := *p
	mode := func(now, then, modeAt schema.Mode) schema.Mode {
		if at.IsZero() && then != "" {
			return schema.Strictest(now, then)
		}
		return modeAt
	}
	out.Workloads, out.Bounds, out.Exceptions = slices.Clone(p.Workloads), slices.Clone(p.Bounds), nil
	for i := range out.Workloads {
		w := &out.Workloads[i]
		w.Closures = slices.Clone(w.Closures)
		for j := range w.Closures {
			c := &w.Closures[j]
			c.Mode, c.Then, c.After = mode(c.Mode, c.Then, c.ModeAt(at)), "", ""
		}
	}
	for i := range out.Bounds {
		b := &out.Bounds[i]
		b.Mode, b.Then, b.After = mode(b.Mode, b.Then, b.ModeAt(at)), "", ""
	}
	for _, x := range p.Exceptions {
		if at.IsZero() || !x.Expires.Passed(at) {
			x.Expires = ""
			out.Exceptions = append(out.Exceptions, x)
		}
	}
	return &out
}

// maybe sets a field, sometimes to null.
func (g vapGenerator) maybe(o object, name string, value func() any) {
	switch g.IntN(6) {
	case 0, 1:
		o[name] = value()
	case 2:
		if g.IntN(3) == 0 {
			o[name] = nil
		}
	}
}

func (g vapGenerator) flag() any { return g.IntN(2) == 0 }

func (g vapGenerator) word(from ...string) func() any { return func() any { return g.pick(from...) } }

func (g vapGenerator) words(from ...string) func() any {
	return func() any {
		list := []any{}
		for range g.IntN(4) {
			list = append(list, g.pick(from...))
		}
		return list
	}
}

// security is what Pods and containers share.
func (g vapGenerator) security() object {
	s := object{}
	g.maybe(s, "runAsNonRoot", g.flag)
	g.maybe(s, "runAsUser", func() any { return int64(g.IntN(2) * (1000 + g.IntN(2))) })
	g.maybe(s, "seccompProfile", func() any { return object{"type": g.pick("RuntimeDefault", "Unconfined", "Localhost", "")} })
	g.maybe(s, "appArmorProfile", func() any { return object{"type": g.pick("RuntimeDefault", "Unconfined", "Localhost")} })
	g.maybe(s, "seLinuxOptions", func() any {
		o := object{}
		g.maybe(o, "type", g.word("container_t", "spc_t", ""))
		g.maybe(o, "user", g.word("", "u"))
		g.maybe(o, "role", g.word("", "r"))
		return o
	})
	g.maybe(s, "windowsOptions", func() any {
		o := object{}
		g.maybe(o, "hostProcess", g.flag)
		return o
	})
	return s
}

func (g vapGenerator) container(name string) object {
	c := object{"name": name, "image": g.reference(false)}
	if g.IntN(20) == 0 {
		delete(c, "image")
	}
	g.maybe(c, "securityContext", func() any {
		s := g.security()
		g.maybe(s, "privileged", g.flag)
		g.maybe(s, "allowPrivilegeEscalation", g.flag)
		g.maybe(s, "readOnlyRootFilesystem", g.flag)
		g.maybe(s, "procMount", g.word("Default", "Unmasked", ""))
		g.maybe(s, "capabilities", func() any {
			o := object{}
			g.maybe(o, "add", g.words("NET_RAW", "KILL", "ALL", "CAP_KILL", "net_raw", "cap_sys_admin", "ſys_admin", "ä", ""))
			g.maybe(o, "drop", g.words("ALL", "ALL", "NET_RAW", "KILL", "all"))
			return o
		})
		return s
	})
	g.maybe(c, "ports", func() any {
		list := []any{}
		for range 1 + g.IntN(2) {
			p := object{"containerPort": int64(g.IntN(2) * 8080)}
			g.maybe(p, "hostPort", func() any { return int64(g.IntN(3) * 40) })
			list = append(list, p)
		}
		return list
	})
	handler := func() any {
		o := object{}
		g.maybe(o, "httpGet", func() any { return object{"port": int64(80), "host": g.pick("", "127.0.0.1", "ä\x01")} })
		g.maybe(o, "tcpSocket", func() any { return object{"port": "web", "host": g.pick("", "10.0.0.1")} })
		return o
	}
	for _, probe := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
		if g.IntN(3) == 0 {
			g.maybe(c, probe, handler)
		}
	}
	g.maybe(c, "lifecycle", func() any {
		o := object{}
		g.maybe(o, "postStart", handler)
		g.maybe(o, "preStop", handler)
		return o
	})
	return c
}

func (g vapGenerator) volumes() any {
	list := []any{}
	for i := range g.IntN(4) {
		v := object{"name": fmt.Sprint("v", i)}
		switch kind := g.pick("configMap", "secret", "emptyDir", "csi", "projected", "image", "hostPath", "hostPath", "hostPath", ""); kind {
		case "":
		case "hostPath":
			v[kind] = object{"path": g.pick("/var/run", "/data/a", "/data/a/", "/data", "/", "//", "/var/log", "data", "/var/../etc", "", "/a\nb", "/data//a", "/.", "/ä/log", "/data/a.b", "/dataxa")}
		default:
			v[kind] = object{}
		}
		list = append(list, v)
	}
	return list
}

// podObject is metadata and spec.
func (g vapGenerator) podObject() object {
	metadata, spec := object{}, object{}
	if labels := g.labels(); len(labels) > 0 || g.IntN(2) == 0 {
		all := object{}
		for k, v := range labels {
			all[k] = v
		}
		metadata["labels"] = all
	}
	for _, name := range []string{"hostNetwork", "hostPID", "hostIPC", "hostUsers", "automountServiceAccountToken"} {
		g.maybe(spec, name, g.flag)
	}
	g.maybe(spec, "serviceAccountName", g.word("shop-a", "ab", "default", ""))
	g.maybe(spec, "serviceAccount", g.word("shop-b", "a\nb", ""))
	g.maybe(spec, "os", func() any { return object{"name": g.pick("windows", "linux")} })
	g.maybe(spec, "volumes", g.volumes)
	g.maybe(spec, "securityContext", func() any {
		s := g.security()
		g.maybe(s, "sysctls", func() any {
			list := []any{}
			for range g.IntN(3) {
				list = append(list, object{"name": g.pick("kernel.a", "kernel/a", "net.core.b", "net/core/b", "net/ipv4.x/y", "net.ipv4/x", "kernel.shm_rmid_forced"), "value": "1"})
			}
			return list
		})
		return s
	})
	names := []string{"c0", "c1", "c0", "c-2", "side-2", "d"}
	for _, kind := range []string{"containers", "initContainers", "ephemeralContainers"} {
		if kind != "containers" && g.IntN(3) > 0 {
			continue
		}
		list := []any{}
		for range g.IntN(3) {
			list = append(list, g.container(g.pick(names...)))
		}
		spec[kind] = list
	}
	g.maybe(metadata, "annotations", func() any {
		o := object{"note": "x"}
		for range 1 + g.IntN(2) {
			o["container.apparmor.security.beta.kubernetes.io/"+g.pick("c0", "c1", "gone")] = g.pick("runtime/default", "localhost/x", "unconfined", "nothing", "")
		}
		return o
	})
	return object{"metadata": metadata, "spec": spec}
}

// damage puts what is of a wrong type, or null, somewhere into an object. An API server lets that through in custom kinds alone.
func (g vapGenerator) damage(v any) any {
	switch v := v.(type) {
	case object:
		keys := slices.Sorted(maps.Keys(v))
		if len(keys) == 0 || g.IntN(5) == 0 {
			return g.wrong()
		}
		key := keys[g.IntN(len(keys))]
		v[key] = g.damage(v[key])
		return v
	case []any:
		if len(v) == 0 || g.IntN(5) == 0 {
			return g.wrong()
		}
		i := g.IntN(len(v))
		v[i] = g.damage(v[i])
		return v
	}
	return g.wrong()
}

func (g vapGenerator) wrong() any {
	return []any{nil, "x", true, int64(3), 2.5, 1e3, []any{}, []any{"a", nil, int64(1)}, object{}, object{"type": int64(1)}}[g.IntN(10)]
}

// made is an object that is a Pod or makes one, and its kind.
func (g vapGenerator) made() object {
	pod := g.podObject()
	kind := g.pick("Pod", "Pod", "Pod", "Pod", "Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job", "CronJob", "ReplicationController", "PodTemplate", "Rollout")
	namespace := g.pick("shop", "web", "other")
	metadata := object{"name": "x", "namespace": namespace, "labels": object{"app": g.pick("a", "b")}}
	o := object{"kind": kind, "metadata": metadata, "apiVersion": map[string]string{"Job": "batch/v1", "CronJob": "batch/v1", "Pod": "v1", "ReplicationController": "v1", "PodTemplate": "v1", "Rollout": "argoproj.io/v1alpha1"}[kind]}
	if o["apiVersion"] == "" {
		o["apiVersion"] = "apps/v1"
	}
	switch kind {
	case "Pod":
		own := pod["metadata"].(object)
		own["name"], own["namespace"] = "x", namespace
		o["metadata"], o["spec"] = own, pod["spec"]
	case "PodTemplate":
		o["template"] = pod
	case "CronJob":
		o["spec"] = object{"jobTemplate": object{"spec": object{"template": pod}}}
	case "Rollout":
		if g.IntN(2) == 0 {
			for range 1 + g.IntN(3) {
				if damaged, ok := g.damage(pod).(object); ok {
					pod = damaged
				}
			}
		}
		o["spec"] = object{"template": pod}
	default:
		o["spec"] = object{"template": pod}
	}
	return o
}
