// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// volumeTypes are the fields of a Volume in Kubernetes' core/v1 that say what it is.
var volumeTypes = strings.Fields(`awsElasticBlockStore azureDisk azureFile cephfs cinder configMap csi downwardAPI emptyDir ephemeral fc flexVolume
flocker gcePersistentDisk gitRepo glusterfs hostPath image iscsi nfs persistentVolumeClaim photonPersistentDisk portworxVolume projected quobyte rbd
scaleIO secret storageos vsphereVolume`)

// profileTypes are the values of seccompProfile.type and appArmorProfile.type in Kubernetes' core/v1.
var profileTypes = []string{"RuntimeDefault", "Localhost", "Unconfined"}

// sysctlRE is Kubernetes' syntax of a sysctl (pkg/apis/core/validation, SysctlContainSlashFmt), in which "*" is any run of characters.
var sysctlRE = regexp.MustCompile(`^[a-z0-9*]([-_a-z0-9*]*[a-z0-9*])?([./][a-z0-9*]([-_a-z0-9*]*[a-z0-9*])?)*$`)

// pod checks the conditions on Pods, as they are stated: what a profile spells out is ours.
func (c *workloadCheck) pod() {
	if _, closed := c.w.Closure(schema.PlanePod); closed {
		c.admitted("pod")
	}
	globs := globCount{}
	for _, rule := range c.rules[schema.PlanePod] {
		where := []string{"pod", rule.Object}
		if c.s.node != nil && !c.s.has(where...) {
			continue
		}
		c.podValues(where, schema.PodField(rule.Object), c.podStated(where, rule), globs)
		c.ruleReason(where, rule.Object, rule.Why)
	}
	c.profile()
}

// podStated returns the values that a field of pod lists. Those of the lowered rule may be fewer: a profile takes some away.
func (c *workloadCheck) podStated(where []string, rule *schema.Rule) []string {
	switch n := c.s.node.get(where...); {
	case n == nil:
		return rule.Values
	case n.Kind == nodeBool:
		return []string{n.Text}
	}
	return c.s.keys(where...)
}

// podValues checks values of a Pod's field.
func (r *report) podValues(where []string, field schema.PodField, values []string, globs globCount) {
	for _, v := range values {
		at := way(where, v)
		if field == schema.PodHostPaths {
			r.path(at, dotted(where)+" path", v, globs)
			continue
		}
		if want := podValueWant(field, v); want != "" {
			r.fail(at, "%s %.200q is not one of its values; want %s", dotted(where), v, want)
		}
	}
}

// podValueWant says what a field wants if it cannot have a value, else "".
func podValueWant(field schema.PodField, v string) string {
	switch field {
	case schema.PodServiceAccount:
		if len(v) > 253 || !subdomainPart.MatchString(strings.ReplaceAll(v, "*", "a")) {
			return `the name of a ServiceAccount, in which "*" is any run of characters`
		}
	case schema.PodAddCapabilities, schema.PodDropCapabilities:
		return podCapabilityWant(v)
	case schema.PodVolumes:
		return wantAmong(v, volumeTypes, `a type of volume such as "configMap"`)
	case schema.PodSeccomp, schema.PodAppArmor:
		if v != "" { // which is unset
			return wantAmong(v, profileTypes, quotedList(profileTypes, "or"))
		}
	case schema.PodHostPorts:
		return wantNumber(v, 1, 65535)
	case schema.PodRunAsUser:
		return wantNumber(v, 0, 1<<31-1)
	case schema.PodSysctls:
		if len(v) > 253 || !sysctlRE.MatchString(v) {
			return `the name of a sysctl such as "net.core.somaxconn"`
		}
	default: // true or false, and nothing else
		if v != "true" && v != "false" {
			return `"true" or "false"`
		}
	}
	return ""
}

func podCapabilityWant(v string) string {
	if v == "ALL" || slices.Contains(capabilityNames, "CAP_"+v) {
		return ""
	}
	better := strings.TrimPrefix(strings.ToUpper(v), "CAP_")
	if slices.Contains(capabilityNames, "CAP_"+better) {
		return fmt.Sprintf("the name as Kubernetes writes it; did you mean %q?", better)
	}
	return `a capability such as "NET_BIND_SERVICE", or "ALL"`
}

func wantAmong(v string, known []string, want string) string {
	if slices.Contains(known, v) {
		return ""
	}
	if near := nearest(v, known); near != "" {
		return fmt.Sprintf("%s; did you mean %q?", want, near)
	}
	return want
}

func wantNumber(v string, lo, hi int64) string {
	if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= lo && n <= hi && strconv.FormatInt(n, 10) == v {
		return ""
	}
	return fmt.Sprintf("a number from %d to %d", lo, hi)
}

// profileFlags are the values that the levels of the Pod Security Standards demand of fields that are true or false. restricted demands those
// of baseline too.
var profileFlags = map[string]map[schema.PodField]string{
	"baseline": {schema.PodHostNetwork: "false", schema.PodHostPID: "false", schema.PodHostIPC: "false", schema.PodPrivileged: "false"},
	"restricted": {schema.PodHostNetwork: "false", schema.PodHostPID: "false", schema.PodHostIPC: "false", schema.PodPrivileged: "false",
		schema.PodEscalation: "false", schema.PodNonRoot: "true"},
}

// restrictedVolumes are the types of volumes that the level restricted permits.
var restrictedVolumes = []string{"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"}

// baselineCapabilities are those that the level baseline permits to add.
var baselineCapabilities = strings.Fields("AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT")

// profile checks that fields of pod do not contradict its profile.
func (c *workloadCheck) profile() {
	level := c.w.Profile
	flags := profileFlags[level]
	if flags == nil || c.s.node == nil {
		return
	}
	for _, field := range schema.PodFields {
		where := []string{"pod", string(field)}
		n := c.s.node.get(where...)
		if n == nil {
			continue
		}
		if n.Kind == nodeBool {
			if want := flags[field]; want != "" && n.Text != want {
				c.fail(where, "pod.%s is %s, and profile %q demands %s, so no Pod could hold both; want %s, or another profile", field, n.Text, level, want, want)
			}
			continue
		}
		for _, v := range c.s.keys(where...) {
			if profileForbids(level, field, v) {
				c.warn(codeStrict, way(where, v), "pod.%s permits %q, which profile %q forbids all the same; want another value, or another profile", field, v, level)
			}
		}
	}
}

// profileForbids reports whether a level of the Pod Security Standards forbids a value that a field may list.
func profileForbids(level string, field schema.PodField, v string) bool {
	restricted := level == "restricted"
	switch field {
	case schema.PodAddCapabilities:
		return restricted && v != "NET_BIND_SERVICE" || !slices.Contains(baselineCapabilities, v)
	case schema.PodVolumes:
		return v == "hostPath" || restricted && !slices.Contains(restrictedVolumes, v)
	case schema.PodHostPaths, schema.PodHostPorts:
		return true
	case schema.PodSeccomp, schema.PodAppArmor:
		return v == "Unconfined" || restricted && field == schema.PodSeccomp && v == ""
	case schema.PodRunAsUser:
		return restricted && v == "0"
	}
	return false
}
