// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Plane is a field of policy that is open or closed as a whole.
type Plane string

// The planes of this version, in the order in which they are printed.
const (
	PlaneExec  Plane = "exec"  // programs that a container may run; closed by mention
	PlaneImage Plane = "image" // images that a Pod may run; a condition, not closed by mention
)

// Verb is what a subject does to an object.
type Verb string

// The verbs of this version. Each belongs to exactly one plane.
const (
	VerbExec Verb = "exec" // the object is the path of a program; plane exec
	VerbRun  Verb = "run"  // the object is an image reference; plane image
)

// Plane returns the plane a verb belongs to, or "" for an unknown verb.
func (v Verb) Plane() Plane {
	switch v {
	case VerbExec:
		return PlaneExec
	case VerbRun:
		return PlaneImage
	}
	return ""
}

// Mode says what happens to an event that no rule allows.
type Mode string

// The modes, from the weakest to the strictest. The zero Mode is not a mode: lowering fills in [ModeAudit].
const (
	ModeLearn   Mode = "learn"   // allowed, marked as new
	ModeAudit   Mode = "audit"   // allowed, reported as a violation; the default
	ModeEnforce Mode = "enforce" // denied and reported
)

// strictness orders modes; unknown ones count as the strictest, so that a damaged policy fails safe.
func (m Mode) strictness() int {
	switch m {
	case ModeLearn:
		return 0
	case ModeAudit:
		return 1
	}
	return 2
}

// Strictest returns the stricter of two modes. The zero Mode counts as enforce.
func Strictest(a, b Mode) Mode {
	if a.strictness() >= b.strictness() {
		return a
	}
	return b
}

// Valid reports whether m is one of the three modes.
func (m Mode) Valid() bool { return m == ModeLearn || m == ModeAudit || m == ModeEnforce }

// Pos is a place in the policy repository.
type Pos struct {
	File string `json:"file"` // slash-separated, relative to the root of the repository
	Line int    `json:"line"` // from 1
	Col  int    `json:"col"`  // in bytes, from 1
}

// String returns file:line:col, the form that editors and code hosts link.
func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col) }

// Compare orders positions by file, line and column.
func (p Pos) Compare(q Pos) int {
	if c := strings.Compare(p.File, q.File); c != 0 {
		return c
	}
	if p.Line != q.Line {
		return p.Line - q.Line
	}
	return p.Col - q.Col
}

// RuleID names a rule, or the closing of a plane, for good: it does not change when the rule moves to another line or file.
// The zero RuleID names nothing.
type RuleID uint64

// NewRuleID returns the first 64 bits, big endian, of SHA-256 over the fields, each followed by a NUL byte.
// A rule's fields are "rule", workload, plane, verb, key; a closed plane's are "closure", workload, plane.
// Two different rules with one ID are a compile error.
func NewRuleID(fields ...string) RuleID {
	sum := sha256.Sum256([]byte(strings.Join(fields, "\x00") + "\x00"))
	return RuleID(binary.BigEndian.Uint64(sum[:8]))
}

// String returns the ID as 16 lower-case hexadecimal digits.
func (id RuleID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// MarshalText implements [encoding.TextMarshaler].
func (id RuleID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (id *RuleID) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil || len(text) != 16 {
		return fmt.Errorf("rule ID %q is not 16 hexadecimal digits", text)
	}
	*id = RuleID(n)
	return nil
}

// Rule is one permission: the containers of a workload may do a verb to an object.
type Rule struct {
	ID      RuleID   `json:"id"`
	Plane   Plane    `json:"plane"`
	Verb    Verb     `json:"verb"`
	Object  string   `json:"object"`            // the rule's key: a path pattern, or an image pattern
	Parents []string `json:"parents,omitempty"` // sorted path patterns; the caller's program must match one. None: any caller
	Why     string   `json:"why,omitempty"`     // the author's reason
	Pos     []Pos    `json:"pos,omitempty"`     // every place that states the rule, sorted
}

// Closure records that a workload mentions a plane. For exec the plane is then closed: what no rule allows is judged by Mode.
// A denial that no rule caused names the closure.
type Closure struct {
	ID    RuleID `json:"id"`
	Plane Plane  `json:"plane"`
	Mode  Mode   `json:"mode"`
	Pos   []Pos  `json:"pos,omitempty"` // every place that mentions the plane, sorted
}

// Match selects containers. All fields that are set must hold; the zero Match selects nothing.
type Match struct {
	Namespace string            `json:"namespace,omitempty"` // the Kubernetes namespace, literally
	Labels    map[string]string `json:"labels,omitempty"`    // each must be on the Pod with this very value
	// Cgroup is a path pattern below the root of the cgroup2 hierarchy. A container is selected when the pattern matches its
	// cgroup or any cgroup above it.
	Cgroup string `json:"cgroup,omitempty"`
}

// Zero reports whether no field is set.
func (m Match) Zero() bool { return m.Namespace == "" && len(m.Labels) == 0 && m.Cgroup == "" }

// Subject is the container that does something, as far as the observer knows it.
type Subject struct {
	Namespace string            `json:"namespace,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Cgroup    string            `json:"cgroup,omitempty"` // absolute below the root of the cgroup2 hierarchy, e.g. "/kubepods/pod1/c1"
}

// Selects reports whether the match selects the subject.
func (m Match) Selects(s Subject) bool {
	if m.Zero() || m.Namespace != "" && m.Namespace != s.Namespace {
		return false
	}
	for k, v := range m.Labels {
		if got, ok := s.Labels[k]; !ok || got != v {
			return false
		}
	}
	return m.Cgroup == "" || m.selectsCgroup(s.Cgroup)
}

// selectsCgroup tries the cgroup and every one above it: processes live at or below the cgroup that a pattern names.
func (m Match) selectsCgroup(cgroup string) bool {
	for c := cgroup; c != ""; c = c[:strings.LastIndexByte(c, '/')] {
		if MatchPath(m.Cgroup, c) {
			return true
		}
	}
	return false
}

// Workload is a set of containers and what they may do.
type Workload struct {
	Name     string    `json:"name"` // unique in the policy
	Owner    string    `json:"owner,omitempty"`
	Match    Match     `json:"match"`
	Shared   bool      `json:"shared,omitempty"`   // other workloads may select the same containers
	Closures []Closure `json:"closures,omitempty"` // one for each plane it mentions, sorted by plane
	Rules    []Rule    `json:"rules,omitempty"`    // sorted by plane, verb and object
	Pos      []Pos     `json:"pos,omitempty"`      // every place that states the workload, sorted
}

// Closure returns the closure of a plane, and whether the workload mentions the plane.
func (w *Workload) Closure(p Plane) (Closure, bool) {
	for _, c := range w.Closures {
		if c.Plane == p {
			return c, true
		}
	}
	return Closure{}, false
}

// Policy is what a policy repository means: the one intermediate representation. It is flat, sorted by workload name, and
// nobody changes it after lowering; it may be read concurrently.
type Policy struct {
	Workloads []Workload `json:"workloads"`
}
