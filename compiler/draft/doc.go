// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package draft makes first drafts of policy from what a cluster has already: Kubernetes NetworkPolicies, KubeArmor policies, NeuVector rules
// and the Pod Security labels of Namespaces. It reads manifests and nothing else, and imports schema, the compiler's formatter, CUE and kyaml.
//
// A draft is where work begins. It never allows more than its source without a [Note] that says so, every draft is in mode audit whatever the
// source did, and what cannot be said in policy is told with its line rather than approximated.
//
// # Decisions
//
// Selection. Objects that select the same containers become one workload; all drafts are in one folder, because drafts may overlap and
// their sources added up as workloads do. Where two workloads may overlap both say shared: true. A workload is named after its name label
// (app.kubernetes.io/name, app, k8s-app, name), else after the object. An object whose selector cannot be said exactly is not drafted at all, since a
// wider one would reach containers that the source left alone. An object with a field given twice, or with a merge key of YAML, means
// different things to different readers and is not drafted from. A field that is not known may narrow a rule, so that the rule is not drafted.
//
// NetworkPolicy. Policy types close planes, as Kubernetes fills them in; a closed one without a rule is `ingress: {}`. A rule that allows
// everything leaves the plane open. No ports are every port of tcp, udp and sctp; no peers are 0.0.0.0/0 and ::/0. ipBlock becomes CIDRs, with
// what is excepted taken out exactly. Namespaces are peers by name, or by labels. Pods by labels are a peer only if a workload is drafted that selects
// these very Pods; with namespaces by labels beside them they have no name. `namespaceSelector: {}` is every Namespace that has its name
// label, which all have.
//
// KubeArmor. Allow becomes rules and closes its plane, even if the rule cannot be drafted. Block and Audit become never of a bound each, so that
// what is watched is not enforced with what is forbidden. process is exec and fromSource the parent; readOnly is file.read, else file.write; a
// directory is also itself; patterns of AppArmor are translated where "*" and "**" mean the same. ownerOnly, allowedArgs, pts, network,
// syscalls, presets, and fromSource of files and capabilities have no counterpart. A message, severity and tags become why. A node
// selector is lost: host: true is every node.
//
// NeuVector. A group is a workload by namespace and labels; the labels of a service are those of the Deployment, StatefulSet, DaemonSet, Job, CronJob
// or Pod of its name if that is imported, too, else app with the service's name, and a note. The groups nodes and containers are the host and,
// in bounds, every container. allow becomes rules, deny becomes never of a bound; a plane is closed if something is allowed, or if the group
// is in mode Monitor or Protect. Rules have an order there and none in policy: what is denied after a rule that it covers is left out, what is allowed after
// it is denied, too. A rule holds for both ends, so it is also drafted for the workload at the other end if that plane is closed. Programs are known by
// their paths: a name alone is /**/name. Applications are not judged but for SSL, which is tls. A file that some applications may use,
// or that is watched for changes, has no counterpart.
//
// Pod Security. The level that is enforced, else the stricter one of audit and warn, for all Pods of the Namespace; one workload has one mode
// for its conditions on Pods. privileged is nothing to draft.
//
// Contradictions. A rule inside of what a drafted bound forbids is an error of the compiler, so it is left out and told.
//
// Bounds on what is read stand in draft.go. Aliases of YAML are followed and counted.
package draft
