// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/writ-sec/writ/schema"
)

// diffLines says changes in one line each, without lines of policy.
func diffLines(d *Difference) []string {
	var out []string
	for _, c := range d.Changes {
		words := []string{string(c.Effect), c.Risk.String(), c.Kind, c.Name, string(c.Plane), c.Aspect, c.Key}
		s := strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ") + ": " + c.Msg
		if c.Before+c.After != "" {
			s += ": " + c.Before + " -> " + c.After
		}
		if c.By != "" {
			s += " (" + c.By + ")"
		}
		out = append(out, s)
	}
	return out
}

func diffAt(line int) []schema.Pos { return []schema.Pos{{File: "shop/web.cue", Line: line, Col: 2}} }

// diffBase is a policy that has something of everything.
func diffBase() *schema.Policy {
	yes := true
	web := schema.Match{Namespace: "shop", Labels: map[string]string{"app": "web"}}
	rule := func(p schema.Plane, v schema.Verb, object string) schema.Rule {
		return schema.Rule{Plane: p, Verb: v, Object: object, Pos: diffAt(20)}
	}
	peer := func(name string, p schema.Peer) schema.Rule {
		r := rule(schema.PlaneEgress, schema.VerbConnect, name)
		r.Peer = &p
		return r
	}
	curl := rule(schema.PlaneExec, schema.VerbExec, "/usr/bin/curl")
	curl.Parents, curl.Why = []string{"/usr/bin/web"}, "asks"
	ledger := peer("ledger", schema.Peer{Workload: "db", Match: &schema.Match{Namespace: "shop", Labels: map[string]string{"app": "db"}}, Port: "8443", Protocol: "tcp"})
	ledger.HTTP = []schema.HTTPRule{{Method: "GET", Path: "/v1/*"}}
	field := rule(schema.PlanePod, schema.VerbSet, "hostNetwork")
	field.Values = []string{"false"}
	closure := func(p schema.Plane, m schema.Mode) schema.Closure {
		return schema.Closure{Plane: p, Mode: m, Pos: diffAt(10)}
	}
	image := closure(schema.PlaneImage, schema.ModeEnforce)
	image.Verbs = []schema.Verb{schema.VerbPass, schema.VerbRun, schema.VerbSigned}
	return &schema.Policy{
		Budget:  schema.Budget{NodeEntries: 1000},
		Folders: []schema.Folder{{Path: "shop", Namespaces: schema.Names{"shop"}, Owner: "team-shop"}},
		Workloads: []schema.Workload{
			{Name: "db", Match: schema.Match{Namespace: "shop", Labels: map[string]string{"app": "db"}}, Pos: diffAt(1),
				Closures: []schema.Closure{closure(schema.PlaneExec, schema.ModeAudit)},
				Rules:    []schema.Rule{rule(schema.PlaneExec, schema.VerbExec, "/usr/bin/db")}},
			{Name: "web", Owner: "team-web", Match: web, Pos: diffAt(5),
				Closures: []schema.Closure{closure(schema.PlaneExec, schema.ModeEnforce), closure(schema.PlaneFile, schema.ModeEnforce),
					closure(schema.PlaneCapability, schema.ModeEnforce), closure(schema.PlaneEgress, schema.ModeEnforce), image, closure(schema.PlanePod, schema.ModeEnforce)},
				Rules: []schema.Rule{curl, rule(schema.PlaneExec, schema.VerbExec, "/usr/bin/web"),
					rule(schema.PlaneFile, schema.VerbRead, "/etc/**"), rule(schema.PlaneFile, schema.VerbWrite, "/var/lib/web/**"),
					rule(schema.PlaneCapability, schema.VerbUse, "CAP_CHOWN"),
					ledger, peer("site", schema.Peer{CIDR: "10.1.0.0/16", Port: "443", Protocol: "tcp"}),
					rule(schema.PlaneImage, schema.VerbPass, "production"), rule(schema.PlaneImage, schema.VerbRun, "r.example.com/shop/*"),
					rule(schema.PlaneImage, schema.VerbSigned, "ci"), field}},
		},
		Bounds: []schema.Bound{{Name: "shells", Mode: schema.ModeEnforce, Never: []schema.Rule{rule(schema.PlaneExec, schema.VerbExec, "/bin/sh"),
			peer("metadata", schema.Peer{CIDR: "169.254.169.254/32"})},
			Only:    []schema.Limit{{Plane: schema.PlaneEgress, Rules: []schema.Rule{peer("inside", schema.Peer{CIDR: "10.0.0.0/8"})}, Pos: diffAt(70)}},
			Require: schema.Require{Owner: true, Profile: "baseline"}, Pos: diffAt(60)}},
		Gates: []schema.Gate{{Name: "production", At: schema.GateAt{Build: true, Admission: true}, Grace: "168h", Fresh: "24h", Stale: "warn", Pos: diffAt(80),
			Deny: []schema.Alternative{{Class: "vulnerability", Name: "fixable", Severity: "HIGH", Fixable: &yes},
				{Class: "vulnerability", Name: "worst", Severity: "CRITICAL"}, {Class: "licence", Name: "copyleft", Finding: "AGPL-3.0*"}}}},
		Exceptions: []schema.Exception{{Name: "xml", Findings: schema.Names{"CVE-2026-1"}, Images: schema.Names{"r.example.com/shop/*"}, Why: "unused",
			Owner: "team-web", Expires: "2027-01-31", Patch: []schema.Rule{rule(schema.PlaneExec, schema.VerbExec, "/usr/bin/xmllint")}, Pos: diffAt(90)}},
		Signers: []schema.Signer{{Name: "ci", Keyless: &schema.Keyless{Issuer: "https://ci.example.com", Identity: "https://ci.example.com/shop/*"}, Pos: diffAt(95)}},
		Registries: []schema.Registry{{Name: "main", Host: "r.example.com", Gate: "production", Every: "6h",
			Repositories: map[string]schema.Repository{"shop/*": {Tags: schema.Names{"v*"}}}, Pos: diffAt(100)}},
		Responses: []schema.Response{{Name: "stop", On: schema.Trigger{Plane: schema.PlaneExec, Verdict: schema.ActionDeny}, Mode: schema.ModeEnforce,
			Do: schema.Actions{Notify: schema.Names{"ops"}, Quarantine: "1h"}, Pos: diffAt(110)}},
		Notify:     []schema.Notify{{Name: "ops", Kind: "slack", To: "https://hooks.example.com/1", Pos: diffAt(115)}},
		Benchmarks: []schema.Benchmark{{Name: "cis", Profile: "cis-kubernetes", Skip: map[string]schema.Skip{"1.2.3": {Why: "managed"}}, Pos: diffAt(120)}},
		Checks: []schema.Check{{Name: "replicas", Of: schema.CheckOf{APIVersion: "apps/v1", Kind: "Deployment"},
			Must: map[string]schema.Assertion{"spec.replicas": {Exists: &yes}}, Pos: diffAt(125)}},
		Clusters: []schema.Cluster{{Name: "prod", Folders: schema.Names{"shop"}, Modes: []schema.PlaneMode{{Mode: schema.ModeEnforce}}, Pos: diffAt(130)}},
		Tests:    []schema.Test{{Name: "no shell", In: "web", Event: schema.Event{Verb: schema.VerbExec, Object: "/bin/sh"}, Is: schema.ActionDeny, Pos: diffAt(140)}},
	}
}

