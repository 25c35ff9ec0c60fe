// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
)

const boundedPolicy = `package policy

workload: web: {
	match: {namespace: "web", labels: tier: "frontend"}
	mode: "learn"
	exec: {
		"/bin/web": {}
		"/opt/**": {parent: "/bin/web": {}}
	}
}
workload: batch: {
	match: namespace: "batch"
	mode: "learn"
	exec: {"/jobs/a": {}, "/jobs/b": {parent: "/jobs/a": {}}}
}
workload: free: {
	match: cgroup: "/free.slice"
	mode: "learn"
	exec: "/bin/free": {}
}
bound: "no-shells": {
	match: labels: tier: "frontend"
	mode: "audit"
	never: exec: {"/bin/sh": {}, "/usr/bin/*sh": {}, "/opt/tools/**": {}}
}
bound: jobs: {
	match: namespace: "batch"
	only: exec: "/jobs/**": {}
}
exception: xml: {
	finding: "CVE-2026-12345": {}
	images: "registry.example.com/**": {}
	why: "patched", owner: "team-web", expires: "2026-12-31"
	patch: exec: "/usr/bin/xmllint": {}
}
`

// decidedBy returns a report that an enforcer made of a rule of a bound or a patch.
func decidedBy(r schema.Report, reason schema.Reason, rule schema.RuleID) schema.Report {
	r.Verdict.Reason, r.Verdict.Rule = reason, rule
	return r
}

func TestProposeWithinBounds(t *testing.T) {
	p := policyOf(t, repoOf(map[string]string{"p.cue": boundedPolicy}))
	seen := func(workload, object, parent string) schema.Report {
		return report(workload, schema.ActionLearn, object, parent)
	}
	never := func(object string) schema.RuleID {
		return schema.NewRuleID("bound", "no-shells", "never", "exec", "exec", object)
	}
	patch := schema.NewRuleID("patch", "xml", "exec", "exec", "/usr/bin/xmllint")
	patched := decidedBy(report("web", schema.ActionDeny, "/usr/bin/xmllint", ""), schema.ReasonPatch, patch)
	asked := seen("web", "/usr/bin/dash", "")
	yearAfter := Options{At: noon.AddDate(1, 0, 0), IDs: []string{patched.ID}}
	tests := map[string]struct {
		report schema.Report
		opt    Options
		want   string
		text   string
	}{
		"allowed by no bound":           {seen("web", "/bin/new", ""), Options{}, "web rule /bin/new", ""},
		"forbidden":                     {seen("web", "/bin/sh", ""), Options{}, "not /bin/sh bound", "bound no-shells forbids it, at p.cue:24:16"},
		"forbidden by a pattern":        {asked, Options{}, "not /usr/bin/dash bound", "bound no-shells forbids it, at p.cue:24:31"},
		"forbidden, and asked for":      {asked, Options{IDs: []string{asked.ID}}, "not /usr/bin/dash bound", "bound no-shells forbids it, at p.cue:24:31"},
		"forbidden to others":           {seen("free", "/bin/sh", ""), Options{}, "free rule /bin/sh", ""},
		"below a pattern, forbidden":    {seen("web", "/opt/tools/x", "/bin/sh"), Options{}, "not /opt/tools/x bound", "bound no-shells forbids it, at p.cue:24:51"},
		"below a pattern":               {seen("web", "/opt/x", "/bin/sh"), Options{}, "web rule /opt/x /bin/sh", ""},
		"outside of what is permitted":  {seen("batch", "/bin/new", ""), Options{}, "not /bin/new bound", "it is outside of what bound jobs permits, at p.cue:28:8"},
		"inside of what is permitted":   {seen("batch", "/jobs/new", ""), Options{}, "batch rule /jobs/new", ""},
		"another caller":                {seen("batch", "/jobs/b", "/jobs/c"), Options{}, "batch parent /jobs/b /jobs/c", ""},
		"allowed, and the bound stands": {decidedBy(seen("web", "/opt/tools/x", "/bin/web"), schema.ReasonBound, never("/opt/tools/**")), Options{}, "not /opt/tools/x bound", "bound no-shells forbids it, at p.cue:24:51"},
		"the bound is gone":             {decidedBy(seen("web", "/bin/new", ""), schema.ReasonBound, never("/bin/new")), Options{}, "web rule /bin/new", ""},
		"a patch":                       {patched, Options{}, "not /usr/bin/xmllint bound", "the patch of exception xml forbids it, at p.cue:34:15"},
		"a patch that has expired":      {patched, yearAfter, "web rule /usr/bin/xmllint", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Propose(p, observed(t, tt.report), tt.opt)
			if err != nil || !slices.Equal(short(got), []string{tt.want}) {
				t.Fatalf("Propose = %q, %v; want %q", short(got), err, tt.want)
			}
			if tt.text == "" {
				return
			}
			f := got.Findings[0]
			if f.Text != tt.text || len(f.Pos) == 0 || !strings.HasSuffix(f.Text, f.Pos[0].String()) {
				t.Errorf("finding %q at %v; want %q", f.Text, f.Pos, tt.text)
			}
		})
	}
}

