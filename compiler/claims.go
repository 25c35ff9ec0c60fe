// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"slices"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// Claim is how strongly something is in force. writ-node probe speaks in the same words (enforcer/node/wire).
type Claim string

// The claims.
const (
	ClaimPrevent      Claim = "prevent"                      // it does not happen
	ClaimWhileRunning Claim = "prevent while the agent runs" // it does not happen as long as the agent lives
	ClaimDetect       Claim = "detect"                       // it happens and is reported
	ClaimNone         Claim = "none"                         // nothing sees it
)

// Enforcement says where a part of something stated is in force, and how strongly.
type Enforcement struct {
	Where   string `json:"where"`             // "kernel of the node", "admission", "compile"; "" where no enforcer is
	Backend string `json:"backend,omitempty"` // "BPF LSM", "tracing", "Gatekeeper", "ValidatingAdmissionPolicy"
	Part    string `json:"part"`              // what of it, for the kernel in the words of writ-node probe
	Claim   Claim  `json:"claim"`
	// Then is the claim after the date After, where the mode changes on that date and the claim with it.
	Then  Claim       `json:"then,omitempty"`
	After schema.Date `json:"after,omitempty"`
	Why   string      `json:"why,omitempty"` // the reason, where the claim is weaker than prevent; or what it depends on
}

// Strength says in words how strongly it is in force: "prevent", "detect through 2027-01-15, then prevent".
func (e *Enforcement) Strength() string {
	if e.Then == "" {
		return string(e.Claim)
	}
	return string(e.Claim) + " " + through(e.After) + ", then " + string(e.Then)
}

const (
	whereKernel    = "kernel of the node"
	whereAdmission = "admission"
	whereCompile   = "compile"

	backendLSM        = "BPF LSM"
	backendTracing    = "tracing"
	backendGatekeeper = "Gatekeeper"
	backendVAP        = "ValidatingAdmissionPolicy"

	whyNoEnforcer = "no enforcer in this version"
	whyCompiles   = "no enforcer in this version; a rule that lies inside it does not compile"
	whyNoEngine   = "no engine in this version; it is checked and carried in the bundle"
	whyHost       = "writ-node selects by cgroup alone, and has no source of containers in this version"
	whyLabels     = "the constraint selects by namespace, labels and the container's name alone"
	whyLate       = "the process is killed after the exec, before its first instruction"
	whyScript     = "only the interpreter is seen; the script is seen by BPF LSM alone"
	whyParent     = "from Linux 6.10; before it none: the caller's program is not known there, so a rule with a parent never allows"
	whyWhole      = "a Pod is judged as a whole, so no container is selected by its name"
	whyAdmission  = "at the making of a Pod, where the bundle's admission objects are applied"
	whyNoAnswer   = "what it does not answer in time is admitted"
	whyNoVerdict  = "what it cannot evaluate is admitted"
	whyDated      = "the objects keep the mode that they were compiled with; compile again after the date"
)

// claimLine is one line of the table.
type claimLine struct {
	verb schema.Verb
	part part
	Enforcement
}

// part says of what a line of the table holds.
type part int

const (
	always       part = iota // of rules and closings
	withParents              // of rules that name parents, and of closings
	closingsOnly             // of closings
)

// claims is what this version enforces, for each verb at one place; a verb without a line here has no enforcer. It restates
// enforcer/bpf/probe.go, which says what holds on the kernel at hand.
var claims = []claimLine{
	{schema.VerbExec, always, on(whereKernel, backendLSM, "exec: program", ClaimPrevent, "")},
	{schema.VerbExec, always, on(whereKernel, backendLSM, "exec: script behind #!", ClaimPrevent, "")},
	{schema.VerbExec, withParents, on(whereKernel, backendLSM, "exec: parent", ClaimPrevent, "")},
	{schema.VerbExec, closingsOnly, on(whereKernel, backendLSM, "exec: mount made inside the container", ClaimPrevent, "")},
	{schema.VerbExec, closingsOnly, on(whereKernel, backendLSM, "exec: memfd and deleted programs", ClaimPrevent, "")},
	{schema.VerbExec, always, on(whereKernel, backendTracing, "exec: program", ClaimPrevent, whyLate)},
	{schema.VerbExec, always, on(whereKernel, backendTracing, "exec: script behind #!", ClaimNone, whyScript)},
	{schema.VerbExec, withParents, on(whereKernel, backendTracing, "exec: parent", ClaimPrevent, whyParent)},
	{schema.VerbExec, closingsOnly, on(whereKernel, backendTracing, "exec: mount made inside the container", ClaimPrevent, whyLate)},
	{schema.VerbExec, closingsOnly, on(whereKernel, backendTracing, "exec: memfd and deleted programs", ClaimPrevent, whyLate)},
	{schema.VerbRun, always, on(whereAdmission, backendGatekeeper, "image: from", ClaimPrevent, whyAdmission)},
	{schema.VerbRun, always, on(whereAdmission, backendVAP, "image: from", ClaimPrevent, whyAdmission)},
	{schema.VerbSet, always, on(whereAdmission, backendGatekeeper, "pod", ClaimPrevent, whyAdmission)},
	{schema.VerbSet, always, on(whereAdmission, backendVAP, "pod", ClaimPrevent, whyAdmission)},
}

