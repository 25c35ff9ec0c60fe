// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/client/reviews"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// withImages is a Pod with a container of each kind, as far as there are images.
func withImages(images ...string) object {
	spec := object{}
	for i, image := range images {
		kind := []string{"containers", "initContainers", "ephemeralContainers"}[i%3]
		list, _ := spec[kind].([]any)
		spec[kind] = append(list, object{"name": "c" + string(rune('0'+i)), "image": image})
	}
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "p"}, "spec": spec}
}

// changed returns a copy of an object with a field of its Pod's part set.
func changed(t *testing.T, o object, part, field string, value any) object {
	o = decoded(t, o)
	part1, _ := o[part].(object)
	part1 = maps.Clone(part1)
	part1[field] = value
	o[part] = part1
	return o
}

const strict = `package policy
workload: none: {match: namespace: "shop", mode: "enforce", image: from: "good": {}, pod: {hostNetwork: false, dropCapabilities: KILL: {}, automountServiceAccountToken: true}}
bound: b: {mode: "enforce", never: pod: hostPID: "true": {}, never: image: "worst": {}, require: workload: true}
`

// TestOperations holds what admission adds to the verdict: deletion is never denied, what is being deleted stays updatable, and so does what
// already is as it is.
func TestOperations(t *testing.T) {
	e := newEngine(t)
	e.load(t, compile(t, strict).Bundle)
	const container = `container "c0"`
	good := changed(t, withImages("good"), "spec", "hostUsers", true)
	good["spec"].(object)["containers"] = []any{object{"name": "c0", "image": "good", "securityContext": object{"capabilities": object{"drop": []any{"KILL"}}}}}
	bad := changed(t, good, "spec", "hostNetwork", true)
	badImage := changed(t, withImages("bad"), "spec", "hostPID", true)
	leaving := changed(t, badImage, "metadata", "deletionTimestamp", "2027-01-01T00:00:00Z")
	leavingAnnotated := changed(t, leaving, "metadata", "annotations", object{"a": "b"})
	swapped := changed(t, leaving, "spec", "containers", []any{object{"name": "c0", "image": "worse"}})
	held := changed(t, bad, "metadata", "finalizers", []any{"a"})
	for name, c := range map[string]struct {
		op     admissionv1.Operation
		o, old object
		want   []string // parts of messages
	}{
		"create":                             {admissionv1.Create, bad, nil, []string{"hostNetwork"}},
		"good":                               {admissionv1.Create, good, nil, nil},
		"update that makes it bad":           {admissionv1.Update, bad, good, []string{"hostNetwork"}},
		"update that changes nothing":        {admissionv1.Update, held, bad, nil},
		"update of labels":                   {admissionv1.Update, changed(t, bad, "metadata", "labels", object{"a": "b"}), bad, []string{"hostNetwork"}},
		"update of annotations":              {admissionv1.Update, changed(t, bad, "metadata", "annotations", object{"a": "b"}), bad, []string{"hostNetwork"}},
		"delete":                             {admissionv1.Delete, bad, bad, nil},
		"update while deleting":              {admissionv1.Update, leavingAnnotated, leaving, nil},
		"another image while deleting":       {admissionv1.Update, swapped, leaving, []string{`image "worse"`, "hostPID"}},
		"other labels while deleting":        {admissionv1.Update, changed(t, leaving, "metadata", "labels", object{"a": "b"}), leaving, []string{`image "bad"`, "hostPID"}},
		"another field while deleting":       {admissionv1.Update, changed(t, leaving, "spec", "hostNetwork", true), leaving, []string{`image "bad"`, "hostPID", "hostNetwork"}},
		"no image":                           {admissionv1.Create, withImages(""), nil, []string{container, "not an image reference", "bound b", "dropCapabilities"}},
		"a Deployment":                       {admissionv1.Create, made(bad, makers[0]), nil, []string{"hostNetwork"}},
		"a Deployment that is scaled":        {admissionv1.Update, changed(t, made(bad, makers[0]), "metadata", "labels", object{"x": "y"}), made(bad, makers[0]), nil},
		"a Deployment that changes":          {admissionv1.Update, made(bad, makers[0]), made(good, makers[0]), []string{"hostNetwork"}},
		"a Deployment that is being deleted": {admissionv1.Update, changed(t, made(bad, makers[0]), "metadata", "deletionTimestamp", "2027-01-01T00:00:00Z"), made(bad, makers[0]), nil},
		"a CronJob":                          {admissionv1.Create, made(bad, makers[1]), nil, []string{"hostNetwork"}},
		"a Service":                          {admissionv1.Create, object{"apiVersion": "v1", "kind": "Service", "metadata": object{"name": "s"}, "spec": bad["spec"]}, nil, nil},
	} {
		var messages []string
		for _, r := range e.review(t, request(t, c.op, "shop", c.o, c.old)) {
			messages = append(messages, r.Msg)
		}
		text := strings.Join(messages, "\n")
		for _, part := range c.want {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is not in\n%s", name, part, text)
			}
		}
		if (len(c.want) > 0) != (len(messages) > 0) {
			t.Errorf("%s: got\n%s\nwant %q", name, text, c.want)
		}
	}
}

