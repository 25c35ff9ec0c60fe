// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"maps"
	"slices"
)

// The Pod Security Standards of Kubernetes 1.37, as k8s.io/pod-security-admission v0.37.2 tests them: package policy, a file check_*.go for
// each control, whose name stands beside it. A field without values must have none.
var (
	baseline = map[PodField][]string{
		PodHostNetwork: {"false"}, // hostNamespaces
		PodHostPID:     {"false"},
		PodHostIPC:     {"false"},
		PodPrivileged:  {"false"}, // privileged
		PodAddCapabilities: { // capabilities_baseline
			"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
			"SETUID", "SYS_CHROOT",
		},
		PodHostPaths:       {},                                                                               // hostPathVolumes
		PodHostPorts:       {},                                                                               // hostPorts
		PodAppArmor:        {"", "Localhost", "RuntimeDefault"},                                              // appArmorProfile
		PodSELinuxType:     {"", "container_engine_t", "container_init_t", "container_kvm_t", "container_t"}, // seLinuxOptions
		PodSELinuxUserRole: {"false"},                                                                        //
		PodProcMount:       {"", "Default", UnmaskedInUserNamespace},                                         // procMount_baseline
		PodSeccomp:         {"", "Localhost", "RuntimeDefault"},                                              // seccompProfile_baseline
		PodHostProcess:     {"false"},                                                                        // windowsHostProcess
		PodProbeHosts:      {},                                                                               // hostProbesAndhostLifecycle
		PodSysctls: { // sysctls
			"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start",
			"net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
			"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_rmem", "net.ipv4.tcp_slow_start_after_idle",
			"net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
		},
	}
	// restricted is what it adds to baseline, and what replaces a control there.
	restricted = map[PodField][]string{
		PodVolumes: { // restrictedVolumes
			"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
		},
		PodEscalation:       {"false"},                       // allowPrivilegeEscalation
		PodRootAllowed:      {"false"},                       // runAsNonRoot
		PodRootUser:         {"false"},                       // runAsUser
		PodSeccomp:          {"Localhost", "RuntimeDefault"}, // seccompProfile_restricted
		PodDropCapabilities: {"ALL"},                         // capabilities_restricted
		PodAddCapabilities:  {"NET_BIND_SERVICE"},            //
		PodProcMount:        {"", "Default"},                 // procMount_restricted
	}
)

// ProfileRules returns what a level of the Kubernetes Pod Security Standards demands, as rules of plane pod without IDs, sorted by field.
// restricted is all of baseline, with the stricter of both where they speak of one field; privileged demands nothing. A level that is
// none of [Profiles] gives no rules either.
func ProfileRules(profile string) []Rule {
	fields := map[PodField][]string{}
	switch profile {
	case "baseline":
		maps.Copy(fields, baseline)
	case "restricted":
		maps.Copy(fields, baseline)
		maps.Copy(fields, restricted)
	}
	var rules []Rule
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		rules = append(rules, Rule{Plane: PlanePod, Verb: VerbSet, Object: string(f), Values: slices.Clone(fields[f])})
	}
	return rules
}
