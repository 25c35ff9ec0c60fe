// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"encoding/json"
	"errors"
	"maps"
	"path"
	"slices"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// delegatedFiles is a repository of several teams, by the path of each file.
var delegatedFiles = map[string]string{
	"writ.cue": `package policy

import "github.com/writ-sec/writ/schema"

workload: [string]: schema.#Workload
folder: shop: {namespaces: {shop: {}, web: {}}, images: "r.example.com/*": {}}
folder: "shop/web": namespaces: web: {}
folder: ops: {host: true, namespaces: ops: {}}
`,
	"org.cue": `package policy

bound: "no-shells": {never: exec: "/bin/sh": {}, mode: "enforce"}
cluster: prod: mode: "enforce"
cluster: staging: {mode: exec: "audit", folders: shop: {}, workload: front: mode: exec: {now: "audit", then: "enforce", after: "2027-01-15"}}
budget: nodeEntries: 100000
`,
	"shop/gate.cue": `package policy

gate: production: {at: admission: true, deny: secret: any: {}}
signer: ci: keyless: {issuer: "https://a.example.com", identity: "ci"}
notify: hook: {kind: "webhook", to: "https://a.example.com"}
`,
	"shop/pay.cue": `package policy

workload: pay: {
	match: {namespace: "shop", labels: app: "pay"}
	mode: exec: "enforce"
	owner: "team-pay"
	open: true
	image: {from: "r.example.com/pay": {}, gate: "production", signedBy: ci: {}}
	exec: "/bin/pay": {}
	egress: front: {workload: "web/front", port: 80}
}
`,
	"shop/more.cue": `package policy

workload: pay: exec: "/bin/more": {why: "more", parent: "/bin/pay": {}}
workload: pay: egress: db: {cidr: "10.0.0.0/8", port: 5432}
`,
	"shop/anchor.cue": `package policy

workload: anchor: {match: {namespace: "shop", labels: app: "anchor"}, image: from: "r.example.com/anchor": {}}
exception: xml: {finding: "CVE-2026-12345": {}, images: "r.example.com/anchor": {}, why: "not reached", owner: "team-shop", expires: "2027-01-31"}
response: anchor: {on: workload: "anchor", do: notify: hook: {}}
check: quota: {of: {apiVersion: "v1", kind: "ResourceQuota", namespace: "shop"}, must: "spec.hard": exists: true}
`,
	"shop/web/front.cue": `package policy

workload: front: {match: {namespace: "web", labels: app: "front"}, mode: {now: "audit", then: "enforce", after: "2027-01-15"}, exec: "/bin/front": {}}
bound: web: {match: namespace: "web", never: exec: "/bin/bash": {}}
`,
	"shop/other/test.cue": `package policy

test: pay: {in: "pay", exec: "/bin/more", parent: "/bin/pay", is: "allowed"}
`,
	"ops/host.cue": `package policy

workload: host: {match: {host: true, cgroup: "/ops"}, owner: "ops", exec: "/bin/ops": {}}
`,
}

// legalFolders holds where else each file may stand.
var legalFolders = map[string][]string{
	"writ.cue": {}, "org.cue": {}, "shop/pay.cue": {"."}, "shop/more.cue": {"shop/web", "shop/other", "shop/other/deep"},
	"shop/gate.cue":   {".", "shop/web", "shop/other", "shop/other/deep", "ops"},
	"shop/anchor.cue": {".", "shop/other", "shop/other/deep"}, "shop/web/front.cue": {".", "shop", "shop/other", "shop/other/deep"},
	"shop/other/test.cue": {".", "shop", "shop/web", "shop/other/deep", "ops"}, "ops/host.cue": {"."},
}

// TestMoveDelegated moves every file of a repository with folders to every other folder: where it may stand, the policy stays the same in
// meaning, and where it may not, that is an error.
func TestMoveDelegated(t *testing.T) {
	want := meaningOf(t, delegatedFiles)
	for name, text := range delegatedFiles {
		for _, to := range []string{".", "shop", "shop/web", "shop/other", "shop/other/deep", "ops"} {
			if to == path.Dir(name) {
				continue
			}
			moved := maps.Clone(delegatedFiles)
			delete(moved, name)
			moved[path.Join(to, "moved.cue")] = text
			if slices.Contains(legalFolders[name], to) {
				if got := meaningOf(t, moved); got != want {
					t.Errorf("%s to %q gives\n%s\nwant\n%s", name, to, got, want)
				}
				continue
			}
			_, err := compileTree(t, treeOf(moved))
			if errs := (Errors)(nil); !errors.As(err, &errs) {
				t.Errorf("%s to %q: %v; want errors", name, to, err)
			}
		}
	}
}

// meaningOf is the whole policy of a repository without positions.
func meaningOf(t *testing.T, files map[string]string) string {
	t.Helper()
	res, err := compileTree(t, treeOf(files))
	if err != nil {
		t.Fatalf("%v\nof %v", err, slices.Sorted(maps.Keys(files)))
	}
	data, err := json.MarshalIndent(schema.Unplaced(*policyOf(t, res)), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
