// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"strconv"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// How Cilium calls the labels of a Pod, its namespace, and the labels of that (pkg/k8s/apis/cilium.io/const.go).
const (
	ciliumLabel          = "k8s:"
	ciliumNamespace      = "k8s:io.kubernetes.pod.namespace"
	ciliumNamespaceLabel = "k8s:io.cilium.k8s.namespace.labels."
)

// ciliumPolicy makes a CiliumNetworkPolicy.
func ciliumPolicy(w *schema.Workload, s Sides, layer7 bool) object {
	spec := object{"endpointSelector": selectorObject(schema.Selector{Labels: w.Match.Labels, Expressions: w.Match.Expressions}, ciliumLabel)}
	for _, side := range sides {
		if s&side != 0 {
			spec[string(side.Plane())] = ciliumRules(flowsOf(w, side, kindCilium, layer7), side)
		}
	}
	return object{"apiVersion": "cilium.io/v2", "kind": kindCilium, "metadata": networkMetadata(w, s), "spec": spec}
}

// ciliumRules writes what a side allows. A rule without anything allows nothing, and closes the side; an empty list would not close it.
func ciliumRules(f flows, side Sides) []object {
	direction := map[Sides]string{SideEgress: "to", SideIngress: "from"}[side]
	list, names := objects{}, false
	for _, a := range f.allowed {
		to := []object{ciliumPorts(a)}
		switch a.end.kind {
		case endAny:
			list.add(object{"toPorts": to})
		case endPods:
			list.add(object{direction + "Endpoints": []object{ciliumPeer(a.end)}, "toPorts": to})
		case endRange:
			list.add(object{direction + "CIDR": []string{a.end.cidr.String()}, "toPorts": to})
			list.add(object{direction + "Entities": []string{"cluster"}, "toPorts": to})
		case endName:
			names = true
			list.add(object{"toFQDNs": []object{ciliumName(a.end.name)}, "toPorts": to})
			list.add(object{"toEntities": []string{"cluster"}, "toPorts": to})
		}
	}
	if f.resolvers {
		list.add(object{"toPorts": []object{ciliumResolvers(dnsPort, names)}})
		list.add(object{"toEndpoints": []object{ciliumPeer(end{kind: endPods})}, "toPorts": []object{ciliumResolvers(dnsPodPort, names)}})
	}
	if len(list.all) == 0 {
		list.add(object{})
	}
	return list.all
}

// ciliumResolvers allows questions on a port. Where names are peers they go through Cilium's proxy, which learns their addresses from the
// answers. Which names may be asked is not restricted: suffixes that the Pod searches come before the names that the rules state.
func ciliumResolvers(port int, names bool) object {
	number := strconv.Itoa(port)
	o := object{"ports": []object{{"port": number, "protocol": "UDP"}, {"port": number, "protocol": "TCP"}}}
	if names {
		o["rules"] = object{"dns": []object{{"matchPattern": "*"}}}
	}
	return o
}

// ciliumPorts writes a rule's ports, and what may be asked there.
func ciliumPorts(a allowed) object {
	port := object{"protocol": a.ports.protocol, "port": strconv.Itoa(a.ports.low)} // 0 is every port
	if a.ports.name != "" {
		port["port"] = a.ports.name
	}
	if a.ports.high > a.ports.low {
		port["endPort"] = a.ports.high
	}
	o := object{"ports": []object{port}}
	switch a.asks {
	case asksHTTP:
		o["rules"] = object{"http": ciliumRequests(a.rule)}
	case asksTLS:
		names := make([]string, len(a.rule.TLS))
		for i, n := range a.rule.TLS {
			names[i] = strings.ToLower(strings.TrimSuffix(n, "."))
		}
		o["serverNames"] = names
	}
	return o
}

// ciliumName writes a name pattern. Cilium's "*." and "**." at the begin mean what [schema.MatchName] says, of names that consist of letters,
// digits, "-" and "_" (pkg/fqdn/matchpattern).
func ciliumName(pattern string) object {
	if strings.HasPrefix(pattern, "*") {
		return object{"matchPattern": pattern}
	}
	return object{"matchName": pattern}
}

// ciliumPeer selects Pods. Without a namespace Cilium would take that of the policy.
func ciliumPeer(e end) object {
	pods := selectorObject(e.pods, ciliumLabel)
	namespaces := object{}
	if e.namespaces != nil {
		namespaces = selectorObject(*e.namespaces, ciliumNamespaceLabel)
	}
	labels, expressions := object{}, []object{}
	for _, o := range []object{pods, namespaces} {
		if m, ok := o["matchLabels"].(object); ok {
			for k, v := range m {
				labels[k] = v
			}
		}
		if m, ok := o["matchExpressions"].([]object); ok {
			expressions = append(expressions, m...)
		}
	}
	if e.namespace != "" {
		labels[ciliumNamespace] = e.namespace
	} else {
		expressions = append(expressions, object{"key": ciliumNamespace, "operator": "Exists"})
	}
	peer := object{}
	if len(labels) > 0 {
		peer["matchLabels"] = labels
	}
	if len(expressions) > 0 {
		peer["matchExpressions"] = expressions
	}
	return peer
}
