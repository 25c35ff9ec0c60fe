// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/writ-sec/writ/schema"
)

// What follows is NetworkPolicy (networking.k8s.io/v1) as its reference documentation says it, read from YAML. It knows nothing of how
// policies are made.

type netMeta struct {
	Name        string            `yaml:"name"`
	Namespace   string            `yaml:"namespace"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

type netSelector struct {
	MatchLabels      map[string]string `yaml:"matchLabels"`
	MatchExpressions []struct {
		Key      string   `yaml:"key"`
		Operator string   `yaml:"operator"`
		Values   []string `yaml:"values"`
	} `yaml:"matchExpressions"`
}

type netPeer struct {
	PodSelector       *netSelector `yaml:"podSelector"`
	NamespaceSelector *netSelector `yaml:"namespaceSelector"`
	IPBlock           *struct {
		CIDR string `yaml:"cidr"`
	} `yaml:"ipBlock"`
}

type netPort struct {
	Protocol string    `yaml:"protocol"`
	Port     yaml.Node `yaml:"port"`
	EndPort  *int      `yaml:"endPort"`
}

type netRule struct {
	Ports []netPort `yaml:"ports"`
	To    []netPeer `yaml:"to"`
	From  []netPeer `yaml:"from"`
}

type netPolicy struct {
	APIVersion string  `yaml:"apiVersion"`
	Kind       string  `yaml:"kind"`
	Metadata   netMeta `yaml:"metadata"`
	Spec       struct {
		PodSelector netSelector `yaml:"podSelector"`
		PolicyTypes []string    `yaml:"policyTypes"`
		Egress      *[]netRule  `yaml:"egress"`
		Ingress     *[]netRule  `yaml:"ingress"`
	} `yaml:"spec"`
}

func strictly(data []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	return d.Decode(into)
}

// readNetPolicy decodes a NetworkPolicy strictly, and refuses what the API server would.
func readNetPolicy(data []byte) (netPolicy, error) {
	var p netPolicy
	if err := strictly(data, &p); err != nil {
		return p, err
	}
	switch {
	case p.APIVersion != "networking.k8s.io/v1" || p.Kind != "NetworkPolicy":
		return p, fmt.Errorf("is a %s of %s", p.Kind, p.APIVersion)
	case p.Metadata.Name == "" || p.Metadata.Namespace == "" || len(p.Spec.PolicyTypes) == 0:
		return p, fmt.Errorf("lacks a name, a namespace or its types")
	case slices.Contains(p.Spec.PolicyTypes, "Egress") != (p.Spec.Egress != nil), slices.Contains(p.Spec.PolicyTypes, "Ingress") != (p.Spec.Ingress != nil):
		return p, fmt.Errorf("has rules without a type, or the other way")
	}
	for _, rules := range []*[]netRule{p.Spec.Egress, p.Spec.Ingress} {
		if rules == nil {
			continue
		}
		for _, r := range *rules {
			if err := r.check(); err != nil {
				return p, err
			}
		}
	}
	return p, p.Spec.PodSelector.check()
}

func (r *netRule) check() error {
	for _, port := range r.Ports {
		if !slices.Contains([]string{"TCP", "UDP", "SCTP"}, port.Protocol) {
			return fmt.Errorf("protocol %q", port.Protocol)
		}
		n, err := strconv.Atoi(port.Port.Value)
		if port.Port.Tag == "!!int" && (err != nil || n < 1 || n > 65535) || port.EndPort != nil && (err != nil || *port.EndPort < n || *port.EndPort > 65535) {
			return fmt.Errorf("port %q", port.Port.Value)
		}
	}
	for _, peer := range slices.Concat(r.To, r.From) {
		for _, s := range []*netSelector{peer.PodSelector, peer.NamespaceSelector} {
			if s != nil && s.check() != nil {
				return s.check()
			}
		}
		if peer.IPBlock != nil {
			p, err := netip.ParsePrefix(peer.IPBlock.CIDR)
			if err != nil || p != p.Masked() || peer.PodSelector != nil || peer.NamespaceSelector != nil {
				return fmt.Errorf("ipBlock %q", peer.IPBlock.CIDR)
			}
		} else if peer.PodSelector == nil && peer.NamespaceSelector == nil {
			return fmt.Errorf("empty peer")
		}
	}
	return nil
}

func (s *netSelector) check() error {
	for _, x := range s.MatchExpressions {
		wants := x.Operator == "In" || x.Operator == "NotIn"
		if wants != (len(x.Values) > 0) || !wants && x.Operator != "Exists" && x.Operator != "DoesNotExist" {
			return fmt.Errorf("operator %q with %d values", x.Operator, len(x.Values))
		}
	}
	return nil
}

func (s *netSelector) selects(labels map[string]string) bool {
	for k, v := range s.MatchLabels {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	for _, x := range s.MatchExpressions {
		got, ok := labels[x.Key]
		switch x.Operator {
		case "In":
			ok = ok && slices.Contains(x.Values, got)
		case "NotIn":
			ok = !ok || !slices.Contains(x.Values, got)
		case "DoesNotExist":
			ok = !ok
		}
		if !ok {
			return false
		}
	}
	return true
}

// netFlow is a connection in a cluster, seen from a Pod.
type netFlow struct {
	egress      bool
	pod         netPod
	peer        *netPod // nil: no Pod, or one on the network of its host
	address     netip.Addr
	port        int
	portName    string // of the receiver's Pod
	protocol    string // "TCP", "UDP" or "SCTP"
	fromOwnNode bool
	peerOnNode  bool     // it is a process of a node of the cluster
	names       []string // that led to the address, as a proxy of DNS saw it
	http        *schema.Request
	call        string // gRPC
	secure      bool
	serverName  string
}

type netPod struct {
	namespace       string
	namespaceLabels map[string]string
	labels          map[string]string
}

// netAllows says what NetworkPolicies do with a connection: a Pod that none selects is not isolated, one that some select may what one of
// these allows, and what comes from its own node always passes.
func netAllows(policies []netPolicy, f netFlow) bool {
	isolated := false
	for _, p := range policies {
		rules, policyType := p.Spec.Ingress, "Ingress"
		if f.egress {
			rules, policyType = p.Spec.Egress, "Egress"
		}
		if p.Metadata.Namespace != f.pod.namespace || !slices.Contains(p.Spec.PolicyTypes, policyType) || !p.Spec.PodSelector.selects(f.pod.labels) {
			continue
		}
		isolated = true
		for _, r := range *rules {
			if r.allows(p.Metadata.Namespace, f) {
				return true
			}
		}
	}
	return !isolated || f.fromOwnNode
}

func (r *netRule) allows(namespace string, f netFlow) bool {
	peers := r.From
	if f.egress {
		peers = r.To
	}
	for _, p := range slices.Concat(peers, []netPeer{{}})[:max(1, len(peers))] {
		if len(peers) > 0 && !p.is(namespace, f) {
			continue
		}
		selected := len(peers) > 0 && p.IPBlock == nil // who is selected can be asked for the names of its ports
		if len(r.Ports) == 0 || slices.ContainsFunc(r.Ports, func(port netPort) bool { return port.is(f) && (port.Port.Tag != "!!str" || !f.egress || selected) }) {
			return true
		}
	}
	return false
}

func (p *netPort) is(f netFlow) bool {
	if p.Protocol != f.protocol {
		return false
	}
	if p.Port.Value == "" {
		return true
	}
	if p.Port.Tag == "!!str" {
		return f.portName == p.Port.Value && (!f.egress || f.peer != nil)
	}
	low, _ := strconv.Atoi(p.Port.Value)
	high := low
	if p.EndPort != nil {
		high = *p.EndPort
	}
	return low <= f.port && f.port <= high
}

func (p *netPeer) is(namespace string, f netFlow) bool {
	if p.IPBlock != nil {
		return f.address.IsValid() && netip.MustParsePrefix(p.IPBlock.CIDR).Contains(f.address.Unmap().WithZone(""))
	}
	if f.peer == nil || p.PodSelector != nil && !p.PodSelector.selects(f.peer.labels) {
		return false
	}
	if p.NamespaceSelector == nil {
		return f.peer.namespace == namespace
	}
	return p.NamespaceSelector.selects(f.peer.namespaceLabels)
}
