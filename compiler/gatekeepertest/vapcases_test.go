// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

// enforced is a workload in mode enforce, on the Pods of namespace shop with label app=web.
func enforced(rules ...schema.Rule) schema.Workload {
	w := schema.Workload{Name: "web", Owner: "team-shop", Match: schema.Match{Namespace: "shop", Labels: map[string]string{"app": "web"}}}
	for _, plane := range []schema.Plane{schema.PlaneImage, schema.PlanePod} {
		w.Closures = append(w.Closures, schema.Closure{ID: schema.NewRuleID("closure", "web", string(plane)), Plane: plane, Mode: schema.ModeEnforce,
			Pos: []schema.Pos{{File: "shop/web.cue", Line: 3, Col: 2}}})
	}
	for _, r := range rules {
		r.ID, r.Pos = schema.NewRuleID("rule", "web", string(r.Plane), string(r.Verb), r.Object), []schema.Pos{{File: "shop/web.cue", Line: 5, Col: 3}}
		w.Rules = append(w.Rules, r)
	}
	return w
}

func runs(pattern string) schema.Rule {
	return schema.Rule{Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: pattern}
}

func sets(field schema.PodField, values ...string) schema.Rule {
	return schema.Rule{Plane: schema.PlanePod, Verb: schema.VerbSet, Object: string(field), Values: values}
}

// simplePod is a Pod of namespace shop with label app=web.
func simplePod(images ...string) object {
	containers := []any{}
	for i, image := range images {
		containers = append(containers, object{"name": fmt.Sprint("c", i), "image": image})
	}
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "x", "namespace": "shop", "labels": object{"app": "web"}},
		"spec": object{"containers": containers}}
}

func deployment(pod object) object {
	return object{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": object{"name": "x", "namespace": "shop"},
		"spec": object{"replicas": int64(1), "template": object{"metadata": object{"labels": object{"app": "web"}}, "spec": pod["spec"]}}}
}

// with returns a copy of an object with a field set; the path's last name is the field.
func with(o object, value any, path ...string) object {
	out := maps.Clone(o)
	if len(path) == 1 {
		out[path[0]] = value
		return out
	}
	inner, _ := o[path[0]].(object)
	out[path[0]] = with(inner, value, path[1:]...)
	return out
}

func TestVAPReferences(t *testing.T) {
	p := &schema.Policy{Workloads: []schema.Workload{enforced(runs("nginx"), runs("docker.io/a/**"), runs("registry.example.com/**"),
		runs("registry.example.com:5000/*"), runs("localhost/a:latest"), runs("a:t@"+digest), runs("x/*/b*"))},
		Bounds: []schema.Bound{{Name: "b", Mode: schema.ModeAudit, Never: []schema.Rule{{ID: 7, Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: "*/b:latest"}}}}}
	s := newServer("")
	s.apply(t, objectsOf(t, p, time.Time{}))
	for _, ref := range references {
		compareVAP(t, s, p, simplePod(ref))
	}
}

// TestVAPVersions holds that all expressions are understood by the oldest Kubernetes in which the policies are stable.
func TestVAPVersions(t *testing.T) {
	p := &schema.Policy{Workloads: []schema.Workload{enforced(runs("good"), sets(schema.PodSysctls, "net.*"))}}
	for _, version := range []string{"1.30", "1.31", "1.34", "1.36"} {
		s := newServer(version)
		s.apply(t, objectsOf(t, p, time.Time{}))
		compareVAP(t, s, p, simplePod("good"))
		compareVAP(t, s, p, simplePod("bad"))
	}
}

