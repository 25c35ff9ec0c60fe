// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"time"
)

// Date is an instant as an author writes it: "2027-01-31" is the end of that day, UTC, so what is dated holds through the day; an instant by
// RFC 3339 is itself. The zero Date is none.
type Date string

// Instant returns the instant that the date stands for: what is dated holds before it, and no longer at it.
func (d Date) Instant() (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, string(d)); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	t, err := time.Parse(time.RFC3339, string(d))
	if err != nil {
		return time.Time{}, fmt.Errorf("date %q is not one; want a day such as \"2027-01-31\" or an instant such as \"2027-01-31T12:00:00Z\"", string(d))
	}
	return t.UTC(), nil
}

// Passed reports whether the date has passed at an instant. No date never passes, and one that does not parse always has, so that a damaged
// exception does not stand.
func (d Date) Passed(at time.Time) bool {
	if d == "" {
		return false
	}
	t, err := d.Instant()
	return err != nil || !at.Before(t)
}

// ModeAt returns the mode at an instant.
func (c *Closure) ModeAt(at time.Time) Mode { return modeAt(c.Mode, c.Then, c.After, at) }

// modeAt decides a planned change. A date that does not parse means the stricter side.
func modeAt(now, then Mode, after Date, at time.Time) Mode {
	if then == "" {
		return now
	}
	if _, err := after.Instant(); err != nil {
		return Strictest(now, then)
	}
	if after.Passed(at) {
		return then
	}
	return now
}

// Names is a set of names, sorted. In CUE it is a struct of empty structs.
type Names []string

// Folder says what the files under a folder may speak of.
type Folder struct {
	Path       string `json:"path"` // slash-separated; unique
	Namespaces Names  `json:"namespaces,omitempty"`
	Images     Names  `json:"images,omitempty"` // patterns of the images that exceptions there may speak of
	Owner      string `json:"owner,omitempty"`
	Host       bool   `json:"host,omitempty"`
	Pos        []Pos  `json:"pos,omitempty"`
}

// Bound is what no workload may go beyond.
type Bound struct {
	Name    string  `json:"name"`
	Owner   string  `json:"owner,omitempty"`
	Why     string  `json:"why,omitempty"`
	Match   Match   `json:"match"` // the zero Match is every container of Kubernetes and every one that some workload selects
	Mode    Mode    `json:"mode"`  // what happens to what Never forbids
	Then    Mode    `json:"then,omitempty"`
	After   Date    `json:"after,omitempty"`
	Never   []Rule  `json:"never,omitempty"`  // forbidden, also where the plane is open; sorted as rules are
	Only    []Limit `json:"only,omitempty"`   // what rules must stay within, sorted by plane; it acts in the compiler alone
	Require Require `json:"require,omitzero"` // what each matching workload must state
	ID      RuleID  `json:"id"`               // of what it requires
	Pos     []Pos   `json:"pos,omitempty"`
}

// Limit is what rules of a plane must stay within. No rules: there must be none.
type Limit struct {
	Plane Plane  `json:"plane"`
	Rules []Rule `json:"rules,omitempty"`
	Pos   []Pos  `json:"pos,omitempty"`
}

// ModeAt returns the bound's mode at an instant.
func (b *Bound) ModeAt(at time.Time) Mode { return modeAt(b.Mode, b.Then, b.After, at) }

// Selects reports whether the bound holds for a subject; covered says whether some workload selects it.
func (b *Bound) Selects(s Subject, covered bool) bool {
	if b.Match.Zero() {
		return covered || s.Namespace != "" && !s.Host
	}
	return b.Match.Selects(s)
}

// Require lists what each workload that a bound matches must state. All but Workload acts in the compiler alone.
type Require struct {
	Workload   bool   `json:"workload,omitempty"` // no Pod without a workload
	Owner      bool   `json:"owner,omitempty"`
	Why        bool   `json:"why,omitempty"` // on every rule
	Exec       bool   `json:"exec,omitempty"`
	File       bool   `json:"file,omitempty"`
	Capability bool   `json:"capability,omitempty"`
	Egress     bool   `json:"egress,omitempty"`
	Ingress    bool   `json:"ingress,omitempty"`
	Image      bool   `json:"image,omitempty"` // image.from
	SignedBy   bool   `json:"signedBy,omitempty"`
	Gate       bool   `json:"gate,omitempty"`
	Profile    string `json:"profile,omitempty"` // this level of the Pod Security Standards, or a stricter one
}

