// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/writ-sec/writ/schema/testneed"
)

// Config says what runs. The zero Config is etcd and an API server.
type Config struct {
	Gatekeeper *Gatekeeper // nil: it is not installed
	// Controllers of kube-controller-manager, by name. None: it does not run.
	Controllers []string
}

// Gatekeeper says how Gatekeeper runs. The zero Gatekeeper has the webhook of its manifest, and no audit.
type Gatekeeper struct {
	FailurePolicy admissionv1.FailurePolicyType // of its webhook. "": the manifest's, which is Ignore
	Timeout       time.Duration                 // of its webhook, in whole seconds. 0: the manifest's, which is 3 s
	AuditEvery    time.Duration                 // in whole seconds. 0: there is no audit
}

// Cluster is a running control plane. It ends with its test. What cannot be done fails the test.
type Cluster struct {
	// Rest is how an administrator reaches the API server, without a limit on the client's side.
	Rest *rest.Config
	// Client is an administrator's. It reads from the API server itself, and unknown fields are errors.
	Client client.Client

	t          testing.TB
	env        *envtest.Environment
	dir        string
	gatekeeper *gatekeeper
}

// Start starts a control plane, or skips the test where the servers are not built.
func Start(t testing.TB, cfg Config) *Cluster {
	t.Helper()
	quiet()
	c := &Cluster{t: t, dir: t.TempDir()}
	c.startAPIServer()
	if len(cfg.Controllers) > 0 {
		c.startControllers(cfg.Controllers)
	}
	if cfg.Gatekeeper != nil {
		c.installGatekeeper(*cfg.Gatekeeper)
	}
	return c
}

// quiet keeps controller-runtime from complaining that nobody reads its log.
var quiet = sync.OnceFunc(func() { log.SetLogger(logr.Discard()) })

// In returns the cluster for use in a subtest, which then is the one that fails. It still ends with the test that started it.
func (c *Cluster) In(t testing.TB) *Cluster {
	in := *c
	in.t = t
	return &in
}

func (c *Cluster) startAPIServer() {
	t := c.t
	t.Helper()
	c.env = &envtest.Environment{ControlPlaneStartTimeout: startWithin, ControlPlaneStopTimeout: stopWithin}
	api := c.env.ControlPlane.GetAPIServer()
	api.Path = tied(t, c.dir, testneed.Server(t, "kube-apiserver"))
	api.CertDir = c.folder("apiserver")
	out := openLog(t, c.dir, "kube-apiserver")
	defer out.Close()
	api.Out, api.Err = out, out
	etcd := &envtest.Etcd{Path: tied(t, c.dir, testneed.Server(t, "etcd")), DataDir: c.folder("etcd")}
	c.env.ControlPlane.Etcd = etcd
	t.Cleanup(func() {
		if err := c.env.Stop(); err != nil {
			t.Errorf("stop the control plane: %v", err)
		}
	})
	t.Cleanup(func() { showLog(t, out.Name()) })
	base, err := c.env.Start()
	if err != nil {
		t.Fatalf("start the control plane: %v", err)
	}
	c.Rest = rest.CopyConfig(base)
	c.Rest.QPS = -1
	c.Rest.WarningHandlerWithContext = collectWarnings{}
	c.Client, err = client.New(c.Rest, client.Options{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Fatal(err)
	}
}

// folder makes a folder of the cluster's own.
func (c *Cluster) folder(name string) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// startControllers starts kube-controller-manager with the named controllers.
func (c *Cluster) startControllers(names []string) {
	t := c.t
	t.Helper()
	port := freePort(t)
	run(t, c.dir, testneed.Server(t, "kube-controller-manager"), nil,
		"--kubeconfig="+c.kubeconfig("controllers", envtest.User{Name: "controllers", Groups: []string{"system:masters"}}),
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port), "--cert-dir="+c.folder("controllers"),
		"--leader-elect=false", "--controllers="+strings.Join(names, ","), "--kube-api-qps=500", "--kube-api-burst=500")
}

// kubeconfig writes how a user reaches the API server, and returns the file's name.
func (c *Cluster) kubeconfig(name string, user envtest.User) string {
	t := c.t
	t.Helper()
	u, err := c.env.ControlPlane.AddUser(user, nil)
	if err != nil {
		t.Fatalf("add user %s: %v", user.Name, err)
	}
	data, err := u.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.dir, name+".kubeconfig")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Namespaces makes namespaces that are not there yet.
func (c *Cluster) Namespaces(names ...string) {
	c.t.Helper()
	for _, name := range names {
		err := c.Client.Create(c.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			c.t.Fatal(err)
		}
	}
}

// Answer is what the API server said of a request.
type Answer struct {
	Denied   string   // why admission refused it; "": it was admitted
	Warnings []string // for the person who asked, as they came
}

// Review asks what the API server says of an object's creation, and creates nothing. An object that the API server finds invalid fails the test.
func (c *Cluster) Review(object client.Object) Answer {
	c.t.Helper()
	return c.Try(func(ctx context.Context) error {
		return c.Client.Create(ctx, object.DeepCopyObject().(client.Object), client.DryRunAll)
	})
}

// Try makes one request and returns what admission says of it. Every other error fails the test.
func (c *Cluster) Try(request func(context.Context) error) Answer {
	c.t.Helper()
	var w warnings
	err := request(context.WithValue(c.t.Context(), warningsKey{}, &w))
	if err == nil {
		return Answer{Warnings: w.all}
	}
	denial, ok := denialOf(err)
	if !ok {
		c.t.Fatal(err)
	}
	return Answer{Denied: denial, Warnings: w.all}
}

// denialOf tells a denial by admission from other errors: both answer with 403 or 422.
func denialOf(err error) (string, bool) {
	if !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
		return "", false
	}
	text := err.Error()
	return text, strings.Contains(text, "denied the request") || strings.Contains(text, "denied request")
}

// warnings are those of one request.
type warnings struct {
	mu  sync.Mutex
	all []string
}

type warningsKey struct{}

// collectWarnings gives each request its own warnings. Those of a request that does not ask are dropped.
type collectWarnings struct{}

func (collectWarnings) HandleWarningHeaderWithContext(ctx context.Context, code int, _ string, text string) {
	w, ok := ctx.Value(warningsKey{}).(*warnings)
	if !ok || code != 299 || text == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}
