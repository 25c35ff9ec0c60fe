// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

// The policies of these tables are short: an ID is the number that a rule or closure is given.

const closes = 100 // the ID of the closing of a plane by the workload w; by the workload v it is one more

func w(mode schema.Mode, rules ...schema.Rule) schema.Workload {
	return closing("w", closes, mode, rules...)
}

// closing returns a workload of the namespace shop that mentions the planes of its rules.
func closing(name string, id schema.RuleID, mode schema.Mode, rules ...schema.Rule) schema.Workload {
	out := schema.Workload{Name: name, Match: schema.Match{Namespace: "shop"}, Rules: rules}
	for _, plane := range schema.Planes {
		c := schema.Closure{ID: id, Plane: plane, Mode: mode}
		for _, r := range rules {
			if r.Plane == plane && (plane == schema.PlaneImage || len(c.Verbs) == 0) {
				c.Verbs = append(c.Verbs, r.Verb)
			}
		}
		if len(c.Verbs) > 0 {
			slices.Sort(c.Verbs)
			c.Verbs = slices.Compact(c.Verbs)
			out.Closures = append(out.Closures, c)
		}
	}
	return out
}

func rule(id schema.RuleID, verb schema.Verb, object string) schema.Rule {
	return schema.Rule{ID: id, Plane: verb.Plane(), Verb: verb, Object: object}
}

func connect(id schema.RuleID, p schema.Peer) schema.Rule {
	r := rule(id, schema.VerbConnect, "k")
	r.Peer = &p
	return r
}

func accept(id schema.RuleID, p schema.Peer) schema.Rule {
	r := rule(id, schema.VerbAccept, "k")
	r.Peer = &p
	return r
}

func set(id schema.RuleID, field schema.PodField, values ...string) schema.Rule {
	r := rule(id, schema.VerbSet, string(field))
	r.Values = values
	return r
}

// with adds something of layer 7 to a rule.
func with(r schema.Rule, http, grpc, tls string) schema.Rule {
	if http != "" {
		h, err := schema.ParseHTTPRule(http)
		if err != nil {
			panic(err)
		}
		r.HTTP = []schema.HTTPRule{h}
	}
	if grpc != "" {
		r.GRPC = []string{grpc}
	}
	if tls != "" {
		r.TLS = []string{tls}
	}
	return r
}

func policy(ws ...schema.Workload) *schema.Policy { return &schema.Policy{Workloads: ws} }

// bounded adds a bound named b, whose ID is 200, for every container.
func bounded(p *schema.Policy, mode schema.Mode, never ...schema.Rule) *schema.Policy {
	p.Bounds = append(p.Bounds, schema.Bound{Name: "b", ID: 200, Mode: mode, Never: never})
	return p
}

// patched adds an exception with a patch for every image of r.example.com.
func patched(p *schema.Policy, expires schema.Date, patch ...schema.Rule) *schema.Policy {
	p.Exceptions = append(p.Exceptions, schema.Exception{Name: "x", Images: schema.Names{"r.example.com/**"}, Expires: expires, Patch: patch})
	return p
}

var shop = schema.Subject{Namespace: "shop", Labels: map[string]string{"app": "web"}, Image: "r.example.com/shop/web:v1"}

func event(verb schema.Verb, object string) schema.Event {
	return schema.Event{Subject: shop, Verb: verb, Object: schema.Path(object)}
}

func from(origin schema.Origin, e schema.Event) schema.Event { e.Origin = origin; return e }

func flow(verb schema.Verb, f schema.Flow) schema.Event {
	if f.Protocol == "" {
		f.Protocol = "tcp"
	}
	return schema.Event{Subject: shop, Verb: verb, Flow: &f}
}

func address(text string) netip.Addr { return netip.MustParseAddr(text) }

type meaning struct {
	name   string
	p      *schema.Policy
	e      schema.Event
	action schema.Action
	reason schema.Reason
	rule   schema.RuleID
}

func (c meaning) check(t *testing.T, at time.Time) {
	t.Helper()
	got := schema.Judge(c.p, c.e, at)
	if got.Action != c.action || got.Reason != c.reason || got.Rule != c.rule {
		t.Errorf("%s: %s, %s, rule %d; want %s, %s, rule %d", c.name, got.Action, got.Reason, got.Rule, c.action, c.reason, c.rule)
	}
	if again := naiveJudge(c.p, c.e, at); again.Action != got.Action || again.Reason != got.Reason || again.Rule != got.Rule {
		t.Errorf("%s: the naive implementation says %s, %s, rule %d; want %s, %s, rule %d", c.name, again.Action, again.Reason, again.Rule, got.Action, got.Reason, got.Rule)
	}
}

const (
	allow, learn, audit, deny = schema.ActionAllow, schema.ActionLearn, schema.ActionAudit, schema.ActionDeny
	enforce                   = schema.ModeEnforce
)

func TestFiles(t *testing.T) {
	p := policy(w(enforce, rule(1, schema.VerbRead, "/etc/**"), rule(2, schema.VerbWrite, "/data/**"), rule(3, schema.VerbRead, "/data/a")))
	open := policy(w(enforce, rule(1, schema.VerbExec, "/a")))
	for _, c := range []meaning{
		{"a rule for reading allows reading", p, event(schema.VerbRead, "/etc/passwd"), allow, schema.ReasonRule, 1},
		{"and not writing; it is named", p, event(schema.VerbWrite, "/etc/passwd"), deny, schema.ReasonRead, 1},
		{"a rule for writing allows writing", p, event(schema.VerbWrite, "/data/x"), allow, schema.ReasonRule, 2},
		{"and reading", p, event(schema.VerbRead, "/data/x"), allow, schema.ReasonRule, 2},
		{"a near miss stands back behind a rule that allows", p, event(schema.VerbWrite, "/data/a"), allow, schema.ReasonRule, 2},
		{"the most specific rule is named", p, event(schema.VerbRead, "/data/a"), allow, schema.ReasonRule, 3},
		{"no rule", p, event(schema.VerbRead, "/usr/lib/x"), deny, schema.ReasonNoRule, closes},
		{"a deleted file has no path", p, from(schema.OriginDeleted, event(schema.VerbRead, "/etc/passwd")), deny, schema.ReasonOrigin, closes},
		{"exec is another plane", p, event(schema.VerbExec, "/etc/passwd"), allow, schema.ReasonOpen, 0},
		{"file is open if it is not mentioned", open, event(schema.VerbWrite, "/etc/passwd"), allow, schema.ReasonOpen, 0},
	} {
		c.check(t, time.Time{})
	}
}

