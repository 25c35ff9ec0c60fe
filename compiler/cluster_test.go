// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

func compileFor(t testing.TB, cluster string, tree Tree) (*Result, error) {
	t.Helper()
	return New(Config{Cluster: cluster}).Compile(context.Background(), tree, bundle.Envelope{})
}

// TestClusterCounts compiles a repository for its clusters: what stands in a folder that does not count is known and not in force, and what an
// organisation states above counts.
func TestClusterCounts(t *testing.T) {
	files := map[string]string{
		"a.cue": `package policy

import "github.com/writ-sec/writ/schema"

workload: [string]: schema.#Workload
folder: shop: namespaces: {shop: {}, web: {}}
folder: "shop/web": namespaces: web: {}
folder: ops: namespaces: ops: {}
workload: root: {match: namespace: "root", exec: "/bin/a": {}}
bound: all: never: exec: "/bin/sh": {}
gate: g: {deny: secret: any: {}}
cluster: prod: mode: "enforce"
cluster: edge: {folders: "shop/web": {}, mode: {exec: "learn", egress: {now: "audit", then: "enforce", after: "2027-01-15"}}, workload: cart: mode: "enforce"}
test: root: {in: "root", exec: "/bin/a", is: "allowed"}
test: web: {in: "web", exec: "/bin/a", is: "allowed"}
`,
		"shop/a.cue": `package policy

workload: pay: {match: namespace: "shop", exec: "/bin/a": {}, ingress: web: {workload: "web/web", port: 80}}
bound: shop: {match: namespace: "shop", never: exec: "/bin/bash": {}}
`,
		"shop/web/a.cue": `package policy

workload: web: {match: {namespace: "web", labels: app: "web"}, mode: "enforce", exec: "/bin/a": {}, egress: {pay: {workload: "shop/pay", port: 80}, ops: {workload: "ops", port: 80}}}
workload: cart: {match: {namespace: "web", labels: app: "cart"}, exec: "/bin/a": {}}
bound: web: {match: namespace: "web", never: exec: "/bin/bash": {}}
`,
		"ops/a.cue": `package policy

workload: ops: {match: namespace: "ops", image: {from: "r.example.com/ops": {}, gate: "g"}, exec: "/bin/a": {}, ingress: web: {workload: "web", port: 80}}
bound: ops: {match: namespace: "ops", never: exec: "/bin/bash": {}}
exception: ops: {finding: "CVE-2026-12345": {}, images: "r.example.com/ops": {}, why: "a", owner: "ops", expires: "2027-01-31"}
registry: ops: {host: "r.example.com", owner: "ops"}
response: ops: {on: workload: "ops", do: capture: "60s"}
check: ops: {of: {apiVersion: "v1", kind: "ResourceQuota", namespace: "ops"}, must: "spec.hard": exists: true}
test: ops: {in: "web", exec: "/bin/a", is: "allowed"}
`,
	}
	res, err := compileFor(t, "edge", treeOf(files))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Warnings) > 0 {
		t.Errorf("warnings: %v", res.Warnings)
	}
	p := policyOf(t, res)
	var got []string
	for _, w := range p.Workloads {
		got = append(got, "workload "+w.Name)
		for _, c := range w.Closures {
			got = append(got, fmt.Sprintf("%s %s %s", w.Name, c.Plane, DescribeMode(c.Mode, c.Then, c.After)))
		}
		for _, r := range w.Rules {
			if r.Peer != nil {
				got = append(got, fmt.Sprintf("%s to %s of %s", r.Object, r.Peer.Workload, r.Peer.Match.Namespace))
			}
		}
	}
	for _, b := range p.Bounds {
		got = append(got, "bound "+b.Name)
	}
	for _, v := range p.Tests {
		got = append(got, "test "+v.Name)
	}
	got = append(got, fmt.Sprintf("cluster %s, %d others", p.Cluster, len(p.Exceptions)+len(p.Registries)+len(p.Responses)+len(p.Checks)))
	want := strings.Split(`workload cart
cart exec enforce
workload web
web egress `+DescribeMode("audit", "enforce", "2027-01-15")+`
web exec learn
ops to ops of ops
pay to pay of shop
bound all
bound shop
bound web
test web
cluster edge, 0 others`, "\n")
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, f := range res.Bundle.Manifest.Files {
		if strings.Contains(f.Path, "ops") || strings.Contains(f.Path, "registries") || strings.Contains(f.Path, "responses") {
			t.Errorf("the bundle for edge holds %s", f.Path)
		}
	}
}

