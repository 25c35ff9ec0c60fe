// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/kyaml/runfn"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/examples"
)

// krmPackage is a folder of Kubernetes objects beside a policy repository, on which kyaml's own function runner, that of kustomize, runs writ.
type krmPackage struct {
	t      *testing.T
	dir    string // of the objects
	policy string
}

func newKRMPackage(t *testing.T) *krmPackage {
	t.Helper()
	root := t.TempDir()
	p := &krmPackage{t: t, dir: filepath.Join(root, "objects"), policy: filepath.Join(root, "policy")}
	for name, data := range compiler.Init() {
		if !strings.HasPrefix(name, "apps/") && name != "bounds.cue" {
			p.write(filepath.Join(p.policy, name), string(data))
		}
	}
	t.Setenv("WRIT_TEST_MAIN", "1")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(root, "cache"))
	return p
}

func (p *krmPackage) write(name, text string) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *krmPackage) image(mode string) {
	p.write(filepath.Join(p.policy, "image.cue"), `package policy

workload: pay: {match: namespace: "pay", mode: "`+mode+`", image: from: "registry.example.com/pay/*": {}}
`)
}

// runs has the runner of kyaml run a command of writ on the package, with a functionConfig of our own kind.
func (p *krmPackage) runs(kind, command, spec string) error {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	config, err := yaml.Parse(fmt.Sprintf(`apiVersion: policy.writ-sec.github.io/v1alpha1
kind: %s
metadata:
  name: policy
  annotations:
    config.kubernetes.io/function: |
      exec: {path: %q, args: [%s, --krm]}
spec: %s
`, kind, self, command, spec))
	if err != nil {
		p.t.Fatal(err)
	}
	return runfn.RunFns{Path: p.dir, Functions: []*yaml.RNode{config}, EnableExec: true, DisableContainers: true, WorkingDir: p.dir, ResultsDir: p.results()}.Execute()
}

// run runs the generator on the package, and returns its files by name.
func (p *krmPackage) run() (map[string]string, error) {
	p.t.Helper()
	err := p.runs("Compile", "compile", "{dir: ../policy, admission: gatekeeper}")
	files := map[string]string{}
	walk := fs.WalkDir(os.DirFS(p.dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(p.dir, name))
		files[name] = string(data)
		return err
	})
	if walk != nil {
		p.t.Fatal(walk)
	}
	return files, err
}

func (p *krmPackage) results() string {
	dir := filepath.Join(filepath.Dir(p.dir), "results")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	return dir
}

func (p *krmPackage) must() map[string]string {
	p.t.Helper()
	files, err := p.run()
	if err != nil {
		p.t.Fatal(err)
	}
	return files
}

// objectOf returns the name of the file with an object of a kind, and of the action if one is given.
func objectOf(t *testing.T, files map[string]string, words ...string) string {
	t.Helper()
	found := ""
	for name, text := range files {
		all := true
		for _, w := range words {
			all = all && strings.Contains(text, w)
		}
		if all {
			found = name
		}
	}
	if found == "" {
		t.Fatalf("no file has %q: %v", words, files)
	}
	return found
}

const krmOthers = `# Who reads this: keep it.
apiVersion: apps/v1
kind: Deployment
metadata: # of the web
  name: web
spec:
  replicas: 3 # until the sale is over
---
# Not ours, whatever it says.
apiVersion: v1
kind: ConfigMap
metadata:
  name: theirs
  labels:
    app.kubernetes.io/managed-by: writ
`

// TestKRMRunner runs writ compile --krm by kyaml's runner: objects come, stay, change and go, and nothing else changes, not even a comment.
func TestKRMRunner(t *testing.T) {
	p := newKRMPackage(t)
	p.write(filepath.Join(p.dir, "web.yaml"), krmOthers)
	p.image("enforce")
	first := p.must()
	template, deny := objectOf(t, first, "kind: ConstraintTemplate"), objectOf(t, first, "enforcementAction: deny")
	if filepath.Dir(template) != "admission" || strings.Contains(fmt.Sprint(first), "config.kubernetes.io") {
		t.Errorf("the files are %v", first)
	}
	if again := p.must(); fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("the second time the files are\n%v\nwant\n%v", again, first)
	}
	const comment = "# reviewed by the platform team\n"
	p.write(filepath.Join(p.dir, template), comment+first[template])
	if got := p.must()[template]; got != comment+first[template] {
		t.Errorf("with a comment it becomes\n%s", got)
	}
	p.image("audit")
	audit := p.must()
	if _, ok := audit[deny]; ok {
		t.Errorf("%s is still there", deny)
	}
	objectOf(t, audit, "enforcementAction: warn")
	if err := os.Remove(filepath.Join(p.policy, "image.cue")); err != nil {
		t.Fatal(err)
	}
	last := p.must()
	if len(last) != 1 {
		t.Errorf("without rules there are still %v", last)
	}
	for _, files := range []map[string]string{first, audit, last} {
		if files["web.yaml"] != krmOthers {
			t.Errorf("web.yaml became\n%s", files["web.yaml"])
		}
	}
}

