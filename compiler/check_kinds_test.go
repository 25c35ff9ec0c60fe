// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cuelang.org/go/cue/parser"

	"github.com/writ-sec/writ/schema"
)

// TestSaid holds messages that need more text than an archive should have, or stand in no archive for another reason.
func TestSaid(t *testing.T) {
	long := strings.Repeat("x", maxReason+1)
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for _, c := range []struct{ text, want string }{
		{`workload: w: {match: namespace: "a", exec: "/a": why: "` + long + `"}`, `a.cue:2:44: workload w: "/a": why has 1025 bytes; want at most 1024`},
		{`gate: g: why: "` + long + `"`, "gate g: why has 1025 bytes; want at most 1024"},
		{`gate: g: deny: secret: {` + many(maxAlternatives+1, "\"a%d\": {},") + `}`, "deny has 1001 alternatives; want at most 1000: use patterns"},
		{`gate: g: deny: vulnerability: a: {package: "` + long + `"}`, "has 1025 bytes, more than 1024; want a pattern"},
		{`gate: g: deny: misconfiguration: a: {id: "a\u0007b"}`, "has a character that cannot be printed; want a pattern such as \"DS-*\""},
		{`gate: g: deny: vulnerability: a: {id: "CVE-2026-* "}`, "begins or ends with a space; want a pattern such as \"CVE-2026-*\""},
		{`gate: g: grace: "7y"`, `grace "7y" is not a duration; want such as "90s", "15m" or "168h"`},
		{`signer: s: keyless: {issuer: "https://a.net", identity: " a"}`, `keyless.identity " a" begins or ends with a space; want the subject of the certificate`},
		{`signer: s: key: "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAhSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n-----END PUBLIC KEY-----\n"`, "is of a kind that signs no images (*ecdh.PublicKey); want ECDSA, Ed25519 or RSA"},
		{`admission: makers: {` + many(maxMakers+1, "\"a.net/K%d\": path: \"spec\",") + `}`, "a.cue:2:12: admission: makers has 33 kinds; want at most 32"},
		{`workload: w: {match: namespace: "a", exec: "/a": parent: {` + many(maxParents+1, "\"/p%d\": {},") + `}}`, `exec "/a" has 257 parents; want at most 256: name their folder`},
		{`workload: w: {match: namespace: "a", pod: addCapabilities: X: {}}`, `pod.addCapabilities "X" is not one of its values; want a capability such as "NET_BIND_SERVICE", or "ALL"`},
		{`workload: w: {match: namespace: "a", pod: volumes: zzz: {}}`, `pod.volumes "zzz" is not one of its values; want a type of volume such as "configMap"`},
		{`workload: w: {match: namespace: "a", egress: a: {dns: "` + many(60, "abc%d.") + `net", port: 1}}`, "abc5\" has 353 bytes"},
		{`bound: b: never: pod: dropCapabilities: ALL: {}`, `never.pod.dropCapabilities forbids what is demanded elsewhere; want "addCapabilities"`},
		{`workload: w: {match: namespace: "a", egress: a: {workload: "", port: 1}}`, `egress "a": workload "" is not stated as a workload`},
		{`workload: w: {match: namespace: "a", egress: a: {namespace: "", port: 1}}`, `egress "a": namespace "" is not a Kubernetes namespace`},
		{`workload: w: {match: namespace: "a", egress: a: {cidr: "", port: 1}}`, `egress "a": cidr "" is not`},
		{`workload: w: {match: namespace: "a", egress: a: {dns: "", port: 1}}`, `egress "a": dns "" is`},
		{`workload: w: {match: namespace: "a", egress: a: {cidr: "10.0.0.0/8", port: ""}}`, `egress "a": port "" is`},
		{`bound: b: {match: host: false, never: exec: "/a": {}}`, `match states no condition and would stand for every workload; want a condition, or no "match"`},
		{`bound: b: never: pod: hostPID: {}`, `never.pod.hostPID lists no value; want the forbidden ones, such as "true": {}`},
		{`bound: b: never: pod: hostPid: "true": {}`, `never.pod "hostPid" is not a field of a Pod that policies speak of; did you mean "hostPID"?`},
		{`bound: b: {match: namespace: "a", only: egress: {}}
workload: w: {match: namespace: "a", egress: a: {workload: "w", port: 1}}`, `egress "a" is outside of bound b, which permits no rule of egress at a.cue:2:41; want none`},
		{`bound: b: never: egress: a: {namespace: labels: team: "x"}
workload: w: {match: namespace: "a", egress: a: {workload: "w", port: 1}}`, `egress "a" allows what bound b forbids in part`},
		{`check: c: {of: {apiVersion: "v1", kind: "Pod"}, must: "a": matches: "` + strings.Repeat("x", maxRegexp+1) + `"}`, "must: matches of \"a\" has 1001 bytes; want at most 1000"},
		{`notify: n: {kind: "webhook", to: "https://"}`, "to is not a URL; want the URL to post to"},
		{`notify: n: {kind: "webhook", to: "https://a.net/#1a2B3c4D5e6F7g8H9i0J1k2L"}`, "to holds a credential (the fragment of the URL"},
		{`notify: n: {kind: "email", to: "1a2B3c4D5e6F7g8H9i0J1k2L"}`, `to "…" does not fit kind "email"`},
		{`test: "a\u0007": {subject: namespace: "a", exec: "/a", is: "denied"}`, `name "a\a" is not one; want a sentence of at most 1024 printable bytes`},
		{`test: a: {subject: namespace: "a", connect: {workload: "w", subject: namespace: "b", port: 1}, is: "denied"}`, "connect.subject stands beside workload; want one of them"},
		{`test: a: {subject: namespace: "a", exec: "/a", is: "denied", by: "zzz"}`, `by "zzz" is not stated; want the key of a rule, a bound, an exception, or "nothing"`},
		{`folder: x: {}
folder: "x/y": namespaces: a: {}`, `namespace "a" is not one of folder "x" around it, at a.cue:2:9; want none: the folder is given no namespace`},
		{`folder: x: namespaces: {a: {}, b: {}, c: {}, d: {}, e: {}, f: {}}
folder: "x/y": namespaces: z: {}`, `want "a", "b", "c", "d" or "e" or another of its namespaces`},
		{`workload: w: {match: host: true, owner: "a", shared: true, exec: {}}
workload: v: {match: host: true, owner: "a", exec: {}}`, "for example the host; one selector lies inside the other"},
		{`workload: w: {match: namespace: "a", exec: {` + many(64, "\"/**/"+strings.Repeat("*a*b/**/", 50)+"%d*\": {},") + `}}`, `has patterns with so many "*" that they cannot be compared`},
	} {
		errs, warnings := checkText(t, c.text)
		if got := lines(errs) + lines(warnings); !strings.Contains(got, c.want) {
			t.Errorf("%.200s\ngot\n%.2000s\nwant %s", c.text, got, c.want)
		}
	}
}

