// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"os"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

// noon is an instant for tests.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func writeTestFile(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// report makes a report as the node would: judged under one workload.
func report(workload string, action schema.Action, object, parent string) schema.Report {
	e := schema.Event{Verb: schema.VerbExec, Object: schema.Path(object), Parent: schema.Path(parent)}
	v := schema.Verdict{Action: action, Reason: schema.ReasonNoRule, Workloads: []string{workload}}
	return schema.Report{ID: schema.NewReportID(e, v), Event: e, Verdict: v, Count: 1, First: noon, Last: noon}
}

func observed(t testing.TB, reports ...schema.Report) []Observation {
	t.Helper()
	var out []Observation
	for _, r := range reports {
		o, err := observe(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}
