// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

// plainPatterns and plainReferences are patterns and references that are written as they are compared, or nearly.
var plainPatterns = []string{"r.example.com/a", "r.example.com/a:v1", "r.example.com/b/**", "r.example.com/*", "r.example.com/**", "docker.io/*", "docker.io/**",
	"docker.io/library/a", "docker.io/b/*", "**/a", "**/b:v1", "r.example.com:5000/**", "localhost/*", "a", "b/a", "r.example.com/*/a", "r.example.com/a@*", "r.example.com/**:v1"}

var plainReferences = []string{"r.example.com/a", "r.example.com/a:v1", "r.example.com/a:v2", "r.example.com/a@" + digest, "r.example.com/a:v1@" + digest,
	"r.example.com/ab:v1", "r.example.com/b/a:v1", "r.example.com/b/c/a", "r.example.com:5000/a", "docker.io/a:v1", "docker.io/library/a", "docker.io/b/a:v1",
	"index.docker.io/a", "localhost/a:v1", "a", "a:v1", "b/a", "R.example.com/a", "r.example.com/A", "r.example.com//a", "r.example.com/a:", "r.example.com/a:v1:v2", ""}

// plainPolicy is one of few workloads that all select the same Pods.
func (g vapGenerator) plainPolicy() *schema.Policy {
	p := &schema.Policy{}
	match := func() schema.Match {
		m := schema.Match{Namespace: g.pick("shop", "shop", "shop", "")}
		if g.IntN(4) > 0 {
			m.Labels = map[string]string{"app": "a"}
		}
		if g.IntN(8) == 0 {
			m.Container = "c*"
		}
		return m
	}
	patterns := func() []string {
		if g.IntN(2) == 0 {
			return plainPatterns
		}
		return g.several(plainPatterns, 5)
	}
	for i := range 1 + g.IntN(2) {
		w := g.workload(fmt.Sprint("w", i))
		w.Match, w.Rules = match(), nil
		for _, pattern := range patterns() {
			w.Rules = append(w.Rules, schema.Rule{ID: schema.NewRuleID("rule", w.Name, "image", "run", pattern), Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: pattern})
		}
		if _, ok := w.Closure(schema.PlaneImage); !ok {
			w.Rules = nil
		}
		if _, ok := w.Closure(schema.PlanePod); ok {
			w.Profile = g.pick("restricted", "restricted", "baseline", "")
			if w.Profile != "" {
				w.Rules = append(w.Rules, profileRules(&w)...)
			} else {
				w.Rules = append(w.Rules, g.podRules(&w)...)
			}
		}
		slices.SortFunc(w.Rules, schema.CompareRules)
		p.Workloads = append(p.Workloads, w)
	}
	if g.IntN(3) == 0 {
		b := g.bound("b")
		b.Match = match()
		b.Never = slices.DeleteFunc(b.Never, func(r schema.Rule) bool { return r.Plane == schema.PlaneImage })
		for _, pattern := range g.several(plainPatterns, 2) {
			b.Never = append(b.Never, schema.Rule{ID: schema.NewRuleID("bound", "b", "never", pattern), Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: pattern})
		}
		p.Bounds = []schema.Bound{b}
	}
	if g.IntN(6) == 0 {
		x := g.exception("x")
		x.Images = patterns()
		p.Exceptions = []schema.Exception{x}
	}
	return p
}

