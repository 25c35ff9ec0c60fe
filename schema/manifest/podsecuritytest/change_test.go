// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package podsecuritytest

import (
	corev1 "k8s.io/api/core/v1"
)

// The values that fields get. Among them are those that each check permits, those that it forbids, and other spellings.
var (
	seccompTypes = []corev1.SeccompProfileType{"RuntimeDefault", "Localhost", "Unconfined", "runtime/default"}
	armourTypes  = []corev1.AppArmorProfileType{"RuntimeDefault", "Localhost", "Unconfined", "localhost/x"}
	annotations  = []string{"", "runtime/default", "localhost/x", "localhost/", "unconfined", "RuntimeDefault", "Localhost", "x"}
	capabilities = []corev1.Capability{"ALL", "all", "CAP_ALL", "NET_BIND_SERVICE", "net_bind_service", "CAP_NET_BIND_SERVICE", "CHOWN", "NET_RAW", "SYS_ADMIN", "SETPCAP", "", "ſETPCAP"}
	sysctls      = []string{
		"kernel.shm_rmid_forced", "kernel/shm_rmid_forced", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_notsent_lowat", "net/ipv4/tcp_syncookies", "kernel.msgmax",
		"net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding", "",
	}
	seLinux = []corev1.SELinuxOptions{
		{}, {Type: "container_t"}, {Type: "container_engine_t"}, {Type: "spc_t"}, {User: "system_u"}, {Role: "sysadm_r"}, {Type: "container_t", Level: "s0"},
	}
	probes = []corev1.ProbeHandler{
		{}, {Exec: &corev1.ExecAction{}}, {HTTPGet: &corev1.HTTPGetAction{}}, {HTTPGet: &corev1.HTTPGetAction{Host: "10.0.0.1"}}, {TCPSocket: &corev1.TCPSocketAction{}},
		{TCPSocket: &corev1.TCPSocketAction{Host: "example.com"}}, {GRPC: &corev1.GRPCAction{Port: 1}},
	}
	volumes = []corev1.VolumeSource{
		{}, {HostPath: &corev1.HostPathVolumeSource{Path: "/var/run"}}, {HostPath: &corev1.HostPathVolumeSource{}}, {EmptyDir: &corev1.EmptyDirVolumeSource{}},
		{ConfigMap: &corev1.ConfigMapVolumeSource{}}, {Secret: &corev1.SecretVolumeSource{}}, {CSI: &corev1.CSIVolumeSource{}}, {NFS: &corev1.NFSVolumeSource{}},
		{Ephemeral: &corev1.EphemeralVolumeSource{}}, {Image: &corev1.ImageVolumeSource{}}, {Projected: &corev1.ProjectedVolumeSource{}},
		{DownwardAPI: &corev1.DownwardAPIVolumeSource{}}, {PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}},
		{GitRepo: &corev1.GitRepoVolumeSource{}}, {FlexVolume: &corev1.FlexVolumeSource{}}, {RBD: &corev1.RBDVolumeSource{}}, {ISCSI: &corev1.ISCSIVolumeSource{}},
	}
)

// ofPod change what the Pod says.
var ofPod = []func(generator, *corev1.Pod){
	func(g generator, p *corev1.Pod) { p.Spec.HostNetwork = g.IntN(4) == 0 },
	func(g generator, p *corev1.Pod) { p.Spec.HostPID = g.IntN(4) == 0 },
	func(g generator, p *corev1.Pod) { p.Spec.HostIPC = g.IntN(4) == 0 },
	func(g generator, p *corev1.Pod) { p.Spec.HostUsers = maybe(g, true, false, false) },
	func(g generator, p *corev1.Pod) {
		p.Spec.OS = maybe(g, corev1.PodOS{Name: "linux"}, corev1.PodOS{Name: "windows"})
	},
	func(g generator, p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "v", VolumeSource: oneOf(g, volumes...)})
	},
	func(g generator, p *corev1.Pod) { p.Spec.Volumes = nil },
	func(g generator, p *corev1.Pod) {
		name := oneOf(g, "", "none", "container1", "initcontainer1")
		p.Annotations = map[string]string{"container.apparmor.security.beta.kubernetes.io/" + name: oneOf(g, annotations...), "example.com/x": "unconfined"}
	},
	func(g generator, p *corev1.Pod) {
		c := corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox"}}
		if seen := g.container(&p.Spec); seen != nil {
			c.SecurityContext = seen.SecurityContext.DeepCopy()
		}
		p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, c)
	},
	func(g generator, p *corev1.Pod) {
		if len(p.Spec.Containers) > 0 {
			c := p.Spec.Containers[0].DeepCopy()
			c.Name, c.RestartPolicy = "sidecar", maybe(g, corev1.ContainerRestartPolicyAlways)
			p.Spec.InitContainers = append(p.Spec.InitContainers, *c)
		}
	},
	func(g generator, p *corev1.Pod) { p.Spec.InitContainers = nil },
	func(g generator, p *corev1.Pod) { p.Spec.SecurityContext = nil },
	ofSecurity(func(g generator, s *corev1.PodSecurityContext) { s.RunAsNonRoot = maybe(g, true, true, false) }),
	ofSecurity(func(g generator, s *corev1.PodSecurityContext) { s.RunAsUser = maybe[int64](g, 0, 1, 1000) }),
	ofSecurity(func(g generator, s *corev1.PodSecurityContext) {
		s.SeccompProfile = maybe(g, corev1.SeccompProfile{Type: oneOf(g, seccompTypes...)})
	}),
	ofSecurity(func(g generator, s *corev1.PodSecurityContext) {
		s.AppArmorProfile = maybe(g, corev1.AppArmorProfile{Type: oneOf(g, armourTypes...)})
	}),
	ofSecurity(func(g generator, s *corev1.PodSecurityContext) { s.SELinuxOptions = maybe(g, seLinux...) }),
	ofSecurity(func(g generator, s *corev1.PodSecurityContext) {
		s.WindowsOptions = maybe(g, corev1.WindowsSecurityContextOptions{HostProcess: maybe(g, true, false)})
	}),
	ofSecurity(func(g generator, s *corev1.PodSecurityContext) {
		s.Sysctls = append(s.Sysctls, corev1.Sysctl{Name: oneOf(g, sysctls...), Value: "1"})
	}),
}

