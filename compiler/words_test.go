// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"

	"github.com/writ-sec/writ/schema"
)

// schemaPart is a part of the CUE schema and the Go type that lowering makes of it.
type schemaPart struct {
	path string // a definition, and fields below it; "*" is a field of any name
	of   any
	// cue holds the fields that Go has elsewhere, and where; gone those that Go has under another name, or that no author writes.
	cue, gone map[string]string
}

// These are what no author writes by name: the key of an entry, and where it stands.
var keyed = map[string]string{"name": "the entry's key", "pos": "where it stands"}

func keyedAnd(more map[string]string) map[string]string {
	all := maps.Clone(keyed)
	maps.Copy(all, more)
	return all
}

// Where parts of a mode and the rules of a workload are in Go.
var (
	inRules     = "Rules and Closures"
	plannedMode = map[string]string{"then": "mode", "after": "mode"}
)

// parts lists all of the schema but its words.
var parts = []schemaPart{
	{"#Workload", schema.Workload{}, map[string]string{"mode": "Closures", "exec": inRules, "file": inRules, "capability": inRules, "egress": inRules,
		"ingress": inRules, "image": inRules, "pod": inRules}, keyedAnd(map[string]string{"closures": "", "rules": "", "profile": "pod.profile"})},
	{"#PlannedMode", schema.PlaneMode{}, map[string]string{"now": "Mode"}, map[string]string{"mode": "now", "plane": "the key of #Modes"}},
	{"#Match", schema.Match{}, nil, nil},
	{"#Expression", schema.Expression{}, nil, nil},
	{"#Selector", schema.Selector{}, nil, nil},
	{"#Peer", schema.Peer{}, map[string]string{"why": "Rule"}, map[string]string{"match": "what the workload selects", "namespaces": "namespace, if it is a struct"}},
	{"#HTTPRule", schema.HTTPRule{}, map[string]string{"why": "nothing: it is for who reads the file"}, map[string]string{"method": "the key", "path": "the key"}},
	{"#Folder", schema.Folder{}, nil, map[string]string{"path": "the key", "pos": "where it stands"}},
	{"#Bound", schema.Bound{}, nil, keyedAnd(map[string]string{"then": "mode", "after": "mode", "id": "the name"})},
	{"#Require", schema.Require{}, nil, nil},
	{"#Gate", schema.Gate{}, nil, keyed},
	{"#Gate.at", schema.GateAt{}, nil, nil},
	{"#Exception", schema.Exception{}, map[string]string{"finding": "Findings"}, keyedAnd(map[string]string{"findings": "finding"})},
	{"#Signer", schema.Signer{}, nil, keyed},
	{"#Signer.keyless", schema.Keyless{}, nil, nil},
	{"#Registry", schema.Registry{}, nil, keyed},
	{"#Registry.repositories.*", schema.Repository{}, nil, nil},
	{"#Response", schema.Response{}, nil, keyedAnd(plannedMode)},
	{"#Response.on", schema.Trigger{}, nil, nil},
	{"#Response.do", schema.Actions{}, nil, nil},
	{"#Notify", schema.Notify{}, nil, keyed},
	{"#Benchmark", schema.Benchmark{}, nil, keyed},
	{"#Benchmark.skip.*", schema.Skip{}, nil, nil},
	{"#Check", schema.Check{}, nil, keyed},
	{"#Check.of", schema.CheckOf{}, nil, nil},
	{"#Assertion", schema.Assertion{}, nil, nil},
	{"#Cluster", schema.Cluster{}, map[string]string{"mode": "Modes", "workload": "Workloads"}, keyedAnd(map[string]string{"modes": "mode", "workloads": "workload"})},
	{"#Admission", schema.Admission{}, nil, map[string]string{"pos": "where it stands"}},
	{"#Admission.failurePolicy", schema.FailurePolicies{}, nil, nil},
	{"#Maker", schema.Maker{}, nil, map[string]string{"kind": "the key"}},
	{"#Budget", schema.Budget{}, nil, map[string]string{"pos": "where it stands"}},
	{"#Subject", schema.Subject{}, nil, map[string]string{"namespaceLabels": "the workload's, as a test has no other"}},
}

