// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// TestCases holds each line of the table in the package's documentation: what becomes of one rule, exactly.
func TestCases(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	app := schema.Match{Namespace: "bank", Labels: map[string]string{"app": "x"}}
	inContainer, yes, no := app, true, false
	inContainer.Container = "app"
	conditions := schema.Match{Namespace: "bank", Expressions: map[string]schema.Expression{"a": {In: schema.Names{"1"}, NotIn: schema.Names{"2"}, Exists: &yes}, "b": {Exists: &no}}}
	const toApp = `"to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"bank"}},"podSelector":{"matchLabels":{"app":"x"}}}]`
	match := func(m schema.Match) *schema.Peer {
		return &schema.Peer{Workload: "x", Match: &m, Port: "1", Protocol: "tcp"}
	}
	for _, c := range []struct {
		line string // of the table
		peer *schema.Peer
		http bool
		want string // "": the rule has no part in the policy
		note []Note // but for that of resolvers
	}{
		{"workload", match(app), false, `{"ports":[{"port":1,"protocol":"TCP"}],` + toApp + `}`, nil},
		{"workload, by conditions on labels", match(conditions), false, `{"ports":[{"port":1,"protocol":"TCP"}],"to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"bank"}},"podSelector":{"matchExpressions":[` +
			`{"key":"a","operator":"In","values":["1"]},{"key":"a","operator":"NotIn","values":["2"]},{"key":"a","operator":"Exists"},{"key":"b","operator":"DoesNotExist"}]}}]}`, nil},
		{"workload, a container", match(inContainer), false, `{"ports":[{"port":1,"protocol":"TCP"}],` + toApp + `}`, []Note{WiderContainer}},
		{"workload without a namespace", match(schema.Match{Labels: map[string]string{"app": "x"}}), false,
			`{"ports":[{"port":1,"protocol":"TCP"}],"to":[{"namespaceSelector":{},"podSelector":{"matchLabels":{"app":"x"}}}]}`, nil},
		{"workload, the host or a cgroup", match(schema.Match{Host: true}), false, `{"ports":[{"port":1,"protocol":"TCP"}]}`, []Note{WiderHost}},
		{"workload, the host or a cgroup", match(schema.Match{Cgroup: "/a"}), false, `{"ports":[{"port":1,"protocol":"TCP"}]}`, []Note{WiderHost}},
		{"workload that selects nothing", match(schema.Match{Namespace: "a", Expressions: map[string]schema.Expression{"b": {In: schema.Names{}}}}), false, "", nil},
		{"namespace", &schema.Peer{Namespace: "bank", Port: "1", Protocol: "udp"}, false,
			`{"ports":[{"port":1,"protocol":"UDP"}],"to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"bank"}}}]}`, nil},
		{"namespace, by labels", &schema.Peer{Namespaces: &schema.Selector{Labels: map[string]string{"tier": "a"}}, Port: "1", Protocol: "sctp"}, false,
			`{"ports":[{"port":1,"protocol":"SCTP"}],"to":[{"namespaceSelector":{"matchLabels":{"tier":"a"}}}]}`, nil},
		{"cidr", &schema.Peer{CIDR: "10.0.0.0/8", Port: "1-9", Protocol: "tcp"}, false, `{"ports":[{"endPort":9,"port":1,"protocol":"TCP"}],"to":[{"ipBlock":{"cidr":"10.0.0.0/8"}}]}`, nil},
		{"cidr", &schema.Peer{CIDR: "::/0", Port: "*", Protocol: "tcp"}, false, `{"ports":[{"protocol":"TCP"}],"to":[{"ipBlock":{"cidr":"::/0"}}]}`, nil},
		{"dns", &schema.Peer{DNS: "*.example.com", Port: "1", Protocol: "tcp"}, false, `{"ports":[{"port":1,"protocol":"TCP"}]}`, []Note{WiderName}},
		{"a port's name, to Pods", &schema.Peer{Namespace: "bank", Port: "web", Protocol: "tcp"}, false,
			`{"ports":[{"port":"web","protocol":"TCP"}],"to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"bank"}}}]}`, nil},
		{"a port's name, elsewhere in egress", &schema.Peer{CIDR: "10.0.0.0/8", Port: "web", Protocol: "tcp"}, false, `{"ports":[{"protocol":"TCP"}],"to":[{"ipBlock":{"cidr":"10.0.0.0/8"}}]}`, []Note{WiderPortName}},
		{"http, grpc, tls", &schema.Peer{CIDR: "10.0.0.0/8", Port: "1", Protocol: "tcp"}, true, `{"ports":[{"port":1,"protocol":"TCP"}],"to":[{"ipBlock":{"cidr":"10.0.0.0/8"}}]}`, []Note{WiderLayer7}},
	} {
		if !regexp.MustCompile(`(?m)^//\t` + regexp.QuoteMeta(c.line) + `  `).Match(doc) {
			t.Errorf("doc.go has no line %q", c.line)
		}
		r := schema.Rule{Plane: schema.PlaneEgress, Verb: schema.VerbConnect, Peer: c.peer}
		if c.http {
			r.HTTP = []schema.HTTPRule{{Method: "GET", Path: "/"}}
		}
		f := flowsOf(enforced(inShop, r), SideEgress, kindNetworkPolicy, false)
		notes := slices.DeleteFunc(slices.Clone(wider(f)), func(n Note) bool { return n == WiderResolvers })
		if (c.peer.CIDR == "") != f.resolvers {
			t.Errorf("%s: resolvers %v", c.line, f.resolvers)
		}
		f.resolvers = false
		var got []string
		for _, o := range networkRules(f, SideEgress) {
			got = append(got, strings.TrimSpace(string(bundle.Encode(o))))
		}
		if strings.Join(got, "\n") != c.want || !slices.Equal(notes, c.note) {
			t.Errorf("%s: got %s, notes %v; want %s, %v", c.line, got, notes, c.want, c.note)
		}
	}
}

