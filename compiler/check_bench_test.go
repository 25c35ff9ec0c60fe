// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// bigWorkload returns a workload of n rules on several planes, most of them exact, and ten patterns.
func bigWorkload(n int) *schema.Workload {
	w := &schema.Workload{Name: "w", Match: schema.Match{Namespace: "a", Labels: map[string]string{"app": "w"}}}
	for _, p := range []schema.Plane{schema.PlaneEgress, schema.PlaneExec, schema.PlaneFile} {
		w.Closures = append(w.Closures, schema.Closure{Plane: p, Mode: schema.ModeAudit})
	}
	for i := range n {
		switch i % 4 {
		case 0:
			w.Rules = append(w.Rules, schema.Rule{Plane: schema.PlaneEgress, Verb: schema.VerbConnect, Object: fmt.Sprint(i),
				Peer: &schema.Peer{CIDR: fmt.Sprintf("10.%d.%d.0/24", i/256%256, i%256), Port: "443", Protocol: "tcp"}})
		case 1:
			w.Rules = append(w.Rules, schema.Rule{Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: fmt.Sprintf("/usr/bin/program%d", i)})
		case 2:
			w.Rules = append(w.Rules, schema.Rule{Plane: schema.PlaneFile, Verb: schema.VerbRead, Object: fmt.Sprintf("/etc/app/conf%d", i)})
		default:
			w.Rules = append(w.Rules, schema.Rule{Plane: schema.PlaneFile, Verb: schema.VerbWrite, Object: fmt.Sprintf("/var/lib/app%d/**", i)})
		}
	}
	for i := range 10 {
		w.Rules = append(w.Rules, schema.Rule{Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: fmt.Sprintf("/opt/*/tool%d*", i)})
	}
	return w
}

// BenchmarkCheckWorkload shows the time for one workload, with ten bounds, by its number of rules.
func BenchmarkCheckWorkload(b *testing.B) {
	p := &schema.Policy{}
	for i := range 10 {
		p.Bounds = append(p.Bounds, schema.Bound{Name: fmt.Sprint("b", i), Never: []schema.Rule{
			{Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: fmt.Sprintf("/bin/*sh%d", i)},
			{Plane: schema.PlaneFile, Verb: schema.VerbAccess, Object: fmt.Sprintf("/etc/shadow%d", i)},
			{Plane: schema.PlaneEgress, Verb: schema.VerbConnect, Object: "m", Peer: &schema.Peer{CIDR: "169.254.169.254/32"}},
		}})
	}
	sc := newScope(p, nil, nil)
	for _, n := range []int{50, 1000, 10_000} {
		w := bigWorkload(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if errs, warnings := checkWorkload(stated{kind: "workload", name: "w"}, w, sc); len(errs)+len(warnings) > 0 {
					b.Fatal(lines(errs), lines(warnings))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/rule")
		})
	}
}
