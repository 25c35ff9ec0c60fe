// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// imageTable returns patterns of any registry and of one, with tags and digests, and references that some of them match.
func imageTable() (patterns, refs []string) {
	one, two := "@sha256:"+strings.Repeat("1", 64), "@sha512:"+strings.Repeat("2", 128)
	cross := func(names, versions []string) (all []string) {
		for _, name := range names {
			for _, version := range versions {
				all = append(all, name+version)
			}
		}
		return all
	}
	patterns = cross([]string{"**", "**/a", "**/a/*", "r.example.com/**", "r.example.com/*/a", "docker.io/**", "a"}, []string{"", ":v1", ":latest", "@*", one, ":v1@*"})
	refs = cross([]string{"a", "r.example.com/a", "r.example.com/b/a", "r.example.com:5000/a/b", "localhost/b", "a.b/x/y/z"},
		[]string{"", ":v1", ":v2", one, two, ":v1" + one})
	return patterns, append(refs, "**", "**/a", "a@*", "NGINX", "")
}

// TestImagePatterns compares patterns of any registry, of one, with a tag and with any digest or one, as what a workload allows and as what a bound
// forbids, on references that some of them match.
func TestImagePatterns(t *testing.T) {
	patterns, refs := imageTable()
	r := rand.New(rand.NewPCG(3, 5))
	e := newEngine(t)
	denied := 0
	for range 40 {
		var from, never strings.Builder
		for range 1 + r.IntN(3) {
			fmt.Fprintf(&from, "%q: {}, ", patterns[r.IntN(len(patterns))])
		}
		fmt.Fprintf(&never, "%q: {}", patterns[r.IntN(len(patterns))])
		// They hold for different namespaces, as a rule that is wholly forbidden does not compile.
		res := compile(t, fmt.Sprintf("package policy\nworkload: w: {match: namespace: \"shop\", mode: \"enforce\", owner: \"o\", image: from: {%s}}\n"+
			"bound: b: {match: namespace: \"pay\", mode: \"enforce\", never: image: {%s}}\n", from.String(), never.String()))
		e.load(t, res.Bundle)
		for range 12 {
			o := object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "p"},
				"spec": object{"containers": []any{object{"name": "c", "image": refs[r.IntN(len(refs))]}}}}
			for _, namespace := range []string{"shop", "pay"} {
				denied += len(compare(t, e, policyOf(t, res), namespace, o, time.Time{}))
			}
		}
	}
	if denied < 200 || denied > 700 {
		t.Errorf("%d of 960 are denied, which says little", denied)
	}
}