func TestCapabilities(t *testing.T) {
	p := policy(w(schema.ModeAudit, rule(1, schema.VerbUse, "CAP_KILL")))
	for _, c := range []meaning{
		{"listed", p, event(schema.VerbUse, "CAP_KILL"), allow, schema.ReasonRule, 1},
		{"not listed", p, event(schema.VerbUse, "CAP_SYS_ADMIN"), audit, schema.ReasonNoRule, closes},
		{"a capability has no path, so the origin says nothing", p, from(schema.OriginUnknown, event(schema.VerbUse, "CAP_KILL")), allow, schema.ReasonRule, 1},
	} {
		c.check(t, time.Time{})
	}
}

func TestPeers(t *testing.T) {
	db := schema.Subject{Namespace: "bank", Labels: map[string]string{"app": "db"}, NamespaceLabels: map[string]string{"tier": "back"}}
	unlabelled := schema.Subject{Namespace: "bank", Labels: db.Labels}
	match := &schema.Match{Namespace: "bank", Labels: map[string]string{"app": "db"}}
	to := func(p schema.Peer) *schema.Policy {
		p.Port, p.Protocol = "443", "tcp"
		return policy(w(enforce, connect(1, p)))
	}
	byWorkload, byNamespace := to(schema.Peer{Workload: "db", Match: match}), to(schema.Peer{Namespace: "bank"})
	byLabels, notBack := to(schema.Peer{Namespaces: &schema.Selector{Labels: map[string]string{"tier": "back"}}}),
		to(schema.Peer{Namespaces: &schema.Selector{Expressions: map[string]schema.Expression{"tier": {NotIn: schema.Names{"front"}}}}})
	byCIDR, byDNS, six := to(schema.Peer{CIDR: "10.0.0.0/8"}), to(schema.Peer{DNS: "*.example.com"}), to(schema.Peer{CIDR: "::/0"})
	f := func(f schema.Flow) schema.Event { f.Port = 443; return flow(schema.VerbConnect, f) }
	for _, c := range []meaning{
		{"workload", byWorkload, f(schema.Flow{Peer: db}), allow, schema.ReasonRule, 1},
		{"another workload", byWorkload, f(schema.Flow{Peer: shop}), deny, schema.ReasonNoRule, closes},
		{"a workload that is not resolved", to(schema.Peer{Workload: "db"}), f(schema.Flow{Peer: db}), deny, schema.ReasonNoRule, closes},
		{"a workload whose match is empty", to(schema.Peer{Workload: "db", Match: &schema.Match{}}), f(schema.Flow{Peer: db}), deny, schema.ReasonNoRule, closes},
		{"namespace", byNamespace, f(schema.Flow{Peer: db}), allow, schema.ReasonRule, 1},
		{"another namespace", byNamespace, f(schema.Flow{Peer: shop}), deny, schema.ReasonNoRule, closes},
		{"labels of the namespace", byLabels, f(schema.Flow{Peer: db}), allow, schema.ReasonRule, 1},
		{"labels that are not known", byLabels, f(schema.Flow{Peer: unlabelled}), deny, schema.ReasonNoRule, closes},
		{"labels that must be absent and are not known", notBack, f(schema.Flow{Peer: unlabelled}), deny, schema.ReasonNoRule, closes},
		{"labels that must be absent", notBack, f(schema.Flow{Peer: db}), allow, schema.ReasonRule, 1},
		{"no namespace", notBack, f(schema.Flow{Peer: schema.Subject{NamespaceLabels: db.NamespaceLabels}}), deny, schema.ReasonNoRule, closes},
		{"cidr", byCIDR, f(schema.Flow{Address: address("10.1.2.3")}), allow, schema.ReasonRule, 1},
		{"IPv4-mapped IPv6 is IPv4", byCIDR, f(schema.Flow{Address: address("::ffff:10.1.2.3")}), allow, schema.ReasonRule, 1},
		{"also for ::/0", six, f(schema.Flow{Address: address("::ffff:10.1.2.3")}), deny, schema.ReasonNoRule, closes},
		{"IPv6", six, f(schema.Flow{Address: address("fe80::1%eth0")}), allow, schema.ReasonRule, 1},
		{"no address", six, f(schema.Flow{}), deny, schema.ReasonNoRule, closes},
		{"the address suffices where what it is is known too", byCIDR, f(schema.Flow{Peer: db, Address: address("10.1.2.3")}), allow, schema.ReasonRule, 1},
		{"what it is suffices where the address is known too", byWorkload, f(schema.Flow{Peer: db, Address: address("192.0.2.1")}), allow, schema.ReasonRule, 1},
		{"dns", byDNS, f(schema.Flow{Names: schema.Names{"x.test", "API.example.com."}}), allow, schema.ReasonRule, 1},
		{"another name", byDNS, f(schema.Flow{Names: schema.Names{"example.com"}}), deny, schema.ReasonNoRule, closes},
		{"an unknown Pod by cidr", byCIDR, f(schema.Flow{Address: address("10.1.2.3"), Unknown: true}), allow, schema.ReasonRule, 1},
		{"an unknown Pod by another cidr", byCIDR, f(schema.Flow{Address: address("192.0.2.1"), Unknown: true}), deny, schema.ReasonPeer, closes},
		{"an unknown Pod by what it is said to be", byWorkload, f(schema.Flow{Peer: db, Unknown: true}), deny, schema.ReasonPeer, closes},
		{"an unknown Pod by a name that led to it", byDNS, f(schema.Flow{Names: schema.Names{"api.example.com"}, Unknown: true}), deny, schema.ReasonPeer, closes},
		{"an unknown Pod at another port: no rule is at fault", byCIDR, flow(schema.VerbConnect, schema.Flow{Address: address("10.1.2.3"), Unknown: true, Port: 80}), deny, schema.ReasonPeer, closes},
		{"a peer that names no other end is nobody", to(schema.Peer{}), f(schema.Flow{Peer: db, Address: address("10.1.2.3")}), deny, schema.ReasonNoRule, closes},
	} {
		c.check(t, time.Time{})
	}
}

func TestPorts(t *testing.T) {
	any := schema.Peer{CIDR: "0.0.0.0/0", Protocol: "tcp"}
	to := func(port, protocol string) *schema.Policy {
		p := any
		p.Port, p.Protocol = port, protocol
		return policy(w(enforce, connect(1, p)))
	}
	f := func(port int, name, protocol string) schema.Event {
		return schema.Event{Subject: shop, Verb: schema.VerbConnect, Flow: &schema.Flow{Address: address("192.0.2.1"), Port: port, PortName: name, Protocol: protocol}}
	}
	for _, c := range []meaning{
		{"number", to("443", "tcp"), f(443, "", "tcp"), allow, schema.ReasonRule, 1},
		{"another number; the rule is named", to("443", "tcp"), f(80, "", "tcp"), deny, schema.ReasonPort, 1},
		{"range", to("8000-8100", "tcp"), f(8100, "", "tcp"), allow, schema.ReasonRule, 1},
		{"name", to("web", "tcp"), f(8080, "web", "tcp"), allow, schema.ReasonRule, 1},
		{"a name that is not known", to("web", "tcp"), f(8080, "", "tcp"), deny, schema.ReasonPort, 1},
		{"any", to("*", "tcp"), f(0, "", "tcp"), allow, schema.ReasonRule, 1},
		{"another protocol", to("*", "tcp"), f(53, "", "udp"), deny, schema.ReasonPort, 1},
		{"the same protocol", to("53", "udp"), f(53, "", "udp"), allow, schema.ReasonRule, 1},
		{"a protocol that is not known", to("*", "tcp"), f(53, "", ""), deny, schema.ReasonPort, 1},
		{"a rule without a protocol", to("*", ""), f(53, "", ""), deny, schema.ReasonPort, 1},
	} {
		c.check(t, time.Time{})
	}
}

