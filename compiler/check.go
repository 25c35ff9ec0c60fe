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

// The codes of warnings. A code never changes its meaning.
const (
	warnOverlap  = "W001" // two workloads of a folder can select the same container
	warnLockOut  = "W002" // a plane is closed without a single rule, in enforce
	warnShadowed = "W003" // a broader rule of the same workload allows it all
	warnNothing  = "W004" // a workload mentions no plane
	warnNoImage  = "W005" // image names no condition
)

var (
	// nameRE is a DNS label (RFC 1123), as names of Kubernetes objects are made of: a workload's name becomes part of file names and messages.
	nameRE  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	ownerRE = regexp.MustCompile(`^[A-Za-z0-9@]([-A-Za-z0-9._@/]{0,126}[A-Za-z0-9])?$`)
	// Kubernetes, "Labels and Selectors": syntax and character set.
	labelNameRE  = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	labelValueRE = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`)
	subdomainRE  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

// maxWhy bounds a reason in bytes: it is a sentence.
const maxWhy = 1024

// checker collects what is wrong or doubtful about one workload. CUE has decided its shape.
type checker struct {
	s        *statement
	errs     []Diagnostic
	warnings []Diagnostic
}

// check looks at one workload alone. Of a partial one it looks at the rules.
func check(s *statement) (errs, warnings []Diagnostic) {
	c := &checker{s: s}
	if !s.partial {
		c.names()
		c.match()
		c.modes()
	}
	c.exec()
	c.image()
	return c.errs, c.warnings
}

func (c *checker) fail(at []schema.Pos, format string, args ...any) {
	c.errs = append(c.errs, c.s.fail(at, format, args...))
}

func (c *checker) warn(code string, at []schema.Pos, format string, args ...any) {
	d := c.s.fail(at, format, args...)
	d.Code = code
	c.warnings = append(c.warnings, d)
}

func (c *checker) names() {
	if !nameRE.MatchString(c.s.name) {
		c.fail(c.s.pos, "name %.100q is not a name; want at most 63 lower-case letters, digits and \"-\", with a letter or digit at both ends", c.s.name)
	}
	if _, stated := c.s.at["owner"]; stated && !ownerRE.MatchString(c.s.owner) {
		c.fail(c.s.at["owner"], "owner %.200q is not a name; want at most 128 letters, digits and \"-._@/\", such as \"team-payments\"", c.s.owner)
	}
}

func (c *checker) match() {
	m, at := c.s.match, c.s.at
	if m.Zero() {
		c.fail(at["match"], "match is empty and would select nothing; want \"namespace\", \"labels\" or \"cgroup\"")
	}
	if _, stated := at["match.namespace"]; stated && !nameRE.MatchString(m.Namespace) {
		c.fail(at["match.namespace"], "match.namespace %.100q is not a Kubernetes namespace; want at most 63 lower-case letters, digits and \"-\"", m.Namespace)
	}
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		prefix, name, ok := strings.Cut(key, "/")
		if !ok {
			prefix, name = "", key
		}
		if !labelNameRE.MatchString(name) || ok && (len(prefix) > 253 || !subdomainRE.MatchString(prefix)) {
			c.fail(at["match.labels"], "match.labels: key %.320q is not a Kubernetes label; want such as \"app\" or \"example.com/app\"", key)
		}
		if !labelValueRE.MatchString(m.Labels[key]) {
			c.fail(at["match.labels"], "match.labels: value %.100q of %q is not a Kubernetes label value; want at most 63 letters, digits and \"-_.\", with a letter or digit at both ends",
				m.Labels[key], key)
		}
	}
	if _, stated := at["match.cgroup"]; stated {
		if err := schema.CheckPattern(m.Cgroup); err != nil {
			c.fail(at["match.cgroup"], "match.cgroup %.200q %v", m.Cgroup, err)
		}
	}
}

func (c *checker) modes() {
	for _, p := range planes {
		if c.s.modes[p.plane] != "" && c.s.planes[p.plane] == nil {
			c.fail(c.s.at["mode."+string(p.plane)], "mode.%s is %q, but the workload does not mention %s; want rules under %s, or no mode for it",
				p.plane, c.s.modes[p.plane], strings.Join(p.rules, "."), strings.Join(p.rules, "."))
		}
		if sp := c.s.planes[p.plane]; sp != nil && len(sp.rules) == 0 && c.s.mode(p.plane) == schema.ModeEnforce {
			c.warn(warnLockOut, sp.pos, "%s is closed without a rule, in mode \"enforce\": nothing can run; want a rule, unless this lock-out is meant",
				strings.Join(p.rules, "."))
		}
	}
	if len(c.s.planes) == 0 {
		c.warn(warnNothing, c.s.pos, "mentions neither \"exec\" nor \"image.from\", so everything is allowed; want rules, or no workload")
	}
	if at, stated := c.s.at["image"]; stated && c.s.planes[schema.PlaneImage] == nil {
		c.warn(warnNoImage, at, "image names no condition, so every image is allowed; want \"from\"")
	}
}

func (c *checker) exec() {
	sp := c.s.planes[schema.PlaneExec]
	if sp == nil {
		return
	}
	globs := map[string]bool{}
	valid := func(pattern, what string, at []schema.Pos) {
		if err := schema.CheckPattern(pattern); err != nil {
			c.fail(at, "%s %.200q %v", what, pattern, err)
		} else if schema.PatternKind(pattern) == schema.KindGlob {
			globs[pattern] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(sp.rules)) {
		r := sp.rules[key]
		valid(key, "exec path", r.pos)
		for _, parent := range r.parents {
			valid(parent, fmt.Sprintf("exec %q: parent", key), r.parentPos[parent])
		}
		c.why(key, r)
	}
	if len(globs) > schema.MaxGlobs {
		c.fail(sp.pos, "exec has %d patterns that are neither exact paths nor \"dir/**\"; want at most %d, parents included: name the programs, or their folder",
			len(globs), schema.MaxGlobs)
	}
	c.shadowed(sp, globs)
}

func (c *checker) why(key string, r *statedRule) {
	if len(r.why) > maxWhy {
		c.fail(r.pos, "%q: why has %d bytes; want at most %d", key, len(r.why), maxWhy)
	}
}

// shadowed warns of rules that change nothing because a broader one allows the same to every caller.
func (c *checker) shadowed(sp *statedPlane, globs map[string]bool) {
	covers := func(broad, key string) bool {
		r := sp.rules[broad]
		return r != nil && broad != key && len(r.parents) == 0
	}
	for _, key := range slices.Sorted(maps.Keys(sp.rules)) {
		if schema.CheckPattern(key) != nil {
			continue
		}
		broad := broaderDir(key, covers)
		if broad == "" && schema.PatternKind(key) == schema.KindExact {
			for _, glob := range slices.Sorted(maps.Keys(globs)) {
				if covers(glob, key) && schema.MatchPath(glob, key) {
					broad = glob
					break
				}
			}
		}
		if broad != "" {
			c.warn(warnShadowed, sp.rules[key].pos, "exec %q changes nothing: %q at %s allows it to every caller; want one of the two",
				key, broad, sp.rules[broad].pos[0])
		}
	}
}

// broaderDir returns the rule dir/** that includes everything a pattern can match, or "".
func broaderDir(key string, covers func(broad, key string) bool) string {
	literal, _, _ := strings.Cut(key, "*")
	for i := strings.LastIndexByte(literal, '/'); i >= 0; i = strings.LastIndexByte(literal[:i], '/') {
		// A final "**" matches at least one segment, as does every pattern below the directory.
		if broad := literal[:i] + "/**"; covers(broad, key) {
			return broad
		}
	}
	return ""
}

func (c *checker) image() {
	sp := c.s.planes[schema.PlaneImage]
	if sp == nil {
		return
	}
	if c.s.match.Cgroup != "" {
		c.fail(c.s.at["image"], "image stands on a workload that match.cgroup selects; want \"namespace\" or \"labels\" alone, because admission knows no cgroup")
	}
	for _, key := range slices.Sorted(maps.Keys(sp.rules)) {
		if _, err := schema.ParseImagePattern(key); err != nil {
			c.fail(sp.rules[key].pos, "image pattern %.200q %v", key, err)
		}
		c.why(key, sp.rules[key])
	}
}