// Gate says which scan reports do not pass.
type Gate struct {
	Name    string        `json:"name"`
	Owner   string        `json:"owner,omitempty"`
	Why     string        `json:"why,omitempty"`
	At      GateAt        `json:"at,omitzero"` // the zero GateAt is everywhere
	Deny    []Alternative `json:"deny,omitempty"`
	Grace   string        `json:"grace,omitempty"`   // a duration of Go; "" is none
	Fresh   string        `json:"fresh,omitempty"`   // a duration of Go; "" is any age
	Stale   string        `json:"stale,omitempty"`   // "deny", "warn" or "admit"; "" is "warn"
	Missing string        `json:"missing,omitempty"` // the same; "" is "deny"
	Pos     []Pos         `json:"pos,omitempty"`
}

// GateAt says where a gate stands.
type GateAt struct {
	Build     bool `json:"build,omitempty"`
	Registry  bool `json:"registry,omitempty"`
	Admission bool `json:"admission,omitempty"`
	Runtime   bool `json:"runtime,omitempty"`
}

// Alternative is one named way in which a gate denies: all of its fields that are set hold for one finding. Which may be set depends on Class.
type Alternative struct {
	ID        RuleID `json:"id"`
	Class     string `json:"class"` // "vulnerability", "secret", "licence", "misconfiguration" or "image"
	Name      string `json:"name"`
	Severity  string `json:"severity,omitempty"` // this or above
	Finding   string `json:"finding,omitempty"`  // pattern of the CVE, the rule, the licence or the check; "*" is any run of characters
	Package   string `json:"package,omitempty"`  // pattern of the package's name
	Fixable   *bool  `json:"fixable,omitempty"`
	OlderThan string `json:"olderThan,omitempty"` // a duration of Go
	Base      string `json:"base,omitempty"`      // an image pattern
	Root      *bool  `json:"root,omitempty"`
	Signed    *bool  `json:"signed,omitempty"`
	Why       string `json:"why,omitempty"`
	Pos       []Pos  `json:"pos,omitempty"`
}

// Exception suppresses findings on every plane until it expires.
type Exception struct {
	Name     string `json:"name"`
	Findings Names  `json:"findings"`
	Images   Names  `json:"images"` // image patterns
	Why      string `json:"why"`
	Owner    string `json:"owner"`
	Expires  Date   `json:"expires"`
	Patch    []Rule `json:"patch,omitempty"` // forbidden, in enforce, to what runs an image under Images while the exception stands
	Pos      []Pos  `json:"pos,omitempty"`
}

// Covers reports whether the exception speaks of an image. A reference that does not parse is covered: it may be any.
func (x *Exception) Covers(image string) bool {
	ref, err := ParseImage(image)
	if err != nil {
		return true
	}
	for _, s := range x.Images {
		if p, err := ParseImagePattern(s); err == nil && p.Matches(ref) {
			return true
		}
	}
	return false
}

// Signer is who may sign images: a public key, or a keyless identity.
type Signer struct {
	Name    string   `json:"name"`
	Key     string   `json:"key,omitempty"` // PEM, PKIX (RFC 5280)
	Keyless *Keyless `json:"keyless,omitempty"`
	Owner   string   `json:"owner,omitempty"`
	Why     string   `json:"why,omitempty"`
	Pos     []Pos    `json:"pos,omitempty"`
}

// Keyless is an identity that a certificate names.
type Keyless struct {
	Issuer   string `json:"issuer"`
	Identity string `json:"identity"` // "*" is any run of characters but "/"
}

// Registry is a registry to scan.
type Registry struct {
	Name         string                `json:"name"`
	Host         string                `json:"host"`
	Repositories map[string]Repository `json:"repositories,omitempty"` // by pattern; none: all
	Every        string                `json:"every,omitempty"`        // a duration of Go
	Gate         string                `json:"gate,omitempty"`
	Owner        string                `json:"owner,omitempty"`
	Why          string                `json:"why,omitempty"`
	Pos          []Pos                 `json:"pos,omitempty"`
}

// Repository says which tags of a repository are scanned.
type Repository struct {
	Tags   Names  `json:"tags,omitempty"`   // patterns; none: all
	Semver string `json:"semver,omitempty"` // a range of versions; "" is any
}

// Response says what is done when something happens.
type Response struct {
	Name  string  `json:"name"`
	On    Trigger `json:"on"`
	Do    Actions `json:"do"`
	Mode  Mode    `json:"mode"` // only in enforce is anything done beside notifying
	Then  Mode    `json:"then,omitempty"`
	After Date    `json:"after,omitempty"`
	Owner string  `json:"owner,omitempty"`
	Why   string  `json:"why,omitempty"`
	Pos   []Pos   `json:"pos,omitempty"`
}

