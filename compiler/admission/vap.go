// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
)

// Names of the objects. Files begin with "vap-".
const (
	vapPolicy    = "writ-pod"
	vapNamespace = "writ-system"
	vapGroup     = "policy.writ-sec.github.io"
	vapVersion   = vapGroup + "/v1alpha1"
	vapKind      = "PodRules"
)

// Sizes in bytes. An API server takes 1.5 MiB in etcd, and converts the whole object for each request: 100 KiB take about 2 ms.
const (
	vapObjectBytes = 512 << 10 // of workloads in one object; a namespace of more has several
	vapCopiedBytes = 128 << 10 // of workloads without a namespace that are copied into the objects of each
)

// vapActions are the validation actions of a binding. Audit warns who makes the Pod and is in the audit log; learn is there alone.
var vapActions = map[string][]string{"deny": {"Deny"}, "warn": {"Warn", "Audit"}, "dryrun": {"Audit"}}

// vap returns the policy, its kind, its parameters and its bindings. Without anything to judge there are none.
func vap(in Input) []Object {
	cfg := newVAPConfig(in.Config)
	cast := newVAPCast(in)
	var objects []Object
	for _, action := range slices.Sorted(maps.Keys(vapActions)) {
		objects = append(objects, cast.objects(action)...)
	}
	if len(objects) == 0 {
		return nil
	}
	return append(objects,
		Object{Name: "vap-crd", Stage: StageDefinitions, From: []string{podCEL}, body: podRulesDefinition},
		Object{Name: "vap-namespace", Stage: StageDefinitions, body: func() object {
			return object{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(vapNamespace)}
		}},
		Object{Name: "vap-policy", Stage: StageTemplates, From: cfg.from(), body: cfg.policy},
	)
}

// vapCast is everything that the params hold, by where it holds. "" is what holds in every namespace.
type vapCast struct {
	workloads map[string]map[string][]vapText // by action, then namespace
	bounds    map[string]map[string][]string  // the same; and patches
	patches   []string
	requires  map[string]map[string]bool // the same: some bound requires a workload
	covers    map[string][]vapText       // by namespace
	coverSums map[string]string
}

// vapText is what a workload puts into an object, with the labels that it stands under.
type vapText struct {
	name   string
	labels map[string]string
	text   []byte
}

func newVAPCast(in Input) *vapCast {
	c := &vapCast{workloads: map[string]map[string][]vapText{}, bounds: map[string]map[string][]string{}, requires: map[string]map[string]bool{},
		covers: map[string][]vapText{}, coverSums: map[string]string{}}
	for action := range vapActions {
		c.workloads[action], c.bounds[action], c.requires[action] = map[string][]vapText{}, map[string][]string{}, map[string]bool{}
	}
	for i := range in.Workloads {
		w := &in.Workloads[i]
		for _, e := range w.VAP {
			by := c.covers
			if e.Action != coverAction {
				by = c.workloads[e.Action]
			}
			by[w.Match.Namespace] = append(by[w.Match.Namespace], vapText{w.Name, w.Match.Labels, e.Text})
		}
	}
	c.addKinds(in)
	return c
}

// addKinds adds bounds and patches.
func (c *vapCast) addKinds(in Input) {
	for i := range in.Policy.Bounds {
		b := &in.Policy.Bounds[i]
		if vb, ok := newVAPBound(b); ok {
			action := actionAt(b.Mode, b.Then, b.ModeAt(in.At), in.At)
			c.bounds[action][b.Match.Namespace] = append(c.bounds[action][b.Match.Namespace], string(compactJSON(vb)))
			c.requires[action][b.Match.Namespace] = c.requires[action][b.Match.Namespace] || b.Require.Workload
		}
	}
	for i := range in.Policy.Exceptions {
		x := &in.Policy.Exceptions[i]
		if p, ok := newVAPPatch(x); ok && (in.At.IsZero() || !x.Expires.Passed(in.At)) {
			c.patches = append(c.patches, string(compactJSON(p)))
		}
	}
}

