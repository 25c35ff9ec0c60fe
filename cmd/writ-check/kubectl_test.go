// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/writ-sec/writ/compiler/kubeyaml"
)

// scalars are texts whose meaning differs between versions and readers of YAML.
var scalars = strings.Split(`yes no on off y n Yes NO True FALSE true ~ null Null 0 1 -1 +1 007 0o17 0x1F 0b101 -0b1 1_000 1e3 1.5 .5 5. -.5 1e400 .inf .nan
12345678901234567890 99999999999999999999 9223372036854775807 -9223372036854775808 2026-01-31 2026-01-31T10:00:00Z 1:30 "yes" 'no' "1" !!str,1 !!int,1 !!float,1 !!bool,yes
!!int,x !!bool,1 !!null,~ <<x =x a,b - ? abc "" '' "\u00e9" 0.0 -0 +0 0x 0b 0o8 08 1__0 _1 1_ !!binary,aGk= !x,a 1E5 1e+5 1e-5 0.1e1`, " ")

func scalar(r *rand.Rand) string {
	return strings.Replace(strings.TrimSpace(scalars[r.IntN(len(scalars))]), ",", " ", 1)
}

// value writes a value as it may follow a key.
func value(r *rand.Rand, depth int, indent string) string {
	switch n := r.IntN(8); {
	case depth > 3 || n < 4:
		return " " + scalar(r) + "\n"
	case n == 4:
		return fmt.Sprintf(" [%s, %s]\n", flow(scalar(r)), flow(scalar(r)))
	case n == 5:
		return fmt.Sprintf(" {a: %s, b: %s}\n", flow(scalar(r)), flow(scalar(r)))
	case n == 6:
		return "\n" + indent + "  -" + value(r, depth+1, indent+"    ") + indent + "  -" + value(r, depth+1, indent+"    ")
	default:
		return "\n" + mapping(r, depth+1, indent+"  ")
	}
}

func flow(s string) string {
	if strings.ContainsAny(s, ",?-") {
		return "x"
	}
	return s
}

func mapping(r *rand.Rand, depth int, indent string) string {
	var b strings.Builder
	for i := range 1 + r.IntN(3) {
		key := fmt.Sprint("k", i)
		if r.IntN(6) == 0 && i == 0 {
			key = []string{"yes", "1", "0x10", "1.5", "true", "off", "'y'"}[r.IntN(7)]
		}
		b.WriteString(indent + key + ":" + value(r, depth, indent))
	}
	return b.String()
}

// TestKubectl holds what is read of a manifest against what kubectl makes of it: sigs.k8s.io/yaml.
func TestKubectl(t *testing.T) {
	merges := `base: &base {a: 1, b: {c: yes}}
other: &other {a: 2, d: 4}
one: {<<: *base, a: 3}
two: {a: 3, <<: *base}
both: {<<: [*base, *other], e: 5}
again: {<<: [*other, *base]}
inner: {x: *base, y: *other}
`
	texts := []string{merges}
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		texts = append(texts, mapping(r, 0, ""))
	}
	read := 0
	for _, text := range texts {
		text = "apiVersion: v1\nkind: X\nzz:\n" + "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
		want, wantErr := yaml.YAMLToJSON([]byte(text))
		objects, problems := kubeyaml.Read("x.yaml", []byte(text))
		switch {
		case wantErr != nil && len(problems) == 0:
			t.Fatalf("kubectl says %v, and here nothing is wrong with\n%s", wantErr, text)
		case len(problems) > 0:
			if wantErr == nil && !stricter(problems[0].Msg) {
				t.Fatalf("%v; kubectl reads %s\n%s", problems, want, text)
			}
			continue
		}
		got, err := objects[0].JSON()
		if err != nil || string(got) != string(want) {
			t.Fatalf("%v\n got %s\nwant %s\n%s", err, got, want, text)
		}
		read++
	}
	if read < len(texts)/2 {
		t.Errorf("%d of %d texts were read", read, len(texts))
	}
}

// stricter says whether a message is about what is refused here on purpose.
func stricter(msg string) bool {
	return strings.Contains(msg, "is here twice") || strings.Contains(msg, "tag ") || strings.Contains(msg, "is not what its tag")
}
