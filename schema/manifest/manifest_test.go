// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"encoding/json"
	"testing"

	"github.com/writ-sec/writ/schema/manifest"
)

// parse decodes JSON.
func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return object
}

// podOf returns the Pod with the given metadata and spec.
func podOf(t *testing.T, metadata, spec string) manifest.Pod {
	t.Helper()
	object := parse(t, `{"apiVersion": "v1", "kind": "Pod", "metadata": `+metadata+`, "spec": `+spec+`}`)
	pod, ok := manifest.Builtin().Of(object, "default")
	if !ok {
		t.Fatal("a Pod is none")
	}
	return pod
}

func TestOf(t *testing.T) {
	template := `{"metadata": {"labels": {"app": "web"}, "namespace": "other"}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}`
	makers := manifest.Builtin()
	makers[manifest.Kind{Group: "argoproj.io", Kind: "Rollout"}] = []string{"spec", "template"}
	for _, c := range []struct{ name, object, path string }{
		{"Pod", `{"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}`, ""},
		{"Deployment", `{"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": ` + template + `}}`, "spec.template"},
		{"another version", `{"apiVersion": "apps/v1beta1", "kind": "Deployment", "spec": {"template": ` + template + `}}`, "spec.template"},
		{"DaemonSet", `{"apiVersion": "apps/v1", "kind": "DaemonSet", "spec": {"template": ` + template + `}}`, "spec.template"},
		{"StatefulSet", `{"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {"template": ` + template + `}}`, "spec.template"},
		{"ReplicaSet", `{"apiVersion": "apps/v1", "kind": "ReplicaSet", "spec": {"template": ` + template + `}}`, "spec.template"},
		{"Job", `{"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": ` + template + `}}`, "spec.template"},
		{"CronJob", `{"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": ` + template + `}}}}`, "spec.jobTemplate.spec.template"},
		{"ReplicationController", `{"apiVersion": "v1", "kind": "ReplicationController", "spec": {"template": ` + template + `}}`, "spec.template"},
		{"PodTemplate", `{"apiVersion": "v1", "kind": "PodTemplate", "template": ` + template + `}`, "template"},
		{"Rollout", `{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": {"template": ` + template + `}}`, "spec.template"},
		{"Service", `{"apiVersion": "v1", "kind": "Service", "spec": {"template": ` + template + `}}`, "none"},
		{"another group", `{"apiVersion": "x.example.com/v1", "kind": "Deployment", "spec": {"template": ` + template + `}}`, "none"},
		{"another group's Pod", `{"apiVersion": "x.example.com/v1", "kind": "Pod", "spec": {"containers": []}}`, "none"},
		{"no template", `{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": {"workloadRef": {"name": "x"}}}`, "none"},
		{"null template", `{"apiVersion": "v1", "kind": "ReplicationController", "spec": {"template": null}}`, "none"},
		{"template of a wrong type", `{"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": [` + template + `]}}`, "none"},
		{"spec of a wrong type", `{"apiVersion": "apps/v1", "kind": "Deployment", "spec": "x"}`, "none"},
		{"kind of a wrong type", `{"apiVersion": "v1", "kind": ["Pod"]}`, "none"},
		{"nothing", `{}`, "none"},
	} {
		for _, namespace := range []string{"", "shop"} {
			object := parse(t, c.object)
			want := "default"
			if namespace != "" {
				object["metadata"] = merged(object["metadata"], map[string]any{"namespace": namespace})
				want = namespace
			}
			pod, ok := makers.Of(object, "default")
			if !ok {
				if c.path != "none" {
					t.Errorf("%s: not ok", c.name)
				}
				continue
			}
			if got := formatted(pod.Path); got != c.path || pod.Namespace != want || pod.Labels["app"] != "web" || len(pod.Containers()) != 1 {
				t.Errorf("%s: got %q in %q with %v and %v, want %q in %q", c.name, got, pod.Namespace, pod.Labels, pod.Containers(), c.path, want)
			}
		}
	}
}

// merged returns an object with more fields.
func merged(object any, more map[string]any) map[string]any {
	all := map[string]any{}
	if fields, ok := object.(map[string]any); ok {
		all = fields
	}
	for k, v := range more {
		all[k] = v
	}
	return all
}

func formatted(path []string) string {
	steps := make([]any, len(path))
	for i, s := range path {
		steps[i] = s
	}
	return manifest.FormatPath(steps)
}

func TestItems(t *testing.T) {
	for _, c := range []struct{ object, want string }{
		{`{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod"}, null, "x", {}]}`, `[{"apiVersion":"v1","kind":"Pod"},{}]`},
		{`{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {}}]}`, `[{"apiVersion":"v1","kind":"Pod","metadata":{}}]`},
		{`{"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [{}]}`, `[{"apiVersion":"apps/v1","kind":"Deployment"}]`},
		{`{"apiVersion": "v1", "kind": "PodList", "items": null}`, `[]`},
		{`{"apiVersion": "v1", "kind": "PodList", "items": "x"}`, ``},
		{`{"apiVersion": "v1", "kind": "Pod", "items": []}`, ``},
		{`{"apiVersion": "x/v1", "kind": "AllowList", "spec": {}}`, ``},
	} {
		object := parse(t, c.object)
		items, ok := manifest.Items(object)
		got, err := json.Marshal(items)
		if err != nil || ok != (c.want != "") || ok && string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.object, got, ok, c.want)
		}
		if again, _ := json.Marshal(object); string(again) != compact(t, c.object) {
			t.Errorf("%s is changed to %s", c.object, again)
		}
	}
}

func compact(t *testing.T, text string) string {
	t.Helper()
	data, err := json.Marshal(parse(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
