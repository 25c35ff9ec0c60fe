// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"

	dto "github.com/prometheus/client_model/go"
)

func TestSelector(t *testing.T) {
	name, value := "policy", "writ-pod"
	metric := &dto.Metric{Label: []*dto.LabelPair{{Name: &name, Value: &value}}}
	for selector, want := range map[string]bool{
		`n`:                                  true,
		`n{}`:                                true,
		`n{policy="writ-pod"}`:               true,
		`n{policy="writ"}`:                   false,
		`n{policy=~"writ-.*"}`:               true,
		`n{policy=~"writ"}`:                  false,
		`n{policy!="writ-pod"}`:              false,
		`n{policy=~"writ-.*",error!="none"}`: true,
		`n{policy=~"writ-.*",error="none"}`:  false,
		`n{policy!~"writ-.*"}`:               false,
		`n{error="",policy="writ-pod"}`:      true,
	} {
		_, matchers, ok := parseSelector(selector)
		if !ok || all(matchers, metric) != want {
			t.Errorf("%s: read %v, selects %v; want %v", selector, ok, !want, want)
		}
	}
	for _, selector := range []string{"", "n{", "n{a}", `n{a="b"`, `n{a="b"c="d"}`, `n{a=~"("}`, `n{a=b}`} {
		if _, _, ok := parseSelector(selector); ok {
			t.Errorf("%s is read; want it refused", selector)
		}
	}
}
