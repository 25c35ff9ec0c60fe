// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"

	"github.com/writ-sec/writ/schema"
)

// validPaths returns the rules whose object is a valid pattern, and an index of these.
func validPaths(rules []*schema.Rule, verb schema.Verb) ([]*schema.Rule, *patternIndex) {
	var valid []*schema.Rule
	var patterns []string
	for _, r := range rules {
		if r.Verb == verb && schema.CheckPattern(r.Object) == nil {
			valid, patterns = append(valid, r), append(patterns, r.Object)
		}
	}
	return valid, newPatternIndex(patterns)
}

// shadowedExec warns of rules that change nothing because a broader one allows the same to the same callers.
func (c *workloadCheck) shadowedExec() {
	rules, index := validPaths(c.rules[schema.PlaneExec], schema.VerbExec)
	for i, r := range rules {
		if c.ofLibrary(r) {
			continue
		}
		n := index.covering(r.Object, &c.work, func(n int) bool { return n != i && c.coversParents(rules[n], r) })
		if n < 0 || n > i && c.same(r, rules[n]) && c.coversParents(r, rules[n]) {
			continue
		}
		callers := "every caller"
		if len(rules[n].Parents) > 0 {
			callers = "the same callers"
		}
		c.warn(codeShadowed, []string{"exec", r.Object}, "exec %q changes nothing: %q at %s allows it to %s; want one of the two",
			r.Object, rules[n].Object, c.placeOf(rules[n]), callers)
	}
}

// ofLibrary reports whether a rule stands in no file of the repository, so that its author cannot take it out of the set of the library that it
// comes with. Sets that are made to stand side by side meet: libc reads what devices writes.
func (c *workloadCheck) ofLibrary(r *schema.Rule) bool {
	n := c.s.node.get(ruleWay(r)...)
	return n != nil && len(n.places()) == 0
}

// same reports whether a pattern also covers the one that covers it; then the later of the two is reported alone.
func (c *workloadCheck) same(r, broad *schema.Rule) bool {
	return coversAny([]string{r.Object}, broad.Object, &c.work)
}

// coversParents reports whether every caller of one rule is one of another.
func (c *workloadCheck) coversParents(broad, narrow *schema.Rule) bool {
	if len(broad.Parents) == 0 {
		return true
	}
	valid := func(p string) bool { return schema.CheckPattern(p) == nil }
	if len(narrow.Parents) == 0 || !valid(broad.Parents[0]) {
		return false
	}
	return !slices.ContainsFunc(narrow.Parents, func(p string) bool {
		return !slices.Contains(broad.Parents, p) &&
			(!valid(p) || slices.ContainsFunc(broad.Parents, func(b string) bool { return !valid(b) }) || !coversAny(broad.Parents, p, &c.work))
	})
}

// shadowedFiles does the same for files; write includes read.
func (c *workloadCheck) shadowedFiles() {
	reads, readIndex := validPaths(c.rules[schema.PlaneFile], schema.VerbRead)
	writes, writeIndex := validPaths(c.rules[schema.PlaneFile], schema.VerbWrite)
	warn := func(r, broad *schema.Rule) {
		if c.ofLibrary(r) {
			return
		}
		c.warn(codeShadowed, []string{"file", string(r.Verb), r.Object}, "file.%s %q changes nothing: file.%s %q at %s allows it; want one of the two",
			r.Verb, r.Object, broad.Verb, broad.Object, c.placeOf(broad))
	}
	for i, r := range reads {
		if n := writeIndex.covering(r.Object, &c.work, func(int) bool { return true }); n >= 0 {
			warn(r, writes[n])
		} else if n := readIndex.covering(r.Object, &c.work, func(n int) bool { return n != i }); n >= 0 && (n < i || !c.same(r, reads[n])) {
			warn(r, reads[n])
		}
	}
	for i, r := range writes {
		if n := writeIndex.covering(r.Object, &c.work, func(n int) bool { return n != i }); n >= 0 && (n < i || !c.same(r, writes[n])) {
			warn(r, writes[n])
		}
	}
}

// placeOf is where a rule stands, for the middle of a message.
func (c *workloadCheck) placeOf(r *schema.Rule) string {
	if len(r.Pos) > 0 {
		return posText(r.Pos)
	}
	return posText(c.s.at(ruleWay(r)...))
}

// ruleWay is the path of a workload's rule.
func ruleWay(r *schema.Rule) []string {
	switch r.Verb {
	case schema.VerbRead, schema.VerbWrite:
		return []string{"file", string(r.Verb), r.Object}
	case schema.VerbRun:
		return []string{"image", "from", r.Object}
	case schema.VerbSigned:
		return []string{"image", "signedBy", r.Object}
	case schema.VerbPass:
		return []string{"image", "gate"}
	}
	return []string{string(r.Plane), r.Object}
}

// ruleText is how messages call a rule.
func ruleText(r *schema.Rule) string {
	if r.Verb == schema.VerbSet {
		return "pod." + r.Object
	}
	where := ruleWay(r)
	return fmt.Sprintf("%s %.200q", dotted(where[:len(where)-1]), r.Object)
}

// shadowedImages warns of image patterns that a broader one includes.
func (c *workloadCheck) shadowedImages(rules []*schema.Rule, patterns []schema.ImagePattern) {
	names := make([]string, len(patterns))
	for i, p := range patterns {
		names[i] = "/" + p.Host + "/" + p.Path
		if p.Host == "" {
			names[i] = "/*/" + p.Path
		}
	}
	// Several patterns may have one name and differ in the tag: the index knows the first of each, so those without come first.
	order := make([]int, len(patterns))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return len(patterns[a].Tag+patterns[a].Digest) - len(patterns[b].Tag+patterns[b].Digest)
	})
	sorted := make([]string, len(order))
	for i, n := range order {
		sorted[i] = names[n]
	}
	index := newPatternIndex(sorted)
	for i, p := range patterns {
		n := index.covering(names[i], &c.work, func(n int) bool { return order[n] != i && imageTagCovers(patterns[order[n]], p) })
		if n < 0 {
			continue
		}
		broad := rules[order[n]]
		c.warn(codeShadowed, []string{"image", "from", rules[i].Object}, "image.from %q changes nothing: %q at %s allows it; want one of the two",
			rules[i].Object, broad.Object, c.placeOf(broad))
	}
}