// TestSubresource holds that an ephemeral container is no way round: kubectl debug updates a Pod's ephemeralcontainers.
func TestSubresource(t *testing.T) {
	e := newEngine(t)
	e.load(t, compile(t, strict).Bundle)
	r := request(t, admissionv1.Update, "shop", withImages("good", "good", "bad"), withImages("good", "good"))
	r.SubResource = "ephemeralcontainers"
	text := ""
	for _, result := range e.review(t, r) {
		text += result.Msg + "\n"
	}
	if !strings.Contains(text, `container "c2": image "bad" is allowed by no rule`) {
		t.Errorf("got %q", text)
	}
}

// TestReferences compares each reference of the table.
func TestReferences(t *testing.T) {
	e := newEngine(t)
	res := compile(t, `package policy
workload: none: {match: namespace: "shop", mode: "enforce", image: from: {}}
workload: some: {match: {namespace: "shop", labels: a: "b"}, shared: true, mode: "audit", image: from: {
	"nginx": {}, "docker.io/a/**": {}, "registry.example.com/**": {}, "registry.example.com:5000/*": {}, "localhost/a:latest": {}, "a:t@`+digest+`": {}}}
workload: none: shared: true
bound: b: never: image: {"docker.io/a/b__c/**": {}, "registry.example.com/a/b": {}, "a@`+strings.Replace(digest, "0", "1", 1)+`": {}, "a/*/b:t": {}}
`)
	e.load(t, res.Bundle)
	p := admitted(policyOf(t, res))
	for _, ref := range references {
		compare(t, e, p, "shop", changed(t, withImages(ref), "metadata", "labels", object{"a": "b"}), time.Time{})
	}
}

