// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
)

// everything is a Pod that says something of each field.
const everything = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "labels": {"app": "web", "ü": "é\u0000"},
	"annotations": {"container.apparmor.security.beta.kubernetes.io/web": "unconfined", "x": "y"}},
"spec": {"hostNetwork": true, "hostPID": false, "hostIPC": true, "hostUsers": false, "os": {"name": "linux"}, "serviceAccountName": "a", "serviceAccount": "b",
	"automountServiceAccountToken": false,
	"securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}, "appArmorProfile": {"type": "Localhost"},
		"seLinuxOptions": {"type": "spc_t", "user": "u", "role": "r"}, "windowsOptions": {"hostProcess": true}, "sysctls": [{"name": "net/core/x", "value": "1"}]},
	"volumes": [{"name": "a", "hostPath": {"path": "/var/run"}}, {"name": "b", "secret": {}}, {"name": "c"}],
	"containers": [{"name": "web", "image": "nginx", "ports": [{"containerPort": 80}, {"hostPort": 8080}],
		"livenessProbe": {"httpGet": {"host": "h"}}, "lifecycle": {"preStop": {"tcpSocket": {"host": "i"}}},
		"securityContext": {"privileged": true, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": false, "runAsUser": 0, "procMount": "Unmasked",
			"capabilities": {"add": ["NET_RAW", "cap_kill"], "drop": ["ALL"]}, "seccompProfile": {"type": "Unconfined"}}}, {"name": "web", "image": "nginx"}],
	"initContainers": [{"name": "side", "restartPolicy": "Always", "image": "r.example.com/a:1", "securityContext": {"capabilities": {"drop": ["KILL"]}}}],
	"ephemeralContainers": [{"name": "debug", "image": "busybox"}]}}`

// spoil changes some places of a tree.
func spoil(r *rand.Rand, value any) any {
	if r.IntN(14) == 0 {
		return []any{
			nil, true, "", "true", "\u202e\x00é", 1.5, -1e300, 0.0, 65536.0, map[string]any{}, []any{}, []any{nil, "x", 3.0, []any{}, map[string]any{"name": nil}},
			map[string]any{"name": "web", "type": 3.0}, map[string]any{"": map[string]any{}},
		}[r.IntN(14)]
	}
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if value[key] = spoil(r, value[key]); r.IntN(30) == 0 {
				delete(value, key)
			}
		}
	case []any:
		for i := range value {
			value[i] = spoil(r, value[i])
		}
		if len(value) > 0 && r.IntN(10) == 0 {
			return append(value, value[r.IntN(len(value))])
		}
	}
	return value
}

func TestHostile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	problems, pods := 0, 0
	for range 3000 {
		object := parse(t, everything)
		if spoilt, ok := spoil(r, object).(map[string]any); ok {
			spoilt["apiVersion"], spoilt["kind"] = "v1", "Pod"
			problems += holds(t, spoilt)
			pods++
		}
	}
	if problems < 5000 || pods < 2500 {
		t.Errorf("only %d problems in %d Pods; the test proves little", problems, pods)
	}
}

func FuzzPod(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte(`{"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [null, 1, {"name": []}]}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var object map[string]any
		if json.Unmarshal(data, &object) == nil {
			holds(t, object)
			manifest.Items(object)
		}
	})
}