func TestIngressAndProbes(t *testing.T) {
	p := policy(w(enforce, accept(1, schema.Peer{Namespace: "shop", Port: "8080", Protocol: "tcp"})))
	probe := schema.Flow{Address: address("10.0.0.1"), Port: 9000, Probe: true}
	strict := patched(bounded(policy(w(enforce, accept(1, schema.Peer{Namespace: "shop", Protocol: "tcp"}))), enforce, accept(2, schema.Peer{})), "", accept(3, schema.Peer{}))
	for _, c := range []meaning{
		{"accept", p, flow(schema.VerbAccept, schema.Flow{Peer: shop, Port: 8080}), allow, schema.ReasonRule, 1},
		{"egress alone closes connect, not accept, and the reverse", p, flow(schema.VerbConnect, schema.Flow{Port: 1}), allow, schema.ReasonOpen, 0},
		{"not listed", p, flow(schema.VerbAccept, schema.Flow{Peer: schema.Subject{Namespace: "bank"}, Port: 8080}), deny, schema.ReasonNoRule, closes},
		{"a probe", p, flow(schema.VerbAccept, probe), allow, schema.ReasonBuiltin, schema.BuiltinProbe},
		{"what a probe asks", p, flow(schema.VerbServe, probe), allow, schema.ReasonBuiltin, schema.BuiltinProbe},
		{"a probe despite a bound and a patch", strict, flow(schema.VerbAccept, probe), allow, schema.ReasonBuiltin, schema.BuiltinProbe},
		{"they act on all else", strict, flow(schema.VerbAccept, schema.Flow{Port: 9000}), deny, schema.ReasonPatch, 3},
		{"a probe of what no workload selects", policy(), flow(schema.VerbAccept, probe), allow, schema.ReasonBuiltin, schema.BuiltinProbe},
		{"who connects is no probe", policy(w(enforce, connect(1, schema.Peer{}))), flow(schema.VerbConnect, probe), deny, schema.ReasonNoRule, closes},
	} {
		c.check(t, time.Time{})
	}
}

func TestLayer7(t *testing.T) {
	peer := schema.Peer{CIDR: "0.0.0.0/0", Port: "443", Protocol: "tcp"}
	plain := policy(w(enforce, connect(1, peer)))
	http := policy(w(enforce, with(connect(1, peer), "GET /v1/*", "", "")))
	hosted := policy(w(enforce, with(connect(1, peer), "* /**", "", "")))
	hosted.Workloads[0].Rules[0].HTTP[0].Host = "*.example.com"
	grpc, tls := policy(w(enforce, with(connect(1, peer), "", "shop.Orders/*", ""))), policy(w(enforce, with(connect(1, peer), "", "", "*.example.com")))
	anyTLS := policy(w(enforce, with(connect(1, peer), "", "", "**")))
	several := policy(w(enforce, with(connect(1, peer), "GET /a", "shop.Orders/Get", "api.example.com")))
	inbound := policy(w(enforce, with(accept(1, peer), "GET /v1/*", "", "")))
	other := peer
	other.Port = "80"
	second := connect(2, other)
	second.Object = "a" // tried first
	both := policy(w(enforce, with(connect(1, peer), "GET /a", "", ""), second))
	f := func(verb schema.Verb, f schema.Flow) schema.Event {
		f.Address, f.Port = address("192.0.2.1"), 443
		return flow(verb, f)
	}
	get := func(path, host string) schema.Flow {
		return schema.Flow{HTTP: &schema.Request{Method: "GET", Path: path, Host: host}}
	}
	for _, c := range []meaning{
		{"a connection is judged by layer 4 alone", http, f(schema.VerbConnect, schema.Flow{}), allow, schema.ReasonRule, 1},
		{"a rule without layer 7 allows every request", plain, f(schema.VerbRequest, get("/x", "")), allow, schema.ReasonRule, 1},
		{"also one that is none", plain, f(schema.VerbRequest, schema.Flow{}), allow, schema.ReasonRule, 1},
		{"http", http, f(schema.VerbRequest, get("/v1/a?q", "")), allow, schema.ReasonRule, 1},
		{"another path; the rule is named", http, f(schema.VerbRequest, get("/v2/a", "")), deny, schema.ReasonRequest, 1},
		{"GET does not imply HEAD", http, f(schema.VerbRequest, schema.Flow{HTTP: &schema.Request{Method: "HEAD", Path: "/v1/a"}}), deny, schema.ReasonRequest, 1},
		{"methods are compared with their case", http, f(schema.VerbRequest, schema.Flow{HTTP: &schema.Request{Method: "get", Path: "/v1/a"}}), deny, schema.ReasonRequest, 1},
		{"an ambiguous path", http, f(schema.VerbRequest, get("/v1/%2fa", "")), deny, schema.ReasonRequest, 1},
		{"a request that is not known", http, f(schema.VerbRequest, schema.Flow{}), deny, schema.ReasonRequest, 1},
		{"host", hosted, f(schema.VerbRequest, get("/", "api.Example.com:8443")), allow, schema.ReasonRule, 1},
		{"another host", hosted, f(schema.VerbRequest, get("/", "example.com")), deny, schema.ReasonRequest, 1},
		{"no host", hosted, f(schema.VerbRequest, get("/", "")), deny, schema.ReasonRequest, 1},
		{"a host that is no name", hosted, f(schema.VerbRequest, get("/", "a@b.example.com")), deny, schema.ReasonRequest, 1},
		{"a host with a port that is none", hosted, f(schema.VerbRequest, get("/", "b.example.com:x.example.com")), deny, schema.ReasonRequest, 1},
		{"grpc", grpc, f(schema.VerbRequest, schema.Flow{GRPC: "shop.Orders/Get"}), allow, schema.ReasonRule, 1},
		{"another service", grpc, f(schema.VerbRequest, schema.Flow{GRPC: "shop.Carts/Get"}), deny, schema.ReasonRequest, 1},
		{"tls", tls, f(schema.VerbRequest, schema.Flow{Secure: true, TLS: "api.example.com"}), allow, schema.ReasonRule, 1},
		{"another server name", tls, f(schema.VerbRequest, schema.Flow{Secure: true, TLS: "example.com"}), deny, schema.ReasonRequest, 1},
		{"no server name", tls, f(schema.VerbRequest, schema.Flow{Secure: true}), deny, schema.ReasonRequest, 1},
		{"no handshake", tls, f(schema.VerbRequest, schema.Flow{TLS: "api.example.com"}), deny, schema.ReasonRequest, 1},
		{"any server name, also none", anyTLS, f(schema.VerbRequest, schema.Flow{Secure: true}), allow, schema.ReasonRule, 1},
		{"TLS is demanded", anyTLS, f(schema.VerbRequest, get("/", "")), deny, schema.ReasonRequest, 1},
		{"of several entries one suffices", several, f(schema.VerbRequest, schema.Flow{GRPC: "shop.Orders/Get"}), allow, schema.ReasonRule, 1},
		{"other requests are nearer than another port", both, f(schema.VerbRequest, get("/b", "")), deny, schema.ReasonRequest, 1},
		{"serve", inbound, f(schema.VerbServe, get("/v1/a", "")), allow, schema.ReasonRule, 1},
		{"serve another path", inbound, f(schema.VerbServe, get("/", "")), deny, schema.ReasonRequest, 1},
	} {
		c.check(t, time.Time{})
	}
}

