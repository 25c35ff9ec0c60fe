// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schematest

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// The vocabulary.
var (
	capabilities  = []string{"CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_KILL"}
	signers       = []string{"ci", "release"}
	gates         = []string{"strict", "loose"}
	imagePatterns = []string{"nginx", "r.example.com/**", "r.example.com/shop/*", "r.example.com/*/app:v1", "app", "**", "**:latest", "**/app", "**@*", "r.example.com/**@*",
		"app:v1@*"}
	images = []string{"nginx", "nginx:1", "app", "r.example.com/shop/app:v1", "r.example.com/bank/app", "NGINX", "",
		"app:v1@" + someDigest, "r.example.com/shop/app@" + someDigest}
	namePatterns = []string{"api.example.com", "*.example.com", "**.example.com", "**.com", "API.example.com."}
	names        = []string{"api.example.com", "API.EXAMPLE.COM.", "x.api.example.com", "example.com", "a..com", ""}
	cidrs        = []string{"10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "::/0", "fd00::/8", "10.1.0.1/32"}
	addresses    = []string{"10.1.0.1", "10.2.0.1", "192.0.2.1", "::ffff:10.1.0.1", "fd00::1", "fd00::1%eth0", ""}
	ports        = []string{"*", "443", "8000-8100", "web", "80"}
	portNumbers  = []int{443, 8000, 8100, 8101, 80, 0}
	portNames    = []string{"", "web", "db"}
	httpPaths    = []string{"/", "/**", "/v1/*", "/v1/**/pay", "/v1/", "/v1/pay*"}
	requestPaths = []string{"/", "/v1/pay", "/v1/x/pay", "/v1/", "/v1/x/../pay?q=1", "/v1%2Fpay", "/v1//pay", "/../v1/pay", "/v1/%70ay", "v1"}
	hosts        = []string{"api.example.com", "api.example.com:443", "a@b.example.com", ""}
	calls        = []string{"shop.Orders/Get", "shop.Orders/*", "shop.Carts/Get"}
	userIDs      = []string{"0", "1000", "1001"}
	hostPatterns = []string{"/var/run/docker.sock", "/data/*", "/data/**", "/**/log"}
	hostPaths    = []string{"/var/run", "/data/a", "/data/a/", "/data", "/", "/var/log", "data", "/var/../etc"}
)

// values are what the fields of a Pod can be: in a Pod, and in a rule.
var values = map[schema.PodField]struct{ pod, rule []string }{
	schema.PodHostNetwork:      {[]string{"true", "false"}, []string{"true", "false"}},
	schema.PodPrivileged:       {[]string{"true", "false"}, []string{"true", "false"}},
	schema.PodServiceAccount:   {[]string{"default", "shop-a", "shop-b"}, []string{"default", "shop-*", "*"}},
	schema.PodAddCapabilities:  {[]string{"NET_RAW", "KILL", "ALL"}, []string{"NET_RAW", "KILL"}},
	schema.PodDropCapabilities: {[]string{"NET_RAW", "KILL", "ALL"}, []string{"NET_RAW", "KILL", "ALL"}},
	schema.PodVolumes:          {[]string{"configMap", "secret", "hostPath"}, []string{"configMap", "secret", "hostPath"}},
	schema.PodHostPaths:        {hostPaths, hostPatterns},
	schema.PodSeccomp:          {[]string{"", "RuntimeDefault", "Unconfined"}, []string{"", "RuntimeDefault", "Localhost"}},
	schema.PodSysctls:          {[]string{"kernel.a", "net.core.b"}, []string{"kernel.*", "net.core.b", "*.b"}},
	schema.PodRunAsUser:        {userIDs, userIDs},
}

var fields = []schema.PodField{
	schema.PodHostNetwork, schema.PodPrivileged, schema.PodServiceAccount, schema.PodAddCapabilities, schema.PodDropCapabilities,
	schema.PodVolumes, schema.PodHostPaths, schema.PodSeccomp, schema.PodSysctls, schema.PodRunAsUser,
}

// Rule returns a rule of a workload, without an ID.
func Rule(r *rand.Rand, plane schema.Plane) schema.Rule {
	a := schema.Rule{Plane: plane}
	switch plane {
	case schema.PlaneExec:
		a.Verb, a.Object = schema.VerbExec, Pattern(r)
		if r.IntN(3) == 0 {
			a.Parents = []string{Pattern(r)}
		}
	case schema.PlaneFile:
		a.Verb, a.Object = pick(r, schema.VerbRead, schema.VerbWrite), Pattern(r)
	case schema.PlaneCapability:
		a.Verb, a.Object = schema.VerbUse, pick(r, capabilities...)
	case schema.PlaneEgress, schema.PlaneIngress:
		a = flowRule(r, plane)
	case schema.PlaneImage:
		a.Verb = pick(r, schema.VerbRun, schema.VerbRun, schema.VerbSigned, schema.VerbPass)
		a.Object = pick(r, map[schema.Verb][]string{schema.VerbRun: imagePatterns, schema.VerbSigned: signers, schema.VerbPass: gates}[a.Verb]...)
	case schema.PlanePod:
		f := pick(r, fields...)
		a.Verb, a.Object, a.Values = schema.VerbSet, string(f), some(r, values[f].rule)
	}
	return a
}

// Forbidden returns a rule of a bound or of a virtual patch, without an ID.
func Forbidden(r *rand.Rand, plane schema.Plane) schema.Rule {
	a := Rule(r, plane)
	a.Parents, a.HTTP, a.GRPC, a.TLS, a.L4 = nil, nil, nil, nil, false
	switch plane {
	case schema.PlaneFile:
		a.Verb = schema.VerbAccess
	case schema.PlaneEgress, schema.PlaneIngress:
		switch r.IntN(6) {
		case 0:
			*a.Peer = schema.Peer{Port: a.Peer.Port, Protocol: a.Peer.Protocol} // anyone
		case 1:
			a.Peer.Protocol = ""
		case 2:
			a.Peer.Port = ""
		}
	case schema.PlaneImage:
		a.Verb, a.Object = schema.VerbRun, pick(r, imagePatterns...)
	}
	return a
}

func flowRule(r *rand.Rand, plane schema.Plane) schema.Rule {
	a := schema.Rule{Plane: plane, Verb: schema.VerbConnect, Object: pick(r, "p", "q", "r", "s"), Peer: peer(r)}
	if plane == schema.PlaneIngress {
		a.Verb = schema.VerbAccept
	}
	if r.IntN(2) == 0 {
		return a
	}
	for range r.IntN(3) {
		h := schema.HTTPRule{Method: pick(r, "GET", "POST", "*"), Path: pick(r, httpPaths...)}
		if r.IntN(3) == 0 {
			h.Host = pick(r, namePatterns...)
		}
		a.HTTP = append(a.HTTP, h)
	}
	slices.SortFunc(a.HTTP, func(x, y schema.HTTPRule) int {
		return cmp.Or(strings.Compare(x.Path, y.Path), strings.Compare(x.Method, y.Method), strings.Compare(x.Host, y.Host))
	})
	if r.IntN(4) == 0 {
		a.GRPC = some(r, calls)
	}
	if r.IntN(4) == 0 {
		a.TLS = []string{pick(r, "**", "*.example.com", "api.example.com")}
	}
	return a
}

func peer(r *rand.Rand) *schema.Peer {
	p := &schema.Peer{Port: pick(r, ports...), Protocol: pick(r, "tcp", "tcp", "tcp", "udp")}
	switch r.IntN(5) {
	case 0:
		m := match(r)
		p.Workload, p.Match = pick(r, "w0", "w1", "w2"), &m
	case 1:
		p.Namespace = pick(r, "shop", "bank")
	case 2:
		p.Namespaces = &schema.Selector{Labels: map[string]string{"tier": pick(r, "front", "back")}}
	case 3:
		p.CIDR = pick(r, cidrs...)
	case 4:
		p.DNS = pick(r, namePatterns...)
	}
	return p
}

// Pattern returns a valid path pattern over the letters a and b, of any kind.
func Pattern(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(3) {
		b.WriteByte('/')
		switch r.IntN(6) {
		case 0:
			b.WriteString("**")
		case 1:
			b.WriteString(pick(r, "*", "a*", "*b", "a*b"))
		default:
			b.WriteString(pick(r, "a", "b", "ab"))
		}
	}
	return b.String()
}

// Path returns an absolute path over the letters a and b.
func Path(r *rand.Rand) schema.Path {
	var b strings.Builder
	for range 1 + r.IntN(3) {
		b.WriteString(pick(r, "/a", "/b", "/ab", "/aab"))
	}
	return schema.Path(b.String())
}
