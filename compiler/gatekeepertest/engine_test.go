// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"context"
	"encoding/json"
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
	"github.com/open-policy-agent/gatekeeper/v3/pkg/util"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/compiler/admission"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
	"github.com/writ-sec/writ/schema/manifest"
)

const enforcementPoint = util.WebhookEnforcementPoint

// enforcementPoints are all at which Gatekeeper asks its engine.
var enforcementPoints = []string{util.WebhookEnforcementPoint, util.AuditEnforcementPoint, util.GatorEnforcementPoint}

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
		constraintclient.EnforcementPoints(enforcementPoints...))
	if err != nil {
		t.Fatal(err)
	}
	return &engine{Client: c}
}

// load puts the admission objects of a bundle in force, and nothing else.
func (e *engine) load(t testing.TB, b *bundle.Bundle) {
	t.Helper()
	var files [][]byte
	for _, f := range b.Manifest.Files {
		if !strings.HasPrefix(f.Path, bundle.AdmissionDir+"/") || !strings.HasSuffix(f.Path, ".yaml") {
			continue
		}
		data, err := b.Open(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, data)
	}
	e.loadFiles(t, files)
}

// loadPolicy puts a lowered policy in force, as the compiler does.
func (e *engine) loadPolicy(t testing.TB, p *schema.Policy, at time.Time) {
	t.Helper()
	in := admission.Input{Policy: p, At: at}
	for i := range p.Workloads {
		made, err := admission.Make(&p.Workloads[i], at, false)
		if err != nil {
			t.Fatal(err)
		}
		in.Workloads = append(in.Workloads, admission.Workload{Name: p.Workloads[i].Name, Match: p.Workloads[i].Match, Made: made})
	}
	objects, err := admission.Objects(in)
	if err != nil {
		t.Fatal(err)
	}
	var files [][]byte
	for _, o := range objects {
		data, err := o.Encode()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, data)
	}
	e.loadFiles(t, files)
}

func (e *engine) loadFiles(t testing.TB, files [][]byte) {
	t.Helper()
	ctx := t.Context()
	for _, c := range e.constraints {
		if _, err := e.RemoveConstraint(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	e.constraints = nil
	for _, data := range files {
		u := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(data, &u.Object); err != nil {
			t.Fatalf("%v:\n%s", err, data)
		}
		switch u.GetKind() {
		case "ConstraintTemplate":
			e.loadTemplate(ctx, t, string(data))
		case "WritPod":
			e.constraints = append(e.constraints, u)
		}
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
	a := target.AugmentedReview{AdmissionRequest: r, IsAdmission: true}
	if r.Namespace != "" {
		a.Namespace = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.Namespace}}
	}
	responses, err := e.Review(t.Context(), a, reviews.EnforcementPoint(enforcementPoint))
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Object.Raw)
	}
	return responses.Results()
}

type object = map[string]any

// request asks about an object as it comes over the wire.
func request(t testing.TB, op admissionv1.Operation, namespace string, o, old object) *admissionv1.AdmissionRequest {
	t.Helper()
	kind := manifest.KindOf(o)
	r := &admissionv1.AdmissionRequest{Operation: op, Namespace: namespace, Name: "p",
		Kind: metav1.GroupVersionKind{Group: kind.Group, Version: "v1", Kind: kind.Kind}}
	var err error
	if r.Object.Raw, err = json.Marshal(o); err != nil {
		t.Fatal(err)
	}
	if old != nil {
		if r.OldObject.Raw, err = json.Marshal(old); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func compile(t testing.TB, source string) *compiler.Result {
	t.Helper()
	return compileAt(t, source, time.Time{})
}

// compileAt decides dated modes at an instant; the zero Time takes the stricter side.
func compileAt(t testing.TB, source string, at time.Time) *compiler.Result {
	t.Helper()
	res, err := tryCompile(t, source, at)
	if err != nil {
		t.Fatalf("%v\n%s", err, source)
	}
	return res
}

func tryCompile(t testing.TB, source string, at time.Time) (*compiler.Result, error) {
	return compiler.New(compiler.Config{At: at}).Compile(t.Context(),
		compiler.Tree{Files: []compiler.File{{Path: "writ.cue", Data: []byte(source)}}}, bundle.Envelope{})
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
