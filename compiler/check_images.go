// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"github.com/writ-sec/writ/schema"
)

// images checks the conditions on images.
func (c *workloadCheck) images() {
	if _, closed := c.w.Closure(schema.PlaneImage); closed {
		c.admitted("image")
	}
	var valid []*schema.Rule
	var patterns []schema.ImagePattern
	for _, rule := range c.rules[schema.PlaneImage] {
		where := ruleWay(rule)
		switch rule.Verb {
		case schema.VerbSigned:
			c.refers(where, "image.signedBy", rule.Object, c.sc.signers, "signer")
		case schema.VerbPass:
			c.refers(where, "image.gate", rule.Object, c.sc.gates, "gate")
		case schema.VerbRun:
			if p, ok := c.imagePattern(where, "image pattern", rule.Object); ok {
				valid, patterns = append(valid, rule), append(patterns, p)
			}
		}
		c.ruleReason(where, rule.Object, rule.Why)
	}
	c.shadowedImages(valid, patterns)
}

// admitted checks that conditions on Pods and images stand on a workload that admission can tell.
func (c *workloadCheck) admitted(field string) {
	switch m := &c.w.Match; {
	case m.Cgroup != "":
		c.fail([]string{field}, "%s stands on a workload that match.cgroup selects; want \"namespace\" or \"labels\" alone, because admission knows no cgroup", field)
	case m.Host:
		c.fail([]string{field}, "%s stands on a workload that match.host selects; want \"namespace\" or \"labels\", because the host passes no admission", field)
	case field == "pod" && m.Container != "":
		c.fail([]string{field}, "pod stands on a workload that match.container selects; want \"namespace\" or \"labels\" alone, because a Pod is judged as a whole")
	}
}

// imagePattern checks an image pattern.
func (r *report) imagePattern(where []string, what, pattern string) (schema.ImagePattern, bool) {
	p, err := schema.ParseImagePattern(pattern)
	if err != nil {
		r.fail(where, "%s %.200q %v", what, pattern, err)
	}
	return p, err == nil
}

// imageTagCovers reports whether every tag and digest that narrow accepts is accepted by broad.
func imageTagCovers(broad, narrow schema.ImagePattern) bool {
	return (broad.Tag == "" || broad.Tag == narrow.Tag) &&
		(broad.Digest == "" || broad.Digest == narrow.Digest || broad.Digest == schema.AnyDigest && narrow.Digest != "")
}

// imageCovers reports whether every image that narrow matches is matched by broad.
func imageCovers(broad, narrow schema.ImagePattern, work *int) bool {
	return (broad.Host == "" || broad.Host == narrow.Host) && imageTagCovers(broad, narrow) && coversAny([]string{"/" + broad.Path}, "/"+narrow.Path, work)
}

// imageMeets reports whether some image can be matched by both.
func imageMeets(a, b schema.ImagePattern, work *int) bool {
	open := func(digest string) bool { return digest == "" || digest == schema.AnyDigest }
	return (a.Host == "" || b.Host == "" || a.Host == b.Host) && (a.Tag == "" || b.Tag == "" || a.Tag == b.Tag) &&
		(open(a.Digest) || open(b.Digest) || a.Digest == b.Digest) && meetsWithin("/"+a.Path, "/"+b.Path, work)
}

// tagAlone reports whether a pattern speaks of a tag or of digests, and of every repository of every registry.
func tagAlone(p schema.ImagePattern) bool {
	return p.Host == "" && p.Path == "**" && p.Tag+p.Digest != ""
}
