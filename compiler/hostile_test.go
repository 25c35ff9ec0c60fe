// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package compiler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/writ-sec/writ/compiler/treegen"
	"github.com/writ-sec/writ/schema/bundle"
	"github.com/writ-sec/writ/schema/testneed"
)

func init() { children["hostile"] = compileHostile }

// hostileReport is what a compile of a hostile repository came to, with what its own process and those it started took.
type hostileReport struct {
	Err        string
	Policy     bool // the policy is at fault
	Wall       time.Duration
	Self       time.Duration // processor time
	Evaluators time.Duration // processor time of all of them
	SelfPeak   int64         // bytes of memory, and at least those of the test that started it
	Peak       int64         // bytes of the largest evaluator, and at least those of the compiler when it started it
}

// compileHostile compiles the repository in the folder that is its argument.
func compileHostile() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	start := time.Now()
	tree, err := ReadDir(os.Args[1], "")
	if err == nil {
		_, err = New(Config{Parallel: 1}).Compile(ctx, tree, bundle.Envelope{})
	}
	r := hostileReport{Wall: time.Since(start)}
	r.Self, r.SelfPeak = usage(syscall.RUSAGE_SELF)
	r.Evaluators, r.Peak = usage(syscall.RUSAGE_CHILDREN)
	var wrong Errors
	r.Policy = errors.As(err, &wrong)
	if err != nil {
		r.Err = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
	os.Exit(0)
}

func usage(who int) (processor time.Duration, peak int64) {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), u.Maxrss << 10
}

// What a hostile repository of a few files may take. An evaluator looks at its limits 50 times a second; what it takes in between, and what Go's
// runtime and the program itself take, is in slack.
const (
	cpuSlack    = time.Second
	memorySlack = 64 << 20
	maxOwnCPU   = 5 * time.Second // of the compiler itself
	maxOwnPeak  = 512 << 20
)

// slowHostile are those that run into the limit of processor time, or take long on the way to that of memory. The others are a matter of seconds.
var slowHostile = map[string]bool{
	"comprehension": true, "disjunction": true, "laughs-lists": true, "laughs-structs": true, "patterns": true, "chain": true, "list-range": true, "sort": true,
	"regexp": true, "regexp-counted": true, "number-digits": true,
}

func holdHostile(t *testing.T, h treegen.Hostile) {
	dir := filepath.Join(t.TempDir(), "policy")
	if err := h.Write(dir); err != nil {
		t.Fatal(err)
	}
	cmd := childCommand(t, "hostile", dir)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("the compiler died: %v\n%.2000s", err, stderr.String())
	}
	var r hostileReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	t.Logf("%-20s wall %6.2fs, compiler %5.2fs %4d MiB, evaluators %5.2fs %4d MiB: %.200s",
		h.Name, r.Wall.Seconds(), r.Self.Seconds(), r.SelfPeak>>20, r.Evaluators.Seconds(), r.Peak>>20, r.Err)
	if !r.Policy || r.Err == "" {
		t.Errorf("Compile = %q; want errors of the policy", r.Err)
	}
	if r.Evaluators > evaluationCPU+cpuSlack || r.Peak > evaluationMemory+memorySlack {
		t.Errorf("evaluators took %v and %d MiB; want at most %v and %d MiB", r.Evaluators, r.Peak>>20, evaluationCPU, evaluationMemory>>20)
	}
	if r.Self > maxOwnCPU || r.SelfPeak > maxOwnPeak {
		t.Errorf("the compiler itself took %v and %d MiB; want at most %v and %d MiB", r.Self, r.SelfPeak>>20, maxOwnCPU, maxOwnPeak>>20)
	}
}

// TestHostile compiles the hostile repositories that take seconds.
func TestHostile(t *testing.T) {
	for _, h := range treegen.HostileTrees() {
		if !slowHostile[h.Name] {
			t.Run(h.Name, func(t *testing.T) { holdHostile(t, h) })
		}
	}
}

// TestSoakHostile compiles the others.
func TestSoakHostile(t *testing.T) {
	testneed.Soak(t)
	for _, h := range treegen.HostileTrees() {
		if slowHostile[h.Name] {
			t.Run(h.Name, func(t *testing.T) { holdHostile(t, h) })
		}
	}
}
