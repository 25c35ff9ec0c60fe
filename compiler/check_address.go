// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// reservedRange is an address range that no peer has, or that is never judged.
type reservedRange struct {
	prefix netip.Prefix
	why    string
	judged bool // by bounds: what is never judged cannot be forbidden either
	udp    bool // makes sense over udp
}

// reservedRanges are from the IANA registries of special-purpose addresses (RFC 6890) and of multicast.
var reservedRanges = []reservedRange{
	{netip.MustParsePrefix("127.0.0.0/8"), "is loopback, which is not judged within a network namespace", false, false},
	{netip.MustParsePrefix("::1/128"), "is loopback, which is not judged within a network namespace", false, false},
	{netip.MustParsePrefix("0.0.0.0/8"), "is \"this network\" (RFC 1122), which no peer has", true, false},
	{netip.MustParsePrefix("::/128"), "is the unspecified address, which no peer has", true, false},
	{netip.MustParsePrefix("192.0.2.0/24"), "is for documentation (RFC 5737)", true, false},
	{netip.MustParsePrefix("198.51.100.0/24"), "is for documentation (RFC 5737)", true, false},
	{netip.MustParsePrefix("203.0.113.0/24"), "is for documentation (RFC 5737)", true, false},
	{netip.MustParsePrefix("2001:db8::/32"), "is for documentation (RFC 3849)", true, false},
	{netip.MustParsePrefix("3fff::/20"), "is for documentation (RFC 9637)", true, false},
	{netip.MustParsePrefix("224.0.0.0/4"), "is multicast, which has no connections", true, true},
	{netip.MustParsePrefix("ff00::/8"), "is multicast, which has no connections", true, true},
	{netip.MustParsePrefix("240.0.0.0/4"), "is reserved (RFC 1112), and no peer has it", true, true},
}

// metadataRanges are where the services of clouds stand that give an instance its credentials.
var metadataRanges = []netip.Prefix{
	netip.MustParsePrefix("169.254.169.254/32"), // Amazon, Google, Azure, Oracle, DigitalOcean
	netip.MustParsePrefix("169.254.170.2/32"),   // Amazon ECS
	netip.MustParsePrefix("169.254.170.23/32"),  // Amazon EKS Pod Identity
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba
	netip.MustParsePrefix("fd00:ec2::254/128"),  // Amazon, IPv6
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google, IPv6
}

// metadataNames are their names.
var metadataNames = []string{"metadata.google.internal", "instance-data.ec2.internal", "metadata.azure.internal"}

// prefixInside reports whether all of a lies in b.
func prefixInside(a, b netip.Prefix) bool { return a.Bits() >= b.Bits() && b.Contains(a.Addr()) }

// address warns of a valid range that makes no sense, or too much of it. allows says that it stands in a rule rather than in a bound.
func (r *report) address(where []string, what, cidr, protocol string, allows, enforced bool) {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return
	}
	for _, reserved := range reservedRanges {
		if prefixInside(p, reserved.prefix) && (allows || !reserved.judged) && !(reserved.udp && protocol == "udp") {
			r.warn(codeReserved, where, "%s %q %s; want the range of the peer", what, cidr, reserved.why)
			return
		}
	}
	if !allows {
		return
	}
	if p.Bits() == 0 {
		if enforced {
			r.warn(codeEverything, where, "%s %q is every address, the cloud's metadata service among them, in mode \"enforce\"; want the ranges of the peers", what, cidr)
		}
		return
	}
	for _, m := range metadataRanges {
		if prefixInside(m, p) && p.Bits() >= 16 { // of a wide range it is one address among many
			r.warn(codeMetadata, where, "%s %q allows the cloud's metadata service at %s, which gives credentials; want it only where a workload needs them",
				what, cidr, m.Addr())
			return
		}
	}
}

// reservedNames are the top-level domains that RFC 6761 and RFC 6762 keep from the DNS.
var reservedNames = map[string]string{
	"invalid":   "ends in \"invalid\", which never resolves (RFC 6761)",
	"test":      "ends in \"test\", which is for tests (RFC 6761)",
	"example":   "ends in \"example\", which is for documentation (RFC 6761)",
	"localhost": "is loopback, which is not judged within a network namespace",
	"local":     "ends in \"local\", which is multicast DNS (RFC 6762)",
}

