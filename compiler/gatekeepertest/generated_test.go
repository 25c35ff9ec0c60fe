// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/writ-sec/writ/schema"
)

// dates are those on which generated modes change; instants lie before, between, at and after them.
var (
	dates    = []string{"2027-01-31", "2027-06-30T12:00:00Z"}
	afterAll = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	instants = []time.Time{{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 31, 23, 59, 59, 0, time.UTC),
		time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 6, 30, 12, 0, 0, 0, time.UTC), afterAll}
)

// generator makes policies and Pods from few names, so that they meet often.
type generator struct{ *rand.Rand }

func (g generator) pick(from ...string) string { return from[g.IntN(len(from))] }

func (g generator) reference(wild bool) string {
	segment := func() string {
		if wild && g.IntN(3) == 0 {
			return g.pick("*", "**", "p*", "*y", "a*b")
		}
		return g.pick("a", "b", "pay", "ab", "library", "a.b", "a__b")
	}
	s := g.pick("", "", "docker.io/", "index.docker.io/", "r.example.com/", "R.example.com/", "r.example.com:5000/", "localhost/")
	for i := range 1 + g.IntN(3) {
		if i > 0 {
			s += "/"
		}
		s += segment()
	}
	if g.IntN(3) == 0 {
		s += ":" + g.pick("latest", "v1", "v2")
	}
	if g.IntN(6) == 0 {
		s += "@" + g.pick(digest, strings.Replace(digest, "0", "1", 1))
	}
	if !wild && g.IntN(12) == 0 { // damage it
		at := g.IntN(len(s) + 1)
		s = s[:at] + g.pick("/", ":", "@", "A", ".", "-", "_", "*", "ä", " ", "\n") + s[at:]
	}
	return s
}

func (g generator) labels() map[string]string {
	m := map[string]string{}
	for range g.IntN(3) {
		m[g.pick("app", "tier", "example.com/x")] = g.pick("a", "b", "")
	}
	return m
}

// mode is one word, or a change on a date.
func (g generator) mode() any {
	modes := []string{"learn", "audit", "enforce"}
	now := g.IntN(len(modes))
	if g.IntN(3) > 0 {
		return modes[now]
	}
	then := (now + 1 + g.IntN(2)) % len(modes)
	return map[string]string{"now": modes[now], "then": modes[then], "after": g.pick(dates...)}
}

// expressions are conditions that some Pod meets: of a label that has a literal value there is none.
func (g generator) expressions(labels map[string]string) map[string]any {
	all := map[string]any{}
	for range g.IntN(3) {
		key, x := g.pick("app", "tier", "example.com/x", "none"), map[string]any{}
		if _, literal := labels[key]; literal {
			continue
		}
		set := func(values ...string) map[string]any {
			m := map[string]any{}
			for _, v := range values {
				m[v] = struct{}{}
			}
			return m
		}
		switch g.IntN(6) {
		case 0:
			x["in"] = set(g.pick("a", "b", ""), g.pick("a", "b", "c"))
		case 1:
			x["notIn"] = set(g.pick("a", "b", ""), g.pick("a", "b", "c"))
		case 2:
			x["exists"] = g.IntN(2) == 0
		case 3:
			x["in"], x["notIn"] = set("a", "b", ""), set(g.pick("a", "b", "c"))
		case 4:
			x["notIn"], x["exists"] = set(g.pick("a", "b", "")), true
		case 5:
			x["notIn"] = set("a")
		}
		all[key] = x
	}
	return all
}

// match selects by what admission knows, and by one field at least.
func (g generator) match() map[string]any {
	labels := g.labels()
	match := map[string]any{"labels": labels}
	if namespace := g.pick("shop", "shop", "web", ""); namespace != "" {
		match["namespace"] = namespace
	}
	if expressions := g.expressions(labels); len(expressions) > 0 {
		match["expressions"] = expressions
	}
	if g.IntN(4) == 0 {
		match["container"] = g.pick("c0", "c1", "c*", "*", "*-2", "*c*", "c*3", "d*", "c-2", "c0*")
	}
	if len(match) == 1 && len(labels) == 0 {
		match["namespace"] = "shop"
	}
	return match
}

// pod has up to most containers, some with a name of several words.
func (g generator) pod(most int) *corev1.Pod {
	var images []string
	for range 1 + g.IntN(most) {
		images = append(images, g.reference(false))
	}
	pod := newPod(g.pick("shop", "web", "other"), g.labels(), images...)
	for i := range pod.Spec.EphemeralContainers {
		pod.Spec.EphemeralContainers[i].Name = strings.Replace(pod.Spec.EphemeralContainers[i].Name, "c", g.pick("c", "c-", "side-c"), 1)
	}
	return pod
}

