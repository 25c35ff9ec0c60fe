// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/writ-sec/writ/schema"
)

// noon is when the tests of this package judge.
var noon = time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)

// handmade makes policies without CUE: rules get IDs, and positions in the order in which they are stated.
type handmade struct {
	file string
	line int
}

func (h *handmade) pos() []schema.Pos {
	h.line++
	return []schema.Pos{{File: h.file, Line: h.line, Col: 2}}
}

// workload states closings in one mode, and rules.
func (h *handmade) workload(name string, m schema.Match, mode schema.Mode, rules ...schema.Rule) schema.Workload {
	w := schema.Workload{Name: name, Owner: "team-" + name, Match: m, Pos: h.pos()}
	for _, p := range schema.Planes {
		var verbs []schema.Verb
		at := h.pos()
		closed := false
		for _, r := range rules {
			if r.Verb.Plane() != p {
				continue
			}
			closed = true
			if p == schema.PlaneImage && !slices.Contains(verbs, r.Verb) {
				verbs = append(verbs, r.Verb)
			}
			r.Plane, r.Pos = p, h.pos()
			r.ID = schema.NewRuleID("rule", name, string(p), string(r.Verb), r.Object)
			w.Rules = append(w.Rules, r)
		}
		if closed {
			slices.Sort(verbs)
			w.Closures = append(w.Closures, schema.Closure{ID: schema.NewRuleID("closure", name, string(p)), Plane: p, Mode: mode, Verbs: verbs, Pos: at})
		}
	}
	slices.SortFunc(w.Closures, func(a, b schema.Closure) int { return cmp.Compare(a.Plane, b.Plane) })
	slices.SortFunc(w.Rules, schema.CompareRules)
	return w
}

func (h *handmade) limits(kind, name string, rules []schema.Rule) []schema.Rule {
	for i := range rules {
		r := &rules[i]
		r.Plane, r.Pos, r.Why = r.Verb.Plane(), h.pos(), "forbidden by "+name
		fields := []string{kind, name, string(r.Plane), string(r.Verb), r.Object}
		if kind == "bound" {
			fields = slices.Insert(fields, 2, "never")
		}
		r.ID = schema.NewRuleID(fields...)
	}
	slices.SortFunc(rules, schema.CompareRules)
	return rules
}

func (h *handmade) bound(name string, m schema.Match, mode schema.Mode, never ...schema.Rule) schema.Bound {
	return schema.Bound{ID: schema.NewRuleID("bound", name, "require"), Name: name, Owner: "team-security", Match: m, Mode: mode, Pos: h.pos(),
		Never: h.limits("bound", name, never)}
}

func (h *handmade) exception(name, image string, expires schema.Date, patch ...schema.Rule) schema.Exception {
	return schema.Exception{Name: name, Owner: "team-" + name, Why: "not reachable", Findings: schema.Names{"CVE-2026-12345"}, Images: schema.Names{image},
		Expires: expires, Pos: h.pos(), Patch: h.limits("patch", name, patch)}
}

func rule(verb schema.Verb, object string) schema.Rule {
	return schema.Rule{Verb: verb, Object: object}
}

func startedBy(object string, parents ...string) schema.Rule {
	return schema.Rule{Verb: schema.VerbExec, Object: object, Parents: parents}
}

func flowRule(verb schema.Verb, name string, p schema.Peer) schema.Rule {
	p.Protocol = cmp.Or(p.Protocol, "tcp")
	return schema.Rule{Verb: verb, Object: name, Peer: &p}
}

func podRule(field schema.PodField, values ...string) schema.Rule {
	return schema.Rule{Verb: schema.VerbSet, Object: string(field), Values: values}
}

var (
	matchPayments = schema.Match{Namespace: "shop", Labels: map[string]string{"app": "payments"}}
	matchLedger   = schema.Match{Namespace: "shop", Labels: map[string]string{"app": "ledger"}}
)

const imagePayments = "registry.example.com/shop/payments"

