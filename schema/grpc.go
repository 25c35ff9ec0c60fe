// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"regexp"
	"strings"
)

// serviceRE is the full name of a service in Protocol Buffers, methodNameRE the name of a method.
var (
	serviceRE    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)
	methodNameRE = regexp.MustCompile(`^(\*|[A-Za-z_][A-Za-z0-9_]*)$`)
)

// CheckGRPC returns why a gRPC entry is not valid, or nil. The message says what was expected, without the entry.
func CheckGRPC(call string) error {
	service, method, ok := strings.Cut(call, "/")
	switch {
	case !ok:
		return fmt.Errorf("has no \"/\"; want a call such as \"shop.v1.Orders/Get\", or \"shop.v1.Orders/*\"")
	case len(call) > MaxGlob:
		return fmt.Errorf("has %d bytes; want at most %d", len(call), MaxGlob)
	case !serviceRE.MatchString(service):
		return fmt.Errorf("has the service %q; want its full name, such as \"shop.v1.Orders\", without a \"/\" before it", service)
	case !methodNameRE.MatchString(method):
		return fmt.Errorf("has the method %q; want its name, or \"*\"", method)
	}
	return nil
}

// MatchGRPC reports whether a gRPC entry, "package.Service/Method", matches a call in the same form. The method "*" is any, and all else is
// compared as it is written. A call that is not of that form matches nothing.
func MatchGRPC(entry, call string) bool {
	service, method, ok := strings.Cut(call, "/")
	if !ok || service == "" || method == "" || strings.Contains(method, "/") {
		return false
	}
	return entry == call || entry == service+"/*"
}
