// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Silenced is a warning that an author has answered.
type Silenced struct {
	Diagnostic
	Why string `json:"why"` // the author's reason
}

// Report is everything that was found in a policy, for [RenderSARIF].
type Report struct {
	Version  string // of writ; "" if it is not known
	Errors   []Diagnostic
	Warnings []Diagnostic
	Silenced []Silenced
	Findings []Finding
}

// errorRule is the SARIF rule of every error: what is wrong is in the message, and an error cannot be switched off.
const errorRule = "invalid-policy"

// warningText is what a code host shows of a rule.
type warningText struct{ short, help string }

// warningHelp says, by code, what a warning means and what to do.
var warningHelp = map[string]warningText{
	codeOverlap: {"Two workloads can select the same container",
		"Several workloads on one container are the union of their rules, with the strictest mode. Say \"shared: true\" in both if that is meant, or make one selector exclude the other."},
	codeLockOut: {"A plane is closed without a single rule, in enforce",
		"Nothing of this plane is allowed, so a container cannot start. Add rules, take the plane away, or silence the warning if the lock-out is meant."},
	codeShadowed: {"A broader rule of the same workload allows it all",
		"The rule never decides. Remove it, or narrow the broader one."},
	codeNothing: {"A workload mentions no plane",
		"A plane that is not mentioned is open, so this workload restricts nothing. Mention a plane."},
	codeNoImage: {"image names no condition",
		"An image must meet each condition that is named, and here is none. Name \"from\", \"signedBy\" or \"gate\"."},
	codeNoPod: {"pod names no condition",
		"A Pod must meet each condition that is named, and here is none. Name a profile or a field."},
	codeSameMode: {"A planned mode is the same before and after its date",
		"The date changes nothing. Give another mode, or one word."},
	codeNoMatch: {"A pattern matches nothing that occurs",
		"The kernel never reports such a path, so the rule never decides. Write the path as the kernel resolves it."},
	codeEverything: {"A rule in enforce allows everything on its plane",
		"The plane is closed in name only. Name what is needed, or leave the plane open."},
	codeLiteral: {"A pattern holds characters that are special elsewhere and literal here",
		"Only \"*\" and \"**\" stand for other characters; \"?\", \"[\", \"{\" and \"~\" stand for themselves."},
	codeReserved: {"An address or a name is reserved, or is never judged",
		"Nothing real stands behind it, or connections to it are no events. Check for a placeholder that was left."},
	codeLayer4: {"A rule without layer 7 allows all that one with layer 7 restricts",
		"For the same peer and port, the rule without http, grpc or tls allows everything. Remove one of the two."},
	codeMetadata: {"A rule allows a cloud's metadata service",
		"It gives credentials of the node to whoever asks. Use the cloud's workload identity, or name the need in why and silence the warning."},
	codeWildcard: {"A wildcard stands for names of different owners",
		"Anybody can get a name below it. Name the hosts, or a domain of one owner."},
	codeTLSBeside: {"tls beside http or grpc allows every request over TLS",
		"Any of them suffices. Leave tls away to judge the requests."},
	codeCutInto: {"A bound forbids a part of what a rule allows",
		"What both speak of is judged by the bound. Narrow the rule, so that it says what holds."},
	codeOpen: {"A plane that a bound limits is open",
		"The bound's only limits rules, and this workload has none because it leaves the plane open. Mention the plane."},
	codeUnused: {"Nothing refers to it",
		"Remove it, or name it where it was meant to count."},
	codeNoEffect: {"A field has no effect beside the others",
		"Another field of the same entry decides. Remove one of the two."},
	codeCovered: {"Another alternative of the same gate denies it all",
		"The alternative never decides. Remove it, or narrow the other."},
	codeNoFolder: {"A folder is given something, and holds no policy",
		"Check the path for a misspelling, or remove the entry."},
	codeNever: {"A response can never act",
		"What it waits for cannot happen. Correct the condition."},
	codeSilence: {"An attribute @writ silences nothing",
		"The warning that it silenced is gone. Remove the attribute."},
	codePast: {"A date is past",
		"What is dated no longer holds. Remove it, or decide anew."},
	codeNear: {"A date is near",
		"What is dated ends within 14 days. Decide before it does."},
	codeStrict: {"A value is permitted that the profile forbids",
		"Both must hold, so the value is never admitted. Remove it, or choose a weaker profile."},
	codeAnyone: {"A signer is anybody whom an issuer knows",
		"A wildcard for the whole identity trusts every account of the issuer. Name the identity."},
}

