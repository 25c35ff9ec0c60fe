// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/compiler/treegen"
)

// Bars of writ check, for a manifest of each workload of a policy of 1,000 in 50 namespaces, on two processors that do nothing else. Processor time
// is reported beside: it says more where something else runs. Memory is that of all processes together.
const (
	barCheck       = 3 * time.Second
	barCheckMemory = 300 << 20
)

// benchSelector finds what a workload of the generated policy selects, and the image that it allows.
var benchSelector = regexp.MustCompile(`match: \{namespace: "([^"]*)", labels: \{app: "([^"]*)", tier: "([^"]*)"\}\}(?s:.*?)from: "([^"]*)"`)

// benchManifest is a Deployment, or of each fifth number a Pod, of about 60 lines. Each tenth runs an image of elsewhere.
func benchManifest(n int, namespace, app, tier, image string) string {
	if n%10 == 0 {
		image = "docker.io/library/elsewhere"
	}
	var pod strings.Builder
	fmt.Fprintf(&pod, "metadata:\n  labels:\n    app: %s\n    tier: %s\n  annotations:\n    example.com/owner: %s\nspec:\n", app, tier, namespace)
	pod.WriteString("  serviceAccountName: app\n  automountServiceAccountToken: false\n  securityContext:\n    runAsNonRoot: true\n    seccompProfile:\n      type: RuntimeDefault\n  containers:\n")
	for i, name := range []string{"app", "proxy"} {
		fmt.Fprintf(&pod, "    - name: %s\n      image: %s\n      ports:\n        - containerPort: %d\n      env:\n        - name: PLACE\n          value: here\n", name, image, 8080+i)
		pod.WriteString("      resources:\n        requests:\n          cpu: 100m\n          memory: 64Mi\n        limits:\n          memory: 128Mi\n")
		pod.WriteString("      securityContext:\n        allowPrivilegeEscalation: false\n        readOnlyRootFilesystem: true\n        capabilities:\n          drop:\n            - ALL\n")
	}
	if n%5 == 0 {
		return fmt.Sprintf("apiVersion: v1\nkind: Pod\n%s", strings.Replace(pod.String(), "metadata:\n", fmt.Sprintf("metadata:\n  name: app-%d\n  namespace: %s\n", n, namespace), 1))
	}
	return fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-%d\n  namespace: %s\nspec:\n  replicas: 3\n  selector:\n    matchLabels:\n      app: app-%d\n  template:\n    %s",
		n, namespace, n, strings.TrimSuffix(strings.ReplaceAll(pod.String(), "\n", "\n    "), "    "))
}

// TestBenchCheck measures whole runs of writ check, writ-check included, cold and with what the compiler keeps.
func TestBenchCheck(t *testing.T) {
	writ := buildPrograms(t)
	copyFile(t, builtCheck(t), filepath.Join(filepath.Dir(writ), "writ-check"))
	dir := t.TempDir()
	files := treegen.Tree(treegen.Config{Folders: 50, Each: 20})
	if err := treegen.Write(filepath.Join(dir, "policy"), files); err != nil {
		t.Fatal(err)
	}
	manifests := filepath.Join(dir, "manifests")
	if err := os.Mkdir(manifests, 0o755); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, m := range benchSelector.FindAllStringSubmatch(string(files[name]), -1) {
			text := benchManifest(n, m[1], m[2], m[3], m[4])
			if err := os.WriteFile(filepath.Join(manifests, fmt.Sprintf("app-%04d.yaml", n)), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	env := []string{"XDG_CACHE_HOME=" + filepath.Join(dir, "cache"), engineVariable + "="}
	for _, name := range []string{"CheckCold", "CheckWarm"} {
		// It exits with 1: something is denied.
		script := writ + " check -f manifests --policy policy -o json >" + filepath.Join(dir, name) + "; [ $? = 1 ]"
		u := measure(t, dir, env, "sh", "-c", script)
		u.print(name, 1)
		if u.wall >= barCheck || u.peak >= barCheckMemory {
			t.Errorf("%s: takes %v (%v of processor time) and %d MiB; want less than %v and %d MiB", name, u.wall, u.cpu, u.peak>>20, barCheck, barCheckMemory>>20)
		}
		var report checkReport
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = json.Unmarshal(data, &report)
		}
		if err != nil || report.Judged != 1000 || len(report.Uncovered) > 0 || report.Denied < 20 || report.Denied+report.Warned+report.Noted != 100 {
			t.Errorf("%s: %v; of %d judged, %d denied, %d warned of, %d recorded, %d uncovered", name, err,
				report.Judged, report.Denied, report.Warned, report.Noted, len(report.Uncovered))
		}
	}
}
