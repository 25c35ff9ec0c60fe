// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package checkwire is what writ and writ-check say to each other: JSON values, one a line, over the pipes of one process. writ-check begins with
// a [Hello]. writ then sends [Request]s, the objects before the reviews, and ends its side when it has no more; writ-check answers each request
// with a [Reply], in any order, and ends when it has answered all. It uses the standard library only.
package checkwire

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Protocol is the version of what is said. Programs with different ones don't understand each other.
const Protocol = 1

// MaxLine is what a line may have, in bytes. A Kubernetes API server takes at most 3 MiB for an object
// (MaxRequestBodyBytes in k8s.io/apiserver/pkg/server/config.go); a template with its text is far smaller.
const MaxLine = 8 << 20

// Hello is the first line of writ-check.
type Hello struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"` // of writ-check; "" if it was not built by make
}

// Request is a line of writ. It has exactly one of its fields.
type Request struct {
	Object json.RawMessage `json:"object,omitempty"` // a ConstraintTemplate or a constraint, to put in force; templates come first
	Review *Review         `json:"review,omitempty"`
}

// Review asks what a cluster says when an object is created.
type Review struct {
	ID        int             `json:"id"` // comes back in the reply
	Namespace string          `json:"namespace"`
	Object    json.RawMessage `json:"object"`
}

// Reply answers one request. Of an object that is in force there is none.
type Reply struct {
	Refused    *Refused    `json:"refused,omitempty"` // an object that the engine does not take
	ID         int         `json:"id"`                // of the review
	Violations []Violation `json:"violations,omitempty"`
	Error      string      `json:"error,omitempty"` // why this review can't be judged
}

// Refused is an object of the policy that Gatekeeper's engine does not take. Nothing can be judged without it.
type Refused struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	Error string `json:"error"`
}

// Violation is what a constraint says of a reviewed object.
type Violation struct {
	Constraint string         `json:"constraint"` // kind/name
	Action     string         `json:"action"`     // deny, warn or dryrun
	Msg        string         `json:"msg"`
	Details    map[string]any `json:"details,omitempty"`
}

// Reader reads lines. It is not safe for concurrent use.
type Reader struct{ scanner *bufio.Scanner }

// NewReader returns a Reader of lines of at most [MaxLine] bytes.
func NewReader(r io.Reader) *Reader {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), MaxLine)
	return &Reader{s}
}

// Read decodes the next line into v. The error is [io.EOF] after the last line.
func (r *Reader) Read(v any) error {
	if !r.scanner.Scan() {
		err := r.scanner.Err()
		switch {
		case errors.Is(err, bufio.ErrTooLong):
			return fmt.Errorf("a line has more than %d bytes", MaxLine)
		case err != nil:
			return err
		}
		return io.EOF
	}
	return json.Unmarshal(r.scanner.Bytes(), v)
}
