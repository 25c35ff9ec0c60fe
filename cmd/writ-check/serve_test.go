// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/writ-sec/writ/cmd/checkwire"
)

// denyAll denies each Pod named "bad", and takes long for one named "slow".
const denyAll = `{"object": {"apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate", "metadata": {"name": "denyall"}, "spec": {
	"crd": {"spec": {"names": {"kind": "DenyAll"}}}, "targets": [{"target": "admission.k8s.gatekeeper.sh",
	"rego": "package denyall\nviolation[{\"msg\": \"no\", \"details\": {\"a\": 1}}] { input.review.object.metadata.name == \"bad\"; input.review.operation == \"CREATE\" }"}]}}}
{"object": {"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "DenyAll", "metadata": {"name": "all"}, "spec": {"enforcementAction": "warn",
	"match": {"namespaces": ["shop"]}}}}
`

// lines makes each JSON value of a text one line.
func lines(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\n\t", ""), "}}}{", "}}}\n{")
}

// talk serves a text of requests, and returns the replies.
func talk(t *testing.T, requests string) (replies []checkwire.Reply, err error) {
	t.Helper()
	var out bytes.Buffer
	err = serve(t.Context(), strings.NewReader(requests), &out)
	r := checkwire.NewReader(&out)
	var hello checkwire.Hello
	if err := r.Read(&hello); err != nil || hello.Protocol != checkwire.Protocol {
		t.Fatalf("hello %+v, %v", hello, err)
	}
	for {
		var reply checkwire.Reply
		if err := r.Read(&reply); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		replies = append(replies, reply)
	}
	return replies, err
}

func TestServe(t *testing.T) {
	var b strings.Builder
	b.WriteString(lines(denyAll))
	const n = 200
	for i := range n {
		object := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": %q, "namespace": "shop"}}`, []string{"good", "bad"}[i%2])
		if i%10 == 7 {
			object = `"no object"`
		}
		fmt.Fprintf(&b, `{"review": {"id": %d, "namespace": %q, "object": %s}}`+"\n", i, []string{"shop", "shop", "web", "web"}[i%4], object)
	}
	replies, err := talk(t, b.String())
	if err != nil || len(replies) != n {
		t.Fatalf("%d replies, %v; want %d", len(replies), err, n)
	}
	seen := map[int]bool{}
	for _, r := range replies {
		i := r.ID
		if seen[i] {
			t.Fatalf("two replies to review %d", i)
		}
		seen[i] = true
		switch denied := i%4 == 1; {
		case i%10 == 7:
			if r.Error == "" {
				t.Errorf("review %d of no object: %+v", i, r)
			}
		case r.Error != "" || len(r.Violations) > 0 != denied:
			t.Errorf("review %d: %+v; want denied = %v", i, r, denied)
		case denied:
			if v := r.Violations[0]; v.Action != "warn" || v.Constraint != "DenyAll/all" || v.Msg != "no" || fmt.Sprint(v.Details["a"]) != "1" {
				t.Errorf("review %d: %+v", i, v)
			}
		}
	}
}

// TestServeRefused holds that nothing is judged by a part of the policy.
func TestServeRefused(t *testing.T) {
	constraint := strings.SplitAfter(lines(denyAll), "\n")[1] // without its template
	replies, err := talk(t, constraint+`{"review": {"id": 0, "namespace": "shop", "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "good"}}}}`+"\n")
	if err != nil || len(replies) != 2 || replies[0].Refused == nil || replies[0].Refused.Name != "all" || !strings.Contains(replies[1].Error, "refuses an object") {
		t.Errorf("%+v, %v", replies, err)
	}
}

func TestServeNonsense(t *testing.T) {
	for text, want := range map[string]string{
		"nonsense\n": "read a request: invalid character",
		"{}\n":       "want an object or a review",
		`{"review": {"id": 0, "object": {}}}` + "\n" + `{"object": {}}`: "the objects first",
		`"` + strings.Repeat("x", checkwire.MaxLine) + `"`:              "a line has more than 8388608 bytes",
	} {
		if _, err := talk(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v; want %q", text, err, want)
		}
	}
}