// plainPod is one that the profile restricted allows, with a few things of Pods made by chance.
func (g vapGenerator) plainPod() object {
	some := func(into, from object, n int) {
		for _, key := range slices.Sorted(maps.Keys(from)) {
			if g.IntN(n) == 0 {
				into[key] = from[key]
			}
		}
	}
	container := func(name string) object {
		security := object{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": object{"drop": []any{"ALL"}}}
		c := object{"name": name, "image": g.pick(plainReferences...)}
		chance := g.container(name)
		if s, ok := chance["securityContext"].(object); ok {
			some(security, s, 6)
		}
		delete(chance, "securityContext")
		delete(chance, "image")
		some(c, chance, 4)
		c["securityContext"] = security
		return c
	}
	security := object{"runAsNonRoot": true, "seccompProfile": object{"type": "RuntimeDefault"}}
	spec := object{"automountServiceAccountToken": false, "serviceAccountName": "shop-a", "containers": []any{container("c0")}}
	if g.IntN(3) == 0 {
		spec["initContainers"] = []any{container("d")}
	}
	chance := g.podObject()
	random := chance["spec"].(object)
	if s, ok := random["securityContext"].(object); ok {
		some(security, s, 6)
	}
	spec["securityContext"] = security
	for _, key := range []string{"containers", "initContainers", "ephemeralContainers", "securityContext"} {
		delete(random, key)
	}
	some(spec, random, 5)
	metadata := object{"name": "x", "namespace": "shop", "labels": object{"app": "a"}}
	if g.IntN(8) == 0 {
		some(metadata, chance["metadata"].(object), 1)
	}
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
}

// TestVAPPlain compares with Judge what the policy's conditions let through, of which Pods made by chance have little.
func TestVAPPlain(t *testing.T) { runVAPPlain(t, 3, 200, 20) }

func runVAPPlain(t *testing.T, seed uint64, rounds, pods int) {
	t.Helper()
	g := vapGenerator{generator{rand.New(rand.NewPCG(seed, 0))}}
	s := newServer("")
	allowed, asked, denied := 0, 0, 0
	for range rounds {
		p := g.plainPolicy()
		s.apply(t, objectsOf(t, p, time.Time{}))
		p = decided(p, time.Time{})
		for range pods {
			before := s.asked
			found := compareVAP(t, s, p, g.plainPod())
			switch {
			case len(found) > 0:
				denied++
			case s.asked > before:
				asked++
			default:
				allowed++
			}
		}
	}
	t.Logf("%d plainly allowed, %d allowed, %d not", allowed, asked, denied)
	if allowed < 2*asked || allowed < rounds*pods/6 || denied < allowed {
		t.Errorf("%d plainly allowed, %d allowed, %d not; want more of the first than of the second, and many of the third", allowed, asked, denied)
	}
}

// TestVAPPlainBudget holds that what the condition may look at does not exceed its limit, which would deny.
func TestVAPPlainBudget(t *testing.T) {
	p := &schema.Policy{}
	for i := range 16 {
		w := enforced()
		w.Name, w.Match.Labels, w.Profile = fmt.Sprint("w", i), nil, "restricted"
		for k := range 64 {
			w.Rules = append(w.Rules, schema.Rule{ID: schema.NewRuleID("rule", w.Name, fmt.Sprint(k)), Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: fmt.Sprintf("registry.example.com/team-%02d/service", k)})
		}
		for _, r := range schema.ProfileRules("restricted") {
			r.ID, r.Pos = schema.NewRuleID("rule", w.Name, "pod", "set", "profile/"+r.Object), []schema.Pos{{File: "shop/web.cue", Line: 4, Col: 1}}
			w.Rules = append(w.Rules, r)
		}
		p.Workloads = append(p.Workloads, w)
	}
	s := newServer("")
	s.apply(t, objectsOf(t, p, time.Time{}))
	for _, c := range []struct {
		containers, labels int
		plain              bool
	}{{16, 30, true}, {17, 30, false}, {16, 31, false}} {
		before, pod := s.asked, bigPod(c.containers, c.labels)
		for _, one := range pod["spec"].(object)["containers"].([]any) {
			one.(object)["image"] = "registry.example.com/team-63/service:v1"
		}
		if got := s.ask(t, vapRequest{namespace: "shop", object: pod}); len(got) > 0 || (s.asked == before) != c.plain {
			t.Errorf("%d containers, %d labels: %.500v; want it allowed, plainly = %v", c.containers, c.labels, got, c.plain)
		}
	}
}
