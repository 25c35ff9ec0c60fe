// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"context"
	"errors"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// Config configures a [Compiler]. The zero Config is useful.
type Config struct {
	Parallel int // folders evaluated at the same time; 0: as many as there are processors, at most 8
}

// Compiler compiles policy repositories. It keeps the evaluated folders of the last tree in memory, by content, so that the next Compile
// evaluates only what changed. It is not safe for concurrent use.
type Compiler struct {
	cfg Config
}

// New returns a Compiler that has nothing in memory yet.
func New(cfg Config) *Compiler { return &Compiler{cfg: cfg} }

// Result is a compiled policy. Nobody changes it.
type Result struct {
	Policy    *schema.Policy
	Bundle    *bundle.Bundle
	Warnings  []Diagnostic // sorted
	Evaluated int          // folders evaluated anew; the others were in memory
}

// Compile compiles a tree. The error is [Errors] when the policy is at fault, and the context's when that is done first.
// The same tree gives the same bytes whatever was compiled before, env apart, which stands outside the digest.
func (c *Compiler) Compile(ctx context.Context, t Tree, env bundle.Envelope) (*Result, error) {
	return nil, errors.New("compile: not written yet")
}
