// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"regexp"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
)

// Bounds of makers: the constraints match each of them, and every review compares its object with all.
const (
	maxMakers     = 32
	maxMakerDepth = 8
)

var (
	makerKindRE = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Z][A-Za-z0-9]{0,62}$`)
	fieldNameRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,62}$`)
	resourceRE  = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
)

// builtinMaker reports whether a kind is a Pod, or one of Kubernetes that makes Pods.
func builtinMaker(m schema.Maker) bool {
	group, kind := m.GroupKind()
	k := manifest.Kind{Group: group, Kind: kind}
	_, ok := manifest.Builtin()[k]
	return ok || k == manifest.Kind{Kind: "Pod"}
}

// admission checks by what the policy is enforced at admission.
func (k *kindsCheck) admission() {
	r := &report{s: k.of("admission", ""), sc: k.sc}
	a := &k.p.Admission
	if len(a.Makers) > maxMakers {
		r.fail([]string{"makers"}, "makers has %d kinds; want at most %d", len(a.Makers), maxMakers)
	}
	for _, m := range a.Makers {
		r.maker(m)
	}
	if !r.s.root() {
		r.fail(nil, "stands in folder %q; want it at the root: it holds for the whole policy", r.s.folder)
	}
	k.errs = append(k.errs, r.errs...)
}

// maker checks a kind that makes Pods.
func (r *report) maker(m schema.Maker) {
	at := []string{"makers", m.Kind}
	group, _, _ := strings.Cut(m.Kind, "/")
	switch {
	case !makerKindRE.MatchString(m.Kind) || len(group) > 253:
		r.fail(at, "makers %.300q is no kind of object; want \"group/Kind\" such as \"argoproj.io/Rollout\", without a version, or \"Kind\" alone in the core group", m.Kind)
	case builtinMaker(m):
		r.fail(at, "makers %q is judged already; want kinds that are not of Kubernetes itself", m.Kind)
	}
	fields := m.Fields()
	if len(fields) > maxMakerDepth || slices.ContainsFunc(fields, func(f string) bool { return !fieldNameRE.MatchString(f) }) {
		r.fail(way(at, "path"), "makers %.300q: path %.300q does not name a field; want 1 to %d names with dots between them, such as \"spec.template\"", m.Kind, m.Path, maxMakerDepth)
	}
	if (m.Resource != "" || r.s.has(way(at, "resource")...)) && !resourceRE.MatchString(m.Resource) {
		r.fail(way(at, "resource"), "makers %.300q: resource %.100q is no name of one; want such as %q", m.Kind, m.Resource, "rollouts")
	}
}