func TestImages(t *testing.T) {
	run, signed, pass := rule(1, schema.VerbRun, "r.example.com/shop/*"), rule(2, schema.VerbSigned, "ci"), rule(3, schema.VerbPass, "strict")
	all := policy(w(enforce, run, signed, rule(4, schema.VerbSigned, "release"), pass))
	loose := closing("v", closes+1, schema.ModeAudit, rule(5, schema.VerbRun, "nginx"))
	noRule := policy(schema.Workload{Name: "w", Match: schema.Match{Namespace: "shop"},
		Closures: []schema.Closure{{ID: closes, Plane: schema.PlaneImage, Mode: enforce, Verbs: []schema.Verb{schema.VerbPass, schema.VerbSigned}}}})
	good := event(schema.VerbRun, "r.example.com/shop/web:v1")
	good.SignedBy, good.Passes = schema.Names{"release"}, schema.Names{"strict"}
	unsigned, unscanned, broken := good, good, good
	unsigned.SignedBy, unscanned.Passes, broken.Object = nil, schema.Names{"loose"}, "SHOP"
	elsewhere := event(schema.VerbRun, "nginx")
	for _, c := range []meaning{
		{"each condition holds; one signer suffices", all, good, allow, schema.ReasonRule, 1},
		{"no signer", all, unsigned, deny, schema.ReasonSigner, 2},
		{"the gate is not passed", all, unscanned, deny, schema.ReasonGate, 3},
		{"no pattern", all, elsewhere, deny, schema.ReasonNoRule, closes},
		{"a reference that does not parse", all, broken, deny, schema.ReasonReference, closes},
		{"also where no pattern is named", policy(w(enforce, signed)), broken, deny, schema.ReasonReference, closes},
		{"an unnamed condition is not tested", policy(w(enforce, signed, rule(4, schema.VerbSigned, "release"))), good, allow, schema.ReasonRule, 4},
		{"a gate alone", policy(w(enforce, pass)), good, allow, schema.ReasonRule, 3},
		{"a condition that is named without a rule does not hold", noRule, good, deny, schema.ReasonSigner, closes},
		{"conditions are not united: the other workload's does not hold", policy(w(enforce, run), loose), good, audit, schema.ReasonNoRule, closes + 1},
		{"the strictest that does not hold decides", policy(loose, w(enforce, signed)), unsigned, deny, schema.ReasonSigner, 2},
		{"image is open if it is not mentioned", policy(w(enforce, rule(1, schema.VerbExec, "/a"))), broken, allow, schema.ReasonOpen, 0},
	} {
		c.check(t, time.Time{})
	}
}

func TestPods(t *testing.T) {
	pod := func(field schema.PodField, values ...string) schema.Event {
		return schema.Event{Subject: shop, Verb: schema.VerbSet, Set: map[schema.PodField]schema.Names{field: values}}
	}
	one := func(field schema.PodField, values ...string) *schema.Policy {
		return policy(w(enforce, set(1, field, values...)))
	}
	two := policy(w(schema.ModeAudit, set(1, schema.PodPrivileged, "false")), closing("v", closes+1, enforce, set(2, schema.PodHostPID, "false"), set(3, schema.PodHostIPC, "false")))
	bad := pod(schema.PodPrivileged, "true")
	bad.Set[schema.PodHostPID], bad.Set[schema.PodHostIPC] = schema.Names{"true"}, schema.Names{"true"}
	for _, c := range []meaning{
		{"a permitted value", one(schema.PodPrivileged, "false"), pod(schema.PodPrivileged, "false"), allow, schema.ReasonHolds, closes},
		{"each value counts", one(schema.PodPrivileged, "false"), pod(schema.PodPrivileged, "false", "true"), deny, schema.ReasonField, 1},
		{"a field without values", one(schema.PodPrivileged, "false"), pod(schema.PodHostPID, "true"), allow, schema.ReasonHolds, closes},
		{"values may be none", one(schema.PodHostPorts), pod(schema.PodHostPorts), allow, schema.ReasonHolds, closes},
		{"then none is permitted", one(schema.PodHostPorts), pod(schema.PodHostPorts, "80"), deny, schema.ReasonField, 1},
		{"sysctls have patterns", one(schema.PodSysctls, "net.*"), pod(schema.PodSysctls, "net.ipv4.tcp_rmem"), allow, schema.ReasonHolds, closes},
		{"service accounts have", one(schema.PodServiceAccount, "shop-*"), pod(schema.PodServiceAccount, "default"), deny, schema.ReasonField, 1},
		{"others have not", one(schema.PodVolumes, "*"), pod(schema.PodVolumes, "secret"), deny, schema.ReasonField, 1},
		{"paths have path patterns", one(schema.PodHostPaths, "/data/*"), pod(schema.PodHostPaths, "/data/a/"), allow, schema.ReasonHolds, closes},
		{"which end at a slash", one(schema.PodHostPaths, "/data/*"), pod(schema.PodHostPaths, "/data/a/b"), deny, schema.ReasonField, 1},
		{"the root of the host is permitted by none", one(schema.PodHostPaths, "/**"), pod(schema.PodHostPaths, "/"), deny, schema.ReasonField, 1},
		{"a path that is not clean is permitted by none", one(schema.PodHostPaths, "/**"), pod(schema.PodHostPaths, "/a//b"), deny, schema.ReasonField, 1},
		{"what is not read is permitted by none", one(schema.PodServiceAccount, "*"), pod(schema.PodServiceAccount, schema.Unread), deny, schema.ReasonField, 1},
		{"not even by its name", one(schema.PodSeccomp, schema.Unread), pod(schema.PodSeccomp, schema.Unread), deny, schema.ReasonField, 1},
		{"what must be dropped is", one(schema.PodDropCapabilities, "NET_RAW"), pod(schema.PodDropCapabilities, "KILL", "NET_RAW"), allow, schema.ReasonHolds, closes},
		{"ALL is each", one(schema.PodDropCapabilities, "NET_RAW"), pod(schema.PodDropCapabilities, "ALL"), allow, schema.ReasonHolds, closes},
		{"what must be dropped is not", one(schema.PodDropCapabilities, "ALL"), pod(schema.PodDropCapabilities, "NET_RAW"), deny, schema.ReasonField, 1},
		{"nothing is dropped", one(schema.PodDropCapabilities, "ALL"), pod(schema.PodDropCapabilities), deny, schema.ReasonField, 1},
		{"it is not said", one(schema.PodDropCapabilities, "ALL"), pod(schema.PodPrivileged), allow, schema.ReasonHolds, closes},
		{"the strictest workload is named, and there the first field", two, bad, deny, schema.ReasonField, 3},
		{"each for itself", two, pod(schema.PodPrivileged, "true"), audit, schema.ReasonField, 1},
		{"pod is open if it is not mentioned", policy(w(enforce, rule(1, schema.VerbExec, "/a"))), bad, allow, schema.ReasonOpen, 0},
	} {
		c.check(t, time.Time{})
	}
}

