// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

const policyHead = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n"

func TestUnreadable(t *testing.T) {
	laughs := "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		laughs += fmt.Sprintf("b%d: &a%d [%s]\n", i, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	for _, c := range []struct{ what, data, want string }{
		{"syntax", policyHead + "spec: {\n", "f.yaml:"},
		{"second document", policyHead + "---\n\ta: 1\n", "f.yaml:5: is not YAML: "},
		{"no anchor", "a: *b\n", "f.yaml: is not YAML: unknown anchor"},
		{"text", "a: \xff\n", "f.yaml: is not UTF-8"},
		{"size", strings.Repeat("# x\n", MaxSource/4+1), "has more than"},
		{"billion laughs", laughs, "holds more than"},
		{"cycle", "a: &a\n  b: *a\n", "is nested deeper"},
		{"depth", strings.Repeat("[", 200) + strings.Repeat("]", 200), "is nested deeper"},
		{"great depth", strings.Repeat("[", 1_000_000), "f.yaml"},
		{"objects", "kind: List\nitems:\n" + strings.Repeat("- {}\n", maxObjects+1), "want at most"},
	} {
		_, err := Import([]Source{{Path: "f.yaml", Data: []byte(c.data)}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %.300v; want %q", c.what, err, c.want)
		}
	}
	many := make([]Source, MaxTotal/MaxSource+1)
	for i := range many {
		many[i] = Source{Path: "f.yaml", Data: bytes.Repeat([]byte("#\n"), MaxSource/2)}
	}
	if _, err := Import(many); err == nil || !strings.Contains(err.Error(), "all files more than") {
		t.Errorf("total: error is %v", err)
	}
}

// What is read in spite of its form.
func TestReadable(t *testing.T) {
	const want = `workload: "default-pods": {`
	spec := policyHead + "spec: {podSelector: {}}\n"
	for what, data := range map[string]string{
		"order mark":       "\ufeff" + spec,
		"CRLF":             strings.ReplaceAll(spec, "\n", "\r\n"),
		"empty documents":  "---\n---\nnull\n---\n# only a comment\n---\n" + spec + "---\n...\n",
		"tabs in JSON":     "{\n\t\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": \"NetworkPolicy\",\n\t\"metadata\": {\"name\": \"a\tb\\\"\t\"},\n\t\"spec\": {\"podSelector\": {}}\n}",
		"list":             "kind: NetworkPolicyList\nitems:\n- apiVersion: networking.k8s.io/v1\n  kind: NetworkPolicy\n  metadata: {name: p}\n  spec: {podSelector: {}}\n",
		"list of lists":    "kind: List\nitems: [{kind: List, items: [{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {}}]}]\n",
		"aliases":          "x: &x {podSelector: {}}\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: *x\n",
		"its first policy": "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {}}\n",
	} {
		r, err := Import([]Source{{Path: "f", Data: []byte(data)}})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if got := string(r.Files["default-pods.cue"]); !strings.Contains(got, want) {
			t.Errorf("%s: files are %q, lost %v", what, r.Files, r.Lost)
		}
	}
	r, err := Import([]Source{{Path: "f", Namespace: "mine", Data: []byte(spec)}})
	if err != nil || r.Files["mine-pods.cue"] == nil {
		t.Errorf("with a namespace: %v, %v", r, err)
	}
}

// A note stands at the field, with its column in bytes.
func TestPositions(t *testing.T) {
	data := policyHead + "spec: {podSelector: {matchLabels: {ä: b}}, ölig: 1}\n" // "ö" is character 44, byte 45
	r, err := Import([]Source{{Path: "f.yaml", Data: []byte(data)}})
	if err != nil || len(r.Lost) != 1 {
		t.Fatalf("lost %v, %v", r, err)
	}
	if got := r.Lost[0].String(); got != "f.yaml:4:45: NetworkPolicy default/p: spec.ölig: is not known here, so it is not carried over" {
		t.Errorf("note is %s", got)
	}
	hostile := policyHead + "\"spec\\x1b[2J\": 1\n"
	if r, err = Import([]Source{{Path: "f.yaml", Data: []byte(hostile)}}); err != nil || strings.ContainsRune(r.Lost[0].String(), '\x1b') {
		t.Errorf("note is %q, %v", r.Lost, err)
	}
}

func TestWithout(t *testing.T) {
	g := rand.New(rand.NewPCG(1, 3))
	for range 300 {
		whole := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(g.IntN(4)), byte(g.IntN(256)), byte(g.IntN(256))}), 14+g.IntN(10)).Masked()
		var except []netip.Prefix
		for range g.IntN(4) {
			except = append(except, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(g.IntN(4)), byte(g.IntN(256)), byte(g.IntN(256))}), 12+g.IntN(20)).Masked())
		}
		rest, ok := without(whole, except)
		if !ok {
			t.Fatalf("%v without %v is too much", whole, except)
		}
		for range 200 {
			a := netip.AddrFrom4([4]byte{10, byte(g.IntN(4)), byte(g.IntN(256)), byte(g.IntN(256))})
			want, got := whole.Contains(a), 0
			for _, e := range except {
				want = want && !e.Contains(a)
			}
			for _, p := range rest {
				if p.Contains(a) {
					got++
				}
			}
			if got > 1 || (got == 1) != want {
				t.Fatalf("%v without %v is %v, which holds %v %d times; want %v", whole, except, rest, a, got, want)
			}
		}
	}
	var single []netip.Prefix
	for i := range 40 {
		single = append(single, netip.MustParsePrefix(fmt.Sprintf("10.%d.7.7/32", i*5)))
	}
	if _, ok := without(netip.MustParsePrefix("0.0.0.0/0"), single); ok {
		t.Error("forty holes do not make too many CIDRs")
	}
}

