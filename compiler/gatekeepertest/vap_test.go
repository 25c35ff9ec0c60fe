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

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"

	writadmission "github.com/writ-sec/writ/compiler/admission"
)

// server judges as an API server does with what is applied to it: by its compiler of expressions, its environment and its limits of cost, with
// params that its validation of custom objects has seen.
type server struct {
	policies map[string]validating.Validator // by the policy's digest: it takes a while to compile
	version  string
	last     *admissionregistrationv1.ValidatingAdmissionPolicy
	made     map[string]string // what the policy and the kind that are here follow from, by name: to write them takes longer than to judge

	policy   *admissionregistrationv1.ValidatingAdmissionPolicy
	bindings []*admissionregistrationv1.ValidatingAdmissionPolicyBinding
	params   map[string]*unstructured.Unstructured // by namespace/name
	asked    int                                   // how often the conditions of the policy held

	crd        *apiextensions.CustomResourceDefinition
	structural *structural.Structural
	validation schemavalidation.SchemaValidator
}

// newServer is one of a version of Kubernetes, as far as expressions go; "" is the default.
func newServer(version string) *server {
	return &server{policies: map[string]validating.Validator{}, version: version, made: map[string]string{}}
}

// apply replaces everything.
func (s *server) apply(t testing.TB, objects []writadmission.Object) {
	t.Helper()
	s.policy, s.bindings, s.params = nil, nil, map[string]*unstructured.Unstructured{}
	var params []*unstructured.Unstructured
	for _, o := range objects {
		if !strings.HasPrefix(o.Name, "vap-") {
			continue
		}
		if o.Name == "vap-policy" || o.Name == "vap-crd" {
			from := strings.Join(o.From, "\x00")
			if s.made[o.Name] == from {
				if o.Name == "vap-policy" {
					s.policy = s.last
				}
				continue
			}
			s.made[o.Name] = from
		}
		data, err := o.Encode()
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(data, &u.Object); err != nil {
			t.Fatal(err)
		}
		switch u.GetKind() {
		case "ValidatingAdmissionPolicy":
			s.policy = decode(t, data, &admissionregistrationv1.ValidatingAdmissionPolicy{})
			s.last = s.policy
		case "ValidatingAdmissionPolicyBinding":
			s.bindings = append(s.bindings, decode(t, data, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}))
		case "CustomResourceDefinition":
			s.define(t, data)
		case "PodRules":
			params = append(params, u)
		}
	}
	for _, u := range params {
		s.params[u.GetNamespace()+"/"+u.GetName()] = s.stored(t, u)
	}
}

func decode[T any](t testing.TB, data []byte, into *T) *T {
	t.Helper()
	if err := yaml.UnmarshalStrict(data, into); err != nil {
		t.Fatal(err)
	}
	return into
}

// define checks the definition as an API server does when one is made.
func (s *server) define(t testing.TB, data []byte) {
	t.Helper()
	if s.crd != nil {
		return
	}
	v1 := decode(t, data, &apiextensionsv1.CustomResourceDefinition{})
	apiextensionsv1.SetDefaults_CustomResourceDefinition(v1)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&v1.Spec)
	s.crd = &apiextensions.CustomResourceDefinition{}
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(v1, s.crd, nil); err != nil {
		t.Fatal(err)
	}
	s.crd.Status.StoredVersions = []string{"v1alpha1"}
	if errs := crdvalidation.ValidateCustomResourceDefinition(t.Context(), s.crd); len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	validation := s.crd.Spec.Versions[0].Schema
	if validation == nil {
		validation = s.crd.Spec.Validation
	}
	var err error
	if s.structural, err = structural.NewStructural(validation.OpenAPIV3Schema); err != nil {
		t.Fatal(err)
	}
	if s.validation, _, err = schemavalidation.NewSchemaValidator(validation.OpenAPIV3Schema); err != nil {
		t.Fatal(err)
	}
}

