// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

var (
	cisNumberRE  = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3}){0,4}$`)
	checkNameRE  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	apiVersionRE = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?v[0-9]+((alpha|beta)[0-9]+)?$`)
	objectKindRE = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{0,62}$`)
	// A path of fields: names between dots; [*] is each element of a list, [2] one, ["a.b/c"] a key with other characters.
	fieldPathRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*(\[(\*|[0-9]{1,4}|"[^"\\\]]{1,253}")\])*(\.[A-Za-z_][A-Za-z0-9_-]*(\[(\*|[0-9]{1,4}|"[^"\\\]]{1,253}")\])*)*$`)
)

// benchmark checks a benchmark.
func (r *report) benchmark(b *schema.Benchmark) {
	r.owner(nil, b.Owner)
	r.reason(b.Why)
	cis := strings.HasPrefix(b.Profile, "cis-")
	switch stated := r.states([]string{"level"}, b.Level != 0); {
	case stated && (b.Level < 1 || b.Level > 2):
		r.fail([]string{"level"}, "level is %d; want 1 or 2", b.Level)
	case stated && !cis:
		r.warn(codeNoEffect, []string{"level"}, "level has no effect with profile %q, which has none; want a CIS profile, or no \"level\"", b.Profile)
	}
	r.duration([]string{"every"}, b.Every, false)
	for _, number := range slices.Sorted(maps.Keys(b.Skip)) {
		at, skip := []string{"skip", number}, b.Skip[number]
		switch {
		case cis && !cisNumberRE.MatchString(number):
			r.fail(at, "skip %.100q is not the number of a check; want such as \"4.2.6\"", number)
		case !checkNameRE.MatchString(number):
			r.fail(at, "skip %.100q is not the name of a check; want such as \"C-0034\"", number)
		}
		if strings.TrimSpace(skip.Why) == "" {
			r.fail(way(at, "why"), "skip %q: why is empty; want the reason", number)
		}
		r.ruleReason(at, number, skip.Why)
		r.owner(at, skip.Owner)
		r.date(way(at, "expires"), skip.Expires)
	}
}

// check checks a check of one's own.
func (r *report) check(k *schema.Check) {
	r.owner(nil, k.Owner)
	r.reason(k.Why)
	if !apiVersionRE.MatchString(k.Of.APIVersion) {
		r.fail([]string{"of", "apiVersion"}, "of.apiVersion %.100q is not one; want such as \"v1\" or \"apps/v1\"", k.Of.APIVersion)
	}
	if !objectKindRE.MatchString(k.Of.Kind) {
		r.fail([]string{"of", "kind"}, "of.kind %.100q is not one; want such as \"Deployment\"", k.Of.Kind)
	}
	if (k.Of.Namespace != "" || r.s.has("of", "namespace")) && !entryRE.MatchString(k.Of.Namespace) {
		r.fail([]string{"of", "namespace"}, "of.namespace %.100q is not a Kubernetes namespace; want at most 63 lower-case letters, digits and \"-\"", k.Of.Namespace)
	}
	r.selector([]string{"of"}, schema.Selector{Labels: k.Of.Labels})
	if len(k.Must) == 0 {
		r.fail([]string{"must"}, "must names no field, so everything passes; want such as \"spec.replicas\": exists: true")
	}
	for _, field := range slices.Sorted(maps.Keys(k.Must)) {
		at := []string{"must", field}
		if len(field) > maxText || !fieldPathRE.MatchString(field) {
			r.fail(at, "must: %.200q is not the path of a field; want such as \"spec.replicas\", \"spec.containers[*].image\" or \"metadata.labels[\\\"example.com/tier\\\"]\"", field)
		}
		a := k.Must[field]
		r.assertion(at, field, &a)
	}
}

// maxRegexp bounds a regular expression in bytes: it runs on each object of a cluster.
const maxRegexp = 1000

// assertion checks a condition on one field.
func (r *report) assertion(where []string, field string, a *schema.Assertion) {
	in := r.states(way(where, "in"), a.In != nil)
	if a.Exists == nil && a.Equals == nil && a.Matches == "" && !in && !r.s.has(way(where, "matches")...) {
		r.fail(where, "must: %q says nothing; want \"exists\", \"equals\", \"matches\" or \"in\"", field)
		return
	}
	if a.Exists != nil && !*a.Exists && (a.Equals != nil || a.Matches != "" || in) {
		r.fail(way(where, "exists"), "must: %q must not exist and must have a value, so nothing passes; want one of the two", field)
	}
	if in && len(a.In) == 0 {
		r.fail(way(where, "in"), "must: in of %q lists no value, so nothing passes; want at least one", field)
	}
	var rx *regexp.Regexp
	if a.Matches != "" {
		rx = r.regexp(way(where, "matches"), field, a.Matches)
	}
	if a.Equals == nil {
		return
	}
	text := fmt.Sprint(a.Equals)
	if in && len(a.In) > 0 && !slices.Contains(a.In, text) {
		r.fail(way(where, "equals"), "must: %q must be %.100q and one of %s, so nothing passes; want one of the two", field, text, quotedList(a.In, "and"))
	}
	if rx != nil && !rx.MatchString(text) {
		r.fail(way(where, "equals"), "must: %q must be %.100q and match %.100q, so nothing passes; want one of the two", field, text, a.Matches)
	}
}

func (r *report) regexp(where []string, field, text string) *regexp.Regexp {
	if len(text) > maxRegexp {
		r.fail(where, "must: matches of %q has %d bytes; want at most %d", field, len(text), maxRegexp)
		return nil
	}
	rx, err := regexp.Compile("^(?:" + text + ")$")
	if err != nil {
		r.fail(where, "must: matches of %q is not a regular expression (RE2): %v; want one on the whole value, such as \"[a-z]+\"", field, err)
		return nil
	}
	return rx
}
