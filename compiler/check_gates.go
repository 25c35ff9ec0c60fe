// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
)

// The classes of findings, as gates name them.
const (
	classVulnerability    = "vulnerability"
	classSecret           = "secret"
	classLicence          = "licence"
	classMisconfiguration = "misconfiguration"
	classImage            = "image"
)

// severities are in their order; a severity means that or above.
var severities = []string{"UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"}

// maxAlternatives bounds a gate: each finding is held against all of them.
const maxAlternatives = 1000

// gate checks a gate.
func (r *report) gate(g *schema.Gate) {
	r.owner(nil, g.Owner)
	r.reason(g.Why)
	if r.s.has("at") && g.At == (schema.GateAt{}) && len(r.s.keys("at")) > 0 {
		r.fail([]string{"at"}, "at names no place where the gate stands; want one that is true, or no \"at\" for everywhere")
	}
	r.gateTimes(g)
	if len(g.Deny) == 0 {
		r.warn(codeNoEffect, []string{"deny"}, "denies nothing; want an alternative, such as vulnerability: worst: severity: \"CRITICAL\"")
	}
	if len(g.Deny) > maxAlternatives {
		r.fail([]string{"deny"}, "deny has %d alternatives; want at most %d: use patterns", len(g.Deny), maxAlternatives)
		return
	}
	for i := range g.Deny {
		r.alternative(&g.Deny[i])
	}
	r.alternatives(g.Deny)
}

// gateTimes checks the durations, and what needs another field to have an effect.
func (r *report) gateTimes(g *schema.Gate) {
	r.duration([]string{"grace"}, g.Grace, true)
	r.duration([]string{"fresh"}, g.Fresh, false)
	everywhere := g.At == (schema.GateAt{})
	if g.Fresh != "" && !everywhere && !g.At.Admission {
		r.warn(codeNoEffect, []string{"fresh"}, "fresh has no effect, because the gate does not stand at admission; want at: admission: true, or no \"fresh\"")
	}
	if r.states([]string{"stale"}, g.Stale != "") && g.Fresh == "" {
		r.warn(codeNoEffect, []string{"stale"}, "stale has no effect without \"fresh\", which says how old a verdict may be; want both")
	}
	if r.states([]string{"missing"}, g.Missing != "") && !everywhere && !g.At.Admission && !g.At.Runtime {
		r.warn(codeNoEffect, []string{"missing"}, "missing has no effect, because a scan always has a verdict where the gate stands; want at: admission: true, or no \"missing\"")
	}
}

// alternative checks one way in which a gate denies.
func (r *report) alternative(a *schema.Alternative) {
	where := []string{"deny", a.Class, a.Name}
	r.ruleReason(where, a.Name, a.Why)
	if !conditionalAlternative(a) {
		r.unconditional(where, a)
	}
	switch a.Class {
	case classVulnerability:
		r.findingPattern(way(where, "id"), a.Finding)
	case classSecret:
		r.textPattern(way(where, "rule"), a.Finding, "aws-*")
	case classLicence:
		r.textPattern(way(where, "name"), a.Finding, "AGPL-3.0*")
	case classMisconfiguration:
		r.textPattern(way(where, "id"), a.Finding, "DS-*")
	}
	r.textPattern(way(where, "package"), a.Package, "openssl*")
	r.duration(way(where, "olderThan"), a.OlderThan, false)
	if a.Base != "" || r.s.has(way(where, "base")...) {
		r.imagePattern(way(where, "base"), dotted(way(where, "base")), a.Base)
	}
	if a.Signed != nil && *a.Signed {
		r.warn(codeNoEffect, way(where, "signed"), "%s denies images that are signed; want false, which denies those that are not", dotted(where))
	}
}

// unconditional judges an alternative without a condition. Every image has a licence and is an image: there it denies everything.
func (r *report) unconditional(where []string, a *schema.Alternative) {
	switch a.Class {
	case classImage, classLicence:
		r.fail(where, "%s has no condition, and would deny every image; want one, such as %s", dotted(where),
			map[string]string{classImage: "root: true", classLicence: "name: \"AGPL-3.0*\""}[a.Class])
	case classVulnerability, classMisconfiguration:
		r.warn(codeEverything, where, "%s has no condition, and denies every image with any %s; want such as severity: \"HIGH\"", dotted(where), a.Class)
	}
}

// contradictory reports whether two alternatives deny every image between them.
func contradictory(a, b *schema.Alternative) bool {
	if a.Class != classImage || b.Class != classImage {
		return false
	}
	only := func(x *schema.Alternative) bool {
		rest := *x
		rest.Root, rest.Signed = nil, nil
		return !conditionalAlternative(&rest) && (x.Root == nil || x.Signed == nil)
	}
	opposite := func(x, y *bool) bool { return x != nil && y != nil && *x != *y }
	return only(a) && only(b) && (opposite(a.Root, b.Root) || opposite(a.Signed, b.Signed))
}

