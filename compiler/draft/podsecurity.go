// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"maps"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// podSecurity begins the labels of Pod Security admission.
const podSecurity = "pod-security.kubernetes.io/"

// namespace drafts from the Pod Security labels of a Namespace: one level for all of its Pods. That is the level that is enforced, else the
// stricter of those that are reported, because a workload has one mode for its conditions on Pods.
func (im *importer) namespace(o *object) {
	v, ok := o.root.dig("metadata", "labels")
	if !ok {
		return
	}
	levels := map[string]string{}
	at := map[string]value{}
	for _, use := range []string{"enforce", "audit", "warn"} {
		l, ok := v.dig(podSecurity + use)
		if !ok {
			continue
		}
		level, ok := l.text()
		if ok && !slices.Contains(schema.Profiles, level) {
			l.lost("is %.50q; want one of %q", level, schema.Profiles)
			ok = false
		}
		if ok {
			levels[use], at[use] = level, l
		}
		if pinned, is := v.dig(podSecurity + use + "-version"); is && pinned.node.Value != "latest" {
			pinned.lost("pins version %.20q of the levels; policy judges by those of its own version", pinned.node.Value)
		}
	}
	use := chosen(levels)
	for _, other := range slices.Sorted(maps.Keys(levels)) {
		switch {
		case use == "":
			at[other].lost("allows everything, so nothing is drafted")
		case stricter(levels[other], levels[use]):
			at[other].lost("is stricter than %q of %s and left out, because a workload has one mode for its conditions on Pods; "+
				"set profile to %q once the Pods meet it", levels[use], use, levels[other])
		}
	}
	if use == "" {
		return
	}
	if o.name == "" {
		at[use].lost("is of a Namespace without a name, so nothing is drafted")
		return
	}
	o.namespace = o.name
	g := im.workload(schema.Match{Namespace: o.name}, o)
	g.profile = levels[use]
}

// chosen returns whose level is drafted, or "" if each allows everything.
func chosen(levels map[string]string) string {
	if levels["enforce"] != "" && levels["enforce"] != "privileged" {
		return "enforce"
	}
	use := ""
	for _, other := range []string{"audit", "warn"} {
		if levels[other] != "" && levels[other] != "privileged" && (use == "" || stricter(levels[other], levels[use])) {
			use = other
		}
	}
	return use
}

func stricter(a, b string) bool {
	return slices.Index(schema.Profiles, a) > slices.Index(schema.Profiles, b)
}