// webRule returns a rule of workload web.
func webRule(p *schema.Policy, object string) *schema.Rule {
	w := &p.Workloads[1]
	return &w.Rules[slices.IndexFunc(w.Rules, func(r schema.Rule) bool { return r.Object == object })]
}

func webClosure(p *schema.Policy, plane schema.Plane) *schema.Closure {
	w := &p.Workloads[1]
	return &w.Closures[slices.IndexFunc(w.Closures, func(c schema.Closure) bool { return c.Plane == plane })]
}

// TestDiffKinds changes one thing at a time. "reverse" is what the change the other way round is told as.
func TestDiffKinds(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*schema.Policy)
		want    []string
		reverse []string
	}{
		{"nothing", func(*schema.Policy) {}, nil, nil},
		{"a pattern replaces a program", func(p *schema.Policy) {
			*webRule(p, "/usr/bin/curl") = schema.Rule{Plane: "exec", Verb: "exec", Object: "/usr/bin/*"}
		},
			[]string{"widened medium workload web exec rule: allows more: /usr/bin/curl started by /usr/bin/web -> /usr/bin/*"},
			[]string{"narrowed low workload web exec rule: allows less: /usr/bin/* -> /usr/bin/curl started by /usr/bin/web"}},
		{"another parent", func(p *schema.Policy) { webRule(p, "/usr/bin/curl").Parents = []string{"/bin/sh"} },
			[]string{"widened low workload web exec rule: allows something else: /usr/bin/curl started by /usr/bin/web -> /usr/bin/curl started by /bin/sh"},
			[]string{"widened low workload web exec rule: allows something else: /usr/bin/curl started by /bin/sh -> /usr/bin/curl started by /usr/bin/web"}},
		{"any parent", func(p *schema.Policy) { webRule(p, "/usr/bin/curl").Parents = nil },
			[]string{"widened low workload web exec rule: allows more: /usr/bin/curl started by /usr/bin/web -> /usr/bin/curl"},
			[]string{"narrowed low workload web exec rule: allows less: /usr/bin/curl -> /usr/bin/curl started by /usr/bin/web"}},
		{"why", func(p *schema.Policy) { webRule(p, "/usr/bin/curl").Why = "pays" },
			[]string{"note none workload web exec why /usr/bin/curl started by /usr/bin/web: why changed: asks -> pays"},
			[]string{"note none workload web exec why /usr/bin/curl started by /usr/bin/web: why changed: pays -> asks"}},
		{"a shadowed rule", func(p *schema.Policy) {
			w := &p.Workloads[1]
			w.Rules = append(w.Rules, schema.Rule{Plane: "file", Verb: "read", Object: "/etc/web.conf"})
		}, []string{"note none workload web file rule: says nothing new:  -> read /etc/web.conf (read /etc/**)"},
			[]string{"note none workload web file rule: is gone, and still said elsewhere: read /etc/web.conf ->  (read /etc/**)"}},
		{"writing for reading", func(p *schema.Policy) { webRule(p, "/etc/**").Verb = "write" },
			[]string{"widened high workload web file rule: allows more: read /etc/** -> write /etc/**"},
			[]string{"narrowed low workload web file rule: allows less: write /etc/** -> read /etc/**"}},
		{"a capability", func(p *schema.Policy) { webRule(p, "CAP_CHOWN").Object = "CAP_SYS_ADMIN" },
			[]string{"widened high workload web capability rule: newly allowed:  -> CAP_SYS_ADMIN",
				"narrowed low workload web capability rule: no longer allowed: CAP_CHOWN -> "}, nil},
		{"a wider range", func(p *schema.Policy) { webRule(p, "site").Peer.CIDR = "10.0.0.0/8" },
			[]string{"widened high workload web egress rule: allows more: connect to site (10.1.0.0/16 port 443) -> connect to site (10.0.0.0/8 port 443)"},
			[]string{"narrowed low workload web egress rule: allows less: connect to site (10.0.0.0/8 port 443) -> connect to site (10.1.0.0/16 port 443)"}},
		{"more ports", func(p *schema.Policy) { webRule(p, "site").Peer.Port = "400-500" },
			[]string{"widened medium workload web egress rule: allows more: connect to site (10.1.0.0/16 port 443) -> connect to site (10.1.0.0/16 port 400-500)"},
			[]string{"narrowed low workload web egress rule: allows less: connect to site (10.1.0.0/16 port 400-500) -> connect to site (10.1.0.0/16 port 443)"}},
		{"a peer under another key", func(p *schema.Policy) { webRule(p, "site").Object = "place" },
			[]string{"note none workload web egress rule: is said in other words: connect to site (10.1.0.0/16 port 443) -> connect to place (10.1.0.0/16 port 443)"}, nil},
		{"all requests", func(p *schema.Policy) { webRule(p, "ledger").HTTP = nil },
			[]string{"widened medium workload web egress rule: allows more: connect to ledger (workload db with namespace shop, app=db port 8443, http GET /v1/*) -> " +
				"connect to ledger (workload db with namespace shop, app=db port 8443)"},
			[]string{"narrowed low workload web egress rule: allows less: connect to ledger (workload db with namespace shop, app=db port 8443) -> " +
				"connect to ledger (workload db with namespace shop, app=db port 8443, http GET /v1/*)"}},
		{"layer 4 accepted", func(p *schema.Policy) { webRule(p, "ledger").L4 = true },
			[]string{"widened medium workload web egress rule: allows more: connect to ledger (workload db with namespace shop, app=db port 8443, http GET /v1/*) -> " +
				"connect to ledger (workload db with namespace shop, app=db port 8443, http GET /v1/*, layer 4 accepted)"}, nil},
		{"a signer", func(p *schema.Policy) {
			w := &p.Workloads[1]
			w.Rules = append(w.Rules, schema.Rule{Plane: "image", Verb: "signed", Object: "dev"})
		}, []string{"widened high workload web image rule: newly allowed:  -> signed by dev"},
			[]string{"narrowed low workload web image rule: no longer allowed: signed by dev -> "}},
		{"no signature", func(p *schema.Policy) { webClosure(p, "image").Verbs = []schema.Verb{"pass", "run"} },
			[]string{"widened high workload web image signed: no longer demands a signature: signed by ci -> "},
			[]string{"narrowed low workload web image signed: now demands a signature:  -> signed by ci"}},
		{"another gate", func(p *schema.Policy) { webRule(p, "production").Object = "staging" },
			[]string{"widened high workload web image pass: demands to pass another gate: gate production -> gate staging"}, nil},
		{"a pod value", func(p *schema.Policy) { webRule(p, "hostNetwork").Values = []string{"false", "true"} },
			[]string{`widened high workload web pod field: allows more: hostNetwork: "false" -> hostNetwork: "false", "true"`},
			[]string{`narrowed low workload web pod field: allows less: hostNetwork: "false", "true" -> hostNetwork: "false"`}},
		{"a plane opened", func(p *schema.Policy) {
			w := &p.Workloads[1]
			w.Closures = slices.DeleteFunc(w.Closures, func(c schema.Closure) bool { return c.Plane == schema.PlaneFile })
			w.Rules = slices.DeleteFunc(w.Rules, func(r schema.Rule) bool { return r.Plane == schema.PlaneFile })
		}, []string{"widened high workload web file plane: is no longer closed; everything is allowed: enforce -> "},
			[]string{"narrowed low workload web file plane: is closed now; only its rules are allowed:  -> enforce"}},
		{"a weaker mode", func(p *schema.Policy) { webClosure(p, "exec").Mode = schema.ModeAudit },
			[]string{"widened high workload web exec mode: mode is weaker: enforce -> audit"},
			[]string{"narrowed low workload web exec mode: mode is stricter: audit -> enforce"}},
		{"a planned mode", func(p *schema.Policy) {
			c := webClosure(p, "exec")
			c.Mode, c.Then, c.After = schema.ModeAudit, schema.ModeEnforce, "2027-01-15"
		}, []string{"widened high workload web exec mode: mode is weaker: enforce -> audit until 2027-01-15, then enforce"},
			[]string{"narrowed low workload web exec mode: mode is stricter: audit until 2027-01-15, then enforce -> enforce"}},
		{"fewer containers", func(p *schema.Policy) { p.Workloads[1].Match.Labels = map[string]string{"app": "web", "tier": "front"} },
			[]string{"widened high workload web match: selects fewer containers: namespace shop, app=web -> namespace shop, app=web, tier=front"},
			[]string{"narrowed low workload web match: selects more containers: namespace shop, app=web, tier=front -> namespace shop, app=web"}},
		{"containers of others", func(p *schema.Policy) { p.Workloads[1].Match.Labels = nil },
			[]string{"widened medium workload web exec reach: its rules now hold, too, in containers of other workloads, which closed the plane without them (db)",
				"narrowed low workload web match: selects more containers: namespace shop, app=web -> namespace shop"}, nil},
		{"another name", func(p *schema.Policy) { p.Workloads[1].Name = "front"; p.Tests[0].In = "front" },
			[]string{"note none workload front name: renamed: web -> front"}, []string{"note none workload web name: renamed: front -> web"}},
		{"another name of a peer", func(p *schema.Policy) { p.Workloads[0].Name = "store"; webRule(p, "ledger").Peer.Workload = "store" },
			[]string{"note none workload store name: renamed: db -> store"}, []string{"note none workload db name: renamed: store -> db"}},
		{"another owner", func(p *schema.Policy) { p.Workloads[1].Owner = "team-shop" },
			[]string{"note none workload web owner: owner changed: team-web -> team-shop"}, nil},
		{"shared and open", func(p *schema.Policy) { p.Workloads[1].Shared, p.Workloads[1].Open = true, true },
			[]string{"widened medium workload web open: files of other folders may add rules", "widened medium workload web shared: other workloads may select the same containers"},
			[]string{"narrowed none workload web open: no longer so: files of other folders may add rules",
				"narrowed none workload web shared: no longer so: other workloads may select the same containers"}},
		{"no workload", func(p *schema.Policy) { p.Workloads = p.Workloads[1:] },
			[]string{"widened medium workload db: removed; what it closed is open: namespace shop, app=db; exec audit -> "},
			[]string{"narrowed none workload db: added:  -> namespace shop, app=db; exec audit"}},
		{"no bound", func(p *schema.Policy) { p.Bounds = nil },
			[]string{"widened high bound shells: removed: every workload; 2 forbidden, enforce; egress within limits; has requirements -> "},
			[]string{"narrowed low bound shells: added:  -> every workload; 2 forbidden, enforce; egress within limits; has requirements"}},
		{"a weaker bound", func(p *schema.Policy) { p.Bounds[0].Mode = schema.ModeAudit },
			[]string{"widened high bound shells mode: mode is weaker: enforce -> audit"},
			[]string{"narrowed low bound shells mode: mode is stricter: audit -> enforce"}},
		{"a bound for less", func(p *schema.Policy) { p.Bounds[0].Match = schema.Match{Namespace: "shop"} },
			[]string{"widened high bound shells match: holds for fewer containers: every workload -> namespace shop"},
			[]string{"narrowed low bound shells match: holds for more containers: namespace shop -> every workload"}},
		{"a never less", func(p *schema.Policy) { p.Bounds[0].Never = p.Bounds[0].Never[1:] },
			[]string{"widened high bound shells exec never: no longer forbidden: /bin/sh -> "},
			[]string{"narrowed low bound shells exec never: newly forbidden:  -> /bin/sh"}},
		{"a wider never", func(p *schema.Policy) { p.Bounds[0].Never[0].Object = "/bin/*sh" },
			[]string{"narrowed low bound shells exec never: forbids more: /bin/sh -> /bin/*sh"},
			[]string{"widened high bound shells exec never: forbids less: /bin/*sh -> /bin/sh"}},
		{"a never in another bound", func(p *schema.Policy) {
			p.Bounds = append(p.Bounds, schema.Bound{Name: "tools", Mode: schema.ModeEnforce, Never: p.Bounds[0].Never[:1]})
			p.Bounds[0].Never = p.Bounds[0].Never[1:]
		}, []string{"note none bound shells exec never: is gone, and still said elsewhere: /bin/sh ->  (bound tools)",
			"note none bound tools: added, and says nothing new:  -> every workload; 1 forbidden, enforce"}, nil},
		{"no limit", func(p *schema.Policy) { p.Bounds[0].Only = nil },
			[]string{"widened medium bound shells egress only: rules need not stay within a limit any more: connect to inside (10.0.0.0/8 port *) -> "},
			[]string{"narrowed none bound shells egress only: rules must now stay within a limit:  -> connect to inside (10.0.0.0/8 port *)"}},
		{"a wider limit", func(p *schema.Policy) {
			r := p.Bounds[0].Only[0].Rules[0]
			r.Peer = &schema.Peer{CIDR: "0.0.0.0/0"}
			p.Bounds[0].Only[0].Rules = []schema.Rule{r}
		}, []string{"widened medium bound shells egress only: the limit is wider: connect to inside (10.0.0.0/8 port *) -> connect to inside (0.0.0.0/0 port *)"}, nil},
		{"less required", func(p *schema.Policy) { p.Bounds[0].Require = schema.Require{Profile: "restricted"} },
			[]string{"widened medium bound shells require: requires less: owner required -> ",
				"narrowed low bound shells require: requires more: profile baseline -> profile restricted"}, nil},
		{"a case less", func(p *schema.Policy) { p.Gates[0].Deny = p.Gates[0].Deny[:2] },
			[]string{"widened high gate production deny: no longer denied: licence copyleft: finding AGPL-3.0* -> "},
			[]string{"narrowed none gate production deny: newly denied:  -> licence copyleft: finding AGPL-3.0*"}},
		{"a narrower case", func(p *schema.Policy) { p.Gates[0].Deny[0].Severity = "CRITICAL" },
			[]string{"widened high gate production deny: denies less: vulnerability fixable: severity HIGH or above, fixable true -> " +
				"vulnerability fixable: severity CRITICAL or above, fixable true"}, nil},
		{"a case that another includes", func(p *schema.Policy) {
			p.Gates[0].Deny = append(p.Gates[0].Deny, schema.Alternative{Class: "licence", Name: "affero", Finding: "AGPL-3.0-only"})
		}, []string{"note none gate production deny: says nothing new:  -> licence affero: finding AGPL-3.0-only"}, nil},
		{"a weaker gate", func(p *schema.Policy) {
			g := &p.Gates[0]
			g.At.Admission, g.Grace, g.Fresh, g.Stale, g.Missing = false, "336h", "", "admit", "warn"
		}, []string{"widened high gate production at: stands in fewer places: build, admission -> build",
			"widened high gate production fresh: verdicts may be older: 24h -> ",
			"widened high gate production grace: grace is longer: 168h -> 336h",
			"widened high gate production missing: a verdict that is missing stops less: deny -> warn",
			"widened high gate production stale: a verdict that is stale stops less: warn -> admit"},
			[]string{"narrowed none gate production at: stands in more places: build -> build, admission",
				"narrowed none gate production fresh: verdicts must be newer:  -> 24h",
				"narrowed none gate production grace: grace is shorter: 336h -> 168h",
				"narrowed none gate production missing: a verdict that is missing stops more: warn -> deny",
				"narrowed none gate production stale: a verdict that is stale stops more: admit -> warn"}},
		{"another name of a gate", func(p *schema.Policy) {
			p.Gates[0].Name, p.Registries[0].Gate, webRule(p, "production").Object = "live", "live", "live"
		}, []string{"note none gate live name: renamed: production -> live"}, []string{"note none gate production name: renamed: live -> production"}},
		{"a longer exception", func(p *schema.Policy) { p.Exceptions[0].Expires = "2027-06-30" },
			[]string{"widened high exception xml: stands longer: CVE-2026-1 in r.example.com/shop/* until 2027-01-31 -> CVE-2026-1 in r.example.com/shop/* until 2027-06-30",
				"narrowed low exception xml patch: its patch holds for more images, or longer: r.example.com/shop/* until 2027-01-31 -> r.example.com/shop/* until 2027-06-30"},
			[]string{"widened high exception xml patch: its patch holds for fewer images, or not as long: r.example.com/shop/* until 2027-06-30 -> r.example.com/shop/* until 2027-01-31",
				"narrowed none exception xml: suppresses less: CVE-2026-1 in r.example.com/shop/* until 2027-06-30 -> CVE-2026-1 in r.example.com/shop/* until 2027-01-31"}},
		{"an exception for more", func(p *schema.Policy) { p.Exceptions[0].Findings = schema.Names{"CVE-2026-1", "CVE-2026-2"} },
			[]string{"widened high exception xml: suppresses more: CVE-2026-1 in r.example.com/shop/* until 2027-01-31 -> " +
				"CVE-2026-1, CVE-2026-2 in r.example.com/shop/* until 2027-01-31"}, nil},
		{"no exception", func(p *schema.Policy) { p.Exceptions = nil },
			[]string{"widened high exception xml exec patch: no longer forbidden: /usr/bin/xmllint -> ",
				"narrowed none exception xml: removed; its findings deny again: CVE-2026-1 in r.example.com/shop/* until 2027-01-31 -> "},
			[]string{"widened high exception xml: added; its findings no longer deny:  -> CVE-2026-1 in r.example.com/shop/* until 2027-01-31",
				"narrowed low exception xml exec patch: newly forbidden:  -> /usr/bin/xmllint"}},
		{"another identity", func(p *schema.Policy) {
			p.Signers[0].Keyless = &schema.Keyless{Issuer: "https://ci.example.com", Identity: "https://ci.example.com/*/*"}
		}, []string{"widened high signer ci identity: others may sign: https://ci.example.com/shop/* by https://ci.example.com -> https://ci.example.com/*/* by https://ci.example.com"},
			[]string{"narrowed none signer ci identity: fewer may sign: https://ci.example.com/*/* by https://ci.example.com -> https://ci.example.com/shop/* by https://ci.example.com"}},
		{"another signer", func(p *schema.Policy) {
			p.Signers = append(p.Signers, schema.Signer{Name: "dev", Key: "-----BEGIN PUBLIC KEY-----\nMFk\nwEw\n-----END PUBLIC KEY-----\n"})
		}, []string{"widened medium signer dev: added:  -> the key MFkwEw"}, []string{"narrowed none signer dev: removed: the key MFkwEw -> "}},
		{"a folder", func(p *schema.Policy) {
			p.Folders[0].Namespaces, p.Folders[0].Host = schema.Names{"shop", "bank"}, true
		},
			[]string{"widened medium folder shop host: files below it may select the host",
				"widened medium folder shop namespaces: files below it may speak of more namespaces: shop -> bank, shop"},
			[]string{"narrowed none folder shop host: no longer so: files below it may select the host",
				"narrowed none folder shop namespaces: files below it may speak of fewer namespaces: bank, shop -> shop"}},
		{"a folder's images", func(p *schema.Policy) {
			p.Folders[0].Images = schema.Names{"registry.example.com/shop/**"}
		},
			[]string{"widened medium folder shop images: exceptions below it may speak of more images:  -> registry.example.com/shop/**"},
			[]string{"narrowed none folder shop images: exceptions below it may speak of fewer images: registry.example.com/shop/** -> "}},
		{"a folder below", func(p *schema.Policy) {
			p.Folders = append(p.Folders, schema.Folder{Path: "shop/web", Namespaces: schema.Names{"shop"}})
		},
			[]string{`narrowed none folder shop/web: added; files below it may speak of no more than this:  -> namespaces "shop"`},
			[]string{`widened medium folder shop/web: removed; files below it are bound by folders above alone: namespaces "shop" -> `}},
		{"a registry", func(p *schema.Policy) {
			p.Registries[0].Every, p.Registries[0].Gate = "12h", ""
			p.Registries[0].Repositories = map[string]schema.Repository{"shop/*": {}}
		}, []string{"widened medium registry main gate: gate removed: production -> ", "changed none registry main every: every changed: 6h -> 12h",
			"changed none registry main repository shop/*: repository changed: tags v* -> all tags"}, nil},
		{"a response", func(p *schema.Policy) { p.Responses[0].Do.Quarantine, p.Responses[0].Do.Capture = "10m", "60s" },
			[]string{"widened medium response stop quarantine: quarantine changed: 1h -> 10m", "changed none response stop capture: capture added:  -> 60s"},
			[]string{"narrowed none response stop quarantine: quarantine changed: 10m -> 1h", "changed none response stop capture: capture removed: 60s -> "}},
		{"a weaker response", func(p *schema.Policy) { p.Responses[0].Mode, p.Responses[0].On.Workload = schema.ModeAudit, "web" },
			[]string{"widened medium response stop mode: mode changed: enforce -> audit", "widened medium response stop on workload: on workload added:  -> web"},
			[]string{"narrowed none response stop mode: mode changed: audit -> enforce", "narrowed none response stop on workload: on workload removed: web -> "}},
		{"a channel", func(p *schema.Policy) { p.Notify[0].To = "https://hooks.example.com/2" },
			[]string{"changed none notify ops to: to changed: https://hooks.example.com/1 -> https://hooks.example.com/2"}, nil},
		{"another name of a channel", func(p *schema.Policy) { p.Notify[0].Name, p.Responses[0].Do.Notify = "duty", schema.Names{"duty"} },
			[]string{"note none notify duty name: renamed: ops -> duty"}, nil},
		{"a benchmark", func(p *schema.Policy) {
			p.Benchmarks[0].Skip["4.5.6"] = schema.Skip{Why: "not ours", Expires: "2027-01-31"}
		},
			[]string{"changed none benchmark cis skip 4.5.6: skip added:  -> not ours, until 2027-01-31"}, nil},
		{"a check", func(p *schema.Policy) { p.Checks = nil },
			[]string{`changed low check replicas: removed: of apps/v1 Deployment; must spec.replicas {"exists":true} -> `},
			[]string{`changed none check replicas: added:  -> of apps/v1 Deployment; must spec.replicas {"exists":true}`}},
		{"a cluster", func(p *schema.Policy) {
			c := &p.Clusters[0]
			c.Folders, c.Modes[0].Mode, c.Workloads = schema.Names{"shop/web"}, schema.ModeAudit, map[string][]schema.PlaneMode{"web": {{Plane: "exec", Mode: schema.ModeLearn}}}
		}, []string{"widened high cluster prod folders: counts fewer folders: folders shop -> folders shop/web",
			"widened high cluster prod mode: mode is weaker: enforce -> audit",
			"widened medium cluster prod exec mode web: replaces the mode, perhaps with a weaker one:  -> learn"},
			[]string{"narrowed low cluster prod mode: mode is stricter: audit -> enforce",
				"narrowed low cluster prod exec mode web: no longer replaces the mode: learn -> ",
				"narrowed none cluster prod folders: counts more folders: folders shop/web -> folders shop"}},
		{"a test", func(p *schema.Policy) { p.Tests[0].Is = schema.ActionAudit },
			[]string{"changed none test no shell is: is changed: denied -> audited"}, nil},
		{"what enforces at admission", func(p *schema.Policy) {
			p.Admission = schema.Admission{By: "vap", Makers: []schema.Maker{{Kind: "example.com/Many", Path: "spec.template"}}, Cilium: true, FailurePolicy: schema.FailurePolicies{Gatekeeper: "Fail"}}
			p.Clusters[0].Admission = "gatekeeper"
		}, []string{"widened medium cluster prod admission: admission added:  -> gatekeeper", "widened medium admission by: by changed: both -> vap",
			"narrowed none admission cilium: cilium added:  -> yes", "narrowed none admission failurePolicy gatekeeper: failurePolicy gatekeeper changed: Ignore -> Fail",
			"narrowed none admission maker example.com/Many: maker added:  -> spec.template of manies"},
			[]string{"widened medium cluster prod admission: admission removed: gatekeeper -> ", "widened medium admission cilium: cilium removed: yes -> ",
				"widened medium admission failurePolicy gatekeeper: failurePolicy gatekeeper changed: Fail -> Ignore",
				"widened medium admission maker example.com/Many: maker removed: spec.template of manies -> ", "narrowed none admission by: by changed: vap -> both"}},
		{"a budget", func(p *schema.Policy) { p.Budget.NodeEntries = 2000 },
			[]string{"changed none budget nodeEntries: nodeEntries changed: 1000 -> 2000"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			base, head := diffBase(), diffBase()
			c.change(head)
			compareLines(t, diffLines(Diff(base, head)), c.want)
			if got := diffLines(Diff(head, base)); c.reverse != nil || c.want == nil {
				compareLines(t, got, c.reverse)
			} else if len(got) == 0 {
				t.Error("the reverse is no difference")
			}
		})
	}
}

