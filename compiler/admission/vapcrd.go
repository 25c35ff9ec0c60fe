// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import "encoding/json"

// Bounds of the schema. They are far above what the compiler writes, and there because an API server wants all sizes bounded.
const (
	vapMaxString = 256 << 10
	vapMaxItems  = 64 << 10
)

// podRulesDefinition is the kind of the params. It has neither a role nor rules of its own: who administers the cluster writes them.
func podRulesDefinition() object {
	const plural = "podrules"
	return object{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata(plural + "." + vapGroup),
		"spec": object{
			"group": vapGroup, "scope": "Namespaced",
			"names": object{"kind": vapKind, "listKind": vapKind + "List", "plural": plural, "singular": plural},
			"versions": []object{{
				"name": "v1alpha1", "served": true, "storage": true,
				"schema": object{"openAPIV3Schema": podRulesSchema()},
			}},
		},
	}
}

// podRulesSchema describes what vapparams.go writes.
func podRulesSchema() object {
	text := object{"type": "string", "maxLength": vapMaxString}
	texts := listOf(text)
	selector := object{"l": texts, "c": text, "x": listOf(fields(object{"k": text, "is": texts, "not": texts, "set": object{"type": "boolean"}}, "k"))}
	stated := object{"i": text, "at": text, "y": text}
	images := object{"e": texts, "g": listOf(fields(object{"s": text, "o": object{"type": "boolean"}, "m": text, "t": text, "d": text}))}
	imageRule := fields(together(stated, images), "i")
	podRules := listOf(fields(together(stated, object{"f": text, "v": texts, "m": texts}), "f", "i"))
	named := together(selector, object{"n": text, "o": text})
	workload := fields(together(named, object{
		"image": imageRule,
		"pod":   fields(object{"r": podRules, "p": fields(object{"n": text, "i": text, "at": text}, "n", "i")}),
	}), "n")
	bound := fields(together(named, object{"image": listOf(imageRule), "pod": podRules, "require": fields(stated, "i")}), "n")
	patch := fields(object{"n": text, "o": text, "image": fields(images), "never": listOf(imageRule)}, "n", "image", "never")
	schema := fields(object{
		"workloads": indexOf(workload), "cover": indexOf(fields(selector)), "bounds": listOf(bound), "patches": listOf(patch),
	})
	schema["description"] = "What the policy demands of the Pods of a namespace. It is written by writ and read by the ValidatingAdmissionPolicy " + vapPolicy + "."
	return schema
}

func fields(properties object, required ...string) object {
	o := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

func together(all ...object) object {
	o := object{}
	for _, properties := range all {
		for k, v := range properties {
			o[k] = v
		}
	}
	return o
}

func listOf(items object) object {
	return object{"type": "array", "items": items, "maxItems": vapMaxItems, "x-kubernetes-list-type": "atomic"}
}

// indexOf is a map of lists by "key=value". That it is atomic keeps the managed fields of the object small.
func indexOf(items object) object {
	return object{"type": "object", "additionalProperties": listOf(items), "maxProperties": vapMaxItems, "x-kubernetes-map-type": "atomic"}
}

// decodeAll reads texts that this package wrote.
func decodeAll[T string | []byte](texts []T) []any {
	all := make([]any, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal([]byte(text), &all[i]); err != nil {
			panic(err) // it was written by compactJSON
		}
	}
	return all
}
