// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package schema holds the words of writ: what a policy is, what happens in a container, and what the first says of the second.
// Every other room speaks in these words. It imports the standard library only.
//
// A policy is a list of workloads; a workload selects containers and holds rules; a rule is one permission: a subject may do a verb
// to an object. Beside them stand bounds, which no workload may go beyond, and exceptions, whose virtual patches forbid for a time. [Judge] is
// the meaning of it all, a pure function. An enforcer is a compiled form of the same rules, and is tested against Judge with generated
// cases (package schematest); explain, test and learning call Judge itself. Nothing else decides. What Judge is asked of a Kubernetes object at
// admission is read from it by package manifest.
//
// # Decisions
//
// Each sentence here is held by a test. A second implementation of Judge, in the tests, is written from them.
//
// Order. A verdict is made in four steps, each of which can replace what the one before it said:
//
//  1. A probe by the kubelet of the own node (verbs accept and serve) is allowed by the rule builtin/probe, whatever else holds: a bound or a
//     patch that cut it off would only have the Pod restarted. The other steps are left out.
//  2. The workloads that select the subject decide. If none does it is uncovered: allowed.
//  3. Where a bound forbids the event, with an action that is at least as strict as the one so far, the bound decides.
//  4. Where a virtual patch that still stands forbids the event, it is denied.
//
// Subjects. An observer knows a subject only in part: a node knows the cgroup, admission the namespace and the labels. A match holds only
// when every field it names is known and equal. A bound without a match holds for every container that some workload selects, and for
// every other one of Kubernetes.
//
// Closed by mention. A workload that mentions exec, file, capability, egress or ingress, even as an empty struct, is closed for that plane; one
// that does not is open for it. What a closed plane has no rule for is denied, reported (audit) or marked as new (learn), by its mode.
//
// Conditions. Image and pod are conditions instead: of each workload each one that it names must hold, and an unnamed one is not tested.
//
// Several workloads on one container are one: closed if one closes, the strictest mode, the union of rules. Conditions are not united; each
// holds for itself, with the mode of its own workload, and the strictest that does not hold decides.
//
// Modes and dates. A mode can have a successor from a date on. A day holds to its end in UTC, an instant is itself, and at the instant
// what is dated no longer holds: a mode is its successor then, an exception has expired. No date never passes. A date that does not parse
// means the stricter of two modes, and an exception that has expired. An unknown mode denies. Modes are compared as they are at the instant.
//
// # Names of rules
//
// A denial names a line. What no rule allows is denied by the closing of the plane, so the closing has an ID and positions of its
// own ([Closure]). When a rule comes near, the denial names that rule, because it is the line to change: for another caller (exec), for reading
// alone (file), for other requests, or for another port or protocol (egress, ingress).
//
// Which rule decides. Rules only ever allow, so the order in which they are tried does not change what happens, but it changes which
// rule is named. The order is [CompareSpecific]: exact, then directories from the longest, then other patterns from the longest, which is
// the order in which hash lookups in the kernel come out anyway; where keys are no patterns (capability, egress, ingress, pod, signers, gates), by
// key, then by ID. So it is for
//
//   - what allows: the first that fits. Of an image it is the first pattern, else the first signer who signed, else the first gate, of
//     the workload with the strictest mode; of a Pod that workload's closure, since no single rule allows one (reason holds).
//   - near misses: other requests before another port, then the first.
//   - closures: the strictest, then the one with the lowest ID.
//   - conditions that do not hold: of the workload with the strictest mode, then with the lowest closure ID; there from, then signedBy, then gate.
//     Without a pattern that matches it is the closure, without a signer who signed the first signer rule, else the gate or the field.
//   - bounds: the strictest action, then rules before the demand for a workload, then the first; demands by ID.
//   - patches: the first.
//
// # Paths, programs, files
//
// Path patterns have one matcher, [MatchPath], whose comment is their specification. A pattern other than an exact path or dir/** has
// at most 512 bytes (the language allows 4,095 for the others) and a workload at most 64 of them, because a kernel walks them one by
// one and must finish: one costs at most 512*4,095 steps there.
//
// Paths are bytes ([Path]). A policy file is UTF-8, so a program whose name is not can be allowed only by a pattern.
//
// An object that was not reached by a path through the container's own mounts ([Origin]) has no path that a rule of a closed plane could allow,
// whatever its name.
//
// A rule for writing allows reading; one for reading does not allow writing. A rule with parents allows its program only to callers that
// are known and match one of them.
//
// # Connections
//
// An event has two ends, the subject and the peer, and is judged once for each: as connect at the caller's egress, as accept at the
// receiver's ingress, each with the other end as the peer. Port and protocol are the receiver's. Connections over loopback in one network
// namespace and unix sockets are no events, nor are questions to the resolvers that a container is configured with: which names it may ask
// for follows from the names of its peers, and whoever sees the question judges that.
//
// Peers are matched by [MatchPeer], ports by [MatchPort], ranges of addresses by [MatchCIDR], names by [MatchName]; their comments are the
// specification. What the peer is and what its address is, is known independently, and a rule by either suffices. IPv4-mapped IPv6
// addresses are IPv4, so ::/0 is every IPv6 address and no IPv4 one. If the address is a Pod's and nobody knows which (Unknown), only a rule
// by cidr can allow it; without one the reason is peer-unknown, and no near miss is named, because no line is at fault.
//
// A rule of a workload has the protocol tcp unless it says otherwise; a connection whose protocol is not known has no rule.
//
// Layer 7. Connections (connect, accept) are judged by the other end, port and protocol alone. Requests (request, serve) are judged by the
// same and by what is asked, see [Rule.AllowsRequest]: a rule that says nothing of layer 7 allows everything there, and of HTTP, gRPC
// and TLS entries any that matches suffices. HTTP paths are judged after normalisation by [NormalHTTPPath], and one that servers may read
// differently matches nothing. Percent-encoding is decoded once and altogether, and so a pattern has no "%". Neither the query nor a fragment is
// judged. "*" as a whole segment is no empty segment: "GET /a/*" is not "GET /a/".
//
// # Images and Pods
//
// An image reference that does not parse holds for no condition. from: one pattern matches ([ImagePattern.Matches]); a first segment "**" is any
// registry, with any number of segments, and "@*" any digest. signedBy: one of the
// signers is among those who signed, as far as that is known. gate: the image is known to pass it. A condition that is named without any
// rule does not hold.
//
// A Pod's field has all the values that are in effect over its containers. Each must be among the values that the rule permits; a field
// without values is permitted. In the values of a rule "*" is any run of characters for sysctls and serviceAccount, hostPaths are path
// patterns, and all others are compared literally. Slashes at the end of a path of the host do not count; "/" itself is a path that no
// pattern permits, and so is one that is not clean. dropCapabilities is the reverse: each value of the rule must be among the Pod's, or
// "ALL" must be; a Pod that does not say it at all (Windows) violates nothing. [Unread] is a value that no rule permits. The Pod Security
// Standards are such rules, see [ProfileRules].
//
// # Bounds and patches
//
// A never rule forbids, on open planes too, and whatever a workload allows, in the bound's own mode at the instant. It is not weaker
// for a workload's mode, and it weakens no workload: a bound in audit does not turn a denial into a report. A virtual patch forbids in
// enforce, whatever a bound says, for what runs an image that the exception covers; an image that does not parse is covered.
//
// Rules that forbid are read so that doubt forbids. What is known in part is forbidden if it may be what the rule names:
//
//   - exec, file: the object is judged by the last name it had, also when it is deleted or reached through a mount made inside the container. If
//     the name was not found out, or is too long, every pattern matches. A memfd never had a name, and none matches; close the plane
//     to forbid it. Callers are not read. A rule for file forbids reading and writing.
//   - egress, ingress: the other end, port and protocol are read, layer 7 is not, so requests are forbidden too. A peer that names no
//     other end is anyone, an empty port any port, an empty protocol any protocol. If nobody knows which Pod an address is, it may be each one
//     that a rule names by workload or namespace.
//   - image: a reference that does not parse matches every pattern. One by digest alone has no tag, so a rule that is to forbid it has none.
//   - pod: the values of the rule are the forbidden ones. A path of the host is forbidden if it matches the pattern or what matches may lie
//     below it ([ExposesPath]): a mount of /var/run exposes /var/run/docker.sock. A path that is not clean matches every pattern. Who adds the
//     capability "ALL" adds each that is forbidden. [Unread] may be any value.
//
// What is known otherwise is matched as in a workload: a label that is not known, a name that led to no address, does not match.
//
// Require: an image that is to run for a subject that no workload selects is treated by the bound's mode if the bound demands a workload. All
// else under require, and only, acts in the compiler alone.
//
// # Shape
//
// Shape is CUE's (schema.cue, embedded as [CUE]); a test walks the Go types and the CUE definitions and holds them together.
package schema