func TestUnknownCluster(t *testing.T) {
	const root = "package policy\n\ncluster: b: mode: \"learn\"\ncluster: a: mode: \"enforce\"\nworkload: w: {match: namespace: \"a\", exec: \"/a\": {}}\n"
	for _, c := range []struct{ text, want string }{
		{root, `cluster "staging" is not stated; want "a" or "b"`},
		{"package policy\n\nworkload: w: {match: namespace: \"a\", exec: \"/a\": {}}\n", `cluster "staging" is not stated: the policy states no cluster`},
	} {
		_, err := compileFor(t, "staging", treeOf(map[string]string{"a.cue": c.text}))
		if unknown := (*UnknownClusterError)(nil); !errors.As(err, &unknown) || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	for _, wrong := range []string{"cluster: staging: mode: \"strict\"\n", "workload: v: exec: {}\n"} { // the policy's own errors come first
		_, err := compileFor(t, "staging", treeOf(map[string]string{"a.cue": root + wrong}))
		if errs := (Errors)(nil); !errors.As(err, &errs) || strings.Contains(err.Error(), "is not stated") {
			t.Errorf("%s: got %v, want its own error alone", wrong, err)
		}
	}
}

// clusterCase is a random repository, with what each cluster must do to it.
type clusterCase struct {
	rand    *rand.Rand
	text    map[string]*strings.Builder
	modes   map[string]string            // of each workload and plane, as stated
	folders map[string]string            // of each workload
	over    map[string]map[string]string // by cluster: by "plane", "", "workload/plane" or "workload/"
	counts  map[string][]string          // by cluster: its folders
}

var caseModes = []string{`"learn"`, `"audit"`, `"enforce"`, `{now: "audit", then: "enforce", after: "2027-01-15"}`}

func newClusterCase(seed uint64) *clusterCase {
	c := &clusterCase{rand: rand.New(rand.NewPCG(seed, 7)), text: map[string]*strings.Builder{}, modes: map[string]string{}, folders: map[string]string{},
		over: map[string]map[string]string{}, counts: map[string][]string{}}
	for _, dir := range []string{".", "x", "x/y", "z"} {
		c.text[dir] = &strings.Builder{}
		c.text[dir].WriteString("package policy\n\n")
		for i := range 2 {
			c.workload(dir, fmt.Sprintf("w%d%d", len(c.text), i))
		}
	}
	for _, name := range []string{"prod", "staging"} {
		c.cluster(name)
	}
	return c
}

func (c *clusterCase) mode() string { return caseModes[c.rand.IntN(len(caseModes))] }

func (c *clusterCase) workload(dir, name string) {
	fmt.Fprintf(c.text[dir], "workload: %s: {match: {namespace: \"a\", labels: app: %q}, exec: \"/bin/a\": {}, file: read: \"/a\": {}, image: from: \"r.example.com/a\": {}}\n", name, name)
	c.folders[name] = dir
	for _, plane := range []string{"exec", "file", "image"} {
		c.modes[name+"/"+plane] = `"audit"`
		if c.rand.IntN(2) == 0 {
			m := c.mode()
			c.modes[name+"/"+plane] = m
			fmt.Fprintf(c.text[dir], "workload: %s: mode: %s: %s\n", name, plane, m)
		}
	}
}

func (c *clusterCase) cluster(name string) {
	c.over[name] = map[string]string{}
	fmt.Fprintf(c.text["."], "cluster: %s: why: \"a\"\n", name)
	for _, dir := range []string{"x", "x/y", "z"} {
		if c.rand.IntN(3) == 0 {
			c.counts[name] = append(c.counts[name], dir)
			fmt.Fprintf(c.text["."], "cluster: %s: folders: %q: {}\n", name, dir)
		}
	}
	set := func(at, key string) {
		if c.rand.IntN(2) == 0 {
			m := c.mode()
			fmt.Fprintf(c.text["."], "cluster: %s: %s: %s\n", name, at, m)
			c.over[name][key] = m
			return
		}
		for _, plane := range []string{"exec", "file"} {
			m := c.mode()
			fmt.Fprintf(c.text["."], "cluster: %s: %s: %s: %s\n", name, at, plane, m)
			c.over[name][key+plane] = m
		}
	}
	if c.rand.IntN(3) > 0 {
		set("mode", "")
	}
	for _, w := range slices.Sorted(maps.Keys(c.folders)) {
		if c.rand.IntN(4) == 0 {
			set("workload: "+w+": mode", w+"/")
		}
	}
}

// want returns the mode of a plane in a cluster, and whether the workload counts there.
func (c *clusterCase) want(cluster, workload, plane string) (mode string, counts bool) {
	mode = c.modes[workload+"/"+plane]
	for _, key := range []string{"", plane, workload + "/", workload + "/" + plane} {
		if m, ok := c.over[cluster][key]; ok {
			mode = m
		}
	}
	dir := c.folders[workload]
	counts = len(c.counts[cluster]) == 0
	for _, f := range c.counts[cluster] {
		counts = counts || dir == f || strings.HasPrefix(dir, f+"/")
	}
	return mode, counts
}

// TestClusterProperty compiles random repositories for two clusters: each policy has the workloads of the folders that count, with the modes
// that the cluster says and all else as in the repository; and the two differ in that alone.
func TestClusterProperty(t *testing.T) {
	for seed := range uint64(60) {
		c := newClusterCase(seed)
		files := map[string]string{}
		for dir, b := range c.text {
			files[dir+"/a.cue"] = b.String()
		}
		files["a.cue"] = files["./a.cue"]
		delete(files, "./a.cue")
		whole, err := compileFor(t, "", treeOf(files))
		if err != nil {
			t.Fatal(err)
		}
		policies := map[string]*schema.Policy{}
		for _, cluster := range []string{"prod", "staging"} {
			res, err := compileFor(t, cluster, treeOf(files))
			if err != nil {
				t.Fatal(err)
			}
			policies[cluster] = policyOf(t, res)
			c.check(t, cluster, policyOf(t, whole), policies[cluster])
		}
		for _, change := range Diff(policies["prod"], policies["staging"]).Changes {
			if change.Kind != "workload" || change.Aspect != "mode" && change.Msg != "added" && !strings.HasPrefix(change.Msg, "removed") {
				t.Errorf("seed %d: the clusters differ in more than modes and folders: %+v", seed, change)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d: %v", seed, files)
		}
	}
}

// check holds the policy for a cluster against that of the whole repository.
func (c *clusterCase) check(t *testing.T, cluster string, whole, got *schema.Policy) {
	t.Helper()
	var want []schema.Workload
	for _, w := range whole.Workloads {
		if _, counts := c.want(cluster, w.Name, "exec"); !counts {
			continue
		}
		w.Closures = slices.Clone(w.Closures)
		for i := range w.Closures {
			closure := &w.Closures[i]
			mode, _ := c.want(cluster, w.Name, string(closure.Plane))
			closure.Mode, closure.Then, closure.After = schema.Mode(strings.Trim(mode, `"`)), "", ""
			if strings.HasPrefix(mode, "{") {
				closure.Mode, closure.Then, closure.After = "audit", "enforce", "2027-01-15"
			}
		}
		want = append(want, w)
	}
	expected := *whole
	expected.Workloads, expected.Cluster = append([]schema.Workload{}, want...), cluster
	if !sameJSON(&expected, got) {
		t.Errorf("for %s got\n%+v\nwant\n%+v", cluster, *got, expected)
	}
}