// TestBoundsAgreeWithCompiler holds that exactly what the compiler refuses because of a bound is left out: a proposal of it could not be edited in.
func TestBoundsAgreeWithCompiler(t *testing.T) {
	tree := repoOf(map[string]string{"p.cue": boundedPolicy})
	p, c := policyOf(t, tree), compiler.New(compiler.Config{})
	left := 0
	for _, workload := range []string{"web", "batch", "free"} {
		for _, object := range []string{"/bin/sh", "/bin/shx", "/usr/bin/sh", "/usr/bin/zsh", "/usr/bin/x/sh", "/opt/tools/a/b", "/opt/tools", "/jobs/new", "/jobs/x/y", "/jobs"} {
			got, err := Propose(p, observed(t, report(workload, schema.ActionLearn, object, "")), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Findings) > 0 && got.Findings[0].Cause == CauseParent {
				continue // of /opt/**
			}
			_, err = Edit(t.Context(), c, tree, Proposal{Workload: workload, Changes: []Change{newRule(workload, object)}})
			var refused compiler.Errors
			if bound := errors.As(err, &refused); bound != (len(got.Proposals) == 0) || err != nil && !strings.Contains(err.Error(), "bound ") {
				t.Errorf("%s in %s: Propose = %q, and Edit says %v", object, workload, short(got), err)
			}
			if err != nil {
				left++
			}
		}
	}
	if left < 5 {
		t.Errorf("%d rules were refused; want some more to compare", left)
	}
}

// TestProposeDated judges dated modes at the instant that is given, or else when an observation was last seen.
func TestProposeDated(t *testing.T) {
	p := policyOf(t, repoOf(map[string]string{"p.cue": `package policy

workload: w: {
	match: namespace: "w"
	mode: {now: "learn", then: "enforce", after: "2026-11-24"}
	exec: "/bin/w": {}
}
workload: eased: {
	match: namespace: "eased"
	mode: {now: "enforce", then: "audit", after: "2026-11-24"}
	exec: "/bin/w": {}
}
`}))
	dayAfter := noon.AddDate(0, 0, 1)
	later := func(r schema.Report) schema.Report {
		r.First, r.Last = dayAfter, dayAfter
		return r
	}
	before, eased := report("w", schema.ActionLearn, "/bin/new", ""), report("eased", schema.ActionAudit, "/bin/new", "")
	for name, tt := range map[string]struct {
		report schema.Report
		at     time.Time
		want   string
	}{
		"seen before, judged then":      {before, time.Time{}, "w rule /bin/new"},
		"seen before, judged that day":  {before, noon.Add(12*time.Hour - 1), "w rule /bin/new"},
		"seen before, judged after":     {before, noon.Add(12 * time.Hour), "not /bin/new denied"},
		"seen after, judged then":       {later(before), time.Time{}, "not /bin/new denied"},
		"seen before it is eased":       {eased, time.Time{}, "not /bin/new denied"},
		"seen before, and eased by now": {eased, dayAfter, "eased rule /bin/new"},
		"seen after it is eased":        {later(eased), time.Time{}, "eased rule /bin/new"},
	} {
		got, err := Propose(p, observed(t, tt.report), Options{At: tt.at})
		if err != nil || !slices.Equal(short(got), []string{tt.want}) {
			t.Errorf("%s: Propose = %q, %v; want %q", name, short(got), err, tt.want)
		}
	}
}

