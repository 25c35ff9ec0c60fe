// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/compiler/treegen"
	"github.com/writ-sec/writ/schema/testneed"
)

// slowHostile are those that run into a limit of the evaluator. A few stand for them where there is little time.
var slowHostile = map[string]bool{
	"comprehension": true, "comprehension-rules": true, "disjunction": true, "laughs-lists": true, "laughs-structs": true, "patterns": true, "chain": true,
	"list-range": true, "sort": true, "regexp": true, "regexp-counted": true, "number-digits": true, "template": true, "errors": true,
}

// holdHostile pushes a hostile commit after a good one, which stays in force, and a good one after it.
func holdHostile(t *testing.T, h treegen.Hostile) {
	o := newOrigin(t)
	o.push(shop, "first")
	b := newBench(t, o.path, func(c *Config) { c.Timeout = 2 * time.Minute })
	good := b.once()
	bad := files{}
	for name, data := range h.Files {
		bad[name] = string(data)
	}
	for name, to := range h.Links {
		bad[name] = "-> " + to
	}
	commit := o.push(bad, "hostile")
	start := time.Now()
	got := b.fails(good.Digest, commit.String(), "is broken", good.Commit+" stays in force")
	t.Logf("%s: refused after %v: %.300s", h.Name, time.Since(start).Round(time.Millisecond), got.Err)
	var wrong compiler.Errors
	if !errors.As(got.Err, &wrong) || got.InForce != good.Commit || strings.Contains(got.Err.Error(), "root:x:") {
		t.Errorf("outcome is %.500v with %s in force; want errors of the policy, and %s", got.Err, got.InForce, good.Commit)
	}
	o.push(shop.with(files{"README.md": "healed"}), "healed")
	b.once()
}

// TestHostile takes hostile commits that are a matter of seconds.
func TestHostile(t *testing.T) {
	for _, h := range treegen.HostileTrees() {
		if !slowHostile[h.Name] {
			t.Run(h.Name, func(t *testing.T) { holdHostile(t, h) })
		}
	}
}

// TestSoakHostile takes the others.
func TestSoakHostile(t *testing.T) {
	testneed.Soak(t)
	for _, h := range treegen.HostileTrees() {
		if slowHostile[h.Name] {
			t.Run(h.Name, func(t *testing.T) { holdHostile(t, h) })
		}
	}
}