// sharedSuffixes are names below which anybody can have one, beside top-level domains: from the public suffix list, what policies name.
var sharedSuffixes = []string{
	"co.uk", "org.uk", "com.au", "co.jp", "co.nz", "co.in", "co.kr", "com.br", "com.cn", "com.mx", "com.sg", "com.tr", "co.za",
	"amazonaws.com", "s3.amazonaws.com", "elb.amazonaws.com", "execute-api.amazonaws.com", "cloudfront.net", "elasticbeanstalk.com", "awsapps.com",
	"azurewebsites.net", "cloudapp.net", "cloudapp.azure.com", "azureedge.net", "blob.core.windows.net", "core.windows.net", "azurecr.io",
	"appspot.com", "run.app", "web.app", "firebaseapp.com", "cloudfunctions.net", "googleusercontent.com",
	"github.io", "githubusercontent.com", "gitlab.io", "pages.dev", "workers.dev", "r2.dev", "vercel.app", "netlify.app", "herokuapp.com",
	"fly.dev", "onrender.com", "ngrok.io", "ngrok.app", "ngrok-free.app", "trycloudflare.com", "duckdns.org", "digitaloceanspaces.com", "fastly.net",
}

// foldName returns a name as names are compared.
func foldName(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// splitWild splits a name pattern into "", "*" or "**" and the rest.
func splitWild(pattern string) (wild, rest string) {
	pattern = foldName(pattern)
	for _, w := range []string{"**", "*"} {
		if after, ok := strings.CutPrefix(pattern, w+"."); ok {
			return w, after
		}
	}
	return "", pattern
}

// nameDoubts checks what a valid name pattern stands for.
func (r *report) nameDoubts(where []string, what, pattern string, allows bool) {
	wild, rest := splitWild(pattern)
	labels := strings.Split(rest, ".")
	last := labels[len(labels)-1]
	cluster := strings.HasSuffix(rest, ".svc.cluster.local") || rest == "svc.cluster.local"
	switch {
	case len(labels) == 1 && wild == "" && reservedNames[last] == "":
		r.fail(where, "%s %q has one label; want the whole name that is resolved, such as %q, or \"workload\"", what, pattern, rest+".example.com")
	case reservedNames[last] != "" && !cluster && (allows || last == "localhost"):
		r.warn(codeReserved, where, "%s %q %s; want the name of the peer", what, pattern, reservedNames[last])
	case allows && wild != "" && (len(labels) == 1 || slices.Contains(sharedSuffixes, rest)):
		r.warn(codeWildcard, where, "%s %q stands for the names of different owners: anybody can have one below %q; want the names of the peer", what, pattern, rest)
	case allows && wild == "" && slices.Contains(metadataNames, rest):
		r.warn(codeMetadata, where, "%s %q is the cloud's metadata service, which gives credentials; want it only where a workload needs them", what, pattern)
	}
}

// nameCovers reports whether every name that a valid pattern matches is matched by another.
func nameCovers(broad, narrow string) bool {
	bWild, bRest := splitWild(broad)
	nWild, nRest := splitWild(narrow)
	switch {
	case bWild == "":
		return nWild == "" && nRest == bRest
	case bWild == "*" && nWild == "":
		_, above, ok := strings.Cut(nRest, ".")
		return ok && above == bRest
	case bWild == "*":
		return nWild == "*" && nRest == bRest
	case nWild == "":
		return strings.HasSuffix(nRest, "."+bRest)
	}
	return nRest == bRest || strings.HasSuffix(nRest, "."+bRest)
}

// portSpan is what a port stands for: numbers from lo to hi, or one name. all includes every name.
type portSpan struct {
	lo, hi int
	name   string
	all    bool
}

// spanOf reads a valid port; "" is any.
func spanOf(port string) portSpan {
	if port == "" || port == "*" {
		return portSpan{lo: 0, hi: 65535, all: true}
	}
	lo, hi, isRange := strings.Cut(port, "-")
	l, err := strconv.Atoi(lo)
	if err != nil {
		return portSpan{name: port}
	}
	h := l
	if isRange {
		if h, err = strconv.Atoi(hi); err != nil {
			return portSpan{name: port}
		}
	}
	if l <= 1 && h == 65535 {
		return spanOf("*")
	}
	return portSpan{lo: l, hi: h}
}

func (s portSpan) covers(o portSpan) bool {
	switch {
	case s.all:
		return true
	case s.name != "" || o.name != "":
		return s.name == o.name
	}
	return s.lo <= o.lo && o.hi <= s.hi
}

// meets reports whether both can stand for one port. A name can stand for any number.
func (s portSpan) meets(o portSpan) bool {
	switch {
	case s.name != "" && o.name != "":
		return s.name == o.name
	case s.name != "" || o.name != "":
		return true
	}
	return s.lo <= o.hi && o.lo <= s.hi
}
