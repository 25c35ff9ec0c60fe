// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"net/netip"
	"testing"

	"github.com/writ-sec/writ/schema"
)

func TestDescribe(t *testing.T) {
	layer7 := flowRule(schema.VerbConnect, "ledger", schema.Peer{Workload: "ledger", Port: "8443"})
	layer7.HTTP = []schema.HTTPRule{{Method: "POST", Path: "/v1/entries/*", Host: "ledger.example.com"}}
	layer7.GRPC, layer7.L4 = []string{"shop.Ledger/*"}, true
	tls := flowRule(schema.VerbConnect, "s", schema.Peer{DNS: "api.stripe.com", Port: "443"})
	tls.TLS = []string{"**"}
	named := flowRule(schema.VerbAccept, "w", schema.Peer{Namespaces: &schema.Selector{Labels: map[string]string{"team": "shop"}}, Port: "web"})
	named.TLS = []string{"pay.example.com"}
	never := rule(schema.VerbConnect, "metadata")
	never.Peer = &schema.Peer{CIDR: "169.254.169.254/32"}
	udp := rule(schema.VerbConnect, "dns")
	udp.Peer = &schema.Peer{Namespace: "kube-system", Port: "*", Protocol: "udp"}
	for _, c := range []struct {
		r    schema.Rule
		want string
	}{
		{startedBy("/usr/bin/curl", "/a", "/b c"), `exec /usr/bin/curl, started by /a or "/b c"`},
		{rule(schema.VerbExec, "/bin/\u202esh"), `exec "/bin/\u202esh"`},
		{rule(schema.VerbRead, "/etc/**"), "read /etc/**"},
		{rule(schema.VerbWrite, "/tmp/**"), "write /tmp/**"},
		{rule(schema.VerbAccess, "/etc/shadow"), "read or write /etc/shadow"},
		{rule(schema.VerbUse, "CAP_NET_RAW"), "use CAP_NET_RAW"},
		{layer7, "connect to workload ledger port 8443/tcp, POST /v1/entries/* of ledger.example.com or call shop.Ledger/* (where no proxy runs: any connection)"},
		{tls, "connect to api.stripe.com port 443/tcp, TLS"},
		{named, "accept connections from namespaces with label team=shop port web/tcp, TLS to pay.example.com"},
		{never, "connect to 169.254.169.254/32 on any port"},
		{udp, "connect to namespace kube-system on any udp port"},
		{rule(schema.VerbConnect, "x"), "connect to any peer"},
		{rule(schema.VerbRun, imagePayments), "run " + imagePayments},
		{rule(schema.VerbSigned, "shop-ci"), "run images that shop-ci signed"},
		{rule(schema.VerbPass, "production"), "run images that pass the gate production"},
		{podRule(schema.PodVolumes, "configMap", "secret"), "set volumes to configMap or secret"},
		{podRule(schema.PodHostPorts), "set no hostPorts"},
		{podRule(schema.PodDropCapabilities, "NET_RAW", "SYS_TIME"), "drop the capabilities NET_RAW and SYS_TIME"},
	} {
		if got := Describe(c.r); got != c.want {
			t.Errorf("Describe(%+v) = %s; want %s", c.r, got, c.want)
		}
	}
}

func TestDescribeEvent(t *testing.T) {
	flow := func(v schema.Verb, f schema.Flow) schema.Event { return schema.Event{Verb: v, Flow: &f} }
	for _, c := range []struct {
		e    schema.Event
		want string
	}{
		{execOf("/bin/sh", "/usr/bin/x"), "exec /bin/sh by /usr/bin/x"},
		{schema.Event{Verb: schema.VerbExec, Object: "/\xff", Origin: schema.OriginDeleted}, `exec "/\xff" (deleted)`},
		{flow(schema.VerbRequest, schema.Flow{Peer: schema.Subject{Namespace: "shop"}, Address: netip.MustParseAddr("10.0.0.1"), Names: schema.Names{"a.example", "b.example"}, Port: 443,
			PortName: "https", Protocol: "tcp", HTTP: &schema.Request{Method: "GET", Path: "/x", Host: "a.example"}, Secure: true}),
			"connect to namespace shop, 10.0.0.1, a.example or b.example port 443/tcp (https), GET /x of a.example, TLS"},
		{flow(schema.VerbAccept, schema.Flow{Port: 1, Protocol: "udp", GRPC: "a.B/C", TLS: "x.example"}), "accept from an unknown peer port 1/udp, call a.B/C, TLS to x.example"},
		{schema.Event{Verb: schema.VerbConnect}, "connect to an unknown peer"},
		{schema.Event{Verb: schema.VerbRun, Object: "nginx", SignedBy: schema.Names{"ci"}, Passes: schema.Names{"g", "h"}}, "run nginx, signed by ci, passes g and h"},
		{schema.Event{Verb: schema.VerbSet, Set: map[schema.PodField]schema.Names{"volumes": {"a", "b"}, "hostPID": {"true"}}}, "run a Pod with hostPID=true, volumes=a,b"},
		{schema.Event{Verb: schema.VerbSet}, "run a Pod with no field set"},
	} {
		if got := DescribeEvent(c.e); got != c.want {
			t.Errorf("DescribeEvent(%+v) = %s; want %s", c.e, got, c.want)
		}
	}
}

func TestDescribeMatch(t *testing.T) {
	m := schema.Match{Namespace: "shop", Labels: map[string]string{"app": "a"}, Container: "app-*", Cgroup: "/x", Host: true, Expressions: map[string]schema.Expression{
		"b": {In: schema.Names{"1", "2"}, NotIn: schema.Names{"3"}}, "c": {Exists: new(false)}, "d": {Exists: new(true)}, "e": {In: schema.Names{}}}}
	want := "namespace shop, label app=a, label b 1 or 2, label b not 3, no label c, label d, label e of no value, container app-*, cgroup /x, processes of the host"
	if got := DescribeMatch(m); got != want {
		t.Errorf("DescribeMatch = %s; want %s", got, want)
	}
	if got := DescribeMatch(schema.Match{}); got != "every container" {
		t.Errorf("the zero match is %s", got)
	}
	if got := DescribeSubject(schema.Subject{Namespace: "shop", NamespaceLabels: map[string]string{"a": "b"}, Image: "nginx"}); got != "namespace shop, namespace with label a=b, image nginx" {
		t.Errorf("DescribeSubject = %s", got)
	}
	if got := DescribeSubject(schema.Subject{}); got != "an unknown container" {
		t.Errorf("DescribeSubject of nothing = %s", got)
	}
}

func TestDescribeMode(t *testing.T) {
	for _, c := range []struct {
		now, then schema.Mode
		after     schema.Date
		want      string
	}{
		{"audit", "", "", "audit"},
		{"audit", "enforce", "2027-01-15", "audit through 2027-01-15, then enforce"},
		{"learn", "audit", "2027-01-15T08:00:00Z", "learn until 2027-01-15T08:00:00Z, then audit"},
	} {
		if got := DescribeMode(c.now, c.then, c.after); got != c.want {
			t.Errorf("DescribeMode = %s; want %s", got, c.want)
		}
	}
}
