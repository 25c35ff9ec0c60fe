// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// enforced is a workload whose egress and ingress are enforced.
func enforced(m schema.Match, rules ...schema.Rule) *schema.Workload {
	w := &schema.Workload{Name: "web", Match: m, Rules: rules}
	for _, p := range []schema.Plane{schema.PlaneEgress, schema.PlaneIngress} {
		w.Closures = append(w.Closures, schema.Closure{ID: schema.NewRuleID("closure", "web", string(p)), Plane: p, Mode: schema.ModeEnforce})
	}
	for i := range w.Rules {
		r := &w.Rules[i]
		r.Object = fmt.Sprintf("r%04d", i)
		r.ID = schema.NewRuleID("rule", "web", string(r.Plane), string(r.Verb), r.Object)
	}
	return w
}

var inShop = schema.Match{Namespace: "shop", Labels: map[string]string{"app": "web"}}

// TestDigest holds that an object is annotated with the digest of what it is without the annotation, in both ways of writing it.
func TestDigest(t *testing.T) {
	plain := Object{Name: "x", body: func() object { return object{"metadata": metadata("x"), "zeros": strings.Repeat("0", 64)} }}
	for _, o := range []Object{plain, NetworkObject(enforced(inShop), SideEgress, false, false)} {
		data, err := o.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var body map[string]any
		if err := yaml.Unmarshal(data, &body); err != nil {
			t.Fatal(err)
		}
		annotations := body["metadata"].(map[string]any)["annotations"].(map[string]any)
		got := annotations[digestAnnotation]
		delete(annotations, digestAnnotation)
		if len(annotations) == 0 {
			delete(body["metadata"].(map[string]any), "annotations")
		}
		without, err := yaml.Marshal(body)
		if o.Stage == StageNetwork {
			without, err = appendYAML(nil, typed(body), 0)[1:], nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if got != bundle.Sum(without) {
			t.Errorf("got digest %v, want %s of\n%s", got, bundle.Sum(without), without)
		}
	}
}

// typed gives what YAML was read into the types that objects are made of.
func typed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		o := object{}
		for k, x := range v {
			o[k] = typed(x)
		}
		return o
	case []any:
		texts, objects := []string{}, []object{}
		for _, x := range v {
			switch x := typed(x).(type) {
			case string:
				texts = append(texts, x)
			case object:
				objects = append(objects, x)
			}
		}
		if len(texts) > 0 {
			return texts
		}
		return objects
	}
	return v
}

// TestYAML holds that what is written is read back as it was, by a library.
func TestYAML(t *testing.T) {
	texts := []string{"", "a", "yes", "No", "null", "~", "1", "1e5", "0x1f", "true", "a: b", "- a", "#", "a #b", "'", "\"", "\\.", "::/0", "10.0.0.0/8", "k8s:app", " a", "a\n", "é", "**.example.com",
		"2027-01-01", ".5", "_", "-", "/a", "0123456789", "12345e67", "{}", "[", "!a", "&a", "*a", "|", ">", "%", "@", "`"}
	want := object{"texts": texts, "none": object{}, "no": []object{}, "list": []object{{"a": 1, "b": object{"c": "d"}}, {}, {"x": []string{"y"}}, {"e": []object{{"f": object{}}}}}, "n": 65535}
	for _, s := range texts {
		want["key "+s], want[s+"k"] = s, object{s: s}
	}
	data := appendYAML(nil, want, 0)[1:]
	var got map[string]any
	if err := yaml.Unmarshal(data, &got); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if !reflect.DeepEqual(typed(got), want) {
		t.Errorf("got %#v, want %#v of\n%s", typed(got), want, data)
	}
}

// TestRuleIDs bounds the annotation that lists rules.
func TestRuleIDs(t *testing.T) {
	var rules []schema.Rule
	for range 4000 {
		rules = append(rules, schema.Rule{Plane: schema.PlaneEgress, Verb: schema.VerbConnect, Peer: &schema.Peer{CIDR: "10.0.0.0/8", Port: "1", Protocol: "tcp"}})
	}
	w := enforced(inShop, rules...)
	if ids := ruleIDs(w, SideEgress); len(ids) != len("sha256:")+64 {
		t.Errorf("got %d bytes for 4001 IDs, want a digest", len(ids))
	}
	w.Rules = w.Rules[:3000]
	if ids := ruleIDs(w, SideEgress); strings.Count(ids, ",") != 3000 || len(ids) > maxRuleIDs || !strings.Contains(ids, w.Rules[7].ID.String()) {
		t.Errorf("got %d bytes for 3001 IDs, want each of them", len(ids))
	}
	if ids := ruleIDs(w, SideIngress); ids != w.Closures[1].ID.String() {
		t.Errorf("got %q for ingress without rules, want the closure", ids)
	}
}