func compareLines(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// TestDiffProfile holds that what a profile spells out is told once.
func TestDiffProfile(t *testing.T) {
	policy := func(profile string, rules ...schema.Rule) *schema.Policy {
		for i := range rules {
			rules[i].Plane, rules[i].Verb = schema.PlanePod, schema.VerbSet
		}
		return &schema.Policy{Workloads: []schema.Workload{{Name: "web", Profile: profile, Match: schema.Match{Namespace: "shop"}, Rules: rules,
			Closures: []schema.Closure{{Plane: schema.PlanePod, Mode: schema.ModeEnforce}}}}}
	}
	restricted := policy("restricted", schema.Rule{Object: "hostNetwork", Values: []string{"false"}}, schema.Rule{Object: "hostPaths"},
		schema.Rule{Object: "seccomp", Values: []string{"RuntimeDefault"}})
	baseline := policy("baseline", schema.Rule{Object: "hostNetwork", Values: []string{"false"}}, schema.Rule{Object: "hostPaths", Values: []string{"/data/*"}})
	d := Diff(restricted, baseline)
	compareLines(t, diffLines(d), []string{"widened high workload web pod profile: a weaker profile: restricted -> baseline"})
	want := []string{`allows more: hostPaths: "/data/*", was hostPaths: nothing`, `is no longer a condition: seccomp: "RuntimeDefault"`}
	if got := d.Changes[0].Details; !slices.Equal(got, want) {
		t.Errorf("details %q; want %q", got, want)
	}
	baseline.Workloads[0].Rules = append(baseline.Workloads[0].Rules, schema.Rule{Plane: schema.PlanePod, Verb: schema.VerbSet, Object: "runAsUser", Values: []string{"0"}})
	compareLines(t, diffLines(Diff(baseline, restricted)), []string{`widened medium workload web pod field: is no longer a condition: runAsUser: "0" -> `,
		"narrowed low workload web pod profile: a stricter profile: baseline -> restricted"})
}

// TestDiffProfileAndField holds that a field which its profile restricts too is compared with itself, when something else changes.
func TestDiffProfileAndField(t *testing.T) {
	condition := func(values ...string) schema.Rule {
		return schema.Rule{ID: schema.NewRuleID(values...), Plane: schema.PlanePod, Verb: schema.VerbSet, Object: "volumes", Values: values}
	}
	profile, own := condition("configMap", "emptyDir", "secret"), condition("configMap")
	for _, base := range [][]schema.Rule{{profile, own}, {own, profile}} {
		for _, head := range [][]schema.Rule{{profile, own}, {own, profile}} {
			for _, more := range [][]schema.Rule{nil, {{Plane: schema.PlanePod, Verb: schema.VerbSet, Object: "hostPID", Values: []string{"false"}}}} {
				of := func(rules ...schema.Rule) *schema.Policy {
					return &schema.Policy{Workloads: []schema.Workload{{Name: "w", Match: schema.Match{Namespace: "a"}, Profile: "restricted", Rules: rules,
						Closures: []schema.Closure{{Plane: schema.PlanePod, Mode: schema.ModeEnforce}}}}}
				}
				if d := Diff(of(base...), of(slices.Concat(more, head)...)); len(d.Changes) != len(more) {
					t.Errorf("%d changes, want %d: %+v", len(d.Changes), len(more), d.Changes)
				}
			}
		}
	}
}

// TestDiffWorkloads holds that what is left out on both sides is still seen around what changed.
func TestDiffWorkloads(t *testing.T) {
	base, head := diffBase(), diffBase()
	head.Workloads[1].Match.Labels = nil
	same := []schema.Workload{base.Workloads[0]}
	same[0].Rules = nil
	base.Workloads, head.Workloads = base.Workloads[1:], head.Workloads[1:]
	whole := diffLines(DiffWorkloads(base, head, same))
	if !slices.ContainsFunc(whole, func(s string) bool { return strings.Contains(s, "exec reach") && strings.HasSuffix(s, "(db)") }) {
		t.Errorf("the neighbour is not seen: %q", whole)
	}
	if part := diffLines(Diff(base, head)); len(part) != len(whole)-1 {
		t.Errorf("without it: %q", part)
	}
}

// TestDiffSays holds positions, and that nothing an author wrote stands in a message.
func TestDiffSays(t *testing.T) {
	base, head := diffBase(), diffBase()
	head.Workloads[1].Rules = slices.DeleteFunc(head.Workloads[1].Rules, func(r schema.Rule) bool { return r.Object == "/usr/bin/web" })
	webClosure(head, "file").Mode = schema.ModeAudit
	webClosure(head, "file").Pos = []schema.Pos{{File: "b.cue", Line: 3, Col: 4}}
	got := map[string]string{}
	for _, c := range Diff(base, head).Changes {
		got[string(c.Plane)] = c.Side + " " + c.Pos.String() + " " + c.Owner
	}
	if got["exec"] != "base shop/web.cue:20:2 team-web" || got["file"] != "head b.cue:3:4 team-web" {
		t.Errorf("positions %v", got)
	}
	hostile := diffBase()
	data := strings.ReplaceAll(diffJSON(hostile), "shop", "EVIL")
	data = strings.ReplaceAll(data, "web", "EVIL2")
	if err := json.Unmarshal([]byte(data), hostile); err != nil {
		t.Fatal(err)
	}
	for _, c := range append(Diff(base, hostile).Changes, Diff(hostile, &schema.Policy{}).Changes...) {
		if strings.Contains(c.Msg+c.Aspect+c.Kind+string(c.Plane), "EVIL") {
			t.Errorf("an author's words stand in the message of %+v", c)
		}
	}
}

func TestDiffJSON(t *testing.T) {
	base, head := diffBase(), diffBase()
	webClosure(head, "exec").Mode = schema.ModeAudit
	data, err := json.Marshal(Diff(base, head))
	want := `{"changes":[{"effect":"widened","risk":"high","kind":"workload","name":"web","plane":"exec","aspect":"mode","msg":"mode is weaker",` +
		`"before":"enforce","after":"audit","owner":"team-web","side":"head","pos":{"file":"shop/web.cue","line":10,"col":2}}]}`
	if err != nil || string(data) != want {
		t.Errorf("%s, %v; want %s", data, err, want)
	}
	if data, err = json.Marshal(Diff(base, base)); err != nil || string(data) != `{"changes":[]}` {
		t.Errorf("no difference is %s, %v", data, err)
	}
}

func TestDiffMarkdown(t *testing.T) {
	base, head := diffBase(), diffBase()
	webClosure(head, "exec").Mode = schema.ModeAudit
	webRule(head, "/usr/bin/curl").Why = "a `b` </details>\n- c \u202e @team"
	head.Workloads = append(head.Workloads, schema.Workload{Name: "job", Match: schema.Match{Namespace: "jobs"}, Pos: diffAt(30),
		Closures: []schema.Closure{{Plane: "exec", Mode: "audit"}}, Rules: []schema.Rule{{Plane: "exec", Verb: "exec", Object: "/bin/job"}}})
	want := "<!-- writ diff -->\n### Policy: `main` → ``a`b``\n\n**1 widened, 1 narrowed, 1 note**\n\n" +
		"- ⚠️ **widened** (high risk): workload `web`, exec, mode: mode is weaker: `enforce` → `audit`; owner `team-web` — `shop/web.cue:10`\n" +
		"\n<details><summary>Narrowed (1)</summary>\n\n" +
		"- workload `job`: added: `namespace jobs; exec audit` — `shop/web.cue:30`\n" +
		"  <details><summary>Details (1)</summary>\n\n  - `exec: /bin/job`\n\n  </details>\n" +
		"\n</details>\n\n<details><summary>Notes (1)</summary>\n\n" +
		"- workload `web`, exec, why `/usr/bin/curl started by /usr/bin/web`: why changed: `asks` → ``a `b` </details>\\n- c \\u202e @team``; owner `team-web` — `shop/web.cue:20`\n" +
		"\n</details>\n"
	if got := Diff(base, head).Markdown("main", "a`b"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Diff(base, base).Markdown("a", "b"); got != "<!-- writ diff -->\n### Policy: `a` → `b`\n\n**No difference in meaning**\n" {
		t.Errorf("no difference is %q", got)
	}
}

// TestDiffMarkdownIsBounded holds that a comment of any difference fits, is closed, and says what was left out.
func TestDiffMarkdownIsBounded(t *testing.T) {
	base, head := &schema.Policy{}, &schema.Policy{}
	for i := range 2000 {
		w := schema.Workload{Name: fmt.Sprintf("w%d", i), Match: schema.Match{Namespace: fmt.Sprint("n", i)}, Closures: []schema.Closure{{Plane: "exec", Mode: "enforce"}}}
		base.Workloads = append(base.Workloads, w)
		w.Closures = []schema.Closure{{Plane: "exec", Mode: "audit"}}
		w.Rules = []schema.Rule{{Plane: "exec", Verb: "exec", Object: "/" + strings.Repeat("é`\x00", 300)}}
		head.Workloads = append(head.Workloads, w)
	}
	for _, d := range []*Difference{Diff(base, head), Diff(head, base), Diff(&schema.Policy{}, head), Diff(head, &schema.Policy{})} {
		got := d.Markdown(strings.Repeat("x", 1000), "head")
		if len(got) > MaxComment || !strings.Contains(got, "Not shown") {
			t.Errorf("%d bytes, which end in %q", len(got), got[len(got)-100:])
		}
		if open, closed := strings.Count(got, "<details>"), strings.Count(got, "</details>"); open != closed {
			t.Errorf("%d details are opened and %d closed", open, closed)
		}
		if shown := strings.Count(got, "\n- "); shown < 30 {
			t.Errorf("only %d changes are shown", shown)
		}
	}
}

// TestDiffGroups holds that one line that changes many workloads is told once.
func TestDiffGroups(t *testing.T) {
	base, head := &schema.Policy{}, &schema.Policy{}
	for i := range 12 {
		w := schema.Workload{Name: fmt.Sprintf("w%02d", i), Owner: fmt.Sprint("team", i), Match: schema.Match{Namespace: fmt.Sprint("n", i)},
			Closures: []schema.Closure{{Plane: "exec", Mode: "enforce", Pos: diffAt(3)}}}
		base.Workloads = append(base.Workloads, w)
		w.Closures = []schema.Closure{{Plane: "exec", Mode: "audit", Pos: diffAt(3)}}
		head.Workloads = append(head.Workloads, w)
	}
	d := Diff(base, head)
	if groups := d.Groups(); len(d.Changes) != 12 || len(groups) != 1 || len(groups[0].Names) != 12 || groups[0].Owner != "" {
		t.Errorf("%d changes, groups %+v", len(d.Changes), groups)
	}
	if got := d.Markdown("a", "b"); !strings.Contains(got, "workload `w00` `w01` `w02` `w03` `w04` `w05` `w06` `w07` and 4 more, exec, mode") {
		t.Errorf("got %s", got)
	}
}

// FuzzCodeSpan holds that what stands in a code span cannot leave it: it is one line, and no run of backticks in it is as long as the
// fence (CommonMark 0.31.2, section 6.1).
func FuzzCodeSpan(f *testing.F) {
	for _, s := range []string{"", "a", "`", "``", "a`b``c", " ` ", "\n- x", "</details>", "\x1b[31m", "\xff`", strings.Repeat("`", 400)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := codeSpan(s)
		fence := got[:len(got)-len(strings.TrimLeft(got, "`"))]
		inner, ok := strings.CutSuffix(got[len(fence):], fence)
		if !ok || fence == "" || inner == "" {
			t.Fatalf("%q is no code span", got)
		}
		for _, run := range strings.FieldsFunc(inner, func(r rune) bool { return r != '`' }) {
			if len(run) == len(fence) {
				t.Errorf("%q ends within", got)
			}
		}
		if inner[0] == '`' || inner[len(inner)-1] == '`' || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is not closed by its fence, or cannot be printed", got)
		}
	})
}
