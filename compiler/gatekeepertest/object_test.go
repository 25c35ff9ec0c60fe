// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gatekeepertest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema/manifest"
	"github.com/writ-sec/writ/schema/schematest"
)

const digest = schematest.Digest

// references are those of the one table, and what else is at the edges.
var references = func() []string {
	edges := []string{"INDEX.docker.io/a/b", "A/b", "a/B", "docker.io/library/nginx:latest", "docker.io/", "docker.io", "registry.example.com", "x@y@z",
		"a:t@" + digest + "@", "ä/b", "a:ä", "K/a", "a.b/ſ", "a@sha512:" + strings.Repeat("0", 128), "localhost", "local.host:/a", "x:999999/a",
		"a/b:" + strings.Repeat("t", 129), strings.Repeat("a", 512), "registry.example.com/" + strings.Repeat("ä", 250), "\x00", "a\n", "a:t\n", "a/\n",
		"nginx\n@" + digest, " nginx", "nginx ", "::", "@", "/", ":", ".", "..", "a/.", "-/a", "a-/b", "a.-b/c"}
	for _, r := range schematest.References {
		edges = append(edges, r.Ref)
	}
	return edges
}()

func (g generator) reference(wild bool) string {
	segment := func() string {
		if wild && g.once(3) {
			return g.pick("*", "**", "p*", "*y", "a*b")
		}
		return g.pick("a", "b", "pay", "ab", "library", "a.b", "a__b")
	}
	if !wild && g.once(15) {
		return g.pick(references...)
	}
	s := g.pick("", "", "docker.io/", "index.docker.io/", "r.example.com/", "R.example.com/", "r.example.com:5000/", "localhost/")
	for i := range 1 + g.IntN(3) {
		if i > 0 {
			s += "/"
		}
		s += segment()
	}
	if g.once(3) {
		s += ":" + g.pick("latest", "v1", "v2")
	}
	if g.once(6) {
		s += "@" + g.pick(digest, strings.Replace(digest, "0", "1", 1))
	}
	if !wild && g.once(12) { // damage it
		at := g.IntN(len(s) + 1)
		s = s[:at] + g.pick("/", ":", "@", "A", ".", "-", "_", "*", "ä", " ", "\n") + s[at:]
	}
	return s
}

// put sets a field sometimes: once in n times.
func (g generator) put(o object, n int, key string, value any) {
	if g.once(n) {
		o[key] = value
	}
}

func (g generator) flag() any { return g.once(2) }

func (g generator) anyOf(values ...any) any { return values[g.IntN(len(values))] }

func (g generator) texts(from ...string) []any {
	var all []any
	for range g.IntN(4) {
		all = append(all, g.pick(from...))
	}
	return all
}

// confined are the settings that a Pod and its containers share.
func (g generator) confined() object {
	s := object{}
	profile := func() any {
		o := object{}
		g.put(o, 1, "type", g.pick("RuntimeDefault", "RuntimeDefault", "Localhost", "Unconfined", ""))
		return o
	}
	g.put(s, 2, "seccompProfile", profile())
	g.put(s, 4, "appArmorProfile", profile())
	g.put(s, 2, "runAsNonRoot", g.anyOf(true, true, false))
	g.put(s, 3, "runAsUser", g.anyOf(0, 1000, 1000, 1001, 1000.0, 1.5, -1))
	options := object{}
	g.put(options, 2, "type", g.pick("", "container_t", "container_init_t", "spc_t"))
	g.put(options, 4, "user", g.pick("", "root"))
	g.put(options, 4, "role", g.pick("", "r"))
	g.put(s, 4, "seLinuxOptions", options)
	windows := object{}
	g.put(windows, 2, "hostProcess", g.flag())
	g.put(s, 8, "windowsOptions", windows)
	return s
}