// Trigger says when a response acts. Every field that is set must hold.
type Trigger struct {
	Workload string `json:"workload,omitempty"`
	Plane    Plane  `json:"plane,omitempty"`
	Verdict  Action `json:"verdict,omitempty"`
	Bound    string `json:"bound,omitempty"`
	Gate     string `json:"gate,omitempty"`
	Severity string `json:"severity,omitempty"`
	Count    int    `json:"count,omitempty"`  // 0 is 1
	Within   string `json:"within,omitempty"` // a duration of Go
}

// Actions is what a response does.
type Actions struct {
	Notify     Names  `json:"notify,omitempty"`     // channels
	Quarantine string `json:"quarantine,omitempty"` // a duration of Go
	Capture    string `json:"capture,omitempty"`    // a duration of Go
	Kill       bool   `json:"kill,omitempty"`
}

// Notify is a channel for messages.
type Notify struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	To       string `json:"to"`
	Secret   string `json:"secret,omitempty"` // the name of a secret, never the secret
	Severity string `json:"severity,omitempty"`
	Limit    int    `json:"limit,omitempty"` // messages an hour; 0 is no limit
	Owner    string `json:"owner,omitempty"`
	Why      string `json:"why,omitempty"`
	Pos      []Pos  `json:"pos,omitempty"`
}

// Benchmark is a benchmark that nodes or clusters are held against.
type Benchmark struct {
	Name    string          `json:"name"`
	Profile string          `json:"profile"`
	Level   int             `json:"level,omitempty"` // 0 is 1
	Every   string          `json:"every,omitempty"` // a duration of Go
	Skip    map[string]Skip `json:"skip,omitempty"`  // by number of the check
	Owner   string          `json:"owner,omitempty"`
	Why     string          `json:"why,omitempty"`
	Pos     []Pos           `json:"pos,omitempty"`
}

// Skip is why a check of a benchmark is left out.
type Skip struct {
	Why     string `json:"why"`
	Owner   string `json:"owner,omitempty"`
	Expires Date   `json:"expires,omitempty"`
}

// Check is a check of one's own on the objects of a cluster.
type Check struct {
	Name        string               `json:"name"`
	Of          CheckOf              `json:"of"`
	Must        map[string]Assertion `json:"must"` // by path of a field
	Severity    string               `json:"severity,omitempty"`
	Remediation string               `json:"remediation,omitempty"`
	Owner       string               `json:"owner,omitempty"`
	Why         string               `json:"why,omitempty"`
	Pos         []Pos                `json:"pos,omitempty"`
}

// CheckOf selects objects.
type CheckOf struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Namespace  string            `json:"namespace,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
}

// Assertion is a condition on one field. Every field that is set must hold.
type Assertion struct {
	Exists  *bool  `json:"exists,omitempty"`
	Equals  any    `json:"equals,omitempty"`  // a string, a bool or an int64
	Matches string `json:"matches,omitempty"` // RE2, on the whole value
	In      Names  `json:"in,omitempty"`
}

// Cluster is one target of the repository. Compiling for it has applied it to the workloads already.
type Cluster struct {
	Name      string                 `json:"name"`
	Folders   Names                  `json:"folders,omitempty"` // none: all
	Modes     []PlaneMode            `json:"modes,omitempty"`
	Workloads map[string][]PlaneMode `json:"workloads,omitempty"`
	Admission string                 `json:"admission,omitempty"` // replaces Admission.By; "" does not
	Owner     string                 `json:"owner,omitempty"`
	Why       string                 `json:"why,omitempty"`
	Pos       []Pos                  `json:"pos,omitempty"`
}

// PlaneMode is the mode of a plane, or of all planes if Plane is "".
type PlaneMode struct {
	Plane Plane `json:"plane,omitempty"`
	Mode  Mode  `json:"mode"`
	Then  Mode  `json:"then,omitempty"`
	After Date  `json:"after,omitempty"`
}

// Budget bounds what a policy may cost. A zero field bounds nothing.
type Budget struct {
	NodeEntries int   `json:"nodeEntries,omitempty"`
	NodeBytes   int64 `json:"nodeBytes,omitempty"`
	Objects     int   `json:"objects,omitempty"`
	ObjectBytes int64 `json:"objectBytes,omitempty"`
	Pos         []Pos `json:"pos,omitempty"`
}

// Test states what must be so.
type Test struct {
	Name  string `json:"name"`
	In    string `json:"in,omitempty"`   // a workload; the event's subject is one that it selects
	Event Event  `json:"event"`          // what happens
	Peer  string `json:"peer,omitempty"` // a workload; the other end of the event's flow is one that it selects
	Is    Action `json:"is"`
	By    string `json:"by,omitempty"`
	At    Date   `json:"at,omitempty"`
	Why   string `json:"why,omitempty"`
	Pos   []Pos  `json:"pos,omitempty"`
}