// stored is an object after an API server's pruning, which must change nothing, and validation.
func (s *server) stored(t testing.TB, u *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	out := u.DeepCopy()
	if pruned := pruning.PruneWithOptions(out.Object, s.structural, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}); len(pruned) > 0 {
		t.Fatalf("pruned %v of %.1000v", pruned, u.Object)
	}
	if errs := schemavalidation.ValidateCustomResource(nil, out.Object, s.validation); len(errs) > 0 {
		t.Fatalf("%v: %.1000v", errs.ToAggregate(), u.Object)
	}
	return out
}

// validator compiles the policy. It does what compilePolicy in k8s.io/apiserver/pkg/admission/plugin/policy/validating/plugin.go does.
func (s *server) validator(t testing.TB) validating.Validator {
	t.Helper()
	text := s.policy.Annotations["writ-sec.github.io/digest"]
	if v := s.policies[text]; v != nil {
		return v
	}
	at := environment.DefaultCompatibilityVersion()
	if s.version != "" {
		at = version.MustParseGeneric(s.version)
	}
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(at))
	if err != nil {
		t.Fatal(err)
	}
	vars := cel.OptionalVariableDeclarations{HasParams: true, HasAuthorizer: true}
	for _, v := range s.policy.Spec.Variables {
		if r := compiler.CompileAndStoreVariable(&validating.Variable{Name: v.Name, Expression: v.Expression}, vars, environment.NewExpressions); r.Error != nil {
			t.Fatalf("variable %s: %.90s … %s", v.Name, r.Error, around(v.Expression, r.Error.Error()))
		}
	}
	var conditions, checks, messages []cel.ExpressionAccessor
	for i := range s.policy.Spec.MatchConditions {
		conditions = append(conditions, (*matchconditions.MatchCondition)(&s.policy.Spec.MatchConditions[i]))
	}
	for _, v := range s.policy.Spec.Validations {
		checks = append(checks, &validating.ValidationCondition{Expression: v.Expression, Message: v.Message, Reason: v.Reason})
		messages = append(messages, &validating.MessageExpressionCondition{MessageExpression: v.MessageExpression})
	}
	withoutAuthorizer := cel.OptionalVariableDeclarations{HasParams: true}
	for _, all := range [][]cel.ExpressionAccessor{conditions, checks, messages} {
		for _, e := range compiler.CompileCondition(all, vars, environment.NewExpressions).CompilationErrors() {
			t.Fatalf("%.400s", e)
		}
	}
	v := validating.NewValidator(
		compiler.CompileCondition(checks, vars, environment.StoredExpressions),
		matchconditions.NewMatcher(compiler.CompileCondition(conditions, vars, environment.StoredExpressions), s.policy.Spec.FailurePolicy, "policy", "validate", s.policy.Name),
		compiler.CompileCondition(nil, vars, environment.StoredExpressions),
		compiler.CompileCondition(messages, withoutAuthorizer, environment.StoredExpressions),
		s.policy.Spec.FailurePolicy, nil)
	s.policies[text] = v
	return v
}

// vapRequest is a request to the server.
type vapRequest struct {
	namespace   string
	object, old map[string]any // old: it is an update
	subresource string
}

// resources are those of the kinds that make Pods.
var resources = map[string]string{"Pod": "pods", "PodTemplate": "podtemplates", "ReplicationController": "replicationcontrollers", "Deployment": "deployments",
	"DaemonSet": "daemonsets", "StatefulSet": "statefulsets", "ReplicaSet": "replicasets", "Job": "jobs", "CronJob": "cronjobs", "Rollout": "rollouts"}

