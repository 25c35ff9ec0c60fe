// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package admission makes Kubernetes objects of lowered policy. It reads the policy and nothing else: no clock, no cluster, no files.
//
//	object.go      what is made of one workload, of all, and how an object is written
//	gatekeeper.go  entries: conditions of workloads and bounds as Rego reads them
//	section.go     a namespace's entries as one string
//	layout.go      which string stands in which constraint
//	constraint.go  the ConstraintTemplate and its constraints; pod.rego judges
//	vapparams.go   entries: the same as a ValidatingAdmissionPolicy reads them
//	vap.go         the policy, its params and bindings, and which entry stands in which params
//	vapcrd.go      the kind of the params
//	vapcel.go      the expressions of the policy; pod.cel judges
//	vapplain.go    which Pods need not be judged; plain.cel says it
//	order.go       in which order they are applied, and what happens when nothing judges
//	regexp.go      patterns as regular expressions that Rego and CEL read alike
//	network*.go    NetworkPolicies of egress and ingress; networknote.go lists what they do not say as the rules do
//	cilium*.go     CiliumNetworkPolicies, where the network is Cilium
//	yaml.go        how policies of the network are written
//
// # Decisions
//
// Independent violations. Each workload is a condition of its own, each rule of a bound forbids by itself, and each has its own mode. So nothing has
// to be united: what one constraint finds does not depend on another, and the strictest action is that of [schema.Judge]. A mode is one enforcement
// action: enforce denies, audit warns the person who makes the Pod, and Gatekeeper's audit records it, learn is recorded alone (dryrun).
// It is the same at the webhook, in audit and in gator, so the plain word says it: scoped enforcement actions would only repeat it.
//
// One template, never regenerated for data: a new text stalls every review while it is compiled. Its tables of the Pod Security Standards are
// those of [schema.ProfileRules]; a workload says only the name of its profile. The IDs of the rules that a profile brings follow from the workload's
// name, and are computed when one is violated. Rules that are not what the template knows of a profile are stated.
//
// Sections. All parameters of a constraint are converted on every review, but a string at no cost, so each namespace is one string and a review
// reads its own alone. In it only what stands under the Pod's labels is parsed: each entry is a line that begins with a label. First comes the SHA-256
// of the rest. What is damaged, or of another version, is never read in part: the Pod is
// denied. Text is ASCII, because OPA cuts that without copying it rune by rune.
//
// Most Pods are as they should be, so pod.rego sees that at a glance: it compares images and, for the levels of the Pod Security Standards, what
// is written, and works out the values of a field only where something is left to say. The glance errs on one side: what it does not let pass is judged in full.
//
// At most three constraints match one Pod, one for each action, since each one costs. What holds in every namespace stands in each shard, and in one
// more constraint for all other namespaces, as long as it is small; else in constraints of its own. A bound that demands a workload needs to know all
// that select something, whatever their action, so where there is one the section holds what they select.
//
// Operations. Deleting is never denied. An update that leaves labels, annotations and spec of the Pod or template as they are is let through, so that a
// finalizer is removable and a Deployment scalable. Of what is being deleted annotations may change too. A review without an operation, as of Gatekeeper's
// audit, is judged.
//
// Messages name ten containers and values of a kind at most, and 200 characters of each; what is not printable is escaped.
//
// Not enforced here yet: signedBy and gate. Virtual patches cannot be written of images and Pods; the ValidatingAdmissionPolicy has them all the same.
//
// # ValidatingAdmissionPolicy
//
// One policy for Pods and for what makes them: it differs only in where the Pod lies. All of it goes through dyn(), so that the API server's type
// checking, which knows one kind at a time, has no warnings. The text is the same for all data and changes with the kinds alone. It needs
// Kubernetes 1.30, and so has neither lists.flatten nor two-variable comprehensions: values are lists of lists, and strings are joined where lists
// would be flattened. The expressions are those of one validation, because an API server passes on the message of the first one alone, and
// because each would compute all of it again.
//
// Plain Pods. An API server converts the object and the params for each of the conditions, the validations, the messages and the audit annotations, computes variables
// for validations and messages anew, and a message even when nothing is wrong. But where a condition (matchConditions) does not hold, it does
// nothing more. So one condition is that the Pod is not plainly allowed: plain.cel has in one pass what a usual Pod needs to be allowed, and leaves to
// pod.cel what it is not sure of. For a Pod of three containers under the profile restricted that is a fifteenth of the allocations.
//
// Params are a PodRules object for each namespace and action, in the namespace, typed and closed by its schema. What holds in every namespace is
// copied into each as long as it is small, and stands in writ-system for all others ("rest"); when it is big it stands there for all of them ("any").
// The names of params in writ-system differ from those of its own workloads. A namespace of more than 512 KiB has several objects. Params that are
// missing deny (parameterNotFoundAction), in each action, so a binding is applied after its params. Whoever may write PodRules decides what is
// judged: no role is given it, and aggregated roles do not have it.
//
// A workload stands under the label that the fewest others of its object name, so that a Pod's labels lead to few of them. Profiles are in the policy's own
// expressions; the IDs of their rules stand in the params as one string, because CEL cannot hash. "image", "pod" and "require" hold the three
// things that a Pod can violate.
//
// An expression may cost 1,000,000 and a binding 10,000,000 (k8s.io/apiserver/pkg/apis/cel). Each field has a variable of its own, and with it the
// first limit. Measured under the profile restricted: a Pod of 1,000 containers is judged against one workload; in a namespace of 1,000 workloads
// Pods of 200 containers, and of 5,000 labels. Of more than 1,000 containers the fields are not read, as in package manifest, which the profiles
// forbid; the images of 2,000 exceed the limit. What exceeds it, or fails otherwise, is denied by the failure policy Fail, in bindings that warn or record it is warned of or recorded; with Ignore it
// is admitted, so a Pod can be made so big that it is not judged. So can a path of the host of some thousand characters against a pattern of as many.
//
// A value of a wrong type counts as not set, as in package manifest, though no built-in kind can have one. Messages have the words of Gatekeeper's,
// but for each value a sentence of its own, separated by " | ", and at most 5,000 bytes, for an API server drops one of more than 5 KiB or with
// line breaks; control characters and those that turn the direction of text are replaced.
//
// Not in it: signedBy and gate, for which CEL has neither keys nor reports.
//
// # Policies of the network
//
// They stand beside an enforcer that equals [schema.Judge], so they never deny what Judge allows: they widen to the smallest superset that can be
// written, or are not made, and say so (Note, Result.Network of the compiler, explain). Tests hold generated policies and connections against
// evaluators written from the references of NetworkPolicy and of Cilium.
//
// A workload has one object, writ- and its own name, in its namespace, with the planes, of egress and ingress, that it mentions and that can be said. A
// plane without rules is an empty list: everything is denied. It is said if
//
//   - its mode is enforce: policies of the network have no audit. A mode that changes on a date is decided at the instant that is given. Without
//     one both sides must enforce, because here the stricter side is the wrong one.
//   - the workload names a namespace, and neither a container nor a cgroup nor the host: they hold for whole Pods.
//   - every other workload that may select the same Pods and mentions the plane has a policy for it. They add up as workloads do, so those of
//     the others would deny what the rules of one without a policy allow. The compiler decides that over all workloads (its network.go).
//   - it has at most 1 MiB.
//
// What becomes of a rule:
//
//	workload                            podSelector and namespaceSelector (kubernetes.io/metadata.name)
//	workload, by conditions on labels   In, NotIn, Exists, DoesNotExist, which mean the same
//	workload, a container               its whole Pod
//	workload without a namespace        podSelector in any namespace
//	workload, the host or a cgroup      anyone on the port
//	workload that selects nothing       nothing
//	namespace                           namespaceSelector
//	namespace, by labels                namespaceSelector
//	cidr                                ipBlock, of IPv4 or IPv6
//	dns                                 anyone on the port
//	a port's name, to Pods              the same, in ingress whoever asks: the receiver is the selected Pod
//	a port's name, elsewhere in egress  every port of the protocol
//	http, grpc, tls                     every connection to the peer and port
//
// Ranges of ports are endPort, and "*" is no port. Replies and what comes from the Pod's own node, its probes among it, pass by the API's contract,
// and bounds and patches only forbid, so they are left out.
//
// Resolvers. Questions to the resolvers that a Pod is configured with are no events of Judge, and which resolvers these are is not known. Where
// a rule of egress names a peer by workload, namespace or name, port 53 of anyone is allowed, and 5353 of any Pod, since the port of the Pod
// that answers counts and OpenShift's answer there. A workload that names ranges alone has nobody to ask for.
//
// Not decided by Kubernetes, so not held: a Pod on the network of its node is no Pod to a NetworkPolicy, as it is no known peer to Judge; name its
// node as a range. Whether a translated address is compared before or after is the network's affair. A Pod that gives one name to several
// ports may be taken for the first of them.
//
// # Cilium
//
// A workload has a CiliumNetworkPolicy instead where a rule of the object has a range, a name, or layer 7: Cilium adds both kinds up, so that a wide
// NetworkPolicy would undo the narrow one. In it
//
//   - a name is toFQDNs: matchName, or matchPattern, whose "*." and "**." mean what [schema.MatchName] says. Questions on the ports of resolvers go
//     through Cilium's proxy, which learns addresses from answers since the policy stands; what a program looked up before, it does not know.
//   - a range or a name holds nobody in the cluster, neither Pods nor nodes, so the entity cluster stands beside it on the same port.
//   - http is a method, a path and a host, each a regular expression (RE2) of the whole. Each character of a path may be percent-encoded and any
//     query may follow. Dot segments are resolved before (http-normalize-path, on by default). gRPC is a POST to /Service/Method.
//   - tls is serverNames. "**", which allows no name too, is every connection; so are http and tls in one rule, of which any suffices.
//   - all that meets at one peer and port passes one proxy, and that of HTTP lets HTTP alone pass, that of TLS the names of all rules alone, that of DNS
//     DNS alone. So rules that may meet another one which asks something else ask nothing; where another rule is for a port of resolvers, names
//     are anyone; and where another workload may select the same Pods, no name and no request is restricted.
//
// It is made for Cilium 1.20; a version that does not know "**." yet reads it as one label. Labels that Cilium is configured to leave out of identities select nothing there.
// Pods of other clusters in a mesh are in no range.
package admission