// TestVAPOperations holds what admission adds to the verdict.
func TestVAPOperations(t *testing.T) {
	p := &schema.Policy{Workloads: []schema.Workload{enforced(runs("good"), sets(schema.PodHostNetwork, "false"), sets(schema.PodPrivileged, "false"))}}
	s := newServer("")
	s.apply(t, objectsOf(t, p, time.Time{}))
	bad, leaving := simplePod("bad"), with(simplePod("bad"), "2027-01-01T00:00:00Z", "metadata", "deletionTimestamp")
	ephemeral := func(image string) object {
		return with(simplePod("good"), []any{object{"name": "debug", "image": image}}, "spec", "ephemeralContainers")
	}
	hostNetwork := with(simplePod("good"), true, "spec", "hostNetwork")
	for name, c := range map[string]struct {
		object, old object
		denied      bool
	}{
		"create, good":                         {simplePod("good"), nil, false},
		"create, bad":                          {bad, nil, true},
		"create, other label":                  {with(bad, object{"app": "db"}, "metadata", "labels"), nil, false},
		"update, nothing changed":              {bad, bad, false},
		"update, a finalizer is removed":       {bad, with(bad, []any{"a/b"}, "metadata", "finalizers"), false},
		"update, a label is added":             {with(bad, "b", "metadata", "labels", "a"), bad, true},
		"update, an annotation is added":       {with(bad, object{"a": "b"}, "metadata", "annotations"), bad, true},
		"update, another bad image":            {simplePod("worse"), bad, true},
		"update, good to bad":                  {bad, simplePod("good"), true},
		"update, bad to good":                  {simplePod("good"), bad, false},
		"update, an ephemeral container, good": {ephemeral("good"), simplePod("good"), false},
		"update, an ephemeral container, bad":  {ephemeral("bad"), simplePod("good"), true},
		"leaving, a label is added":            {with(leaving, "b", "metadata", "labels", "a"), leaving, true},
		"leaving, an annotation is added":      {with(leaving, object{"a": "b"}, "metadata", "annotations"), leaving, false},
		"leaving, another image":               {with(leaving, simplePod("worse")["spec"], "spec"), leaving, true},
		"leaving, on the host's network":       {with(with(leaving, hostNetwork["spec"], "spec"), object{"a": "b"}, "metadata", "annotations"), with(leaving, hostNetwork["spec"], "spec"), false},
		"deployment, good":                     {deployment(simplePod("good")), nil, false},
		"deployment, bad":                      {deployment(bad), nil, true},
		"deployment, bad and scaled":           {with(deployment(bad), int64(3), "spec", "replicas"), deployment(bad), false},
		"deployment, good to bad":              {deployment(bad), deployment(simplePod("good")), true},
		"deployment without a template":        {with(deployment(bad), object{}, "spec", "template"), nil, false},
		"a Pod without containers":             {simplePod(), nil, false},
	} {
		if got := s.ask(t, vapRequest{namespace: "shop", object: c.object, old: c.old}); len(got) > 0 != c.denied {
			t.Errorf("%s: %v; want denied = %v", name, got, c.denied)
		}
	}
}