// fieldLists are parts whose fields are words of Go.
var fieldLists = map[string][]string{
	"#Modes":       append(namesOf(schema.Planes), "network"),
	"#Limits":      namesOf(schema.Planes[:5]),
	"#Pod":         append(namesOf(schema.PodFields), "profile"),
	"#Bound.never": namesOf(schema.Planes),
	"#Bound.only":  namesOf(schema.Planes[:6]),
	"#Gate.deny":   slices.Collect(maps.Keys(findingField)),
	"#Images":      {"from", "signedBy", "gate"},
	"#Reason":      {"why"},
	"#Set":         nil,
	// A rule's key is its object; parent and tls are keyed by what they list, so their names are singular.
	"#ExecRule":                {"parent", "why"},
	"#FlowRule":                append(tagsOf(schema.Peer{}, "match", "namespaces"), "why", "http", "grpc", "tls", "l4"),
	"#Workload.file":           {"read", "write"},
	"#Cluster.workload.*":      {"mode"},
	"#VulnerabilityFinding":    {"severity", "fixable", "id", "package", "why"},
	"#SecretFinding":           {"severity", "rule", "why"},
	"#LicenceFinding":          {"severity", "name", "package", "why"},
	"#MisconfigurationFinding": {"severity", "id", "why"},
	"#ImageFinding":            {"olderThan", "base", "root", "signed", "why"},
	"#Test":                    {"in", "subject", "exec", "parent", "read", "write", "capability", "connect", "accept", "run", "signedBy", "passes", "pod", "is", "by", "at", "why"},
	"#Flow":                    {"workload", "subject", "address", "dns", "port", "portName", "protocol", "http", "host", "grpc", "tls"},
}

// wordLists are the words that a field, or a definition, may have.
var wordLists = map[string][]string{
	"#Mode":       {string(schema.ModeLearn), string(schema.ModeAudit), string(schema.ModeEnforce)},
	"#GateAction": gateActions, "#Severity": severities,
	"#Peer.protocol": {"tcp", "udp", "sctp"}, "#Flow.protocol": {"tcp", "udp", "sctp"}, "#FlowRule.l4": {"accept"},
	"#Pod.profile": schema.Profiles, "#Require.profile": schema.Profiles[1:],
	"#Response.on.plane": namesOf(schema.Planes), "#Response.on.verdict": namesOf([]schema.Action{schema.ActionLearn, schema.ActionAudit, schema.ActionDeny}),
	"#Notify.kind": slices.Collect(maps.Keys(notifyTo)), "#Benchmark.profile": {"cis-kubernetes", "cis-docker", "nsa-kubernetes", "pss"},
	"#Admission.by": schema.AdmissionWords, "#Cluster.admission": schema.AdmissionWords, "#FailurePolicy": {schema.FailurePolicyIgnore, schema.FailurePolicyFail},
	"#Test.is": slices.Collect(maps.Keys(verdictWords)),
}

func namesOf[T ~string](all []T) []string {
	names := make([]string, len(all))
	for i, n := range all {
		names[i] = string(n)
	}
	return names
}

// tagsOf lists the JSON names of a Go struct's fields, but for some.
func tagsOf(v any, not ...string) []string {
	var names []string
	for f := range reflect.TypeOf(v).Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !slices.Contains(not, name) {
			names = append(names, name)
		}
	}
	return names
}

