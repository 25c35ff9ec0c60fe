// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"context"
	"encoding/json"
	"fmt"
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

// policyOf lowers a result.
func policyOf(t testing.TB, res *compiler.Result) *schema.Policy {
	t.Helper()
	p, err := res.Policy()
	if err != nil {
		t.Fatal(err)
	}
	return p
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
		data, err := b.Open(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(data, &u.Object); err != nil {
			t.Fatalf("%s: %v", f.Path, err)
		}
		if u.GetKind() == "ConstraintTemplate" {
			e.loadTemplate(ctx, t, string(data))
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
	return compileAt(t, source, time.Time{})
}

// compileAt decides dated modes at an instant; the zero Time takes the stricter side.
func compileAt(t testing.TB, source string, at time.Time) *compiler.Result {
	t.Helper()
	res, err := compiler.New(compiler.Config{At: at}).Compile(t.Context(),
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

// judged is what the reference says of a Pod at an instant: each workload alone, because each is a condition, and then all together.
func judged(p *schema.Policy, pod *corev1.Pod, at time.Time) (all []finding, strictest map[string]schema.Action) {
	strictest = map[string]schema.Action{}
	for name, image := range imagesOf(pod) {
		e := schema.Event{Subject: schema.Subject{Namespace: pod.Namespace, Labels: pod.Labels, Container: name}, Verb: schema.VerbRun, Object: schema.Path(image)}
		for i := range p.Workloads {
			one := &schema.Policy{Workloads: p.Workloads[i : i+1]}
			if v := strictestOf(one, e, at); v.Action != schema.ActionAllow {
				all = append(all, finding{name, p.Workloads[i].Name, v.Rule, v.Action, v.Reason})
			}
		}
		strictest[name] = strictestOf(p, e, at).Action
	}
	return sorted(all), strictest
}

// strictestOf is the verdict at an instant or, of the zero Time, the strictest that there will ever be.
func strictestOf(p *schema.Policy, e schema.Event, at time.Time) schema.Verdict {
	v := schema.Judge(p, e, at)
	if at.IsZero() {
		if later := schema.Judge(p, e, afterAll); rank[later.Action] > rank[v.Action] {
			return later
		}
	}
	return v
}

func imagesOf(pod *corev1.Pod) map[string]string {
	images := map[string]string{}
	for _, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		images[c.Name] = c.Image
	}
	for _, c := range pod.Spec.EphemeralContainers {
		images[c.Name] = c.Image
	}
	return images
}

var rank = map[schema.Action]int{schema.ActionAllow: 0, schema.ActionLearn: 1, schema.ActionAudit: 2, schema.ActionDeny: 3}

// compare holds the engine's answer against the reference at the instant for which the policy is compiled.
func compare(t *testing.T, e *engine, p *schema.Policy, pod *corev1.Pod, at time.Time) (violations int) {
	t.Helper()
	got := found(t, e.review(t, request(t, admissionv1.Create, pod, nil)))
	want, strictest := judged(p, pod, at)
	if !slices.Equal(got, want) {
		t.Fatalf("pod %s %v %v %v %v at %v\n got %v\nwant %v", pod.Namespace, pod.Labels, pod.Spec.Containers, pod.Spec.InitContainers,
			pod.Spec.EphemeralContainers, at, got, want)
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
	return len(want)
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
		compare(t, e, policyOf(t, res), newPod("shop", map[string]string{"a": "b"}, ref), time.Time{})
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
	"no JSON":                   "[{",
	"empty":                     "",
	"two values":                "[] []",
	"null":                      "null",
	"object":                    "{}",
	"object of workloads":       `{"w": {"n": "w", "c": "c", "l": {}}}`,
	"string":                    `"shop"`,
	"number":                    "1",
	"not a workload":            "[1]",
	"null for a workload":       "[null]",
	"workload of nothing":       "[{}]",
	"no name":                   `[{"c": "c", "l": {}}]`,
	"no closure":                `[{"n": "w", "l": {}}]`,
	"no labels":                 `[{"n": "w", "c": "c"}]`,
	"null labels":               `[{"n": "w", "c": "c", "l": null}]`,
	"labels in a list":          `[{"n": "w", "c": "c", "l": ["a"]}]`,
	"a label that is number":    `[{"n": "w", "c": "c", "l": {"a": 1}}]`,
	"no conditions":             `[{"n": "w", "c": "c", "l": {}, "x": null}]`,
	"conditions in a list":      `[{"n": "w", "c": "c", "l": {}, "x": []}]`,
	"null for a condition":      `[{"n": "w", "c": "c", "l": {}, "x": {"a": null}}]`,
	"values that are a string":  `[{"n": "w", "c": "c", "l": {}, "x": {"a": {"in": "b"}}}]`,
	"null for values":           `[{"n": "w", "c": "c", "l": {}, "x": {"a": {"notIn": null}}}]`,
	"a value that is a number":  `[{"n": "w", "c": "c", "l": {}, "x": {"a": {"in": [1]}}}]`,
	"exists in words":           `[{"n": "w", "c": "c", "l": {}, "x": {"a": {"exists": "true"}}}]`,
	"null for exists":           `[{"n": "w", "c": "c", "l": {}, "x": {"a": {"exists": null}}}]`,
	"an unknown condition":      `[{"n": "w", "c": "c", "l": {}, "x": {"a": {"greater": ["1"]}}}]`,
	"null for a pattern":        `[{"n": "w", "c": "c", "l": {}, "k": null}]`,
	"a pattern that is a list":  `[{"n": "w", "c": "c", "l": {}, "k": ["^a$"]}]`,
	"a pattern that is not RE2": `[{"n": "w", "c": "c", "l": {}, "k": "^("}]`,
	"a pattern that is false":   `[{"n": "w", "c": "c", "l": {}, "k": false}]`,
	"the second is damaged":     `[{"n": "w", "c": "c", "l": {"a": "b"}}, {}]`,
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