// builtin are new objects of the kinds of Kubernetes, which an API server decodes into its types.
var builtin = map[string]func() runtime.Object{
	"Pod": func() runtime.Object { return &corev1.Pod{} }, "PodTemplate": func() runtime.Object { return &corev1.PodTemplate{} },
	"ReplicationController": func() runtime.Object { return &corev1.ReplicationController{} },
	"Deployment":            func() runtime.Object { return &appsv1.Deployment{} }, "DaemonSet": func() runtime.Object { return &appsv1.DaemonSet{} },
	"StatefulSet": func() runtime.Object { return &appsv1.StatefulSet{} }, "ReplicaSet": func() runtime.Object { return &appsv1.ReplicaSet{} },
	"Job": func() runtime.Object { return &batchv1.Job{} }, "CronJob": func() runtime.Object { return &batchv1.CronJob{} },
}

// received is an object as an API server has it.
func received(t testing.TB, object map[string]any) (runtime.Object, schema.GroupVersionKind) {
	t.Helper()
	u := &unstructured.Unstructured{Object: object}
	gvk := u.GroupVersionKind()
	make := builtin[gvk.Kind]
	if make == nil {
		return u.DeepCopy(), gvk
	}
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	o := make()
	if err := json.Unmarshal(data, o); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return o, gvk
}

// answer is what a binding says.
type answer struct {
	binding string
	actions []admissionregistrationv1.ValidationAction
	message string
	failed  bool // an expression failed
}

// ask judges a request by each binding that holds for its namespace.
func (s *server) ask(t testing.TB, r vapRequest) []answer {
	t.Helper()
	if s.policy == nil {
		return nil
	}
	object, gvk := received(t, r.object)
	var old runtime.Object
	op := admission.Create
	if r.old != nil {
		old, _ = received(t, r.old)
		op = admission.Update
	}
	gvr := gvk.GroupVersion().WithResource(resources[gvk.Kind])
	attrs := admission.NewAttributesRecord(object, old, gvk, r.namespace, "x", gvr, r.subresource, op, &metav1.CreateOptions{}, false, nil)
	versioned := &admission.VersionedAttributes{Attributes: attrs, VersionedObject: object, VersionedOldObject: old, VersionedKind: gvk}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.namespace, Labels: map[string]string{"kubernetes.io/metadata.name": r.namespace}}}
	var answers []answer
	for _, b := range s.bindings {
		if !s.binds(t, b, namespace, attrs) {
			continue
		}
		from := b.Spec.ParamRef.Namespace
		if from == "" {
			from = r.namespace
		}
		param := s.params[from+"/"+b.Spec.ParamRef.Name]
		if param == nil {
			t.Fatalf("no params for binding %s in namespace %s: everything is denied", b.Name, r.namespace)
		}
		result := s.validator(t).Validate(context.Background(), gvr, versioned, param, namespace, celconfig.RuntimeCELCostBudget, nil)
		s.asked += len(result.Decisions)
		for _, d := range result.Decisions {
			if d.Action != validating.ActionAdmit {
				answers = append(answers, answer{b.Name, b.Spec.ValidationActions, d.Message, d.Evaluation == validating.EvalError})
			}
		}
	}
	return answers
}

func (s *server) binds(t testing.TB, b *admissionregistrationv1.ValidatingAdmissionPolicyBinding, namespace *corev1.Namespace, attrs admission.Attributes) bool {
	t.Helper()
	m := b.Spec.MatchResources
	if m != nil && len(m.ResourceRules) > 0 && !slices.ContainsFunc(m.ResourceRules, func(r admissionregistrationv1.NamedRuleWithOperations) bool {
		return (&rules.Matcher{Rule: r.RuleWithOperations, Attr: attrs}).Matches()
	}) {
		return false
	}
	if m == nil || m.NamespaceSelector == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.MatchResources.NamespaceSelector)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(labels.Set(namespace.Labels))
}

// around is what stands where an error of compilation says, for it is a long line.
func around(expression, err string) string {
	var line, column int
	if _, e := fmt.Sscanf(err[max(0, strings.Index(err, "<input>")):], "<input>:%d:%d:", &line, &column); e != nil {
		return ""
	}
	runes := []rune(expression)
	return string(runes[max(0, column-60):min(len(runes), column+60)])
}
