// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/writ-sec/writ/schema"
)

// What a PodRules object holds, as pod.cel reads it and [podRulesSchema] describes it. The letters are short because an API server converts
// the whole object for each request.

// vapSelector is what of a match concerns Pods, but for the namespace.
type vapSelector struct {
	Labels      []string        `json:"l,omitempty"` // "key=value", each must be there
	Expressions []vapExpression `json:"x,omitempty"`
	Container   string          `json:"c,omitempty"` // a regular expression over the container's name
}

type vapExpression struct {
	Key   string    `json:"k"`
	In    *[]string `json:"is,omitempty"` // nil is any, empty is none
	NotIn []string  `json:"not,omitempty"`
	Set   *bool     `json:"set,omitempty"`
}

// vapStated says where a rule stands and why.
type vapStated struct {
	ID  schema.RuleID `json:"i"`
	At  string        `json:"at,omitempty"` // file:line
	Why string        `json:"y,omitempty"`
}

// vapImages is patterns of images. Exact ones are "host/path", with ":tag" and "@digest" where they say so.
type vapImages struct {
	Exact []string  `json:"e,omitempty"`
	Globs []vapGlob `json:"g,omitempty"`
}

// vapGlob matches "host/path" by a prefix or else a regular expression. An empty tag or digest matches any.
type vapGlob struct {
	Prefix string `json:"s,omitempty"`
	One    bool   `json:"o,omitempty"` // what follows the prefix has no slash
	Regexp string `json:"m,omitempty"`
	Tag    string `json:"t,omitempty"`
	Digest string `json:"d,omitempty"`
}

type vapImageRule struct {
	vapStated
	vapImages
}

// vapPodRule is the permitted or forbidden values of a field: as they are written, and as regular expressions where they are patterns. A
// pattern as it is written matches itself, so that it may stand among the values.
type vapPodRule struct {
	Field string `json:"f"`
	vapStated
	Values  []string `json:"v,omitempty"`
	Regexps []string `json:"m,omitempty"`
}

// vapProfile stands for the rules of a level of the Pod Security Standards, whose values are in the policy's own expressions.
type vapProfile struct {
	Name string `json:"n"`
	IDs  string `json:"i"` // of the rules, 16 digits each, sorted by field
	At   string `json:"at,omitempty"`
}

type vapPod struct {
	Rules   []vapPodRule `json:"r,omitempty"`
	Profile *vapProfile  `json:"p,omitempty"`
}

type vapWorkload struct {
	Name  string `json:"n"`
	Owner string `json:"o,omitempty"`
	vapSelector
	Image *vapImageRule `json:"image,omitempty"`
	Pod   *vapPod       `json:"pod,omitempty"`
}

type vapBound struct {
	Name  string `json:"n"`
	Owner string `json:"o,omitempty"`
	vapSelector
	Image   []vapImageRule `json:"image,omitempty"`
	Pod     []vapPodRule   `json:"pod,omitempty"`
	Require *vapStated     `json:"require,omitempty"` // that a workload selects each container
}

// vapPatch forbids images among those that an exception covers.
type vapPatch struct {
	Name  string         `json:"n"`
	Owner string         `json:"o,omitempty"`
	Image vapImages      `json:"image"`
	Never []vapImageRule `json:"never"`
}

// coverAction is the action of an entry that only says what a workload selects: bounds ask whether any does.
const coverAction = ""