func TestUnionAndOrder(t *testing.T) {
	v := closing("v", closes+1, schema.ModeLearn, rule(3, schema.VerbExec, "/b"), rule(4, schema.VerbExec, "/a"))
	for _, c := range []meaning{
		{"the strictest mode", policy(w(schema.ModeAudit, rule(1, schema.VerbExec, "/a")), v), event(schema.VerbExec, "/c"), audit, schema.ReasonNoRule, closes},
		{"the union of rules", policy(w(enforce, rule(1, schema.VerbExec, "/a")), v), event(schema.VerbExec, "/b"), allow, schema.ReasonRule, 3},
		{"of two rules for one object the lower ID", policy(w(enforce, rule(9, schema.VerbExec, "/a")), v), event(schema.VerbExec, "/a"), allow, schema.ReasonRule, 4},
		{"of two closures in one mode the lower ID", policy(closing("z", 7, schema.ModeLearn, rule(1, schema.VerbExec, "/a")), v), event(schema.VerbExec, "/c"), learn, schema.ReasonNoRule, 7},
		{"an unknown mode denies", policy(w("wild", rule(1, schema.VerbExec, "/a")), v), event(schema.VerbExec, "/c"), deny, schema.ReasonNoRule, closes},
		{"an unknown verb is open", policy(w(enforce, rule(1, schema.VerbExec, "/a"))), event("dance", "/c"), allow, schema.ReasonOpen, 0},
	} {
		got := schema.Judge(c.p, c.e, time.Time{})
		if got.Action != c.action || got.Reason != c.reason || got.Rule != c.rule {
			t.Errorf("%s: %s, %s, rule %d; want %s, %s, rule %d", c.name, got.Action, got.Reason, got.Rule, c.action, c.reason, c.rule)
		}
	}
}

func TestDates(t *testing.T) {
	day := time.Date(2027, 1, 15, 0, 0, 0, 0, time.UTC)
	planned := func(now, then schema.Mode, after schema.Date) *schema.Policy {
		p := policy(w(now, rule(1, schema.VerbExec, "/a")), closing("v", closes+1, schema.ModeLearn, rule(2, schema.VerbExec, "/b")))
		p.Workloads[0].Closures[0].Then, p.Workloads[0].Closures[0].After = then, after
		return p
	}
	never := bounded(policy(w(enforce, rule(1, schema.VerbExec, "/a"))), schema.ModeLearn, rule(2, schema.VerbExec, "/a"))
	never.Bounds[0].Then, never.Bounds[0].After = enforce, "2027-01-15"
	stricter, weaker := planned(schema.ModeAudit, enforce, "2027-01-15"), planned(enforce, schema.ModeAudit, "2027-01-15T18:00:00+01:00")
	patch := patched(policy(w(enforce, rule(1, schema.VerbExec, "/a"))), "2027-01-15", rule(2, schema.VerbExec, "/a"))
	for _, c := range []struct {
		at time.Time
		meaning
	}{
		{day, meaning{"a mode holds through its day", stricter, event(schema.VerbExec, "/c"), audit, schema.ReasonNoRule, closes}},
		{day.Add(24*time.Hour - 1), meaning{"to its end in UTC", stricter, event(schema.VerbExec, "/c"), audit, schema.ReasonNoRule, closes}},
		{day.Add(24 * time.Hour), meaning{"and then no longer", stricter, event(schema.VerbExec, "/c"), deny, schema.ReasonNoRule, closes}},
		{day.Add(17*time.Hour - 1), meaning{"an instant is itself", weaker, event(schema.VerbExec, "/c"), deny, schema.ReasonNoRule, closes}},
		{day.Add(17 * time.Hour), meaning{"in any zone", weaker, event(schema.VerbExec, "/c"), audit, schema.ReasonNoRule, closes}},
		{day, meaning{"a date that does not parse is the stricter side", planned(schema.ModeAudit, enforce, "soon"), event(schema.VerbExec, "/c"), deny, schema.ReasonNoRule, closes}},
		{day, meaning{"whichever that is", planned(enforce, schema.ModeAudit, "soon"), event(schema.VerbExec, "/c"), deny, schema.ReasonNoRule, closes}},
		{day.Add(30 * time.Hour), meaning{"modes are compared as they are then", planned(schema.ModeAudit, schema.ModeLearn, "2027-01-15"), event(schema.VerbExec, "/c"), learn, schema.ReasonNoRule, closes}},
		{day, meaning{"a bound's mode before its date", never, event(schema.VerbExec, "/a"), learn, schema.ReasonBound, 2}},
		{day.Add(24 * time.Hour), meaning{"and after", never, event(schema.VerbExec, "/a"), deny, schema.ReasonBound, 2}},
		{day.Add(24*time.Hour - 1), meaning{"a patch stands to the end of its day", patch, event(schema.VerbExec, "/a"), deny, schema.ReasonPatch, 2}},
		{day.Add(24 * time.Hour), meaning{"and then has expired", patch, event(schema.VerbExec, "/a"), allow, schema.ReasonRule, 1}},
		{day, meaning{"a date that does not parse has expired", patched(policy(w(enforce, rule(1, schema.VerbExec, "/a"))), "soon", rule(2, schema.VerbExec, "/a")), event(schema.VerbExec, "/a"), allow, schema.ReasonRule, 1}},
	} {
		c.check(t, c.at)
	}
}

