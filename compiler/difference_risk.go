// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// ruleRisk returns how much to look at a rule of a plane that comes or goes. Where nothing is stopped, it is one level less.
func ruleRisk(base, head *schema.Closure) func(*schema.Rule, bool) Risk {
	stops := diffModeOf(base).strictest() == schema.ModeEnforce || diffModeOf(head).strictest() == schema.ModeEnforce
	return func(r *schema.Rule, widened bool) Risk {
		switch {
		case !widened:
			return narrowedRisk(diffModeOf(head))
		case !stops:
			return breadth(r).lowered()
		}
		return breadth(r)
	}
}

// breadth says how much one rule allows.
func breadth(r *schema.Rule) Risk {
	switch r.Verb {
	case schema.VerbExec, schema.VerbWrite:
		return pathBreadth(r.Object)
	case schema.VerbRead:
		return pathBreadth(r.Object).lowered()
	case schema.VerbRun:
		return pathBreadth(r.Object)
	case schema.VerbUse:
		if slices.Contains(mightyCapabilities, r.Object) {
			return RiskHigh
		}
		return RiskMedium
	case schema.VerbConnect, schema.VerbAccept:
		return peerBreadth(r.Peer)
	case schema.VerbSigned:
		return RiskHigh
	case schema.VerbSet:
		if slices.Contains(mightyFields, schema.PodField(r.Object)) {
			return RiskHigh
		}
	}
	return RiskMedium
}

// mightyCapabilities lead from a container to its host; see capabilities(7).
var mightyCapabilities = []string{"CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_DAC_READ_SEARCH", "CAP_BPF",
	"CAP_PERFMON", "CAP_MKNOD", "CAP_SYS_BOOT", "CAP_MAC_ADMIN"}

// mightyFields are those of a Pod that do.
var mightyFields = []schema.PodField{schema.PodHostNetwork, schema.PodHostPID, schema.PodHostIPC, schema.PodPrivileged, schema.PodHostPaths,
	schema.PodAddCapabilities, schema.PodHostProcess}

func pathBreadth(pattern string) Risk {
	switch {
	case strings.Contains(pattern, "**"):
		return RiskHigh
	case strings.Contains(pattern, "*"):
		return RiskMedium
	}
	return RiskLow
}

func peerBreadth(p *schema.Peer) Risk {
	if p == nil {
		return RiskHigh
	}
	risk := RiskLow
	switch {
	case p.CIDR != "":
		risk = cidrBreadth(p.CIDR)
	case strings.HasPrefix(p.DNS, "**"):
		risk = RiskHigh
	case strings.HasPrefix(p.DNS, "*"), p.Namespaces != nil, p.Namespace != "":
		risk = RiskMedium
	}
	if from, to, ok := diffPortRange(p.Port); ok && to-from < 1000 || !ok && p.Port != "" && p.Port != "*" {
		return risk
	}
	return max(risk, RiskMedium) // very many ports
}

// cidrBreadth takes a network of a site for much, and a few hosts for little.
func cidrBreadth(cidr string) Risk {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return RiskHigh
	}
	switch free := p.Addr().BitLen() - p.Bits(); {
	case p.Addr().Is4() && free > 16 || free > 80: // more than a /16, or an IPv6 /48
		return RiskHigh
	case p.Addr().Is4() && free > 4 || free > 64:
		return RiskMedium
	}
	return RiskLow
}
