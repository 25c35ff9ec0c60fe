// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"

	"github.com/writ-sec/writ/schema"
)

// schemaValue returns the embedded CUE schema.
func schemaValue(t *testing.T, ctx *cue.Context) cue.Value {
	t.Helper()
	data, err := schema.CUE.ReadFile("schema.cue")
	if err != nil {
		t.Fatal(err)
	}
	v := ctx.CompileBytes(data)
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	return v
}

// fieldsOf lists the fields of a definition, at a path, sorted.
func fieldsOf(t *testing.T, v cue.Value, path string) []string {
	t.Helper()
	p := v.LookupPath(cue.ParsePath(path))
	if p.Err() != nil {
		t.Fatalf("%s: %v", path, p.Err())
	}
	iter, err := p.Fields(cue.Optional(true))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var names []string
	for iter.Next() {
		names = append(names, iter.Selector().Unquoted())
	}
	slices.Sort(names)
	return names
}

// tagsOf lists the JSON names of a Go struct's fields, sorted, but for those that are not an author's to write.
func tagsOf(v any, not ...string) []string {
	var names []string
	for f := range reflect.TypeOf(v).Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !slices.Contains(not, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func sorted(names ...string) []string { slices.Sort(names); return names }

// TestSchemaAndTypes walks the CUE schema and the Go types: what an author can write is what Judge reads, and nothing is on one side alone.
func TestSchemaAndTypes(t *testing.T) {
	ctx := cuecontext.New()
	v := schemaValue(t, ctx)
	planes := []string{string(schema.PlaneExec), string(schema.PlaneImage)}
	workload := append(tagsOf(schema.Workload{}, "name", "closures", "rules", "pos"), append([]string{"mode"}, planes...)...)
	for _, c := range []struct {
		what      string
		cue, want []string
	}{
		{"#Match", fieldsOf(t, v, "#Match"), tagsOf(schema.Match{})},
		{"#Workload", fieldsOf(t, v, "#Workload"), sorted(workload...)},
		// A rule's key is its object; parent is struct-keyed, so its name is singular.
		{"#ExecRule", fieldsOf(t, v, "#ExecRule"), sorted("parent", "why")},
		{"#ImageRule", fieldsOf(t, v, "#ImageRule"), sorted("why")},
		{"schema.Rule", tagsOf(schema.Rule{}, "id", "plane", "verb", "object", "pos"), sorted("parents", "why")},
	} {
		if !slices.Equal(c.cue, c.want) {
			t.Errorf("%s has the fields %q; want %q", c.what, c.cue, c.want)
		}
	}
	for _, m := range []schema.Mode{schema.ModeLearn, schema.ModeAudit, schema.ModeEnforce, "warn", ""} {
		unified := v.LookupPath(cue.ParsePath("#Mode")).Unify(ctx.Encode(string(m)))
		if inCUE := unified.Err() == nil; inCUE != m.Valid() {
			t.Errorf("mode %q: CUE takes it is %v, Go takes it is %v", m, inCUE, m.Valid())
		}
	}
	modes := v.LookupPath(cue.MakePath(cue.Def("Workload"), cue.Str("mode").Optional()))
	for _, p := range planes {
		if err := modes.Unify(ctx.CompileString("{" + p + `: "audit"}`)).Err(); err != nil {
			t.Errorf("mode for plane %s: %v", p, err)
		}
	}
	if err := modes.Unify(ctx.CompileString(`{file: "audit"}`)).Err(); err == nil {
		t.Error("CUE takes a mode for a plane that Go does not have")
	}
}
