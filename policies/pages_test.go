// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package policies_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/encoding/yaml"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/policies"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
	"github.com/writ-sec/writ/schema/manifest"
)

// pageNow is the instant as of which pages are looked at: no date in them is past.
var pageNow = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// pageRoot is the root file of the repository that a page shows.
const pageRoot = `package policy

import "github.com/writ-sec/writ/schema"

workload: [string]: schema.#Workload
bound: [string]: schema.#Bound
signer: [string]: schema.#Signer
test: [string]: schema.#Test
`

// page is one page of docs.
type page struct {
	name    string
	text    string
	entries []string // "bounds.noShells"
	blocks  []block
}

// block is a fenced block: policy that stands together with the page's others, alone, or is refused beside them for the reason in after.
type block struct{ info, text, after string }

var (
	fence    = regexp.MustCompile("(?ms)^```(\\w+)( \\w+)?\n(.*?)^```$")
	entryRE  = regexp.MustCompile("`policies\\.([a-zA-Z.]+)`")
	headRE   = regexp.MustCompile(`(?m)^## (.+)$`)
	modeRE   = regexp.MustCompile(`(\bmode: +)"audit"`)
	isRE     = regexp.MustCompile(`(\bis: +)"audited"`)
	sourceRE = regexp.MustCompile(`\bT1\d{3}(\.\d{3})?\b`)
)

// pages reads docs.
func pages(t *testing.T) []page {
	t.Helper()
	files, err := filepath.Glob("docs/*.md")
	if err != nil || len(files) < 10 {
		t.Fatalf("docs has %d pages, %v", len(files), err)
	}
	var all []page
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p := page{name: strings.TrimSuffix(filepath.Base(file), ".md"), text: string(data)}
		lines := strings.SplitN(p.text, "\n", 4)
		if lines[0] != "# "+p.name {
			t.Errorf("%s begins with %q; want its name", file, lines[0])
		}
		for _, m := range entryRE.FindAllStringSubmatch(lines[2], -1) {
			p.entries = append(p.entries, m[1])
		}
		for _, m := range fence.FindAllStringSubmatch(p.text, -1) {
			b := block{info: m[1] + m[2], text: m[3]}
			if last := len(p.blocks) - 1; b.info == "text" && last >= 0 {
				p.blocks[last].after = b.text
			}
			p.blocks = append(p.blocks, b)
		}
		all = append(all, p)
	}
	return all
}

// tree is the repository of the page's blocks of policy, or of one that stands alone or beside them.
func (p *page) tree(enforce bool, more ...block) compiler.Tree {
	tree := compiler.Tree{Files: []compiler.File{{Path: "writ.cue", Data: []byte(pageRoot)}}}
	add := func(b block) {
		text := b.text
		if enforce {
			text = modeRE.ReplaceAllString(text, `${1}"enforce"`)
			text = isRE.ReplaceAllString(text, `${1}"denied"`)
		}
		name := "bounds.cue" // the first, which errors name
		if len(tree.Files) > 1 {
			name = fmt.Sprintf("block%d.cue", len(tree.Files))
		}
		tree.Files = append(tree.Files, compiler.File{Path: name, Data: []byte(text)})
	}
	if len(more) == 0 || more[0].info != "cue alone" {
		for _, b := range p.blocks {
			if b.info == "cue" {
				add(b)
			}
		}
	}
	for _, b := range more {
		add(b)
	}
	return tree
}

// policy compiles a tree of a page. There must be no error and no warning.
func (p *page) policy(t *testing.T, tree compiler.Tree) *schema.Policy {
	t.Helper()
	res, err := compiler.New(compiler.Config{Now: pageNow}).Compile(t.Context(), tree, bundle.Envelope{})
	if err != nil {
		var errs compiler.Errors
		if errors.As(err, &errs) {
			var text strings.Builder
			compiler.Render(&text, errs)
			err = errors.New(text.String())
		}
		t.Fatalf("docs/%s.md: %v", p.name, err)
	}
	for _, w := range res.Warnings {
		t.Errorf("docs/%s.md: warning: %s", p.name, w)
	}
	policy, err := res.Policy()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range policy.Bounds {
		for _, r := range b.Never {
			if len(r.Pos) == 0 {
				t.Errorf("docs/%s.md: a rule of bound %s for %q has no place", p.name, b.Name, r.Object)
			}
		}
	}
	return policy
}

