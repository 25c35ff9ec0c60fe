// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// ofContainers are the fields that containers set. dropCapabilities is not among them: a container that is not read drops nothing.
var ofContainers = []schema.PodField{
	schema.PodPrivileged, schema.PodEscalation, schema.PodReadOnlyRoot, schema.PodNonRoot, schema.PodAddCapabilities, schema.PodHostPorts,
	schema.PodSeccomp, schema.PodAppArmor, schema.PodRunAsUser, schema.PodHostProcess, schema.PodSELinuxType, schema.PodSELinuxUserRole,
	schema.PodProcMount, schema.PodProbeHosts, schema.PodRootAllowed, schema.PodRootUser,
}

// fields emits each value of each field, as the comments of [schema.PodField] say.
func (s *scan) fields(emit func(schema.PodField, Value)) {
	s.emit = emit
	s.put(schema.PodHostNetwork, "", s.spec.boolean("hostNetwork").or("false"))
	s.put(schema.PodHostPID, "", s.spec.boolean("hostPID").or("false"))
	s.put(schema.PodHostIPC, "", s.spec.boolean("hostIPC").or("false"))
	s.put(schema.PodAutomount, "", s.spec.boolean("automountServiceAccountToken").or("true"))
	s.put(schema.PodServiceAccount, "", s.serviceAccount())
	s.volumes()
	s.sysctls()
	for i := range s.containers {
		s.container(&s.containers[i])
	}
	s.dropCapabilities()
	s.users()
	s.profiles()
	s.appArmor()
	if s.unread > 0 {
		for _, field := range ofContainers {
			s.put(field, "", reading{schema.Unread, s.spec.path, true})
		}
	}
}

// serviceAccount prefers the field to its deprecated alias, as SetDefaults_PodSpec in pkg/apis/core/v1/defaults.go of
// Kubernetes does.
func (s *scan) serviceAccount() reading {
	for _, name := range []string{"serviceAccountName", "serviceAccount"} {
		if r := s.spec.text(name); r.value != "" {
			return r
		}
	}
	return reading{"default", s.spec.path, true}
}

// volumes takes each field of a volume that is an object for its type, so that types are seen that are younger than this code. A volume
// without any is an emptyDir (SetDefaults_Volume in pkg/apis/core/v1/defaults.go).
func (s *scan) volumes() {
	for _, v := range s.spec.list("volumes") {
		typed := false
		for _, name := range sortedKeys(v.fields) {
			if name == "name" || !v.object(name).isSet() {
				continue
			}
			typed = true
			s.put(schema.PodVolumes, "", reading{name, v.at(name), true})
		}
		if !typed {
			s.put(schema.PodVolumes, "", reading{"emptyDir", v.path, true})
		}
		if h := v.object("hostPath"); h.isSet() {
			s.put(schema.PodHostPaths, "", h.text("path").or(""))
		}
	}
}

func (s *scan) sysctls() {
	for _, n := range s.security.list("sysctls") {
		r := n.text("name").or("")
		s.putBoth(schema.PodSysctls, "", r, dotted(r.value))
	}
}

// dotted returns a sysctl's name with dots. If the first separator is a slash, dots and slashes change places (NormalizeName in
// staging/src/k8s.io/component-helpers/node/util/sysctl).
func dotted(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '.' {
		return name
	}
	return strings.NewReplacer(".", "/", "/", ".").Replace(name)
}

// putBoth emits a value as it is written, and as what it means.
func (s *scan) putBoth(field schema.PodField, container string, r reading, meant string) {
	s.put(field, container, r)
	if r.set && meant != r.value {
		r.value = meant
		s.put(field, container, r)
	}
}

// container emits what a container alone can say.
func (s *scan) container(c *container) {
	s.put(schema.PodPrivileged, c.name, c.security.boolean("privileged").or("false"))
	s.put(schema.PodReadOnlyRoot, c.name, c.security.boolean("readOnlyRootFilesystem").or("false"))
	proc := c.security.text("procMount").or("")
	if s.userNamespace && proc.value == "Unmasked" {
		proc.value = schema.UnmaskedInUserNamespace
	}
	s.put(schema.PodProcMount, c.name, proc)
	if !s.windows {
		s.put(schema.PodEscalation, c.name, c.security.boolean("allowPrivilegeEscalation").or("true"))
		for _, r := range c.security.object("capabilities").texts("add") {
			s.putBoth(schema.PodAddCapabilities, c.name, r, capability(r.value))
		}
	}
	s.hostPorts(c)
	s.probeHosts(c)
}

// capability returns the capability that a name means to some container runtime: in upper case, without "CAP_".
func capability(name string) string { return strings.TrimPrefix(strings.ToUpper(name), "CAP_") }

// hostPorts reads the ports. On the host's network each port of the container is one of the host (defaultHostNetworkPorts in
// pkg/apis/core/v1/defaults.go).
func (s *scan) hostPorts(c *container) {
	hostNetwork := s.spec.boolean("hostNetwork").value == "true"
	for _, p := range c.node.list("ports") {
		port := p.number("hostPort")
		if hostNetwork && (!port.set || port.value == "0") {
			port = p.number("containerPort")
		}
		if port.value != "0" {
			s.put(schema.PodHostPorts, c.name, port)
		}
	}
}

// probeHosts reads what k8s.io/pod-security-admission/policy/check_hostProbesAndhostLifecycle.go reads.
func (s *scan) probeHosts(c *container) {
	lifecycle := c.node.object("lifecycle")
	for _, handler := range []node{
		c.node.object("livenessProbe"), c.node.object("readinessProbe"), c.node.object("startupProbe"),
		lifecycle.object("postStart"), lifecycle.object("preStop"),
	} {
		for _, kind := range []string{"httpGet", "tcpSocket"} {
			if host := handler.object(kind).text("host"); host.value != "" {
				s.put(schema.PodProbeHosts, c.name, host)
			}
		}
	}
}

// dropCapabilities emits those that each container drops, by name or with "ALL". They are counted, so that this is linear in what is written.
func (s *scan) dropCapabilities() {
	if !s.drops() || s.unread > 0 {
		return
	}
	covers := map[string]int{} // containers that drop it by name and not with ALL as well
	all := 0
	lists := make([][]reading, len(s.containers))
	for i, c := range s.containers {
		lists[i] = c.security.object("capabilities").texts("drop")
		hasAll := slices.ContainsFunc(lists[i], func(r reading) bool { return r.value == "ALL" })
		if hasAll {
			all++
			continue
		}
		named := map[string]bool{}
		for _, r := range lists[i] {
			if !named[r.value] {
				named[r.value] = true
				covers[r.value]++
			}
		}
	}
	for i, c := range s.containers {
		for _, r := range lists[i] {
			if all+covers[r.value] == len(s.containers) {
				s.put(schema.PodDropCapabilities, c.name, r)
			}
		}
	}
}
