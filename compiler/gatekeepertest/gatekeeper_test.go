// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/apis/templates/v1"
	constraintclient "github.com/open-policy-agent/frameworks/constraint/pkg/client"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/drivers/rego"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/reviews"
	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	"github.com/open-policy-agent/frameworks/constraint/pkg/types"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

const enforcementPoint = "webhook.gatekeeper.sh"

// engine is Gatekeeper's own, in process: its target handler and Rego driver.
type engine struct {
	*constraintclient.Client
	constraints []*unstructured.Unstructured
	template    string
}

func newEngine(t testing.TB) *engine {
	t.Helper()
	driver, err := rego.New()
	if err != nil {
		t.Fatal(err)
	}
	c, err := constraintclient.NewClient(constraintclient.Targets(&target.K8sValidationTarget{}), constraintclient.Driver(driver),
		constraintclient.EnforcementPoints(enforcementPoint))
	if err != nil {
		t.Fatal(err)
	}
	return &engine{Client: c}
}

// load puts the admission objects of a bundle in force, and nothing else.
func (e *engine) load(t testing.TB, b *bundle.Bundle) {
	t.Helper()
	ctx := t.Context()
	for _, c := range e.constraints {
		if _, err := e.RemoveConstraint(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	e.constraints = nil
	for _, f := range b.Manifest.Files { // the constraints sort before the template
		if !strings.HasPrefix(f.Path, bundle.AdmissionDir+"/") {
			continue
		}
		u := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(b.Files[f.Path], &u.Object); err != nil {
			t.Fatalf("%s: %v", f.Path, err)
		}
		if u.GetKind() == "ConstraintTemplate" {
			e.loadTemplate(ctx, t, string(b.Files[f.Path]))
			continue
		}
		e.constraints = append(e.constraints, u)
	}
	for _, c := range e.constraints {
		if _, err := e.AddConstraint(ctx, c); err != nil {
			t.Fatalf("constraint %s: %v", c.GetName(), err)
		}
	}
}

func (e *engine) loadTemplate(ctx context.Context, t testing.TB, text string) {
	t.Helper()
	if e.template == text {
		return
	}
	if e.template != "" {
		t.Fatal("the template changes with the policy")
	}
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var versioned v1.ConstraintTemplate
	if err := yaml.UnmarshalStrict([]byte(text), &versioned); err != nil {
		t.Fatal(err)
	}
	var internal templates.ConstraintTemplate
	if err := scheme.Convert(&versioned, &internal, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := e.AddTemplate(ctx, &internal); err != nil {
		t.Fatalf("template: %v", err)
	}
	e.template = text
}

// review asks the engine about an admission request.
func (e *engine) review(t testing.TB, r *admissionv1.AdmissionRequest) []*types.Result {
	t.Helper()
	responses, err := e.Review(t.Context(), target.AugmentedReview{
		AdmissionRequest: r, IsAdmission: true,
		Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.Namespace}},
	}, reviews.EnforcementPoint(enforcementPoint))
	if err != nil {
		t.Fatal(err)
	}
	return responses.Results()
}

func request(t testing.TB, op admissionv1.Operation, pod, old *corev1.Pod) *admissionv1.AdmissionRequest {
	t.Helper()
	r := &admissionv1.AdmissionRequest{Operation: op, Namespace: pod.Namespace, Name: pod.Name,
		Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}}
	var err error
	if r.Object.Raw, err = json.Marshal(pod); err != nil {
		t.Fatal(err)
	}
	if old != nil {
		if r.OldObject.Raw, err = json.Marshal(old); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func newPod(namespace string, labels map[string]string, images ...string) *corev1.Pod {
	p := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: namespace, Labels: labels}}
	for i, image := range images {
		c := corev1.Container{Name: fmt.Sprint("c", i), Image: image}
		switch i % 3 {
		case 0:
			p.Spec.Containers = append(p.Spec.Containers, c)
		case 1:
			p.Spec.InitContainers = append(p.Spec.InitContainers, c)
		case 2:
			p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers,
				corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: c.Name, Image: c.Image}})
		}
	}
	return p
}

func compile(t testing.TB, source string) *compiler.Result {
	t.Helper()
	res, err := compiler.New(compiler.Config{}).Compile(t.Context(),
		compiler.Tree{Files: []compiler.File{{Path: "writ.cue", Data: []byte(source)}}}, bundle.Envelope{})
	if err != nil {
		t.Fatalf("%v\n%s", err, source)
	}
	return res
}

// finding is one violation in a form that both sides can state.
type finding struct {
	container, workload string
	closure             schema.RuleID
	action              schema.Action
	reason              schema.Reason
}

