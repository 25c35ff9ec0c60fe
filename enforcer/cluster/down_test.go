// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestE2EGatekeeperDown ends Gatekeeper as a crash would. With its own failure policy, Ignore, what it alone enforces is admitted, and the API
// server counts that; with Fail nothing is admitted.
func TestE2EGatekeeperDown(t *testing.T) {
	c := Start(t, Config{Gatekeeper: &Gatekeeper{}})
	c.Namespaces("shop", "stage", "lab")
	b := compileAt(t, repository(t, "shop", "gatekeeper"), time.Time{}).Bundle
	c.ApplyBundle(b)
	c.inForce(way{by: "gatekeeper"})
	order, err := b.Order()
	if err != nil {
		t.Fatal(err)
	}
	c.KillGatekeeper()
	alarm := order.FailurePolicies.Gatekeeper.Alarm
	before, _ := c.Counter(alarm)
	admitted.check(t, c.Review(pod("shop", badImage)))
	if after, _ := c.Counter(alarm); after <= before {
		t.Errorf("%s is %v, and was %v before a Pod was admitted unjudged", alarm, after, before)
	}
	c.StartGatekeeper()
	c.inForce(way{by: "gatekeeper"})

	hooks := &admissionv1.ValidatingWebhookConfiguration{}
	if err := c.Client.Get(t.Context(), client.ObjectKey{Name: "gatekeeper-validating-webhook-configuration"}, hooks); err != nil {
		t.Fatal(err)
	}
	fail := admissionv1.Fail
	for i := range hooks.Webhooks {
		hooks.Webhooks[i].FailurePolicy = &fail
	}
	if err := c.Client.Update(t.Context(), hooks); err != nil {
		t.Fatal(err)
	}
	c.KillGatekeeper()
	Eventually(t, "without Gatekeeper nothing is admitted", func() error {
		if err := c.Client.Create(t.Context(), pod("shop", goodImage), client.DryRunAll); err == nil {
			return fmt.Errorf("a Pod is admitted")
		} else if !strings.Contains(err.Error(), "failed calling webhook") {
			return err
		}
		return nil
	})
}

// TestE2EGatekeeperDownVAP: with both, what Gatekeeper does not answer ValidatingAdmissionPolicy still denies.
func TestE2EGatekeeperDownVAP(t *testing.T) {
	c := Start(t, Config{Gatekeeper: &Gatekeeper{}})
	c.Namespaces("shop", "stage", "lab")
	c.ApplyBundle(compileAt(t, repository(t, "shop", "both"), time.Time{}).Bundle)
	c.inForce(way{by: "both"})
	c.KillGatekeeper()
	want("ValidatingAdmissionPolicy").check(t, c.Review(pod("shop", badImage)))
	admitted.check(t, c.Review(pod("shop", goodImage)))
}

// TestE2EParamsGone takes the params away, as deleting their namespace does: nothing is made without them, and what is there can lose a finaliser.
func TestE2EParamsGone(t *testing.T) {
	c := Start(t, Config{})
	c.Namespaces("shop", "stage", "lab")
	deployment := makers("shop", podSpec(goodImage))["Deployment"]
	deployment.SetFinalizers([]string{"example.com/hold"})
	if err := c.Client.Create(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	objects := c.ApplyBundle(compileAt(t, repository(t, "shop", "vap"), time.Time{}).Bundle)
	c.inForce(way{by: "vap"})
	for _, o := range objects {
		if o.GetKind() == "PodRules" && o.GetNamespace() == "shop" {
			if err := c.Client.Delete(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
	}
	Eventually(t, "a Pod is denied for want of params", func() error {
		if denied := c.Review(pod("shop", goodImage)).Denied; !strings.Contains(denied, "no params found") {
			return fmt.Errorf("the denial is %q", denied)
		}
		return nil
	})
	admitted.check(t, c.patch(deployment, `{"metadata":{"finalizers":null}}`))
}

// TestE2EAudit has Gatekeeper's audit find what was there before the policy, and what audit and learn let in.
func TestE2EAudit(t *testing.T) {
	gatekeeper := *patient
	gatekeeper.AuditEvery = time.Second
	c := Start(t, Config{Gatekeeper: &gatekeeper})
	c.Namespaces("shop", "stage", "lab")
	for _, namespace := range []string{"shop", "stage", "lab"} {
		for name, image := range map[string]string{"bad": badImage, "good": goodImage} {
			if err := c.Client.Create(t.Context(), pod(namespace, image, named(name))); err != nil {
				t.Fatal(err)
			}
		}
	}
	objects := c.ApplyBundle(compileAt(t, repository(t, "shop", "gatekeeper"), time.Time{}).Bundle)
	for namespace, action := range map[string]string{"shop": "deny", "stage": "warn", "lab": "dryrun"} {
		Eventually(t, "the audit reports the Pod in "+namespace, func() error { return c.audited(objects, namespace, action) })
	}
}

// audited looks for exactly one violation in a namespace, with an action.
func (c *Cluster) audited(objects []*unstructured.Unstructured, namespace, action string) error {
	var found []any
	for _, o := range objects {
		if o.GroupVersionKind().Group != "constraints.gatekeeper.sh" {
			continue
		}
		now, err := c.get(o)
		if err != nil {
			return err
		}
		violations, _, _ := unstructured.NestedSlice(now.Object, "status", "violations")
		for _, v := range violations {
			if v.(map[string]any)["namespace"] == namespace {
				found = append(found, v)
			}
		}
	}
	if len(found) != 1 {
		return fmt.Errorf("violations %v; want one", found)
	}
	v := found[0].(map[string]any)
	if message, _ := v["message"].(string); v["name"] != "bad" || v["enforcementAction"] != action || !strings.Contains(message, badImage) {
		return fmt.Errorf("violation %v; want one of Pod bad by %s that names its image", v, action)
	}
	return nil
}
