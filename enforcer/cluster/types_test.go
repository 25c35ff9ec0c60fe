// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestE2EPolicyTypes has kube-controller-manager check the types of our expressions against the kinds that they are for: a field that it does not
// know would be an error for every object at the moment of its creation.
func TestE2EPolicyTypes(t *testing.T) {
	c := Start(t, Config{Controllers: []string{"validatingadmissionpolicy-status-controller"}})
	c.Namespaces("shop", "stage", "lab")
	c.Apply(rolloutDefinition())
	c.ApplyBundle(compileAt(t, repository(t, "shop", "vap"), time.Time{}).Bundle)
	var policies admissionv1.ValidatingAdmissionPolicyList
	Eventually(t, "the policies are checked", func() error {
		if err := c.Client.List(t.Context(), &policies, client.MatchingLabels{"app.kubernetes.io/managed-by": "writ"}); err != nil {
			return err
		}
		for _, p := range policies.Items {
			if p.Status.ObservedGeneration != p.Generation || p.Status.TypeChecking == nil {
				return fmt.Errorf("%s is not: %+v", p.Name, p.Status)
			}
		}
		return nil
	})
	if len(policies.Items) == 0 {
		t.Fatal("the bundle has no policy")
	}
	for _, p := range policies.Items {
		for _, w := range p.Status.TypeChecking.ExpressionWarnings {
			t.Errorf("%s: %s: %s", p.Name, w.FieldRef, w.Warning)
		}
	}
}
