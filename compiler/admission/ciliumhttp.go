// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// ciliumRequests writes the requests that a rule allows. Cilium's proxy compares each field as a whole with a regular expression (RE2).
func ciliumRequests(r *schema.Rule) []object {
	var list []object
	for _, h := range r.HTTP {
		o := object{"path": requestPathRegexp(h.Path)}
		if h.Method != "*" {
			o["method"] = regexp.QuoteMeta(h.Method)
		}
		if h.Host != "" {
			o["host"] = hostRegexp(h.Host)
		}
		list = append(list, o)
	}
	for _, call := range r.GRPC {
		list = append(list, object{"method": "POST", "path": callRegexp(call)})
	}
	return list
}

// callRegexp matches the path of a gRPC call (gRPC over HTTP/2, "Requests"): "/" Service-Name "/" method.
func callRegexp(call string) string {
	service, method, _ := strings.Cut(call, "/")
	if method == "*" {
		return "/" + regexp.QuoteMeta(service) + "/[^/]+"
	}
	return "/" + regexp.QuoteMeta(service) + "/" + regexp.QuoteMeta(method)
}

// requestPathRegexp matches, of the paths that a client may send, with or without a query, those that [schema.MatchHTTPPath] lets a pattern
// match: each character as it is or percent-encoded. Dot segments are resolved before the comparison (Cilium's http-normalize-path, which is
// on unless it is switched off). It matches more where a path is ambiguous, which the schema lets match nothing.
func requestPathRegexp(pattern string) string {
	segments := strings.Split(strings.TrimPrefix(pattern, "/"), "/")
	var b strings.Builder
	for i, s := range segments {
		switch {
		case s == "**" && i == len(segments)-1:
			b.WriteString("(?:/[^/?]*)+")
		case s == "**":
			b.WriteString("(?:/[^/?]*)*")
		case strings.Trim(s, "*") == "" && s != "":
			b.WriteString("/[^/?]+")
		default:
			b.WriteString("/")
			for _, c := range s {
				b.WriteString(requestCharacter(c))
			}
		}
	}
	b.WriteString(`(?:\?.*)?`)
	return b.String()
}

// requestCharacter matches one character of a pattern, as it is or with each of its bytes encoded.
func requestCharacter(c rune) string {
	if c == '*' {
		return "[^/?]*"
	}
	var encoded strings.Builder
	for _, b := range []byte(string(c)) {
		encoded.WriteString("%")
		for _, digit := range fmt.Sprintf("%02x", b) {
			if upper := strings.ToUpper(string(digit)); upper != string(digit) {
				fmt.Fprintf(&encoded, "[%c%s]", digit, upper)
			} else {
				encoded.WriteRune(digit)
			}
		}
	}
	return "(?:" + regexp.QuoteMeta(string(c)) + "|" + encoded.String() + ")"
}

// hostRegexp matches the Host header fields whose name, see [schema.MatchName], a pattern matches: in letters of any case, with a last dot or
// without, with a port or without.
func hostRegexp(pattern string) string {
	const label = "[-0-9A-Za-z_]+"
	name := strings.TrimSuffix(pattern, ".")
	prefix := ""
	if rest, ok := strings.CutPrefix(name, "**."); ok {
		prefix, name = "(?:"+label+`\.)+`, rest
	} else if rest, ok := strings.CutPrefix(name, "*."); ok {
		prefix, name = label+`\.`, rest
	}
	return "(?i)" + prefix + regexp.QuoteMeta(name) + `\.?(?::[0-9]*)?`
}
