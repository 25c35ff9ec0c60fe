// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// section is one string of a constraint's parameters: the digest of the rest, and entries, each on a line that begins with a label.
type section struct {
	namespace, key, text string
}

// digest is over all of the section's text.
func (s *section) digest() string { return s.text[:64] }

// item is an entry that stands in a section.
type item struct {
	match *schema.Match
	text  []byte
	twin  bool // the same action has an entry of the same workload that says more
}

// newSection writes a section. Each item stands under the label that the fewest others name, so that a Pod's labels lead to few of them.
func newSection(namespace, key string, items []item, labels []string) section {
	size := 0
	for i := range items {
		size += len("\n\t") + len(labels[i]) + len(items[i].text)
	}
	b := make([]byte, 0, size)
	for i := range items {
		b = append(b, '\n')
		if writable(labels[i]) {
			b = append(b, labels[i]...)
		}
		b = append(append(b, '\t'), items[i].text...)
	}
	return section{namespace, key, bundle.Sum(b) + string(b)}
}

// writable reports whether a line can begin with a label. Those of Kubernetes are all so.
func writable(label string) bool {
	return !strings.ContainsFunc(label, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// rarest returns, for each item, the label of its match that the fewest others name, as key=value, or "".
func rarest(items []item) []string {
	type label struct{ key, value string }
	count := map[label]int{}
	for i := range items {
		for k, v := range items[i].match.Labels {
			count[label{k, v}]++
		}
	}
	labels := make([]string, len(items))
	for i := range items {
		var best label
		for k, v := range items[i].match.Labels {
			if l := (label{k, v}); best.key == "" || count[l] < count[best] || count[l] == count[best] && k < best.key {
				best = l
			}
		}
		if best.key != "" {
			labels[i] = best.key + "=" + best.value
		}
	}
	return labels
}

// encode writes JSON in ASCII, which Rego cuts faster than text that is not.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return ascii(bytes.TrimSpace(buf.Bytes())), nil
}

// ascii escapes in JSON what is not ASCII.
func ascii(data []byte) []byte {
	if !bytes.ContainsFunc(data, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return data
	}
	var b []byte
	for _, r := range string(data) {
		switch {
		case r < utf8.RuneSelf:
			b = append(b, byte(r))
		case r >= 0x10000:
			r -= 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return b
}

// maxShown bounds a text of the policy in a message, in characters.
const maxShown = 200

// plain bounds a text that a message shows, and escapes what is not printable.
func plain(s string) string {
	n := 0
	var b strings.Builder
	for _, r := range s {
		if n++; n > maxShown {
			return b.String() + "..."
		}
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}