func (f finding) String() string {
	return fmt.Sprintf("%s %s %s %s %s", f.container, f.workload, f.closure, f.action, f.reason)
}

var actions = map[string]schema.Action{"deny": schema.ActionDeny, "warn": schema.ActionAudit, "dryrun": schema.ActionLearn}

func found(t testing.TB, results []*types.Result) []finding {
	t.Helper()
	var fs []finding
	for _, r := range results {
		details, _ := r.Metadata["details"].(map[string]any)
		f := finding{action: actions[r.EnforcementAction]}
		f.container, _ = details["container"].(string)
		f.workload, _ = details["workload"].(string)
		reason, _ := details["reason"].(string)
		f.reason = schema.Reason(reason)
		rule, _ := details["rule"].(string)
		if err := f.closure.UnmarshalText([]byte(rule)); err != nil {
			t.Fatalf("%s: %v", r.Msg, err)
		}
		if !strings.Contains(r.Msg, f.workload) || !strings.Contains(r.Msg, rule) || !strings.Contains(r.Msg, f.container) {
			t.Fatalf("message %q does not name workload %s, rule %s and container %s", r.Msg, f.workload, rule, f.container)
		}
		fs = append(fs, f)
	}
	return sorted(fs)
}

func sorted(fs []finding) []finding {
	slices.SortFunc(fs, func(a, b finding) int { return strings.Compare(a.String(), b.String()) })
	return fs
}

// judged is what the reference says of a Pod: each workload alone, because each is a condition, and then all together.
func judged(t testing.TB, p *schema.Policy, pod *corev1.Pod) (all []finding, strictest map[string]schema.Action) {
	strictest = map[string]schema.Action{}
	images := map[string]string{}
	for _, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		images[c.Name] = c.Image
	}
	for _, c := range pod.Spec.EphemeralContainers {
		images[c.Name] = c.Image
	}
	for name, image := range images {
		e := schema.Event{Subject: schema.Subject{Namespace: pod.Namespace, Labels: pod.Labels}, Verb: schema.VerbRun, Object: schema.Path(image)}
		for i := range p.Workloads {
			one := &schema.Policy{Workloads: p.Workloads[i : i+1]}
			if v := schema.Judge(one, e, time.Time{}); v.Action != schema.ActionAllow {
				all = append(all, finding{name, p.Workloads[i].Name, v.Rule, v.Action, v.Reason})
			}
		}
		strictest[name] = schema.Judge(p, e, time.Time{}).Action
	}
	return sorted(all), strictest
}

var rank = map[schema.Action]int{schema.ActionAllow: 0, schema.ActionLearn: 1, schema.ActionAudit: 2, schema.ActionDeny: 3}

// compare holds the engine's answer against the reference.
func compare(t *testing.T, e *engine, p *schema.Policy, pod *corev1.Pod) {
	t.Helper()
	got := found(t, e.review(t, request(t, admissionv1.Create, pod, nil)))
	want, strictest := judged(t, p, pod)
	if !slices.Equal(got, want) {
		t.Fatalf("pod %s %v %v %v %v\n got %v\nwant %v", pod.Namespace, pod.Labels, pod.Spec.Containers, pod.Spec.InitContainers, pod.Spec.EphemeralContainers, got, want)
	}
	most := map[string]schema.Action{}
	for _, f := range got {
		if rank[f.action] > rank[most[f.container]] {
			most[f.container] = f.action
		}
	}
	for name, action := range strictest {
		if m := most[name]; m == "" && action != schema.ActionAllow || m != "" && m != action {
			t.Fatalf("container %s: engine %q, Judge %q", name, m, action)
		}
	}
}

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// references is the table of schema's TestParseImage, and what else is at the edges.
var references = []string{"nginx", "nginx:1.27", "team/app", "docker.io/nginx", "index.docker.io/nginx", "Docker.IO/nginx", "INDEX.docker.io/a/b",
	"Registry.Example.com/a/b", "registry.example.com:5000/a", "localhost/a", "localhost:5000/a:t", "[::1]:5000/a", "a@" + digest, "a:t@" + digest,
	"a/b__c/d--e.f", "", "Nginx", "a//b", "a/", "/a", "a:", "a:b:c", "a:t/", "a@sha256:12", "a@", "a b", "a/../b", "a*", "A/b", "a/B",
	"docker.io/library/nginx:latest", "docker.io/", "docker.io", "registry.example.com", "x@y@z", "a:t@" + digest + "@", "ä/b", "a:ä", "K/a", "a.b/ſ",
	"a@sha512:" + strings.Repeat("0", 128), "localhost", "local.host:/a", "x:999999/a", "a/b:" + strings.Repeat("t", 129), strings.Repeat("a", 600),
	strings.Repeat("a", 512), "registry.example.com/" + strings.Repeat("ä", 250), "\x00", "a\n", "a:t\n", "a/\n", "nginx\n@" + digest, " nginx", "nginx ", "::", "@", "/", ":", ".", "..", "a/.", "-/a", "a-/b", "a.-b/c"}

