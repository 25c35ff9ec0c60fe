// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/compiler/admission"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// admissionTree is a policy with one workload that is enforced at admission, and what is stated beside it.
func admissionTree(stated string) Tree {
	return treeOf(map[string]string{"a.cue": `package policy

import "github.com/writ-sec/writ/schema"

workload: [string]: schema.#Workload
workload: w: {match: namespace: "a", mode: "enforce", image: from: "r.example.com/a": {}}
` + stated})
}

// TestAdmissionOf holds what comes first of what says by what is enforced: the configuration, the cluster, the policy.
func TestAdmissionOf(t *testing.T) {
	const stated = `admission: {by: "gatekeeper", cilium: true, makers: "argoproj.io/Rollout": path: "spec.template", failurePolicy: gatekeeper: "Fail"}
cluster: {a: admission: "vap", b: {}}
`
	no := false
	for _, c := range []struct {
		stated string
		cfg    Config
		by     string
		cilium bool
	}{
		{"", Config{}, "both", false},
		{"", Config{Admission: "vap"}, "vap", false},
		{stated, Config{}, "gatekeeper", true},
		{stated, Config{Cluster: "b"}, "gatekeeper", true},
		{stated, Config{Cluster: "a"}, "vap", true},
		{stated, Config{Cluster: "a", Admission: "both", Cilium: &no}, "both", false},
	} {
		compiler := New(c.cfg)
		res, err := compiler.Compile(t.Context(), admissionTree(c.stated), bundle.Envelope{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := res.Policy()
		if err != nil {
			t.Fatal(err)
		}
		a := (&run{Compiler: compiler}).admission(p)
		if a.By != c.by || a.Cilium != c.cilium {
			t.Errorf("%+v: by %q, cilium %v; want %q, %v", c.cfg, a.By, a.Cilium, c.by, c.cilium)
		}
		order, err := res.Bundle.Order()
		if err != nil {
			t.Fatal(err)
		}
		if has := order.FailurePolicies.Gatekeeper != nil; has != a.Gatekeeper() {
			t.Errorf("%+v: objects of Gatekeeper: %v; want %v", c.cfg, has, a.Gatekeeper())
		}
		if c.stated != "" && order.FailurePolicies.Gatekeeper != nil && order.FailurePolicies.Gatekeeper.FailurePolicy != "Fail" {
			t.Errorf("%+v: %+v; want what the policy states", c.cfg, order.FailurePolicies.Gatekeeper)
		}
		if c.stated != "" && (len(a.Makers) != 1 || a.Makers[0] != (schema.Maker{Kind: "argoproj.io/Rollout", Path: "spec.template"})) {
			t.Errorf("%+v: makers %+v", c.cfg, a.Makers)
		}
	}
	if _, err := New(Config{Admission: "opa"}).Compile(context.Background(), admissionTree(""), bundle.Envelope{}); err == nil ||
		err.Error() != `admission by "opa" is not known; want "gatekeeper", "vap" or "both"` {
		t.Errorf("another word: %v", err)
	}
}

// TestOrderHoldsEveryObject holds that each object stands in one stage of the order, and that the order is kept when objects are.
func TestOrderHoldsEveryObject(t *testing.T) {
	compiler := New(Config{})
	for range 2 {
		res, err := compiler.Compile(t.Context(), admissionTree(""), bundle.Envelope{})
		if err != nil {
			t.Fatal(err)
		}
		var inOrder, inBundle []string
		order, err := res.Bundle.Order()
		for _, s := range order.Stages {
			inOrder = append(inOrder, s.Objects...)
		}
		for _, f := range res.Bundle.Manifest.Files {
			if filepath.Ext(f.Path) == ".yaml" {
				inBundle = append(inBundle, f.Path)
			}
		}
		slices.Sort(inOrder)
		if err != nil || len(inBundle) == 0 || !slices.Equal(inOrder, inBundle) {
			t.Errorf("the order has %q, %v; the bundle %q", inOrder, err, inBundle)
		}
	}
	if res, err := compiler.Compile(t.Context(), treeOf(map[string]string{"a.cue": "package policy\n"}), bundle.Envelope{}); err != nil ||
		slices.ContainsFunc(res.Bundle.Manifest.Files, func(f bundle.File) bool { return f.Path == bundle.OrderPath }) {
		t.Errorf("without objects: %v, and an order", err)
	}
}

// TestWriteFolderObjects holds what stands in a bundle's folder for kubectl, which reads each .yaml and .json file of a folder as objects.
func TestWriteFolderObjects(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	order := string(bundle.Encode(admission.OrderOf(nil, schema.Admission{})))
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{bundle.OrderPath: order, "admission/a.yaml": "a\n", "network/b.yaml": "b\n"}, "admission admission/a.yaml network network/.digest network/b.yaml order.json"},
		{map[string]string{bundle.OrderPath: order, "network/c.yaml": "c\n"}, "network network/.digest network/c.yaml order.json"},
		{map[string]string{"rules/a.json": "{}\n"}, ""},
	} {
		files := map[string][]byte{}
		for name, text := range c.files {
			files[name] = []byte(text)
		}
		if err := WriteFolder(dir, bundle.New(files, bundle.Envelope{})); err != nil {
			t.Fatal(err)
		}
		var got []string
		for name := range strings.FieldsSeq(listing(t, dir)) {
			if name != "." && !strings.HasPrefix(name, "blobs") && name != bundle.ManifestName {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("the folder holds %q; want %q", got, c.want)
		}
		for name, text := range c.files {
			if have, err := os.ReadFile(filepath.Join(dir, name)); filepath.Ext(name) == ".yaml" && (err != nil || string(have) != text) {
				t.Errorf("%s is %q, %v; want %q", name, have, err, text)
			}
		}
	}
}
