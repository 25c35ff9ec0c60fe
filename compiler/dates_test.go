// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

const datedPolicy = `package policy

import "github.com/writ-sec/writ/schema"

workload: [string]: schema.#Workload
workload: one: {match: namespace: "one", mode: exec: {now: "audit", then: "enforce", after: "2027-01-15"}, exec: "/a": {}, file: {}}
workload: all: {match: namespace: "all", mode: {now: "learn", then: "enforce", after: "2027-02-01T12:00:00Z"}, exec: "/a": {}, image: from: "r.example.com/all": {}}
workload: image: {match: namespace: "image", mode: image: {now: "enforce", then: "audit", after: "2027-01-20"}, image: from: "r.example.com/image": {}}
workload: signed: {match: namespace: "signed", mode: image: {now: "audit", then: "enforce", after: "2027-01-01"}, image: signedBy: ci: {}}
workload: plain: {match: namespace: "plain", mode: "audit", image: from: "r.example.com/plain": {}}
signer: ci: keyless: {issuer: "https://a.example.com", identity: "ci"}
bound: b: {never: exec: "/bin/sh": {}, mode: {now: "audit", then: "enforce", after: "2027-01-10"}}
response: r: {on: workload: "one", do: capture: "60s", mode: {now: "audit", then: "enforce", after: "2027-01-11"}}
exception: e: {finding: "CVE-2026-12345": {}, images: "r.example.com/all": {}, why: "a", owner: "a", expires: "2027-01-12"}
cluster: c: {mode: {now: "audit", then: "enforce", after: "2027-03-01"}, workload: plain: mode: image: {now: "learn", then: "enforce", after: "2027-03-02"}}
`