// demanded is what enforces that no Pod is without a workload.
var demanded = []Enforcement{
	on(whereAdmission, backendGatekeeper, "require: workload", ClaimPrevent, whyAdmission),
	on(whereAdmission, backendVAP, "require: workload", ClaimPrevent, whyAdmission),
}

func on(where, backend, part string, c Claim, why string) Enforcement {
	return Enforcement{Where: where, Backend: backend, Part: part, Claim: c, Why: why}
}

// conditionParts names the conditions on images, in the words of the language.
var conditionParts = map[schema.Verb]string{schema.VerbRun: "image: from", schema.VerbSigned: "image: signedBy", schema.VerbPass: "image: gate"}

// Claims says where what is stated is enforced by this version, and how strongly. It is never empty for a rule, a closing, or what a bound, a
// patch or a gate forbids, and it is empty for what is not to be enforced, such as a folder. In the modes learn and audit what would be
// prevented is detected.
func Claims(s Stated) []Enforcement {
	switch s.Kind {
	case "":
		return s.claims()
	case bundle.KindNever:
		return s.forbidden()
	case bundle.KindPatch:
		return []Enforcement{{Part: string(s.Plane), Claim: ClaimNone, Why: whyNoEnforcer}}
	case bundle.KindOnly:
		return []Enforcement{{Where: whereCompile, Part: "rules of " + string(s.Plane), Claim: ClaimPrevent, Why: "a rule outside it does not compile"}}
	case bundle.KindBound:
		return s.requirements()
	case bundle.KindGate, bundle.KindAlternative, bundle.KindSigner, bundle.KindRegistry, bundle.KindResponse, bundle.KindNotify, bundle.KindBenchmark,
		bundle.KindCheck, bundle.KindException:
		return []Enforcement{{Part: s.Kind, Claim: ClaimNone, Why: whyNoEngine}}
	}
	return nil
}

// ClaimsIn returns those claims that hold for a bundle, which says by whom it is enforced at admission. It leaves out who has no objects there, because
// the policy or a flag chose the other alone, and adds what happens where the one who judges fails, if that is that all is admitted.
func ClaimsIn(all []Enforcement, by bundle.FailurePolicies) []Enforcement {
	if by.Gatekeeper == nil && by.VAP == nil { // no object at all, so nothing was chosen
		return all
	}
	var found []Enforcement
	for _, e := range all {
		opens := ""
		switch {
		case e.Backend == backendGatekeeper && by.Gatekeeper == nil, e.Backend == backendVAP && by.VAP == nil:
			continue
		case e.Claim != ClaimPrevent:
		case e.Backend == backendGatekeeper && by.Gatekeeper.FailurePolicy == schema.FailurePolicyIgnore:
			opens = whyNoAnswer
		case e.Backend == backendVAP && by.VAP.FailurePolicy == schema.FailurePolicyIgnore:
			opens = whyNoVerdict
		}
		e.Why = joinWords("; ", e.Why, opens)
		found = append(found, e)
	}
	return found
}

// claims are those of a rule or of a closing.
func (s *Stated) claims() []Enforcement {
	if s.Plane == schema.PlaneEgress || s.Plane == schema.PlaneIngress {
		return s.networkClaims()
	}
	var found []Enforcement
	for _, verb := range s.verbs() {
		lines := slices.DeleteFunc(slices.Clone(claims), func(c claimLine) bool { return c.verb != verb || !c.holds(s) })
		if len(lines) == 0 {
			found = append(found, Enforcement{Part: partOf(s.Plane, verb), Claim: ClaimNone, Why: whyNoEnforcer})
			continue
		}
		if where := lines[0].Where; s.outOfReach(where) != "" {
			found = append(found, Enforcement{Where: where, Part: partOf(s.Plane, verb), Claim: ClaimNone, Why: s.outOfReach(where)})
			continue
		}
		for _, c := range lines {
			found = append(found, s.weaken(c.Enforcement))
		}
	}
	return found
}

