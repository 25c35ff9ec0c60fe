// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"

	"github.com/writ-sec/writ/schema"
)

// TestGroups holds the form of bounds and of values for Pods: each has a comment that begins with its name, and consists of literals and the names of
// sets. None has what its author states: a mode, an owner, a match, a reason for the whole.
func TestGroups(t *testing.T) {
	keys := parsed(t)
	found := 0
	for name, data := range embedded(t, CUE) {
		f, err := parser.ParseFile(name, data, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls[1:] {
			group := d.(*ast.Field)
			if !slices.Contains(groups, label(t, group)) {
				continue
			}
			for _, entry := range literalStruct(t, group.Value) {
				found++
				entryName := label(t, entry)
				if len(ast.Comments(entry)) == 0 || !strings.HasPrefix(ast.Comments(entry)[0].Text(), entryName+" ") {
					t.Errorf("%s: %s has no comment that begins with its name", entry.Pos(), entryName)
				}
				plain(t, keys, entry.Value)
				for _, field := range literalStruct(t, entry.Value) {
					if own := label(t, field); slices.Contains([]string{"mode", "owner", "match", "why"}, own) {
						t.Errorf("%s: %s states %s, which is its author's", field.Pos(), entryName, own)
					}
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("there are %d bounds and values for Pods", found)
	}
}

// plain fails where an expression is more than literals and names of sets.
func plain(t *testing.T, sets map[string][]string, x ast.Expr) {
	t.Helper()
	switch x := x.(type) {
	case *ast.BasicLit:
	case *ast.Ident:
		if sets[x.Name] == nil {
			t.Errorf("%s: %s is no set", x.Pos(), x.Name)
		}
	default:
		for _, f := range literalStruct(t, x) {
			label(t, f)
			plain(t, sets, f.Value)
		}
	}
}

// TestBounds embeds each bound with what its author states, beside rules of the author's own, and all of them together: they contradict each other only in
// the least profile.
func TestBounds(t *testing.T) {
	const head = "package policy\n\nimport (\n\t\"" + ImportPath + "\"\n\t\"" + schema.ImportPath + "\"\n)\n\nbound: [string]: schema.#Bound\nworkload: [string]: schema.#Workload\n"
	var b strings.Builder
	b.WriteString(head + "lib: policies\n")
	lib := evaluate(t, b.String()).LookupPath(cue.ParsePath("lib.bounds"))
	names := fieldNames(t, lib)
	profile := func(name string) string {
		s, _ := lib.LookupPath(cue.ParsePath(name + ".require.profile")).String()
		return s
	}
	b.Reset()
	b.WriteString(head)
	together := map[string][]string{"baseline": nil, "restricted": nil}
	for _, one := range names {
		fmt.Fprintf(&b, "bound: %q: {policies.bounds.%s, mode: {now: \"audit\", then: \"enforce\", after: \"2027-01-31\"}, owner: \"o\", why: \"w\", match: namespace: \"n\", never: exec: \"/own\": why: \"w\"}\n", one, one)
		for level := range together {
			if p := profile(one); p == level || p == "" {
				together[level] = append(together[level], "policies.bounds."+one)
			}
		}
	}
	for level, all := range together {
		fmt.Fprintf(&b, "bound: %q: {%s}\n", level+" and all", strings.Join(all, ", "))
	}
	v := evaluate(t, b.String())
	if n := len(fieldNames(t, v.LookupPath(cue.ParsePath("bound")))); n != len(names)+2 || len(together["baseline"]) < len(names)-3 {
		t.Errorf("%d bounds of %d names, together %v", n, len(names), together)
	}
}

func fieldNames(t *testing.T, v cue.Value) (names []string) {
	t.Helper()
	fields, err := v.Fields()
	if err != nil {
		t.Fatal(err)
	}
	for fields.Next() {
		names = append(names, fields.Selector().Unquoted())
	}
	return names
}

// TestPods embeds each value for Pods beside one of the author's own.
func TestPods(t *testing.T) {
	const head = "package policy\n\nimport (\n\t\"" + ImportPath + "\"\n\t\"" + schema.ImportPath + "\"\n)\n\nworkload: [string]: schema.#Workload\n"
	names := fieldNames(t, evaluate(t, head+"lib: policies\n").LookupPath(cue.ParsePath("lib.pods")))
	text := head
	for _, name := range names {
		text += fmt.Sprintf("workload: %q: {match: namespace: \"n\", pod: {policies.pods.%s, serviceAccount: own: {}}}\n", name, name)
	}
	if n := len(fieldNames(t, evaluate(t, text).LookupPath(cue.ParsePath("workload")))); n != len(names) || n < 5 {
		t.Errorf("%d workloads of %d names", n, len(names))
	}
}

// forbidden returns the values of Pods' fields that a bound of the library forbids.
func forbidden(t *testing.T, bound string) map[schema.PodField][]string {
	t.Helper()
	lib := evaluate(t, "package policy\n\nimport \"github.com/writ-sec/writ/policies\"\n\nlib: policies\n")
	fields := map[schema.PodField][]string{}
	pod := lib.LookupPath(cue.ParsePath("lib.bounds." + bound + ".never.pod"))
	for _, field := range fieldNames(t, pod) {
		fields[schema.PodField(field)] = fieldNames(t, pod.LookupPath(cue.MakePath(cue.Str(field))))
	}
	return fields
}

// TestLevels holds the bounds of the Pod Security Standards against the rules of the levels: each value that a bound forbids is one that the level does
// not permit, and of the fields that a bound names it forbids all that the level does not permit. What profiles say by fields of their own is compared by
// these.
func TestLevels(t *testing.T) {
	alike := map[schema.PodField]schema.PodField{schema.PodNonRoot: schema.PodRootAllowed, schema.PodRunAsUser: schema.PodRootUser}
	values := map[schema.PodField][]string{
		schema.PodVolumes: strings.Fields(`awsElasticBlockStore azureDisk azureFile cephfs cinder configMap csi downwardAPI emptyDir ephemeral fc flexVolume flocker
			gcePersistentDisk gitRepo glusterfs hostPath image iscsi nfs persistentVolumeClaim photonPersistentDisk portworxVolume projected quobyte rbd scaleIO secret
			storageos vsphereVolume`),
		schema.PodSeccomp: {"", "RuntimeDefault", "Localhost", "Unconfined"}, schema.PodAppArmor: {"", "RuntimeDefault", "Localhost", "Unconfined"},
		schema.PodAddCapabilities: append(slices.Clone(parsed(t)["capabilities"]), "NET_BIND_SERVICE"),
		schema.PodHostNetwork:     {"true", "false"}, schema.PodHostPID: {"true", "false"}, schema.PodHostIPC: {"true", "false"}, schema.PodPrivileged: {"true", "false"},
		schema.PodEscalation: {"true", "false"}, schema.PodNonRoot: {"true", "false"}, schema.PodRunAsUser: {"0", "1000"},
	}
	for bound, level := range map[string]string{"podBaseline": "baseline", "podRestricted": "restricted"} {
		never := forbidden(t, bound)
		for field, all := range values {
			for _, value := range all {
				e := schema.Event{Verb: schema.VerbSet, Set: map[schema.PodField]schema.Names{field: {value}}}
				if value == "hostPath" {
					e.Set[schema.PodHostPaths] = schema.Names{"/data"} // by which the levels know it
				}
				if other, ok := alike[field]; ok {
					bad := map[bool]string{true: "true", false: "false"}[value == "false" || value == "0"]
					e.Set = map[schema.PodField]schema.Names{other: {bad}}
				}
				w := &schema.Workload{Closures: []schema.Closure{{Plane: schema.PlanePod, Mode: schema.ModeEnforce}}, Rules: schema.ProfileRules(level)}
				permits := schema.Selection{Workloads: []*schema.Workload{w}}.Judge(e, time.Time{}).Action == schema.ActionAllow
				if forbids := slices.Contains(never[field], value); forbids == permits {
					t.Errorf("%s: %s %q: the level permits it: %v; the bound forbids it: %v", bound, field, value, permits, forbids)
				}
			}
		}
		for _, field := range slices.Sorted(maps.Keys(never)) {
			if values[field] == nil {
				t.Errorf("%s forbids values of %s, which nothing compares", bound, field)
			}
		}
	}
}
