// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
)

// miss is what a rule lacks to allow an event.
type miss struct {
	text    string
	missing int // how little it is, 0 the least: another caller or port of the same object, then another object that looks like it
}

// relaxation is a rule with one demand less.
type relaxation struct {
	rule schema.Rule
	miss
}

// nearMiss says what a rule lacks to allow an event, if it is little: the rule with one or two demands less would allow it. Judge decides
// what it would do.
func nearMiss(r schema.Rule, e schema.Event, at time.Time) (miss, bool) {
	var relaxed []relaxation
	switch r.Plane {
	case schema.PlaneExec, schema.PlaneFile:
		relaxed = relaxPath(r, string(e.Object))
	case schema.PlaneEgress, schema.PlaneIngress:
		if e.Flow != nil {
			relaxed = relaxFlow(r, e.Flow)
		}
	case schema.PlaneImage:
		relaxed = relaxImage(r, string(e.Object))
	}
	for _, x := range relaxed {
		if allows(x.rule, e, at) {
			return x.miss, true
		}
	}
	return miss{}, false
}

func relaxPath(r schema.Rule, object string) []relaxation {
	var all []relaxation
	if len(r.Parents) > 0 {
		same := r
		same.Parents = nil
		all = append(all, relaxation{same, miss{"it is for the callers " + either(r.Parents), 0}})
	}
	if r.Verb == schema.VerbRead {
		same := r
		same.Verb = schema.VerbWrite
		all = append(all, relaxation{same, miss{"it is for reading alone", 0}})
	}
	if text := nearPath(r.Object, object); text != "" {
		other := r
		other.Object, other.Parents = object, nil
		if len(r.Parents) > 0 {
			text += ", for the callers " + either(r.Parents)
		}
		all = append(all, relaxation{other, miss{text, 2}})
	}
	return all
}

// nearPath says how a path that a pattern does not match looks like it, or "".
func nearPath(pattern, object string) string {
	name := path.Base(pattern)
	switch {
	case pattern == object+"/**":
		return "it is for what lies below that folder, not for the folder itself"
	case strings.HasSuffix(pattern, "/*") && schema.MatchPath(pattern+"*", object):
		return "its \"*\" is one segment, and the path lies deeper"
	case strings.EqualFold(pattern, object):
		return "it differs in upper and lower case"
	case name == path.Base(object) && !strings.Contains(name, "*"):
		return "it has the same name in another folder"
	}
	return ""
}

func relaxFlow(r schema.Rule, f *schema.Flow) []relaxation {
	peer := func(change func(*schema.Peer)) schema.Rule {
		other, p := r, schema.Peer{}
		if r.Peer != nil {
			p = *r.Peer
		}
		change(&p)
		other.Peer = &p
		return other
	}
	demands := schema.Peer{}
	if r.Peer != nil {
		demands = *r.Peer
	}
	port := describePort(demands.Port, demands.Protocol)
	anyPort := func(p *schema.Peer) { p.Port, p.Protocol = "*", f.Protocol }
	requests := r
	requests.HTTP, requests.GRPC, requests.TLS = nil, nil, nil
	anyRequest := peer(anyPort)
	anyRequest.HTTP, anyRequest.GRPC, anyRequest.TLS = nil, nil, nil
	names := strings.TrimPrefix(describeLayer7(schema.Rule{HTTP: r.HTTP, GRPC: r.GRPC, TLS: r.TLS}), ", ")
	return []relaxation{
		{peer(anyPort), miss{"it is for " + strings.TrimPrefix(port, "on "), 0}},
		{requests, miss{"it is for " + names, 0}},
		{anyRequest, miss{"it is for " + strings.TrimPrefix(port, "on ") + ", " + names, 1}},
		{peer(func(p *schema.Peer) { beAnyPeer(p, f) }), miss{"it is for another peer", 2}},
	}
}

