// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
)

// entry is an entry of a section, as pod.rego reads it; see there for the letters.
type entry struct {
	Name        string                       `json:"n,omitempty"`
	Bound       string                       `json:"b,omitempty"`
	Owner       string                       `json:"o,omitempty"`
	Why         string                       `json:"w,omitempty"`
	Every       bool                         `json:"z,omitempty"`
	Labels      map[string]string            `json:"l,omitempty"`
	Expressions map[string]schema.Expression `json:"x,omitempty"`
	Container   string                       `json:"k,omitempty"`
	Demands     []string                     `json:"q,omitempty"`
	Image       any                          `json:"i,omitempty"`
	Pod         any                          `json:"p,omitempty"`
}

// imageEntry is a condition on images, or one forbidden pattern.
type imageEntry struct {
	Closure string                 `json:"c,omitempty"`
	ID      string                 `json:"i,omitempty"`
	At      string                 `json:"a,omitempty"`
	Why     string                 `json:"w,omitempty"`
	Exact   map[string][][2]string `json:"e,omitempty"`
	Dirs    [][3]string            `json:"d,omitempty"`
	Regexps [][3]string            `json:"r,omitempty"`
}

// podEntry is the conditions on the Pod of a workload.
type podEntry struct {
	Profile string       `json:"p,omitempty"`
	At      string       `json:"a,omitempty"`
	Rules   []fieldEntry `json:"s,omitempty"`
}

// fieldEntry is a rule of one field.
type fieldEntry struct {
	ID      string   `json:"i"`
	Field   string   `json:"f"`
	Values  []string `json:"v,omitempty"`
	Regexps []string `json:"g,omitempty"`
	Texts   []string `json:"t,omitempty"`
	At      string   `json:"a,omitempty"`
	Why     string   `json:"w,omitempty"`
}

// selecting returns an entry that selects as a match does.
func selecting(m *schema.Match) entry {
	e := entry{Labels: m.Labels, Expressions: m.Expressions}
	if m.Container != "" {
		e.Container = segmentRegexp(m.Container)
	}
	return e
}

// ofPods reports whether a match can select something at admission.
func ofPods(m *schema.Match) bool { return m.Cgroup == "" && !m.Host }

// workloadEntries returns the entries of a workload: one for each action that its conditions have.
func workloadEntries(w *schema.Workload, at time.Time) ([]Entry, []schema.Date, error) {
	byAction, changes := map[string]*entry{}, []schema.Date(nil)
	in := func(c *schema.Closure) *entry {
		action := actionAt(c.Mode, c.Then, c.ModeAt(at), at)
		if byAction[action] == nil {
			e := selecting(&w.Match)
			e.Name, e.Owner = w.Name, plain(w.Owner)
			byAction[action] = &e
		}
		changes = append(changes, changeOf(c.Mode, c.Then, c.After)...)
		return byAction[action]
	}
	if !ofPods(&w.Match) {
		return nil, nil, nil
	}
	if c, closed := w.Closure(schema.PlaneImage); closed && c.Names(schema.VerbRun) {
		condition, err := imageCondition(w, &c)
		if err != nil {
			return nil, nil, err
		}
		in(&c).Image = condition
	}
	if c, closed := w.Closure(schema.PlanePod); closed && w.Match.Container == "" {
		if p := podConditions(w); p != nil {
			in(&c).Pod = p
		}
	}
	var all []Entry
	for _, action := range slices.Sorted(maps.Keys(byAction)) {
		text, err := encode(byAction[action])
		if err != nil {
			return nil, nil, err
		}
		all = append(all, Entry{Action: action, Text: text})
	}
	return all, changes, nil
}

// changeOf returns the date after which a planned mode means another action.
func changeOf(now, then schema.Mode, after schema.Date) []schema.Date {
	if then == "" || actions[then] == actions[now] {
		return nil
	}
	return []schema.Date{after}
}

func imageCondition(w *schema.Workload, c *schema.Closure) (imageEntry, error) {
	e := imageEntry{Closure: c.ID.String(), At: place(c.Pos)}
	for i := range w.Rules {
		if r := &w.Rules[i]; r.Verb == schema.VerbRun {
			if err := e.add(r.Object); err != nil {
				return e, fmt.Errorf("emit workload %s: %w", w.Name, err)
			}
		}
	}
	return e, nil
}