// library returns the bounds and the values for Pods that the library holds, as "bounds.noShells".
func library(t *testing.T) map[string]cue.Value {
	t.Helper()
	all := map[string]cue.Value{}
	names, err := policies.CUE.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	text.WriteString("package policies\n")
	for _, name := range names {
		data, err := policies.CUE.ReadFile(name.Name())
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(data), "\npackage policies\n")
		text.WriteString(body)
	}
	v := cuecontext.New().CompileString(text.String())
	for _, group := range []string{"bounds", "pods"} {
		fields, err := v.LookupPath(cue.ParsePath(group)).Fields()
		if err != nil {
			t.Fatal(err)
		}
		for fields.Next() {
			all[group+"."+fields.Selector().Unquoted()] = fields.Value()
		}
	}
	return all
}

// TestEveryEntryHasAPage holds that each bound and each value for Pods has one page, which says all that pages say and embeds it.
func TestEveryEntryHasAPage(t *testing.T) {
	on := map[string]string{}
	for _, p := range pages(t) {
		var heads []string
		for _, m := range headRE.FindAllStringSubmatch(p.text, -1) {
			heads = append(heads, m[1])
		}
		for _, want := range []string{"What it does", "Why", "Which attack it stops", "What it does not stop", "Adopt it", "Exceptions", "Tests"} {
			if !slices.Contains(heads, want) {
				t.Errorf("docs/%s.md has no section %q", p.name, want)
			}
		}
		_, attack, _ := strings.Cut(p.text, "## Which attack it stops")
		attack, _, _ = strings.Cut(attack, "\n## ")
		if !sourceRE.MatchString(attack) && !strings.Contains(attack, "](") {
			t.Errorf("docs/%s.md names no technique of ATT&CK", p.name)
		}
		for _, entry := range p.entries {
			if other := on[entry]; other != "" {
				t.Errorf("%s is on the pages %s and %s", entry, other, p.name)
			}
			on[entry] = p.name
			used := slices.ContainsFunc(p.blocks, func(b block) bool { return b.info == "cue" && strings.Contains(b.text, "policies."+entry) })
			if !used {
				t.Errorf("docs/%s.md embeds no policies.%s", p.name, entry)
			}
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for entry := range library(t) {
		if row := fmt.Sprintf("| [`%s`](docs/%s.md) |", entry, on[entry]); on[entry] == "" || !strings.Contains(string(readme), "\n"+row) {
			t.Errorf("%s has the page %q; want one, and the row %s in README.md", entry, on[entry], row)
		}
		delete(on, entry)
	}
	if len(on) > 0 {
		t.Errorf("pages are of entries that the library does not have: %v", on)
	}
}

// TestDefaultIsAudit holds that a bound of the library is in audit until its author says otherwise.
func TestDefaultIsAudit(t *testing.T) {
	text := "package policy\n\nimport \"" + policies.ImportPath + "\"\n\n"
	bounds := 0
	for _, entry := range slices.Sorted(maps.Keys(library(t))) {
		if name, ok := strings.CutPrefix(entry, "bounds."); ok {
			text += fmt.Sprintf("bound: %q: {policies.bounds.%s, match: namespace: \"n\"}\n", strings.ToLower(name), name)
			bounds++
		}
	}
	p := page{name: "all"}
	policy := p.policy(t, p.tree(false, block{info: "cue alone", text: text}))
	for _, b := range policy.Bounds {
		if b.Mode != schema.ModeAudit || b.Then != "" {
			t.Errorf("bound %s is in %s, then %s", b.Name, b.Mode, b.Then)
		}
	}
	if len(policy.Bounds) != bounds || bounds < 20 {
		t.Errorf("there are %d bounds of %d", len(policy.Bounds), bounds)
	}
}

// TestLinks holds the links of the pages to files that exist.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, p := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(p.text, -1) {
			if _, err := os.Stat(filepath.Join("docs", m[1])); err != nil {
				t.Errorf("docs/%s.md: the link to %s leads nowhere: %v", p.name, m[1], err)
			}
		}
	}
}

