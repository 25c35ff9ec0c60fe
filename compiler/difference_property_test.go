// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

// diffRandom makes policies and events over very few words, so that rules and events often have to do with each other.
type diffRandom struct{ *rand.Rand }

func diffPick[T any](r diffRandom, from ...T) T { return from[r.IntN(len(from))] }

func (r diffRandom) policy() *schema.Policy {
	p := &schema.Policy{}
	for i := range 1 + r.IntN(3) {
		p.Workloads = append(p.Workloads, r.workload(fmt.Sprintf("w%d", i)))
	}
	for i := range r.IntN(3) {
		p.Bounds = append(p.Bounds, r.bound(fmt.Sprintf("b%d", i)))
	}
	for i := range r.IntN(2) {
		p.Exceptions = append(p.Exceptions, r.exception(fmt.Sprintf("x%d", i)))
	}
	return p
}

func (r diffRandom) workload(name string) schema.Workload {
	w := schema.Workload{Name: name, Match: diffRandomMatch(r.Rand)}
	for _, p := range schema.Planes {
		if r.IntN(2) == 0 {
			r.close(&w, p)
		}
	}
	return w
}

// close makes a workload mention a plane.
func (r diffRandom) close(w *schema.Workload, p schema.Plane) {
	c := schema.Closure{Plane: p}
	c.Mode, c.Then, c.After = r.mode()
	var rules []schema.Rule
	for range r.IntN(4) {
		rules = append(rules, r.rule(p))
	}
	for _, a := range rules {
		if p == schema.PlaneImage && !slices.Contains(c.Verbs, a.Verb) {
			c.Verbs = append(c.Verbs, a.Verb)
		}
	}
	slices.Sort(c.Verbs)
	w.Closures, w.Rules = append(w.Closures, c), append(w.Rules, rules...)
	diffSettle(w)
}

// diffSettle sorts a workload as lowering does, without rules of one key.
func diffSettle(w *schema.Workload) {
	order := func(p schema.Plane) int { return slices.Index(schema.Planes, p) }
	slices.SortFunc(w.Closures, func(a, b schema.Closure) int { return order(a.Plane) - order(b.Plane) })
	compare := func(a, b schema.Rule) int {
		return cmp.Or(order(a.Plane)-order(b.Plane), cmp.Compare(a.Verb, b.Verb), cmp.Compare(a.Object, b.Object))
	}
	slices.SortStableFunc(w.Rules, compare)
	w.Rules = slices.CompactFunc(w.Rules, func(a, b schema.Rule) bool { return compare(a, b) == 0 })
	for i := range w.Rules {
		a := &w.Rules[i]
		a.ID = schema.NewRuleID("rule", w.Name, string(a.Plane), string(a.Verb), a.Object)
	}
	for i := range w.Closures {
		w.Closures[i].ID = schema.NewRuleID("closure", w.Name, string(w.Closures[i].Plane))
	}
}

func (r diffRandom) mode() (now, then schema.Mode, after schema.Date) {
	now = diffPick(r, schema.ModeLearn, schema.ModeAudit, schema.ModeEnforce, schema.ModeEnforce)
	if r.IntN(4) == 0 {
		return now, diffPick(r, schema.ModeLearn, schema.ModeAudit, schema.ModeEnforce), r.date()
	}
	return now, "", ""
}

func (r diffRandom) date() schema.Date {
	return diffPick[schema.Date](r, "2027-01-10", "2027-01-20", "2027-01-15T12:00:00Z", "2027-01-15T12:00:00Z", "never")
}

// diffTestInstants are before, between and after all dates.
func diffTestInstants() (all []time.Time) {
	for _, s := range []string{"2026-12-01T00:00:00Z", "2027-01-12T00:00:00Z", "2027-01-16T00:00:00Z", "2027-02-01T00:00:00Z"} {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			panic(err)
		}
		all = append(all, t)
	}
	return all
}

var (
	diffTestImages = []string{"r.example.com/shop/*", "r.example.com/shop/web", "r.example.com/**", "nginx", "docker.io/library/nginx:latest", "r.example.com/shop/web:v1", "**", "**:latest",
		"**/web", "r.example.com/shop/*@*", "**@*"}
	diffTestHosts = []string{"/data/*", "/data/a", "/**"}
	diffTestNames = []string{"a.example.com", "*.example.com", "**.example.com", "A.example.com."}
)

