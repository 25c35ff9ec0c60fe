// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/writ-sec/writ/schema/testneed"
)

const gatekeeperNamespace = "gatekeeper-system"

// gatekeeperAccount is the user that the manifest's service account is to the API server.
var gatekeeperAccount = envtest.User{Name: "system:serviceaccount:" + gatekeeperNamespace + ":gatekeeper-admin",
	Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + gatekeeperNamespace, "system:authenticated"}}

// installed are the kinds of the manifest that are applied. The others run it in Pods, of which there are none here.
var installed = []string{"Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}

// gatekeeper is the installed Gatekeeper.
type gatekeeper struct {
	path    string
	args    []string
	health  string
	process *process // nil: it does not run
}

// installGatekeeper applies the manifest, starts Gatekeeper, and then makes its webhook known.
func (c *Cluster) installGatekeeper(cfg Gatekeeper) {
	t := c.t
	t.Helper()
	path := testneed.Server(t, "gatekeeper")
	objects := readManifest(t, filepath.Join(filepath.Dir(path), "gatekeeper.yaml"))
	for _, kind := range installed {
		c.Apply(ofKind(objects, kind)...)
	}
	hooks := envtest.WebhookInstallOptions{LocalServingHost: "127.0.0.1", ValidatingWebhooks: webhooks(t, objects, cfg)}
	if err := hooks.PrepWithoutInstalling(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hooks.Cleanup() })
	health := freePort(t)
	c.gatekeeper = &gatekeeper{path: path, health: fmt.Sprintf("http://127.0.0.1:%d/readyz", health),
		args: []string{"--kubeconfig=" + c.kubeconfig("gatekeeper", gatekeeperAccount), "--debug-use-fake-pod", "--disable-cert-rotation",
			"--cert-dir=" + hooks.LocalServingCertDir, "--host=127.0.0.1", fmt.Sprintf("--port=%d", hooks.LocalServingPort),
			fmt.Sprintf("--health-addr=127.0.0.1:%d", health), "--metrics-addr=0",
			// The metrics backend that listens nowhere, and never comes to send.
			"--metrics-backend=opentelemetry", "--otlp-endpoint=127.0.0.1:9", "--otlp-metric-interval=24h",
			"--exempt-namespace=" + gatekeeperNamespace, "--disable-opa-builtin={http.send}", "--shutdown-delay=0",
			"--operation=webhook", "--operation=status", "--operation=generate"}}
	if cfg.AuditEvery > 0 {
		c.gatekeeper.args = append(c.gatekeeper.args, "--operation=audit", "--api-cache-dir="+c.folder("audit"),
			fmt.Sprintf("--audit-interval=%d", int(cfg.AuditEvery/time.Second)))
	}
	c.StartGatekeeper()
	for _, hook := range hooks.ValidatingWebhooks {
		if err := c.Client.Create(t.Context(), hook); err != nil {
			t.Fatal(err)
		}
	}
}

// StartGatekeeper starts Gatekeeper, unless it runs, and waits until it has read every template and constraint.
func (c *Cluster) StartGatekeeper() {
	c.t.Helper()
	g := c.gatekeeper
	if g.process != nil {
		return
	}
	g.process = run(c.t, c.dir, g.path, []string{"POD_NAMESPACE=" + gatekeeperNamespace, "NAMESPACE=" + gatekeeperNamespace, "POD_NAME=no-pod"}, g.args...)
	Eventually(c.t, "Gatekeeper is ready", func() error {
		if g.process.ended() {
			c.t.Fatal("Gatekeeper ended")
		}
		response, err := http.Get(g.health)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	})
}

// KillGatekeeper ends Gatekeeper as a crash does. Its webhook stays known to the API server.
func (c *Cluster) KillGatekeeper() {
	if g := c.gatekeeper; g.process != nil {
		g.process.kill()
		g.process = nil
	}
}

// webhooks returns the manifest's, as cfg wants them.
func webhooks(t testing.TB, objects []*unstructured.Unstructured, cfg Gatekeeper) []*admissionv1.ValidatingWebhookConfiguration {
	t.Helper()
	var all []*admissionv1.ValidatingWebhookConfiguration
	for _, o := range ofKind(objects, "ValidatingWebhookConfiguration") {
		hooks := &admissionv1.ValidatingWebhookConfiguration{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, hooks); err != nil {
			t.Fatal(err)
		}
		for i := range hooks.Webhooks {
			hook := &hooks.Webhooks[i]
			path := strings.TrimPrefix(*hook.ClientConfig.Service.Path, "/") // envtest adds one
			hook.ClientConfig.Service.Path = &path
			if cfg.FailurePolicy != "" {
				hook.FailurePolicy = &cfg.FailurePolicy
			}
			if cfg.Timeout > 0 {
				seconds := int32(cfg.Timeout / time.Second)
				hook.TimeoutSeconds = &seconds
			}
		}
		all = append(all, hooks)
	}
	if len(all) == 0 {
		t.Fatal("Gatekeeper's manifest has no ValidatingWebhookConfiguration")
	}
	return all
}

func ofKind(objects []*unstructured.Unstructured, kind string) []*unstructured.Unstructured {
	var of []*unstructured.Unstructured
	for _, o := range objects {
		if o.GetKind() == kind {
			of = append(of, o)
		}
	}
	return of
}

// readManifest reads a file of YAML documents.
func readManifest(t testing.TB, name string) []*unstructured.Unstructured {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v: run make kube", err)
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}
