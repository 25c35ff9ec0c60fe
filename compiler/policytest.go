// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// TestResult is what became of one test of the policy.
type TestResult struct {
	Name    string         `json:"name"`
	Pos     []schema.Pos   `json:"pos"`           // every place that states the test
	Why     string         `json:"why,omitempty"` // the author's reason for the test
	Event   string         `json:"event"`         // in words what happens, and where
	At      time.Time      `json:"at"`            // the instant at which it was judged
	Passed  bool           `json:"passed"`
	Problem string         `json:"problem,omitempty"` // why it failed, in a sentence; "" if it passed
	Want    schema.Action  `json:"want"`
	WantBy  string         `json:"wantBy,omitempty"`
	Verdict schema.Verdict `json:"verdict,omitzero"` // zero if it could not be judged
	By      *Stated        `json:"by,omitempty"`     // what decides; nil: nothing does
	Because string         `json:"because,omitempty"`
	Change  *Fix           `json:"change,omitempty"` // the line to change, of a test that failed
	touched []schema.RuleID
}

// RunTests judges the tests of a policy at an instant, each that has a date at its own, and returns their results in the order of the policy.
// It never fails as a whole: a test that names what does not exist is a result that says so.
func RunTests(p *schema.Policy, at time.Time) []TestResult {
	results := make([]TestResult, len(p.Tests))
	for i := range p.Tests {
		results[i] = runTest(p, &p.Tests[i], at)
	}
	return results
}

// TestInstant returns the instant at which something dated is judged that names a date: an instant by RFC 3339 is itself, a day is its noon,
// UTC, so that it is within whatever holds through that day.
func TestInstant(d schema.Date) (time.Time, error) {
	at, err := d.Instant()
	if err != nil {
		return at, err
	}
	if _, err := time.Parse(time.DateOnly, string(d)); err == nil {
		return at.Add(-12 * time.Hour), nil
	}
	return at, nil
}

func runTest(p *schema.Policy, t *schema.Test, at time.Time) TestResult {
	r := TestResult{Name: t.Name, Pos: append([]schema.Pos{}, t.Pos...), Why: t.Why, Want: t.Is, WantBy: t.By, At: at}
	r.Event = describeEvent(t.Event, t.Peer)
	e, err := TestEvent(p, *t)
	if err == nil && t.At != "" {
		r.At, err = TestInstant(t.At)
	}
	if err != nil {
		r.Problem = err.Error()
		return r
	}
	r.Event += " in " + DescribeSubject(e.Subject)
	sel := p.Select(e.Subject)
	r.Verdict = sel.Judge(e, r.At)
	r.touched = append(conditionsMet(sel, e, r.Verdict, r.At), r.Verdict.Rule)
	if s, ok := findStated(p, sel, r.Verdict.Rule); ok {
		r.By = &s
	}
	if r.Verdict.Action == t.Is && (t.By == "" || decidedBy(r.By, t.By)) {
		r.Passed = true
		return r
	}
	r.explain(p, sel, e, t)
	return r
}

// explain says why a test failed and which line to change.
func (r *TestResult) explain(p *schema.Policy, sel schema.Selection, e schema.Event, t *schema.Test) {
	c := considerAll(p, sel, e, r.At)
	r.Because, r.Change = c.because(), c.change(t.Is)
	if r.Verdict.Action != t.Is {
		r.Problem = fmt.Sprintf("want %s, got %s: %s", ActionWord(t.Is), ActionWord(r.Verdict.Action), r.Because)
		return
	}
	r.Problem = fmt.Sprintf("is %s, but by %s; want by %s", ActionWord(t.Is), r.decider(), quoted(t.By))
	if r.By != nil {
		r.Change = changeAt(r.By.Pos, "this decides instead")
	}
	i := slices.IndexFunc(c.others, func(o Consideration) bool { return decidedBy(&o.Stated, t.By) })
	switch {
	case i >= 0 && t.By != nobody:
		r.Problem += " (of that one: " + c.others[i].Because + ")"
	case !statesAny(p, t.By):
		r.Problem += ", and nothing of that name is stated"
	}
}