// alternatives compares the alternatives of a gate with each other.
func (r *report) alternatives(all []schema.Alternative) {
	for i := range all {
		a := &all[i]
		for j := range all {
			b := &all[j]
			if i == j || a.Class != b.Class {
				continue
			}
			where := []string{"deny", a.Class, a.Name}
			if j < i && contradictory(a, b) {
				r.fail(where, "%s denies what %q at %s does not, so every image is denied; want one of the two", dotted(where), b.Name, posText(b.Pos))
			}
			if alternativeCovers(b, a) && (j < i || !alternativeCovers(a, b)) {
				r.warn(codeCovered, where, "%s changes nothing: %q at %s denies all of it; want one of the two", dotted(where), b.Name, posText(b.Pos))
				break
			}
		}
	}
}

// conditionalAlternative reports whether an alternative has a condition.
func conditionalAlternative(a *schema.Alternative) bool {
	return a.Severity != "" || a.Finding != "" || a.Package != "" || a.Fixable != nil || a.OlderThan != "" || a.Base != "" ||
		a.Root != nil || a.Signed != nil
}

// alternativeCovers reports whether every finding that narrow denies is denied by broad, of the same class. A yes is certain.
func alternativeCovers(broad, narrow *schema.Alternative) bool {
	text := func(b, n string) bool { return b == "" || n != "" && textCovers(b, n) }
	flag := func(b, n *bool) bool { return b == nil || n != nil && *b == *n }
	older := func(b, n string) bool {
		db, errB := time.ParseDuration(b)
		dn, errN := time.ParseDuration(n)
		return b == "" || errB == nil && errN == nil && db <= dn
	}
	base := func(b, n string) bool {
		pb, errB := schema.ParseImagePattern(b)
		pn, errN := schema.ParseImagePattern(n)
		work := coverWork
		return b == "" || errB == nil && errN == nil && imageCovers(pb, pn, &work)
	}
	return (broad.Severity == "" || narrow.Severity != "" && slices.Index(severities, broad.Severity) <= slices.Index(severities, narrow.Severity)) &&
		text(broad.Finding, narrow.Finding) && text(broad.Package, narrow.Package) && flag(broad.Fixable, narrow.Fixable) &&
		older(broad.OlderThan, narrow.OlderThan) && base(broad.Base, narrow.Base) && flag(broad.Root, narrow.Root) && flag(broad.Signed, narrow.Signed)
}

// textCovers compares patterns in which "*" is any run of characters: each part of the broad one must be found in the narrow one, in order,
// and its ends must be at the ends. That is not every case in which it covers, but it is certain.
func textCovers(broad, narrow string) bool {
	parts := strings.Split(broad, "*")
	if len(parts) == 1 {
		return broad == narrow
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(narrow, first) || len(narrow) < len(first)+len(last) || !strings.HasSuffix(narrow, last) {
		return false
	}
	rest := narrow[len(first) : len(narrow)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return true
}

var (
	// cveRE is the syntax of https://www.cve.org/About/Process (CVE ID syntax), ghsaRE that of
	// https://docs.github.com/code-security/security-advisories.
	cveRE  = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,19}$`)
	ghsaRE = regexp.MustCompile(`^GHSA(-[23456789cfghjmpqrvwx]{4}){3}$`)
	idRE   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,127}$`)
)

// findingID says what an ID of a finding is not, with what was expected, or "".
func findingID(id string) string {
	switch upper := strings.ToUpper(id); {
	case strings.HasPrefix(upper, "CVE") && !cveRE.MatchString(id):
		if cveRE.MatchString(upper) {
			return "is not the ID of a CVE as scanners write it; did you mean \"" + upper + "\"?"
		}
		return "is not the ID of a CVE; want such as \"CVE-2026-12345\""
	case strings.HasPrefix(upper, "GHSA-") && !ghsaRE.MatchString(id):
		return "is not the ID of a GitHub advisory; want such as \"GHSA-jfh8-c2jp-5v3q\""
	case !idRE.MatchString(id):
		return "is not the ID of a finding; want such as \"CVE-2026-12345\", \"DS-0002\" or \"aws-access-key-id\""
	}
	return ""
}

// findingPattern checks a pattern of the IDs of vulnerabilities.
func (r *report) findingPattern(where []string, pattern string) {
	if pattern == "" && !r.s.has(where...) {
		return
	}
	literal, _, wild := strings.Cut(pattern, "*")
	switch upper := strings.ToUpper(literal); {
	case !wild:
		if why := findingID(pattern); why != "" {
			r.fail(where, "%s %.150q %s", dotted(where), pattern, why)
		}
	case upper != literal && (strings.HasPrefix(upper, "CVE-") || strings.HasPrefix(literal, "ghsa-")):
		r.fail(where, "%s %.150q is not a pattern of IDs as scanners write them; want such as \"CVE-2026-*\"", dotted(where), pattern)
	default:
		r.textPattern(where, pattern, "CVE-2026-*")
	}
}