// holds tests what is true of each object, and returns the number of problems in its Pod.
func holds(t *testing.T, object map[string]any) int {
	t.Helper()
	before := encode(t, object)
	pod, ok := manifest.Builtin().Of(object, "default")
	if !ok {
		return 0
	}
	events, fields, problems := pod.Events(), pod.Fields(), pod.Problems()
	again, _ := manifest.Builtin().Of(numbered(t, before), "default")
	if !reflect.DeepEqual(events, again.Events()) || !reflect.DeepEqual(fields, again.Fields()) || !reflect.DeepEqual(problems, again.Problems()) {
		t.Fatalf("is read in two ways: %s", before)
	}
	if len(events) != len(pod.Containers())+1 || events[len(events)-1].Verb != schema.VerbSet {
		t.Fatalf("got %d events for %d containers: %s", len(events), len(pod.Containers()), before)
	}
	holdsFields(t, pod, fields, events[len(events)-1].Set)
	if after := encode(t, object); !bytes.Equal(before, after) {
		t.Fatalf("%s is changed to %s", before, after)
	}
	if len(problems) > manifest.MaxProblems {
		t.Fatalf("got %d problems", len(problems))
	}
	if len(problems) == manifest.MaxProblems || len(pod.Containers()) > manifest.MaxContainers {
		return len(problems)
	}
	for _, p := range problems {
		if !replace(pod.Object, p.Path) {
			t.Fatalf("problem %v is nowhere: %s", p, before)
		}
	}
	if without, _ := manifest.Builtin().Of(object, "default"); !reflect.DeepEqual(events, without.Events()) {
		t.Fatalf("what is of a wrong type does not count as not set: %v in %s", problems, before)
	}
	return len(problems)
}

// holdsFields tests that values stand where they say, are sorted, and are those of the event.
func holdsFields(t *testing.T, pod manifest.Pod, fields map[schema.PodField][]manifest.Value, set map[schema.PodField]schema.Names) {
	t.Helper()
	if len(fields) != len(set) {
		t.Fatalf("got fields %v, and %v in the event", fields, set)
	}
	for field, values := range fields {
		names := schema.Names{}
		for _, v := range values {
			names = append(names, v.Value)
			if _, ok := find(pod.Object, v.Path); !ok {
				t.Fatalf("%s: %q stands at %v, where nothing is", field, v.Value, v.Path)
			}
		}
		if !slices.IsSorted(names) || !slices.Equal(slices.Compact(names), set[field]) {
			t.Fatalf("%s: got %q, and %q in the event", field, names, set[field])
		}
	}
}

// find follows a path.
func find(value any, path []any) (any, bool) {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			fields, _ := value.(map[string]any)
			value = fields[step]
		case int:
			items, _ := value.([]any)
			if step >= len(items) {
				return nil, false
			}
			value = items[step]
		}
		if value == nil {
			return nil, false
		}
	}
	return value, true
}

// replace puts null at a path.
func replace(object map[string]any, path []any) bool {
	parent, ok := find(object, path[:len(path)-1])
	switch step := path[len(path)-1].(type) {
	case string:
		parent.(map[string]any)[step] = nil
	case int:
		parent.([]any)[step] = nil
	}
	return ok
}

func encode(t *testing.T, object map[string]any) []byte {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// numbered decodes JSON with numbers as they are written.
func numbered(t *testing.T, data []byte) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		t.Fatal(err)
	}
	return object
}

// crowd returns a Pod with n containers, the last of which is privileged and runs another image.
func crowd(t *testing.T, n int) manifest.Pod {
	t.Helper()
	containers := make([]any, n)
	for i := range containers {
		containers[i] = map[string]any{"name": fmt.Sprintf("c%d", i), "image": "nginx", "securityContext": map[string]any{
			"capabilities": map[string]any{"drop": []any{"ALL"}},
		}}
	}
	last := containers[n-1].(map[string]any)
	last["image"] = "evil"
	last["securityContext"].(map[string]any)["privileged"] = true
	pod, ok := manifest.Builtin().Of(map[string]any{"apiVersion": "v1", "kind": "Pod", "spec": map[string]any{"containers": containers}}, "default")
	if !ok {
		t.Fatal("is no Pod")
	}
	return pod
}

// ofPod are the fields that no container sets, and the one of which unread containers have nothing.
var ofPod = []schema.PodField{
	schema.PodHostNetwork, schema.PodHostPID, schema.PodHostIPC, schema.PodAutomount, schema.PodServiceAccount, schema.PodVolumes, schema.PodHostPaths,
	schema.PodSysctls, schema.PodDropCapabilities,
}