// statesAny reports whether a policy states anything that a test's "by" can name.
func statesAny(p *schema.Policy, by string) bool {
	if by == nobody || by == "builtin/probe" {
		return true
	}
	for _, t := range RuleTables(p) {
		for _, s := range StatedIn(&t) {
			if decidedBy(&s, by) {
				return true
			}
		}
	}
	return false
}

// conditionsMet returns the rules by which something is allowed where every condition must hold: of images those that the image meets, of Pods
// those whose field the Pod sets.
func conditionsMet(sel schema.Selection, e schema.Event, v schema.Verdict, at time.Time) []schema.RuleID {
	plane := e.Verb.Plane()
	if !plane.Condition() || v.Action != schema.ActionAllow {
		return nil
	}
	var met []schema.RuleID
	for _, w := range sel.Workloads {
		for i := range w.Rules {
			r := &w.Rules[i]
			_, set := e.Set[schema.PodField(r.Object)]
			if r.Plane == plane && (plane == schema.PlaneImage || set) && allows(*r, e, at) {
				met = append(met, r.ID)
			}
		}
	}
	return met
}

// decider names what decides.
func (r *TestResult) decider() string {
	if r.By == nil {
		return "nothing: " + r.Because
	}
	return r.By.Reference()
}

// Reference names what is stated in the words of a test's "by".
func (s *Stated) Reference() string {
	switch {
	case s.Kind == bundle.KindNever || s.Kind == bundle.KindBound:
		return joinWords(" ", "bound", quoted(s.Name), quotedKey(s.Object))
	case s.Kind == bundle.KindPatch:
		return joinWords(" ", "exception", quoted(s.Name), quotedKey(s.Object))
	case s.Kind == bundle.KindBuiltin:
		return "builtin/" + s.Name
	case s.Verb == "":
		return fmt.Sprintf("the closing of %s by workload %s", s.Plane, quoted(s.Workload))
	}
	return fmt.Sprintf("the rule %s of workload %s", quoted(s.Object), quoted(s.Workload))
}

func quotedKey(object string) string {
	if object == "" {
		return ""
	}
	return "(" + quoted(object) + ")"
}

// nobody is what a test's "by" names when no rule is to decide.
const nobody = "nothing"

// decidedBy reports whether what decides is what a test's "by" names:
//
//	a rule's key           a rule of a workload, a bound or a patch that has it
//	"no-shells"            what the bound, or the patch of the exception, of that name forbids
//	"bound no-shells"      the same; "exception NAME" too
//	"exec"                 the closing of the plane by a workload
//	"builtin/probe"        what has no line of policy
//	"nothing"              no rule: the plane is open, nobody selects the container, or the closing of the plane decides
func decidedBy(s *Stated, by string) bool {
	if s == nil {
		return by == nobody
	}
	closing := s.Kind == "" && s.Verb == ""
	switch s.Kind {
	case bundle.KindNever, bundle.KindBound:
		return by == s.Name || by == "bound "+s.Name || s.Object != "" && by == s.Object
	case bundle.KindPatch:
		return by == s.Name || by == "exception "+s.Name || by == s.Object
	case bundle.KindBuiltin:
		return by == "builtin/"+s.Name
	}
	return closing && (by == nobody || by == string(s.Plane)) || !closing && by == s.Object
}

