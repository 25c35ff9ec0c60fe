// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// MatchCIDR reports whether an address is in a range of addresses (RFC 4632, RFC 4291). An IPv4-mapped IPv6 address (::ffff:10.0.0.1) is the
// IPv4 address: ranges of IPv4 hold it and ranges of IPv6 do not, not even ::/0. The zone of an address (fe80::1%eth0) is not
// compared. The zero Addr is in no range, and a range that does not parse holds nothing.
func MatchCIDR(cidr string, a netip.Addr) bool {
	prefix, err := netip.ParsePrefix(cidr)
	return err == nil && prefix.Contains(a.Unmap().WithZone(""))
}

// CheckCIDR reads a range of addresses. The error says why it is not valid and what was expected, without the text; a range is valid if it has
// no host bits and is not one of IPv4-mapped IPv6 addresses.
func CheckCIDR(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && !strings.Contains(text, "/") { // a zone may hold a "/"
		a = a.Unmap().WithZone("")
		return netip.Prefix{}, fmt.Errorf("is an address; want a range such as %q", netip.PrefixFrom(a, a.BitLen()))
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("is not a range of addresses; want one such as \"10.20.0.0/16\" or \"2001:db8::/32\"")
	case p.Addr().Is4In6() && p.Bits() >= 96:
		return netip.Prefix{}, fmt.Errorf("is a range of IPv4 addresses written as IPv6; want %q", netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked())
	case p.Masked() != p:
		return netip.Prefix{}, fmt.Errorf("has host bits; want %q", p.Masked())
	}
	return p, nil
}

// MatchPort reports whether a port pattern matches a port of the receiver, by its number or by its name in the receiver's Pod:
//
//	pattern = "" | "*" | number | number "-" number | name
//
// "" and "*" are any port. Numbers are decimal, and a range includes both ends. A name is compared as it is written, and a port
// without a name has none that matches. What is none of these matches nothing.
func MatchPort(pattern string, port int, name string) bool {
	if pattern == "" || pattern == "*" {
		return true
	}
	if strings.Trim(pattern, "0123456789-") != "" {
		return pattern == name
	}
	from, to, ranged := strings.Cut(pattern, "-")
	if !ranged {
		to = from
	}
	low, err1 := parsePort(from)
	high, err2 := parsePort(to)
	return err1 == nil && err2 == nil && low <= port && port <= high
}

// parsePort reads a port as authors write it: 1 to 65535 without leading zeros.
func parsePort(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("has the port %q; want a number from 1 to 65535", text)
	}
	return n, nil
}

// portNameRE is the name of a port in Kubernetes, an IANA service name (RFC 6335, section 5.1) in lower case; that it has a letter and at
// most 15 bytes is tested apart.
var portNameRE = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// CheckPort returns why a port pattern is not valid, or nil. The message says what was expected, without the pattern.
func CheckPort(pattern string) error {
	if pattern == "*" {
		return nil
	}
	if pattern == "" {
		return fmt.Errorf("is empty; want a number, a range such as \"8000-8100\", the name of a port, or \"*\"")
	}
	if strings.Trim(pattern, "0123456789-") != "" {
		if len(pattern) > 15 || !portNameRE.MatchString(pattern) {
			return fmt.Errorf("is not a port; want a number, a range such as \"8000-8100\", a name of at most 15 lower-case letters, digits and single \"-\", or \"*\"")
		}
		return nil
	}
	from, to, ranged := strings.Cut(pattern, "-")
	low, err := parsePort(from)
	if err != nil || !ranged {
		return err
	}
	high, err := parsePort(to)
	if err != nil {
		return err
	}
	if low >= high {
		return fmt.Errorf("is a range from %d to %d; want the lower port first and a higher one after it", low, high)
	}
	return nil
}
