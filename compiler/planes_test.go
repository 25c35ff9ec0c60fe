// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"net/netip"
	"testing"

	"github.com/writ-sec/writ/schema"
)

var inLedger = schema.Subject{Namespace: "shop", Labels: map[string]string{"app": "ledger"}}

func flowOf(v schema.Verb, f schema.Flow) schema.Event {
	if f.Protocol == "" {
		f.Protocol = "tcp"
	}
	return schema.Event{Subject: inShop, Verb: v, Flow: &f}
}

func fileOf(v schema.Verb, object string) schema.Event {
	return schema.Event{Subject: inShop, Verb: v, Object: schema.Path(object)}
}

const metadataHolds = "holds no-metadata: it forbids 1 object of egress, and not this"

// TestConsiderPlanes is TestConsider for every other plane, for bounds and for patches.
func TestConsiderPlanes(t *testing.T) {
	p := shop()
	open := func(plane string) string { return "open extra: it does not mention " + plane }
	for _, c := range []considered{
		{"a bound", execOf("/bin/sh", ""), "denied by bound no-shells (/bin/sh)", "a bound forbids it: forbidden by no-shells",
			[]string{"closes payments: it closes exec, in mode enforce", extraCloses, xmlHolds, zipExpired}, "bounds.cue:54:2: it is forbidden here"},
		{"a patch", execOf("/opt/tools/xmllint", ""), "denied by exception shop-xml (/opt/tools/xmllint)", "a virtual patch forbids it: forbidden by shop-xml",
			[]string{"allows /opt/tools/*: it allows it", "closes payments: it closes exec, in mode enforce", extraCloses, shellsHold, zipExpired}, "bounds.cue:57:2: it is forbidden here"},
		{"an expired patch", execOf("/opt/tools/unzip", ""), "allowed by the rule /opt/tools/* of workload payments", "a rule allows it",
			[]string{extraCloses, shellsHold, xmlHolds, zipExpired}, ""},
		{"read", fileOf(schema.VerbRead, "/var/lib/payments/a"), "allowed by the rule /var/lib/payments/** of workload payments", "a rule allows it", []string{open("file")}, ""},
		{"read-only", fileOf(schema.VerbWrite, "/etc/payments/a"), "denied by the rule /etc/payments/** of workload payments", "the rule names the file, but for reading alone",
			[]string{open("file")}, "shop/payments.cue:7:2: widen this rule, or add one beside it"},
		{"a folder", fileOf(schema.VerbRead, "/etc/payments"), "denied by the closing of file by workload payments", "file is closed and no rule names it",
			[]string{"near /etc/payments/**: it is for what lies below that folder, not for the folder itself", open("file")}, "shop/payments.cue:6:2: add a rule to file of workload payments"},
		{"capability", fileOf(schema.VerbUse, "CAP_NET_RAW"), "denied by the closing of capability by workload payments", "capability is closed and no rule names it",
			[]string{open("capability")}, "shop/payments.cue:9:2: add a rule to capability of workload payments"},
		{"another port", flowOf(schema.VerbConnect, schema.Flow{Names: schema.Names{"api.stripe.com"}, Port: 80}), "denied by the rule stripe of workload payments",
			"the rule names the peer, but another port or protocol", []string{open("egress"), metadataHolds}, "shop/payments.cue:13:2: widen this rule, or add one beside it"},
		{"another peer", flowOf(schema.VerbConnect, schema.Flow{Address: netip.MustParseAddr("10.21.0.1"), Port: 5432}), "denied by the closing of egress by workload payments",
			"egress is closed and no rule names it", []string{"near postgres: it is for another peer", open("egress"), metadataHolds}, "shop/payments.cue:11:2: add a rule to egress of workload payments"},
		{"another request", flowOf(schema.VerbRequest, schema.Flow{Peer: inLedger, Port: 8443, HTTP: &schema.Request{Method: "GET", Path: "/v1/entries/1"}}),
			"denied by the rule ledger of workload payments", "the rule names the peer and the port, but other requests", []string{open("egress"), metadataHolds},
			"shop/payments.cue:12:2: widen this rule, or add one beside it"},
		{"metadata", flowOf(schema.VerbConnect, schema.Flow{Address: netip.MustParseAddr("169.254.169.254"), Port: 80}), "denied by bound no-metadata (metadata)",
			"a bound forbids it: forbidden by no-metadata", []string{"closes payments: it closes egress, in mode enforce", open("egress")}, "bounds.cue:52:2: it is forbidden here"},
		{"an unknown Pod", flowOf(schema.VerbConnect, schema.Flow{Address: netip.MustParseAddr("10.9.9.9"), Unknown: true, Port: 443}), "denied by the closing of egress by workload payments",
			"nobody knows which Pod has the address, so no rule can name it", []string{"near stripe: it is for another peer", open("egress"), metadataHolds}, ""},
		{"accept", flowOf(schema.VerbAccept, schema.Flow{Peer: inLedger, Port: 8080}), "allowed by the rule web of workload payments", "a rule allows it", []string{open("ingress")}, ""},
		{"a probe", flowOf(schema.VerbAccept, schema.Flow{Probe: true, Port: 8080}), "allowed by builtin/probe", "it holds without a line of policy",
			[]string{"closes payments: it closes ingress, in mode enforce", open("ingress")}, ""},
	} {
		c.check(t, p)
	}
}