// newVAP writes the entries of a workload: one for each action, and one that says what it selects. What selects no Pod has none.
func newVAP(w *schema.Workload, at time.Time) []Entry {
	if w.Match.Zero() || w.Match.Cgroup != "" || w.Match.Host {
		return nil
	}
	byAction := map[string]*vapWorkload{}
	of := func(c schema.Closure) *vapWorkload {
		action := actionAt(c.Mode, c.Then, c.ModeAt(at), at)
		if byAction[action] == nil {
			byAction[action] = &vapWorkload{Name: w.Name, Owner: words(w.Owner), vapSelector: newVAPSelector(&w.Match)}
		}
		return byAction[action]
	}
	if c, ok := w.Closure(schema.PlaneImage); ok && c.Names(schema.VerbRun) {
		of(c).Image = &vapImageRule{newVAPStated(c.ID, c.Pos, ""), newVAPImages(fromPatterns(w))}
	}
	if c, ok := w.Closure(schema.PlanePod); ok && w.Match.Container == "" { // a container is not asked about the Pod
		if pod := newVAPPod(w); len(pod.Rules) > 0 || pod.Profile != nil {
			of(c).Pod = pod
		}
	}
	var entries []Entry
	for _, action := range slices.Sorted(maps.Keys(byAction)) {
		entries = append(entries, Entry{Action: action, Text: compactJSON(byAction[action])})
	}
	return append(entries, Entry{Action: coverAction, Text: compactJSON(newVAPSelector(&w.Match))})
}

func fromPatterns(w *schema.Workload) []string {
	var patterns []string
	for _, r := range w.Rules {
		if r.Verb == schema.VerbRun {
			patterns = append(patterns, r.Object)
		}
	}
	return patterns
}

func compactJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // it holds strings and booleans alone
	}
	return bytes.TrimSpace(b.Bytes())
}

func newVAPSelector(m *schema.Match) vapSelector {
	var s vapSelector
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		s.Labels = append(s.Labels, k+"="+m.Labels[k])
	}
	for _, k := range slices.Sorted(maps.Keys(m.Expressions)) {
		x := m.Expressions[k]
		e := vapExpression{Key: k, NotIn: x.NotIn, Set: x.Exists}
		if x.In != nil {
			in := []string(x.In)
			e.In = &in
		}
		s.Expressions = append(s.Expressions, e)
	}
	if m.Container != "" {
		s.Container = segmentRegexp(m.Container)
	}
	return s
}

func newVAPStated(id schema.RuleID, pos []schema.Pos, why string) vapStated {
	return vapStated{id, place(pos), words(why)}
}

// maxWords bounds text of authors in messages, in characters.
const maxWords = 200

// words makes one line of a text, without control characters, and cuts it.
func words(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if r := []rune(s); len(r) > maxWords {
		return string(r[:maxWords]) + "..."
	}
	return s
}

// newVAPImages writes patterns. One that does not parse matches nothing, as in the schema.
func newVAPImages(patterns []string) vapImages {
	var images vapImages
	for _, pattern := range patterns {
		p, err := schema.ParseImagePattern(pattern)
		if err != nil {
			continue
		}
		name := p.Host + "/" + p.Path
		dir, isDir := strings.CutSuffix(name, "/**")
		only, isOnly := strings.CutSuffix(name, "/*")
		switch {
		case p.Host == "" || p.Digest == schema.AnyDigest && !strings.Contains(name, "*"): // of any registry; one name with any digest
			images.Globs = append(images.Globs, vapGlob{Regexp: imageRegexp(p), Tag: p.Tag, Digest: p.Digest})
		case !strings.Contains(name, "*"):
			images.Exact = append(images.Exact, schema.Image(p).String())
		case isDir && !strings.Contains(dir, "*"):
			images.Globs = append(images.Globs, vapGlob{Prefix: dir + "/", Tag: p.Tag, Digest: p.Digest})
		case isOnly && !strings.Contains(only, "*"):
			images.Globs = append(images.Globs, vapGlob{Prefix: only + "/", One: true, Tag: p.Tag, Digest: p.Digest})
		default:
			images.Globs = append(images.Globs, vapGlob{Regexp: imageRegexp(p), Tag: p.Tag, Digest: p.Digest})
		}
	}
	return images
}

