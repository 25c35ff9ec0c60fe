// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Path is a path as the kernel holds it: bytes, not characters.
// Its JSON form is a string, or {"base64": "…"} for bytes that are not UTF-8.
type Path string

// MarshalJSON implements [json.Marshaler].
func (p Path) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(p)) {
		return json.Marshal(string(p))
	}
	return json.Marshal(map[string][]byte{"base64": []byte(p)})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *Path) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		var v struct {
			Base64 []byte `json:"base64"`
		}
		if err := json.Unmarshal(data, &v); err != nil {
			return fmt.Errorf("path: %w", err)
		}
		*p = Path(v.Base64)
		return nil
	}
	return json.Unmarshal(data, (*string)(p))
}

// Origin tells how the object of an exec was reached. Only [OriginPath] has a path that a rule can allow.
type Origin string

// The origins.
const (
	OriginPath    Origin = ""         // through the container's own mounts; Object is its path
	OriginMemfd   Origin = "memfd"    // a file that never had a name, as memfd_create(2) makes it
	OriginDeleted Origin = "deleted"  // the file's last seen name is removed; Object is that name
	OriginForeign Origin = "foreign"  // through a mount or root made inside the container
	OriginTooLong Origin = "too-long" // the path has more than 4,095 bytes
	OriginUnknown Origin = "unknown"  // the enforcer could not find out
)

// Event is one thing that a container did or wants to do. What [Judge] reads is Subject, Verb, Object, Origin and Parent.
type Event struct {
	Subject Subject `json:"subject"`
	Verb    Verb    `json:"verb"`
	Object  Path    `json:"object"` // the path of the program, or the image reference
	Origin  Origin  `json:"origin,omitempty"`
	Parent  Path    `json:"parent,omitempty"` // exec: path of the program that the caller ran; "" if not known
}

// Report is what an enforcer says of an event: the line that writ-node prints, and the evidence that learning folds.
// Reports with the same ID are the same behaviour.
type Report struct {
	ID string `json:"id"` // 16 hexadecimal digits, see [NewReportID]
	Event
	Verdict Verdict   `json:"verdict"`
	Count   uint64    `json:"count"`          // how often since the last report of the same ID; at least 1
	First   time.Time `json:"first"`          // of these Count times, UTC
	Last    time.Time `json:"last"`           // of these Count times, UTC
	PID     int       `json:"pid,omitempty"`  // of the first of these, in the host's PID namespace
	PPID    int       `json:"ppid,omitempty"` // the parent process of PID
	UID     uint32    `json:"uid"`            // real user ID of PID, in the host's user namespace
}

// NewReportID names a behaviour: the workloads it was judged under, what was done, by which program, and the verdict.
func NewReportID(e Event, v Verdict) string {
	fields := []string{"report", string(e.Verb), string(e.Object), string(e.Origin), string(e.Parent), string(v.Action)}
	return NewRuleID(append(fields, v.Workloads...)...).String()
}