// shop is a policy with every plane: payments states them all, extra shares its containers, bare mentions exec alone on hosts.
func shop() *schema.Policy {
	h := &handmade{file: "shop/payments.cue"}
	ledger := flowRule(schema.VerbConnect, "ledger", schema.Peer{Workload: "ledger", Match: &matchLedger, Port: "8443"})
	ledger.HTTP = []schema.HTTPRule{{Method: "POST", Path: "/v1/entries/*"}}
	why := startedBy("/usr/bin/curl", "/usr/bin/payments")
	why.Why = "card network check"
	payments := h.workload("payments", matchPayments, schema.ModeEnforce,
		rule(schema.VerbExec, "/usr/bin/payments"), why, rule(schema.VerbExec, "/opt/tools/*"),
		rule(schema.VerbRead, "/etc/payments/**"), rule(schema.VerbWrite, "/var/lib/payments/**"),
		rule(schema.VerbUse, "CAP_NET_BIND_SERVICE"),
		ledger, flowRule(schema.VerbConnect, "stripe", schema.Peer{DNS: "api.stripe.com", Port: "443"}),
		flowRule(schema.VerbConnect, "postgres", schema.Peer{CIDR: "10.20.0.0/16", Port: "5432"}),
		flowRule(schema.VerbAccept, "web", schema.Peer{Namespace: "shop", Port: "8080"}),
		rule(schema.VerbRun, imagePayments), rule(schema.VerbSigned, "shop-ci"), rule(schema.VerbPass, "production"),
		podRule(schema.PodVolumes, "configMap", "secret"), podRule(schema.PodHostNetwork, "false"))
	extra := h.workload("extra", schema.Match{Namespace: "shop"}, schema.ModeAudit, rule(schema.VerbExec, "/usr/bin/date"))
	h.file = "hosts.cue"
	bare := h.workload("bare", schema.Match{Cgroup: "/payments.slice/*"}, schema.ModeLearn, rule(schema.VerbExec, "/bin/true"))
	other := h.workload("ledger", matchLedger, schema.ModeEnforce, rule(schema.VerbExec, "/usr/bin/ledger"))
	h.file = "bounds.cue"
	p := &schema.Policy{Workloads: []schema.Workload{bare, extra, other, payments}}
	p.Bounds = []schema.Bound{
		h.bound("no-metadata", schema.Match{}, schema.ModeEnforce, flowRule(schema.VerbConnect, "metadata", schema.Peer{CIDR: "169.254.169.254/32"})),
		h.bound("no-shells", schema.Match{Namespace: "shop"}, schema.ModeEnforce, rule(schema.VerbExec, "/bin/sh"), rule(schema.VerbExec, "/usr/bin/*sh")),
	}
	p.Bounds[0].Never[0].Peer.Protocol = ""
	p.Exceptions = []schema.Exception{
		h.exception("shop-xml", "registry.example.com/shop/*", "2027-01-31", rule(schema.VerbExec, "/opt/tools/xmllint")),
		h.exception("shop-zip", "registry.example.com/shop/*", "2026-12-31", rule(schema.VerbExec, "/opt/tools/unzip")),
	}
	return p
}

// inShop is a container of payments.
var inShop = schema.Subject{Namespace: "shop", Labels: map[string]string{"app": "payments"}, Image: imagePayments + ":v1"}

func execOf(object, parent string) schema.Event {
	return schema.Event{Subject: inShop, Verb: schema.VerbExec, Object: schema.Path(object), Parent: schema.Path(parent)}
}

// told are the considerations as lines "outcome what: because".
func told(c *Considered) []string {
	lines := []string{}
	for _, o := range c.Others {
		what := o.Stated.Object
		if what == "" {
			what = cmp.Or(o.Stated.Name, o.Stated.Workload)
		}
		lines = append(lines, fmt.Sprintf("%s %s: %s", o.Outcome, what, o.Because))
	}
	return lines
}