// TestVAPMessages holds the words.
func TestVAPMessages(t *testing.T) {
	w := enforced(runs("good"), sets(schema.PodPrivileged, "false"), sets(schema.PodDropCapabilities, "ALL"), sets(schema.PodSeccomp, "RuntimeDefault"))
	w.Rules[1].Why = "no root\non the host"
	never := func(r schema.Rule, id schema.RuleID) schema.Rule {
		r.ID, r.Pos = id, []schema.Pos{{File: "bounds.cue", Line: 9, Col: 1}}
		return r
	}
	p := &schema.Policy{
		Workloads: []schema.Workload{w},
		Bounds: []schema.Bound{{Name: "all", Owner: "security", Why: "the auditors want it", Mode: schema.ModeAudit, ID: 3, Require: schema.Require{Workload: true},
			Pos: []schema.Pos{{File: "bounds.cue", Line: 2, Col: 1}}, Never: []schema.Rule{never(runs("evil/**"), 1), never(sets(schema.PodHostPaths, "/var/run/docker.sock"), 2)}}},
		Exceptions: []schema.Exception{{Name: "log4j", Owner: "team-shop", Why: "no fix yet", Images: []string{"old/**"}, Patch: []schema.Rule{never(runs("old/app"), 4)}}},
	}
	s := newServer("")
	s.apply(t, objectsOf(t, p, time.Time{}))
	sound := object{"seccompProfile": object{"type": "RuntimeDefault"}, "capabilities": object{"drop": []any{"ALL"}}}
	one := func(image string, security object) object {
		return with(simplePod(), []any{object{"name": "c0", "image": image, "securityContext": security}}, "spec", "containers")
	}
	image, privileged, drop, seccomp := w.Closures[0].ID, w.Rules[1].ID, w.Rules[2].ID, w.Rules[3].ID
	for _, c := range []struct {
		pod  object
		want string
	}{
		{one("bad\x1b", sound), fmt.Sprintf(`container "c0": image "bad�" is not an image reference; workload web (owner team-shop), rule %s at shop/web.cue:3; write it as registry/path:tag or registry/path@sha256:...`+
			` | container "c0": image "bad�" is not an image reference; exception log4j (owner team-shop), rule 0000000000000004 at bounds.cue:9; why: no fix yet; write it as registry/path:tag or registry/path@sha256:...`+
			` / container "c0": image "bad�" is not an image reference; bound all (owner security), rule 0000000000000001 at bounds.cue:9; why: the auditors want it; write it as registry/path:tag or registry/path@sha256:...`, image)},
		{one("bad", sound), fmt.Sprintf(`container "c0": image "bad" is allowed by no rule of image.from; workload web (owner team-shop), rule %s at shop/web.cue:3; use an image that the workload allows, or add this one there`, image)},
		{one("good", with(sound, true, "privileged")), fmt.Sprintf(`container "c0": privileged is "true", permitted: "false"; workload web (owner team-shop), rule %s at shop/web.cue:5; why: no root on the host; change securityContext.privileged, or the condition of the workload`, privileged)},
		{one("good", with(sound, object{}, "capabilities")), fmt.Sprintf(`container "c0": dropCapabilities lacks "ALL", demanded; workload web (owner team-shop), rule %s at shop/web.cue:5; change securityContext.capabilities.drop, or the condition of the workload`, drop)},
		{one("good", with(sound, nil, "seccompProfile")), fmt.Sprintf(`container "c0": seccomp is unset, permitted: "RuntimeDefault"; workload web (owner team-shop), rule %s at shop/web.cue:5; change securityContext.seccompProfile, or the condition of the workload`, seccomp)},
		{with(one("evil/app", sound), object{}, "metadata", "labels"), `container "c0": image "evil/app" is forbidden; bound all (owner security), rule 0000000000000001 at bounds.cue:9; why: the auditors want it; use another image` +
			` | container "c0": no workload of the policy selects it; bound all (owner security), rule 0000000000000003 at bounds.cue:2; why: the auditors want it; give the Pod the labels of a workload, or add a workload for it`},
		{with(one("good", sound), []any{object{"name": "v", "hostPath": object{"path": "/var/run/"}}}, "spec", "volumes"),
			`Pod: hostPaths is "/var/run", forbidden: "/var/run/docker.sock"; bound all (owner security), rule 0000000000000002 at bounds.cue:9; why: the auditors want it; change the hostPath in spec.volumes`},
		{with(one("old/app", sound), object{"app": "x"}, "metadata", "labels"), `container "c0": image "old/app" is forbidden; exception log4j (owner team-shop), rule 0000000000000004 at bounds.cue:9; why: no fix yet; use another image` +
			` / container "c0": no workload of the policy selects it; bound all (owner security), rule 0000000000000003 at bounds.cue:2; why: the auditors want it; give the Pod the labels of a workload, or add a workload for it`},
	} {
		var got []string
		for _, a := range s.ask(t, vapRequest{namespace: "shop", object: c.pod}) {
			got = append(got, a.message)
		}
		if strings.Join(got, " / ") != c.want {
			t.Errorf(" got %s\nwant %s", strings.Join(got, " / "), c.want)
		}
	}
}

