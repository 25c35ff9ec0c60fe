// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// yamlWords, of at most five letters, are read as something else than text by some reader of YAML, in any case.
var yamlWords = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}

// appendYAML writes what policies of the network are made of: objects with sorted keys, lists, texts and numbers. There is one for each workload,
// and it takes a twentieth of the time of a library that writes everything. A test reads it back.
func appendYAML(b []byte, v any, indent int) []byte {
	switch v := v.(type) {
	case object:
		if len(v) == 0 {
			return append(b, " {}\n"...)
		}
		b = append(b, '\n')
		for _, k := range sortedKeys(v) {
			b = appendText(appendSpace(b, indent), k)
			b = appendYAML(append(b, ':'), v[k], indent+2)
		}
		return b
	case []object:
		return appendList(b, v, indent)
	case []string:
		return appendList(b, v, indent)
	case string:
		return append(appendText(append(b, ' '), v), '\n')
	case int:
		return append(strconv.AppendInt(append(b, ' '), int64(v), 10), '\n')
	}
	panic(fmt.Sprintf("admission: YAML of %T", v)) // the callers are here
}

func appendList[T any](b []byte, list []T, indent int) []byte {
	if len(list) == 0 {
		return append(b, " []\n"...)
	}
	b = append(b, '\n')
	for _, item := range list {
		b = append(appendSpace(b, indent-2), '-')
		o, ok := any(item).(object)
		if !ok || len(o) == 0 {
			b = appendYAML(b, item, indent)
			continue
		}
		for i, k := range sortedKeys(o) { // the first key stands beside the dash
			if i == 0 {
				b = append(b, ' ')
			} else {
				b = appendSpace(b, indent)
			}
			b = appendYAML(append(appendText(b, k), ':'), o[k], indent+2)
		}
	}
	return b
}

const spaces = "                                "

func appendSpace(b []byte, n int) []byte { return append(b, spaces[:n]...) }

// appendText writes a text plainly where that cannot be read as something else, and as JSON does otherwise, which is YAML too.
func appendText(b []byte, s string) []byte {
	if unquoted(s) {
		return append(b, s...)
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err) // a text always has JSON
	}
	return append(b, quoted...)
}

// unquoted reports whether a text needs no quotes in YAML 1.1 and 1.2.
func unquoted(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '/'
		if !letter && (i == 0 || c != '-' && c != '.' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && (len(s) > 5 || !slices.Contains(yamlWords, strings.ToLower(s)))
}
