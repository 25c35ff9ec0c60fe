// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"encoding/json"
	"fmt"
	"slices"
)

// OrderPath is the path of the [Order]. A bundle without objects for the Kubernetes API server has none.
const OrderPath = AdmissionDir + "/order.json"

// Order says in which order the objects for the Kubernetes API server are applied, and what happens when what judges by them is not there. It
// follows from the objects and from what the policy states under admission, and from nothing else.
type Order struct {
	Stages []Stage `json:"stages,omitempty"` // in order, none without objects
	// FailurePolicies are those of what enforces; nil where the bundle has no objects for it.
	FailurePolicies FailurePolicies `json:"failurePolicies"`
}

// Stage is applied when all before it are in force. To take objects out, go the other way.
type Stage struct {
	Name    string   `json:"name"`    // "definitions", "templates", "rules", "bindings" or "network"
	Objects []string `json:"objects"` // paths in the bundle, sorted
	Ready   string   `json:"ready"`   // what is waited for before the next stage: one of the constants Ready...
}

// What is waited for when the objects of a stage are applied.
const (
	// ReadyNone: nothing.
	ReadyNone = "none"
	// ReadyEstablished: each CustomResourceDefinition has the condition Established.
	ReadyEstablished = "established"
	// ReadyCreated: each ConstraintTemplate has status.created, and the CustomResourceDefinition of its kind, <kind in lower
	// case>.constraints.gatekeeper.sh, the condition Established.
	ReadyCreated = "created"
)

// FailurePolicies say what happens to a request that cannot be judged.
type FailurePolicies struct {
	Gatekeeper *WebhookFailure `json:"gatekeeper,omitempty"`
	VAP        *PolicyFailure  `json:"vap,omitempty"`
}

// WebhookFailure is that of Gatekeeper's webhook. Its installation sets it: this is what the policy expects there.
type WebhookFailure struct {
	Configuration string `json:"configuration"` // name of the ValidatingWebhookConfiguration
	Webhook       string `json:"webhook"`       // name of the webhook in it
	FailurePolicy string `json:"failurePolicy"` // "Ignore" or "Fail"
	// Alarm selects the API server's counter of requests that were admitted because the webhook did not answer. Each increase is a request that
	// nothing judged.
	Alarm string `json:"alarm"`
}

// PolicyFailure is that of the ValidatingAdmissionPolicies.
type PolicyFailure struct {
	FailurePolicy string `json:"failurePolicy"` // "Fail" or "Ignore"
	// Alarm selects the API server's counter of requests that were refused, or admitted, because the policy failed and not because of what it says.
	Alarm string `json:"alarm"`
}

// Order reads the order. The zero Order is that of a bundle without objects.
func (b *Bundle) Order() (Order, error) {
	var o Order
	if !slices.ContainsFunc(b.Manifest.Files, func(f File) bool { return f.Path == OrderPath }) {
		return o, nil
	}
	data, err := b.Open(OrderPath)
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return o, fmt.Errorf("%w: %s: %w", ErrDamaged, OrderPath, err)
	}
	return o, nil
}
