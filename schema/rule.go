// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Plane is a field of policy that is open or closed as a whole.
type Plane string

// The planes, in the order in which they are printed. The first five are closed by mention; image and pod are conditions: each that is
// named must hold.
const (
	PlaneExec       Plane = "exec"       // programs that a container may run
	PlaneFile       Plane = "file"       // files that it may read and write
	PlaneCapability Plane = "capability" // capabilities that it may use
	PlaneEgress     Plane = "egress"     // whom it may connect to
	PlaneIngress    Plane = "ingress"    // whom it accepts connections from
	PlaneImage      Plane = "image"      // images that a Pod may run
	PlanePod        Plane = "pod"        // values of a Pod's fields
)

// Planes lists all planes in their order.
var Planes = []Plane{PlaneExec, PlaneFile, PlaneCapability, PlaneEgress, PlaneIngress, PlaneImage, PlanePod}

// Condition reports whether the plane is a condition rather than closed by mention.
func (p Plane) Condition() bool { return p == PlaneImage || p == PlanePod }

// Verb is what a subject does to an object.
type Verb string

// The verbs. Each belongs to exactly one plane.
const (
	VerbExec    Verb = "exec"    // the object is the path of a program; plane exec
	VerbRead    Verb = "read"    // the object is the path of a file; plane file
	VerbWrite   Verb = "write"   // the object is the path of a file; plane file; a rule for it allows reading too
	VerbAccess  Verb = "access"  // reading and writing, in bounds and patches alone; plane file
	VerbUse     Verb = "use"     // the object is a capability such as "CAP_NET_RAW"; plane capability
	VerbConnect Verb = "connect" // to a peer; plane egress
	VerbRequest Verb = "request" // a request of layer 7 to a peer; plane egress; events alone
	VerbAccept  Verb = "accept"  // from a peer; plane ingress
	VerbServe   Verb = "serve"   // a request of layer 7 from a peer; plane ingress; events alone
	VerbRun     Verb = "run"     // the object is an image reference; plane image
	VerbSigned  Verb = "signed"  // the object is a signer; plane image; rules alone
	VerbPass    Verb = "pass"    // the object is a gate; plane image; rules alone
	VerbSet     Verb = "set"     // the object is a field of a Pod; plane pod
)

