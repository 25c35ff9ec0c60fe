// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

const proposePolicy = `package policy

workload: quiet: {
	match: namespace: "quiet"
	mode: "learn"
	exec: {
		"/bin/known": {}
		"/bin/child": {parent: "/bin/known": {}}
		"/opt/**": {parent: "/bin/known": {}}
	}
}
workload: loud: {
	match: namespace: "quiet"
	shared: true
	mode: "audit"
	exec: "/bin/other": {}
}
workload: strict: {
	match: namespace: "strict"
	mode: "enforce"
	exec: "/bin/known": {}
}
workload: open: match: namespace: "open"
`

func policyFor(t testing.TB) *schema.Policy {
	return policyOf(t, repoOf(map[string]string{"p.cue": strings.Replace(proposePolicy, `namespace: "quiet"`+"\n\tmode", `namespace: "quiet"`+"\n\tshared: true\n\tmode", 1)}))
}

// under returns a report for several workloads.
func under(r schema.Report, workloads ...string) schema.Report {
	r.Verdict.Workloads = workloads
	r.ID = schema.NewReportID(r.Event, r.Verdict)
	return r
}

func from(origin schema.Origin, r schema.Report) schema.Report {
	r.Origin = origin
	r.ID = schema.NewReportID(r.Event, r.Verdict)
	return r
}

// short writes proposals as lines.
func short(p Proposals) []string {
	var out []string
	for _, w := range p.Proposals {
		for _, c := range w.Changes {
			kind := "parent"
			if c.New {
				kind = "rule"
			}
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", w.Workload, kind, c.Object, strings.Join(c.Parents, " "))))
		}
	}
	for _, f := range p.Findings {
		out = append(out, fmt.Sprintf("not %s %s", f.Object, f.Cause))
	}
	return out
}