func compileAt(t testing.TB, cluster, at string) *Result {
	t.Helper()
	cfg := Config{Cluster: cluster}
	if at != "" {
		cfg.At = instant(t, at)
	}
	res, err := New(cfg).Compile(context.Background(), treeOf(map[string]string{"a.cue": datedPolicy}), bundle.Envelope{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestDatedBundle holds that both sides of a date travel in what has a clock, whatever instant the policy is compiled for.
func TestDatedBundle(t *testing.T) {
	for _, at := range []string{"", "2026-12-31T00:00:00Z", "2027-12-31T00:00:00Z"} {
		res := compileAt(t, "", at)
		for path, want := range map[string]string{
			"node/one.json":          `"mode":"audit","then":"enforce","after":"2027-01-15"`,
			"node/all.json":          `"mode":"learn","then":"enforce","after":"2027-02-01T12:00:00Z"`,
			"rules/one.json":         `"mode":"audit","then":"enforce","after":"2027-01-15"`,
			"rules/image.json":       `"mode":"enforce","then":"audit","after":"2027-01-20"`,
			"policy/bounds.json":     `"mode":"audit","then":"enforce","after":"2027-01-10"`,
			"policy/responses.json":  `"mode":"audit","then":"enforce","after":"2027-01-11"`,
			"policy/exceptions.json": `"expires":"2027-01-12"`,
		} {
			data, err := res.Bundle.Open(path)
			if err != nil || !strings.Contains(string(data), want) {
				t.Errorf("at %q: %s is %s, %v; want %s in it", at, path, data, err, want)
			}
		}
	}
	data, err := compileAt(t, "c", "").Bundle.Open("node/one.json")
	if want := `"mode":"audit","then":"enforce","after":"2027-03-01"`; err != nil || !strings.Contains(string(data), want) {
		t.Errorf("for the cluster node/one.json is %s, %v; want %s in it", data, err, want)
	}
}

// TestDatedAdmission holds what admission objects say at each instant, and when they say something else: to the instant.
func TestDatedAdmission(t *testing.T) {
	for _, c := range []struct {
		cluster, at, want, stale string
		stricter                 int
	}{
		{"", "", "all deny, image deny, plain warn", "", 2},
		{"", "2026-01-01T00:00:00Z", "all dryrun, image deny, plain warn", "2027-01-21T00:00:00Z", 0},
		{"", "2027-01-20T23:59:59Z", "all dryrun, image deny, plain warn", "2027-01-21T00:00:00Z", 0},
		{"", "2027-01-21T00:00:00Z", "all dryrun, image warn, plain warn", "2027-02-01T12:00:00Z", 0},
		{"", "2027-02-01T11:59:59Z", "all dryrun, image warn, plain warn", "2027-02-01T12:00:00Z", 0},
		{"", "2027-02-01T12:00:00Z", "all deny, image warn, plain warn", "", 0},
		{"c", "", "all deny, image deny, plain deny", "", 3},
		{"c", "2027-01-21T00:00:00Z", "all warn, image warn, plain dryrun", "2027-03-02T00:00:00Z", 0},
		{"c", "2027-03-02T00:00:00Z", "all deny, image deny, plain dryrun", "2027-03-03T00:00:00Z", 0},
		{"c", "2027-03-03T00:00:00Z", "all deny, image deny, plain deny", "", 0},
	} {
		res := compileAt(t, c.cluster, c.at)
		if got := actionsOf(t, res); got != c.want {
			t.Errorf("cluster %q at %q: got %s, want %s", c.cluster, c.at, got, c.want)
		}
		stale := ""
		if !res.Stale.IsZero() {
			stale = res.Stale.Format(time.RFC3339)
		}
		if stale != c.stale || res.Stricter != c.stricter {
			t.Errorf("cluster %q at %q: stale from %q, %d stricter; want %q, %d", c.cluster, c.at, stale, res.Stricter, c.stale, c.stricter)
		}
	}
}

// actionsOf reads from the constraints what they do about the images of each workload.
func actionsOf(t *testing.T, res *Result) string {
	t.Helper()
	actions := map[string]string{}
	for _, f := range res.Bundle.Manifest.Files {
		if !strings.HasPrefix(f.Path, bundle.AdmissionDir+"/writ-pod-") {
			continue
		}
		data, err := res.Bundle.Open(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"all", "image", "plain"} {
			if strings.Contains(string(data), `"n":"`+name+`"`) {
				actions[name] = strings.Split(strings.TrimPrefix(f.Path, bundle.AdmissionDir+"/writ-pod-"), "-")[0]
			}
		}
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(actions)) {
		words = append(words, name+" "+actions[name])
	}
	return strings.Join(words, ", ")
}

// TestAsOf holds that a policy as of an instant is without dates, and judges at that instant as the policy itself.
func TestAsOf(t *testing.T) {
	p := policyOf(t, compileAt(t, "", ""))
	before, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"2026-01-01T00:00:00Z", "2027-01-11T00:00:00Z", "2027-01-15T23:59:59Z", "2027-01-16T00:00:00Z", "2028-01-01T00:00:00Z"} {
		at := instant(t, at)
		q := AsOf(p, at)
		for _, e := range []schema.Event{
			{Subject: schema.Subject{Namespace: "one"}, Verb: schema.VerbExec, Object: "/b", Origin: schema.OriginPath},
			{Subject: schema.Subject{Namespace: "one"}, Verb: schema.VerbExec, Object: "/bin/sh", Origin: schema.OriginPath},
			{Subject: schema.Subject{Namespace: "all", Image: "r.example.com/b"}, Verb: schema.VerbRun, Object: "r.example.com/b"},
		} {
			if got, want := schema.Judge(q, e, at), schema.Judge(p, e, at); got.Action != want.Action || got.Rule != want.Rule {
				t.Errorf("%v at %v: got %+v, want %+v", e, at, got, want)
			}
		}
		if data, err := json.Marshal(q); err != nil || strings.Contains(string(data), `"then"`) || strings.Contains(string(data), `"after"`) {
			t.Errorf("at %v a date is left: %s, %v", at, data, err)
		}
		if expired := at.After(instant(t, "2027-01-12T23:59:59Z")); (len(q.Exceptions) == 0) != expired {
			t.Errorf("at %v there are %d exceptions", at, len(q.Exceptions))
		}
	}
	if after, err := json.Marshal(p); err != nil || string(after) != string(before) {
		t.Errorf("the policy itself changed: %v", err)
	}
}

// TestDiffAsOf compares two policies that say the same before a date alone.
func TestDiffAsOf(t *testing.T) {
	compile := func(mode string) *Result {
		res, err := compileTree(t, treeOf(map[string]string{"a.cue": "package policy\n\nworkload: w: {match: namespace: \"a\", exec: \"/a\": {}, mode: " + mode + "}\n" +
			"workload: same: {match: namespace: \"b\", exec: \"/a\": {}, mode: {now: \"audit\", then: \"enforce\", after: \"2027-01-15\"}}\n"}))
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	base, head := compile(`"audit"`), compile(`{now: "audit", then: "enforce", after: "2027-01-15"}`)
	for at, want := range map[time.Time]int{{}: 1, instant(t, "2027-01-15T23:00:00Z"): 0, instant(t, "2027-01-16T00:00:00Z"): 1} {
		d, err := DiffResults(base, head, at)
		if err != nil || len(d.Changes) != want {
			t.Errorf("at %v: %v, %v; want %d changes", at, d, err, want)
		}
	}
}
