// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

// PodField names a setting of a Pod, as the pod plane speaks of it. An [Event]'s Set holds the values that are in effect, over all containers,
// init and ephemeral ones included, with Kubernetes' defaults filled in. Where a Pod and its containers can both say something, it is what
// holds for each container, and beside it the Pod's own value if that is set, so that a bad one is seen though no container inherits it.
//
// A Pod for Windows (spec.os.name) has no allowPrivilegeEscalation, addCapabilities, dropCapabilities and seccomp: Kubernetes refuses them
// there, and the Pod Security Standards do not ask for them.
//
// Capabilities and sysctls have spellings that some container runtimes take for the same, and the Pod Security Standards for something else. What
// is added is in the Pod in both ways, so that a rule permits only what is spelt as it should be, and a bound forbids what may be meant.
type PodField string

// The fields. A value is "true" or "false" unless it says otherwise.
const (
	PodHostNetwork      PodField = "hostNetwork"
	PodHostPID          PodField = "hostPID"
	PodHostIPC          PodField = "hostIPC"
	PodPrivileged       PodField = "privileged"                   //
	PodEscalation       PodField = "allowPrivilegeEscalation"     // unset is "true"
	PodReadOnlyRoot     PodField = "readOnlyRootFilesystem"       //
	PodNonRoot          PodField = "runAsNonRoot"                 // unset is "false"
	PodAutomount        PodField = "automountServiceAccountToken" // unset is "true"
	PodServiceAccount   PodField = "serviceAccount"               // a name; unset is "default"; in rules "*" is any run of characters
	PodAddCapabilities  PodField = "addCapabilities"              // those added, in upper case and without "CAP_"; and each as written
	PodDropCapabilities PodField = "dropCapabilities"             // those that every container drops, as written; "ALL" is each of them
	PodVolumes          PodField = "volumes"                      // types, as the fields of a volume are called: "configMap"
	PodHostPaths        PodField = "hostPaths"                    // paths of the host; in rules patterns
	PodHostPorts        PodField = "hostPorts"                    // numbers; none if no port of the host is taken; with hostNetwork each port of a container is
	PodSeccomp          PodField = "seccomp"                      // types; "" is unset
	PodAppArmor         PodField = "appArmor"                     // types, those of the annotation too ("annotation:x" if it means none); "" is unset
	PodSysctls          PodField = "sysctls"                      // names, with dots ("net/core/x" is "net.core.x"), and each as written; in rules "*" is any run of characters
	PodRunAsUser        PodField = "runAsUser"                    // numbers; none if unset
)

// The fields that profiles alone name.
const (
	PodHostProcess     PodField = "hostProcess"     // of Windows
	PodSELinuxType     PodField = "seLinuxType"     // types; "" is unset
	PodSELinuxUserRole PodField = "seLinuxUserRole" // "true" if a user or a role of SELinux is set
	PodProcMount       PodField = "procMount"       // "" is unset; in a user namespace (hostUsers: false) [UnmaskedInUserNamespace] stands for "Unmasked"
	PodProbeHosts      PodField = "probeHosts"      // the hosts that probes and lifecycle hooks name; none if unset
	PodRootAllowed     PodField = "rootAllowed"     // runAsNonRoot is "false" for the Pod or a container; in a user namespace "false"
	PodRootUser        PodField = "rootUser"        // runAsUser is 0 for the Pod or a container; in a user namespace "false"
)

// UnmaskedInUserNamespace is a value of [PodProcMount].
const UnmaskedInUserNamespace = "UnmaskedInUserNamespace"

// Unread is a value of any field: it stands for those of containers that nobody reads, because the Pod has too many. No rule of a workload permits
// it, and each rule of a bound forbids it.
const Unread = "(not read)"

// PodFields lists the fields that authors may name, in the order of the schema.
var PodFields = []PodField{
	PodHostNetwork, PodHostPID, PodHostIPC, PodPrivileged, PodEscalation, PodReadOnlyRoot, PodNonRoot, PodAutomount, PodServiceAccount,
	PodAddCapabilities, PodDropCapabilities, PodVolumes, PodHostPaths, PodHostPorts, PodSeccomp, PodAppArmor, PodSysctls, PodRunAsUser,
}

// Profiles are the levels of the Kubernetes Pod Security Standards, from the weakest.
var Profiles = []string{"privileged", "baseline", "restricted"}
