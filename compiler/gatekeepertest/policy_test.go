// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
)

// generator makes policies and objects from few names, so that they meet often.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 2))} }

func (g generator) pick(from ...string) string { return from[g.IntN(len(from))] }

// once is true once in n times.
func (g generator) once(n int) bool { return g.IntN(n) == 0 }

// some returns up to most different values, sorted.
func (g generator) some(most int, from []string) []string {
	var all []string
	for range g.IntN(most + 1) {
		all = append(all, g.pick(from...))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// dates are those on which generated modes change; instants lie before, between, at and after them.
var (
	dates    = []string{"2027-01-31", "2027-06-30T12:00:00Z"}
	instants = []time.Time{{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 31, 23, 59, 59, 0, time.UTC),
		time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 6, 30, 12, 0, 0, 0, time.UTC), afterAll}
)

var flags = []string{"true", "false"}

// permitted are values that rules list, by field; [values] are those of Pods.
var permitted = map[schema.PodField][]string{
	schema.PodServiceAccount:   {"default", "shop-a", "shop-*", "*", "*-b"},
	schema.PodAddCapabilities:  {"NET_RAW", "KILL", "ALL", "SYS_ADMIN"},
	schema.PodDropCapabilities: {"NET_RAW", "KILL", "ALL", "SYS_ADMIN"},
	schema.PodVolumes:          {"configMap", "secret", "hostPath", "emptyDir", "ephemeral"},
	schema.PodHostPaths:        {"/data/a", "/data/*", "/data/**", "/**/log", "/**", "/var/run/docker.sock", "/d*a/**/x", "/data/é*"},
	schema.PodHostPorts:        {"80", "8080", "443"},
	schema.PodSeccomp:          {"RuntimeDefault", "Localhost", "Unconfined"},
	schema.PodAppArmor:         {"RuntimeDefault", "Localhost", "Unconfined"},
	schema.PodSysctls:          {"kernel.a", "net.core.b", "net.*", "*.b", "*"},
	schema.PodRunAsUser:        {"0", "1000", "1001"},
}

func (g generator) field(most int) (schema.PodField, []string) {
	f := schema.PodFields[g.IntN(len(schema.PodFields))]
	if values, ok := permitted[f]; ok {
		return f, g.some(most, values)
	}
	return f, []string{g.pick(flags...)}
}

// mode is one word, or a change on a date.
func (g generator) mode() (mode, then schema.Mode, after schema.Date) {
	modes := []schema.Mode{schema.ModeLearn, schema.ModeAudit, schema.ModeEnforce, schema.ModeEnforce}
	now := g.IntN(len(modes))
	if !g.once(4) {
		return modes[now], "", ""
	}
	return modes[now], modes[(now+1+g.IntN(2))%3], schema.Date(g.pick(dates...))
}

func (g generator) labels() map[string]string {
	m := map[string]string{}
	for range g.IntN(3) {
		m[g.pick("app", "tier", "example.com/x")] = g.pick("a", "b", "")
	}
	if len(m) == 0 {
		return nil
	}
	return m
}

// expressions are conditions that some Pod meets: of a label that has a literal value there is none.
func (g generator) expressions(labels map[string]string) map[string]schema.Expression {
	all, yes, no := map[string]schema.Expression{}, true, false
	for range g.IntN(3) {
		key := g.pick("app", "tier", "example.com/x", "none")
		if _, literal := labels[key]; literal {
			continue
		}
		two := func() schema.Names {
			return slices.Compact(slices.Sorted(slices.Values([]string{g.pick("a", "b", ""), g.pick("a", "b", "c")})))
		}
		all[key] = []schema.Expression{{In: two()}, {NotIn: two()}, {Exists: &yes}, {Exists: &no}, {In: schema.Names{"", "a", "b"}, NotIn: schema.Names{"b"}},
			{NotIn: schema.Names{"a"}, Exists: &yes}}[g.IntN(6)]
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// match selects by what admission knows, or seldom by more.
func (g generator) match() schema.Match {
	m := schema.Match{Namespace: g.pick("shop", "shop", "web", ""), Labels: g.labels()}
	m.Expressions = g.expressions(m.Labels)
	if g.once(6) {
		m.Container = g.pick("c0", "c1", "c*", "*", "*-2", "*c*", "c*3", "d*", "c-2", "c0*")
	}
	if g.once(30) {
		return schema.Match{Host: true}
	}
	if g.once(30) {
		m.Cgroup = "/a/**"
		m.Namespace, m.Labels, m.Expressions, m.Container = "", nil, nil, ""
	}
	if m.Zero() {
		m.Namespace = "shop"
	}
	return m
}

// pattern is a valid image pattern.
func (g generator) pattern() string {
	for {
		if ref := g.reference(true); valid(ref) {
			return ref
		}
	}
}

func valid(pattern string) bool {
	_, err := schema.ParseImagePattern(pattern)
	return err == nil
}

func (g generator) workload(name string) schema.Workload {
	w := schema.Workload{Name: name, Match: g.match(), Shared: true, Pos: g.pos()}
	if g.once(3) {
		w.Owner = g.pick("team-a", "team-b")
	}
	if g.once(2) {
		c := schema.Closure{ID: schema.NewRuleID("closure", name, "image"), Plane: schema.PlaneImage, Pos: g.pos()}
		c.Mode, c.Then, c.After = g.mode()
		w.Closures = append(w.Closures, c)
		for range g.IntN(6) {
			p := g.pattern()
			w.Rules = append(w.Rules, schema.Rule{ID: schema.NewRuleID("rule", name, "image", "run", p), Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: p, Pos: g.pos()})
		}
	}
	if g.once(2) {
		c := schema.Closure{ID: schema.NewRuleID("closure", name, "pod"), Plane: schema.PlanePod, Pos: g.pos()}
		c.Mode, c.Then, c.After = g.mode()
		w.Profile = g.pick("", "", "baseline", "restricted", "privileged")
		pos := g.pos()
		for _, r := range schema.ProfileRules(w.Profile) {
			r.ID, r.Pos = schema.NewRuleID("rule", name, "pod", "set", "profile/"+r.Object), pos
			w.Rules = append(w.Rules, r)
		}
		for range g.IntN(4) {
			f, values := g.field(3)
			r := schema.Rule{ID: schema.NewRuleID("rule", name, "pod", "set", string(f)), Plane: schema.PlanePod, Verb: schema.VerbSet, Object: string(f), Values: values, Pos: g.pos()}
			if _, listed := permitted[f]; listed && len(values) == 1 && g.once(2) {
				r.Why = "because"
			}
			w.Rules = append(w.Rules, r)
		}
		if w.Profile != "" || len(w.Rules) > 0 && w.Rules[len(w.Rules)-1].Plane == schema.PlanePod {
			w.Closures = append(w.Closures, c)
		}
	}
	w.Rules = sortedRules(w.Rules)
	return w
}

func sortedRules(rules []schema.Rule) []schema.Rule {
	slices.SortFunc(rules, schema.CompareRules)
	return slices.CompactFunc(rules, func(a, b schema.Rule) bool { return a.ID == b.ID })
}

func (g generator) pos() []schema.Pos {
	return []schema.Pos{{File: g.pick("writ.cue", "shop/é.cue"), Line: 1 + g.IntN(99), Col: 1}}
}

func (g generator) bound(name string) schema.Bound {
	b := schema.Bound{Name: name, ID: schema.NewRuleID("bound", name, "require"), Pos: g.pos()}
	if g.once(2) {
		b.Match = g.match()
	}
	b.Mode, b.Then, b.After = g.mode()
	b.Require.Workload = g.once(3)
	if g.once(2) {
		b.Owner, b.Why = "org", "for reasons"
	}
	for range g.IntN(3) {
		p := g.pattern()
		b.Never = append(b.Never, schema.Rule{ID: schema.NewRuleID("bound", name, "never", "image", "run", p), Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: p, Pos: g.pos()})
	}
	for range g.IntN(4) {
		f, values := g.field(3)
		if len(values) == 0 || f == schema.PodDropCapabilities {
			continue
		}
		b.Never = append(b.Never, schema.Rule{ID: schema.NewRuleID("bound", name, "never", "pod", "set", string(f)), Plane: schema.PlanePod, Verb: schema.VerbSet, Object: string(f), Values: values, Pos: g.pos()})
	}
	b.Never = sortedRules(b.Never)
	return b
}

// policy has up to most workloads and three bounds.
func (g generator) policy(most int) *schema.Policy {
	p := &schema.Policy{}
	for i := range 1 + g.IntN(most) {
		p.Workloads = append(p.Workloads, g.workload(fmt.Sprint("w", i)))
	}
	for i := range g.IntN(4) {
		p.Bounds = append(p.Bounds, g.bound(fmt.Sprint("b", i)))
	}
	slices.SortFunc(p.Workloads, func(a, b schema.Workload) int { return cmp.Compare(a.Name, b.Name) })
	return p
}

// statable takes away what the compiler refuses.
func statable(p *schema.Policy) *schema.Policy {
	for i := range p.Workloads {
		w := &p.Workloads[i]
		outside := w.Match.Host || w.Match.Cgroup != ""
		w.Closures = slices.DeleteFunc(w.Closures, func(c schema.Closure) bool {
			return outside || c.Plane == schema.PlanePod && w.Match.Container != ""
		})
		w.Rules = slices.DeleteFunc(w.Rules, func(r schema.Rule) bool {
			_, listed := permitted[schema.PodField(r.Object)]
			return r.Plane == schema.PlanePod && w.Profile != "" && !listed
		})
		withoutStars(w.Rules)
	}
	for i := range p.Bounds {
		b := &p.Bounds[i]
		withoutStars(b.Never)
		b.Never = slices.DeleteFunc(b.Never, func(r schema.Rule) bool { return r.Plane == schema.PlanePod && len(r.Values) == 0 })
	}
	return p
}

// withoutStars takes "*" from the names of service accounts, which authors cannot write.
func withoutStars(rules []schema.Rule) {
	for i := range rules {
		if r := &rules[i]; r.Object == string(schema.PodServiceAccount) {
			r.Values = slices.DeleteFunc(r.Values, func(v string) bool { return strings.Contains(v, "*") })
		}
	}
}

// source states a policy as an author does. What has no line there, such as a workload without planes, is left to the compiler.
func source(p *schema.Policy) string {
	var b strings.Builder
	b.WriteString("package policy\n")
	state := func(kind, name string, v any) {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "%s: %s: %s\n", kind, name, data)
	}
	for i := range p.Workloads {
		w := &p.Workloads[i]
		modes := object{}
		v := object{"match": matchSource(&w.Match), "mode": modes, "shared": true}
		if w.Owner != "" || w.Match.Host {
			v["owner"] = cmp.Or(w.Owner, "team-a")
		}
		for _, c := range w.Closures {
			modes[string(c.Plane)] = modeSource(c.Mode, c.Then, c.After)
			v[string(c.Plane)] = object{}
			if c.Plane == schema.PlaneImage {
				v["image"] = object{"from": rulesSource(w.Rules, schema.PlaneImage)}
			} else {
				pod := rulesSource(slices.DeleteFunc(slices.Clone(w.Rules), func(r schema.Rule) bool {
					return r.ID != schema.NewRuleID("rule", w.Name, "pod", "set", r.Object)
				}), schema.PlanePod)
				if w.Profile != "" {
					pod["profile"] = w.Profile
				}
				v["pod"] = pod
			}
		}
		if len(modes) == 0 {
			v["mode"] = "audit"
		}
		state("workload", w.Name, v)
	}
	for i := range p.Bounds {
		bound := &p.Bounds[i]
		v := object{"mode": modeSource(bound.Mode, bound.Then, bound.After)}
		if bound.Owner != "" {
			v["owner"], v["why"] = bound.Owner, bound.Why
		}
		if !bound.Match.Zero() {
			v["match"] = matchSource(&bound.Match)
		}
		if bound.Require.Workload {
			v["require"] = object{"workload": true}
		}
		never := object{"image": rulesSource(bound.Never, schema.PlaneImage)}
		fields := object{}
		for _, r := range bound.Never {
			if r.Plane == schema.PlanePod {
				fields[r.Object] = setSource(r.Values, "")
			}
		}
		never["pod"], v["never"] = fields, never
		state("bound", bound.Name, v)
	}
	return b.String()
}

func modeSource(now, then schema.Mode, after schema.Date) any {
	if then == "" {
		return now
	}
	return object{"now": now, "then": then, "after": after}
}

func setSource(values []string, why string) object {
	set := object{}
	for _, v := range values {
		set[v] = object{}
		if why != "" {
			set[v] = object{"why": why}
		}
	}
	return set
}

func matchSource(m *schema.Match) object {
	v := object{}
	for key, text := range map[string]string{"namespace": m.Namespace, "container": m.Container, "cgroup": m.Cgroup} {
		if text != "" {
			v[key] = text
		}
	}
	if m.Host {
		v["host"] = true
	}
	if m.Labels != nil {
		v["labels"] = m.Labels
	}
	if m.Expressions != nil {
		all := object{}
		for key, x := range m.Expressions {
			e := object{}
			if x.In != nil {
				e["in"] = setSource(x.In, "")
			}
			if x.NotIn != nil {
				e["notIn"] = setSource(x.NotIn, "")
			}
			if x.Exists != nil {
				e["exists"] = *x.Exists
			}
			all[key] = e
		}
		v["expressions"] = all
	}
	return v
}

func rulesSource(rules []schema.Rule, plane schema.Plane) object {
	v := object{}
	for _, r := range rules {
		_, listed := permitted[schema.PodField(r.Object)]
		switch {
		case r.Plane != plane:
		case plane == schema.PlaneImage:
			v[r.Object] = object{}
		case listed:
			v[r.Object] = setSource(r.Values, r.Why)
		default:
			v[r.Object] = r.Values[0] == "true"
		}
	}
	return v
}