// verbs returns what the claims are about: the verb of a rule, or those of a closing.
func (s *Stated) verbs() []schema.Verb {
	switch {
	case s.Verb != "":
		return []schema.Verb{s.Verb}
	case s.Plane == schema.PlaneExec:
		return []schema.Verb{schema.VerbExec}
	case s.Plane == schema.PlaneImage && len(s.Verbs) == 0:
		return []schema.Verb{schema.VerbRun}
	case s.Plane == schema.PlaneImage:
		return s.Verbs
	case s.Plane == schema.PlanePod:
		return []schema.Verb{schema.VerbSet}
	}
	return []schema.Verb{""} // one answer for the plane
}

func partOf(p schema.Plane, v schema.Verb) string {
	if part := conditionParts[v]; part != "" {
		return part
	}
	return string(p)
}

func (c *claimLine) holds(s *Stated) bool {
	closing := s.Verb == ""
	switch c.part {
	case withParents:
		return closing || len(s.Parents) > 0
	case closingsOnly:
		return closing
	}
	return true
}

// weaken says what is left of a claim in the workload's mode. A node decides the date of a planned mode by its own clock; objects of
// Kubernetes have none.
func (s *Stated) weaken(e Enforcement) Enforcement {
	if e.Claim != ClaimPrevent {
		return e
	}
	depends := ""
	if e.Why == whyParent {
		depends = whyParent
	}
	now, then := inMode(s.Mode), inMode(s.Then)
	if now == ClaimDetect || s.Then != "" {
		e.Why = joinWords("; ", "mode "+DescribeMode(s.Mode, s.Then, s.After), depends)
	}
	if e.Claim = now; s.Then == "" {
		return e
	}
	if e.Where == whereAdmission {
		e.Why = joinWords("; ", e.Why, whyDated)
	} else if then != now {
		e.Then, e.After = then, s.After
	}
	return e
}

// inMode says what is left of prevention in a mode.
func inMode(m schema.Mode) Claim {
	if m == schema.ModeAudit || m == schema.ModeLearn {
		return ClaimDetect
	}
	return ClaimPrevent
}

// outOfReach says why the enforcer at a place does not see the containers of a workload, or "".
func (s *Stated) outOfReach(where string) string {
	m := s.Match
	switch {
	case m == nil:
		return ""
	case where == whereKernel && (m.Cgroup == "" || m.Namespace != "" || m.Container != "" || m.Host || len(m.Labels)+len(m.Expressions) > 0):
		return whyHost
	case where == whereAdmission && (m.Cgroup != "" || m.Host):
		return whyLabels
	case where == whereAdmission && s.Plane == schema.PlanePod && m.Container != "":
		return whyWhole
	}
	return ""
}

// forbidden are the claims of what a bound forbids: images and fields of Pods at admission, as the conditions of workloads.
func (s *Stated) forbidden() []Enforcement {
	if !s.Plane.Condition() {
		return []Enforcement{{Part: string(s.Plane), Claim: ClaimNone, Why: whyCompiles}}
	}
	found := s.claims()
	for i := range found {
		found[i].Part = string(s.Plane)
	}
	return found
}

// requirements are the claims of a bound itself: that a Pod has a workload is held at admission, what workloads state at compile time.
func (s *Stated) requirements() []Enforcement {
	var found []Enforcement
	if slices.Contains(s.Requires, "workload") {
		for _, e := range demanded {
			if why := s.outOfReach(e.Where); why != "" {
				found = append(found, Enforcement{Where: e.Where, Part: e.Part, Claim: ClaimNone, Why: why})
				break // it is out of reach for each backend
			}
			found = append(found, s.weaken(e))
		}
	}
	if slices.ContainsFunc(s.Requires, func(r string) bool { return r != "workload" }) {
		found = append(found, Enforcement{Where: whereCompile, Part: "require", Claim: ClaimPrevent, Why: "a workload that lacks it does not compile"})
	}
	return found
}
