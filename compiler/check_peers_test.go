// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

func somePeer(r *rand.Rand) *schema.Peer {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	p := &schema.Peer{Protocol: pick("tcp", "tcp", "udp"), Port: pick("1", "80", "81", "80-90", "85-100", "1-65535", "*", "http", "https", "80-100")}
	switch r.IntN(4) {
	case 0:
		p.CIDR = pick("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "10.2.0.0/16", "::/0", "fd00::/8", "fd00::1/128")
	case 1:
		p.DNS = pick("a.net", "x.a.net", "y.x.a.net", "*.a.net", "**.a.net", "*.x.a.net", "**.x.a.net", "**.net", "*.net", "X.A.net.")
	case 2:
		p.Namespace = pick("a", "b")
	case 3:
		p.Workload = pick("w", "v", "a/w", "u")
		if bareName(p.Workload) != "u" {
			p.Match = &schema.Match{Namespace: map[string]string{"w": "a", "v": "b"}[bareName(p.Workload)]}
		}
	}
	return p
}

// TestShadowedFlows compares the search by groups with looking at every pair of rules.
func TestShadowedFlows(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	shadowed := 0
	for range 2000 {
		c := &workloadCheck{w: &schema.Workload{}, rules: map[schema.Plane][]*schema.Rule{}}
		var rules []*schema.Rule
		for i := range 2 + r.IntN(6) {
			rule := &schema.Rule{Plane: schema.PlaneEgress, Verb: schema.VerbConnect, Object: fmt.Sprint(i), Peer: somePeer(r)}
			if r.IntN(5) == 0 {
				rule.TLS = []string{"**"}
			}
			rules = append(rules, rule)
		}
		c.rules[schema.PlaneEgress] = rules
		c.shadowedFlows(schema.PlaneEgress)
		got := map[string]bool{}
		for _, d := range c.warnings {
			got[strings.Fields(d.Msg)[1]] = true
		}
		for i, rule := range rules {
			want, twin := false, false
			for j, broad := range rules {
				if i == j || broad.Layer7() || !peerCovers(broad.Peer, rule.Peer) {
					continue
				}
				if !rule.Layer7() && peerCovers(rule.Peer, broad.Peer) {
					twin = true // one of them is left
				} else {
					want = true
				}
			}
			if got[`"`+rule.Object+`"`] != want && !twin {
				var all []string
				for _, o := range rules {
					all = append(all, fmt.Sprintf("%s: %+v, layer 7 %v", o.Object, *o.Peer, o.Layer7()))
				}
				t.Fatalf("rule %s is shadowed: %v, but we said %v, of\n%s\n%v", rule.Object, want, got, strings.Join(all, "\n"), c.warnings)
			}
			if want {
				shadowed++
			}
		}
	}
	if shadowed < 100 {
		t.Errorf("only %d rules were shadowed: the test says little", shadowed)
	}
}

// TestTwinsKeepOne holds that of rules that say the same, all but one are reported.
func TestTwinsKeepOne(t *testing.T) {
	_, warnings := checkText(t, `workload: w: {match: namespace: "a", egress: {
	a: {cidr: "10.0.0.0/8", port: "1-65535"}
	b: {cidr: "10.0.0.0/8", port: "1-65535"}
	c: {cidr: "10.0.0.0/8", port: "1-65535"}
	d: {cidr: "10.0.0.0/8", port: "http"}
}}`)
	if got := lines(warnings); strings.Count(got, "changes nothing") != 3 || strings.Contains(got, `egress "a" changes`) {
		t.Error(got)
	}
}

// TestPeerCovers holds the comparison against events: what a covered rule allows, the broader one allows.
func TestPeerCovers(t *testing.T) {
	names := []string{"net", "a.net", "x.a.net", "y.x.a.net", "z.y.x.a.net", "b.net", "xa.net", "w.a.net", "w.x.a.net", "v.net", "w.v.net"}
	matches := func(pattern, name string) bool { // by the words of design: "*." is exactly one more label, "**." one or more
		wild, rest := splitWild(pattern)
		before, ok := strings.CutSuffix(name, "."+rest)
		switch wild {
		case "":
			return name == rest
		case "*":
			return ok && !strings.Contains(before, ".")
		}
		return ok
	}
	patterns := []string{"a.net", "x.a.net", "*.a.net", "**.a.net", "*.x.a.net", "**.x.a.net", "*.net", "**.net", "b.net", "*.xa.net"}
	for _, broad := range patterns {
		for _, narrow := range patterns {
			covers, meet := true, false
			for _, name := range append(names, "q.xa.net") {
				covers = covers && (!matches(narrow, name) || matches(broad, name))
				meet = meet || matches(narrow, name) && matches(broad, name)
			}
			if got := nameCovers(broad, narrow); got != covers {
				t.Errorf("nameCovers(%q, %q) = %v", broad, narrow, got)
			}
			// Of two patterns that have a name in common, one covers the other: peersMeet relies on it.
			if got := nameCovers(broad, narrow) || nameCovers(narrow, broad); got != meet {
				t.Errorf("%q and %q have a name in common: %v", broad, narrow, meet)
			}
		}
	}
}

func TestPeersMeet(t *testing.T) {
	for _, c := range []struct {
		a, b schema.Peer
		want bool
	}{
		{schema.Peer{CIDR: "10.0.0.0/8", Port: "80"}, schema.Peer{CIDR: "10.1.0.0/16"}, true},
		{schema.Peer{CIDR: "10.0.0.0/8", Port: "80"}, schema.Peer{CIDR: "10.1.0.0/16", Port: "81"}, false},
		{schema.Peer{CIDR: "10.0.0.0/8", Port: "http"}, schema.Peer{CIDR: "10.1.0.0/16", Port: "81"}, true},
		{schema.Peer{CIDR: "10.0.0.0/8", Protocol: "tcp"}, schema.Peer{CIDR: "10.1.0.0/16", Protocol: "udp"}, false},
		{schema.Peer{CIDR: "10.0.0.0/8"}, schema.Peer{CIDR: "11.0.0.0/8"}, false},
		{schema.Peer{CIDR: "10.0.0.0/8"}, schema.Peer{DNS: "a.net"}, false},
		{schema.Peer{Workload: "w", Match: &schema.Match{Labels: map[string]string{"a": "b"}}}, schema.Peer{Namespace: "x"}, true},
		{schema.Peer{Workload: "w", Match: &schema.Match{Namespace: "y"}}, schema.Peer{Namespace: "x"}, false},
		{schema.Peer{Workload: "w"}, schema.Peer{Workload: "x/w"}, true},
		{schema.Peer{Workload: "w"}, schema.Peer{Workload: "v"}, false},
		{schema.Peer{Namespace: "x"}, schema.Peer{Namespaces: &schema.Selector{Labels: map[string]string{"team": "x"}}}, true},
		{schema.Peer{Namespace: "x"}, schema.Peer{Namespaces: &schema.Selector{Labels: map[string]string{namespaceLabel: "y"}}}, false},
		{schema.Peer{Namespaces: &schema.Selector{Labels: map[string]string{"team": "x"}}}, schema.Peer{Namespaces: &schema.Selector{Labels: map[string]string{"team": "y"}}}, false},
	} {
		if got, back := peersMeet(&c.a, &c.b), peersMeet(&c.b, &c.a); got != c.want || back != c.want {
			t.Errorf("%+v and %+v: %v, %v, want %v", c.a, c.b, got, back, c.want)
		}
	}
}
