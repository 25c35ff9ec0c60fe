// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"strings"

	"github.com/writ-sec/writ/schema"
)

// Level is how much a finding counts.
type Level string

// The levels, by the words of SARIF.
const (
	LevelError   Level = "error"
	LevelWarning Level = "warning"
	LevelNote    Level = "note"
)

// worst returns the one of two levels that counts more. No level counts less than each.
func (l Level) worst(other Level) Level {
	for _, known := range []Level{LevelError, LevelWarning, LevelNote} {
		if l == known || other == known {
			return known
		}
	}
	return l
}

// Rules of findings. What is not admitted is found by the rule [RulePrefix] and the field of the Pod, as "admission-privileged".
const (
	RuleManifest = "manifest"   // what can't be read, and so not judged
	RulePrefix   = "admission-" // what a cluster with the policy does not admit, or warns of
)

// Finding is what is found in files that are not policy, such as manifests. Its hint says what to change, and its code is not used.
type Finding struct {
	Diagnostic
	Level Level
	Rule  string     // names the kind of finding, and never changes its meaning
	By    schema.Pos // the line of policy that it follows from; the zero Pos: none
}

// coded returns the diagnostic with the finding's rule as its code, as the log names it.
func (f Finding) coded() Diagnostic {
	d := f.Diagnostic
	d.Code = f.Rule
	return d
}

func (f Finding) related() []sarifLocation {
	if f.By.File == "" {
		return nil
	}
	return []sarifLocation{{PhysicalLocation: physical(Diagnostic{Pos: f.By}), Message: &sarifMessage{"The policy states it here."}}}
}

// findingHelp is helpOf of findings.
func findingHelp(id string) (warningText, bool) {
	if id == RuleManifest {
		return warningText{"A manifest can't be read",
			"What can't be read is not judged, and a cluster would refuse it. Correct it; the message says what was expected."}, true
	}
	field, ok := strings.CutPrefix(id, RulePrefix)
	if !ok {
		return warningText{}, false
	}
	return warningText{"The policy does not admit this " + field,
		"At level error a cluster with this policy refuses the object; at level warning it warns who creates it; at level note it only records it. " +
			"Change the manifest, or the policy at the line that the message names."}, true
}
