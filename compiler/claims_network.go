// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"github.com/writ-sec/writ/compiler/admission"
	"github.com/writ-sec/writ/schema"
)

const (
	whereNetwork = "network of the cluster"

	backendNetwork = "NetworkPolicy"
	backendCilium  = "CiliumNetworkPolicy"

	whyApplied = "where the bundle's network objects are applied and the network enforces them"
	whyCilium  = "the same, compiled with the setting \"cilium\""
)

// networkClaims are those of a rule of egress or ingress, or of the closing of one. Policies of the network forbid less than the rules or
// nothing, and never more, so the claim says what is wider. They have no audit.
func (s *Stated) networkClaims() []Enforcement {
	part := string(s.Plane)
	w := schema.Workload{Name: s.Workload, Closures: []schema.Closure{{Plane: s.Plane, Mode: s.Mode, Then: s.Then, After: s.After}}}
	if s.Match != nil {
		w.Match = *s.Match
	}
	r := s.Rule()
	if s.Verb != "" {
		w.Rules = []schema.Rule{r}
	}
	plain := admission.NetworkSide(&w, s.Plane, false)
	switch {
	case s.Match == nil:
		return []Enforcement{on(whereNetwork, backendNetwork, part, ClaimNone, "what the workload selects is not known")}
	case plain.Why != 0:
		return []Enforcement{on(whereNetwork, backendNetwork, part, ClaimNone, plain.Why.String())}
	case s.Withheld != nil && !s.Withheld.Wide:
		return []Enforcement{on(whereNetwork, backendNetwork, part, ClaimNone, withheldText(*s.Withheld))}
	}
	found := []Enforcement{on(whereNetwork, backendNetwork, part, ClaimPrevent, joinWords("; ", append([]string{whyApplied}, noteWords(plain.Wider)...)...))}
	if r.Layer7() {
		found = append(found, on(whereNetwork, backendNetwork, part+": requests", ClaimNone, "a NetworkPolicy does not know them"))
	}
	if cilium := admission.NetworkSide(&w, s.Plane, true); cilium.Layer7 {
		why := append([]string{whyCilium}, noteWords(cilium.Narrow)...)
		if s.Withheld != nil {
			why = append(why, withheldText(*s.Withheld))
		}
		found = append(found, on(whereNetwork, backendCilium, part, ClaimPrevent, joinWords("; ", why...)))
	}
	return found
}

func noteWords(notes []admission.Note) []string {
	words := make([]string, len(notes))
	for i, n := range notes {
		words[i] = n.String()
	}
	return words
}