// helpOf returns what is to be shown of a rule: of an error, a warning, or a warning whose code has no text.
func helpOf(id string) warningText {
	if id == errorRule {
		return warningText{"The policy is not valid", "The policy cannot be compiled until this is corrected; the message says what was expected."}
	}
	if t, ok := warningHelp[id]; ok {
		return t
	}
	if t, ok := findingHelp(id); ok {
		return t
	}
	return warningText{"Warning " + id, "The policy compiles; the message says what is doubtful. A warning is silenced on its field: @writ(" + id + ", why=\"...\")."}
}

// The part of SARIF 2.1.0 (OASIS, sarif-v2.1.0-errata01) that is written. Its fields are described there by the same names.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name            string      `json:"name"`
		Version         string      `json:"version,omitempty"`
		SemanticVersion string      `json:"semanticVersion,omitempty"`
		InformationURI  string      `json:"informationUri"`
		Rules           []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID                   string       `json:"id"`
		ShortDescription     sarifMessage `json:"shortDescription"`
		FullDescription      sarifMessage `json:"fullDescription"`
		Help                 sarifMessage `json:"help"`
		DefaultConfiguration sarifConfig  `json:"defaultConfiguration"`
	}
	sarifConfig struct {
		Level string `json:"level"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID              string             `json:"ruleId"`
		RuleIndex           int                `json:"ruleIndex"`
		Level               string             `json:"level"`
		Message             sarifMessage       `json:"message"`
		Locations           []sarifLocation    `json:"locations,omitempty"`
		RelatedLocations    []sarifLocation    `json:"relatedLocations,omitempty"`
		PartialFingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions        []sarifSuppression `json:"suppressions,omitempty"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPhysical `json:"physicalLocation"`
		Message          *sarifMessage `json:"message,omitempty"`
	}
	sarifPhysical struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
		Region           *sarifRegion  `json:"region,omitempty"`
		ContextRegion    *sarifRegion  `json:"contextRegion,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int           `json:"startLine"`
		StartColumn int           `json:"startColumn,omitempty"`
		Snippet     *sarifMessage `json:"snippet,omitempty"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Justification string `json:"justification,omitempty"`
	}
)

// fingerprintKey names how fingerprints are made; its number changes when that does.
const fingerprintKey = "writ/v1"

var semverRE = regexp.MustCompile(`^v?((?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)$`)