func (g generator) container(name string) object {
	c := object{"name": name, "image": g.reference(false)}
	s := g.confined()
	g.put(s, 3, "privileged", g.flag())
	g.put(s, 2, "allowPrivilegeEscalation", g.anyOf(false, false, true))
	g.put(s, 2, "readOnlyRootFilesystem", g.flag())
	g.put(s, 8, "procMount", g.pick("Default", "Unmasked", ""))
	capabilities := object{}
	g.put(capabilities, 4, "add", g.texts("NET_RAW", "KILL", "ALL", "NET_BIND_SERVICE", "SYS_ADMIN", "CAP_KILL", "net_raw", "cap_kill"))
	drop := g.texts("ALL", "ALL", "NET_RAW", "KILL", "all", "SYS_ADMIN")
	g.put(capabilities, 2, "drop", drop)
	g.put(capabilities, 4, "drop", []any{"ALL"})
	g.put(s, 2, "capabilities", capabilities)
	g.put(c, 2, "securityContext", s)
	if g.once(4) {
		port := object{}
		g.put(port, 2, "hostPort", g.anyOf(0, 80, 8080, 443))
		g.put(port, 1, "containerPort", g.anyOf(80, 8080, 0))
		c["ports"] = []any{port, object{"containerPort": 443}}
	}
	if g.once(6) {
		handler := object{g.pick("httpGet", "tcpSocket", "exec"): object{"host": g.pick("", "127.0.0.1", "h.example.com")}}
		if g.once(2) {
			c["lifecycle"] = object{g.pick("postStart", "preStop"): handler}
		} else {
			c[g.pick("livenessProbe", "readinessProbe", "startupProbe")] = handler
		}
	}
	return c
}

func (g generator) volume() object {
	v := object{"name": "v"}
	switch g.IntN(8) {
	case 0, 1, 2:
		v["hostPath"] = object{"path": g.pick("/data/a", "/data/b", "/data/", "/data", "/", "//", "", "data", "/var/run", "/var/run//x", "/var/../etc", "/data/./a",
			"/var/log", "/x/log/", "/data/é", "/dxa/log/x", "/data/a\n", "/..a", "/data/...", "/var/run/docker.sock")}
	case 3:
	case 4:
		v["secret"], v["configMap"] = object{}, object{}
	default:
		v[g.pick("configMap", "secret", "emptyDir", "ephemeral", "newType", "nfs")] = object{}
	}
	return v
}

// spec is what a Pod and a template have.
func (g generator) spec() object {
	s := object{}
	for i, kind := range []string{"containers", "initContainers", "ephemeralContainers"} {
		if i > 0 && !g.once(4) {
			continue
		}
		var list []any
		for range 1 + g.IntN(2) {
			list = append(list, g.container(g.pick("c0", "c1", "c-2", "side-c3", "dd")))
		}
		s[kind] = list
	}
	g.put(s, 3, "hostNetwork", g.flag())
	g.put(s, 4, "hostPID", g.flag())
	g.put(s, 4, "hostIPC", g.flag())
	g.put(s, 6, "hostUsers", g.flag())
	g.put(s, 3, "automountServiceAccountToken", g.flag())
	g.put(s, 2, "serviceAccountName", g.pick("", "default", "shop-a", "shop-b", "other"))
	g.put(s, 5, "serviceAccount", g.pick("", "shop-b"))
	g.put(s, 8, "os", object{"name": g.pick("windows", "linux")})
	if g.once(2) {
		s["volumes"] = []any{g.volume(), g.volume()}[:1+g.IntN(2)]
	}
	if security := g.confined(); g.once(2) {
		if g.once(3) {
			security["sysctls"] = []any{object{"name": g.pick("kernel.a", "kernel/a", "net.core.b", "net/core/b", "net/core.x/b", "", "kernel.shm_rmid_forced")}, object{}}[:1+g.IntN(2)]
		}
		s["securityContext"] = security
	}
	return s
}

func (g generator) pod() object {
	metadata := object{"name": "p"}
	labels := object{}
	for k, v := range g.labels() {
		labels[k] = v
	}
	g.put(metadata, 1, "labels", labels)
	if g.once(6) {
		metadata["annotations"] = object{"container.apparmor.security.beta.kubernetes.io/" + g.pick("c0", "c1", "none", ""): g.pick("runtime/default", "localhost/x", "unconfined", "odd", ""), "other": "x"}
	}
	return object{"metadata": metadata, "spec": g.spec()}
}

