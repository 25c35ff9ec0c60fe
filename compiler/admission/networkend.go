// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// endKind is how a policy of the network can name the other end of a connection.
type endKind int

const (
	endNobody endKind = iota // no connection that is possible
	endAny                   // anyone
	endPods                  // Pods by their labels and their namespace
	endRange                 // a range of addresses
	endName                  // the addresses that a name led to
)

// end is the other end of a rule: the smallest superset of what [schema.MatchPeer] matches that can be named.
type end struct {
	kind       endKind
	pods       schema.Selector
	namespace  string           // of the Pods, or ""
	namespaces *schema.Selector // theirs by labels; nil with an empty namespace: any
	cidr       netip.Prefix
	name       string // a name pattern, folded
}

// endOf returns the other end of a peer, and what of it is wider than the peer.
func endOf(p *schema.Peer) (end, []Note) {
	switch {
	case p.Workload != "" || p.Match != nil:
		return endOfMatch(p.Match)
	case p.Namespace != "":
		return end{kind: endPods, namespace: p.Namespace}, nil
	case p.Namespaces != nil:
		if never(*p.Namespaces) {
			return end{}, nil
		}
		return end{kind: endPods, namespaces: p.Namespaces}, nil
	case p.CIDR != "":
		prefix, err := netip.ParsePrefix(p.CIDR)
		if err != nil || prefix.Addr().Is4In6() {
			return end{}, nil // holds nothing, see MatchCIDR
		}
		return end{kind: endRange, cidr: prefix.Masked()}, nil
	case p.DNS != "":
		return end{kind: endName, name: strings.ToLower(strings.TrimSuffix(p.DNS, "."))}, nil
	}
	return end{}, nil
}

// endOfMatch returns the Pods that have a container which a match selects. What is not certainly in a Pod has any address.
func endOfMatch(m *schema.Match) (end, []Note) {
	switch {
	case m == nil || m.Zero() || never(schema.Selector{Labels: m.Labels, Expressions: m.Expressions}):
		return end{}, nil
	case m.Host || m.Namespace == "" && len(m.Labels)+len(m.Expressions) == 0:
		return end{kind: endAny}, []Note{WiderHost}
	}
	e := end{kind: endPods, pods: schema.Selector{Labels: m.Labels, Expressions: m.Expressions}, namespace: m.Namespace}
	if m.Container != "" || m.Cgroup != "" {
		return e, []Note{WiderContainer}
	}
	return e, nil
}

// never reports whether a selector selects nothing, whatever the labels: Kubernetes refuses an empty list of values.
func never(s schema.Selector) bool {
	for _, x := range s.Expressions {
		if x.In != nil && len(x.In) == 0 {
			return true
		}
	}
	return false
}

// selectorObject writes a selector as a LabelSelector of Kubernetes, each key with a prefix. In, NotIn, Exists and DoesNotExist mean there what
// [schema.Expression.Holds] says: NotIn holds where the label is not there.
func selectorObject(s schema.Selector, prefix string) object {
	o := object{}
	if len(s.Labels) > 0 {
		labels := object{}
		for k, v := range s.Labels {
			labels[prefix+k] = v
		}
		o["matchLabels"] = labels
	}
	var list []object
	add := func(key, operator string, values []string) {
		x := object{"key": prefix + key, "operator": operator}
		if values != nil {
			x["values"] = values
		}
		list = append(list, x)
	}
	for _, key := range sortedKeys(s.Expressions) {
		x := s.Expressions[key]
		if len(x.In) > 0 {
			add(key, "In", x.In)
		}
		if len(x.NotIn) > 0 {
			add(key, "NotIn", x.NotIn)
		}
		if x.Exists != nil && *x.Exists {
			add(key, "Exists", nil)
		} else if x.Exists != nil {
			add(key, "DoesNotExist", nil)
		}
	}
	if len(list) > 0 {
		o["matchExpressions"] = list
	}
	return o
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// ports are those of a rule. The zero low with an empty name is every port.
type ports struct {
	protocol  string // "TCP", "UDP" or "SCTP"
	low, high int    // both included
	name      string
}

// portsOf reads a port pattern as [schema.MatchPort] does. ok is false if it matches nothing. Names of ports stand only where the receiver is
// certainly a Pod that can be asked for them; elsewhere they become every port.
func portsOf(p *schema.Peer, named bool) (all ports, notes []Note, ok bool) {
	all.protocol, ok = map[string]string{"tcp": "TCP", "udp": "UDP", "sctp": "SCTP"}[p.Protocol]
	switch {
	case !ok:
		return all, nil, false
	case p.Port == "" || p.Port == "*":
		return all, nil, true
	case strings.Trim(p.Port, "0123456789-") != "":
		if schema.CheckPort(p.Port) != nil {
			return all, nil, false // no Pod can have a port of that name
		}
		if !named {
			return all, []Note{WiderPortName}, true
		}
		all.name = p.Port
		return all, nil, true
	}
	from, to, ranged := strings.Cut(p.Port, "-")
	if !ranged {
		to = from
	}
	all.low, all.high = portNumber(from), portNumber(to)
	return all, nil, all.low > 0 && all.low <= all.high
}

// portNumber reads a port as the schema does; 0 is none.
func portNumber(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != text {
		return 0
	}
	return n
}

// meet reports whether a port can be of both. A name can be any port.
func (p ports) meet(q ports) bool {
	return p.protocol == q.protocol && (p.low == 0 || q.low == 0 || p.low <= q.high && q.low <= p.high)
}