// TestEvent returns the event that a test speaks of. What a test of the language means is, field by field,
//
//	in               Test.In: the subject is one that the workload selects, see [Example], running an image that its rules permit, if they name any
//	subject          Event.Subject
//	exec, parent     the verb exec; Object, Parent; without parent the caller is not known
//	read, write      the verb of that name; Object
//	capability       the verb use; Object
//	connect          the verb connect, or request if http, grpc or tls is there; Flow
//	accept           the verb accept, or serve if http, grpc or tls is there; Flow
//	run              the verb run; Object; the subject's image is the same; SignedBy, Passes
//	pod              the verb set; Set
//	is, by, at, why  Test.Is, By, At, Why
//
// and of connect and accept
//
//	workload         Test.Peer: the other end is one that the workload selects, see [Example]
//	subject          Flow.Peer
//	address          Flow.Address
//	dns              Flow.Names, with this one name; the address may be left out
//	port, portName   Flow.Port, PortName
//	protocol         Flow.Protocol; "tcp" if it is left out
//	http, host       Flow.HTTP: method and path as they stand, and the host
//	grpc             Flow.GRPC
//	tls              Flow.TLS, and Flow.Secure
//
// Lowering fills in the Test, and TestEvent the two subjects that are named by a workload. What Event.Subject or Flow.Peer hold besides, such
// as an image, stays. It is an error if a workload does not exist, selects nothing, or does not select what comes out.
func TestEvent(p *schema.Policy, t schema.Test) (schema.Event, error) {
	e := t.Event
	if t.Is == "" || e.Verb.Plane() == "" {
		return e, fmt.Errorf("the test is not complete: it has no event or does not say what must come out")
	}
	if t.In != "" {
		w, err := findWorkload(p, t.In)
		if err != nil {
			return e, fmt.Errorf("in: %w", err)
		}
		if e.Subject, err = exampleOf(w, e.Subject); err != nil {
			return e, fmt.Errorf("in: %w", err)
		}
		if e.Subject.Image == "" {
			e.Subject.Image = imageOf(w)
		}
	}
	if e.Verb == schema.VerbRun {
		e.Subject.Image = string(e.Object)
	}
	if t.Peer != "" && e.Flow != nil {
		w, err := findWorkload(p, t.Peer)
		if err != nil {
			return e, fmt.Errorf("peer: %w", err)
		}
		f := *e.Flow
		if f.Peer, err = exampleOf(w, f.Peer); err != nil {
			return e, fmt.Errorf("peer: %w", err)
		}
		e.Flow = &f
	}
	return e, nil
}

// findWorkload resolves a reference: a bare name, or namespace/name where the workload's match names one namespace.
func findWorkload(p *schema.Policy, ref string) (*schema.Workload, error) {
	namespace, name, qualified := strings.Cut(ref, "/")
	if !qualified {
		namespace, name = "", ref
	}
	i := slices.IndexFunc(p.Workloads, func(w schema.Workload) bool { return w.Name == name })
	switch {
	case i < 0:
		return nil, fmt.Errorf("workload %q does not exist", ref)
	case qualified && p.Workloads[i].Match.Namespace != namespace:
		return nil, fmt.Errorf("workload %q does not exist; %q selects in the namespace %q", ref, name, p.Workloads[i].Match.Namespace)
	}
	return &p.Workloads[i], nil
}

// exampleOf returns a subject that a workload selects, with what is said of it besides.
func exampleOf(w *schema.Workload, said schema.Subject) (schema.Subject, error) {
	s, ok := Example(w.Match)
	if !ok {
		return s, fmt.Errorf("workload %q selects nothing", w.Name)
	}
	s.Image, s.NamespaceLabels = said.Image, said.NamespaceLabels
	for _, f := range []struct{ to, from *string }{{&s.Namespace, &said.Namespace}, {&s.Container, &said.Container}, {&s.Cgroup, &said.Cgroup}} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	labels := map[string]string{}
	for _, from := range []map[string]string{s.Labels, said.Labels} {
		for k, v := range from {
			labels[k] = v
		}
	}
	if len(labels) > 0 {
		s.Labels = labels
	}
	if s.Host = s.Host || said.Host; !w.Match.Selects(s) {
		return s, fmt.Errorf("workload %q does not select %s", w.Name, DescribeSubject(s))
	}
	return s, nil
}

// imageOf returns an image that the rules of a workload permit, so that a virtual patch for it holds; "" if they name none.
func imageOf(w *schema.Workload) string {
	for i := range w.Rules {
		if w.Rules[i].Verb == schema.VerbRun {
			if image, ok := exampleImage(w.Rules[i].Object); ok {
				return image
			}
		}
	}
	return ""
}
