// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
)

// placed writes values with their places: value path (container).
func placed(values []manifest.Value) string {
	var all []string
	for _, v := range values {
		text := fmt.Sprintf("%q %s", v.Value, manifest.FormatPath(v.Path))
		if v.Container != "" {
			text += " (" + v.Container + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, "\n")
}

// fieldCase is a Pod, and the values of one field with their places, a line each.
type fieldCase struct {
	name, spec string
	field      schema.PodField
	want       string
}

func (c fieldCase) check(t *testing.T, metadata string) {
	t.Helper()
	pod := podOf(t, metadata, c.spec)
	fields := pod.Fields()
	if got := placed(fields[c.field]); got != c.want {
		t.Errorf("%s: %s: got\n%s\nwant\n%s", c.name, c.field, got, c.want)
	}
	events := pod.Events()
	set, said := events[len(events)-1].Set[c.field]
	var distinct schema.Names
	for _, v := range fields[c.field] {
		distinct = append(distinct, v.Value)
	}
	slices.Sort(distinct)
	if _, listed := fields[c.field]; said != listed || !slices.Equal(set, slices.Compact(distinct)) {
		t.Errorf("%s: %s: the event has %q (%v), and the fields have %q", c.name, c.field, set, said, distinct)
	}
}

// one returns the spec of a Pod with one container and what else it says.
func one(container, more string) string {
	return `{"containers": [{"name": "web", "image": "nginx"` + comma(container) + `}]` + comma(more) + `}`
}

func comma(text string) string {
	if text == "" {
		return ""
	}
	return ", " + text
}

// secure is one with what the container says of security.
func secure(context, more string) string { return one(`"securityContext": {`+context+`}`, more) }

func TestPodFields(t *testing.T) {
	for _, c := range []fieldCase{
		{"set", one("", `"hostNetwork": true`), schema.PodHostNetwork, `"true" spec.hostNetwork`},
		{"set to the default", one("", `"hostNetwork": false`), schema.PodHostNetwork, `"false" spec.hostNetwork`},
		{"unset", one("", ""), schema.PodHostNetwork, `"false" spec`},
		{"null", one("", `"hostPID": null`), schema.PodHostPID, `"false" spec`},
		{"of a wrong type", one("", `"hostPID": "true"`), schema.PodHostPID, `"false" spec`},
		{"no spec", `null`, schema.PodHostPID, `"false" `},
		{"set", one("", `"hostPID": true`), schema.PodHostPID, `"true" spec.hostPID`},
		{"set", one("", `"hostIPC": true`), schema.PodHostIPC, `"true" spec.hostIPC`},
		{"unset", one("", ""), schema.PodAutomount, `"true" spec`},
		{"set", one("", `"automountServiceAccountToken": false`), schema.PodAutomount, `"false" spec.automountServiceAccountToken`},
		{"unset", one("", ""), schema.PodServiceAccount, `"default" spec`},
		{"set", one("", `"serviceAccountName": "a"`), schema.PodServiceAccount, `"a" spec.serviceAccountName`},
		{"deprecated", one("", `"serviceAccount": "b"`), schema.PodServiceAccount, `"b" spec.serviceAccount`},
		{"both", one("", `"serviceAccount": "b", "serviceAccountName": "a"`), schema.PodServiceAccount, `"a" spec.serviceAccountName`},
		{"empty", one("", `"serviceAccount": "b", "serviceAccountName": ""`), schema.PodServiceAccount, `"b" spec.serviceAccount`},
		{"none", one("", ""), schema.PodVolumes, ``},
		{"types", one("", `"volumes": [{"name": "a", "secret": {"secretName": "s"}}, {"name": "b", "configMap": {}}]`), schema.PodVolumes,
			"\"configMap\" spec.volumes[1].configMap\n\"secret\" spec.volumes[0].secret"},
		{"a type of the future", one("", `"volumes": [{"name": "a", "tape": {}}]`), schema.PodVolumes, `"tape" spec.volumes[0].tape`},
		{"no type", one("", `"volumes": [{"name": "a"}, {"name": "b", "secret": null}, {"name": "c", "nfs": "x"}]`), schema.PodVolumes,
			"\"emptyDir\" spec.volumes[0]\n\"emptyDir\" spec.volumes[1]\n\"emptyDir\" spec.volumes[2]"},
		{"of other types", one("", `"volumes": [{"name": "a", "secret": {}}]`), schema.PodHostPaths, ``},
		{"a path", one("", `"volumes": [{"name": "a", "hostPath": {"path": "/var/run/"}}]`), schema.PodHostPaths, `"/var/run/" spec.volumes[0].hostPath.path`},
		{"no path", one("", `"volumes": [{"name": "a", "hostPath": {}}]`), schema.PodHostPaths, `"" spec.volumes[0].hostPath`},
		{"none", one("", ""), schema.PodSysctls, ``},
		{"dots", one("", `"securityContext": {"sysctls": [{"name": "net.core.x", "value": "1"}]}`), schema.PodSysctls,
			`"net.core.x" spec.securityContext.sysctls[0].name`},
		{"slashes", one("", `"securityContext": {"sysctls": [{"name": "net/ipv4/conf/eth0.1/x"}]}`), schema.PodSysctls,
			"\"net.ipv4.conf.eth0/1.x\" spec.securityContext.sysctls[0].name\n\"net/ipv4/conf/eth0.1/x\" spec.securityContext.sysctls[0].name"},
		{"slashes after dots", one("", `"securityContext": {"sysctls": [{"name": "net.ipv4.conf.eth0/1.x"}]}`), schema.PodSysctls,
			`"net.ipv4.conf.eth0/1.x" spec.securityContext.sysctls[0].name`},
		{"no name", one("", `"securityContext": {"sysctls": [{}]}`), schema.PodSysctls, `"" spec.securityContext.sysctls[0]`},
	} {
		c.check(t, `{}`)
	}
}

// three is a Pod with a container of each kind that says what is given.
func three(container, init, ephemeral, more string) string {
	return `{"containers": [{"name": "web"` + comma(container) + `}], "initContainers": [{"name": "side", "restartPolicy": "Always"` + comma(init) +
		`}], "ephemeralContainers": [{"name": "debug"` + comma(ephemeral) + `}]` + comma(more) + `}`
}

// each is three of which each says this of security.
func each(context, more string) string {
	s := `"securityContext": {` + context + `}`
	return three(s, s, s, more)
}

func TestContainerFields(t *testing.T) {
	const windows = `"os": {"name": "windows"}`
	for _, c := range []fieldCase{
		{"each kind", each(`"privileged": true`, ""), schema.PodPrivileged, `"true" spec.containers[0].securityContext.privileged (web)
"true" spec.ephemeralContainers[0].securityContext.privileged (debug)
"true" spec.initContainers[0].securityContext.privileged (side)`},
		{"unset", three("", "", `"securityContext": {}`, ""), schema.PodPrivileged, `"false" spec.containers[0] (web)
"false" spec.ephemeralContainers[0].securityContext (debug)
"false" spec.initContainers[0] (side)`},
		{"unset", secure("", ""), schema.PodEscalation, `"true" spec.containers[0].securityContext (web)`},
		{"set", secure(`"allowPrivilegeEscalation": false`, ""), schema.PodEscalation, `"false" spec.containers[0].securityContext.allowPrivilegeEscalation (web)`},
		{"for Windows", secure(`"allowPrivilegeEscalation": true`, windows), schema.PodEscalation, ``},
		{"for Linux", secure(``, `"os": {"name": "linux"}`), schema.PodEscalation, `"true" spec.containers[0].securityContext (web)`},
		{"unset", secure("", ""), schema.PodReadOnlyRoot, `"false" spec.containers[0].securityContext (web)`},
		{"set", secure(`"readOnlyRootFilesystem": true`, ""), schema.PodReadOnlyRoot, `"true" spec.containers[0].securityContext.readOnlyRootFilesystem (web)`},
		{"none", secure("", ""), schema.PodAddCapabilities, ``},
		{"as it should be", secure(`"capabilities": {"add": ["NET_RAW", 1, "ALL"]}`, ""), schema.PodAddCapabilities,
			"\"ALL\" spec.containers[0].securityContext.capabilities.add[2] (web)\n\"NET_RAW\" spec.containers[0].securityContext.capabilities.add[0] (web)"},
		{"other spellings", secure(`"capabilities": {"add": ["CAP_net_raw", "ſys_admin"]}`, ""), schema.PodAddCapabilities,
			`"CAP_net_raw" spec.containers[0].securityContext.capabilities.add[0] (web)
"NET_RAW" spec.containers[0].securityContext.capabilities.add[0] (web)
"SYS_ADMIN" spec.containers[0].securityContext.capabilities.add[1] (web)
"ſys_admin" spec.containers[0].securityContext.capabilities.add[1] (web)`},
		{"for Windows", secure(`"capabilities": {"add": ["NET_RAW"]}`, windows), schema.PodAddCapabilities, ``},
		{"unset", secure("", ""), schema.PodProcMount, `"" spec.containers[0].securityContext (web)`},
		{"set", secure(`"procMount": "Unmasked"`, ""), schema.PodProcMount, `"Unmasked" spec.containers[0].securityContext.procMount (web)`},
		{"in a user namespace", secure(`"procMount": "Unmasked"`, `"hostUsers": false`), schema.PodProcMount, `"UnmaskedInUserNamespace" spec.containers[0].securityContext.procMount (web)`},
		{"default in a user namespace", secure(`"procMount": "Default"`, `"hostUsers": false`), schema.PodProcMount, `"Default" spec.containers[0].securityContext.procMount (web)`},
		{"not in a user namespace", secure(`"procMount": "Unmasked"`, `"hostUsers": true`), schema.PodProcMount, `"Unmasked" spec.containers[0].securityContext.procMount (web)`},
		{"none", one(`"ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 0}]`, ""), schema.PodHostPorts, ``},
		{"one", one(`"ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}]`, ""), schema.PodHostPorts, `"8081" spec.containers[0].ports[1].hostPort (web)`},
		{"on the host's network", one(`"ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}, {}]`, `"hostNetwork": true`), schema.PodHostPorts,
			"\"80\" spec.containers[0].ports[0].containerPort (web)\n\"8081\" spec.containers[0].ports[1].hostPort (web)"},
		{"of a wrong type", one(`"ports": [{"hostPort": "80"}, {"hostPort": 80.5}, 80]`, ""), schema.PodHostPorts, ``},
		{"no host", one(`"livenessProbe": {"httpGet": {"port": 80}}, "readinessProbe": {"exec": {}}, "lifecycle": {"preStop": {"httpGet": {"host": ""}}}`, ""), schema.PodProbeHosts, ``},
		{"each probe", one(`"livenessProbe": {"httpGet": {"host": "a"}}, "readinessProbe": {"tcpSocket": {"host": "b"}}, "startupProbe": {"httpGet": {"host": "c"}}`, ""), schema.PodProbeHosts,
			"\"a\" spec.containers[0].livenessProbe.httpGet.host (web)\n\"b\" spec.containers[0].readinessProbe.tcpSocket.host (web)\n\"c\" spec.containers[0].startupProbe.httpGet.host (web)"},
		{"each hook", one(`"lifecycle": {"postStart": {"httpGet": {"host": "a"}}, "preStop": {"tcpSocket": {"host": "b"}}}`, ""), schema.PodProbeHosts,
			"\"a\" spec.containers[0].lifecycle.postStart.httpGet.host (web)\n\"b\" spec.containers[0].lifecycle.preStop.tcpSocket.host (web)"},
	} {
		c.check(t, `{}`)
	}
}

// drops is three of which each drops what is given.
func drops(container, init, ephemeral, more string) string {
	context := func(drop string) string { return `"securityContext": {"capabilities": {"drop": [` + drop + `]}}` }
	return three(context(container), context(init), context(ephemeral), more)
}

func TestDropCapabilities(t *testing.T) {
	for _, c := range []struct{ name, spec, want string }{
		{"all drop it", drops(`"KILL", "CHOWN"`, `"CHOWN", "KILL", "KILL"`, `"KILL"`, ""), "KILL KILL KILL KILL"},
		{"one does not", drops(`"KILL"`, `"CHOWN"`, `"KILL"`, ""), ""},
		{"ALL is each", drops(`"KILL", "CHOWN"`, `"ALL"`, `"ALL", "KILL"`, ""), "CHOWN KILL KILL"},
		{"all drop ALL", drops(`"ALL"`, `"ALL", "KILL"`, `"ALL"`, ""), "ALL ALL ALL KILL"},
		{"spelt as it should be", drops(`"all", "CAP_KILL"`, `"all", "CAP_KILL"`, `"all", "KILL"`, ""), "all all all"},
		{"nothing is dropped", three("", "", "", ""), ""},
		{"no containers", `{}`, "unsaid"},
		{"for Windows", drops(`"ALL"`, `"ALL"`, `"ALL"`, `"os": {"name": "windows"}`), "unsaid"},
	} {
		pod := podOf(t, `{}`, c.spec)
		values, said := pod.Fields()[schema.PodDropCapabilities]
		got := "unsaid"
		if said {
			var names []string
			for _, v := range values {
				names = append(names, v.Value)
			}
			got = strings.Join(names, " ")
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		events := pod.Events()
		if set, inEvent := events[len(events)-1].Set[schema.PodDropCapabilities]; inEvent != said || said && set == nil {
			t.Errorf("%s: the event says %v (%v), the fields %v", c.name, set, inEvent, said)
		}
	}
}

// TestInherited has fields that the Pod and its containers can set.
func TestInherited(t *testing.T) {
	two := func(pod, first string) string {
		return `{"securityContext": {` + pod + `}, "containers": [{"name": "a", "securityContext": {` + first + `}}, {"name": "b"}]}`
	}
	for _, c := range []fieldCase{
		{"unset", two(``, ``), schema.PodNonRoot, "\"false\" spec.containers[0].securityContext (a)\n\"false\" spec.containers[1] (b)"},
		{"of the Pod", two(`"runAsNonRoot": true`, ``), schema.PodNonRoot,
			"\"true\" spec.securityContext.runAsNonRoot\n\"true\" spec.securityContext.runAsNonRoot (a)\n\"true\" spec.securityContext.runAsNonRoot (b)"},
		{"of both", two(`"runAsNonRoot": true`, `"runAsNonRoot": false`), schema.PodNonRoot,
			"\"false\" spec.containers[0].securityContext.runAsNonRoot (a)\n\"true\" spec.securityContext.runAsNonRoot\n\"true\" spec.securityContext.runAsNonRoot (b)"},
		{"of the container", two(``, `"runAsNonRoot": true`), schema.PodNonRoot, "\"false\" spec.containers[1] (b)\n\"true\" spec.containers[0].securityContext.runAsNonRoot (a)"},
		{"a bad one that nobody inherits", `{"securityContext": {"runAsNonRoot": false}, "containers": [{"name": "a", "securityContext": {"runAsNonRoot": true}}]}`, schema.PodRootAllowed,
			"\"false\" spec.containers[0].securityContext.runAsNonRoot (a)\n\"true\" spec.securityContext.runAsNonRoot"},
		{"no containers", `{}`, schema.PodRootAllowed, ``},
		{"in a user namespace", `{"hostUsers": false, "containers": [{"name": "a"}]}`, schema.PodRootAllowed, `"false" spec.containers[0] (a)`},
		{"in a user namespace", `{"hostUsers": false, "containers": [{"name": "a"}]}`, schema.PodNonRoot, `"false" spec.containers[0] (a)`},
		{"unset", two(``, ``), schema.PodRunAsUser, ``},
		{"unset", two(``, ``), schema.PodRootUser, "\"false\" spec.containers[0].securityContext (a)\n\"false\" spec.containers[1] (b)"},
		{"of both", two(`"runAsUser": 1000`, `"runAsUser": 0`), schema.PodRunAsUser,
			"\"0\" spec.containers[0].securityContext.runAsUser (a)\n\"1000\" spec.securityContext.runAsUser\n\"1000\" spec.securityContext.runAsUser (b)"},
		{"of both", two(`"runAsUser": 1000`, `"runAsUser": 0`), schema.PodRootUser,
			"\"false\" spec.securityContext.runAsUser\n\"false\" spec.securityContext.runAsUser (b)\n\"true\" spec.containers[0].securityContext.runAsUser (a)"},
		{"in a user namespace", `{"hostUsers": false, "securityContext": {"runAsUser": 0}}`, schema.PodRootUser, `"false" spec.securityContext.runAsUser`},
		{"unset", two(``, ``), schema.PodSeccomp, "\"\" spec.containers[0].securityContext (a)\n\"\" spec.containers[1] (b)"},
		{"of both", two(`"seccompProfile": {"type": "RuntimeDefault"}`, `"seccompProfile": {"type": "Unconfined"}`), schema.PodSeccomp,
			"\"RuntimeDefault\" spec.securityContext.seccompProfile.type\n\"RuntimeDefault\" spec.securityContext.seccompProfile.type (b)\n\"Unconfined\" spec.containers[0].securityContext.seccompProfile.type (a)"},
		{"no type", two(`"seccompProfile": {"type": "RuntimeDefault"}`, `"seccompProfile": {}`), schema.PodSeccomp,
			"\"\" spec.containers[0].securityContext.seccompProfile (a)\n\"RuntimeDefault\" spec.securityContext.seccompProfile.type\n\"RuntimeDefault\" spec.securityContext.seccompProfile.type (b)"},
		{"for Windows", `{"os": {"name": "windows"}, "containers": [{"name": "a"}]}`, schema.PodSeccomp, ``},
		{"unset", two(``, ``), schema.PodHostProcess, "\"false\" spec.containers[0].securityContext (a)\n\"false\" spec.containers[1] (b)"},
		{"of both", two(`"windowsOptions": {"hostProcess": true}`, `"windowsOptions": {"hostProcess": false}`), schema.PodHostProcess,
			"\"false\" spec.containers[0].securityContext.windowsOptions.hostProcess (a)\n\"true\" spec.securityContext.windowsOptions.hostProcess\n\"true\" spec.securityContext.windowsOptions.hostProcess (b)"},
		{"unset", two(``, ``), schema.PodSELinuxType, "\"\" spec.containers[0].securityContext (a)\n\"\" spec.containers[1] (b)"},
		{"as a whole", two(`"seLinuxOptions": {"type": "spc_t", "user": "u"}`, `"seLinuxOptions": {"level": "s0"}`), schema.PodSELinuxType,
			"\"\" spec.containers[0].securityContext.seLinuxOptions (a)\n\"spc_t\" spec.securityContext.seLinuxOptions.type\n\"spc_t\" spec.securityContext.seLinuxOptions.type (b)"},
		{"as a whole", two(`"seLinuxOptions": {"type": "spc_t", "user": "u"}`, `"seLinuxOptions": {"level": "s0"}`), schema.PodSELinuxUserRole,
			"\"false\" spec.containers[0].securityContext.seLinuxOptions (a)\n\"true\" spec.securityContext.seLinuxOptions.user\n\"true\" spec.securityContext.seLinuxOptions.user (b)"},
		{"a role", `{"containers": [{"name": "a", "securityContext": {"seLinuxOptions": {"user": "", "role": "r"}}}]}`, schema.PodSELinuxUserRole,
			`"true" spec.containers[0].securityContext.seLinuxOptions.role (a)`},
	} {
		c.check(t, `{}`)
	}
}

func TestAppArmor(t *testing.T) {
	const prefix = `"container.apparmor.security.beta.kubernetes.io/`
	at := func(name string) string {
		return `metadata.annotations["container.apparmor.security.beta.kubernetes.io/` + name + `"] (` + name + `)`
	}
	own := func(kind string) string {
		return `{"containers": [{"name": "a", "securityContext": {"appArmorProfile": {"type": "` + kind + `"}}}]}`
	}
	const plain, pods = `{"containers": [{"name": "a"}]}`, `{"securityContext": {"appArmorProfile": {"type": "Localhost"}}, "containers": [{"name": "a"}]}`
	for _, c := range []struct{ name, annotations, spec, want string }{
		{"unset", ``, plain, `"" spec.containers[0] (a)`},
		{"of the container", ``, own("Unconfined"), `"Unconfined" spec.containers[0].securityContext.appArmorProfile.type (a)`},
		{"of the Pod", ``, pods, "\"Localhost\" spec.securityContext.appArmorProfile.type\n\"Localhost\" spec.securityContext.appArmorProfile.type (a)"},
		{"unconfined", prefix + `a": "unconfined"`, plain, `"Unconfined" ` + at("a")},
		{"runtime/default", prefix + `a": "runtime/default"`, plain, `"RuntimeDefault" ` + at("a")},
		{"localhost", prefix + `a": "localhost/x"`, plain, `"Localhost" ` + at("a")},
		{"before the Pod's", prefix + `a": "unconfined"`, pods, "\"Localhost\" spec.securityContext.appArmorProfile.type\n\"Unconfined\" " + at("a")},
		{"after the container's", prefix + `a": "unconfined"`, own("Localhost"), "\"Localhost\" spec.containers[0].securityContext.appArmorProfile.type (a)\n\"Unconfined\" " + at("a")},
		{"of another container", prefix + `z": "unconfined"`, plain, "\"\" spec.containers[0] (a)\n\"Unconfined\" " + at("z")},
		{"that means nothing", prefix + `a": "RuntimeDefault"`, plain, "\"\" spec.containers[0] (a)\n\"annotation:RuntimeDefault\" " + at("a")},
		{"empty", prefix + `a": ""`, plain, `"" spec.containers[0] (a)`},
		{"another annotation", `"x": "unconfined"`, plain, `"" spec.containers[0] (a)`},
	} {
		fieldCase{c.name, c.spec, schema.PodAppArmor, c.want}.check(t, `{"annotations": {`+c.annotations+`}}`)
	}
}

// allFields are those that authors and profiles name.
var allFields = append(slices.Clone(schema.PodFields), schema.PodHostProcess, schema.PodSELinuxType, schema.PodSELinuxUserRole, schema.PodProcMount,
	schema.PodProbeHosts, schema.PodRootAllowed, schema.PodRootUser)

// TestFieldsAreComplete has each field in a Pod that sets all.
func TestFieldsAreComplete(t *testing.T) {
	pod := podOf(t, `{}`, `{"volumes": [{"name": "a", "hostPath": {"path": "/x"}}], "securityContext": {"sysctls": [{"name": "kernel.x"}]}, "containers": [{
		"name": "a", "ports": [{"hostPort": 1}], "livenessProbe": {"httpGet": {"host": "h"}},
		"securityContext": {"runAsUser": 1, "capabilities": {"add": ["KILL"], "drop": ["ALL"]}}}]}`)
	for _, profile := range schema.Profiles {
		for _, r := range schema.ProfileRules(profile) {
			if !slices.Contains(allFields, schema.PodField(r.Object)) {
				t.Errorf("%s speaks of %s, which is not in the list here", profile, r.Object)
			}
		}
	}
	fields := pod.Fields()
	for _, field := range allFields {
		if len(fields[field]) == 0 {
			t.Errorf("%s has no value", field)
		}
	}
	if len(fields) != len(allFields) {
		t.Errorf("got %d fields, want %d", len(fields), len(allFields))
	}
}
