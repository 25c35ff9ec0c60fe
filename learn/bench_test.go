// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

const benchObservations = 10_000

func benchReports() []schema.Report {
	reports := make([]schema.Report, benchObservations)
	for i := range reports {
		reports[i] = report("payments", schema.ActionAudit, fmt.Sprintf("/usr/lib/program/%05d/bin", i), "/usr/bin/dash")
	}
	return reports
}

// BenchmarkProposeAndEdit proposes and writes 10,000 rules for one workload, the two compilations of Edit included.
func BenchmarkProposeAndEdit(b *testing.B) {
	tree := repoOf(map[string]string{"payments.cue": paymentsFile})
	os := observed(b, benchReports()...)
	p := policyOf(b, tree)
	for b.Loop() {
		got, err := Propose(p, os, Options{Limit: benchObservations})
		if err != nil || len(got.Proposals[0].Changes) != benchObservations {
			b.Fatal(err)
		}
		if _, err := Edit(b.Context(), compiler.New(compiler.Config{}), tree, got.Proposals[0]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPropose is the part that judges: 10,000 observations under a policy that knows none of them, and under one that allows all.
func BenchmarkPropose(b *testing.B) {
	p := policyOf(b, repoOf(map[string]string{"payments.cue": paymentsFile}))
	os := observed(b, benchReports()...)
	all, err := Propose(p, os, Options{Limit: benchObservations})
	if err != nil {
		b.Fatal(err)
	}
	full, err := all.Proposals[0].Apply(p)
	if err != nil {
		b.Fatal(err)
	}
	for name, p := range map[string]*schema.Policy{"missing": p, "allowed": full} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Propose(p, os, Options{Limit: benchObservations}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEditText is the edit without the compilations: parse, place, write.
func BenchmarkEditText(b *testing.B) {
	tree := repoOf(map[string]string{"payments.cue": paymentsFile})
	res, err := compiler.New(compiler.Config{}).Compile(b.Context(), tree, bundle.Envelope{})
	if err != nil {
		b.Fatal(err)
	}
	all, err := Propose(lowered(b, res), observed(b, benchReports()...), Options{Limit: benchObservations})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		e, err := newEditor(tree, lowered(b, res), all.Proposals[0])
		if err != nil {
			b.Fatal(err)
		}
		for files := range e.attempts {
			_ = files
			break
		}
	}
}

func BenchmarkStoreSaveAndRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "s")
	s := openStore(b, path, StoreConfig{})
	reports := benchReports()
	add(b, s, reports...)
	for i := 0; b.Loop(); i++ {
		add(b, s, window(reports[0], i+1, i+1, 1))
		if err := s.Save(); err != nil {
			b.Fatal(err)
		}
		if snap, err := Read(path, StoreConfig{}); err != nil || len(snap.Observations) != benchObservations {
			b.Fatal(err)
		}
	}
}

func BenchmarkStoreAdd(b *testing.B) {
	s := openStore(b, filepath.Join(b.TempDir(), "s"), StoreConfig{})
	reports := benchReports()
	add(b, s, reports...)
	for i := 0; b.Loop(); i++ {
		add(b, s, reports[i%benchObservations])
	}
}
