// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

// Note is one thing that a policy of the network does not say as the rules do. The zero Note is none.
type Note uint8

// Why there is no policy for a plane. A policy of the network denies for a whole Pod at once and has no other mode than enforce, so what it
// cannot say it must not deny.
const (
	WhyMode      Note = iota + 1 // the mode of the plane is not enforce
	WhyDated                     // the mode changes on a date, on one side of which it is not enforce, and no instant is given
	WhyHost                      // the workload selects by cgroup, or the host
	WhyContainer                 // it selects single containers of a Pod
	WhyNamespace                 // it names no namespace
	WhyNothing                   // its selector selects no Pod
	WhyLarge                     // the policy would be bigger than the API server takes
	WhyOverlap                   // another workload may select the same Pods, and has no policy for the plane: its rules would be missing
)

// What of a policy is wider than the rules.
const (
	WiderName      Note = iota + 32 // a peer by name: any address on the port
	WiderHost                       // a peer that need not be in a Pod: any address on the port
	WiderContainer                  // single containers as a peer: their Pods
	WiderPortName                   // the name of a port where the receiver need not be a Pod: every port of the protocol
	WiderLayer7                     // HTTP, gRPC, TLS: every connection to the peer and port
	WiderResolvers                  // questions to resolvers: port 53 of anyone, and 5353 of any Pod
	WiderCluster                    // ranges and names as Cilium reads them hold no Pods and nodes: these are allowed beside them, on the port
	WiderShared                     // another workload may select the same Pods, and proxies of the one would narrow the other: no names, no requests
)

var noteTexts = map[Note]string{
	WhyMode:        "the mode is not enforce",
	WhyDated:       "the mode changes on a date and does not enforce on both sides of it; compile with --at",
	WhyHost:        "the workload selects by cgroup or the host, and a policy of the network selects Pods",
	WhyContainer:   "the workload selects single containers, and a policy of the network holds for a whole Pod",
	WhyNamespace:   "the workload names no namespace, and a policy of the network stands in one",
	WhyNothing:     "the workload selects no Pod",
	WhyLarge:       "the policy would be bigger than 1 MiB; name ranges or selectors instead of many peers",
	WhyOverlap:     "another workload that may select the same Pods has none, and its rules would be missing",
	WiderName:      "a peer by name is any address on the port",
	WiderHost:      "a peer outside of Pods is any address on the port",
	WiderContainer: "a peer by container is the whole Pod",
	WiderPortName:  "a port by name is every port where the peer need not be a Pod",
	WiderLayer7:    "requests are not judged: every connection to the peer and port",
	WiderResolvers: "resolvers may be anyone on port 53, and any Pod on port 5353",
	WiderCluster:   "a range or name holds every Pod and node of the cluster too, on the port",
	WiderShared:    "names and requests are not judged, because another workload may select the same Pods",
}

// String says it in words, without a full stop.
func (n Note) String() string { return noteTexts[n] }