// TestConsiderConditions is for images and Pods, of which every condition must hold.
func TestConsiderConditions(t *testing.T) {
	p := shop()
	run := func(image string, signers, gates schema.Names) schema.Event {
		return schema.Event{Subject: inShop, Verb: schema.VerbRun, Object: schema.Path(image), SignedBy: signers, Passes: gates}
	}
	set := func(values map[schema.PodField]schema.Names) schema.Event {
		return schema.Event{Subject: inShop, Verb: schema.VerbSet, Set: values}
	}
	const noImages, noPods = "open extra: it states no condition on image", "open extra: it states no condition on pod"
	for _, c := range []considered{
		{"met", run(imagePayments, schema.Names{"shop-ci"}, schema.Names{"production"}), "allowed by the rule " + imagePayments + " of workload payments", "a rule allows it", []string{noImages}, ""},
		{"not signed", run(imagePayments, nil, nil), "denied by the rule shop-ci of workload payments", "no signer that the workload names is known to have signed the image",
			[]string{"fails production: the image is not known to pass it", "allows " + imagePayments + ": it permits the image as well", noImages},
			"shop/payments.cue:19:2: let the image meet this condition, or change it"},
		{"gate", run(imagePayments, schema.Names{"shop-ci"}, nil), "denied by the rule production of workload payments", "the image is not known to pass the gate",
			[]string{"allows " + imagePayments + ": it permits the image as well", noImages}, "shop/payments.cue:20:2: let the image meet this condition, or change it"},
		{"another registry", run("other.example.com/shop/payments", nil, nil), "denied by the closing of image by workload payments", "no rule of the workload permits the image",
			[]string{"fails production: the image is not known to pass it", "near " + imagePayments + ": it is for the registry registry.example.com",
				"near shop-ci: the image is not known to be signed by it", noImages}, "shop/payments.cue:17:2: add a rule to image of workload payments"},
		{"pod", set(map[schema.PodField]schema.Names{schema.PodVolumes: {"hostPath"}, schema.PodHostNetwork: {"true"}}), "denied by the rule hostNetwork of workload payments",
			"the Pod has a value that is not permitted", []string{"fails volumes: the Pod has hostPath", noPods}, "shop/payments.cue:23:2: permit true for hostNetwork here"},
		{"pod that holds", set(map[schema.PodField]schema.Names{schema.PodVolumes: {"secret"}}), "allowed by the closing of pod by workload payments", "every condition on the Pod holds",
			[]string{noPods}, ""},
	} {
		c.check(t, p)
	}
}

