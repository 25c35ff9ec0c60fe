// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// manyWorkloads returns a policy of 10,000 workloads of 50 rules in 500 namespaces.
func manyWorkloads() *schema.Policy {
	p := &schema.Policy{}
	for i := range 10_000 {
		name := fmt.Sprintf("w%05d", i)
		w := schema.Workload{Name: name, Match: schema.Match{Namespace: fmt.Sprintf("n%03d", i%500), Labels: map[string]string{"app": name}}}
		for _, plane := range []schema.Plane{schema.PlaneExec, schema.PlaneFile, schema.PlaneEgress} {
			w.Closures = append(w.Closures, schema.Closure{Plane: plane, Mode: schema.ModeEnforce})
		}
		for j := range 20 {
			w.Rules = append(w.Rules, schema.Rule{Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: fmt.Sprintf("/usr/bin/p%02d", j)})
		}
		for j := range 20 {
			object := fmt.Sprintf("/etc/d%02d/**", j)
			if j%4 == 0 {
				object = fmt.Sprintf("/etc/d%02d/*.conf", j)
			}
			w.Rules = append(w.Rules, schema.Rule{Plane: schema.PlaneFile, Verb: schema.VerbRead, Object: object})
		}
		for j := range 10 {
			w.Rules = append(w.Rules, schema.Rule{Plane: schema.PlaneEgress, Verb: schema.VerbConnect, Object: fmt.Sprintf("p%02d", j),
				Peer: &schema.Peer{CIDR: fmt.Sprintf("10.%d.0.0/16", j), Port: "443", Protocol: "tcp"}})
		}
		p.Workloads = append(p.Workloads, w)
	}
	return p
}

// BenchmarkDiff compares 10,000 workloads of 50 rules: with one rule changed, with a mode of each changed, with each called otherwise,
// with a rule of each changed, and with all of base gone.
func BenchmarkDiff(b *testing.B) {
	base := manyWorkloads()
	for _, c := range []struct {
		name   string
		change func(*schema.Policy)
		want   int
	}{
		{"one-rule", func(p *schema.Policy) { p.Workloads[5000].Rules[3].Object = "/usr/bin/*" }, 1},
		{"every-mode", func(p *schema.Policy) {
			for i := range p.Workloads {
				p.Workloads[i].Closures[0].Mode = schema.ModeAudit
			}
		}, 10_000},
		{"every-name", func(p *schema.Policy) {
			for i := range p.Workloads {
				p.Workloads[i].Name += "x"
			}
		}, 10_000},
		{"every-rule", func(p *schema.Policy) {
			for i := range p.Workloads {
				p.Workloads[i].Rules[25].Object = "/etc/*/x*"
			}
		}, 20_000},
		{"all-gone", func(p *schema.Policy) { p.Workloads = nil }, 10_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			head := manyWorkloads()
			c.change(head)
			for b.Loop() {
				if got := len(Diff(base, head).Changes); got != c.want {
					b.Fatalf("%d changes; want %d", got, c.want)
				}
			}
		})
	}
}