// TestDelegationOfBounds holds what a folder may bound.
func TestDelegationOfBounds(t *testing.T) {
	files := func(bound string) []File {
		return []File{{Path: "a.cue", Data: []byte("package policy\nfolder: ops: {host: true, namespaces: ops: {}}\nfolder: shop: namespaces: shop: {}\n")},
			{Path: "ops/a.cue", Data: []byte("package policy\nbound: o: {match: host: true, never: exec: \"/a\": {}}\n")},
			{Path: "shop/a.cue", Data: []byte("package policy\nbound: s: {" + bound + ", never: exec: \"/a\": {}}\n")}}
	}
	for bound, want := range map[string]string{
		`match: namespace: "shop"`:  "",
		`match: namespace: "other"`: `bound s: match.namespace is "other", which is not one of folder "shop" (a.cue:3:9); want "shop"`,
		`match: host: true`:         `shop/a.cue:2:19: bound s: match.host selects the host, which folder "shop" may not (a.cue:3:9); want it at the root, or host: true in that entry`,
		`mode: "audit"`:             `bound s: match.namespace names no namespace`,
	} {
		errs, _ := readLiteral(t, files(bound)).check()
		if got := lines(errs); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", bound, got, want)
		}
	}
}

func TestStandsAtTheRoot(t *testing.T) {
	of := func(kind, _ string) stated { return stated{kind: kind, folder: "shop"} }
	errs, _ := checkKinds(&schema.Policy{}, of, newScope(&schema.Policy{}, nil, nil))
	if got := lines(errs); got != "admission: stands in folder \"shop\"; want it at the root: it holds for the whole policy\nbudget: stands in folder \"shop\"; want it at the root: it holds for the whole policy\n" {
		t.Error(got)
	}
}

