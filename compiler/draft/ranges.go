// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"net/netip"
)

// maxRanges bounds how many CIDRs one range is split into. A single address taken out of 0.0.0.0/0 makes 32.
const maxRanges = 128

// without returns the CIDRs that together are a prefix but for others, in the order of their addresses. ok is false if there are more
// than maxRanges.
func without(p netip.Prefix, except []netip.Prefix) (rest []netip.Prefix, ok bool) {
	for _, e := range except {
		if e.Bits() <= p.Bits() && e.Contains(p.Addr()) {
			return nil, true
		}
	}
	inside := false
	for _, e := range except {
		inside = inside || p.Overlaps(e)
	}
	if !inside {
		return []netip.Prefix{p}, true
	}
	low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	for _, half := range []netip.Prefix{low, netip.PrefixFrom(upper(p), p.Bits()+1)} {
		part, ok := without(half, except)
		if rest = append(rest, part...); !ok || len(rest) > maxRanges {
			return nil, false
		}
	}
	return rest, true
}

// upper returns the first address of the upper half of a prefix of more than one address.
func upper(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	b[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// between returns the CIDRs that together are all addresses from first to last: at most 254, for IPv6.
func between(first, last netip.Addr) (all []netip.Prefix) {
	for first.IsValid() && first.Compare(last) <= 0 {
		p := netip.PrefixFrom(first, first.BitLen())
		for p.Bits() > 0 {
			wider := netip.PrefixFrom(first, p.Bits()-1)
			if wider.Masked().Addr() != first || end(wider).Compare(last) > 0 {
				break
			}
			p = wider
		}
		all = append(all, p)
		first = end(p).Next() // not valid after the last address of all
	}
	return all
}

// end returns the last address of a prefix.
func end(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