// TestVAPLongMessage holds that a message stays within what an API server passes on.
func TestVAPLongMessage(t *testing.T) {
	p := &schema.Policy{Workloads: []schema.Workload{enforced()}}
	s := newServer("")
	s.apply(t, objectsOf(t, p, time.Time{}))
	for _, image := range []string{"a", "日本", "\x00", strings.Repeat("😀", 300), "\n"} {
		var images []string
		for range 100 {
			images = append(images, image)
		}
		answers := s.ask(t, vapRequest{namespace: "shop", object: simplePod(images...)})
		if len(answers) != 1 || answers[0].failed || !strings.HasPrefix(answers[0].message, `container "c0": image `) || len(answers[0].message) > 5<<10 ||
			!strings.HasSuffix(answers[0].message, "...") {
			t.Errorf("%.20q: %d answers, %.200v", image, len(answers), answers)
		}
	}
}

// many is a namespace of n workloads that each select their own label.
func many(n int) *schema.Policy {
	p := &schema.Policy{}
	for i := range n {
		w := enforced(runs("registry.example.com/team/app:v1"), runs("registry.example.com/shared/**"), sets(schema.PodHostPaths, "/data/**"))
		w.Name, w.Match.Labels = fmt.Sprintf("w%04d", i), map[string]string{"app": fmt.Sprintf("app-%04d", i), "tier": "web"}
		w.Profile = "restricted"
		for _, r := range schema.ProfileRules("restricted") {
			r.ID, r.Pos = schema.NewRuleID("rule", w.Name, "pod", "set", "profile/"+r.Object), []schema.Pos{{File: "shop/web.cue", Line: 4, Col: 1}}
			w.Rules = append(w.Rules, r)
		}
		p.Workloads = append(p.Workloads, w)
	}
	p.Bounds = []schema.Bound{{Name: "all", Mode: schema.ModeEnforce, ID: 3, Require: schema.Require{Workload: true}, Never: []schema.Rule{{ID: 4, Plane: schema.PlanePod, Verb: schema.VerbSet, Object: "hostPaths", Values: []string{"/var/run/**"}}}}}
	return p
}

// TestVAPBudget holds what a request may cost: in a namespace of a thousand workloads, a Pod of many containers and labels is judged; beyond
// that it is denied, because what judges fails.
func TestVAPBudget(t *testing.T) {
	s := newServer("")
	s.apply(t, objectsOf(t, many(1000), time.Time{}))
	for _, size := range [][2]int{{1, 2}, {3, 5000}, {budgetContainers, 10}} {
		if got := s.ask(t, vapRequest{namespace: "shop", object: bigPod(size[0], size[1])}); len(got) > 0 {
			t.Errorf("%d containers, %d labels: %.500v", size[0], size[1], got)
		}
	}
	got := s.ask(t, vapRequest{namespace: "shop", object: bigPod(5000, 10)})
	if len(got) == 0 {
		t.Error("5000 containers are allowed; want them denied")
	}
	for _, a := range got {
		if !a.failed || a.actions[0] != "Deny" {
			t.Errorf("5000 containers: %.300v; want it denied", a)
		}
	}
}

// bigPod is one that the workloads of many allow.
func bigPod(containers, labels int) object {
	list, all := []any{}, object{"app": "app-0500", "tier": "web"}
	for i := range containers {
		list = append(list, object{"name": fmt.Sprint("container-", i), "image": "registry.example.com/team/app:v1", "ports": []any{object{"containerPort": int64(80)}},
			"securityContext": object{"allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": object{"drop": []any{"ALL"}},
				"seccompProfile": object{"type": "RuntimeDefault"}}})
	}
	for i := range labels {
		all[fmt.Sprint("label-", i)] = "value"
	}
	return with(with(simplePod(), all, "metadata", "labels"), list, "spec", "containers")
}

// budgetContainers is a number of containers that the budget is enough for; see compiler/admission/doc.go.
const budgetContainers = 200