func TestReferences(t *testing.T) {
	e := newEngine(t)
	res := compile(t, `package policy
workload: none: {match: namespace: "shop", mode: "enforce", image: from: {}}
workload: some: {match: {namespace: "shop", labels: a: "b"}, shared: true, mode: "audit", image: from: {
	"nginx": {}, "docker.io/a/**": {}, "registry.example.com/**": {}, "registry.example.com:5000/*": {}, "localhost/a:latest": {}, "a:t@`+digest+`": {}}}
workload: none: shared: true
`)
	e.load(t, res.Bundle)
	for _, ref := range references {
		compare(t, e, res.Policy, newPod("shop", map[string]string{"a": "b"}, ref))
	}
}

// TestOperations holds what admission adds to the verdict: deletion is never denied, and a Pod that is being deleted stays updatable.
func TestOperations(t *testing.T) {
	e := newEngine(t)
	res := compile(t, `package policy
workload: none: {match: namespace: "shop", mode: "enforce", image: from: "good": {}}
`)
	e.load(t, res.Bundle)
	bad := newPod("shop", nil, "bad")
	leaving := newPod("shop", nil, "bad")
	now := metav1.NewTime(time.Unix(1_800_000_000, 0))
	leaving.DeletionTimestamp = &now
	swapped := leaving.DeepCopy()
	swapped.Spec.Containers[0].Image = "worse"
	noImage := newPod("shop", nil, "")
	for name, c := range map[string]struct {
		r      *admissionv1.AdmissionRequest
		denied bool
	}{
		"create":                      {request(t, admissionv1.Create, bad, nil), true},
		"update":                      {request(t, admissionv1.Update, bad, bad), true},
		"delete":                      {request(t, admissionv1.Delete, bad, bad), false},
		"update while deleting":       {request(t, admissionv1.Update, leaving, bad), false},
		"other image while deleting":  {request(t, admissionv1.Update, swapped, leaving), true},
		"another namespace":           {request(t, admissionv1.Create, newPod("web", nil, "bad"), nil), false},
		"good":                        {request(t, admissionv1.Create, newPod("shop", nil, "good"), nil), false},
		"no image":                    {request(t, admissionv1.Create, noImage, nil), true},
		"good, with a bad init image": {request(t, admissionv1.Create, newPod("shop", nil, "good", "bad"), nil), true},
		"good, with a bad ephemeral":  {request(t, admissionv1.Create, newPod("shop", nil, "good", "good", "bad"), nil), true},
	} {
		if got := len(e.review(t, c.r)) > 0; got != c.denied {
			t.Errorf("%s: denied = %v; want %v", name, got, c.denied)
		}
	}
}

// damagedSections are values of a section that no compiler writes. With each of them, nothing could be said of the namespace's Pods.
var damagedSections = map[string]any{
	"no JSON":                "[{",
	"empty":                  "",
	"two values":             "[] []",
	"null":                   "null",
	"object":                 "{}",
	"object of workloads":    `{"w": {"n": "w", "c": "c", "l": {}}}`,
	"string":                 `"shop"`,
	"number":                 "1",
	"not a workload":         "[1]",
	"null for a workload":    "[null]",
	"workload of nothing":    "[{}]",
	"no name":                `[{"c": "c", "l": {}}]`,
	"no closure":             `[{"n": "w", "l": {}}]`,
	"no labels":              `[{"n": "w", "c": "c"}]`,
	"null labels":            `[{"n": "w", "c": "c", "l": null}]`,
	"labels in a list":       `[{"n": "w", "c": "c", "l": ["a"]}]`,
	"a label that is number": `[{"n": "w", "c": "c", "l": {"a": 1}}]`,
	"the second is damaged":  `[{"n": "w", "c": "c", "l": {"a": "b"}}, {}]`,
}

const oneWorkload = "package policy\nworkload: w: {match: namespace: \"shop\", mode: \"enforce\", image: from: good: {}}\n"

// TestDamagedSection denies when a section cannot be read, whatever the image, but never a deletion.
func TestDamagedSection(t *testing.T) {
	for name, text := range damagedSections {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			e.load(t, compile(t, oneWorkload).Bundle)
			c := e.constraints[0].DeepCopy()
			if err := unstructured.SetNestedField(c.Object, text, "spec", "parameters", "sections", "shop"); err != nil {
				t.Fatal(err)
			}
			if _, err := e.AddConstraint(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			pod := newPod("shop", nil, "good")
			results := e.review(t, request(t, admissionv1.Create, pod, nil))
			if len(results) != 1 || results[0].EnforcementAction != "deny" || !strings.Contains(results[0].Msg, `section "shop" cannot be read`) {
				t.Errorf("results %v; want one denial", results)
			}
			if results := e.review(t, request(t, admissionv1.Delete, pod, pod)); len(results) > 0 {
				t.Errorf("deletion: results %v; want none", results)
			}
		})
	}
}