// TestIngressPortName holds that in ingress the receiver, whose ports are named, is always a Pod.
func TestIngressPortName(t *testing.T) {
	r := schema.Rule{Plane: schema.PlaneIngress, Verb: schema.VerbAccept, Peer: &schema.Peer{CIDR: "10.0.0.0/8", Port: "web", Protocol: "tcp"}}
	f := flowsOf(enforced(inShop, r), SideIngress, kindNetworkPolicy, false)
	const want = `[{"from":[{"ipBlock":{"cidr":"10.0.0.0/8"}}],"ports":[{"port":"web","protocol":"TCP"}]}]` + "\n"
	if got := string(bundle.Encode(networkRules(f, SideIngress))); got != want || f.resolvers || len(wider(f)) > 0 {
		t.Errorf("got %s, notes %v; want %s", got, f.wider, want)
	}
}

// TestRequestRegexps compares the regular expressions for requests with what schema matches, as it was sent and with all of it encoded.
func TestRequestRegexps(t *testing.T) {
	whole := func(expression, s string) bool { return regexp.MustCompile("^(?:" + expression + ")$").MatchString(s) }
	paths := []string{"/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/a.b", "/axb", "/v1/pay", "/v1/x/pay", "/v1/x/y/pay", "/v1/pays", "/é", "/a+b", "/a(b)"}
	for _, pattern := range []string{"/", "/a", "/a/", "/*", "/a/*", "/a/**", "/**", "/**/pay", "/v1/**/pay", "/a*", "/*b", "/a.b", "/é", "/a+b", "/a(b)", "/v1/*/pay"} {
		for _, path := range paths {
			for _, sent := range []string{path, path + "?q=/1", encoded(path)} {
				want, got := schema.MatchHTTPPath(pattern, sent), whole(requestPathRegexp(pattern), sent)
				if want != got {
					t.Errorf("path pattern %q, path %q: got %v, want %v by %s", pattern, sent, got, want, requestPathRegexp(pattern))
				}
			}
		}
	}
	for _, pattern := range []string{"api.example.com", "*.example.com", "**.example.com", "API.example.com."} {
		for _, name := range []string{"api.example.com", "API.EXAMPLE.com.", "a.api.example.com", "example.com", "apixexample.com", "x_y.example.com"} {
			for _, port := range []string{"", ":", ":8443"} {
				if want, got := schema.MatchName(pattern, name), whole(hostRegexp(pattern), name+port); want != got {
					t.Errorf("host pattern %q, host %q: got %v, want %v", pattern, name+port, got, want)
				}
			}
		}
	}
	for _, call := range []string{"shop.Orders/Get", "shop.Orders/*"} {
		for _, asked := range []string{"shop.Orders/Get", "shop.Orders/Gets", "shopxOrders/Get", "shop.Orders/Get/x", "shop.Orders/"} {
			if want, got := schema.MatchGRPC(call, asked), whole(callRegexp(call), "/"+asked); want != got {
				t.Errorf("call %q, asked %q: got %v, want %v", call, asked, got, want)
			}
		}
	}
}

// encoded percent-encodes every byte but slashes, with digits of both cases.
func encoded(path string) string {
	var b strings.Builder
	for i := range len(path) {
		const lower, upper = "0123456789abcdef", "0123456789ABCDEF"
		if c := path[i]; c == '/' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', upper[c>>4], []string{lower, upper}[i%2][c&15]})
		}
	}
	return b.String()
}
