// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package podsecuritytest holds what writ says of Pods against the Pod Security Standards' own evaluator and fixtures. It is a module of its own,
// so that these are no dependencies of writ.
package podsecuritytest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
)

// version is the one that schema.ProfileRules speaks of. TestVersion holds it against the module's.
var version = api.MajorMinorVersion(1, 37)

var levels = []api.Level{api.LevelBaseline, api.LevelRestricted}

// profiled returns a policy that demands rules of each Pod.
func profiled(rules []schema.Rule) *schema.Policy {
	for i := range rules {
		rules[i].ID = schema.RuleID(i + 1)
	}
	return &schema.Policy{Workloads: []schema.Workload{{
		Name: "w", Match: schema.Match{Namespace: "default"}, Rules: rules,
		Closures: []schema.Closure{{ID: 1000, Plane: schema.PlanePod, Mode: schema.ModeEnforce}},
	}}}
}

// podOf returns the Pod that an object in JSON is.
func podOf(t *testing.T, data []byte) manifest.Pod {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	pod, ok := manifest.Builtin().Of(object, "default")
	if !ok {
		t.Fatalf("is no Pod: %s", data)
	}
	return pod
}

// allows says whether a policy lets a Pod's events happen, and which rules decide if not.
func allows(p *schema.Policy, events []schema.Event) (bool, []schema.RuleID) {
	var denied []schema.RuleID
	for _, e := range events {
		if v := schema.Judge(p, e, time.Time{}); v.Action != schema.ActionAllow {
			denied = append(denied, v.Rule)
		}
	}
	return len(denied) == 0, denied
}

// evaluator is upstream's.
func evaluator(t *testing.T) policy.Evaluator {
	t.Helper()
	e, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestVersion(t *testing.T) {
	newest := api.MajorMinorVersion(1, 0)
	for _, check := range policy.DefaultChecks() {
		for _, v := range check.Versions {
			if newest.Older(v.MinimumVersion) {
				newest = v.MinimumVersion
			}
		}
	}
	if newest != version {
		t.Errorf("upstream changed a check in %s; schema.ProfileRules speaks of %s", newest.String(), version.String())
	}
}

// fixture is one of upstream's Pods.
type fixture struct {
	level   api.Level
	version string // "v1.37"
	passes  bool   // at that level and version
	name    string
	data    []byte // JSON
	pod     corev1.Pod
}

// fixtures reads upstream's fixtures of all versions.
func fixtures(t *testing.T) []fixture {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/pod-security-admission").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "test", "testdata")
	var all []fixture
	for _, level := range levels {
		for _, want := range []string{"pass", "fail"} {
			names, err := filepath.Glob(filepath.Join(root, string(level), "v*", want, "*.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				source, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				f := fixture{level: level, version: filepath.Base(filepath.Dir(filepath.Dir(name))), passes: want == "pass", name: filepath.Base(name)}
				if f.data, err = yaml.YAMLToJSON(source); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if err := json.Unmarshal(f.data, &f.pod); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				all = append(all, f)
			}
		}
	}
	return all
}

// TestFixtures takes the fixtures of the version at their word. Those of the others pass or fail as upstream's evaluator says that they do
// at this version.
func TestFixtures(t *testing.T) {
	upstream := evaluator(t)
	own, others := map[bool]int{}, map[bool]int{}
	for _, f := range fixtures(t) {
		fillIn(&f.pod.Spec) // upstream reads what an API server has filled in
		want := policy.AggregateCheckResults(upstream.EvaluatePod(api.LevelVersion{Level: f.level, Version: version}, &f.pod.ObjectMeta, &f.pod.Spec))
		count := others
		if f.version == version.String() {
			if count = own; want.Allowed != f.passes {
				t.Fatalf("%s %s: upstream does not agree with itself", f.level, f.name)
			}
		}
		count[want.Allowed]++
		pod := podOf(t, f.data)
		got, rules := allows(profiled(schema.ProfileRules(string(f.level))), pod.Events())
		if got != want.Allowed {
			t.Errorf("%s %s %s: got %v by rules %v, want %v: %s\n%s", f.level, f.version, f.name, got, rules, want.Allowed, want.ForbiddenDetail(), f.data)
		}
		if problems := pod.Problems(); len(problems) > 0 {
			t.Errorf("%s %s %s: got problems %v", f.level, f.version, f.name, problems)
		}
	}
	for name, count := range map[string]map[bool]int{"of the version": own, "of others": others} {
		if count[true] < 20 || count[false] < 50 {
			t.Errorf("fixtures %s: only %d pass and %d fail; the test proves little", name, count[true], count[false])
		}
	}
	t.Logf("pass and fail: %d and %d of the version, %d and %d of others", own[true], own[false], others[true], others[false])
}

// controls says which fields decide for each of upstream's checks.
var controls = map[policy.CheckID][]schema.PodField{
	"allowPrivilegeEscalation":   {schema.PodEscalation},
	"appArmorProfile":            {schema.PodAppArmor},
	"capabilities_baseline":      {schema.PodAddCapabilities},
	"capabilities_restricted":    {schema.PodAddCapabilities, schema.PodDropCapabilities},
	"hostNamespaces":             {schema.PodHostNetwork, schema.PodHostPID, schema.PodHostIPC},
	"hostPathVolumes":            {schema.PodHostPaths},
	"hostPorts":                  {schema.PodHostPorts},
	"hostProbesAndHostLifecycle": {schema.PodProbeHosts},
	"privileged":                 {schema.PodPrivileged},
	"procMount":                  {schema.PodProcMount},
	"procMount_restricted":       {schema.PodProcMount},
	"restrictedVolumes":          {schema.PodVolumes},
	"runAsNonRoot":               {schema.PodRootAllowed},
	"runAsUser":                  {schema.PodRootUser},
	"seLinuxOptions":             {schema.PodSELinuxType, schema.PodSELinuxUserRole},
	"seccompProfile_baseline":    {schema.PodSeccomp},
	"seccompProfile_restricted":  {schema.PodSeccomp},
	"sysctls":                    {schema.PodSysctls},
	"windowsHostProcess":         {schema.PodHostProcess},
}

// control is one of upstream's checks with the rules that stand for it.
type control struct {
	id              policy.CheckID
	check           policy.CheckPodFn
	rules           *schema.Policy
	allowed, denied int
}

// controlsOf returns upstream's checks as they are at the version.
func controlsOf(t *testing.T) []*control {
	t.Helper()
	var all []*control
	for _, check := range policy.DefaultChecks() {
		fields := controls[check.ID]
		if fields == nil {
			t.Fatalf("upstream has a check %s, which stands for no field here", check.ID)
		}
		rules := slices.DeleteFunc(schema.ProfileRules(string(check.Level)), func(r schema.Rule) bool {
			return !slices.Contains(fields, schema.PodField(r.Object))
		})
		if len(rules) != len(fields) {
			t.Fatalf("%s: %d rules for %v", check.ID, len(rules), fields)
		}
		all = append(all, &control{id: check.ID, check: check.Versions[len(check.Versions)-1].CheckPod, rules: profiled(rules)})
	}
	if len(all) != len(controls) {
		t.Errorf("upstream has %d checks, and %d stand here", len(all), len(controls))
	}
	return all
}