// TestStoreKeepsWhatABoundForbids: the policy does not allow it, although its planes do.
func TestStoreKeepsWhatABoundForbids(t *testing.T) {
	p := policyOf(t, repoOf(map[string]string{"p.cue": boundedPolicy}))
	s := openStore(t, filepath.Join(t.TempDir(), "s"), StoreConfig{})
	r := decidedBy(report("web", schema.ActionAudit, "/opt/tools/x", "/bin/web"), schema.ReasonBound,
		schema.NewRuleID("bound", "no-shells", "never", "exec", "exec", "/opt/tools/**"))
	add(t, s, r)
	if n := s.Settle(p, noon); n != 0 {
		t.Errorf("settled %d; want 0", n)
	}
}

// TestOtherPlanes holds that reports of what is not learned are kept if an observation can hold them and refused with the reason if not, and
// that in neither case anything is proposed.
func TestOtherPlanes(t *testing.T) {
	event := func(e schema.Event) schema.Report {
		r := report("w", schema.ActionAudit, "", "")
		r.Event = e
		r.ID = schema.NewReportID(r.Event, r.Verdict)
		return r
	}
	flow := &schema.Flow{Port: 443, Protocol: "tcp"}
	for name, tt := range map[string]struct {
		report schema.Report
		err    string
	}{
		"a file":                {event(schema.Event{Verb: schema.VerbRead, Object: "/etc/passwd"}), ""},
		"a written file":        {event(schema.Event{Verb: schema.VerbWrite, Object: "/etc/passwd", Origin: schema.OriginDeleted}), ""},
		"a capability":          {event(schema.Event{Verb: schema.VerbUse, Object: "CAP_NET_RAW"}), ""},
		"an image":              {event(schema.Event{Verb: schema.VerbRun, Object: "nginx", SignedBy: schema.Names{"ci"}}), ""},
		"a connection":          {event(schema.Event{Verb: schema.VerbConnect, Flow: flow}), `is of the verb "connect", and learning folds no connections`},
		"a connection, empty":   {event(schema.Event{Verb: schema.VerbAccept}), `is of the verb "accept"`},
		"a request":             {event(schema.Event{Verb: schema.VerbRequest, Flow: flow}), `is of the verb "request"`},
		"a Pod":                 {event(schema.Event{Verb: schema.VerbSet, Set: map[schema.PodField]schema.Names{}}), `is of the verb "set"`},
		"a verb of rules":       {event(schema.Event{Verb: schema.VerbAccess, Object: "/a"}), `is of the verb "access", which rules have`},
		"a program with a flow": {event(schema.Event{Verb: schema.VerbExec, Object: "/a", Flow: flow}), "holds a connection"},
		"no verb":               {event(schema.Event{Object: "/a"}), `has the verb ""`},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, filepath.Join(t.TempDir(), "s"), StoreConfig{})
			err := s.Add(tt.report)
			kept := s.Snapshot().Observations
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || len(kept) > 0 {
					t.Errorf("Add = %v, kept %v; want %q", err, kept, tt.err)
				}
				return
			}
			got, proposeErr := Propose(policyFor(t), kept, Options{})
			if err != nil || len(kept) != 1 || proposeErr != nil || len(got.Proposals) > 0 || len(got.Findings) != 1 || got.Findings[0].Cause != CauseVerb {
				t.Errorf("Add = %v, Propose = %+v, %v; want one finding", err, got, proposeErr)
			}
		})
	}
}