func TestBounds(t *testing.T) {
	open := policy(w(enforce, rule(1, schema.VerbUse, "CAP_KILL")))
	never := func(p *schema.Policy, mode schema.Mode, rules ...schema.Rule) *schema.Policy {
		return bounded(&schema.Policy{Workloads: p.Workloads}, mode, rules...)
	}
	sh := rule(2, schema.VerbExec, "/bin/*sh")
	allows := policy(w(schema.ModeAudit, rule(1, schema.VerbExec, "/bin/sh")))
	file := never(open, enforce, rule(2, schema.VerbAccess, "/etc/**"))
	twoBounds := bounded(never(open, schema.ModeAudit, rule(2, schema.VerbExec, "/bin/sh")), enforce, rule(3, schema.VerbExec, "/bin/**"))
	images := never(open, enforce, rule(2, schema.VerbRun, "docker.io/**"))
	paths := never(open, enforce, set(2, schema.PodHostPaths, "/var/run/docker.sock"))
	raw := never(open, enforce, set(2, schema.PodAddCapabilities, "NET_RAW"))
	sets := func(field schema.PodField, value string) schema.Event {
		return schema.Event{Subject: shop, Verb: schema.VerbSet, Set: map[schema.PodField]schema.Names{field: {value}}}
	}
	mount := func(p string) schema.Event { return sets(schema.PodHostPaths, p) }
	for _, c := range []meaning{
		{"acts on open planes", never(open, enforce, sh), event(schema.VerbExec, "/bin/bash"), deny, schema.ReasonBound, 2},
		{"in its own mode", never(open, schema.ModeAudit, sh), event(schema.VerbExec, "/bin/bash"), audit, schema.ReasonBound, 2},
		{"even if that is learn", never(open, schema.ModeLearn, sh), event(schema.VerbExec, "/bin/bash"), learn, schema.ReasonBound, 2},
		{"on what it names alone", never(open, enforce, sh), event(schema.VerbExec, "/bin/ls"), allow, schema.ReasonOpen, 0},
		{"overrides what a workload allows", never(allows, enforce, sh), event(schema.VerbExec, "/bin/sh"), deny, schema.ReasonBound, 2},
		{"is named where it is as strict as the plane", never(allows, schema.ModeAudit, sh), event(schema.VerbExec, "/bin/bash"), audit, schema.ReasonBound, 2},
		{"weakens no plane", never(policy(w(enforce, rule(1, schema.VerbExec, "/a"))), schema.ModeAudit, sh), event(schema.VerbExec, "/bin/sh"), deny, schema.ReasonNoRule, closes},
		{"callers are not read", never(allows, enforce, schema.Rule{ID: 2, Plane: schema.PlaneExec, Verb: schema.VerbExec, Object: "/bin/sh", Parents: []string{"/x"}}), event(schema.VerbExec, "/bin/sh"), deny, schema.ReasonBound, 2},
		{"the strictest of several", twoBounds, event(schema.VerbExec, "/bin/sh"), deny, schema.ReasonBound, 3},
		{"a deleted program by its last name", never(open, enforce, sh), from(schema.OriginDeleted, event(schema.VerbExec, "/bin/sh")), deny, schema.ReasonBound, 2},
		{"a foreign one by its name there", never(open, enforce, sh), from(schema.OriginForeign, event(schema.VerbExec, "/bin/sh")), deny, schema.ReasonBound, 2},
		{"an unknown one may be any", never(open, enforce, sh), from(schema.OriginUnknown, event(schema.VerbExec, "")), deny, schema.ReasonBound, 2},
		{"one that is too long may be any", never(open, enforce, sh), from(schema.OriginTooLong, event(schema.VerbExec, "/x")), deny, schema.ReasonBound, 2},
		{"a memfd has no name", never(open, enforce, sh), from(schema.OriginMemfd, event(schema.VerbExec, "/bin/sh")), allow, schema.ReasonOpen, 0},
		{"file is reading", file, event(schema.VerbRead, "/etc/x"), deny, schema.ReasonBound, 2},
		{"and writing", file, event(schema.VerbWrite, "/etc/x"), deny, schema.ReasonBound, 2},
		{"capability", never(open, enforce, rule(2, schema.VerbUse, "CAP_KILL")), event(schema.VerbUse, "CAP_KILL"), deny, schema.ReasonBound, 2},
		{"image", images, event(schema.VerbRun, "nginx"), deny, schema.ReasonBound, 2},
		{"another image", images, event(schema.VerbRun, "r.example.com/a"), allow, schema.ReasonOpen, 0},
		{"an image that does not parse may be any", images, event(schema.VerbRun, "NGINX"), deny, schema.ReasonBound, 2},
		{"a forbidden value", never(open, enforce, set(2, schema.PodHostPID, "true")), schema.Event{Subject: shop, Verb: schema.VerbSet, Set: map[schema.PodField]schema.Names{schema.PodHostPID: {"false", "true"}}}, deny, schema.ReasonBound, 2},
		{"a path of the host", paths, mount("/var/run/docker.sock"), deny, schema.ReasonBound, 2},
		{"a directory above it", paths, mount("/var/run/"), deny, schema.ReasonBound, 2},
		{"the root", paths, mount("/"), deny, schema.ReasonBound, 2},
		{"a path that is not clean may be any", paths, mount("/var/log/../run"), deny, schema.ReasonBound, 2},
		{"another path", paths, mount("/var/log/"), allow, schema.ReasonOpen, 0},
		{"all capabilities are each", raw, sets(schema.PodAddCapabilities, "ALL"), deny, schema.ReasonBound, 2},
		{"another capability", raw, sets(schema.PodAddCapabilities, "KILL"), allow, schema.ReasonOpen, 0},
		{"what is not read may be any", raw, sets(schema.PodAddCapabilities, schema.Unread), deny, schema.ReasonBound, 2},
		{"also of the host's paths", paths, mount(schema.Unread), deny, schema.ReasonBound, 2},
	} {
		c.check(t, time.Time{})
	}
}

