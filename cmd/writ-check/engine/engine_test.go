// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/writ-sec/writ/cmd/checkwire"
	"github.com/writ-sec/writ/cmd/writ-check/engine"
	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
	"github.com/writ-sec/writ/schema/manifest"
)

// at is when dated modes are decided in these tests.
var at = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)

func compile(t *testing.T, source string) *compiler.Result {
	t.Helper()
	res, err := compiler.New(compiler.Config{At: at, Admission: schema.AdmissionGatekeeper}).Compile(t.Context(),
		compiler.Tree{Files: []compiler.File{{Path: "writ.cue", Data: []byte("package policy\n" + source)}}}, bundle.Envelope{})
	if err != nil {
		t.Fatalf("%v\n%s", err, source)
	}
	return res
}

// load puts what the bundle has for Gatekeeper into a new engine, and returns the kind of its template.
func load(t *testing.T, res *compiler.Result) (*engine.Engine, string) {
	t.Helper()
	e, err := engine.New()
	if err != nil {
		t.Fatal(err)
	}
	var templates, constraints [][]byte
	kind := ""
	for _, f := range res.Bundle.Manifest.Files {
		if !strings.HasPrefix(f.Path, bundle.AdmissionDir+"/") || !strings.HasSuffix(f.Path, ".yaml") {
			continue
		}
		data, err := res.Bundle.Open(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := yaml.YAMLToJSONStrict(data)
		if err != nil {
			t.Fatal(err)
		}
		var head struct{ APIVersion, Kind string }
		if err := json.Unmarshal(text, &head); err != nil {
			t.Fatal(err)
		}
		switch {
		case head.Kind == "ConstraintTemplate":
			templates = append(templates, text)
		case strings.HasPrefix(head.APIVersion, "constraints.gatekeeper.sh/"):
			constraints, kind = append(constraints, text), head.Kind
		}
	}
	for _, text := range slices.Concat(templates, constraints) {
		if refused := e.Load(t.Context(), text); refused != nil {
			t.Fatalf("%+v", refused)
		}
	}
	return e, kind
}

// generator makes small policies and objects that meet each other often.
type generator struct{ *rand.Rand }

func (g generator) pick(words ...string) string { return words[g.IntN(len(words))] }

func (g generator) policy() string {
	var b strings.Builder
	for i := range 1 + g.IntN(4) {
		mode := g.pick(`"enforce"`, `"audit"`, `"learn"`, `{now: "audit", after: "2026-06-30", then: "enforce"}`, `{now: "audit", after: "2026-07-30", then: "enforce"}`)
		match := g.pick(`namespace: "shop"`, `namespace: "shop", labels: app: "a"`, `labels: app: "a"`, `namespace: "web", container: "c0"`, `labels: app: "a", expressions: tier: exists: false`)
		fmt.Fprintf(&b, "workload: w%d: {\n\tshared: true\n\tmatch: {%s}\n\tmode: %s\n", i,
			match, mode)
		fmt.Fprintf(&b, "\timage: from: {%s}\n", g.pick(``, `"nginx": {}`, `"registry.example.com/**": {}`, `"nginx": {}, "registry.example.com/a/*": {}`))
		if !strings.Contains(match, "container") && g.IntN(2) == 0 { // a Pod is judged as a whole
			fmt.Fprintf(&b, "\tpod: {%s}\n", g.pick(`profile: "baseline"`, `profile: "restricted"`, `privileged: false`, `runAsNonRoot: true`, `hostNetwork: false, volumes: {configMap: {}, emptyDir: {}}`))
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func (g generator) containers(n int) []any {
	all := make([]any, n)
	for i := range all {
		c := map[string]any{"name": fmt.Sprint("c", i), "image": g.pick("nginx", "nginx:1", "registry.example.com/a/b", "registry.example.com/x", "Bad//", "")}
		if g.IntN(2) == 0 {
			c["securityContext"] = map[string]any{"privileged": g.IntN(4) == 0, "runAsNonRoot": g.IntN(2) == 0, "allowPrivilegeEscalation": false,
				"capabilities": map[string]any{"drop": []any{g.pick("ALL", "NET_RAW")}}}
		}
		all[i] = c
	}
	return all
}

func (g generator) object() map[string]any {
	spec := map[string]any{"containers": g.containers(1 + g.IntN(3)), "initContainers": g.containers(g.IntN(2))}
	if g.IntN(3) == 0 {
		spec["hostNetwork"] = g.IntN(2) == 0
	}
	if g.IntN(3) == 0 {
		spec["securityContext"] = map[string]any{"runAsNonRoot": true, "seccompProfile": map[string]any{"type": g.pick("RuntimeDefault", "Unconfined")}}
	}
	if g.IntN(4) == 0 {
		spec["volumes"] = []any{map[string]any{"name": "v", g.pick("configMap", "hostPath"): map[string]any{"path": "/x"}}}
	}
	metadata := map[string]any{"name": "p", "labels": map[string]any{"app": g.pick("a", "b"), g.pick("tier", "other"): "x"}}
	namespace := g.pick("shop", "web", "other")
	template := map[string]any{"metadata": metadata, "spec": spec}
	switch g.IntN(4) {
	case 0:
		return map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "d", "namespace": namespace},
			"spec": map[string]any{"template": template}}
	case 1:
		return map[string]any{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": map[string]any{"name": "d", "namespace": namespace},
			"spec": map[string]any{"jobTemplate": map[string]any{"spec": map[string]any{"template": template}}}}
	}
	metadata["namespace"] = namespace
	return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
}

var (
	rank    = map[schema.Action]int{schema.ActionAllow: 0, schema.ActionLearn: 1, schema.ActionAudit: 2, schema.ActionDeny: 3}
	actions = map[string]schema.Action{"deny": schema.ActionDeny, "warn": schema.ActionAudit, "dryrun": schema.ActionLearn}
)

// TestJudge holds the engine's answers about generated objects against the meaning of the policy: the strictest verdict over the Pod's events.
func TestJudge(t *testing.T) {
	policies, objects := 60, 60
	if testing.Short() {
		policies = 10
	}
	g := generator{rand.New(rand.NewPCG(1, 2))}
	seen := map[schema.Action]int{}
	for range policies {
		source := g.policy()
		res := compile(t, source)
		policy, err := res.Policy()
		if err != nil {
			t.Fatal(err)
		}
		e, kind := load(t, res)
		for range objects {
			object := g.object()
			pod, ok := manifest.Builtin().Of(object, "default")
			if !ok {
				t.Fatal("the object makes no Pod")
			}
			text, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			violations, err := e.Review(t.Context(), checkwire.Review{Namespace: pod.Namespace, Object: text})
			if err != nil {
				t.Fatal(err)
			}
			got, want := schema.ActionAllow, schema.ActionAllow
			for _, v := range violations {
				if a := actions[v.Action]; rank[a] > rank[got] {
					got = a
				}
			}
			for _, event := range pod.Events() {
				if v := schema.Judge(policy, event, at); rank[v.Action] > rank[want] {
					want = v.Action
				}
			}
			if got != want {
				t.Fatalf("engine (%s) says %s, Judge %s\n%s\n%s\n%+v", kind, got, want, source, text, violations)
			}
			seen[got]++
		}
	}
	for action := range rank {
		if seen[action] == 0 {
			t.Errorf("no object was judged %s: %v", action, seen)
		}
	}
}

// TestRefused holds that each object that the engine does not take is named.
func TestRefused(t *testing.T) {
	e, err := engine.New()
	if err != nil {
		t.Fatal(err)
	}
	template := func(rego string) string {
		return fmt.Sprintf(`{"apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate", "metadata": {"name": "bad"}, "spec": {
			"crd": {"spec": {"names": {"kind": "Bad"}}}, "targets": [{"target": "admission.k8s.gatekeeper.sh", "rego": %q}]}}`, rego)
	}
	for text, want := range map[string][3]string{
		template("package bad\nviolation[{"): {"ConstraintTemplate", "bad", "rego_parse_error"},
		`{"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "Nothing", "metadata": {"name": "n"}}`: {"Nothing", "n", "missing ConstraintTemplate"},
		`[]`: {"", "", "cannot unmarshal"},
	} {
		r := e.Load(t.Context(), []byte(text))
		if r == nil || r.Kind != want[0] || r.Name != want[1] || !strings.Contains(r.Error, want[2]) {
			t.Errorf("%s\n got %+v, want %q", text, r, want)
		}
	}
}