// TestMessages holds the words that the person who is stopped reads.
func TestMessages(t *testing.T) {
	e := newEngine(t)
	e.load(t, compile(t, `package policy
workload: web: {match: {namespace: "shop", labels: app: "web"}, owner: "team-shop", mode: "enforce", image: from: "registry.example.com/**": {}
	pod: {profile: "restricted", sysctls: "net.*": {why: "the \n tunnel"}}
}
bound: sock: {mode: "enforce", owner: "org", why: "it is root on the node", never: {image: "docker.io/**": {}, pod: hostPaths: "/var/run/docker.sock": {}}, require: workload: true}
`).Bundle)
	pod := changed(t, withImages("nginx:latest", "registry.example.com/a"), "metadata", "labels", object{"app": "web"})
	spec := pod["spec"].(object)
	spec["securityContext"] = object{"runAsNonRoot": true, "seccompProfile": object{"type": "RuntimeDefault"}, "sysctls": []any{object{"name": "kernel.a\n"}}}
	spec["volumes"] = []any{object{"name": "v", "hostPath": object{"path": "/var/run/"}}}
	var got []string
	for _, o := range []object{pod, changed(t, pod, "metadata", "labels", object{})} {
		for _, r := range e.review(t, request(t, admissionv1.Create, "shop", o, nil)) {
			got = append(got, r.Msg)
		}
	}
	slices.Sort(got)
	got = slices.Compact(got)
	want := []string{
		`Pod: hostPaths is "/var/run/", forbidden: "/var/run/docker.sock"; bound sock (owner org), rule ID at writ.cue:5; why: it is root on the node; change the hostPath in spec.volumes`,
		`Pod: hostPaths is "/var/run/", permitted by profile restricted: none; workload web (owner team-shop), rule ID at writ.cue:3; change the hostPath in spec.volumes, or the condition of the workload`,
		`Pod: sysctls is "kernel.a\n", permitted by profile restricted: "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_notsent_lowat" and 4 more; workload web (owner team-shop), rule ID at writ.cue:3; change securityContext.sysctls, or the condition of the workload`,
		`Pod: sysctls is "kernel.a\n", permitted: "net.*"; workload web (owner team-shop), rule ID at writ.cue:3; why: the \n tunnel; change securityContext.sysctls, or the condition of the workload`,
		`Pod: volumes is "hostPath", permitted by profile restricted: "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"; workload web (owner team-shop), rule ID at writ.cue:3; change spec.volumes, or the condition of the workload`,
		`container "c0": image "nginx:latest" is allowed by no rule of image.from; workload web (owner team-shop), rule ID at writ.cue:2; use an image that the workload allows, or add this one there`,
		`container "c0": image "nginx:latest" is forbidden; bound sock (owner org), rule ID at writ.cue:5; why: it is root on the node; use another image`,
		`containers "c0", "c1": allowPrivilegeEscalation is "true", permitted by profile restricted: "false"; workload web (owner team-shop), rule ID at writ.cue:3; change securityContext.allowPrivilegeEscalation, or the condition of the workload`,
		`containers "c0", "c1": dropCapabilities lacks "ALL", demanded by profile restricted; workload web (owner team-shop), rule ID at writ.cue:3; change securityContext.capabilities.drop, or the condition of the workload`,
		`containers "c0", "c1": no workload of the policy selects it; bound sock (owner org), rule ID at writ.cue:5; why: it is root on the node; give the Pod the labels of a workload, or add a workload for it`,
	}
	for i := range got {
		got[i] = ruleID.ReplaceAllString(got[i], "rule ID")
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDamaged denies when a section cannot be read, whatever the Pod, but never a deletion.
func TestDamaged(t *testing.T) {
	const source = "package policy\nworkload: w: {match: namespace: \"shop\", mode: \"enforce\", image: from: good: {}}\n"
	e := newEngine(t)
	e.load(t, compile(t, source).Bundle)
	whole, _, err := unstructured.NestedString(e.constraints[0].Object, "spec", "parameters", "sections", "shop")
	if err != nil || len(whole) < 80 {
		t.Fatalf("%q, %v", whole, err)
	}
	for name, text := range map[string]any{
		"empty": "", "cut": whole[:len(whole)-1], "no digest": whole[65:], "another digest": "0" + whole[1:], "one byte": strings.Replace(whole, "good", "baad", 1),
		"old form": `[{"n":"w","c":"c","l":{},"e":{}}]`, "a line more": whole + "\n{}", "a number": int64(1), "null": nil, "an object": object{},
	} {
		c := e.constraints[0].DeepCopy()
		if err := unstructured.SetNestedField(c.Object, text, "spec", "parameters", "sections", "shop"); err != nil {
			t.Fatal(err)
		}
		if _, err := e.AddConstraint(t.Context(), c); err != nil {
			continue // the engine refuses it, as an API server does
		}
		pod := withImages("good")
		results := e.review(t, request(t, admissionv1.Create, "shop", pod, nil))
		if len(results) != 1 || results[0].EnforcementAction != "deny" || !strings.Contains(results[0].Msg, `section "shop" cannot be read`) {
			t.Errorf("%s: results %v; want one denial", name, results)
		}
		if results := e.review(t, request(t, admissionv1.Delete, "shop", pod, pod)); len(results) > 0 {
			t.Errorf("%s, deletion: results %v; want none", name, results)
		}
	}
	for name, parameters := range map[string]object{
		"nothing": {}, "no sections": {"makers": []any{}}, "no makers": {"sections": object{}}, "makers in words": {"sections": object{}, "makers": []any{"apps"}},
		"a path that is none": {"sections": object{}, "makers": []any{[]any{"apps", "Deployment", "spec"}}},
	} {
		c := e.constraints[0].DeepCopy()
		if err := unstructured.SetNestedField(c.Object, parameters, "spec", "parameters"); err != nil {
			t.Fatal(err)
		}
		if _, err := e.AddConstraint(t.Context(), c); err != nil {
			continue
		}
		results := e.review(t, request(t, admissionv1.Create, "shop", made(withImages("good"), makers[0]), nil))
		if len(results) == 0 || !strings.Contains(results[0].Msg, "the rules cannot be read") {
			t.Errorf("%s: results %v; want a denial", name, results)
		}
	}
}

// TestAudit judges objects that are already there, of which Gatekeeper's audit says no operation.
func TestAudit(t *testing.T) {
	e := newEngine(t)
	e.load(t, compile(t, "package policy\nworkload: w: {match: namespace: \"shop\", mode: \"enforce\", image: from: good: {}}\n").Bundle)
	for image, want := range map[string]int{"good": 0, "bad": 1} {
		o := changed(t, withImages(image), "metadata", "namespace", "shop")
		responses, err := e.Review(t.Context(), target.AugmentedUnstructured{Object: unstructured.Unstructured{Object: o},
			Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}, reviews.EnforcementPoint(enforcementPoint))
		if err != nil {
			t.Fatal(err)
		}
		if got := responses.Results(); len(got) != want {
			t.Errorf("image %s: results %v; want %d", image, got, want)
		}
	}
}

// TestEnforcementPoints holds that a mode means one action wherever Gatekeeper asks: at the webhook, in its audit and in its command line. So a
// plain word says what a list of scoped actions would.
func TestEnforcementPoints(t *testing.T) {
	for mode, action := range map[string]string{"enforce": "deny", "audit": "warn", "learn": "dryrun"} {
		e := newEngine(t)
		e.load(t, compile(t, fmt.Sprintf(`package policy
workload: none: {match: namespace: "shop", mode: %q, image: from: "good": {}}
`, mode)).Bundle)
		pod := object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "p", "namespace": "shop"},
			"spec": object{"containers": []any{object{"name": "c", "image": "bad"}}}}
		for _, point := range enforcementPoints {
			responses, err := e.Review(t.Context(), target.AugmentedReview{AdmissionRequest: request(t, admissionv1.Create, "shop", pod, nil), IsAdmission: true,
				Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}, reviews.EnforcementPoint(point))
			if err != nil {
				t.Fatal(err)
			}
			results := responses.Results()
			if len(results) != 1 || results[0].EnforcementAction != action {
				t.Errorf("mode %s at %s: %+v; want one violation with action %q", mode, point, results, action)
			}
		}
	}
}