// objects returns the params and the bindings of one action.
func (c *vapCast) objects(action string) []Object {
	shared := vapParams{workloads: c.workloads[action][""], bounds: c.bounds[action][""]}
	if action == "deny" {
		shared.patches = c.patches
	}
	var objects []Object
	if sizeOf(shared.workloads) > vapCopiedBytes {
		for i, part := range parts(shared.workloads) {
			name := fmt.Sprintf("writ-%s-any-%d", action, i)
			objects = append(objects, paramsObject(fmt.Sprintf("vap-any-%s-%d", action, i), name, vapNamespace, vapParams{workloads: part}),
				newBinding(action, fmt.Sprintf("any-%d", i), name).in(vapNamespace).object())
		}
		shared.workloads = nil
	}
	shared.sum = shared.digest()
	var own, more []string // namespaces that have params, and for each further number those that have these too
	for _, namespace := range c.namespaces(action) {
		own = append(own, namespace)
		objects = append(objects, c.ownObjects(action, namespace, &shared, &more)...)
	}
	if len(own) > 0 {
		objects = append(objects, ownBindings(action, "", own)...)
	}
	for i, namespaces := range more {
		objects = append(objects, ownBindings(action, fmt.Sprint(i+1), strings.Fields(namespaces))...)
	}
	if c.requires[action][""] {
		shared.cover, shared.coverSum = c.covers[""], c.coverSum("")
	}
	if !shared.empty() {
		name := "writ-" + action + "-rest"
		objects = append(objects, paramsObject("vap-rest-"+action, name, vapNamespace, shared), newBinding(action, "rest", name).in(vapNamespace).selecting("NotIn", own).object())
	}
	return objects
}

// namespaces lists those that have params of their own: where a bound requires workloads, all that have any.
func (c *vapCast) namespaces(action string) []string {
	set := map[string]bool{}
	for namespace := range c.workloads[action] {
		set[namespace] = true
	}
	for namespace := range c.bounds[action] {
		set[namespace] = true
	}
	if c.requires[action][""] {
		for namespace := range c.covers {
			set[namespace] = true
		}
	}
	delete(set, "")
	return slices.Sorted(maps.Keys(set))
}

// ownObjects returns the params of a namespace: the first with all that holds there, further ones with more of its workloads.
func (c *vapCast) ownObjects(action, namespace string, shared *vapParams, more *[]string) []Object {
	var objects []Object
	for i, part := range parts(c.workloads[action][namespace]) {
		p := vapParams{workloads: part}
		name, file := "writ-"+action, "vap-rules-"+namespace+"-"+action
		if i > 0 {
			name, file = fmt.Sprint(name, "-", i), fmt.Sprint(file, "-", i)
			if len(*more) < i {
				*more = append(*more, "")
			}
			(*more)[i-1] += namespace + " "
		} else {
			p.shared, p.bounds = shared, c.bounds[action][namespace]
			if c.requires[action][""] || c.requires[action][namespace] {
				p.cover = slices.Concat(c.covers[""], c.covers[namespace])
				p.coverSum = c.coverSum("") + c.coverSum(namespace)
			}
		}
		objects = append(objects, paramsObject(file, name, namespace, p))
	}
	return objects
}

// coverSum is a digest of what the workloads of a namespace select, for [Object.From].
func (c *vapCast) coverSum(namespace string) string {
	if _, ok := c.coverSums[namespace]; !ok {
		c.coverSums[namespace] = (&vapParams{workloads: c.covers[namespace]}).digest()
	}
	return c.coverSums[namespace]
}

func sizeOf(texts []vapText) int {
	size := 0
	for _, t := range texts {
		size += len(t.text)
	}
	return size
}

// parts spreads workloads over a power of two of objects by their names, so that a change moves few of them. There is one part at least.
func parts(texts []vapText) [][]vapText {
	n := 1
	for size := sizeOf(texts); n*vapObjectBytes < size; {
		n *= 2
	}
	all := make([][]vapText, n)
	for _, t := range texts {
		i := hash(t.name) % uint64(n)
		all[i] = append(all[i], t)
	}
	return all
}

// vapParams is the content of one object.
type vapParams struct {
	workloads, cover []vapText
	bounds, patches  []string
	shared           *vapParams // what holds in every namespace, or nil
	sum, coverSum    string     // of shared and of cover, which are in many objects
}

func (p *vapParams) empty() bool {
	return len(p.workloads)+len(p.bounds)+len(p.patches) == 0
}

// from is what the object follows from.
func (p *vapParams) from() []string {
	from := []string{p.coverSum}
	if p.shared != nil {
		from = append(from, p.shared.sum)
	}
	for _, w := range p.workloads {
		from = append(from, string(w.text))
	}
	return slices.Concat(from, p.bounds, []string{""}, p.patches)
}

