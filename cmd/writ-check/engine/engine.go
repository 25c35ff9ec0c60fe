// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package engine is Gatekeeper's own admission engine, in process: its target handler, which decides what a constraint matches, and its Rego
// driver. It answers as Gatekeeper's webhook does in a cluster that has the same templates and constraints, and nothing else.
package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/open-policy-agent/frameworks/constraint/pkg/apis/templates/v1"
	constraintclient "github.com/open-policy-agent/frameworks/constraint/pkg/client"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/drivers/rego"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/reviews"
	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/util"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/writ-sec/writ/cmd/checkwire"
)

// enforcementPoint is that of Gatekeeper's webhook.
const enforcementPoint = util.WebhookEnforcementPoint

// Engine judges objects by the templates and constraints that are loaded. Load is called before Review; Review may be called concurrently.
type Engine struct {
	client *constraintclient.Client
	scheme *runtime.Scheme
}

// New returns an engine without policy.
func New() (*Engine, error) {
	driver, err := rego.New()
	if err != nil {
		return nil, err
	}
	client, err := constraintclient.NewClient(constraintclient.Targets(&target.K8sValidationTarget{}), constraintclient.Driver(driver),
		constraintclient.EnforcementPoints(enforcementPoint))
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return &Engine{client, scheme}, nil
}

// Load puts a ConstraintTemplate or a constraint in force, given as JSON. A constraint comes after its template.
func (e *Engine) Load(ctx context.Context, data []byte) *checkwire.Refused {
	var u unstructured.Unstructured
	if err := json.Unmarshal(data, &u.Object); err != nil {
		return &checkwire.Refused{Error: err.Error()}
	}
	refused := &checkwire.Refused{Kind: u.GetKind(), Name: u.GetName()}
	var err error
	if u.GroupVersionKind().GroupKind() == (schema.GroupKind{Group: "templates.gatekeeper.sh", Kind: "ConstraintTemplate"}) {
		err = e.loadTemplate(ctx, data)
	} else {
		_, err = e.client.AddConstraint(ctx, &u)
	}
	if err != nil {
		refused.Error = err.Error()
		return refused
	}
	return nil
}

func (e *Engine) loadTemplate(ctx context.Context, data []byte) error {
	var versioned v1.ConstraintTemplate
	if err := json.Unmarshal(data, &versioned); err != nil {
		return err
	}
	var internal templates.ConstraintTemplate
	if err := e.scheme.Convert(&versioned, &internal, nil); err != nil {
		return err
	}
	_, err := e.client.AddTemplate(ctx, &internal)
	return err
}

// Review returns what the constraints say when an object is created in a namespace, in the order of the engine. The namespace has no labels but
// its name.
func (e *Engine) Review(ctx context.Context, r checkwire.Review) ([]checkwire.Violation, error) {
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(r.Object, &head); err != nil {
		return nil, err
	}
	kind := head.GroupVersionKind()
	responses, err := e.client.Review(ctx, target.AugmentedReview{
		AdmissionRequest: &admissionv1.AdmissionRequest{
			UID: types.UID(fmt.Sprint("check-", r.ID)), Operation: admissionv1.Create, Namespace: r.Namespace, Name: head.Metadata.Name,
			Kind:   metav1.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind},
			Object: runtime.RawExtension{Raw: r.Object},
		},
		Namespace:   &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.Namespace, Labels: map[string]string{corev1.LabelMetadataName: r.Namespace}}},
		IsAdmission: true,
	}, reviews.EnforcementPoint(enforcementPoint))
	if err != nil {
		return nil, err
	}
	var all []checkwire.Violation
	for _, result := range responses.Results() {
		v := checkwire.Violation{Constraint: strings.TrimPrefix(result.Constraint.GetKind()+"/"+result.Constraint.GetName(), "/"),
			Action: result.EnforcementAction, Msg: result.Msg}
		v.Details, _ = result.Metadata["details"].(map[string]any)
		all = append(all, v)
	}
	return all, nil
}