// TestPages compiles the policy of each page and runs its tests: as it stands, where the bound only reports, and with each mode and each
// verdict turned from audit to enforce. What stands alone compiles, and what is refused is refused in these words.
func TestPages(t *testing.T) {
	for _, p := range pages(t) {
		t.Run(p.name, func(t *testing.T) {
			for _, enforce := range []bool{false, true} {
				policy := p.policy(t, p.tree(enforce))
				found := map[schema.Action]int{}
				for _, r := range compiler.RunTests(policy, pageNow) {
					if !r.Passed {
						t.Errorf("enforce %v: test %q: %s", enforce, r.Name, r.Problem)
					}
					found[r.Verdict.Action]++
				}
				if stopped := map[bool]schema.Action{false: schema.ActionAudit, true: schema.ActionDeny}[enforce]; found[stopped] == 0 || found[schema.ActionAllow] == 0 {
					t.Errorf("enforce %v: the tests find %v; want something that is stopped and something that is allowed", enforce, found)
				}
			}
			for _, b := range p.blocks {
				if formatted, err := compiler.Format("block.cue", []byte(b.text)); strings.HasPrefix(b.info, "cue") && (err != nil || string(formatted) != b.text) {
					t.Errorf("is not formatted, %v; want\n%s", err, formatted)
				}
				switch b.info {
				case "cue alone":
					p.policy(t, p.tree(false, b))
				case "cue refused":
					p.refused(t, b)
				}
			}
		})
	}
}

// refused holds that a block is refused beside the others, by the errors in the block of text that follows it and no others.
func (p *page) refused(t *testing.T, b block) {
	t.Helper()
	_, err := compiler.New(compiler.Config{Now: pageNow}).Compile(t.Context(), p.tree(false, b), bundle.Envelope{})
	var errs compiler.Errors
	if !errors.As(err, &errs) {
		t.Errorf("%s\n is not refused: %v", b.text, err)
		return
	}
	var got strings.Builder
	for _, d := range errs {
		fmt.Fprintf(&got, "%s: %s\n", d.Path, d.Msg)
	}
	if got.String() != b.after {
		t.Errorf("%s is refused by\n%s want\n%s", b.text, got.String(), b.after)
	}
}

var expectedRE = regexp.MustCompile(`(?m)^# Expected: (allowed|denied by (.+))$`)

// TestManifests judges the manifests of each page: what is expected to be denied is denied under enforce by nothing but the rule that it names, and
// reported by the same in audit. A page of what admission sees has manifests of both kinds.
func TestManifests(t *testing.T) {
	lib := library(t)
	for _, p := range pages(t) {
		t.Run(p.name, func(t *testing.T) {
			files, err := filepath.Glob("docs/" + p.name + "/*.yaml")
			if err != nil {
				t.Fatal(err)
			}
			audit, enforce := p.policy(t, p.tree(false)), p.policy(t, p.tree(true))
			allowed, denied := 0, 0
			for _, file := range files {
				pod, expected := readManifest(t, file)
				if !strings.Contains(p.text, fmt.Sprintf("| [%s](%s/%s) | %s |", filepath.Base(file), p.name, filepath.Base(file), expected)) {
					t.Errorf("docs/%s.md does not list %s as %q", p.name, file, expected)
				}
				var want []string
				if by, ok := strings.CutPrefix(expected, "denied by "); ok {
					want = []string{by}
					denied++
				} else {
					allowed++
				}
				for policy, action := range map[*schema.Policy]schema.Action{audit: schema.ActionAudit, enforce: schema.ActionDeny} {
					if got := deciders(t, policy, pod, action); !slices.Equal(got, want) {
						t.Errorf("%s: %s by %q; want %q", file, action, got, want)
					}
				}
			}
			if seen := slices.ContainsFunc(p.entries, func(e string) bool { return admissionSees(lib[e], e) }); seen != (allowed > 0 && denied > 0) {
				t.Errorf("docs/%s has %d manifests that are allowed and %d that are denied", p.name, allowed, denied)
			}
		})
	}
}