// makers are the kinds that make Pods, in order.
var makers = []manifest.Kind{{Group: "apps", Kind: "Deployment"}, {Group: "batch", Kind: "CronJob"}, {Group: "", Kind: "PodTemplate"}, {Group: "apps", Kind: "StatefulSet"},
	{Group: "apps", Kind: "DaemonSet"}, {Group: "apps", Kind: "ReplicaSet"}, {Group: "batch", Kind: "Job"}, {Group: "", Kind: "ReplicationController"}}

// made puts a Pod into what makes it.
func made(pod object, kind manifest.Kind) object {
	o := object{"apiVersion": strings.TrimPrefix(kind.Group+"/v1", "/"), "kind": kind.Kind, "metadata": object{"name": "m", "labels": object{"app": "c"}}}
	at := o
	path := manifest.Builtin()[kind]
	for _, step := range path[:len(path)-1] {
		next := object{}
		at[step], at = next, next
	}
	at[path[len(path)-1]] = pod
	return o
}

// object is a Pod or what makes one, sometimes one that no API server lets through.
func (g generator) object() object {
	pod := g.pod()
	o := pod
	if g.once(3) {
		o = made(pod, makers[g.IntN(len(makers))])
	} else {
		o["apiVersion"], o["kind"] = "v1", "Pod"
	}
	if g.once(3) {
		for range 1 + g.IntN(4) {
			g.damage(o)
		}
	}
	if g.once(400) {
		g.huge(pod)
	}
	return o
}

// damage replaces one value, at any depth, or removes it.
func (g generator) damage(o object) {
	type place struct {
		in  any
		key any
	}
	var places []place
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case object:
			for _, k := range sortedKeys(v) {
				places = append(places, place{v, k})
				walk(v[k])
			}
		case []any:
			for i := range v {
				places = append(places, place{v, i})
				walk(v[i])
			}
		}
	}
	for _, k := range sortedKeys(o) {
		if k != "apiVersion" && k != "kind" {
			walk(o[k])
		}
	}
	if len(places) == 0 {
		return
	}
	p := places[g.IntN(len(places))]
	value := g.anyOf(nil, true, false, "true", "", "x", 0, 1, 1e3, 2.5, -7, []any{}, []any{true}, []any{"ALL"}, []any{nil, object{}}, object{}, object{"name": "x"}, object{"type": 3},
		strings.Repeat("é", 300), "\u202e\x01")
	switch in := p.in.(type) {
	case object:
		if g.once(5) {
			delete(in, p.key.(string))
		} else {
			in[p.key.(string)] = value
		}
	case []any:
		in[p.key.(int)] = value
	}
}

func sortedKeys(o object) []string {
	var keys []string
	for k := range o {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// huge makes a Pod of very many labels, or containers, or one long list.
func (g generator) huge(pod object) {
	metadata, _ := pod["metadata"].(object)
	spec, _ := pod["spec"].(object)
	if metadata == nil || spec == nil {
		return
	}
	switch g.IntN(3) {
	case 0:
		labels := object{"app": "a"}
		for i := range 3000 {
			labels[fmt.Sprint("l", i)] = "a"
		}
		metadata["labels"] = labels
	case 1:
		var list []any
		for i := range g.anyOf(11, 12, 50, 50, 100, 100, 200, 999+g.IntN(4)).(int) {
			list = append(list, object{"name": fmt.Sprint("c", i), "image": g.pick("a", "b", "pay", "A"), "securityContext": object{"capabilities": object{"drop": []any{"ALL"}}}})
		}
		spec["containers"] = list
	case 2:
		spec["containers"] = []any{g.container("c0"), g.container("c0"), object{"name": "c0", "image": "a", "securityContext": object{"capabilities": object{"add": slices.Repeat([]any{"KILL", "x"}, 500)}}}}
	}
}