// ofSecurity changes what the Pod says of security.
func ofSecurity(change func(generator, *corev1.PodSecurityContext)) func(generator, *corev1.Pod) {
	return func(g generator, p *corev1.Pod) {
		if p.Spec.SecurityContext == nil {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{}
		}
		change(g, p.Spec.SecurityContext)
	}
}

// ofContainer change what a container says.
var ofContainer = []func(generator, *corev1.Container){
	func(g generator, c *corev1.Container) {
		c.Ports = append(c.Ports, corev1.ContainerPort{ContainerPort: 80, HostPort: oneOf[int32](g, 0, 0, 8080)})
	},
	func(g generator, c *corev1.Container) {
		c.LivenessProbe = &corev1.Probe{ProbeHandler: oneOf(g, probes...)}
	},
	func(g generator, c *corev1.Container) {
		c.ReadinessProbe = &corev1.Probe{ProbeHandler: oneOf(g, probes...)}
	},
	func(g generator, c *corev1.Container) {
		c.StartupProbe = &corev1.Probe{ProbeHandler: oneOf(g, probes...)}
	},
	func(g generator, c *corev1.Container) {
		c.Lifecycle = &corev1.Lifecycle{PostStart: maybe(g, handler(oneOf(g, probes...))), PreStop: maybe(g, handler(oneOf(g, probes...)))}
	},
	func(g generator, c *corev1.Container) { c.SecurityContext = nil },
	ofContext(func(g generator, s *corev1.SecurityContext) { s.Privileged = maybe(g, true, false) }),
	ofContext(func(g generator, s *corev1.SecurityContext) { s.AllowPrivilegeEscalation = maybe(g, true, false) }),
	ofContext(func(g generator, s *corev1.SecurityContext) { s.RunAsNonRoot = maybe(g, true, false) }),
	ofContext(func(g generator, s *corev1.SecurityContext) { s.RunAsUser = maybe[int64](g, 0, 1, 1000) }),
	ofContext(func(g generator, s *corev1.SecurityContext) {
		s.ProcMount = maybe(g, corev1.DefaultProcMount, corev1.UnmaskedProcMount, corev1.UnmaskedProcMount)
	}),
	ofContext(func(g generator, s *corev1.SecurityContext) {
		s.SeccompProfile = maybe(g, corev1.SeccompProfile{Type: oneOf(g, seccompTypes...)})
	}),
	ofContext(func(g generator, s *corev1.SecurityContext) {
		s.AppArmorProfile = maybe(g, corev1.AppArmorProfile{Type: oneOf(g, armourTypes...)})
	}),
	ofContext(func(g generator, s *corev1.SecurityContext) { s.SELinuxOptions = maybe(g, seLinux...) }),
	ofContext(func(g generator, s *corev1.SecurityContext) {
		s.WindowsOptions = maybe(g, corev1.WindowsSecurityContextOptions{HostProcess: maybe(g, true, false)})
	}),
	ofContext(func(g generator, s *corev1.SecurityContext) {
		s.Capabilities = maybe(g, corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, corev1.Capabilities{})
	}),
	ofContext(func(g generator, s *corev1.SecurityContext) {
		s.Capabilities = &corev1.Capabilities{Add: []corev1.Capability{oneOf(g, capabilities...)}, Drop: []corev1.Capability{oneOf(g, capabilities...), "ALL"}}
	}),
	ofContext(func(g generator, s *corev1.SecurityContext) {
		s.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{oneOf(g, capabilities...), oneOf(g, capabilities...)}}
	}),
}

// ofContext changes what a container says of security.
func ofContext(change func(generator, *corev1.SecurityContext)) func(generator, *corev1.Container) {
	return func(g generator, c *corev1.Container) {
		if c.SecurityContext == nil {
			c.SecurityContext = &corev1.SecurityContext{}
		}
		change(g, c.SecurityContext)
	}
}

func handler(h corev1.ProbeHandler) corev1.LifecycleHandler {
	return corev1.LifecycleHandler{Exec: h.Exec, HTTPGet: h.HTTPGet, TCPSocket: h.TCPSocket}
}