// TestWhyNone holds for which workloads there is a policy, and why there is none for others.
func TestWhyNone(t *testing.T) {
	before := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	dated := schema.Closure{Mode: schema.ModeAudit, Then: schema.ModeEnforce, After: "2027-01-15"}
	for _, c := range []struct {
		what    string
		match   schema.Match
		closure schema.Closure
		at      time.Time
		want    Note
		changes bool
	}{
		{"enforced", inShop, schema.Closure{Mode: schema.ModeEnforce}, time.Time{}, 0, false},
		{"every Pod of a namespace", schema.Match{Namespace: "shop"}, schema.Closure{Mode: schema.ModeEnforce}, time.Time{}, 0, false},
		{"audit", inShop, schema.Closure{Mode: schema.ModeAudit}, time.Time{}, WhyMode, false},
		{"learn", inShop, schema.Closure{Mode: schema.ModeLearn}, before, WhyMode, false},
		{"dated, no instant", inShop, dated, time.Time{}, WhyDated, true},
		{"dated, before", inShop, dated, before, WhyMode, true},
		{"dated, after", inShop, dated, before.AddDate(0, 1, 0), 0, true},
		{"until a date, no instant", inShop, schema.Closure{Mode: schema.ModeEnforce, Then: schema.ModeLearn, After: "2027-01-15"}, time.Time{}, WhyDated, true},
		{"both sides enforce", inShop, schema.Closure{Mode: schema.ModeEnforce, Then: schema.ModeEnforce, After: "2027-01-15"}, time.Time{}, 0, false},
		{"container", schema.Match{Namespace: "shop", Container: "app"}, schema.Closure{Mode: schema.ModeEnforce}, before, WhyContainer, false},
		{"cgroup", schema.Match{Namespace: "shop", Cgroup: "/a"}, schema.Closure{Mode: schema.ModeEnforce}, before, WhyHost, false},
		{"host", schema.Match{Host: true}, schema.Closure{Mode: schema.ModeEnforce}, before, WhyHost, false},
		{"no namespace", schema.Match{Labels: map[string]string{"app": "web"}}, schema.Closure{Mode: schema.ModeEnforce}, before, WhyNamespace, false},
		{"nothing", schema.Match{Namespace: "shop", Expressions: map[string]schema.Expression{"app": {In: schema.Names{}}}},
			schema.Closure{Mode: schema.ModeEnforce}, before, WhyNothing, false},
	} {
		c.closure.Plane = schema.PlaneEgress
		n, err := makeNetwork(&schema.Workload{Name: "web", Match: c.match, Closures: []schema.Closure{c.closure}}, c.at, false)
		if err != nil {
			t.Fatal(err)
		}
		side, ok := n.Side(SideEgress)
		if !ok || side.Why != c.want || (c.want == 0) != (len(n.Forms) == 1) || (len(n.Dates) > 0) != c.changes {
			t.Errorf("%s: got %q, %d forms, dates %v; want %q", c.what, side.Why, len(n.Forms), n.Dates, c.want)
		}
	}
}

// TestLarge holds that no policy is made that the API server would not take.
func TestLarge(t *testing.T) {
	var rules []schema.Rule
	for i := range 12000 {
		rules = append(rules, schema.Rule{Plane: schema.PlaneIngress, Verb: schema.VerbAccept,
			Peer: &schema.Peer{CIDR: fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), Port: "443", Protocol: "tcp"}})
	}
	n, err := makeNetwork(enforced(inShop, rules...), time.Time{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if side, _ := n.Side(SideIngress); side.Why != WhyLarge {
		t.Errorf("got %q for 12,000 peers, want %q", side.Why, WhyLarge)
	}
	if side, _ := n.Side(SideEgress); side.Why != 0 {
		t.Errorf("got %q for egress, which has no rules; want a policy of its own", side.Why)
	}
	if f, ok := n.Form(SideEgress, false); !ok || f.Size > 2000 {
		t.Errorf("got form %v of %d bytes, want a small one for egress", ok, f.Size)
	}
}

// TestNotes says of every note what it is.
func TestNotes(t *testing.T) {
	for n := range Note(64) {
		known := n >= WhyMode && n <= WhyOverlap || n >= WiderName && n <= WiderShared
		if known != (n.String() != "") {
			t.Errorf("note %d reads %q", n, n)
		}
	}
}

func BenchmarkNetwork(b *testing.B) {
	var rules []schema.Rule
	for i := range 11 {
		plane, verb := schema.PlaneEgress, schema.VerbConnect
		if i >= 8 {
			plane, verb = schema.PlaneIngress, schema.VerbAccept
		}
		rules = append(rules, schema.Rule{Plane: plane, Verb: verb,
			Peer: &schema.Peer{Workload: "x", Match: &schema.Match{Namespace: "bank", Labels: map[string]string{"app": fmt.Sprint("x", i)}}, Port: "443", Protocol: "tcp"}})
	}
	w := enforced(inShop, rules...)
	for b.Loop() {
		if _, err := makeNetwork(w, time.Time{}, false); err != nil {
			b.Fatal(err)
		}
	}
}
