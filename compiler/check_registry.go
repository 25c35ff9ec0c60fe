// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-sec/writ/schema"
)

var (
	registryHostRE = regexp.MustCompile(`^(localhost|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)(:[0-9]{1,5})?$|^\[[0-9a-f:]+\](:[0-9]{1,5})?$`)
	tagPatternRE   = regexp.MustCompile(`^[A-Za-z0-9_*][A-Za-z0-9_.*-]{0,127}$`)
	comparatorRE   = regexp.MustCompile(`^(=|!=|>=|<=|>|<|~|\^)?v?(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))?(\.(0|[1-9][0-9]*))?(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
)

// registry checks a registry to scan.
func (r *report) registry(g *schema.Registry) {
	r.owner(nil, g.Owner)
	r.reason(g.Why)
	switch host := strings.ToLower(g.Host); {
	case strings.Contains(host, "://"), strings.Contains(host, "/"):
		r.fail([]string{"host"}, "host %.200q is more than a host name; want it alone, with a port if need be, such as \"registry.example.com\"", g.Host)
	case !registryHostRE.MatchString(host):
		r.fail([]string{"host"}, "host %.200q is not a host name; want such as \"registry.example.com\" or \"localhost:5000\"", g.Host)
	}
	for _, pattern := range slices.Sorted(maps.Keys(g.Repositories)) {
		at := []string{"repositories", pattern}
		if _, err := schema.ParseImagePattern("registry.example.com/" + pattern); err != nil || strings.ContainsAny(pattern, ":@") {
			r.fail(at, "repository pattern %.200q is not one; want the path without host and tag, such as \"shop/*\"", pattern)
		}
		r.repository(at, g.Repositories[pattern])
	}
	r.duration([]string{"every"}, g.Every, false)
	if g.Gate != "" || r.s.has("gate") {
		r.refers([]string{"gate"}, "gate", g.Gate, r.sc.gates, "gate")
	}
}

func (r *report) repository(where []string, v schema.Repository) {
	for _, tag := range v.Tags {
		if !tagPatternRE.MatchString(tag) {
			r.fail(way(where, "tags", tag), "tag pattern %.200q is not one; want letters, digits, \"_\", \".\" and \"-\", at most 128, and \"*\" for any of them", tag)
		}
	}
	if v.Semver == "" && !r.s.has(way(where, "semver")...) {
		return
	}
	if err := semverRange(v.Semver); err != nil {
		r.fail(way(where, "semver"), "semver %.200q %v", v.Semver, err)
	}
}

// semverRange says why a range of versions is not one, or includes none. It is comparators of Semantic Versioning 2.0.0, all of which must
// hold, and alternatives of these between "||".
func semverRange(text string) error {
	for alternative := range strings.SplitSeq(text, "||") {
		comparators := strings.Fields(alternative)
		if len(comparators) == 0 {
			return errors.New("has an alternative without a version; want such as \">=1.2.0 <2.0.0\"")
		}
		s := versionSpan{hi: version{1 << 62}}
		for _, c := range comparators {
			if err := s.narrow(c); err != nil {
				return err
			}
		}
		if c := s.lo.compare(s.hi); c > 0 || c == 0 && (s.loOpen || s.hiOpen) {
			return fmt.Errorf("includes no version: %q contradicts itself; want such as \">=1.2.0 <2.0.0\"", strings.TrimSpace(alternative))
		}
	}
	return nil
}

type version [3]int

func (v version) compare(o version) int { return slices.Compare(v[:], o[:]) }

// after returns the first version that differs in part i or in one before it.
func (v version) after(i int) version {
	v[i]++
	for j := i + 1; j < len(v); j++ {
		v[j] = 0
	}
	return v
}

// versionSpan is what comparators leave, without pre-releases.
type versionSpan struct {
	lo, hi         version
	loOpen, hiOpen bool // the end itself is out
}

func (s *versionSpan) narrow(comparator string) error {
	op, v, parts, err := readComparator(comparator)
	if err != nil {
		return err
	}
	switch op {
	case "", "=":
		s.from(v, false)
		if parts < len(v) {
			s.to(v.after(parts-1), true)
		} else {
			s.to(v, false)
		}
	case ">":
		s.from(v, true)
	case ">=":
		s.from(v, false)
	case "<":
		s.to(v, true)
	case "<=":
		s.to(v, false)
	case "~":
		s.from(v, false)
		s.to(v.after(min(parts-1, 1)), true)
	case "^":
		s.from(v, false)
		first := slices.IndexFunc(v[:parts], func(n int) bool { return n > 0 })
		if first < 0 {
			first = parts - 1
		}
		s.to(v.after(first), true)
	}
	return nil
}

// readComparator reads an operator and a version, of which one to three parts are stated.
func readComparator(comparator string) (op string, v version, parts int, err error) {
	m := comparatorRE.FindStringSubmatch(comparator)
	if m == nil {
		return "", v, 0, fmt.Errorf("has %.50q, which is no comparison of versions; want such as \">=1.2.0 <2.0.0\"", comparator)
	}
	for _, text := range []string{m[2], m[4], m[6]} {
		if text == "" {
			break
		}
		if v[parts], err = strconv.Atoi(text); err != nil {
			return "", v, 0, fmt.Errorf("has %.50q, whose number is too big; want such as \"1.2.0\"", comparator)
		}
		parts++
	}
	return m[1], v, parts, nil
}

func (s *versionSpan) from(v version, open bool) {
	if c := v.compare(s.lo); c > 0 || c == 0 && open {
		s.lo, s.loOpen = v, open
	}
}

func (s *versionSpan) to(v version, open bool) {
	if c := v.compare(s.hi); c < 0 || c == 0 && open {
		s.hi, s.hiOpen = v, open
	}
}