// admissionSees reports whether an entry speaks of what admission judges.
func admissionSees(v cue.Value, entry string) bool {
	if strings.HasPrefix(entry, "pods.") {
		return true
	}
	return slices.ContainsFunc([]string{"never.pod", "never.image", "only.image", "require.workload"}, func(path string) bool {
		return v.LookupPath(cue.ParsePath(path)).Exists()
	})
}

// readManifest returns the Pod of a manifest and what its comment expects.
func readManifest(t *testing.T, file string) (manifest.Pod, string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := expectedRE.FindAllStringSubmatch(string(data), -1)
	if len(m) != 1 {
		t.Fatalf("%s says %d times what is expected; want one line \"# Expected: allowed\" or \"# Expected: denied by ...\"", file, len(m))
	}
	parsed, err := yaml.Extract(file, data)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := cuecontext.New().BuildFile(parsed).Decode(&object); err != nil {
		t.Fatal(err)
	}
	pod, ok := manifest.Builtin().Of(object, "")
	if problems := pod.Problems(); !ok || len(problems) > 0 || len(pod.Containers()) == 0 {
		t.Fatalf("%s is no Pod: %v", file, problems)
	}
	return pod, m[0][1]
}

// deciders returns what decides of all that is asked for the Pod, where the action is the one given. Nothing else may be decided than that or to allow.
func deciders(t *testing.T, p *schema.Policy, pod manifest.Pod, action schema.Action) []string {
	t.Helper()
	found := map[string]bool{}
	for _, e := range pod.Events() {
		switch v := schema.Judge(p, e, pageNow); v.Action {
		case schema.ActionAllow:
		case action:
			found[decider(p, v)] = true
		default:
			t.Errorf("%s is %s by %s; want %s", e.Verb, v.Action, decider(p, v), action)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// decider names the rule of a verdict as manifests do.
func decider(p *schema.Policy, v schema.Verdict) string {
	for _, b := range p.Bounds {
		if b.ID == v.Rule {
			return "bound " + b.Name + ", require.workload"
		}
		for _, r := range b.Never {
			switch {
			case r.ID != v.Rule:
			case r.Plane == schema.PlaneImage:
				return fmt.Sprintf("bound %s, never.image %q", b.Name, r.Object)
			default:
				return fmt.Sprintf("bound %s, never.%s.%s", b.Name, r.Plane, r.Object)
			}
		}
	}
	for _, w := range p.Workloads {
		for _, c := range w.Closures {
			if c.ID == v.Rule {
				return fmt.Sprintf("workload %s, %s", w.Name, map[schema.Reason]string{schema.ReasonNoRule: "image.from", schema.ReasonSigner: "image.signedBy"}[v.Reason])
			}
		}
		for _, r := range w.Rules {
			if r.ID == v.Rule && slices.ContainsFunc(schema.ProfileRules(w.Profile), func(of schema.Rule) bool {
				return schema.NewRuleID("rule", w.Name, "pod", "set", "profile/"+of.Object) == r.ID
			}) {
				return "workload " + w.Name + ", pod.profile"
			}
			if r.ID == v.Rule {
				return fmt.Sprintf("workload %s, %s.%s", w.Name, r.Plane, r.Object)
			}
		}
	}
	return fmt.Sprintf("%s %s", v.Reason, v.Rule)
}