// beAnyPeer makes a peer the other end of a flow, whoever that is, and leaves port and protocol.
func beAnyPeer(p *schema.Peer, f *schema.Flow) {
	*p = schema.Peer{Port: p.Port, Protocol: p.Protocol}
	switch {
	case f.Address.IsValid():
		a := f.Address.Unmap().WithZone("")
		p.CIDR = netip.PrefixFrom(a, a.BitLen()).String()
	case f.Peer.Namespace != "":
		p.Namespace = f.Peer.Namespace
	case len(f.Names) > 0:
		p.DNS = f.Names[0]
	}
}

func relaxImage(r schema.Rule, ref string) []relaxation {
	p, err := schema.ParseImagePattern(r.Object)
	image, err2 := schema.ParseImage(ref)
	if r.Verb != schema.VerbRun || err != nil || err2 != nil {
		return nil
	}
	pattern := func(change func(*schema.ImagePattern)) schema.Rule {
		i := p
		change(&i)
		other := r
		other.Object = i.String()
		return other
	}
	digest := labelled("digest", p.Digest)
	if p.Digest == schema.AnyDigest {
		digest = "images with a digest"
	}
	version := strings.TrimPrefix(joinWords("@", labelled("tag", p.Tag), digest), "@")
	return []relaxation{
		{pattern(func(i *schema.ImagePattern) { i.Tag, i.Digest = "", "" }), miss{"it is for the " + version, 0}},
		{pattern(func(i *schema.ImagePattern) { i.Host = image.Host }), miss{"it is for the registry " + quoted(p.Host), 1}},
		{pattern(func(i *schema.ImagePattern) { i.Path = strings.TrimSuffix(i.Path, "/*") + "/**" }), miss{"its \"*\" is one segment, and the repository lies deeper", 2}},
		{pattern(func(i *schema.ImagePattern) { i.Path = nearRepository(i.Path, image.Path) }), miss{"it has the same name in another repository", 2}},
	}
}

// nearRepository returns the image's path if both have the same last segment.
func nearRepository(pattern, image string) string {
	if name := path.Base(pattern); name == path.Base(image) && !strings.Contains(name, "*") {
		return image
	}
	return pattern
}

// unselected looks for the workloads that would select the subject but for one demand.
func (c *considering) unselected() {
	for i := range c.policy.Workloads {
		w := &c.policy.Workloads[i]
		if lacks := lacking(w.Match, c.event.Subject); lacks != "" {
			c.add(OutcomeUnselected, c.workload(w), "it demands %s", lacks)
		}
	}
}

// lacking returns the one demand of a match that a subject does not meet; "" if there are more, or if nothing but that one tells them apart.
func lacking(m schema.Match, s schema.Subject) string {
	for _, demand := range splitMatch(m) {
		rest := m
		without(&rest, demand)
		if rest.Selects(s) {
			return DescribeMatch(demand)
		}
	}
	return ""
}

// splitMatch splits a match into its demands.
func splitMatch(m schema.Match) []schema.Match {
	var all []schema.Match
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		all = append(all, schema.Match{Labels: map[string]string{k: m.Labels[k]}})
	}
	for _, k := range slices.Sorted(maps.Keys(m.Expressions)) {
		all = append(all, schema.Match{Expressions: map[string]schema.Expression{k: m.Expressions[k]}})
	}
	for _, one := range []schema.Match{{Container: m.Container}, {Cgroup: m.Cgroup}, {Namespace: m.Namespace}, {Host: m.Host}} {
		if !one.Zero() {
			all = append(all, one)
		}
	}
	return all
}

// without takes one demand out of a match, which it does not share.
func without(m *schema.Match, demand schema.Match) {
	m.Labels, m.Expressions = maps.Clone(m.Labels), maps.Clone(m.Expressions)
	for k := range demand.Labels {
		delete(m.Labels, k)
	}
	for k := range demand.Expressions {
		delete(m.Expressions, k)
	}
	if demand.Container != "" {
		m.Container = ""
	}
	if demand.Cgroup != "" {
		m.Cgroup = ""
	}
	if demand.Namespace != "" {
		m.Namespace = ""
	}
	m.Host = m.Host && !demand.Host
}