func sortedNames(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// schemaAt finds a part of the schema by CUE's own means.
func schemaAt(v cue.Value, path string) cue.Value {
	for _, name := range strings.Split(path, ".") {
		switch {
		case strings.HasPrefix(name, "#"):
			v = v.LookupPath(cue.MakePath(cue.Def(name)))
		case name == "*":
			v = v.LookupPath(cue.MakePath(cue.AnyString))
		default:
			sub := v.LookupPath(cue.MakePath(cue.Str(name).Optional()))
			if !sub.Exists() {
				sub = v.LookupPath(cue.MakePath(cue.Str(name)))
			}
			v = sub
		}
	}
	return v
}

// fieldsOf lists the fields of a struct.
func fieldsOf(v cue.Value) ([]string, error) {
	iter, err := v.Fields(cue.Optional(true))
	if err != nil {
		return nil, err
	}
	var names []string
	for iter.Next() {
		names = append(names, iter.Selector().Unquoted())
	}
	return names, nil
}

// wordsOf lists the words of a disjunction.
func wordsOf(v cue.Value) []string {
	if op, args := v.Expr(); op == cue.OrOp {
		var all []string
		for _, a := range args {
			all = append(all, wordsOf(a)...)
		}
		return all
	}
	s, err := v.String()
	if err != nil {
		return []string{"not a word: " + fmt.Sprint(v)}
	}
	return []string{s}
}

// differences holds a schema against the Go types.
func differences(t *testing.T, sources map[string][]byte) (all []string) {
	t.Helper()
	ctx := cuecontext.New()
	v := ctx.BuildInstance(schemaInstance(t, sources))
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	hold := func(path string, got []string, err error, want []string) {
		listed[path] = true
		if got, want = sortedNames(got), sortedNames(want); err != nil || !slices.Equal(got, want) {
			all = append(all, fmt.Sprintf("%s has %q, %v; Go has %q", path, got, err, want))
		}
	}
	for _, p := range parts {
		got, err := fieldsOf(schemaAt(v, p.path))
		hold(p.path, got, err, append(tagsOf(p.of, slices.Collect(maps.Keys(p.gone))...), slices.Collect(maps.Keys(p.cue))...))
	}
	for path, want := range fieldLists {
		got, err := fieldsOf(schemaAt(v, path))
		hold(path, got, err, want)
	}
	for path, want := range wordLists {
		hold(path, wordsOf(schemaAt(v, path)), nil, want)
	}
	iter, err := v.Fields(cue.Definitions(true))
	for err == nil && iter.Next() {
		if !listed[iter.Selector().String()] {
			all = append(all, iter.Selector().String()+" is held against nothing")
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestSchemaAndTypes walks the CUE schema and the Go types: what an author can write is what Judge reads, and nothing is on one side alone.
func TestSchemaAndTypes(t *testing.T) {
	for _, d := range differences(t, libraries[0].sources()) {
		t.Error(d)
	}
	for _, p := range parts { // an exception that is none hides the next
		have := tagsOf(p.of)
		for name := range p.gone {
			if !slices.Contains(have, name) {
				t.Errorf("%s: Go has no field %q", p.path, name)
			}
		}
	}
	alternative := tagsOf(schema.Alternative{}, "id", "class", "name", "finding", "pos")
	var fields []string
	for class := range findingField {
		name := "#" + strings.ToUpper(class[:1]) + class[1:] + "Finding"
		for _, f := range fieldLists[name] {
			if f != findingField[class] {
				fields = append(fields, f)
			}
		}
	}
	if got, want := sortedNames(fields), sortedNames(alternative); !slices.Equal(got, want) {
		t.Errorf("findings have the fields %q; Go has %q", got, want)
	}
}

// schemaInstance makes an instance of the schema alone.
func schemaInstance(t *testing.T, sources map[string][]byte) *build.Instance {
	t.Helper()
	inst := build.NewContext().NewInstance("", nil)
	inst.ImportPath = schema.ImportPath
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if err := addFile(inst, name, sources[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := inst.Complete(); err != nil {
		t.Fatal(err)
	}
	return inst
}

// changedSchema returns the schema with one text replaced by another.
func changedSchema(t *testing.T, from, to string) map[string][]byte {
	t.Helper()
	sources, found := map[string][]byte{}, false
	for name, data := range libraries[0].sources() {
		text := string(data)
		if !found && strings.Contains(text, from) {
			text, found = strings.Replace(text, from, to, 1), true
		}
		sources[name] = []byte(text)
	}
	if !found {
		t.Fatalf("the schema does not hold %q", from)
	}
	return sources
}

// TestSchemaChangesAreSeen holds that what is on one side alone does not pass.
func TestSchemaChangesAreSeen(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"#Workload: {\n", "#Workload: {\n\textra?: string\n", "#Workload has"},
		{"\tshared?: bool\n", "", "#Workload has"},
		{"\tlimit?: int\n", "", "#Notify has"},
		{"level?: int\n", "level?: int\n\tdepth?: int\n", "#Benchmark has"},
		{`"learn" | "audit" | "enforce"`, `"learn" | "audit" | "enforce" | "kill"`, "#Mode has"},
		{"\thostPID?:                      bool\n", "", "#Pod has"},
		{"#Budget: {\n", "#New: {a?: string}\n#Budget: {\n", "#New is held against nothing"},
	} {
		if all := differences(t, changedSchema(t, c.from, c.to)); len(all) == 0 || !strings.Contains(strings.Join(all, "\n"), c.want) {
			t.Errorf("with %q for %q: %q; want %q", c.to, c.from, all, c.want)
		}
	}
	dropped := readShapes(changedSchema(t, "#Registry: {\n", "#Registry: {\n\textra?: string\n"))
	if got := droppedBy(t, "registry", dropped["#Registry"]); !slices.Equal(got, []string{"registry.e.extra"}) {
		t.Errorf("lowering drops %q; want the field that Go does not know", got)
	}
}