// TestKRMRunnerFails holds that a policy that is broken fails the run, changes no file, and says why in the results.
func TestKRMRunnerFails(t *testing.T) {
	p := newKRMPackage(t)
	p.write(filepath.Join(p.dir, "web.yaml"), krmOthers)
	p.image("forever")
	files, err := p.run()
	if err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("the run ends with %v; want exit status 1", err)
	}
	if len(files) != 1 || files["web.yaml"] != krmOthers {
		t.Errorf("the files are %v", files)
	}
	results, err := filepath.Glob(filepath.Join(p.results(), "*"))
	if err != nil || len(results) != 1 {
		t.Fatalf("results are in %v, %v", results, err)
	}
	data, err := os.ReadFile(results[0])
	if err != nil || !strings.Contains(string(data), "image.cue:3:") || !strings.Contains(string(data), "severity: error") {
		t.Errorf("the results are %s, %v", data, err)
	}
}

// TestKRMHostile gives what no runner writes: each is refused or passed on, and nothing of it fails otherwise.
func TestKRMHostile(t *testing.T) {
	p := newKRMPackage(t)
	for _, text := range []string{
		"", "\x00", "- a", "{", "a: b", "kind: ResourceList", "kind: ResourceList\nitems:", "kind: ResourceList\nitems: a", "kind: ResourceList\nitems: {a: b}",
		"kind: ResourceList\nitems: [[]]", "kind: ResourceList\nitems: [null]", "kind: ResourceList\nitems: [{}]", "kind: ResourceList\nitems: [{metadata: a}]",
		"kind: ResourceList\nitems: [{metadata: {labels: [], annotations: 3}}]", "kind: ResourceList\nitems: [{metadata: {labels: {a: []}}}]",
		"kind: ResourceList\nfunctionConfig: a\nitems: []", "kind: ResourceList\nfunctionConfig: []\nitems: []", "kind: ResourceList\nfunctionConfig: {kind: []}\nitems: []",
		"kind: ResourceList\nfunctionConfig: {apiVersion: v1, kind: ConfigMap, data: a}\nitems: []", "kind: ResourceList\nfunctionConfig: {apiVersion: v1, kind: ConfigMap, data: [a]}\nitems: []",
		"kind: ResourceList\nfunctionConfig: {apiVersion: v1, kind: ConfigMap, data: {dir: {}}}\nitems: []", "kind: ResourceList\nresults: a\nitems: []",
		"kind: ResourceList\nitems: [&a {apiVersion: v1, kind: A, metadata: {name: a}}, *a]", "kind: ResourceList\nitems: [{a: &a [*a]}]", "a: &a [&b [*a, *b]]",
		"kind: ResourceList\nitems: [{apiVersion: 1, kind: 2, metadata: {name: 3, labels: {app.kubernetes.io/managed-by: writ}, annotations: {writ-sec.github.io/digest: 4}}}]",
		"kind: ResourceList\nitems: [{metadata: {name: a, annotations: {config.kubernetes.io/path: a, internal.config.kubernetes.io/path: b}}}]",
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"compile", "--krm", p.policy}, stdio{strings.NewReader(text), &out, &errs})
		if code != exitDone && code != exitNotDone || code != exitDone && errs.Len() == 0 {
			t.Errorf("%q: exit code %d, %s", text, code, errs.String())
		}
	}
}

// TestKRMExample runs the example as kustomize does: its functionConfig, as it is, with no objects but itself.
func TestKRMExample(t *testing.T) {
	p := newKRMPackage(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "writ")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	root, err := os.MkdirTemp(p.policy, "example")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(root, examples.FS); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "shop", "deploy")
	data, err := os.ReadFile(filepath.Join(dir, "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := yaml.Parse(string(data))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = runfn.RunFns{Input: bytes.NewReader(data), Output: &out, Functions: []*yaml.RNode{config}, EnableExec: true, DisableContainers: true, WorkingDir: dir}.Execute()
	if err != nil {
		t.Fatal(err)
	}
	template, constraint := strings.Index(out.String(), "\nkind: ConstraintTemplate\n"), strings.Index(out.String(), "enforcementAction: deny")
	if template < 0 || constraint < template {
		t.Errorf("the template stands at %d, a constraint at %d:\n%s", template, constraint, out.String())
	}
}