func TestBoundsOfFlows(t *testing.T) {
	open := policy(w(enforce, rule(1, schema.VerbUse, "CAP_KILL")))
	metadata := schema.Peer{CIDR: "169.254.169.254/32"}
	db := schema.Subject{Namespace: "bank"}
	to := func(p schema.Peer) *schema.Policy {
		return bounded(&schema.Policy{Workloads: open.Workloads}, enforce, connect(2, p))
	}
	dns := to(schema.Peer{DNS: "**.evil.test"})
	f := func(f schema.Flow) schema.Event { return flow(schema.VerbConnect, f) }
	for _, c := range []meaning{
		{"any port and protocol", to(metadata), f(schema.Flow{Address: address("169.254.169.254"), Port: 80, Protocol: "udp"}), deny, schema.ReasonBound, 2},
		{"IPv4-mapped", to(metadata), f(schema.Flow{Address: address("::ffff:169.254.169.254")}), deny, schema.ReasonBound, 2},
		{"another address", to(metadata), f(schema.Flow{Address: address("192.0.2.1")}), allow, schema.ReasonOpen, 0},
		{"requests too", to(metadata), flow(schema.VerbRequest, schema.Flow{Address: address("169.254.169.254"), Port: 80}), deny, schema.ReasonBound, 2},
		{"the other direction is another plane", to(metadata), flow(schema.VerbAccept, schema.Flow{Address: address("169.254.169.254")}), allow, schema.ReasonOpen, 0},
		{"a port of anyone", to(schema.Peer{Port: "23"}), f(schema.Flow{Port: 23}), deny, schema.ReasonBound, 2},
		{"another port of anyone", to(schema.Peer{Port: "23"}), f(schema.Flow{Port: 24}), allow, schema.ReasonOpen, 0},
		{"a protocol of anyone", to(schema.Peer{Protocol: "udp"}), f(schema.Flow{Port: 24}), allow, schema.ReasonOpen, 0},
		{"what the peer is", to(schema.Peer{Namespace: "bank"}), f(schema.Flow{Peer: db}), deny, schema.ReasonBound, 2},
		{"an unknown Pod may be it", to(schema.Peer{Namespace: "bank"}), f(schema.Flow{Unknown: true, Address: address("10.0.0.1")}), deny, schema.ReasonBound, 2},
		{"but not what is known to be none", to(schema.Peer{Namespace: "bank"}), f(schema.Flow{Address: address("10.0.0.1")}), allow, schema.ReasonOpen, 0},
		{"an unknown Pod is not at another address", to(metadata), f(schema.Flow{Unknown: true, Address: address("10.0.0.1")}), allow, schema.ReasonOpen, 0},
		{"a name", dns, f(schema.Flow{Names: schema.Names{"good.test", "x.EVIL.test."}}), deny, schema.ReasonBound, 2},
		{"no name", dns, f(schema.Flow{Address: address("192.0.2.1")}), allow, schema.ReasonOpen, 0},
	} {
		c.check(t, time.Time{})
	}
	if got := schema.Judge(to(schema.Peer{}), schema.Event{Subject: shop, Verb: schema.VerbConnect}, time.Time{}); got.Rule != 2 {
		t.Errorf("a connection of which nothing is known is not forbidden to anyone: %+v", got)
	}
	none := schema.Rule{ID: 2, Plane: schema.PlaneEgress, Verb: schema.VerbConnect}
	if got := schema.Judge(bounded(policy(), enforce, none), schema.Event{Subject: shop, Verb: schema.VerbConnect}, time.Time{}); got.Rule != 2 {
		t.Errorf("a rule without a peer forbids nobody: %+v", got)
	}
}

func TestUncovered(t *testing.T) {
	demand := bounded(policy(), enforce, rule(2, schema.VerbRun, "nginx"), rule(3, schema.VerbExec, "/bin/sh"))
	demand.Bounds[0].Require.Workload = true
	host := event(schema.VerbExec, "/bin/sh")
	host.Subject = schema.Subject{Host: true}
	outside := host
	outside.Subject = schema.Subject{Cgroup: "/system.slice"}
	covered := bounded(&schema.Policy{Workloads: []schema.Workload{{Name: "h", Match: schema.Match{Host: true}}}}, enforce, rule(3, schema.VerbExec, "/bin/sh"))
	selected := bounded(policy(), enforce, rule(3, schema.VerbExec, "/bin/sh"))
	selected.Bounds[0].Match = schema.Match{Namespace: "bank"}
	hostPod := host
	hostPod.Subject.Namespace = "shop"
	for _, c := range []meaning{
		{"allowed", policy(), event(schema.VerbExec, "/bin/sh"), allow, schema.ReasonUncovered, 0},
		{"bounds act", demand, event(schema.VerbExec, "/bin/sh"), deny, schema.ReasonBound, 3},
		{"a workload is demanded", demand, event(schema.VerbRun, "r.example.com/a"), deny, schema.ReasonRequire, 200},
		{"a rule is named before the demand", demand, event(schema.VerbRun, "nginx"), deny, schema.ReasonBound, 2},
		{"of images alone", demand, event(schema.VerbSet, ""), allow, schema.ReasonUncovered, 0},
		{"a bound for everyone is not for the host", demand, host, allow, schema.ReasonUncovered, 0},
		{"nor for processes of the host that know a namespace", demand, hostPod, allow, schema.ReasonUncovered, 0},
		{"nor for what is no Pod", demand, outside, allow, schema.ReasonUncovered, 0},
		{"unless a workload selects it", covered, host, deny, schema.ReasonBound, 3},
		{"a bound for others", selected, event(schema.VerbExec, "/bin/sh"), allow, schema.ReasonUncovered, 0},
	} {
		c.check(t, time.Time{})
	}
}

func TestPatches(t *testing.T) {
	p := patched(bounded(policy(w(enforce, rule(1, schema.VerbExec, "/usr/bin/xmllint"))), enforce, rule(2, schema.VerbExec, "/usr/bin/*")), "2027-01-31",
		rule(3, schema.VerbExec, "/usr/**"), rule(4, schema.VerbExec, "/usr/bin/xmllint"), rule(5, schema.VerbAccess, "/etc/xml/**"))
	of := func(image string, e schema.Event) schema.Event { e.Subject.Image = image; return e }
	xmllint := event(schema.VerbExec, "/usr/bin/xmllint")
	for _, c := range []meaning{
		{"stronger than rules and bounds; the most specific is named", p, xmllint, deny, schema.ReasonPatch, 4},
		{"on open planes", p, event(schema.VerbWrite, "/etc/xml/a"), deny, schema.ReasonPatch, 5},
		{"another program", p, event(schema.VerbExec, "/bin/a"), deny, schema.ReasonNoRule, closes},
		{"another image", p, of("nginx", xmllint), deny, schema.ReasonBound, 2},
		{"an image that does not parse", p, of("NGINX", xmllint), deny, schema.ReasonPatch, 4},
		{"an image that is not known", p, of("", xmllint), deny, schema.ReasonBound, 2},
		{"without a date, which never passes, also for what no workload selects", patched(policy(), "", rule(3, schema.VerbExec, "/a")), event(schema.VerbExec, "/a"), deny, schema.ReasonPatch, 3},
	} {
		c.check(t, time.Date(2027, 1, 31, 23, 0, 0, 0, time.UTC))
	}
}

