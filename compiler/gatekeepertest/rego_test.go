// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"os"
	"testing"

	"github.com/open-policy-agent/opa/v1/rego"
)

func prepare(t *testing.T) rego.PreparedEvalQuery {
	t.Helper()
	source, err := os.ReadFile("../admission.rego")
	if err != nil {
		t.Fatal(err)
	}
	query, err := rego.New(rego.Query("x = data.writimage.violation"), rego.Module("admission.rego", string(source))).PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return query
}

func violationsOf(t *testing.T, query rego.PreparedEvalQuery, input any) []any {
	t.Helper()
	results, err := query.Eval(t.Context(), rego.EvalInput(input))
	if err != nil || len(results) != 1 {
		t.Fatalf("%v, %v", results, err)
	}
	return results[0].Bindings["x"].([]any)
}

// TestUnnamed asks about reviews that leave out what a workload selects by. A label that must be absent says nothing of what is not known to
// be in Kubernetes, and a pattern names no container without a name. What is there and can't be read is judged.
func TestUnnamed(t *testing.T) {
	type object = map[string]any
	const absent, named = `"x": {"a": {"exists": false}}`, `"k": "^[^/]*$"`
	tests := map[string]struct {
		condition string
		namespace any
		metadata  any
		container any
		denied    bool
	}{
		"absent, in a namespace":         {absent, "shop", object{}, "c", true},
		"absent, labels are null":        {absent, "shop", object{"labels": nil}, "c", true},
		"absent, labels are a list":      {absent, "shop", object{"labels": []string{"a"}}, "c", true},
		"absent, no metadata":            {absent, "shop", nil, "c", true},
		"absent, by labels alone":        {absent, nil, object{"labels": object{"b": "c"}}, "c", true},
		"absent, nothing is known":       {absent, nil, object{}, "c", false},
		"absent, and an empty label":     {absent, "shop", object{"labels": object{"a": ""}}, "c", false},
		"named":                          {named, "shop", object{}, "c", true},
		"named, an empty name":           {named, "shop", object{}, "", false},
		"named, no name":                 {named, "shop", object{}, nil, false},
		"named, a name that is a number": {named, "shop", object{}, 1, true},
	}
	query := prepare(t)
	for name, test := range tests {
		container := object{"image": "bad"}
		if test.container != nil {
			container["name"] = test.container
		}
		review := object{"object": object{"metadata": test.metadata, "spec": object{"containers": []any{container}}}}
		if test.namespace != nil {
			review["namespace"] = test.namespace
		}
		section := `[{"n": "w", "c": "c", "l": {}, ` + test.condition + `}]`
		input := object{"review": review, "parameters": object{"sections": object{"*": section}}}
		if violations := violationsOf(t, query, input); len(violations) > 0 != test.denied {
			t.Errorf("%s: violations %v; want denied = %v", name, violations, test.denied)
		}
	}
}

// TestInputs asks the Rego itself about inputs that Gatekeeper's own types cannot express: fields that are missing, and parameters
// that the template's schema would refuse.
func TestInputs(t *testing.T) {
	query := prepare(t)
	good := map[string]any{"sections": map[string]any{"shop": `[{"n": "w", "c": "c", "l": {}, "e": {"docker.io/library/good": [["", ""]]}}]`}}
	tests := map[string]struct {
		parameters any
		image      string
		denied     bool
	}{
		"allowed image":             {good, "good", false},
		"other image":               {good, "bad", true},
		"section is an object":      {map[string]any{"sections": map[string]any{"shop": map[string]any{}}}, "good", true},
		"section is false":          {map[string]any{"sections": map[string]any{"shop": false}}, "good", true},
		"section is null":           {map[string]any{"sections": map[string]any{"shop": nil}}, "good", true},
		"sections are a string":     {map[string]any{"sections": "[]"}, "good", true},
		"sections are null":         {map[string]any{"sections": nil}, "good", true},
		"no sections":               {map[string]any{}, "good", true},
		"no parameters":             {nil, "good", true},
		"sections of other matters": {map[string]any{"sections": map[string]any{"web": "[{"}}, "good", false},
	}
	for name, test := range tests {
		for op, never := range map[string]bool{"missing": false, "": false, "CREATE": false, "UPDATE": false, "DELETE": true} {
			review := map[string]any{"namespace": "shop", "object": map[string]any{
				"spec": map[string]any{"containers": []any{map[string]any{"name": "c", "image": test.image}}}}}
			if op != "missing" {
				review["operation"] = op
			}
			input := map[string]any{"review": review}
			if test.parameters != nil {
				input["parameters"] = test.parameters
			}
			violations := violationsOf(t, query, input)
			if denied := len(violations) > 0; denied != (test.denied && !never) {
				t.Errorf("%s, operation %s: violations %v; want denied = %v", name, op, violations, test.denied && !never)
			}
		}
	}
}