// TestAudit judges objects that are already there, of which Gatekeeper's audit says no operation.
func TestAudit(t *testing.T) {
	e := newEngine(t)
	e.load(t, compile(t, oneWorkload).Bundle)
	for image, want := range map[string]int{"good": 0, "bad": 1} {
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(newPod("shop", nil, image))
		if err != nil {
			t.Fatal(err)
		}
		responses, err := e.Review(t.Context(), target.AugmentedUnstructured{Object: unstructured.Unstructured{Object: object},
			Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}, reviews.EnforcementPoint(enforcementPoint))
		if err != nil {
			t.Fatal(err)
		}
		if got := responses.Results(); len(got) != want {
			t.Errorf("image %s: results %v; want %d", image, got, want)
		}
	}
}

// generator makes policies and Pods from few names, so that they meet often.
type generator struct{ *rand.Rand }

func (g generator) pick(from ...string) string { return from[g.IntN(len(from))] }

func (g generator) reference(wild bool) string {
	segment := func() string {
		if wild && g.IntN(3) == 0 {
			return g.pick("*", "**", "p*", "*y", "a*b")
		}
		return g.pick("a", "b", "pay", "ab", "library", "a.b", "a__b")
	}
	s := g.pick("", "", "docker.io/", "index.docker.io/", "r.example.com/", "R.example.com/", "r.example.com:5000/", "localhost/")
	for i := range 1 + g.IntN(3) {
		if i > 0 {
			s += "/"
		}
		s += segment()
	}
	if g.IntN(3) == 0 {
		s += ":" + g.pick("latest", "v1", "v2")
	}
	if g.IntN(6) == 0 {
		s += "@" + g.pick(digest, strings.Replace(digest, "0", "1", 1))
	}
	if !wild && g.IntN(12) == 0 { // damage it
		at := g.IntN(len(s) + 1)
		s = s[:at] + g.pick("/", ":", "@", "A", ".", "-", "_", "*", "ä", " ", "\n") + s[at:]
	}
	return s
}

func (g generator) labels() map[string]string {
	m := map[string]string{}
	for range g.IntN(3) {
		m[g.pick("app", "tier", "example.com/x")] = g.pick("a", "b", "")
	}
	return m
}

func (g generator) policy(workloads int) string {
	var b strings.Builder
	b.WriteString("package policy\n")
	for i := range workloads {
		labels, namespace := g.labels(), g.pick("shop", "shop", "web", "")
		if len(labels) == 0 && namespace == "" {
			namespace = "shop"
		}
		match := map[string]any{"labels": labels}
		if namespace != "" {
			match["namespace"] = namespace
		}
		from := map[string]any{}
		for range g.IntN(6) {
			ref := g.reference(true)
			if _, err := schema.ParseImagePattern(ref); err == nil {
				from[ref] = struct{}{}
			}
		}
		w := map[string]any{"match": match, "shared": true, "mode": g.pick("learn", "audit", "enforce"), "image": map[string]any{"from": from}}
		if g.IntN(3) == 0 {
			w["owner"] = "team-a"
		}
		data, err := json.Marshal(w)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "workload: w%d: %s\n", i, data)
	}
	return b.String()
}

// TestGenerated compares the engine with Judge on at least 5,000 Pods of up to four containers.
func TestGenerated(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	e := newEngine(t)
	cases, denied := 0, 0
	for round := range 60 {
		workloads := 1 + g.IntN(12)
		if round%20 == 19 {
			workloads = 450 // namespaces of many workloads, which have a section for each label
		}
		res := compile(t, g.policy(workloads))
		e.load(t, res.Bundle)
		for range 90 {
			var images []string
			for range 1 + g.IntN(4) {
				images = append(images, g.reference(false))
			}
			if workloads > 100 {
				images = images[:1]
			}
			pod := newPod(g.pick("shop", "web", "other"), g.labels(), images...)
			compare(t, e, res.Policy, pod)
			cases++
			if want, _ := judged(t, res.Policy, pod); len(want) > 0 {
				denied++
			}
		}
	}
	t.Logf("%d cases, %d with a violation", cases, denied)
	if cases < 5000 || denied < cases/10 || denied > cases*95/100 {
		t.Errorf("%d cases, %d with a violation; want at least 5000, and both answers often", cases, denied)
	}
}