// judgesSigners says whether Judge knows all conditions on images. If not, random policies have none but the first.
var judgesSigners = func() bool {
	p := &schema.Policy{Workloads: []schema.Workload{{Name: "w", Match: schema.Match{Namespace: "shop"},
		Closures: []schema.Closure{{Plane: schema.PlaneImage, Mode: schema.ModeEnforce, Verbs: []schema.Verb{schema.VerbSigned}}},
		Rules:    []schema.Rule{{Plane: schema.PlaneImage, Verb: schema.VerbSigned, Object: "ci"}}}}}
	e := schema.Event{Subject: schema.Subject{Namespace: "shop"}, Verb: schema.VerbRun, Object: "nginx", SignedBy: schema.Names{"ci"}}
	return schema.Judge(p, e, time.Time{}).Action == schema.ActionAllow
}()

func (r diffRandom) rule(p schema.Plane) schema.Rule {
	a := schema.Rule{Plane: p, Why: diffPick(r, "", "a reason")}
	path := func() string { return diffRandomPattern(r.Rand) }
	switch p {
	case schema.PlaneExec:
		a.Verb, a.Object = schema.VerbExec, path()
		for range r.IntN(3) {
			a.Parents = append(a.Parents, path())
		}
		slices.Sort(a.Parents)
	case schema.PlaneFile:
		a.Verb, a.Object = diffPick(r, schema.VerbRead, schema.VerbWrite), path()
	case schema.PlaneCapability:
		a.Verb, a.Object = schema.VerbUse, diffPick(r, "CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN")
	case schema.PlaneEgress, schema.PlaneIngress:
		a.Verb = map[schema.Plane]schema.Verb{schema.PlaneEgress: schema.VerbConnect, schema.PlaneIngress: schema.VerbAccept}[p]
		a.Object, a.Peer = diffPick(r, "one", "two", "three"), r.peer()
		r.layer7(&a)
	case schema.PlaneImage:
		a.Verb = diffPick(r, schema.VerbRun, schema.VerbRun, schema.VerbSigned, schema.VerbPass)
		if !judgesSigners {
			a.Verb = schema.VerbRun
		}
		a.Object = diffPick(r, map[schema.Verb][]string{schema.VerbRun: diffTestImages, schema.VerbSigned: {"ci", "dev"}, schema.VerbPass: {"strict", "loose"}}[a.Verb]...)
	case schema.PlanePod:
		a.Verb = schema.VerbSet
		f := diffPick(r, diffTestFields...)
		a.Object, a.Values = string(f.field), r.some(f.values)
	}
	return a
}

var diffTestFields = []struct {
	field  schema.PodField
	values []string
}{
	{schema.PodHostNetwork, []string{"true", "false"}}, {schema.PodDropCapabilities, []string{"ALL", "NET_RAW", "KILL"}},
	{schema.PodAddCapabilities, []string{"NET_RAW", "KILL"}}, {schema.PodHostPaths, diffTestHosts}, {schema.PodSysctls, []string{"kernel.*", "kernel.a", "*"}},
	{schema.PodServiceAccount, []string{"default", "d*", "other"}},
}

