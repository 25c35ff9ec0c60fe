// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"os"
	"testing"

	"github.com/open-policy-agent/opa/v1/rego"
)

// TestInputs asks the Rego itself about inputs that Gatekeeper's own types cannot express: fields that are missing, and parameters
// that the template's schema would refuse.
func TestInputs(t *testing.T) {
	source, err := os.ReadFile("../admission.rego")
	if err != nil {
		t.Fatal(err)
	}
	query, err := rego.New(rego.Query("x = data.writimage.violation"), rego.Module("admission.rego", string(source))).PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
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
			results, err := query.Eval(t.Context(), rego.EvalInput(input))
			if err != nil || len(results) != 1 {
				t.Fatalf("%s: %v, %v", name, results, err)
			}
			violations := results[0].Bindings["x"].([]any)
			if denied := len(violations) > 0; denied != (test.denied && !never) {
				t.Errorf("%s, operation %s: violations %v; want denied = %v", name, op, violations, test.denied && !never)
			}
		}
	}
}