// TestConsiderPatchOfAnUnknownImage says that a patch may hold where the event does not say which image runs.
func TestConsiderPatchOfAnUnknownImage(t *testing.T) {
	e := execOf("/opt/tools/xmllint", "")
	e.Subject.Image = ""
	considered{"no image", e, "allowed by the rule /opt/tools/* of workload payments", "a rule allows it", []string{extraCloses, shellsHold,
		"unknown /opt/tools/xmllint: it forbids it where such an image runs, and the event does not say which image does"}, ""}.check(t, shop())
}

// TestConsiderWeakerBound tells of a bound that forbids as well and does not decide.
func TestConsiderWeakerBound(t *testing.T) {
	p := shop()
	p.Bounds[1].Mode, p.Bounds[1].Then, p.Bounds[1].After = schema.ModeAudit, schema.ModeEnforce, "2027-02-01"
	considered{"planned", execOf("/bin/sh", ""), closingOfExec, execClosed, []string{"forbids /bin/sh: it forbids it, in mode audit through 2027-02-01, then enforce", extraCloses, xmlHolds, zipExpired},
		addExec}.check(t, p)
	h := &handmade{file: "x.cue"}
	p = &schema.Policy{Bounds: []schema.Bound{h.bound("covered", schema.Match{}, schema.ModeEnforce)}}
	p.Bounds[0].Require.Workload = true
	considered{"require", schema.Event{Subject: schema.Subject{Namespace: "x"}, Verb: schema.VerbRun, Object: "nginx"}, "denied by bound covered",
		"a bound demands that a workload selects every Pod", nil, "x.cue:1:2: state a workload that selects this container"}.check(t, p)
}