func (r diffRandom) some(from []string) []string {
	out := []string{}
	for _, s := range from {
		if r.IntN(2) == 0 {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

func (r diffRandom) peer() *schema.Peer {
	p := &schema.Peer{Port: diffPick(r, "443", "400-500", "*", "https", "80"), Protocol: diffPick(r, "tcp", "tcp", "udp")}
	switch r.IntN(5) {
	case 0:
		m := diffRandomMatch(r.Rand)
		p.Workload, p.Match = diffPick(r, "w0", "w1"), &m
	case 1:
		p.Namespace = diffPick(r, "shop", "bank")
	case 2:
		p.Namespaces = &schema.Selector{Labels: map[string]string{"team": diffPick(r, "a", "b")}}
	case 3:
		p.CIDR = diffPick(r, "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "0.0.0.0/0", "::/0")
	case 4:
		p.DNS = diffPick(r, diffTestNames...)
	}
	return p
}

func (r diffRandom) layer7(a *schema.Rule) {
	switch r.IntN(6) {
	case 0, 1:
		for range 1 + r.IntN(2) {
			h := schema.HTTPRule{Method: diffPick(r, "GET", "POST", "*"), Path: diffPick(r, "/a", "/a/", "/a/*", "/a/**", "/**", "/**/b", "/*")}
			if r.IntN(3) == 0 {
				h.Host = diffPick(r, diffTestNames...)
			}
			a.HTTP = append(a.HTTP, h)
		}
	case 2:
		a.GRPC = []string{diffPick(r, "a.S/M", "a.S/*", "a.T/M")}
	case 3:
		a.TLS = []string{diffPick(r, "**", "a.example.com", "*.example.com")}
	}
}

// forbidden is a rule of a bound or a patch.
func (r diffRandom) forbidden(p schema.Plane) schema.Rule {
	a := r.rule(p)
	a.Parents, a.HTTP, a.GRPC, a.TLS = nil, nil, nil, nil
	switch p {
	case schema.PlaneFile:
		a.Verb = schema.VerbAccess
	case schema.PlaneImage:
		a.Verb, a.Object = schema.VerbRun, diffPick(r, diffTestImages...)
	case schema.PlaneEgress, schema.PlaneIngress:
		if r.IntN(4) == 0 {
			a.Peer = &schema.Peer{Port: diffPick(r, "", "443")}
		} else if r.IntN(3) == 0 {
			a.Peer.Protocol = ""
		}
	}
	return a
}

func (r diffRandom) bound(name string) schema.Bound {
	b := schema.Bound{Name: name, ID: schema.NewRuleID("bound", name, "require")}
	if r.IntN(2) == 0 {
		b.Match = diffRandomMatch(r.Rand)
	}
	b.Mode, b.Then, b.After = r.mode()
	b.Require.Workload = r.IntN(4) == 0
	for range r.IntN(3) {
		b.Never = append(b.Never, r.forbidden(diffPick(r, schema.Planes...)))
	}
	b.Never = diffSettled(b.Never)
	return b
}

func (r diffRandom) exception(name string) schema.Exception {
	x := schema.Exception{Name: name, Findings: schema.Names{"CVE-2027-1"}, Images: r.some(diffTestImages), Expires: r.date()}
	for range r.IntN(3) {
		x.Patch = append(x.Patch, r.forbidden(diffPick(r, schema.Planes[:5]...)))
	}
	x.Patch = diffSettled(x.Patch)
	return x
}

func diffSettled(rules []schema.Rule) []schema.Rule {
	w := schema.Workload{Rules: rules}
	diffSettle(&w)
	return w.Rules
}

// changed returns a copy of a policy with one thing changed.
func (r diffRandom) changed(p *schema.Policy) *schema.Policy {
	data, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	q := &schema.Policy{}
	if err := json.Unmarshal(data, q); err != nil {
		panic(err)
	}
	switch n := r.IntN(10); {
	case n < 6:
		r.changeWorkload(q, r.IntN(len(q.Workloads)))
	case n < 8 && len(q.Bounds) > 0:
		r.changeBound(q, r.IntN(len(q.Bounds)))
	case n < 8:
		q.Bounds = append(q.Bounds, r.bound("b9"))
	case len(q.Exceptions) > 0:
		r.changeException(q, r.IntN(len(q.Exceptions)))
	default:
		q.Exceptions = append(q.Exceptions, r.exception("x9"))
	}
	return q
}

func (r diffRandom) changeWorkload(p *schema.Policy, i int) {
	w := &p.Workloads[i]
	switch r.IntN(9) {
	case 0:
		p.Workloads = slices.Delete(p.Workloads, i, i+1)
	case 1:
		p.Workloads = append(p.Workloads, r.workload("w9"))
	case 2:
		w.Match = diffRandomMatch(r.Rand)
	case 3:
		w.Name = "renamed"
		diffSettle(w)
	case 4:
		if len(w.Closures) > 0 {
			c := &w.Closures[r.IntN(len(w.Closures))]
			c.Mode, c.Then, c.After = r.mode()
		}
	case 5: // a plane anew, or no more, or now
		plane := diffPick(r, schema.Planes...)
		w.Closures = slices.DeleteFunc(w.Closures, func(c schema.Closure) bool { return c.Plane == plane })
		w.Rules = slices.DeleteFunc(w.Rules, func(a schema.Rule) bool { return a.Plane == plane })
		if r.IntN(3) > 0 {
			r.close(w, plane)
		}
	default:
		r.changeRules(w)
	}
}

func (r diffRandom) changeRules(w *schema.Workload) {
	if len(w.Closures) == 0 {
		return
	}
	c := &w.Closures[r.IntN(len(w.Closures))]
	for i := range w.Rules {
		if a := &w.Rules[i]; a.Plane == c.Plane && r.IntN(2) == 0 {
			b := r.rule(c.Plane)
			switch r.IntN(3) {
			case 0:
				b.Verb, b.Object = a.Verb, a.Object // the key stays
				*a = b
			case 1:
				*a = b
			default:
				w.Rules = slices.Delete(w.Rules, i, i+1)
			}
			break
		}
	}
	if r.IntN(2) == 0 {
		w.Rules = append(w.Rules, r.rule(c.Plane))
	}
	if c.Plane == schema.PlaneImage {
		c.Verbs = nil
		for _, a := range w.Rules {
			if a.Plane == schema.PlaneImage && !slices.Contains(c.Verbs, a.Verb) {
				c.Verbs = append(c.Verbs, a.Verb)
			}
		}
		slices.Sort(c.Verbs)
	}
	diffSettle(w)
}

func (r diffRandom) changeBound(p *schema.Policy, i int) {
	b := &p.Bounds[i]
	switch r.IntN(7) {
	case 0:
		p.Bounds = slices.Delete(p.Bounds, i, i+1)
	case 1:
		p.Bounds = append(p.Bounds, r.bound("b9"))
	case 2:
		b.Match = diffRandomMatch(r.Rand)
	case 3:
		b.Mode, b.Then, b.After = r.mode()
	case 4:
		b.Require.Workload = !b.Require.Workload
	default:
		other := r.bound("b9")
		if r.IntN(2) == 0 {
			other.Never = append(other.Never, b.Never...)
		}
		b.Never = diffSettled(other.Never)
	}
}

func (r diffRandom) changeException(p *schema.Policy, i int) {
	x := &p.Exceptions[i]
	other := r.exception("x9")
	switch r.IntN(5) {
	case 0:
		p.Exceptions = slices.Delete(p.Exceptions, i, i+1)
	case 1:
		p.Exceptions = append(p.Exceptions, other)
	case 2:
		x.Images = other.Images
	case 3:
		x.Expires = other.Expires
	case 4:
		x.Patch = diffSettled(append(other.Patch, x.Patch...))
	}
}

var diffVerbs = []schema.Verb{schema.VerbExec, schema.VerbRead, schema.VerbWrite, schema.VerbUse, schema.VerbConnect, schema.VerbRequest,
	schema.VerbAccept, schema.VerbServe, schema.VerbRun, schema.VerbSet}

func (r diffRandom) event() schema.Event {
	e := schema.Event{Subject: diffRandomSubject(r.Rand), Verb: diffPick(r, diffVerbs...)}
	path := func() schema.Path {
		return schema.Path(strings.Repeat("/"+diffPick(r, "a", "b", "ab", "ba"), 1+r.IntN(2)) + "/" + diffPick(r, "a", "b", "aab", "c"))
	}
	switch e.Verb.Plane() {
	case schema.PlaneExec, schema.PlaneFile:
		e.Object, e.Parent = path(), path()
		if r.IntN(3) == 0 {
			e.Parent = ""
		}
		if r.IntN(8) == 0 {
			e.Origin = diffPick(r, schema.OriginMemfd, schema.OriginDeleted, schema.OriginUnknown)
		}
	case schema.PlaneCapability:
		e.Object = diffPick[schema.Path](r, "CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN")
	case schema.PlaneEgress, schema.PlaneIngress:
		e.Flow = r.flow(e.Verb)
	case schema.PlaneImage:
		e.Object = diffPick[schema.Path](r, "r.example.com/shop/web:v1", "r.example.com/shop/web", "r.example.com/x/y/z", "nginx", "NOT ONE")
		e.SignedBy, e.Passes = r.some([]string{"ci", "dev"}), r.some([]string{"strict", "loose"})
	case schema.PlanePod:
		e.Set = map[schema.PodField]schema.Names{}
		for _, f := range diffTestFields {
			values := f.values
			if f.field == schema.PodHostPaths {
				values = []string{"/data", "/data/a", "/data/b/", "/"}
			}
			if r.IntN(3) > 0 {
				e.Set[f.field] = r.some(values)
			}
		}
	}
	return e
}

func (r diffRandom) flow(v schema.Verb) *schema.Flow {
	f := &schema.Flow{Port: diffPick(r, 443, 80, 450), PortName: diffPick(r, "", "https"), Protocol: diffPick(r, "tcp", "tcp", "udp"), Unknown: r.IntN(6) == 0}
	f.Address = netip.MustParseAddr(diffPick(r, "10.1.2.3", "10.1.9.9", "10.9.9.9", "192.0.2.1", "2001:db8::1"))
	if r.IntN(2) == 0 {
		f.Peer = diffRandomSubject(r.Rand)
	}
	f.Names = r.some([]string{"a.example.com", "b.example.com", "x.a.example.com"})
	if v == schema.VerbConnect || v == schema.VerbAccept {
		return f
	}
	switch r.IntN(4) {
	case 0, 1:
		f.HTTP = &schema.Request{Method: diffPick(r, "GET", "POST"), Path: diffPick(r, "/", "/a", "/a/", "/a/b", "/a/b/", "/b"), Host: diffPick(r, "a.example.com", "c.test", "")}
	case 2:
		f.GRPC = diffPick(r, "a.S/M", "a.S/N", "a.T/M")
	case 3:
		f.Secure, f.TLS = true, diffPick(r, "", "a.example.com", "b.example.com")
	}
	return f
}

var diffTestActions = []schema.Action{schema.ActionAllow, schema.ActionLearn, schema.ActionAudit, schema.ActionDeny}

// TestDiffTellsWhatWidens holds Diff against Judge: what head lets happen and base did not is told as widened, at the workload that it
// happens to or at a bound or an exception; and what differs at all is told. Planes that Judge takes for open never differ.
func TestDiffTellsWhatWidens(t *testing.T) {
	rounds, differed := 1500, map[schema.Plane]int{}
	if testing.Short() {
		rounds = 300
	}
	for seed := range uint64(rounds) {
		r := diffRandom{rand.New(rand.NewPCG(seed, 7))}
		base := r.policy()
		head := r.changed(base)
		if seed%4 == 0 && len(head.Workloads) > 0 {
			head = r.changed(head)
		}
		d := Diff(base, head)
		for range 80 {
			e := r.event()
			for _, at := range diffTestInstants() {
				vb, vh := schema.Judge(base, e, at), schema.Judge(head, e, at)
				b, h := slices.Index(diffTestActions, vb.Action), slices.Index(diffTestActions, vh.Action)
				if b == h {
					continue
				}
				differed[e.Verb.Plane()]++
				if missing := diffUntold(d, e.Verb.Plane(), vb, vh, h < b); missing != "" {
					t.Fatalf("seed %d at %s: %s\nevent %s\nbase  %s, %s\nhead  %s, %s\nchanges %s", seed, at, missing, diffJSON(e), vb.Action, diffJSON(base),
						vh.Action, diffJSON(head), diffJSON(d.Changes))
				}
			}
		}
	}
	if differed[schema.PlaneExec] == 0 || differed[schema.PlaneImage] == 0 {
		t.Errorf("events that differ, by plane: %v", differed)
	}
	t.Logf("events that differ, by plane: %v", differed)
}

// diffUntold says which change a difference lacks, or "".
func diffUntold(d *Difference, plane schema.Plane, base, head schema.Verdict, weaker bool) string {
	names := slices.Concat(base.Workloads, head.Workloads)
	for _, c := range d.Changes {
		concerns := c.Plane == "" || c.Plane == plane
		switch c.Kind {
		case "workload":
			concerns = concerns && slices.Contains(names, c.Name)
		case "bound", "exception":
		default:
			concerns = false
		}
		if concerns && (c.Effect == EffectWidened || !weaker && c.Effect == EffectNarrowed) {
			return ""
		}
	}
	if weaker {
		return "nothing that concerns it is widened"
	}
	return "nothing that concerns it is narrowed"
}

// TestDiffOfTheSame holds that lines, files, IDs and the order of equal things do not count.
func TestDiffOfTheSame(t *testing.T) {
	for seed := range uint64(200) {
		r := diffRandom{rand.New(rand.NewPCG(seed, 8))}
		base := r.policy()
		data, err := json.Marshal(base)
		if err != nil {
			t.Fatal(err)
		}
		head := &schema.Policy{}
		if err := json.Unmarshal(data, head); err != nil {
			t.Fatal(err)
		}
		for i := range head.Workloads {
			w := &head.Workloads[i]
			w.Pos = []schema.Pos{{File: "elsewhere.cue", Line: 7, Col: 1}}
			for j := range w.Rules {
				w.Rules[j].Pos = w.Pos
			}
		}
		slices.Reverse(head.Workloads)
		slices.Reverse(head.Bounds)
		if d := Diff(base, head); len(d.Changes) > 0 {
			t.Fatalf("seed %d: %s", seed, diffJSON(d.Changes))
		}
	}
}

// TestDiffIsDeterministic holds that the order of maps does not show.
func TestDiffIsDeterministic(t *testing.T) {
	for seed := range uint64(100) {
		r := diffRandom{rand.New(rand.NewPCG(seed, 9))}
		base, head := r.policy(), r.policy()
		want := diffJSON(Diff(base, head))
		for range 3 {
			if got := diffJSON(Diff(base, head)); got != want {
				t.Fatalf("seed %d: %s\nand %s", seed, got, want)
			}
		}
	}
}