// add adds an image pattern.
func (e *imageEntry) add(text string) error {
	pattern, err := schema.ParseImagePattern(text)
	if err != nil {
		return fmt.Errorf("image pattern %q %w", text, err) // checked before
	}
	name := pattern.Host + "/" + pattern.Path
	switch dir, isDir := strings.CutSuffix(name, "**"); {
	case pattern.Host == "": // of any registry
		e.Regexps = append(e.Regexps, [3]string{imageRegexp(pattern), pattern.Tag, pattern.Digest})
	case !strings.Contains(name, "*"):
		if e.Exact == nil {
			e.Exact = map[string][][2]string{}
		}
		e.Exact[name] = append(e.Exact[name], [2]string{pattern.Tag, pattern.Digest})
	case isDir && !strings.Contains(dir, "*"):
		e.Dirs = append(e.Dirs, [3]string{dir, pattern.Tag, pattern.Digest})
	default:
		e.Regexps = append(e.Regexps, [3]string{imageRegexp(pattern), pattern.Tag, pattern.Digest})
	}
	return nil
}

// podConditions returns the conditions on the Pod, or nil without any. The rules of the workload's profile are named by it alone, as long as
// they are what the template knows of it.
func podConditions(w *schema.Workload) *podEntry {
	p := &podEntry{}
	brought := map[schema.RuleID]*schema.Rule{}
	if rules := schema.ProfileRules(w.Profile); len(rules) > 0 {
		for i := range rules {
			rules[i].ID = schema.NewRuleID("rule", w.Name, string(schema.PlanePod), string(schema.VerbSet), "profile/"+rules[i].Object)
			brought[rules[i].ID] = &rules[i]
		}
	}
	var own, profile []*schema.Rule
	for i := range w.Rules {
		switch r := &w.Rules[i]; {
		case r.Plane != schema.PlanePod:
		case brought[r.ID] != nil && brought[r.ID].Object == r.Object && slices.Equal(brought[r.ID].Values, r.Values):
			profile = append(profile, r)
		default:
			own = append(own, r)
		}
	}
	if len(profile) == len(brought) && len(brought) > 0 {
		p.Profile, p.At = w.Profile, place(profile[0].Pos)
	} else {
		own = append(own, profile...)
		slices.SortFunc(own, func(a, b *schema.Rule) int { return schema.CompareRules(*a, *b) })
	}
	for _, r := range own {
		p.Rules = append(p.Rules, fieldRule(r, r.Why, pathRegexp))
	}
	if p.Profile == "" && len(p.Rules) == 0 {
		return nil
	}
	return p
}

// fieldRule returns a rule of a field. What matches paths of the host depends on whether it permits or forbids.
func fieldRule(r *schema.Rule, why string, paths func(string) string) fieldEntry {
	e := fieldEntry{ID: r.ID.String(), Field: r.Object, At: place(r.Pos), Why: plain(why)}
	for _, v := range r.Values {
		star := strings.Contains(v, "*")
		switch field := schema.PodField(r.Object); {
		case field == schema.PodHostPaths:
			e.Regexps, e.Texts = append(e.Regexps, paths(v)), append(e.Texts, v)
		case star && (field == schema.PodSysctls || field == schema.PodServiceAccount):
			e.Regexps, e.Texts = append(e.Regexps, starsRegexp(v)), append(e.Texts, v)
		default:
			e.Values = append(e.Values, v)
		}
	}
	return e
}

// boundEntry returns the entry of a bound. ok is false if it says nothing of images, Pods and workloads that must be there.
func boundEntry(b *schema.Bound) (e entry, ok bool, err error) {
	if !ofPods(&b.Match) {
		return e, false, nil
	}
	e = selecting(&b.Match)
	e.Bound, e.Owner, e.Why, e.Every = b.Name, plain(b.Owner), plain(b.Why), b.Match.Zero()
	if b.Require.Workload {
		e.Demands = []string{b.ID.String(), place(b.Pos)}
	}
	var images []imageEntry
	var fields []fieldEntry
	for i := range b.Never {
		switch r := &b.Never[i]; {
		case r.Plane == schema.PlaneImage:
			image := imageEntry{ID: r.ID.String(), At: place(r.Pos), Why: plain(r.Why)}
			if err := image.add(r.Object); err != nil {
				return e, false, fmt.Errorf("emit bound %s: %w", b.Name, err)
			}
			images = append(images, image)
		case r.Plane == schema.PlanePod && b.Match.Container == "":
			fields = append(fields, fieldRule(r, r.Why, exposesRegexp))
		}
	}
	if len(images) > 0 {
		e.Image = images
	}
	if len(fields) > 0 {
		e.Pod = fields
	}
	return e, len(images)+len(fields)+len(e.Demands) > 0, nil
}

// place names the line that states something: the first of several.
func place(pos []schema.Pos) string {
	if len(pos) == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", plain(pos[0].File), pos[0].Line)
}