// TestExampleEventsOfEveryRule holds that there is an event for each rule, and that the rule has to do with what becomes of it.
func TestExampleEventsOfEveryRule(t *testing.T) {
	p := shop()
	p.Exceptions[1].Expires = "2027-12-31"
	n := 0
	for _, table := range RuleTables(p) {
		for _, s := range StatedIn(&table) {
			e, ok := ExampleOf(p, s, noon)
			if want := s.Verb != "" && s.Verb != schema.VerbSigned && s.Verb != schema.VerbPass; ok != want {
				t.Errorf("%s: example %+v, %v; want %v", s.Headline(), e, ok, want)
			}
			if !ok {
				continue
			}
			n++
			if s.Plane.Condition() {
				continue // other conditions decide too
			}
			if got := Consider(p, e, noon); got.By == nil || got.By.ID != s.ID {
				t.Errorf("%s: the example %s is %s by %+v", s.Headline(), DescribeEvent(e), got.Verdict.Action, got.By)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d examples", n)
	}
}

func TestExampleEventsOfFlows(t *testing.T) {
	with := func(r schema.Rule, change func(*schema.Rule)) schema.Rule {
		r.Plane = r.Verb.Plane()
		change(&r)
		return r
	}
	nothing := func(*schema.Rule) {}
	for name, r := range map[string]schema.Rule{
		"udp range":     with(flowRule(schema.VerbConnect, "x", schema.Peer{CIDR: "10.0.0.0/8", Port: "8000-8100", Protocol: "udp"}), nothing),
		"one host":      with(flowRule(schema.VerbConnect, "x", schema.Peer{CIDR: "10.0.0.1/32", Port: "*"}), nothing),
		"IPv6":          with(flowRule(schema.VerbConnect, "x", schema.Peer{CIDR: "2001:db8::/32", Port: "1"}), nothing),
		"a name":        with(flowRule(schema.VerbConnect, "x", schema.Peer{DNS: "**.example.com", Port: "https"}), nothing),
		"namespaces":    with(flowRule(schema.VerbAccept, "x", schema.Peer{Namespaces: &schema.Selector{Labels: map[string]string{"team": "shop"}}, Port: "1"}), nothing),
		"any namespace": with(flowRule(schema.VerbAccept, "x", schema.Peer{Namespaces: &schema.Selector{}, Port: "1"}), nothing),
		"grpc":          with(flowRule(schema.VerbConnect, "x", schema.Peer{Namespace: "a", Port: "1"}), func(r *schema.Rule) { r.GRPC = []string{"shop.Ledger/*"} }),
		"tls":           with(flowRule(schema.VerbAccept, "x", schema.Peer{Namespace: "a", Port: "1"}), func(r *schema.Rule) { r.TLS = []string{"*.example.com"} }),
		"any tls":       with(flowRule(schema.VerbConnect, "x", schema.Peer{Namespace: "a", Port: "1"}), func(r *schema.Rule) { r.TLS = []string{"**"} }),
		"http": with(flowRule(schema.VerbConnect, "x", schema.Peer{Namespace: "a", Port: "1"}), func(r *schema.Rule) {
			r.HTTP = []schema.HTTPRule{{Method: "*", Path: "/v1/**", Host: "*.example.com"}}
		}),
	} {
		if e, ok := ExampleEvent(r, matchPayments, noon); !ok {
			t.Errorf("%s: no example, tried %s", name, DescribeEvent(e))
		}
	}
}

func TestRunTestsOfPlanes(t *testing.T) {
	p := shop()
	metadata := schema.Test{In: "payments", Event: flowOf(schema.VerbConnect, schema.Flow{Address: netip.MustParseAddr("169.254.169.254"), Port: 80}), Is: schema.ActionDeny, By: "no-metadata"}
	metadata.Event.Subject = schema.Subject{}
	connect := schema.Test{In: "payments", Peer: "shop/ledger", Event: flowOf(schema.VerbRequest, schema.Flow{Port: 8443, HTTP: &schema.Request{Method: "POST", Path: "/v1/entries/1"}}), Is: schema.ActionAllow, By: "ledger"}
	connect.Event.Subject = schema.Subject{}
	late := execTest("payments", "/opt/tools/xmllint", schema.ActionDeny, "shop-xml")
	late.At = "2027-02-01"
	run := schema.Test{In: "payments", Event: schema.Event{Verb: schema.VerbRun, Object: imagePayments, SignedBy: schema.Names{"shop-ci"}, Passes: schema.Names{"production"}}, Is: schema.ActionAllow}
	pod := schema.Test{In: "payments", Event: schema.Event{Verb: schema.VerbSet, Set: map[schema.PodField]schema.Names{schema.PodVolumes: {"secret"}}}, Is: schema.ActionAllow, By: "pod"}
	for _, o := range []testCase{
		{"a bound", execTest("payments", "/bin/sh", schema.ActionDeny, "bound no-shells"), "", ""},
		{"a bound by its name", execTest("payments", "/bin/sh", schema.ActionDeny, "no-shells"), "", ""},
		{"a patch, for the image that the workload runs", execTest("payments", "/opt/tools/xmllint", schema.ActionDeny, "shop-xml"), "", ""},
		{"a patch on the day after", late, "want denied, got allowed: a rule allows it", "shop/payments.cue:5:2: take out or narrow what allows it: workload payments may exec /opt/tools/*"},
		{"connect", connect, "", ""},
		{"metadata", metadata, "", ""},
		{"run", run, "", ""},
		{"pod", pod, "", ""},
		{"not the bound", execTest("payments", "/bin/x", schema.ActionDeny, "no-shells"),
			"is denied, but by the closing of exec by workload payments; want by no-shells (of that one: it forbids 2 objects of exec, and not this)", "shop/payments.cue:2:2: this decides instead"},
	} {
		o.check(t, p)
	}
	p.Tests = []schema.Test{run, pod, metadata}
	c := CoverTests(p, RunTests(p, noon))
	if c.Rules.Touched != 4 || c.Closings.Touched != 1 || c.Limits.Touched != 1 { // three conditions on the image, one on the Pod that holds
		t.Errorf("touched %+v, %+v, %+v; want 4, 1, 1", c.Rules, c.Closings, c.Limits)
	}
}