// TestBounds has Pods at a bound and beyond.
func TestBounds(t *testing.T) {
	at := crowd(t, manifest.MaxContainers)
	if problems := at.Problems(); len(problems) > 0 {
		t.Errorf("got problems %v at the bound", problems)
	}
	for _, c := range []struct {
		name  string
		rule  schema.Rule
		never schema.Rule
		at    schema.Action // of a Pod at the bound, and of a Pod beyond it as policy says
	}{
		{name: "a permitted value", rule: schema.Rule{Object: "runAsNonRoot", Values: []string{"true", "false"}}, at: schema.ActionAllow},
		{name: "a permitted port", rule: schema.Rule{Object: "hostPorts", Values: []string{"80"}}, at: schema.ActionAllow},
		{name: "a forbidden user", never: schema.Rule{Object: "runAsUser", Values: []string{"0"}}, at: schema.ActionAllow},
		{name: "dropped capabilities", rule: schema.Rule{Object: "dropCapabilities", Values: []string{"NET_RAW"}}, at: schema.ActionAllow},
		{name: "a value that is not permitted", rule: schema.Rule{Object: "privileged", Values: []string{"false"}}, at: schema.ActionDeny},
	} {
		p := &schema.Policy{}
		if c.rule.Object != "" {
			c.rule.ID, c.rule.Plane, c.rule.Verb = 1, schema.PlanePod, schema.VerbSet
			p.Workloads = []schema.Workload{{Name: "w", Match: schema.Match{Namespace: "default"}, Rules: []schema.Rule{c.rule},
				Closures: []schema.Closure{{ID: 2, Plane: schema.PlanePod, Mode: schema.ModeEnforce}}}}
		} else {
			c.never.ID, c.never.Plane, c.never.Verb = 1, schema.PlanePod, schema.VerbSet
			p.Bounds = []schema.Bound{{Name: "b", Match: schema.Match{Namespace: "default"}, Mode: schema.ModeEnforce, Never: []schema.Rule{c.never}}}
		}
		for pod, want := range map[*manifest.Pod]schema.Action{&at: c.at, new(crowd(t, manifest.MaxContainers+1)): schema.ActionDeny, new(crowd(t, 10_000)): schema.ActionDeny} {
			events := pod.Events()
			if v := schema.Judge(p, events[len(events)-1], time.Time{}); v.Action != want {
				t.Errorf("%s: got %s with %d containers, want %s", c.name, v.Action, len(events)-1, want)
			}
		}
	}
	beyond := crowd(t, 10_000)
	if events := beyond.Events(); len(events) != 10_001 || events[9999].Object != "evil" || events[9999].Subject.Container != "c9999" {
		t.Errorf("got %d events, the last of which runs %+v", len(events), events[len(events)-2])
	}
	set := beyond.Events()[10_000].Set
	for _, field := range allFields {
		unread := slices.Contains(set[field], schema.Unread)
		if of := slices.Contains(ofPod, field); unread == of {
			t.Errorf("%s: not read is %v, and that the Pod says it is %v", field, unread, of)
		}
	}
	if got := fmt.Sprint(beyond.Problems()); got != "[spec: has 10000 containers; want at most 1000]" {
		t.Errorf("got problems %s", got)
	}
	if got := beyond.Fields()[schema.PodPrivileged]; len(got) != manifest.MaxPlaces+1 || got[0].Value != schema.Unread {
		t.Errorf("got %d places: %v", len(got), got[:2])
	}
}

