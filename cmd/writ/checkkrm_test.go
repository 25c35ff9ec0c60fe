// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckRunner runs check by kyaml's own function runner, that of kustomize: what is admitted stays byte for byte, and what is denied fails the
// run with results.
func TestCheckRunner(t *testing.T) {
	p := newKRMPackage(t)
	t.Setenv(engineVariable, builtCheck(t))
	p.image("enforce")
	run := func() error { return p.runs("Check", "check", "{policy: ../policy, namespace: pay}") }
	const pod = "# Payments.\nkind: Pod\napiVersion: v1\nmetadata:\n  name: web # first\nspec:\n  containers:\n  - name: web\n    image: %s\n"
	name := filepath.Join(p.dir, "apps", "web.yaml")
	good := fmt.Sprintf(pod, "registry.example.com/pay/web:1")
	p.write(name, good)
	if err := run(); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(name); err != nil || string(data) != good {
		t.Errorf("%v, the file is now\n%s", err, data)
	}
	p.write(name, fmt.Sprintf(pod, "nginx"))
	if err := run(); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("the run of what is denied: %v; want exit status 1", err)
	}
	results, err := filepath.Glob(filepath.Join(p.results(), "*"))
	if err != nil || len(results) == 0 {
		t.Fatalf("no results: %v", err)
	}
	data, err := os.ReadFile(results[len(results)-1])
	for _, want := range []string{"severity: error", "path: apps/web.yaml", "path: spec.containers[0].image", "kind: Pod", "name: web", "namespace: pay"} {
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%v, the results lack %q\n%s", err, want, data)
		}
	}
}