func TestBetween(t *testing.T) {
	for _, c := range []struct{ first, last, want string }{
		{"10.0.0.1", "10.0.0.1", "[10.0.0.1/32]"},
		{"10.0.0.0", "10.0.0.255", "[10.0.0.0/24]"},
		{"10.0.0.1", "10.0.0.6", "[10.0.0.1/32 10.0.0.2/31 10.0.0.4/31 10.0.0.6/32]"},
		{"0.0.0.0", "255.255.255.255", "[0.0.0.0/0]"},
		{"255.255.255.254", "255.255.255.255", "[255.255.255.254/31]"},
		{"2001:db8::", "2001:db8::ffff", "[2001:db8::/112]"},
	} {
		if got := fmt.Sprint(between(netip.MustParseAddr(c.first), netip.MustParseAddr(c.last))); got != c.want {
			t.Errorf("%s to %s is %s; want %s", c.first, c.last, got, c.want)
		}
	}
	if got := between(netip.MustParseAddr("::1"), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe")); len(got) != 254 {
		t.Errorf("the widest range makes %d CIDRs", len(got))
	}
}

func TestLabel(t *testing.T) {
	for in, want := range map[string]string{"Web Shop": "web-shop", "--a__b--": "a-b", "": "", "日本": "", strings.Repeat("ab-", 40): strings.Repeat("ab-", 20) + "ab"} {
		if got := label(in); got != want {
			t.Errorf("%q is %q; want %q", in, got, want)
		}
	}
	taken := map[string]bool{}
	for _, want := range []string{"a", "b-a", "b-a-2", "b-a-3"} {
		if got := unique(taken, "A", "b/a"); got != want {
			t.Errorf("name is %q; want %q", got, want)
		}
	}
}

// The same manifests make the same drafts.
func TestDeterministic(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var sources []Source
		for _, f := range a.Files {
			sources = append(sources, Source{Path: f.Name, Data: f.Data})
		}
		first, err1 := Import(sources)
		second, err2 := Import(sources)
		if err1 != nil || err2 != nil {
			continue // drafts are no manifests
		}
		if !maps.EqualFunc(first.Files, second.Files, bytes.Equal) || fmt.Sprint(first.Lost) != fmt.Sprint(second.Lost) {
			t.Errorf("%s: two imports differ", name)
		}
	}
}

// manifestSeeds are the manifests of testdata.
func manifestSeeds(t testing.TB) (seeds [][]byte) {
	t.Helper()
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			if !strings.HasPrefix(f.Name, "want/") {
				seeds = append(seeds, f.Data)
			}
		}
	}
	return seeds
}

// checkImport holds what is so for every manifest: what is drafted is valid, and notes are complete.
func checkImport(t *testing.T, data []byte) (drafted bool) {
	t.Helper()
	r, err := Import([]Source{{Path: "f.yaml", Data: data}})
	if err != nil {
		return false
	}
	checkDrafts(t, r.Files)
	for _, n := range r.Lost {
		if n.Pos.Line < 1 || n.Pos.Col < 1 || n.Object == "" {
			t.Errorf("note %+v lacks something", n)
		}
	}
	if t.Failed() {
		t.Logf("manifest:\n%s\ndrafts:\n%s", data, r.Files)
	}
	return len(r.Files) > 0
}

// TestDamaged imports manifests with random damage.
func TestDamaged(t *testing.T) {
	seeds := manifestSeeds(t)
	tokens := []string{"*", "/", "{}", "[]", "null", `""`, "7", "true", "-", "0.0.0.0/0", "**", "name: x"}
	drafted := 0
	for seed := range uint64(150) {
		g := rand.New(rand.NewPCG(seed, 7))
		d := bytes.Clone(seeds[g.IntN(len(seeds))])
		for range 1 + g.IntN(5) {
			i, j := g.IntN(len(d)), g.IntN(len(d))
			switch g.IntN(4) {
			case 0:
				d[i] = byte(g.IntN(128))
			case 1:
				d = append(d[:i:i], d[min(len(d), i+g.IntN(30)):]...)
			case 2:
				d = append(d[:i:i], append(bytes.Clone(d[j:min(len(d), j+g.IntN(60))]), d[i:]...)...)
			case 3:
				d = append(d[:i:i], append([]byte(tokens[g.IntN(len(tokens))]), d[i:]...)...)
			}
			d = append(d, '\n')
		}
		if checkImport(t, d) {
			drafted++
		}
		if t.Failed() {
			return
		}
	}
	if drafted < 15 {
		t.Errorf("%d of the damaged manifests still made drafts: the damage is too great to say anything", drafted)
	}
}

// FuzzImport does the same with what the fuzzer finds.
func FuzzImport(f *testing.F) {
	for _, data := range manifestSeeds(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) <= 20_000 {
			checkImport(t, data)
		}
	})
}