func TestPropose(t *testing.T) {
	learnt := func(object, parent string) schema.Report { return report("quiet", schema.ActionLearn, object, parent) }
	denied := report("strict", schema.ActionDeny, "/bin/evil", "/bin/sh")
	image := report("quiet", schema.ActionAudit, "nginx", "")
	image.Verb = schema.VerbRun
	tests := map[string]struct {
		reports []schema.Report
		opt     Options
		want    []string
	}{
		"nothing":                {nil, Options{}, nil},
		"a missing rule":         {[]schema.Report{learnt("/bin/new", "/bin/sh")}, Options{}, []string{"quiet rule /bin/new"}},
		"allowed by now":         {[]schema.Report{learnt("/bin/known", "/bin/sh")}, Options{}, nil},
		"one rule, many callers": {[]schema.Report{learnt("/bin/new", "/a"), learnt("/bin/new", "/b"), learnt("/bin/new", "")}, Options{}, []string{"quiet rule /bin/new"}},
		"a missing parent":       {[]schema.Report{learnt("/bin/child", "/bin/sh"), learnt("/bin/child", "/bin/ash")}, Options{}, []string{"quiet parent /bin/child /bin/ash /bin/sh"}},
		"a parent of a pattern":  {[]schema.Report{learnt("/opt/x", "/bin/sh"), learnt("/opt/y", "/bin/sh")}, Options{}, []string{"quiet rule /opt/x /bin/sh", "quiet rule /opt/y /bin/sh"}},
		"an unknown parent":      {[]schema.Report{learnt("/bin/child", "")}, Options{}, []string{"not /bin/child parent"}},
		"a strange parent":       {[]schema.Report{learnt("/bin/child", "/bin/*")}, Options{}, []string{"not /bin/child path"}},
		"a denial":               {[]schema.Report{denied}, Options{}, []string{"not /bin/evil denied"}},
		"a denial by ID":         {[]schema.Report{denied, learnt("/bin/new", "")}, Options{IDs: []string{denied.ID[:9]}}, []string{"strict rule /bin/evil"}},
		"once denied, now audit": {[]schema.Report{report("quiet", schema.ActionDeny, "/bin/new", "")}, Options{}, []string{"not /bin/new denied"}},
		"once audit, now denied": {[]schema.Report{report("strict", schema.ActionAudit, "/bin/new", "")}, Options{}, []string{"not /bin/new denied"}},
		"allowed, by ID": {[]schema.Report{learnt("/bin/known", "")}, Options{IDs: []string{learnt("/bin/known", "").ID}},
			[]string{"not /bin/known allowed"}},
		"gone":              {[]schema.Report{report("gone", schema.ActionLearn, "/x", "")}, Options{}, []string{"not /x gone"}},
		"open by now":       {[]schema.Report{report("open", schema.ActionLearn, "/x", "")}, Options{}, nil},
		"memfd":             {[]schema.Report{from(schema.OriginMemfd, learnt("/memfd:x", ""))}, Options{}, []string{"not /memfd:x origin"}},
		"deleted":           {[]schema.Report{from(schema.OriginDeleted, learnt("/bin/known", ""))}, Options{}, []string{"not /bin/known origin"}},
		"foreign":           {[]schema.Report{from(schema.OriginForeign, learnt("/bin/known", ""))}, Options{}, []string{"not /bin/known origin"}},
		"too long":          {[]schema.Report{learnt("/"+strings.Repeat("a", 4095), "")}, Options{}, []string{"not /" + strings.Repeat("a", 4095) + " path"}},
		"not UTF-8":         {[]schema.Report{learnt("/a\xff", "")}, Options{}, []string{"not /a\xff path"}},
		"a star":            {[]schema.Report{learnt("/a*", "")}, Options{}, []string{"not /a* path"}},
		"a newline":         {[]schema.Report{learnt("/a\nb", "")}, Options{}, []string{"not /a\nb path"}},
		"relative":          {[]schema.Report{learnt("a", "")}, Options{}, []string{"not a path"}},
		"dots":              {[]schema.Report{learnt("/a/../b", "")}, Options{}, []string{"not /a/../b path"}},
		"another verb":      {[]schema.Report{under(image, "quiet")}, Options{}, []string{"not nginx verb"}},
		"one workload only": {[]schema.Report{learnt("/bin/new", ""), report("loud", schema.ActionAudit, "/bin/new", "")}, Options{Workload: "loud"}, []string{"loud rule /bin/new"}},
		"two workloads: the strictest closure gets it": {[]schema.Report{under(learnt("/bin/new", ""), "loud", "quiet")}, Options{}, []string{"loud rule /bin/new"}},
		"two workloads: a rule of a part serves": {[]schema.Report{under(learnt("/bin/new", ""), "loud", "quiet"), learnt("/bin/new", "/x")}, Options{},
			[]string{"quiet rule /bin/new"}},
		"two workloads, one gone": {[]schema.Report{under(learnt("/bin/new", ""), "gone", "quiet")}, Options{}, []string{"quiet rule /bin/new"}},
	}
	p := policyFor(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Propose(p, observed(t, tt.reports...), tt.opt)
			if err != nil || !slices.Equal(short(got), tt.want) {
				t.Errorf("Propose = %q, %v; want %q", short(got), err, tt.want)
			}
			for _, f := range got.Findings {
				if f.Text == "" || strings.ContainsAny(f.Text, "\n\x1b\xff") {
					t.Errorf("finding %q", f.Text)
				}
			}
		})
	}
}

func TestProposeUnknownEvent(t *testing.T) {
	os := observed(t, report("strict", schema.ActionDeny, "/bin/evil", ""))
	for _, id := range []string{"ffffffffffffffff", "nonsense", ""} {
		if got, err := Propose(policyFor(t), os, Options{IDs: []string{id}}); err == nil {
			t.Errorf("Propose for the event %q = %+v; want an error", id, got)
		}
	}
}

func TestProposeLimit(t *testing.T) {
	var reports []schema.Report
	for i := range 5 {
		reports = append(reports, window(report("quiet", schema.ActionLearn, fmt.Sprintf("/bin/p%d", i), ""), 0, 1, uint64(1+i)))
	}
	got, err := Propose(policyFor(t), observed(t, reports...), Options{Limit: 2})
	want := []string{"quiet rule /bin/p3", "quiet rule /bin/p4", "not  limit"}
	if err != nil || !slices.Equal(short(got), want) {
		t.Errorf("Propose = %q, %v; want the most seen, %q", short(got), err, want)
	}
}