func TestProblems(t *testing.T) {
	many := make([]any, 1000)
	pod := manifest.Pod{Object: map[string]any{"spec": map[string]any{"volumes": many}}}
	if got := len(pod.Problems()); got != manifest.MaxProblems {
		t.Errorf("got %d problems, want %d", got, manifest.MaxProblems)
	}
	pod = podOf(t, `{"labels": {"a": 1, "b": "c"}}`, `{"hostPID": "yes", "securityContext": [], "hostUsers": 0, "containers": [null, {"image": true, "ports": [{"hostPort": 1.5}]}]}`)
	want := `[spec.securityContext: is a list; want an object spec.hostUsers: is a number; want true or false spec.containers[0]: is null; want an object ` +
		`spec.containers[1].image: is true or false; want a string metadata.labels.a: is a number; want a string spec.hostPID: is a string; want true or false ` +
		`spec.containers[1].ports[0].hostPort: is a number; want a whole number]`
	if got := fmt.Sprint(pod.Problems()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !maps.Equal(pod.Labels, map[string]string{"b": "c"}) {
		t.Errorf("got labels %v", pod.Labels)
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string // "" is no whole number
	}{
		{0, "0"}, {int64(1 << 62), "4611686018427387904"}, {1000.0, "1000"}, {-1.0, "-1"}, {1e3, "1000"}, {0.5, ""}, {1e19, ""}, {-1e19, ""},
		{json.Number("1000"), "1000"}, {json.Number("1e3"), "1000"}, {json.Number("1.0"), "1"}, {json.Number("9223372036854775807"), "9223372036854775807"},
		{json.Number("9223372036854775808"), ""}, {json.Number("1.5"), ""}, {json.Number("x"), ""}, {"1", ""}, {true, ""}, {nil, ""}, {uint8(1), ""},
	} {
		pod := manifest.Pod{Object: map[string]any{"spec": map[string]any{"securityContext": map[string]any{"runAsUser": c.value}}}}
		got := ""
		if values := pod.Fields()[schema.PodRunAsUser]; len(values) > 0 {
			got = values[0].Value
		}
		if got != c.want || (len(pod.Problems()) > 0) != (c.want == "" && c.value != nil) {
			t.Errorf("%T %v: got %q with problems %v, want %q", c.value, c.value, got, pod.Problems(), c.want)
		}
	}
}

func TestEvents(t *testing.T) {
	pod := podOf(t, `{"namespace": "shop", "labels": {"app": "web"}}`,
		`{"containers": [{"name": "web", "image": "nginx"}, {"name": "web"}], "initContainers": [{"name": "side", "image": "r.example.com/a"}], "ephemeralContainers": [{"name": "d", "image": "B"}]}`)
	events := pod.Events()
	for i, want := range []struct{ name, image, kind, path string }{
		{"web", "nginx", "containers", "spec.containers[0]"}, {"web", "", "containers", "spec.containers[1]"},
		{"side", "r.example.com/a", "initContainers", "spec.initContainers[0]"}, {"d", "B", "ephemeralContainers", "spec.ephemeralContainers[0]"},
	} {
		subject := schema.Subject{Namespace: "shop", Labels: map[string]string{"app": "web"}, Container: want.name, Image: want.image}
		if e := (schema.Event{Subject: subject, Verb: schema.VerbRun, Object: schema.Path(want.image)}); !reflect.DeepEqual(events[i], e) {
			t.Errorf("got %+v, want %+v", events[i], e)
		}
		c := pod.Containers()[i]
		if c.Name != want.name || c.Image != want.image || c.Kind != want.kind || manifest.FormatPath(c.Path) != want.path || c.Path[2] != c.Index {
			t.Errorf("got container %+v, want %+v", c, want)
		}
	}
	last := events[4]
	last.Set = nil
	if want := (schema.Event{Subject: schema.Subject{Namespace: "shop", Labels: map[string]string{"app": "web"}}, Verb: schema.VerbSet}); !reflect.DeepEqual(last, want) {
		t.Errorf("got %+v, want %+v", last, want)
	}
}

func TestFormatPath(t *testing.T) {
	for _, c := range []struct {
		path []any
		want string
	}{
		{nil, ""}, {[]any{"spec", "containers", 0, "image"}, "spec.containers[0].image"}, {[]any{"metadata", "labels", "a.b/c\n\u202e"}, `metadata.labels["a.b/c\n\u202e"]`},
		{[]any{"", "a"}, `[""].a`}, {[]any{strings.Repeat("a", 201)}, `["` + strings.Repeat("a", 200) + `"…]`},
	} {
		if got := manifest.FormatPath(c.path); got != c.want {
			t.Errorf("%v: got %s, want %s", c.path, got, c.want)
		}
	}
}
