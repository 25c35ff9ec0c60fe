// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

// TestVAPImagePatterns is TestImagePatterns for ValidatingAdmissionPolicy.
func TestVAPImagePatterns(t *testing.T) {
	patterns, refs := imageTable()
	r := rand.New(rand.NewPCG(3, 5))
	s := newServer("")
	denied := 0
	for range 40 {
		w := schema.Workload{Name: "w", Match: schema.Match{Namespace: "shop"}, Closures: []schema.Closure{{ID: schema.NewRuleID("closure", "w", "image"),
			Plane: schema.PlaneImage, Mode: schema.ModeEnforce, Verbs: []schema.Verb{schema.VerbRun}}}}
		b := schema.Bound{Name: "b", ID: schema.NewRuleID("bound", "b", "require"), Match: schema.Match{Namespace: "web"}, Mode: schema.ModeEnforce}
		for range 1 + r.IntN(3) {
			pattern := patterns[r.IntN(len(patterns))]
			w.Rules = append(w.Rules, schema.Rule{ID: schema.NewRuleID("rule", "w", pattern), Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: pattern})
		}
		slices.SortFunc(w.Rules, schema.CompareRules)
		w.Rules = slices.CompactFunc(w.Rules, func(x, y schema.Rule) bool { return x.ID == y.ID })
		pattern := patterns[r.IntN(len(patterns))]
		b.Never = []schema.Rule{{ID: schema.NewRuleID("never", "b", pattern), Plane: schema.PlaneImage, Verb: schema.VerbRun, Object: pattern}}
		p := &schema.Policy{Workloads: []schema.Workload{w}, Bounds: []schema.Bound{b}}
		s.apply(t, objectsOf(t, p, time.Time{}))
		for range 8 {
			for _, namespace := range []string{"shop", "web"} {
				o := object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "p", "namespace": namespace},
					"spec": object{"containers": []any{object{"name": "c", "image": refs[r.IntN(len(refs))]}}}}
				denied += len(compareVAP(t, s, p, o))
			}
		}
	}
	if denied < 130 || denied > 560 {
		t.Errorf("%d of 640 are denied, which says little", denied)
	}
}