// TestProposeIsEnough holds on generated observations that the outcome does not depend on their order, that with the proposals applied nothing that
// could be proposed is left, and that nothing else is allowed by them: what no observation showed is judged as before.
func TestProposeIsEnough(t *testing.T) {
	p := policyFor(t)
	objects := []string{"/bin/known", "/bin/child", "/opt/x", "/opt/y/z", "/new/a", "/new/b", "/bin/other"}
	parents := []string{"", "/bin/known", "/bin/sh", "/opt/x"}
	sets := [][]string{{"quiet"}, {"loud"}, {"loud", "quiet"}}
	for seed := range 300 {
		rnd := rand.New(rand.NewPCG(uint64(seed), 3))
		seen := map[string]schema.Report{}
		for range 1 + rnd.IntN(12) {
			r := under(report("", schema.ActionLearn, objects[rnd.IntN(len(objects))], parents[rnd.IntN(len(parents))]), sets[rnd.IntN(3)]...)
			seen[r.ID] = r
		}
		var os []Observation
		for _, r := range seen {
			os = append(os, observed(t, r)...)
		}
		got, err := Propose(p, os, Options{})
		if err != nil {
			t.Fatal(err)
		}
		rnd.Shuffle(len(os), func(i, j int) { os[i], os[j] = os[j], os[i] })
		if again, _ := Propose(p, os, Options{}); !reflect.DeepEqual(again, got) {
			t.Fatalf("seed %d: another order gives %q; want %q", seed, short(again), short(got))
		}
		next := p
		for _, w := range got.Proposals {
			if next, err = w.Apply(next); err != nil {
				t.Fatal(err)
			}
		}
		left, err := Propose(next, os, Options{})
		if err != nil || len(left.Proposals) > 0 {
			t.Fatalf("seed %d: after %q there is still %q, %v", seed, short(got), short(left), err)
		}
		checkNotWider(t, p, next, got, objects, parents)
	}
}

// checkNotWider judges every event under single workloads: what is newly allowed was proposed for this very object, and if the rule names callers, this caller.
func checkNotWider(t *testing.T, old, next *schema.Policy, got Proposals, objects, parents []string) {
	t.Helper()
	for i := range old.Workloads {
		for _, object := range append(objects, "/opt/unseen", "/new/unseen") {
			for _, parent := range parents {
				e := schema.Event{Verb: schema.VerbExec, Object: schema.Path(object), Parent: schema.Path(parent)}
				before := schema.JudgeWorkloads([]*schema.Workload{&old.Workloads[i]}, e, noon)
				after := schema.JudgeWorkloads([]*schema.Workload{&next.Workloads[i]}, e, noon)
				if before.Action == after.Action {
					continue
				}
				named := slices.ContainsFunc(got.Proposals, func(w Proposal) bool {
					return w.Workload == old.Workloads[i].Name && slices.ContainsFunc(w.Changes, func(c Change) bool {
						return c.Object == object && (len(c.Parents) == 0 || slices.Contains(c.Parents, parent))
					})
				})
				if !named {
					t.Fatalf("%s: %s from %q is %s and was %s, and nobody proposed it: %q", old.Workloads[i].Name, object, parent, after.Action, before.Action, short(got))
				}
			}
		}
	}
}

// TestJudgeIsReference compares the indexed judge with JudgeWorkloads over all rules.
func TestJudgeIsReference(t *testing.T) {
	p := policyFor(t)
	j := newJudge(p, noon)
	for _, object := range []string{"/bin/known", "/bin/child", "/opt/x", "/x", "", "/bin/other"} {
		for _, parent := range []string{"", "/bin/known", "/sh"} {
			for _, set := range [][]string{{"quiet"}, {"loud"}, {"strict"}, {"open"}, {"loud", "quiet"}, {"open", "strict"}} {
				o := observed(t, under(report("", schema.ActionLearn, object, parent), set...))[0]
				var selected []*schema.Workload
				for i := range p.Workloads {
					if slices.Contains(set, p.Workloads[i].Name) {
						selected = append(selected, &p.Workloads[i])
					}
				}
				want := schema.JudgeWorkloads(selected, schema.Event{Verb: o.Verb, Object: o.Object, Parent: o.Parent}, noon)
				if got, known := j.verdict(o); !known || !reflect.DeepEqual(got, want) {
					t.Errorf("%q from %q under %q: %+v; want %+v", object, parent, set, got, want)
				}
			}
		}
	}
}