func (g generator) policy(workloads int) string {
	var b strings.Builder
	b.WriteString("package policy\n")
	for i := range workloads {
		from := map[string]any{}
		for range g.IntN(6) {
			ref := g.reference(true)
			if _, err := schema.ParseImagePattern(ref); err == nil {
				from[ref] = struct{}{}
			}
		}
		w := map[string]any{"match": g.match(), "shared": true, "mode": g.mode(), "image": map[string]any{"from": from}}
		if g.IntN(3) == 0 {
			w["owner"] = "team-a"
		}
		data, err := json.Marshal(w)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "workload: w%d: %s\n", i, data)
	}
	return b.String()
}

// TestGenerated compares the engine with Judge on at least 5,000 Pods of up to four containers. Policies are compiled for an instant or for none.
func TestGenerated(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	e := newEngine(t)
	cases, denied := 0, 0
	for round := range 60 {
		workloads, most := 1+g.IntN(12), 4
		if round%20 == 19 {
			workloads, most = 450, 1 // namespaces of many workloads, which have a section for each label
		}
		at := instants[round%len(instants)]
		res := compileAt(t, g.policy(workloads), at)
		e.load(t, res.Bundle)
		p := policyOf(t, res)
		for range 90 {
			cases++
			if compare(t, e, p, g.pod(most), at) > 0 {
				denied++
			}
		}
	}
	t.Logf("%d cases, %d with a violation", cases, denied)
	if cases < 5000 || denied < cases/10 || denied > cases*95/100 {
		t.Errorf("%d cases, %d with a violation; want at least 5000, and both answers often", cases, denied)
	}
}

// TestSelection holds each part of a match by itself, with Pods that it selects and that it does not.
func TestSelection(t *testing.T) {
	type labels = map[string]string
	tests := map[string]struct {
		match  string
		labels labels
		want   []string // containers that have a violation, of c0, c1 and c2
	}{
		"in":                            {`expressions: app: in: {a: {}, b: {}}`, labels{"app": "b"}, []string{"c0", "c1", "c2"}},
		"in, another value":             {`expressions: app: in: {a: {}, b: {}}`, labels{"app": "c"}, nil},
		"in, no label":                  {`expressions: app: in: a: {}`, nil, nil},
		"in, an empty value":            {`expressions: app: in: "": {}`, labels{"app": ""}, []string{"c0", "c1", "c2"}},
		"in, an empty value, no label":  {`expressions: app: in: "": {}`, nil, nil},
		"not in":                        {`expressions: app: notIn: a: {}`, labels{"app": "a"}, nil},
		"not in, another value":         {`expressions: app: notIn: a: {}`, labels{"app": "b"}, []string{"c0", "c1", "c2"}},
		"not in, no label":              {`expressions: app: notIn: a: {}`, nil, []string{"c0", "c1", "c2"}},
		"exists":                        {`expressions: app: exists: true`, labels{"app": ""}, []string{"c0", "c1", "c2"}},
		"exists, no label":              {`expressions: app: exists: true`, labels{"other": "a"}, nil},
		"does not exist":                {`expressions: app: exists: false`, nil, []string{"c0", "c1", "c2"}},
		"does not exist, and does":      {`expressions: app: exists: false`, labels{"app": ""}, nil},
		"two, one does not hold":        {`expressions: {app: exists: true, tier: exists: true}`, labels{"app": "a"}, nil},
		"a label and a condition":       {`labels: tier: "web", expressions: app: notIn: a: {}`, labels{"tier": "web"}, []string{"c0", "c1", "c2"}},
		"a container":                   {`container: "c1"`, nil, []string{"c1"}},
		"containers":                    {`container: "c*"`, nil, []string{"c0", "c1", "c2"}},
		"a container that is not there": {`container: "c"`, nil, nil},
		"a container and a condition":   {`container: "*2", expressions: app: exists: true`, labels{"app": "a"}, []string{"c2"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			res := compile(t, "package policy\nworkload: w: {match: {"+test.match+"}, mode: \"enforce\", image: from: good: {}}\n")
			e.load(t, res.Bundle)
			pod := newPod("shop", test.labels, "bad", "bad", "bad")
			compare(t, e, policyOf(t, res), pod, time.Time{})
			var got []string
			for _, f := range found(t, e.review(t, request(t, admissionv1.Create, pod, nil))) {
				got = append(got, f.container)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("violations of %v; want %v", got, test.want)
			}
		})
	}
}
