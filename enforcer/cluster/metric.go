// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"regexp"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/discovery"
)

// Counter returns the sum of the API server's own counters that a selector of Prometheus selects, and how many these are. A counter that never
// counted is not there. The selector may compare labels by =, !=, =~ and !~; one that cannot be read fails the test.
func (c *Cluster) Counter(selector string) (sum float64, series int) {
	t := c.t
	t.Helper()
	name, matchers, ok := parseSelector(selector)
	if !ok {
		t.Fatalf("%s is no selector of Prometheus", selector)
	}
	d, err := discovery.NewDiscoveryClientForConfig(c.Rest)
	if err != nil {
		t.Fatal(err)
	}
	data, err := d.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for _, metric := range families[name].GetMetric() {
		if all(matchers, metric) {
			sum += metric.GetCounter().GetValue()
			series++
		}
	}
	return sum, series
}

// matcher is one comparison of a selector.
type matcher struct {
	label, operator string
	value           *regexp.Regexp
}

var (
	selectorRE = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?$`)
	matcherRE  = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)(=~|!~|!=|=)"([^"\\]*)"(?:,|$)`)
)

func parseSelector(selector string) (name string, matchers []matcher, ok bool) {
	parts := selectorRE.FindStringSubmatch(selector)
	if parts == nil {
		return "", nil, false
	}
	for rest := parts[2]; rest != ""; {
		m := matcherRE.FindStringSubmatch(rest)
		if m == nil {
			return "", nil, false
		}
		value := m[3]
		if m[2] == "=" || m[2] == "!=" {
			value = regexp.QuoteMeta(value)
		}
		re, err := regexp.Compile("^(?:" + value + ")$")
		if err != nil {
			return "", nil, false
		}
		matchers = append(matchers, matcher{m[1], m[2], re})
		rest = rest[len(m[0]):]
	}
	return parts[1], matchers, true
}

// all says whether every comparison holds. A label that is not there is empty.
func all(matchers []matcher, metric *dto.Metric) bool {
	labels := map[string]string{}
	for _, l := range metric.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	for _, m := range matchers {
		if m.value.MatchString(labels[m.label]) != (m.operator == "=" || m.operator == "=~") {
			return false
		}
	}
	return true
}