// RenderSARIF writes a report as a SARIF 2.1.0 log, for code hosts: errors at level error, warnings at level warning, silenced ones suppressed
// in their source, findings at their own level. URIs are relative to what [Diagnostic.Pos] is relative to. Columns are counted in UTF-16 code units, from 1. A fingerprint
// stays the same when its line moves. The bytes depend on the report alone. The error is the writer's.
func RenderSARIF(w io.Writer, r Report) error {
	run := sarifRun{ColumnKind: "utf16CodeUnits", Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "writ", Version: r.Version, InformationURI: "https://github.com/writ-sec/writ", Rules: sarifRules(r)}
	if m := semverRE.FindStringSubmatch(r.Version); m != nil {
		run.Tool.Driver.SemanticVersion = m[1]
	}
	seen := map[string]int{}
	add := func(d Diagnostic, level string) *sarifResult {
		run.Results = append(run.Results, resultOf(d, level, seen))
		res := &run.Results[len(run.Results)-1]
		res.RuleIndex = slices.IndexFunc(run.Tool.Driver.Rules, func(rule sarifRule) bool { return rule.ID == res.RuleID })
		return res
	}
	for _, d := range r.Errors {
		add(d, "error")
	}
	for _, d := range r.Warnings {
		add(d, "warning")
	}
	for _, s := range r.Silenced {
		add(s.Diagnostic, "warning").Suppressions = []sarifSuppression{{Kind: "inSource", Justification: escape(s.Why)}}
	}
	for _, f := range r.Findings {
		add(f.coded(), string(f.Level)).RelatedLocations = f.related()
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(sarifLog{
		Schema:  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{run},
	})
}

func ruleID(d Diagnostic) string {
	if d.Code == "" {
		return errorRule
	}
	return d.Code
}

// sarifRules lists the rules that the report needs, sorted by ID.
func sarifRules(r Report) []sarifRule {
	levels := map[string]string{}
	for _, d := range r.Errors {
		levels[ruleID(d)] = "error"
	}
	for _, d := range r.Warnings {
		levels[ruleID(d)] = "warning"
	}
	for _, s := range r.Silenced {
		levels[ruleID(s.Diagnostic)] = "warning"
	}
	for _, f := range r.Findings {
		levels[f.Rule] = string(f.Level.worst(Level(levels[f.Rule])))
	}
	rules := []sarifRule{}
	for _, id := range slices.Sorted(maps.Keys(levels)) {
		t := helpOf(id)
		rules = append(rules, sarifRule{ID: id, ShortDescription: sarifMessage{t.short}, FullDescription: sarifMessage{t.short + ". " + t.help},
			Help: sarifMessage{t.help}, DefaultConfiguration: sarifConfig{levels[id]}})
	}
	return rules
}

func resultOf(d Diagnostic, level string, seen map[string]int) sarifResult {
	text := escape(d.Msg)
	if d.Path != "" {
		text = escape(d.Path) + ": " + text
	}
	if d.Hint != "" {
		text += "\nhint: " + escape(d.Hint)
	}
	id := fingerprint(d)
	seen[id]++
	r := sarifResult{
		RuleID: ruleID(d), Level: level, Message: sarifMessage{sarifText(text)},
		PartialFingerprints: map[string]string{fingerprintKey: fmt.Sprintf("%s:%d", id, seen[id])},
	}
	if d.Pos.File != "" {
		r.Locations = []sarifLocation{{PhysicalLocation: physical(d)}}
	}
	return r
}

// sarifText keeps what an author wrote from becoming a link: section 3.11.6 of SARIF reads [text](target) as one.
func sarifText(s string) string { return strings.ReplaceAll(s, "](", "] (") }

func physical(d Diagnostic) sarifPhysical {
	p := sarifPhysical{ArtifactLocation: sarifArtifact{URI: uriOf(d.Pos.File)}}
	if d.Pos.Line <= 0 {
		return p
	}
	p.Region = &sarifRegion{StartLine: d.Pos.Line, StartColumn: utf16Column(d)}
	if d.Source != "" {
		p.ContextRegion = &sarifRegion{StartLine: d.Pos.Line, Snippet: &sarifMessage{strings.ToValidUTF8(d.Source, string(utf8.RuneError))}}
	}
	return p
}

// uriOf returns a relative reference (RFC 3986) to a slash-separated path: percent-encoded, and with "./" where a colon would make a scheme.
func uriOf(file string) string { return (&url.URL{Path: file}).String() }

// utf16Column converts the column of a diagnostic, in bytes, to UTF-16 code units, both from 1. Without the source line only the
// first column is known, and 0 is none.
func utf16Column(d Diagnostic) int {
	if d.Pos.Col <= 1 || d.Pos.Col-1 > len(d.Source) {
		return max(0, min(d.Pos.Col, 1))
	}
	units := 0
	for _, r := range d.Source[:d.Pos.Col-1] {
		units += utf16.RuneLen(r) // of a byte that is no character the replacement character, which has one
	}
	return units + 1
}

// positionRE finds positions in a message, which change with lines that have nothing to do with it.
var positionRE = regexp.MustCompile(`:[0-9]+:[0-9]+`)

// fingerprint names a finding wherever its line moves within the file.
func fingerprint(d Diagnostic) string {
	h := sha256.New()
	for _, s := range []string{ruleID(d), d.Pos.File, d.Path, positionRE.ReplaceAllString(d.Msg, "")} {
		fmt.Fprintf(h, "%s\x00", s)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
