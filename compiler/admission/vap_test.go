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
	"github.com/writ-sec/writ/schema/manifest"
)

// imageWorkload is one with a condition on images.
func imageWorkload(name, namespace string, mode schema.Mode) schema.Workload {
	return schema.Workload{Name: name, Match: schema.Match{Namespace: namespace, Labels: map[string]string{"app": name}},
		Closures: []schema.Closure{{ID: schema.NewRuleID("closure", name, "image"), Plane: schema.PlaneImage, Mode: mode}}}
}

// vapNames are the names of the objects that hold params and bindings, each with the namespaces that a binding is for.
func vapNames(t *testing.T, p *schema.Policy) []string {
	t.Helper()
	in := Input{Policy: p}
	for i := range p.Workloads {
		made, err := Make(&p.Workloads[i], time.Time{}, false)
		if err != nil {
			t.Fatal(err)
		}
		in.Workloads = append(in.Workloads, Workload{Name: p.Workloads[i].Name, Match: p.Workloads[i].Match, Made: made})
	}
	var names []string
	for _, o := range vap(in) {
		switch o.Stage {
		case StageRules:
			body := o.body()
			meta := body["metadata"].(object)
			names = append(names, fmt.Sprint(o.Name, ": ", meta["namespace"], "/", meta["name"]))
			if o.From == nil || slices.Equal(o.From, []string{""}) {
				t.Errorf("%s follows from nothing", o.Name)
			}
		case StageBindings:
			spec := o.body()["spec"].(object)
			name := fmt.Sprint(o.Name, ": ", spec["paramRef"].(object)["name"])
			if m, ok := spec["matchResources"].(object); ok {
				x := m["namespaceSelector"].(object)["matchExpressions"].([]object)[0]
				name += fmt.Sprint(" ", x["operator"], " ", x["values"])
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TestVAPLayout holds which objects there are, and for which namespaces.
func TestVAPLayout(t *testing.T) {
	bound := schema.Bound{Name: "b", Mode: schema.ModeAudit, Require: schema.Require{Workload: true}}
	for name, c := range map[string]struct {
		policy schema.Policy
		want   []string
	}{
		"nothing":             {schema.Policy{Workloads: []schema.Workload{{Name: "w", Match: schema.Match{Namespace: "shop"}}}}, nil},
		"what selects no Pod": {schema.Policy{Workloads: []schema.Workload{{Name: "w", Match: schema.Match{Cgroup: "/a"}, Closures: imageWorkload("w", "", schema.ModeEnforce).Closures}}}, nil},
		"a namespace": {schema.Policy{Workloads: []schema.Workload{imageWorkload("w", "shop", schema.ModeEnforce)}}, []string{
			"vap-binding-deny-update: writ-deny In [shop]", "vap-binding-deny: writ-deny In [shop]", "vap-rules-shop-deny: shop/writ-deny"}},
		"two actions": {schema.Policy{Workloads: []schema.Workload{imageWorkload("w", "shop", schema.ModeEnforce), imageWorkload("x", "web", schema.ModeLearn)}}, []string{
			"vap-binding-deny-update: writ-deny In [shop]", "vap-binding-deny: writ-deny In [shop]", "vap-binding-dryrun-update: writ-dryrun In [web]", "vap-binding-dryrun: writ-dryrun In [web]", "vap-rules-shop-deny: shop/writ-deny", "vap-rules-web-dryrun: web/writ-dryrun"}},
		"every namespace": {schema.Policy{Workloads: []schema.Workload{imageWorkload("w", "shop", schema.ModeEnforce), imageWorkload("x", "", schema.ModeEnforce)}}, []string{
			"vap-binding-deny-rest: writ-deny-rest NotIn [shop]", "vap-binding-deny-update: writ-deny In [shop]", "vap-binding-deny: writ-deny In [shop]", "vap-rest-deny: writ-system/writ-deny-rest", "vap-rules-shop-deny: shop/writ-deny"}},
		"a demand, which asks for all workloads": {schema.Policy{Workloads: []schema.Workload{{Name: "w", Match: schema.Match{Namespace: "shop"}}}, Bounds: []schema.Bound{bound}}, []string{
			"vap-binding-warn-rest: writ-warn-rest NotIn [shop]", "vap-binding-warn-update: writ-warn In [shop]", "vap-binding-warn: writ-warn In [shop]", "vap-rest-warn: writ-system/writ-warn-rest", "vap-rules-shop-warn: shop/writ-warn"}},
		"the namespace of the kind itself": {schema.Policy{Workloads: []schema.Workload{imageWorkload("w", "writ-system", schema.ModeEnforce), imageWorkload("x", "", schema.ModeEnforce)}}, []string{
			"vap-binding-deny-rest: writ-deny-rest NotIn [writ-system]", "vap-binding-deny-update: writ-deny In [writ-system]", "vap-binding-deny: writ-deny In [writ-system]", "vap-rest-deny: writ-system/writ-deny-rest",
			"vap-rules-writ-system-deny: writ-system/writ-deny"}},
	} {
		if got := vapNames(t, &c.policy); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}

// TestVAPManyWorkloads holds that a big namespace has several objects, and that what holds everywhere is not copied when it is big.
func TestVAPManyWorkloads(t *testing.T) {
	for namespace, want := range map[string][]string{
		"shop": {"vap-binding-deny-1-update: writ-deny-1 In [shop]", "vap-binding-deny-1: writ-deny-1 In [shop]", "vap-binding-deny-update: writ-deny In [other shop]", "vap-binding-deny: writ-deny In [other shop]", "vap-rules-other-deny: other/writ-deny",
			"vap-rules-shop-deny-1: shop/writ-deny-1", "vap-rules-shop-deny: shop/writ-deny"},
		"": {"vap-binding-deny-any-0: writ-deny-any-0", "vap-binding-deny-any-1: writ-deny-any-1", "vap-any-deny-0: writ-system/writ-deny-any-0",
			"vap-any-deny-1: writ-system/writ-deny-any-1", "vap-binding-deny-update: writ-deny In [other]", "vap-binding-deny: writ-deny In [other]", "vap-rules-other-deny: other/writ-deny"},
	} {
		p := &schema.Policy{Workloads: []schema.Workload{imageWorkload("other", "other", schema.ModeEnforce)}}
		for i := range 1000 {
			w := imageWorkload(fmt.Sprintf("w%04d", i), namespace, schema.ModeEnforce)
			w.Rules = []schema.Rule{{Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: "registry.example.com/" + strings.Repeat("team/", 95) + "app"}}
			p.Workloads = append(p.Workloads, w)
		}
		slices.Sort(want)
		if got := vapNames(t, p); !slices.Equal(got, want) {
			t.Errorf("namespace %q:\n got %q\nwant %q", namespace, got, want)
		}
	}
}

// TestVAPSkips pins what the language of the policy cannot express.
func TestVAPSkips(t *testing.T) {
	for _, c := range []struct {
		rule schema.Rule
		want string
	}{
		{schema.Rule{Plane: schema.PlaneImage, Verb: schema.VerbRun}, ""},
		{schema.Rule{Plane: schema.PlanePod, Verb: schema.VerbSet}, ""},
		{schema.Rule{Plane: schema.PlaneImage, Verb: schema.VerbSigned}, "it cannot verify signatures"},
		{schema.Rule{Plane: schema.PlaneImage, Verb: schema.VerbPass}, "it cannot read scan reports"},
		{schema.Rule{Plane: schema.PlaneExec, Verb: schema.VerbExec}, "it is not asked about at admission"},
	} {
		if got := vapSkips(&c.rule); got != c.want {
			t.Errorf("%s: %q; want %q", c.rule.Verb, got, c.want)
		}
	}
	for _, field := range celFields() {
		if fieldPlaces[schema.PodField(field)] == "" {
			t.Errorf("nothing says where %s is set", field)
		}
		if !slices.ContainsFunc(celExpressions(manifest.Builtin()), func(e celExpression) bool { return e.name == field }) {
			t.Errorf("no expression has the values of %s", field)
		}
	}
}

// TestFieldPlaces holds that the messages of Gatekeeper have the same words.
func TestFieldPlaces(t *testing.T) {
	for field, place := range fieldPlaces {
		if want := fmt.Sprintf("%q: %q,", field, place); !strings.Contains(podRego, want) {
			t.Errorf("pod.rego does not say %s", want)
		}
	}
}
