// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package wire is the protocol between the unprivileged side (writ) and the root process (writ-node), over a unix stream socket.
// It imports schema and the standard library only, so that writ links no kernel code.
//
// Both sides send messages, each one line of JSON of at most [MaxMessage] bytes. The client sends [Request]s and gets one [Response]
// for each, in order. Between responses the server sends reports of events and losses to clients that asked for them.
package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// MaxMessage bounds one line in bytes. A generation may be larger: its files can travel in several requests.
const MaxMessage = 64 << 20

// Request is one message from the client. Exactly one field is filled in.
type Request struct {
	Apply  *Apply `json:"apply,omitempty"`
	Put    *Put   `json:"put,omitempty"`
	Status *Empty `json:"status,omitempty"`
	Watch  *Empty `json:"watch,omitempty"`  // from the response on, this connection also gets Reports and Lost
	Unload *Empty `json:"unload,omitempty"` // take everything out of force, pins included
}

// Empty is a request without arguments.
type Empty struct{}

// Apply asks to put a generation in force. Manifest lists all files of the bundle; only those under node/ are needed. If the server lacks
// some, nothing changes and the response names them in Missing: send them with Put and apply again.
type Apply struct {
	Manifest bundle.Manifest `json:"manifest"`
}

// Put hands over the content of files, by path; the server checks them against the manifest of the next Apply.
type Put struct {
	Files map[string][]byte `json:"files"`
}

// Response answers one request. Error is "" on success.
type Response struct {
	Error   string   `json:"error,omitempty"`
	Missing []string `json:"missing,omitempty"` // paths that Apply needs
	Status  *Status  `json:"status,omitempty"`  // after Apply and Status
}

// Claim is how strongly something is in force here.
type Claim string

// The claims.
const (
	ClaimPrevent      Claim = "prevent"                      // it does not happen
	ClaimWhileRunning Claim = "prevent while the agent runs" // it does not happen as long as writ-node lives
	ClaimDetect       Claim = "detect"                       // it happens and is reported
	ClaimNone         Claim = "none"                         // it is not seen
)

// Feature is one line of what a backend can do here.
type Feature struct {
	Name  string `json:"name"` // e.g. "exec: program", "exec: script behind #!"
	Claim Claim  `json:"claim"`
	Why   string `json:"why,omitempty"` // the reason, where the claim is weaker than prevent
}

// Backend is what a probe found.
type Backend struct {
	Name     string    `json:"name"`   // "lsm", "tracing", or "none"
	Kernel   string    `json:"kernel"` // release, as uname -r prints it
	Features []Feature `json:"features"`
}

// WorkloadStatus tells where a workload is in force.
type WorkloadStatus struct {
	Name    string   `json:"name"`
	Cgroups []string `json:"cgroups,omitempty"` // below the root of the cgroup2 hierarchy, sorted
	Why     string   `json:"why,omitempty"`     // why it is in force nowhere, if so
}

// Status is what is in force.
type Status struct {
	Generation string            `json:"generation,omitempty"` // digest of the bundle; "" before the first Apply
	Commit     string            `json:"commit,omitempty"`
	Backend    Backend           `json:"backend"`
	Workloads  []WorkloadStatus  `json:"workloads,omitempty"` // sorted by name
	Lost       map[string]uint64 `json:"lost,omitempty"`      // events lost since the pins were made, by cause
	Warnings   []string          `json:"warnings,omitempty"`  // what is not enforceable here, one sentence each
}

// Lost tells that events were lost and can't be reported one by one.
type Lost struct {
	Cause string    `json:"cause"` // "ring-buffer", "fold-table", …
	Count uint64    `json:"count"` // since the last such message
	Time  time.Time `json:"time"`
}

// Message is one line from the server. Exactly one field is filled in.
type Message struct {
	Response *Response      `json:"response,omitempty"`
	Report   *schema.Report `json:"report,omitempty"`
	Lost     *Lost          `json:"lost,omitempty"`
}

// Encoder writes messages, one line each. It is safe for concurrent use.
type Encoder struct {
	mu sync.Mutex
	w  io.Writer
}

// NewEncoder returns an Encoder on w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Encode writes one message in one call of Write.
func (e *Encoder) Encode(v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	if buf.Len() > MaxMessage {
		return fmt.Errorf("message has %d bytes; at most %d are sent", buf.Len(), MaxMessage)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	_, err := e.w.Write(buf.Bytes())
	return err
}

// Decoder reads messages, one line each.
type Decoder struct{ s *bufio.Scanner }

// NewDecoder returns a Decoder on r.
func NewDecoder(r io.Reader) *Decoder {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), MaxMessage)
	return &Decoder{s}
}

// Decode reads the next message into v. It returns [io.EOF] at the end, and an error for a line that is too long, not JSON, or
// has unknown fields; the connection is then of no more use.
func (d *Decoder) Decode(v any) error {
	if !d.s.Scan() {
		if err := d.s.Err(); errors.Is(err, bufio.ErrTooLong) {
			return fmt.Errorf("message has more than %d bytes", MaxMessage)
		} else if err != nil {
			return err
		}
		return io.EOF
	}
	dec := json.NewDecoder(bytes.NewReader(d.s.Bytes()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("message: %w", err)
	}
	return nil
}