func TestDue(t *testing.T) {
	l := readLiteral(t, []File{{Path: "a.cue", Data: []byte(`package policy
exception: past: {finding: "CVE-2026-12345": {}, images: "nginx": {}, why: "a", owner: "a"
	expires: "2027-01-30"}
exception: last: {finding: "CVE-2026-12345": {}, images: "nginx": {}, why: "a", owner: "a"
	expires: "2027-01-31"}
exception: near: {finding: "CVE-2026-12345": {}, images: "nginx": {}, why: "a", owner: "a"
	expires: "2027-02-13T12:00:00Z"}
exception: far: {finding: "CVE-2026-12345": {}, images: "nginx": {}, why: "a", owner: "a"
	expires: "2027-02-15"}
exception: broken: {finding: "CVE-2026-12345": {}, images: "nginx": {}, why: "a", owner: "a"
	expires: "soon"}
benchmark: cis: {profile: "cis-docker", skip: "1.1": {why: "a"
	expires: "2026-01-01"}}
workload: w: {match: namespace: "a", exec: {}, file: {}, ingress: {}
	mode: exec: {now: "audit", then: "enforce"
		after: "2027-01-01"}
	mode: network: {now: "audit", then: "enforce"
		after: "2027-02-05"}
}
bound: b: {never: exec: "/a": {}
	mode: {now: "audit", then: "enforce", after: "2027-01-01"}}
response: r: {on: workload: "w", do: capture: "1s"
	mode: {now: "audit", then: "enforce", after: "2027-01-01"}}
cluster: c: {mode: {now: "audit", then: "enforce", after: "2027-01-01"}
	workload: w: mode: exec: {now: "audit", then: "enforce", after: "2027-01-01"}}
`)}})
	at := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	got := lines(due(l.policy(), l.of, at))
	want := `a.cue:3:2: exception past: the exception ended with 2027-01-30: what it excepted is denied again; want it removed, or a later date (W024)
a.cue:5:2: exception last: the exception ends with 2027-01-31, in less than a day: then what it excepted is denied again; want it done by then, or a later date (W025)
a.cue:7:2: exception near: the exception ends with 2027-02-13T12:00:00Z, in 13 days: then what it excepted is denied again; want it done by then, or a later date (W025)
a.cue:13:2: benchmark cis: skip "1.1" ended with 2026-01-01: the check counts again; want it removed, or a later date (W024)
a.cue:16:3: workload w: mode.exec has been "enforce" since the end of 2027-01-01; want this one word (W024)
a.cue:18:3: workload w: mode.network becomes "enforce" after 2027-02-05, in 5 days; want the workloads ready by then, or a later date (W025)
a.cue:21:40: bound b: mode has been "enforce" since the end of 2027-01-01; want this one word (W024)
a.cue:23:40: response r: mode has been "enforce" since the end of 2027-01-01; want this one word (W024)
a.cue:24:52: cluster c: mode has been "enforce" since the end of 2027-01-01; want this one word (W024)
a.cue:25:59: cluster c: workload.w.mode.exec has been "enforce" since the end of 2027-01-01; want this one word (W024)
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestSemverRange(t *testing.T) {
	for text, bad := range map[string]string{
		">=1.2.0 <2.0.0": "", "1": "", "1.2": "", "v1.2.3": "", "~1.2": "", "^0.2.3": "", "=1.0.0 || >2": "", ">1.0.0-rc.1": "", "!=1.0.0": "", "^0": "", "<=1 >=1": "",
		"": "alternative without", "latest": "no comparison", "1.2.3.4": "no comparison", ">= 1": "no comparison", "01": "no comparison",
		">2 <1": "includes no version", ">1.0.0 <1.0.0": "includes no version", "^1.2 >=2.0.0": "includes no version", "~1.2.3 <1.2.0": "includes no version",
		"1.2.3 1.2.4": "includes no version", "^0.2.3 >=0.3.0": "includes no version", "1 || ^2 <2.0.0": "includes no version",
		"99999999999999999999": "too big",
	} {
		err := semverRange(text)
		if (err == nil) != (bad == "") || err != nil && !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v, want %q", text, err, bad)
		}
	}
}

func TestTokenLike(t *testing.T) {
	for _, token := range []string{"1a2B3c4D5e6F7g8H9i0J1k2L", "d41d8cd98f00b204e9800998ecf8427e", "xoxb-123A-45b6c7D8e9F0a1"} {
		if !tokenLike(token) {
			t.Errorf("%q is no token", token)
		}
	}
	for _, name := range []string{"", "writ", "chat.postMessage", "registry-2024-01-01-production-eu1", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "security-operations-centre", "a b c d e f 1 2 3 4 5 6 7 8"} {
		if tokenLike(name) {
			t.Errorf("%q is a token", name)
		}
	}
}

// TestTextCovers compares with trying every text of two letters.
func TestTextCovers(t *testing.T) {
	texts := []string{""}
	for i := 0; len(texts[i]) < 5; i++ {
		texts = append(texts, texts[i]+"a", texts[i]+"b")
	}
	matches := func(pattern, text string) bool { return schema.MatchPath("/x"+pattern, "/x"+text) }
	patterns := []string{"*", "a", "a*", "*a", "a*b", "*a*", "*ab*", "a*a", "ab*", "*b*a", "a*b*a"}
	for _, broad := range patterns {
		for _, narrow := range patterns {
			if !textCovers(broad, narrow) {
				continue
			}
			for _, text := range texts {
				if matches(narrow, text) && !matches(broad, text) {
					t.Errorf("textCovers(%q, %q), but %q", broad, narrow, text)
				}
			}
		}
	}
	for _, c := range [][2]string{{"*", "a*b"}, {"a*", "ab*"}, {"*a*", "b*a*b"}, {"a*b", "a*ab"}} {
		if !textCovers(c[0], c[1]) {
			t.Errorf("textCovers(%q, %q) is false", c[0], c[1])
		}
	}
}

// TestPartial holds that of a workload that could not be read whole only the rules are checked.
func TestPartial(t *testing.T) {
	l := readLiteral(t, []File{{Path: "a.cue", Data: []byte("package policy\nworkload: w: {exec: \"bin/a\": {}, file: {}, mode: \"enforce\"}\nbound: b: require: owner: true\n")}})
	p := l.policy()
	s := l.of("workload", "w")
	s.partial = true
	errs, warnings := checkWorkload(s, &p.Workloads[0], newScope(p, nil, nil))
	if got := lines(errs) + lines(warnings); strings.Count(got, "\n") != 1 || !strings.Contains(got, `exec path "bin/a" is not absolute`) {
		t.Error(got)
	}
}

func TestSilencesOfAFile(t *testing.T) {
	f, err := parser.ParseFile("a.cue", `package policy
a: b: c: {
	d: 1
} @writ(W001, why="one") @writ(W003,W002, why=#"a ", b"#)
e: {f: 1 @writ(W003, why="x")}
g: 1 @other(x)
h: 1 @writ()
i: 1 @writ(W001, why=x)
j: 1 @writ(W001, why="`+strings.Repeat("x", 1025)+`")
k: 1 @writ(W001, why="a", why="b")
`)
	if err != nil {
		t.Fatal(err)
	}
	list, errs := silences(f)
	for i, want := range []silence{{Code: "W001", Why: "one", From: 2, To: 4}, {Code: "W003", Why: `a ", b`, From: 2, To: 4}, {Code: "W002", Why: `a ", b`, From: 2, To: 4}, {Code: "W003", Why: "x", From: 5, To: 5}} {
		if i >= len(list) {
			t.Fatalf("found %d silences, want more", len(list))
		}
		got := list[i]
		if got.Pos.File != "a.cue" {
			t.Errorf("silence %d stands at %s", i, got.Pos)
		}
		if got.Pos = (schema.Pos{}); got != want {
			t.Errorf("silence %d is %+v, want %+v", i, got, want)
		}
	}
	text := lines(errs)
	for _, want := range []string{"a.cue:7:6: attribute @writ() names no code", "has a reason that is no string", "has a reason of 1025 bytes; want at most 1024", `has the argument "why"; want codes and one why`} {
		if !strings.Contains(text, want) {
			t.Errorf("got\n%s\nwant %s", text, want)
		}
	}
	if len(list) != 4 || len(errs) != 4 {
		t.Errorf("%d silences, %d errors", len(list), len(errs))
	}
}

func TestSilencedDates(t *testing.T) {
	all := []silence{{Code: codePast, Why: "it stays", Pos: schema.Pos{File: "a.cue", Line: 3}, From: 3, To: 3}}
	if left, answered := silenced(nil, all); len(left) > 0 || len(answered) > 0 {
		t.Errorf("a silence of what depends on the clock: %v, %v", left, answered)
	}
	past := Diagnostic{Code: codePast, Pos: schema.Pos{File: "a.cue", Line: 3, Col: 1}}
	other := Diagnostic{Code: codePast, Pos: schema.Pos{File: "b.cue", Line: 3, Col: 1}}
	left, answered := silenced([]Diagnostic{past, other}, all)
	if len(left) != 1 || left[0].Pos.File != "b.cue" {
		t.Errorf("got %v", left)
	}
	if want := (Silenced{Diagnostic: past, Why: "it stays"}); len(answered) != 1 || answered[0] != want {
		t.Errorf("got %v, want %v", answered, want)
	}
}
