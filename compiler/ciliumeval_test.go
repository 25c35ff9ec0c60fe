// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What follows is the part of CiliumNetworkPolicy (cilium.io/v2) that is made, as Cilium's documentation and pkg/policy say it.

type ciliumPorts struct {
	Ports []struct {
		Port     string `yaml:"port"`
		EndPort  int    `yaml:"endPort"`
		Protocol string `yaml:"protocol"`
	} `yaml:"ports"`
	ServerNames []string `yaml:"serverNames"`
	Rules       struct {
		HTTP []struct {
			Method string `yaml:"method"`
			Path   string `yaml:"path"`
			Host   string `yaml:"host"`
		} `yaml:"http"`
		DNS []ciliumFQDN `yaml:"dns"`
	} `yaml:"rules"`
}

type ciliumFQDN struct {
	MatchName    string `yaml:"matchName"`
	MatchPattern string `yaml:"matchPattern"`
}

type ciliumRule struct {
	ToEndpoints   []netSelector `yaml:"toEndpoints"`
	ToCIDR        []string      `yaml:"toCIDR"`
	ToEntities    []string      `yaml:"toEntities"`
	ToFQDNs       []ciliumFQDN  `yaml:"toFQDNs"`
	FromEndpoints []netSelector `yaml:"fromEndpoints"`
	FromCIDR      []string      `yaml:"fromCIDR"`
	FromEntities  []string      `yaml:"fromEntities"`
	ToPorts       []ciliumPorts `yaml:"toPorts"`
}

type ciliumPolicy struct {
	APIVersion string  `yaml:"apiVersion"`
	Kind       string  `yaml:"kind"`
	Metadata   netMeta `yaml:"metadata"`
	Spec       struct {
		EndpointSelector netSelector  `yaml:"endpointSelector"`
		Egress           []ciliumRule `yaml:"egress"`
		Ingress          []ciliumRule `yaml:"ingress"`
	} `yaml:"spec"`
}

// readCiliumPolicy decodes a CiliumNetworkPolicy strictly, and refuses what Cilium would (pkg/policy/api/rule_validation.go).
func readCiliumPolicy(data []byte) (ciliumPolicy, error) {
	var p ciliumPolicy
	if err := strictly(data, &p); err != nil {
		return p, err
	}
	if p.APIVersion != "cilium.io/v2" || p.Kind != "CiliumNetworkPolicy" || p.Metadata.Namespace == "" || len(p.Spec.Egress)+len(p.Spec.Ingress) == 0 {
		return p, fmt.Errorf("is no policy")
	}
	for _, r := range slices.Concat(p.Spec.Egress, p.Spec.Ingress) {
		ends := 0
		for _, n := range []int{len(r.ToEndpoints), len(r.ToCIDR), len(r.ToEntities), len(r.ToFQDNs), len(r.FromEndpoints), len(r.FromCIDR), len(r.FromEntities)} {
			ends += min(n, 1)
		}
		if ends > 1 {
			return p, fmt.Errorf("combines ends")
		}
		for _, to := range r.ToPorts {
			asks := len(to.Rules.HTTP) + len(to.Rules.DNS)
			if asks > 0 && len(to.ServerNames) > 0 || len(to.Rules.HTTP) > 0 && len(to.Rules.DNS) > 0 {
				return p, fmt.Errorf("combines layer 7")
			}
			for _, port := range to.Ports {
				if asks > 0 && port.Port == "0" || len(to.Rules.DNS) > 0 && port.EndPort > 0 || len(to.Rules.HTTP) > 0 && port.Protocol != "TCP" {
					return p, fmt.Errorf("layer 7 on port %q %s", port.Port, port.Protocol)
				}
			}
		}
	}
	return p, nil
}

// identity returns the labels of an endpoint as Cilium sees them.
func (p *netPod) identity() map[string]string {
	labels := map[string]string{"k8s:io.kubernetes.pod.namespace": p.namespace}
	for k, v := range p.labels {
		labels["k8s:"+k] = v
	}
	for k, v := range p.namespaceLabels {
		labels["k8s:io.cilium.k8s.namespace.labels."+k] = v
	}
	return labels
}

// ciliumAllows says what both kinds of policy together do with a connection, or with what is asked over it. Rules that name the same end and port
// share one proxy: where one wants HTTP all must be HTTP, where one wants names of TLS servers all must have one of those wanted, and where
// one wants DNS nothing else passes.
func ciliumAllows(plain []netPolicy, policies []ciliumPolicy, f netFlow, asked bool) bool {
	isolated, l4 := false, 0
	for _, p := range plain {
		if p.Metadata.Namespace != f.pod.namespace || !p.Spec.PodSelector.selects(f.pod.labels) {
			continue
		}
		rules := p.Spec.Ingress
		if f.egress {
			rules = p.Spec.Egress
		}
		isolated = isolated || rules != nil
		for i := range rules0(rules) {
			if (*rules)[i].allows(p.Metadata.Namespace, f) {
				l4++
			}
		}
	}
	var restricted []ciliumPorts
	for _, p := range policies {
		rules := p.Spec.Ingress
		if f.egress {
			rules = p.Spec.Egress
		}
		if p.Metadata.Namespace != f.pod.namespace || len(rules) == 0 || !p.Spec.EndpointSelector.selects(f.pod.identity()) {
			continue
		}
		isolated = true
		for _, r := range rules {
			for _, to := range r.ToPorts {
				switch {
				case !r.is(p.Metadata.Namespace, f) || !to.is(f):
				case len(to.Rules.HTTP)+len(to.Rules.DNS)+len(to.ServerNames) > 0:
					restricted = append(restricted, to)
				default:
					l4++
				}
			}
		}
	}
	switch {
	case f.fromOwnNode || !isolated:
		return true
	case !asked || len(restricted) == 0:
		return l4+len(restricted) > 0
	}
	return passes(restricted, l4 > 0, f)
}

