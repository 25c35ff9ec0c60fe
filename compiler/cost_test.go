// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// TestImageCells compares the prediction with what bpf.Compile of enforcer/bpf makes: the numbers are its own, for workloads of n rules
// of which every third has two parents.
func TestImageCells(t *testing.T) {
	long := "/" + strings.Repeat("long/", 30) + "%03d/**"
	for _, c := range []struct {
		n     int
		rule  string
		cells int
	}{
		{0, "/usr/bin/program%03d", 2},
		{1, "/usr/bin/program%03d", 6},
		{1, long, 8},
		{3, "/opt/%03d*/run", 8},
		{3, long, 14},
		{4, "/opt/%03d/**", 13},
		{4, long, 21},
		{7, "/llllllllllllllllllllllllllll%03d", 19},
		{8, "/llllllllllllllllllllllllllll%03d", 22},
		{8, long, 38},
		{50, "/opt/%03d*/run", 118},
		{50, long, 218},
		{300, "/opt/%03d/**", 729},
		{300, long, 1329},
	} {
		w := &schema.Workload{Closures: []schema.Closure{{Plane: schema.PlaneExec}}}
		for i := range c.n {
			r := schema.Rule{Plane: schema.PlaneExec, Object: fmt.Sprintf(c.rule, i)}
			if i%3 == 0 {
				r.Parents = []string{"/bin/init", "/usr/lib/a-rather-long-folder/of-parents/**"}
			}
			w.Rules = append(w.Rules, r)
		}
		if got := imageCells(w); got != c.cells {
			t.Errorf("%d rules such as %s: %d cells, want %d", c.n, c.rule, got, c.cells)
		}
		entries, bytes := workloadCost(w)
		if entries != c.cells+slotEntries || bytes != imageMemory(c.cells)+slotBytes || bytes < int64(c.cells*imageCell) {
			t.Errorf("%d rules such as %s: %d entries, %d bytes", c.n, c.rule, entries, bytes)
		}
	}
}

// TestImageLayout holds the constants of the layout against those of enforcer/bpf, which this room may not import.
func TestImageLayout(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "../enforcer/bpf/image.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"cellSize": fmt.Sprint(imageCell), "bucketSize": fmt.Sprint(imageBucket), "inlineText": fmt.Sprint(imageInlineText),
		"entryText": fmt.Sprint(imageEntryText), "MaxRuleParents": fmt.Sprint(maxParents)}
	found := 0
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if want[name.Name] == "" || i >= len(spec.Values) {
				continue
			}
			found++
			if lit, ok := spec.Values[i].(*ast.BasicLit); !ok || lit.Value != want[name.Name] {
				t.Errorf("%s of enforcer/bpf is not %s", name.Name, want[name.Name])
			}
		}
		return true
	})
	if found != len(want) {
		t.Errorf("found %d constants of %d in enforcer/bpf/image.go", found, len(want))
	}
}

func TestCost(t *testing.T) {
	p := &schema.Policy{
		Workloads: []schema.Workload{{
			Closures: []schema.Closure{{Plane: schema.PlaneExec}, {Plane: schema.PlaneFile}, {Plane: schema.PlaneImage}},
			Rules: []schema.Rule{{Plane: schema.PlaneExec, Object: "/a"}, {Plane: schema.PlaneFile, Object: "/b"}, {Plane: schema.PlaneFile, Object: "/c"},
				{Plane: schema.PlaneImage, Object: "nginx"}},
		}, {}},
		Bounds:     []schema.Bound{{Never: []schema.Rule{{Plane: schema.PlaneExec, Object: "/d"}, {Plane: schema.PlanePod, Object: "hostPID"}}}},
		Exceptions: []schema.Exception{{Patch: []schema.Rule{{Plane: schema.PlaneEgress, Object: "e"}}}},
	}
	got := cost(p)
	if want := 3 + slotEntries + 2 + 1 + 1; got.NodeEntries != want {
		t.Errorf("%d entries, want %d", got.NodeEntries, want)
	}
	if want := imageMemory(3) + slotBytes + 4*64; got.NodeBytes != want {
		t.Errorf("%d bytes, want %d", got.NodeBytes, want)
	}
	if want := []schema.Plane{schema.PlaneExec, schema.PlaneFile, schema.PlaneEgress}; !slices.Equal(got.Estimated, want) {
		t.Errorf("estimated %v, want %v", got.Estimated, want)
	}
}

func TestOverBudget(t *testing.T) {
	b := schema.Budget{NodeEntries: 10, NodeBytes: 20, Objects: 30, ObjectBytes: 40}
	s := stated{kind: "budget"}
	if errs := overBudget(b, s, 10, 20, 30, 40); len(errs) > 0 {
		t.Errorf("within the budget: %v", errs)
	}
	if errs := overBudget(schema.Budget{}, s, 1e9, 1e9, 1e9, maxObject); len(errs) > 0 {
		t.Errorf("without a budget: %v", errs)
	}
	got := lines(overBudget(b, s, 11, 21, 31, maxObject+1))
	for _, want := range []string{"budget: nodeEntries is 10, but the policy is predicted to take 11", "nodeBytes is 20", "objects is 30", "objectBytes is 40",
		"the largest admission object has 1048577 bytes, and an API server takes little more than 1048576"} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %s", got, want)
		}
	}
}