// newVAPPod writes the rules on a Pod's fields. Those of a profile are not written out.
func newVAPPod(w *schema.Workload) *vapPod {
	pod := &vapPod{}
	rules := map[schema.RuleID]schema.Rule{}
	for _, r := range w.Rules {
		if r.Plane == schema.PlanePod {
			rules[r.ID] = r
		}
	}
	profile := &vapProfile{Name: w.Profile}
	ofProfile := map[schema.RuleID]bool{}
	for _, r := range schema.ProfileRules(w.Profile) {
		id := schema.NewRuleID("rule", w.Name, string(schema.PlanePod), string(schema.VerbSet), "profile/"+r.Object)
		if have, ok := rules[id]; ok && have.Object == r.Object && slices.Equal(have.Values, r.Values) {
			profile.IDs, profile.At, ofProfile[id] = profile.IDs+id.String(), place(have.Pos), true
		}
	}
	if complete := len(schema.ProfileRules(w.Profile)); complete > 0 && len(ofProfile) == complete {
		pod.Profile = profile
	} else {
		ofProfile = nil
	}
	for _, r := range w.Rules {
		if r.Plane == schema.PlanePod && !ofProfile[r.ID] {
			pod.Rules = append(pod.Rules, newVAPPodRule(&r, pathRegexp))
		}
	}
	return pod
}

// newVAPPodRule writes the values of a field; paths says what a pattern of paths of the host means.
func newVAPPodRule(r *schema.Rule, paths func(string) string) vapPodRule {
	rule := vapPodRule{Field: r.Object, vapStated: newVAPStated(r.ID, r.Pos, r.Why), Values: r.Values}
	for _, v := range r.Values {
		switch schema.PodField(r.Object) {
		case schema.PodHostPaths:
			rule.Regexps = append(rule.Regexps, paths(v))
		case schema.PodSysctls, schema.PodServiceAccount:
			if strings.Contains(v, "*") {
				rule.Regexps = append(rule.Regexps, starsRegexp(v))
			}
		}
	}
	return rule
}

// newVAPBound writes what of a bound acts at admission. ok is false if nothing does.
func newVAPBound(b *schema.Bound) (vb vapBound, ok bool) {
	vb = vapBound{Name: b.Name, Owner: words(b.Owner), vapSelector: newVAPSelector(&b.Match)}
	if b.Match.Cgroup != "" || b.Match.Host {
		return vb, false
	}
	for i := range b.Never {
		switch r := &b.Never[i]; {
		case vapSkips(r) != "":
		case r.Plane == schema.PlaneImage:
			vb.Image = append(vb.Image, newVAPImageRule(r, b.Why))
		case b.Match.Container == "": // a container is not asked about the Pod
			rule := newVAPPodRule(r, exposesRegexp)
			rule.Why = cmp.Or(rule.Why, words(b.Why))
			vb.Pod = append(vb.Pod, rule)
		}
	}
	if b.Require.Workload {
		stated := newVAPStated(b.ID, b.Pos, b.Why)
		vb.Require = &stated
	}
	return vb, len(vb.Image)+len(vb.Pod) > 0 || vb.Require != nil
}

func newVAPImageRule(r *schema.Rule, why string) vapImageRule {
	return vapImageRule{newVAPStated(r.ID, r.Pos, cmp.Or(r.Why, why)), newVAPImages([]string{r.Object})}
}

// newVAPPatch writes what of a virtual patch acts at admission. ok is false if nothing does. It acts on who runs an image, so that what it says of
// the fields of Pods acts nowhere.
func newVAPPatch(x *schema.Exception) (p vapPatch, ok bool) {
	p = vapPatch{Name: x.Name, Owner: words(x.Owner), Image: newVAPImages(x.Images)}
	for i := range x.Patch {
		if r := &x.Patch[i]; r.Plane == schema.PlaneImage {
			p.Never = append(p.Never, newVAPImageRule(r, x.Why))
		}
	}
	return p, len(p.Never) > 0
}