// TestHTTPPathsGenerated compares the two readings of paths on text that is made to be read differently.
func TestHTTPPathsGenerated(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	pieces := []string{"/", "/", "/", "a", "b", ".", "..", "/..", "/.", "%2e", "%2f", "%61", "%", "//", ";", "\\", "?", "#", "*", "%25", "%c3%a9", "%c3"}
	segments := []string{"", "a", "b", "*", "**", "a*", "..a", "\u00e9"}
	matched, normal := 0, 0
	for range 200_000 {
		path, pattern := "/", ""
		for range r.IntN(6) {
			path += pieces[r.IntN(len(pieces))]
		}
		for range 1 + r.IntN(3) {
			pattern += "/" + segments[r.IntN(len(segments))]
		}
		if _, err := schema.ParseHTTPRule("GET " + pattern); err != nil {
			continue
		}
		got, want := schema.MatchHTTPPath(pattern, path), naiveHTTPPath(pattern, path)
		if got != want {
			t.Fatalf("MatchHTTPPath(%q, %q) = %v; want %v", pattern, path, got, want)
		}
		if got {
			matched++
		}
		if _, ok := schema.NormalHTTPPath(path); ok {
			normal++
		}
	}
	if matched < 5000 || normal < 20_000 {
		t.Errorf("only %d cases match and %d are normal; the test proves little", matched, normal)
	}
}

func TestProfileRules(t *testing.T) {
	values := func(profile string) map[string]string {
		out := map[string]string{}
		for _, r := range schema.ProfileRules(profile) {
			if r.Plane != schema.PlanePod || r.Verb != schema.VerbSet || r.ID != 0 || !slices.IsSorted(r.Values) {
				t.Errorf("%s: rule %+v", profile, r)
			}
			out[r.Object] = strings.Join(r.Values, " ")
		}
		return out
	}
	if got := append(schema.ProfileRules("privileged"), schema.ProfileRules("strict")...); len(got) > 0 {
		t.Errorf("privileged, or what is none, demands %+v", got)
	}
	baseline, restricted := values("baseline"), values("restricted")
	if len(baseline) != 15 || len(restricted) != 20 {
		t.Errorf("baseline speaks of %d fields and restricted of %d; want 15 and 20", len(baseline), len(restricted))
	}
	for field, want := range baseline {
		got, ok := restricted[field]
		if !ok {
			t.Errorf("restricted leaves out %s", field)
		}
		for _, v := range strings.Split(got, " ") {
			if !slices.Contains(strings.Split(want, " "), v) {
				t.Errorf("restricted permits %s to be %q, which baseline does not", field, v)
			}
		}
	}
	for field, want := range map[schema.PodField]string{
		schema.PodAddCapabilities: "NET_BIND_SERVICE", schema.PodDropCapabilities: "ALL", schema.PodSeccomp: "Localhost RuntimeDefault", schema.PodProcMount: " Default",
		schema.PodVolumes: "configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret", schema.PodHostPaths: "", schema.PodEscalation: "false",
	} {
		if got := restricted[string(field)]; got != want {
			t.Errorf("restricted permits %s to be %q; want %q", field, got, want)
		}
	}
	schema.ProfileRules("restricted")[0].Values[0] = "changed"
	if !slices.Contains(schema.ProfileRules("restricted")[0].Values, "NET_BIND_SERVICE") {
		t.Error("who changes the rules that were given out changes the standard")
	}
}

func TestReportID(t *testing.T) {
	v := schema.Verdict{Action: deny, Workloads: []string{"a", "b"}}
	id := func(e schema.Event) string { return schema.NewReportID(e, v) }
	exec := schema.Event{Verb: schema.VerbExec, Object: "/bin/sh", Parent: "/usr/bin/pay"}
	if got, want := id(exec), schema.NewRuleID("report", "exec", "/bin/sh", "", "/usr/bin/pay", "deny", "a", "b").String(); got != want || got != "d56cdb985d8c28c0" {
		t.Errorf("the report of an exec is called %s; want %s, as ever", got, want)
	}
	base := schema.Flow{Address: address("10.0.0.1"), Port: 443, Protocol: "tcp"}
	flowID := func(change func(*schema.Flow)) string {
		f := base
		change(&f)
		return id(schema.Event{Verb: schema.VerbConnect, Flow: &f})
	}
	pod := func(labels map[string]string, ip string) func(*schema.Flow) {
		return func(f *schema.Flow) {
			f.Peer, f.Address = schema.Subject{Namespace: "shop", Labels: labels}, address(ip)
		}
	}
	seen := map[string]string{}
	for name, change := range map[string]func(*schema.Flow){
		"an address":      func(f *schema.Flow) {},
		"another address": func(f *schema.Flow) { f.Address = address("10.0.0.2") },
		"another port":    func(f *schema.Flow) { f.Port = 80 },
		"udp":             func(f *schema.Flow) { f.Protocol = "udp" },
		"a name":          func(f *schema.Flow) { f.Names = schema.Names{"a.test"} },
		"two names":       func(f *schema.Flow) { f.Names = schema.Names{"a.test", "b.test"} },
		"a Pod":           pod(map[string]string{"app": "web"}, "10.0.0.1"),
		"another Pod":     pod(map[string]string{"app": "db"}, "10.0.0.1"),
		"the host":        func(f *schema.Flow) { f.Peer.Host = true },
		"a path":          func(f *schema.Flow) { f.HTTP = &schema.Request{Method: "GET", Path: "/a"} },
		"another path":    func(f *schema.Flow) { f.HTTP = &schema.Request{Method: "GET", Path: "/b"} },
		"a call":          func(f *schema.Flow) { f.GRPC = "a.B/C" },
		"a server name":   func(f *schema.Flow) { f.TLS = "a.test" },
		"a probe":         func(f *schema.Flow) { f.Probe = true },
	} {
		got := flowID(change)
		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s are one behaviour", name, other)
		}
		seen[got] = name
	}
	same := func(what, a, b string) {
		if a != b {
			t.Errorf("%s are two behaviours", what)
		}
	}
	same("a Pod at two addresses", flowID(pod(map[string]string{"app": "web"}, "10.0.0.1")), flowID(pod(map[string]string{"app": "web"}, "10.0.0.9")))
	same("two generations of a Pod", flowID(pod(map[string]string{"app": "web", "pod-template-hash": "x"}, "10.0.0.1")), flowID(pod(map[string]string{"app": "web", "pod-template-hash": "y"}, "10.0.0.1")))
	same("an address and the same mapped", flowID(func(f *schema.Flow) {}), flowID(func(f *schema.Flow) { f.Address = address("::ffff:10.0.0.1") }))
	same("two queries", flowID(func(f *schema.Flow) { f.HTTP = &schema.Request{Path: "/a?1"} }), flowID(func(f *schema.Flow) { f.HTTP = &schema.Request{Path: "/a?2"} }))
	set1 := schema.Event{Verb: schema.VerbSet, Set: map[schema.PodField]schema.Names{schema.PodHostPID: {"true"}}}
	set2 := schema.Event{Verb: schema.VerbSet, Set: map[schema.PodField]schema.Names{schema.PodHostIPC: {"true"}}}
	if id(set1) == id(set2) {
		t.Error("two fields are one behaviour")
	}
}