// Plane returns the plane a verb belongs to, or "" for an unknown verb.
func (v Verb) Plane() Plane {
	switch v {
	case VerbExec:
		return PlaneExec
	case VerbRead, VerbWrite, VerbAccess:
		return PlaneFile
	case VerbUse:
		return PlaneCapability
	case VerbConnect, VerbRequest:
		return PlaneEgress
	case VerbAccept, VerbServe:
		return PlaneIngress
	case VerbRun, VerbSigned, VerbPass:
		return PlaneImage
	case VerbSet:
		return PlanePod
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

// NewRuleID returns the first 64 bits, big endian, of SHA-256 over the fields, each followed by a NUL byte. The fields are
//
//	"rule", workload, plane, verb, key                    a rule of a workload
//	"closure", workload, plane                            the closing of a plane
//	"bound", bound, "never" or "only", plane, verb, key   a limit of a bound
//	"bound", bound, "require"                             what a bound requires
//	"patch", exception, plane, verb, key                  a virtual patch
//	"gate", gate, class, alternative                      an alternative of a gate
//	"builtin", name                                       what holds without a line of policy
//
// Two different things with one ID are a compile error.
func NewRuleID(fields ...string) RuleID {
	sum := sha256.Sum256([]byte(strings.Join(fields, "\x00") + "\x00"))
	return RuleID(binary.BigEndian.Uint64(sum[:8]))
}

// BuiltinProbe names the rule that lets the own node probe a container. It has no line of policy.
var BuiltinProbe = NewRuleID("builtin", "probe")

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

// Rule is one permission: the containers of a workload may do a verb to an object. In a bound or a virtual patch it is the opposite.
type Rule struct {
	ID    RuleID `json:"id"`
	Plane Plane  `json:"plane"`
	Verb  Verb   `json:"verb"`
	// Object is the rule's key: a path pattern, a capability, the rule's name for a peer, an image pattern, a signer, a gate, or a field of
	// a Pod (see [PodField]).
	Object  string     `json:"object"`
	Parents []string   `json:"parents,omitempty"` // exec: sorted path patterns; the caller's program must match one. None: any caller
	Peer    *Peer      `json:"peer,omitempty"`    // egress and ingress: the other end
	HTTP    []HTTPRule `json:"http,omitempty"`    // the permitted requests, sorted; with GRPC and TLS, any that matches suffices
	GRPC    []string   `json:"grpc,omitempty"`    // the permitted calls as "package.Service/Method", sorted; the method may be "*"
	TLS     []string   `json:"tls,omitempty"`     // the permitted server names, sorted; "**" is any name: TLS alone is demanded
	L4      bool       `json:"l4,omitempty"`      // the author accepts that only layer 4 is judged where no proxy runs
	Values  []string   `json:"values,omitempty"`  // pod: the values that the field may have, sorted; in a bound the forbidden ones
	Why     string     `json:"why,omitempty"`     // the author's reason
	Pos     []Pos      `json:"pos,omitempty"`     // every place that states the rule, sorted
}

// Layer7 reports whether the rule says something of layer 7.
func (r *Rule) Layer7() bool { return len(r.HTTP)+len(r.GRPC)+len(r.TLS) > 0 }

// Peer is the other end of a connection: one of Workload, Namespace, Namespaces, CIDR and DNS.
type Peer struct {
	Workload   string    `json:"workload,omitempty"`   // a workload's name
	Match      *Match    `json:"match,omitempty"`      // what that workload selects; filled in by lowering
	Namespace  string    `json:"namespace,omitempty"`  // a namespace's name
	Namespaces *Selector `json:"namespaces,omitempty"` // namespaces by their labels
	CIDR       string    `json:"cidr,omitempty"`       // RFC 4632 and RFC 4291 notation, without host bits
	DNS        string    `json:"dns,omitempty"`        // a name pattern, see [MatchName]
	Port       string    `json:"port,omitempty"`       // of the receiver: "443", "8000-8100", a port's name, or "*"; "" is "*"
	Protocol   string    `json:"protocol"`             // "tcp", "udp" or "sctp"; in a bound "" is any
}

// HTTPRule is one permitted request.
type HTTPRule struct {
	Method string `json:"method"`         // in upper case; "*" is any
	Path   string `json:"path"`           // a path pattern, see [MatchHTTPPath]
	Host   string `json:"host,omitempty"` // a name pattern; "" is any
}

// CompareRules is the order of rules in a [Workload]: by plane, verb, object and ID.
func CompareRules(a, b Rule) int {
	return cmp.Or(cmp.Compare(a.Plane, b.Plane), cmp.Compare(a.Verb, b.Verb), cmp.Compare(a.Object, b.Object), cmp.Compare(a.ID, b.ID))
}

// Closure records that a workload mentions a plane. For planes closed by mention, what no rule allows is judged by the mode. For
// conditions, what does not hold is. A denial that no rule caused names the closure.
type Closure struct {
	ID    RuleID `json:"id"`
	Plane Plane  `json:"plane"`
	Mode  Mode   `json:"mode"`
	Then  Mode   `json:"then,omitempty"`  // the mode after After; "" if no change is planned
	After Date   `json:"after,omitempty"` // the last day, or instant, of Mode
	Verbs []Verb `json:"verbs,omitempty"` // image: the conditions that are named, sorted; none: [VerbRun]
	Pos   []Pos  `json:"pos,omitempty"`   // every place that mentions the plane, sorted
}

// Names reports whether the closure, of plane image, names a condition.
func (c *Closure) Names(v Verb) bool {
	if len(c.Verbs) == 0 {
		return v == VerbRun
	}
	for _, have := range c.Verbs {
		if have == v {
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
	Open     bool      `json:"open,omitempty"`     // files of other folders may add rules
	Profile  string    `json:"profile,omitempty"`  // the level of the Pod Security Standards that Rules spell out, or ""
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

// Policy is what a policy repository means: the one intermediate representation. Each list is flat and sorted by name, and
// nobody changes it after lowering; it may be read concurrently.
type Policy struct {
	Cluster    string      `json:"cluster,omitempty"`  // the cluster it is compiled for, or ""
	Admission  Admission   `json:"admission,omitzero"` // with what the cluster replaces
	Budget     Budget      `json:"budget,omitzero"`
	Folders    []Folder    `json:"folders,omitempty"`
	Workloads  []Workload  `json:"workloads"`
	Bounds     []Bound     `json:"bounds,omitempty"`
	Gates      []Gate      `json:"gates,omitempty"`
	Exceptions []Exception `json:"exceptions,omitempty"`
	Signers    []Signer    `json:"signers,omitempty"`
	Registries []Registry  `json:"registries,omitempty"`
	Responses  []Response  `json:"responses,omitempty"`
	Notify     []Notify    `json:"notify,omitempty"`
	Benchmarks []Benchmark `json:"benchmarks,omitempty"`
	Checks     []Check     `json:"checks,omitempty"`
	Clusters   []Cluster   `json:"clusters,omitempty"`
	Tests      []Test      `json:"tests,omitempty"`
}