func (p *vapParams) digest() string {
	h := sha256.New()
	for _, s := range p.from() {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return string(h.Sum(nil))
}

// body writes the object.
func (p *vapParams) body(name, namespace string) object {
	meta := metadata(name)
	meta["namespace"] = namespace
	o := object{"apiVersion": vapVersion, "kind": vapKind, "metadata": meta}
	workloads, bounds, patches := p.workloads, p.bounds, p.patches
	if p.shared != nil {
		workloads = slices.Concat(p.shared.workloads, workloads)
		bounds = slices.Concat(p.shared.bounds, bounds)
		patches = slices.Concat(p.shared.patches, patches)
	}
	put := func(key string, value any, size int) {
		if size > 0 {
			o[key] = value
		}
	}
	put("workloads", indexed(workloads), len(workloads))
	put("cover", indexed(p.cover), len(p.cover))
	put("bounds", decodeAll(bounds), len(bounds))
	put("patches", decodeAll(patches), len(patches))
	return o
}

// indexed puts each workload under the label that the fewest others name, so that a Pod's labels lead to few of them; without a label under "".
// What is the same is there once.
func indexed(texts []vapText) map[string][]any {
	count := map[string]int{}
	for _, t := range texts {
		for k, v := range t.labels {
			count[k+"="+v]++
		}
	}
	byKey := map[string][]string{}
	for _, t := range texts {
		var rarest string
		for _, k := range slices.Sorted(maps.Keys(t.labels)) {
			if l := k + "=" + t.labels[k]; rarest == "" || count[l] < count[rarest] {
				rarest = l
			}
		}
		byKey[rarest] = append(byKey[rarest], string(t.text))
	}
	all := map[string][]any{}
	for key, list := range byKey {
		slices.Sort(list)
		all[key] = decodeAll(slices.Compact(list))
	}
	return all
}

func paramsObject(file, name, namespace string, p vapParams) Object {
	return Object{Name: file, Stage: StageRules, From: append([]string{name, namespace}, p.from()...),
		body: func() object { return p.body(name, namespace) }}
}

// binding puts params in force.
type binding struct {
	name            string
	params          string
	paramsNamespace string // "": the request's own
	notFound        string // what happens without the params: "Deny" or "Allow"
	action          string
	operator        string // "In" or "NotIn" namespaces; "": all
	namespaces      []string
	rules           []object // the requests that it is for; none: all of the policy's
}

func newBinding(action, suffix, params string) binding {
	return binding{name: strings.TrimSuffix(vapPolicy+"-"+action+"-"+suffix, "-"), params: params, notFound: "Deny", action: action}
}

func (b binding) in(namespace string) binding {
	b.paramsNamespace = namespace
	return b
}

func (b binding) selecting(operator string, namespaces []string) binding {
	if len(namespaces) > 0 {
		b.operator, b.namespaces = operator, namespaces
	}
	return b
}

// ownBindings put the params that namespaces have themselves in force. What is made needs them. What is changed does not: a namespace that is being
// deleted loses its params, and must still be able to remove finalizers, which the missing params would deny before anything is judged.
func ownBindings(action, suffix string, namespaces []string) []Object {
	params := strings.TrimSuffix("writ-"+action+"-"+suffix, "-")
	rule := func(group, version, operation, resource string) object {
		return object{"apiGroups": []string{group}, "apiVersions": []string{version}, "operations": []string{operation}, "resources": []string{resource}}
	}
	made := newBinding(action, suffix, params).selecting("In", namespaces)
	made.rules = []object{rule("*", "*", "CREATE", "*"), rule("", "v1", "UPDATE", "pods/ephemeralcontainers")}
	changed := newBinding(action, strings.TrimPrefix(suffix+"-update", "-"), params).selecting("In", namespaces)
	changed.rules, changed.notFound = []object{rule("*", "*", "UPDATE", "*")}, "Allow"
	return []Object{made.object(), changed.object()}
}

func (b binding) object() Object {
	return Object{Name: "vap-binding-" + strings.TrimPrefix(b.name, vapPolicy+"-"), Stage: StageBindings,
		From: append([]string{b.name, b.params, b.paramsNamespace, b.notFound, b.operator, fmt.Sprint(b.rules)}, b.namespaces...), body: b.body}
}

func (b binding) body() object {
	ref := object{"name": b.params, "parameterNotFoundAction": b.notFound}
	if b.paramsNamespace != "" {
		ref["namespace"] = b.paramsNamespace
	}
	match := object{}
	if b.operator != "" {
		match["namespaceSelector"] = object{"matchExpressions": []object{{"key": "kubernetes.io/metadata.name", "operator": b.operator, "values": b.namespaces}}}
	}
	if len(b.rules) > 0 {
		match["resourceRules"] = b.rules
	}
	spec := object{"policyName": vapPolicy, "validationActions": vapActions[b.action], "paramRef": ref}
	if len(match) > 0 {
		spec["matchResources"] = match
	}
	return object{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata(b.name), "spec": spec}
}

// vapConfig is what the policy depends on beside its data.
type vapConfig struct {
	failurePolicy string
	makers        manifest.Makers
	rules         []object // the requests that are judged
}

func newVAPConfig(a schema.Admission) vapConfig {
	c := vapConfig{failurePolicy: a.Effective().FailurePolicy.VAP, makers: makersOf(a)}
	rule := func(group, version string, resources ...string) { // params are in namespaces, so what is in none would always be denied
		c.rules = append(c.rules, object{"apiGroups": []string{group}, "apiVersions": []string{version},
			"operations": []string{"CREATE", "UPDATE"}, "resources": resources, "scope": "Namespaced"})
	}
	rule("", "v1", "pods", "pods/ephemeralcontainers", "podtemplates", "replicationcontrollers")
	rule("apps", "v1", "daemonsets", "deployments", "replicasets", "statefulsets")
	rule("batch", "v1", "cronjobs", "jobs")
	for _, m := range a.Makers {
		group, _ := m.GroupKind()
		rule(group, "*", m.Plural())
	}
	return c
}

func (c vapConfig) from() []string {
	return []string{podCEL, plainCEL, fmt.Sprint(c.failurePolicy, c.makers, c.rules)} // maps are printed in order
}

// policy is the same for all data.
func (c vapConfig) policy() object {
	var variables []object
	for _, e := range celExpressions(c.makers) {
		variables = append(variables, object{"name": e.name, "expression": e.text})
	}
	return object{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": metadata(vapPolicy),
		"spec": object{
			"failurePolicy":    c.failurePolicy,
			"paramKind":        object{"apiVersion": vapVersion, "kind": vapKind},
			"matchConstraints": object{"resourceRules": c.rules},
			"matchConditions": []object{
				{"name": "makes-a-pod", "expression": "size(" + celPods(c.makers, "object") + ") > 0"},
				{"name": "changes-it", "expression": celChanges(c.makers)},
				{"name": "is-not-plainly-allowed", "expression": "!" + celPlain(c.makers)},
			},
			"variables": variables,
			"validations": []object{{
				"expression":        "size(variables.violations) == 0",
				"message":           "the policy does not allow this Pod",
				"messageExpression": "variables.message",
				"reason":            "Forbidden",
			}},
		},
	}
}

// celChanges says whether a request changes the Pod. Of what is being deleted annotations may change: a finalizer must stay removable. Other labels
// would make another workload of what still runs.
func celChanges(makers manifest.Makers) string {
	differ := func(fields ...string) string {
		return celParts(celPods(makers, "oldObject"), fields) + " != " + celParts(celPods(makers, "object"), fields)
	}
	return "request.operation != 'UPDATE' || " + differ("labels") + " || " +
		"!has(" + celTyped("dyn(object)", "metadata", "map", "dyn({})") + ".deletionTimestamp) && " + differ("annotations")
}

// celParts is the spec of Pods and fields of their metadata.
func celParts(pods string, fields []string) string {
	text := pods + ".map(p, [" + celTyped("p", "spec", "map", "dyn({})") + "]"
	for _, field := range fields {
		text += " + [" + celTyped("p", "metadata", "map", "dyn({})") + "].map(m, " + celTyped("m", field, "map", "dyn({})") + ")"
	}
	return text + ")"
}

// vapSkips says why a ValidatingAdmissionPolicy does not judge a rule, or "".
func vapSkips(r *schema.Rule) (why string) {
	switch {
	case r.Plane != schema.PlaneImage && r.Plane != schema.PlanePod:
		return "it is not asked about at admission"
	case r.Verb == schema.VerbSigned:
		return "it cannot verify signatures"
	case r.Verb == schema.VerbPass:
		return "it cannot read scan reports"
	}
	return ""
}
