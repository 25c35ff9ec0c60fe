// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

// manyWorkloads returns workloads with images and a profile, the nth in namespace n%namespaces; why makes their text long.
func manyWorkloads(t testing.TB, n, namespaces int, namespace string) []Workload {
	t.Helper()
	var all []Workload
	for i := range n {
		name := fmt.Sprintf("w%05d", i)
		w := schema.Workload{Name: name, Owner: "team", Match: schema.Match{Namespace: namespace, Labels: map[string]string{"app": name}}, Profile: "restricted"}
		if namespaces > 0 {
			w.Match.Namespace = fmt.Sprint("ns", i%namespaces)
		}
		for _, plane := range []schema.Plane{schema.PlaneImage, schema.PlanePod} {
			w.Closures = append(w.Closures, schema.Closure{ID: schema.NewRuleID("closure", name, string(plane)), Plane: plane, Mode: schema.ModeEnforce})
		}
		w.Rules = append(w.Rules, schema.Rule{ID: schema.NewRuleID("rule", name, "image", "run", "a/**"), Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: "a/**"})
		for _, r := range schema.ProfileRules(w.Profile) {
			r.ID = schema.NewRuleID("rule", name, "pod", "set", "profile/"+r.Object)
			w.Rules = append(w.Rules, r)
		}
		made, err := Make(&w, time.Time{}, false)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Workload{Name: name, Match: w.Match, Made: made})
	}
	return all
}

func objectsOf(t testing.TB, in Input) map[string][]string {
	t.Helper()
	in.Config.By = schema.AdmissionGatekeeper // the layout is that of its constraints
	objects, err := Objects(in)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, o := range objects {
		if all[o.Name] != nil {
			t.Fatalf("two objects are called %s", o.Name)
		}
		all[o.Name] = o.From
	}
	return all
}

// TestProfileIsNamed holds that what a profile brings is not stated, and that what only looks like it is.
func TestProfileIsNamed(t *testing.T) {
	w := manyWorkloads(t, 1, 1, "")[0]
	if text := string(w.Gatekeeper[0].Text); len(text) > 250 || !strings.Contains(text, `"p":{"p":"restricted"}`) {
		t.Errorf("got %s", text)
	}
	odd := &schema.Workload{Name: "w", Match: schema.Match{Namespace: "a"}, Profile: "baseline", Closures: []schema.Closure{{Plane: schema.PlanePod}},
		Rules: []schema.Rule{{ID: schema.NewRuleID("rule", "w", "pod", "set", "profile/hostPID"), Plane: schema.PlanePod, Verb: schema.VerbSet, Object: "hostPID", Values: []string{"true"}}}}
	made, err := Make(odd, time.Time{}, false)
	if err != nil || !strings.Contains(string(made.Gatekeeper[0].Text), `"f":"hostPID","v":["true"]`) || strings.Contains(string(made.Gatekeeper[0].Text), "baseline") {
		t.Errorf("got %s, %v", made.Gatekeeper[0].Text, err)
	}
}

// TestStable holds that one workload more changes few objects.
func TestStable(t *testing.T) {
	p := &schema.Policy{}
	before := objectsOf(t, Input{Workloads: manyWorkloads(t, 4000, 200, ""), Policy: p})
	after := objectsOf(t, Input{Workloads: manyWorkloads(t, 4001, 200, ""), Policy: p})
	changed := 0
	for name, from := range after {
		if !slices.Equal(before[name], from) {
			changed++
		}
	}
	if changed != 1 || len(after) < 4 || len(after) != len(before) {
		t.Errorf("%d of %d objects changed; want 1 of some", changed, len(after))
	}
}

// TestCopied holds where what is in force in every namespace stands, and that a namespace of many has objects of its own.
func TestCopied(t *testing.T) {
	small := append(manyWorkloads(t, 40, 4, ""), manyWorkloads(t, 3, 0, "")...)
	got := objectsOf(t, Input{Workloads: small, Policy: &schema.Policy{}})
	if len(got) != 3 || got["writ-pod-deny-rest"] == nil || !slices.Contains(got["writ-pod-deny-shared-1-0"], "*") {
		t.Errorf("small: %v", got)
	}
	big := append(manyWorkloads(t, 40, 4, ""), manyWorkloads(t, 1200, 0, "")...)
	got = objectsOf(t, Input{Workloads: big, Policy: &schema.Policy{}})
	if got["writ-pod-deny-rest"] != nil || slices.Contains(got["writ-pod-deny-shared-1-0"], "*") || got["writ-pod-deny-any-1-0"] == nil {
		t.Errorf("big: %v", slices.Collect(func(yield func(string) bool) {
			for name := range got {
				yield(name)
			}
		}))
	}
	demand := &schema.Policy{Bounds: []schema.Bound{{Name: "b", Mode: schema.ModeAudit, Require: schema.Require{Workload: true}}}}
	got = objectsOf(t, Input{Workloads: big, Policy: demand})
	if !slices.Contains(got["writ-pod-warn-shared-1-0"], "ns0") || got["writ-pod-warn-rest"] == nil {
		t.Errorf("a demand: %v", got["writ-pod-warn-shared-1-0"])
	}
	got = objectsOf(t, Input{Workloads: manyWorkloads(t, 200, 1, ""), Policy: &schema.Policy{}})
	if len(got) != 2 || got["writpod"] == nil {
		t.Errorf("many: %d objects", len(got))
	}
}

// BenchmarkLink lays out 10,000 workloads whose parts are made.
func BenchmarkLink(b *testing.B) {
	in := Input{Workloads: manyWorkloads(b, 10_000, 500, ""), Policy: &schema.Policy{Bounds: []schema.Bound{{Name: "b", Mode: schema.ModeEnforce, Require: schema.Require{Workload: true}}}}}
	for b.Loop() {
		if _, err := Objects(in); err != nil {
			b.Fatal(err)
		}
	}
}
