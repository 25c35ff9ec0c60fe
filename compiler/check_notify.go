// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/writ-sec/writ/schema"
)

var (
	mailRE    = regexp.MustCompile(`^[^\s@<>"(),:;\\]{1,64}@[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$`)
	syslogRE  = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?$`)
	channelRE = regexp.MustCompile(`^[#@][\p{L}\p{N}][\p{L}\p{N}._-]{0,79}$`)
	projectRE = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,79}$`)
	serviceRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}$`)
)

// notifyTo says, for each kind of channel, what it sends to beside a URL, whether it takes a URL, and what to want.
var notifyTo = map[string]struct {
	text *regexp.Regexp
	url  bool
	want string
}{
	"webhook":    {nil, true, `the URL to post to, such as "https://alerts.example.com/writ"`},
	"slack":      {channelRE, true, `a channel such as "#security", or the URL of the API`},
	"teams":      {channelRE, true, `a channel such as "#security", or the URL of the API`},
	"email":      {mailRE, false, `an address such as "security@example.com"`},
	"syslog":     {syslogRE, false, `a host with a port if need be, such as "logs.example.com:6514", or tls://, tcp:// or udp:// before it`},
	"pagerduty":  {serviceRE, true, `the name of a service, or the URL of the API`},
	"jira":       {projectRE, true, `a project such as "SEC", or its URL`},
	"servicenow": {projectRE, true, `a table such as "incident", or its URL`},
}

// notify checks a channel. What may hold a credential is not repeated in messages: they end in logs.
func (r *report) notify(n *schema.Notify) {
	r.owner(nil, n.Owner)
	r.reason(n.Why)
	r.notifyTarget(n)
	if n.Secret != "" || r.s.has("secret") {
		r.secretName(n.Secret)
	}
	if n.Limit < 0 {
		r.fail([]string{"limit"}, "limit is %d; want the messages of an hour, or no \"limit\"", n.Limit)
	}
}

func (r *report) notifyTarget(n *schema.Notify) {
	want, known := notifyTo[n.Kind]
	if !known {
		return // not valid, and reported
	}
	at := []string{"to"}
	to := n.To
	if n.Kind == "syslog" {
		for _, scheme := range []string{"tls://", "tcp://", "udp://"} {
			to = strings.TrimPrefix(to, scheme)
		}
	}
	switch {
	case n.Kind == "pagerduty" && tokenLike(to):
		r.fail(at, "to looks like a routing key, which is a credential; want it in \"secret\", and here %s", want.want)
	case want.text != nil && want.text.MatchString(to):
	case !want.url || !strings.Contains(to, "://"):
		r.fail(at, "to %.100q does not fit kind %q; want %s", redacted(to), n.Kind, want.want)
	default:
		r.notifyURL(at, to, n.Kind, want.want)
	}
}

func (r *report) notifyURL(at []string, to, kind, want string) {
	u, err := url.Parse(to)
	switch {
	case err != nil || u.Host == "":
		r.fail(at, "to is not a URL; want %s", want)
	case credentialIn(u) != "":
		r.fail(at, "to holds a credential (%s of the URL of %q), which must not stand in a repository; want it replaced, and the new one in \"secret\"", credentialIn(u), u.Hostname())
	case u.Scheme != "https":
		r.fail(at, "to %.100q is not encrypted; want https for kind %q", u.Scheme+"://"+u.Host, kind)
	}
}

// credentialIn says where a URL holds what looks like a credential, or "".
func credentialIn(u *url.URL) string {
	if u.User != nil {
		return "the user part"
	}
	for key, values := range u.Query() {
		named := slices.Contains([]string{"token", "key", "apikey", "api_key", "secret", "password", "sig", "signature", "auth", "access_token", "code"}, strings.ToLower(key))
		if named || slices.ContainsFunc(values, tokenLike) {
			return "the query"
		}
	}
	if slices.ContainsFunc(strings.Split(u.Path, "/"), tokenLike) {
		return "the path"
	}
	if tokenLike(u.Fragment) {
		return "the fragment"
	}
	return ""
}

const (
	minToken = 20 // below that, names are as long
	uuidLen  = 36
)

// tokenLike reports whether a text looks like a token: long, of letters and digits mixed. A UUID names something and is none.
func tokenLike(s string) bool {
	if len(s) < minToken || len(s) == uuidLen && strings.Count(s, "-") == 4 {
		return false
	}
	letters, digits, changes, before := 0, 0, 0, 0
	for _, c := range s {
		class := 0
		switch {
		case unicode.IsDigit(c):
			digits++
			class = 1
		case unicode.IsUpper(c):
			letters++
			class = 2
		case unicode.IsLower(c):
			letters++
			class = 3
		case !strings.ContainsRune("-_.~+/=%", c):
			return false
		}
		if class != before && class != 0 && before != 0 {
			changes++
		}
		before = class
	}
	return digits > 0 && letters > 0 && changes >= 4
}

// redacted keeps what looks like a token out of messages.
func redacted(s string) string {
	if slices.ContainsFunc(strings.FieldsFunc(s, func(c rune) bool { return strings.ContainsRune("/:?&=@ ", c) }), tokenLike) {
		return "…"
	}
	return s
}

// secretName checks the name of the Secret, or the path of the file, that holds a credential.
func (r *report) secretName(name string) {
	at := []string{"secret"}
	switch {
	case strings.HasPrefix(name, "/"):
		if err := schema.CheckPattern(name); err != nil || strings.Contains(name, "*") {
			r.fail(at, "secret %.200q is not the path of one file; want an absolute path, or the name of a Secret", name)
		}
	case tokenLike(name) || strings.Contains(name, "://"):
		r.fail(at, "secret looks like a credential itself, which must not stand in a repository; want it replaced, and here the name of the Secret, or the path of the file, that holds the new one")
	case len(name) > 253 || !subdomainPart.MatchString(name):
		r.fail(at, "secret %.100q is not the name of a Kubernetes Secret; want at most 253 lower-case letters, digits, \"-\" and \".\", or an absolute path", redacted(name))
	}
}
