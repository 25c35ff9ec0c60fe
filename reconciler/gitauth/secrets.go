// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package gitauth

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxForeign bounds the text of a server or a library in a message, in bytes.
const MaxForeign = 300

// Secrets are strings that must not be printed. The zero value has none. Its methods change no Secrets that somebody else holds.
type Secrets []string

// With adds a secret in the forms in which it travels: as it is, escaped in a URL, and in the header of basic authentication of a user.
func (s Secrets) With(user, secret string) Secrets {
	if secret == "" {
		return s
	}
	return append(slices.Clip(s), secret, url.QueryEscape(secret), url.PathEscape(secret),
		base64.StdEncoding.EncodeToString([]byte(user+":"+secret)))
}

// Scrub makes foreign text fit for a message: without the secrets, and as [Foreign] makes it, of at most MaxForeign bytes.
func (s Secrets) Scrub(text string) string {
	s = slices.Clone(s)
	slices.SortFunc(s, func(a, b string) int { return len(b) - len(a) }) // one may be part of another
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return Foreign(text, MaxForeign)
}

// Foreign makes text that others wrote fit for a terminal and a log: one line of valid UTF-8 of at most limit bytes, and "…" where it was cut.
func Foreign(text string, limit int) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
	}), " ")
	text = strings.TrimSpace(text)
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}