func rules0(r *[]netRule) []netRule {
	if r == nil {
		return nil
	}
	return *r
}

// passes is what the proxies do. wildcard says that a rule without layer 7 stands beside.
func passes(restricted []ciliumPorts, wildcard bool, f netFlow) bool {
	has := func(what func(ciliumPorts) bool) bool { return slices.ContainsFunc(restricted, what) }
	if has(func(p ciliumPorts) bool { return len(p.Rules.DNS) > 0 }) {
		return false
	}
	if has(func(p ciliumPorts) bool { return len(p.ServerNames) > 0 }) {
		return f.secure && has(func(p ciliumPorts) bool {
			return slices.ContainsFunc(p.ServerNames, func(n string) bool { return ciliumNameMatches(n, f.serverName) })
		})
	}
	return (f.http != nil || f.call != "") && (wildcard || has(func(p ciliumPorts) bool { return p.allowsRequest(f) }))
}

func (p *ciliumPorts) allowsRequest(f netFlow) bool {
	method, path, host := "POST", "/"+f.call, ""
	if f.http != nil {
		method, path, host = f.http.Method, resolvedPath(f.http.Path), f.http.Host
	}
	whole := func(expression, s string) bool {
		return expression == "" || regexp.MustCompile("^(?:"+expression+")$").MatchString(s)
	}
	for _, h := range p.Rules.HTTP {
		if whole(h.Method, method) && whole(h.Path, path) && whole(h.Host, host) {
			return true
		}
	}
	return false
}

// resolvedPath resolves dot segments, which may be encoded, and leaves all else as it is.
func resolvedPath(path string) string {
	path, query, hasQuery := strings.Cut(path, "?")
	var out []string
	segments := strings.Split(path, "/")
	for i, s := range segments {
		switch strings.ReplaceAll(strings.ToLower(s), "%2e", ".") {
		case ".":
		case "..":
			if len(out) > 1 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, s)
			continue
		}
		if i == len(segments)-1 {
			out = append(out, "")
		}
	}
	if path = strings.Join(out, "/"); hasQuery {
		path += "?" + query
	}
	return path
}

// ciliumNameMatches is pkg/fqdn/matchpattern: "**." at the begin is one label or more, any other "*" a run of characters within a label.
func ciliumNameMatches(pattern, name string) bool {
	expression := strings.ReplaceAll(strings.ToLower(strings.TrimSuffix(pattern, ".")), ".", "[.]")
	if rest, ok := strings.CutPrefix(expression, "**[.]"); ok {
		expression = "([-a-z0-9_]+([.][-a-z0-9_]+)*)[.]" + rest
	}
	if rest, ok := strings.CutPrefix(expression, "*"); ok {
		expression = "[-a-z0-9_]*" + rest
	}
	return regexp.MustCompile("^" + expression + "$").MatchString(strings.ToLower(strings.TrimSuffix(name, ".")))
}

func (p *ciliumPorts) is(f netFlow) bool {
	for _, port := range p.Ports {
		if port.Protocol != f.protocol {
			continue
		}
		low, err := strconv.Atoi(port.Port)
		high := max(low, port.EndPort)
		if err == nil && (low == 0 || low <= f.port && f.port <= high) || err != nil && f.portName == port.Port && (!f.egress || f.peer != nil) {
			return true
		}
	}
	return false
}

// is reports whether a rule names the other end. Ranges and names hold nobody in the cluster.
func (r *ciliumRule) is(namespace string, f netFlow) bool {
	endpoints, cidrs, entities := r.FromEndpoints, r.FromCIDR, r.FromEntities
	if f.egress {
		endpoints, cidrs, entities = r.ToEndpoints, r.ToCIDR, r.ToEntities
	}
	inside := f.peer != nil || f.peerOnNode
	switch {
	case len(endpoints) > 0:
		return f.peer != nil && slices.ContainsFunc(endpoints, func(s netSelector) bool {
			own := !strings.Contains(fmt.Sprint(s), "k8s:io.kubernetes.pod.namespace") && f.peer.namespace != namespace
			return !own && s.selects(f.peer.identity())
		})
	case len(cidrs) > 0:
		return !inside && f.address.IsValid() && slices.ContainsFunc(cidrs, func(c string) bool {
			return netip.MustParsePrefix(c).Contains(f.address.Unmap().WithZone(""))
		})
	case len(entities) > 0:
		return inside && entities[0] == "cluster"
	case len(r.ToFQDNs) > 0:
		return !inside && slices.ContainsFunc(r.ToFQDNs, func(n ciliumFQDN) bool {
			return slices.ContainsFunc(f.names, func(name string) bool { return ciliumNameMatches(n.MatchName+n.MatchPattern, name) })
		})
	}
	return true
}
