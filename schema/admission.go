// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"cmp"
	"strings"
)

// What may enforce at admission.
const (
	AdmissionGatekeeper = "gatekeeper"
	AdmissionVAP        = "vap" // ValidatingAdmissionPolicy
	AdmissionBoth       = "both"
)

// AdmissionWords lists them.
var AdmissionWords = []string{AdmissionGatekeeper, AdmissionVAP, AdmissionBoth}

// The failure policies of Kubernetes: what happens to a request when what judges it cannot be reached or fails.
const (
	FailurePolicyIgnore = "Ignore" // it is admitted
	FailurePolicyFail   = "Fail"   // it is refused
)

// Admission says by what the policy is enforced at admission, and how. The zero Admission is what holds where the policy says nothing.
type Admission struct {
	By            string          `json:"by,omitempty"`     // one of AdmissionWords; "" is AdmissionBoth
	Makers        []Maker         `json:"makers,omitempty"` // kinds that make Pods, beside those of Kubernetes; sorted by Kind
	FailurePolicy FailurePolicies `json:"failurePolicy,omitzero"`
	Cilium        bool            `json:"cilium,omitempty"` // the cluster's network is Cilium, which enforces names and layer 7 too
	Pos           []Pos           `json:"pos,omitempty"`
}

// Gatekeeper reports whether there are objects of Gatekeeper.
func (a *Admission) Gatekeeper() bool { return a.By != AdmissionVAP }

// VAP reports whether there are ValidatingAdmissionPolicies.
func (a *Admission) VAP() bool { return a.By != AdmissionGatekeeper }

// Effective returns what holds: with the defaults for what is not stated.
func (a Admission) Effective() Admission {
	a.By = cmp.Or(a.By, AdmissionBoth)
	a.FailurePolicy.Gatekeeper = cmp.Or(a.FailurePolicy.Gatekeeper, FailurePolicyIgnore)
	a.FailurePolicy.VAP = cmp.Or(a.FailurePolicy.VAP, FailurePolicyFail)
	return a
}

// FailurePolicies are "Ignore" or "Fail" for each of those who enforce.
type FailurePolicies struct {
	Gatekeeper string `json:"gatekeeper,omitempty"` // of Gatekeeper's webhook, which its installation sets; "" is Ignore, as there
	VAP        string `json:"vap,omitempty"`        // "" is Fail
}

// Maker is a kind whose objects hold the template of a Pod.
type Maker struct {
	Kind     string `json:"kind"`               // "argoproj.io/Rollout"; of the core group the kind alone
	Path     string `json:"path"`               // of the template: names of fields from the object's root, "spec.template"
	Resource string `json:"resource,omitempty"` // "rollouts"; "" is the kind's regular plural
}

// GroupKind takes the kind apart. The core group is "".
func (m Maker) GroupKind() (group, kind string) {
	group, kind, ok := strings.Cut(m.Kind, "/")
	if !ok {
		return "", group
	}
	return group, kind
}

// Fields returns the names of the fields that lead to the template.
func (m Maker) Fields() []string { return strings.Split(m.Path, ".") }

// Plural returns the resource's name. Where the policy does not say it, it is guessed as Kubernetes does (UnsafeGuessKindToResource in
// k8s.io/apimachinery/pkg/api/meta).
func (m Maker) Plural() string {
	if m.Resource != "" {
		return m.Resource
	}
	_, kind := m.GroupKind()
	switch name := strings.ToLower(kind); {
	case strings.HasSuffix(name, "s"):
		return name + "es"
	case strings.HasSuffix(name, "y"):
		return strings.TrimSuffix(name, "y") + "ies"
	default:
		return name + "s"
	}
}
