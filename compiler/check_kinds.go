// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/writ-sec/writ/schema"
)

// kindsCheck looks at all kinds but workloads.
type kindsCheck struct {
	p              *schema.Policy
	of             func(kind, name string) stated
	sc             *scope
	used           uses
	errs, warnings []Diagnostic
}

// checkKinds says what is wrong or doubtful about everything but workloads. of returns an entry as it is stated.
func checkKinds(p *schema.Policy, of func(kind, name string) stated, sc *scope) (errs, warnings []Diagnostic) {
	k := &kindsCheck{p: p, of: of, sc: sc, used: usesOf(p, sc)}
	each(k, "folder", p.Folders, func(v *schema.Folder) string { return v.Path }, (*report).folder)
	each(k, "bound", p.Bounds, func(v *schema.Bound) string { return v.Name }, (*report).bound)
	each(k, "gate", p.Gates, func(v *schema.Gate) string { return v.Name }, (*report).gate)
	each(k, "exception", p.Exceptions, func(v *schema.Exception) string { return v.Name }, (*report).exception)
	each(k, "signer", p.Signers, func(v *schema.Signer) string { return v.Name }, (*report).signer)
	each(k, "registry", p.Registries, func(v *schema.Registry) string { return v.Name }, (*report).registry)
	each(k, "response", p.Responses, func(v *schema.Response) string { return v.Name }, (*report).response)
	each(k, "notify", p.Notify, func(v *schema.Notify) string { return v.Name }, (*report).notify)
	each(k, "benchmark", p.Benchmarks, func(v *schema.Benchmark) string { return v.Name }, (*report).benchmark)
	each(k, "check", p.Checks, func(v *schema.Check) string { return v.Name }, (*report).check)
	each(k, "cluster", p.Clusters, func(v *schema.Cluster) string { return v.Name }, (*report).cluster)
	keys := &ruleKeys{p: p}
	each(k, "test", p.Tests, func(v *schema.Test) string { return v.Name }, func(r *report, v *schema.Test) { r.test(v, keys) })
	k.admission()
	k.budget()
	k.unused()
	return k.errs, k.warnings
}

// each checks every entry of a kind.
func each[T any](k *kindsCheck, kind string, all []T, name func(*T) string, check func(*report, *T)) {
	for i := range all {
		r := &report{s: k.of(kind, name(&all[i])), sc: k.sc}
		if kind != "folder" && kind != "test" {
			r.name()
		}
		check(r, &all[i])
		k.errs, k.warnings = append(k.errs, r.errs...), append(k.warnings, r.warnings...)
	}
}

func (k *kindsCheck) budget() {
	r := &report{s: k.of("budget", ""), sc: k.sc}
	b := k.p.Budget
	for _, f := range []struct {
		name  string
		value int64
	}{{"nodeEntries", int64(b.NodeEntries)}, {"nodeBytes", b.NodeBytes}, {"objects", int64(b.Objects)}, {"objectBytes", b.ObjectBytes}} {
		if f.value < 0 {
			r.fail([]string{f.name}, "%s is %d; want 0 or more", f.name, f.value)
		}
	}
	if !r.s.root() {
		r.fail(nil, "stands in folder %q; want it at the root: it holds for the whole policy", r.s.folder)
	}
	k.errs = append(k.errs, r.errs...)
}

// root reports whether the entry stands at the root, as far as it is known.
func (s stated) root() bool { return s.folder == "" || s.folder == "." }

// uses are the names that something refers to.
type uses struct{ gates, signers, notify nameSet }

// usesOf collects them from the policy, and from all workloads of the scope.
func usesOf(p *schema.Policy, sc *scope) uses {
	u := uses{gates: nameSet{}, signers: nameSet{}, notify: nameSet{}}
	for _, h := range sc.workloads {
		for _, key := range h.uses {
			switch kind, name, _ := strings.Cut(key, "\x00"); kind {
			case "gate":
				u.gates[name] = true
			case "signer":
				u.signers[name] = true
			}
		}
	}
	for i := range p.Registries {
		u.gates[p.Registries[i].Gate] = true
	}
	for i := range p.Responses {
		u.gates[p.Responses[i].On.Gate] = true
		for _, n := range p.Responses[i].Do.Notify {
			u.notify[n] = true
		}
	}
	for i := range p.Gates {
		for j := range p.Gates[i].Deny {
			if p.Gates[i].Deny[j].Signed != nil { // by any signer of the policy
				for n := range p.Signers {
					u.signers[p.Signers[n].Name] = true
				}
			}
		}
	}
	return u
}

// unused warns of what nothing refers to.
func (k *kindsCheck) unused() {
	warn := func(kind, name, want string) {
		r := &report{s: k.of(kind, name)}
		r.warn(codeUnused, nil, "is used by nothing; want %s, or no %s", want, kind)
		k.warnings = append(k.warnings, r.warnings...)
	}
	for i := range k.p.Gates {
		if g := &k.p.Gates[i]; !k.used.gates[g.Name] && !g.At.Build { // a build names its gate itself
			warn("gate", g.Name, "a workload's \"image.gate\", a registry's \"gate\", or at: build: true for a gate that builds name")
		}
	}
	for i := range k.p.Signers {
		if n := k.p.Signers[i].Name; !k.used.signers[n] {
			warn("signer", n, "it in a workload's \"image.signedBy\"")
		}
	}
	for i := range k.p.Notify {
		if n := k.p.Notify[i].Name; !k.used.notify[n] {
			warn("notify", n, "it in a response's \"do.notify\"")
		}
	}
}

// duration checks a duration and returns it. Without one it is not ok.
func (r *report) duration(where []string, text string, zero bool) (time.Duration, bool) {
	if text == "" && !r.s.has(where...) {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		r.fail(where, "%s %.100q is not a duration; want such as \"90s\", \"15m\" or \"168h\"%s", dotted(where), text, daysAsHours(text))
	case d < 0 || d == 0 && !zero:
		r.fail(where, "%s %q is not a time to come; want more than 0", dotted(where), text)
	default:
		return d, true
	}
	return 0, false
}

// daysAsHours helps those who write days or weeks, which Go's durations do not have.
func daysAsHours(text string) string {
	var n int
	var unit string
	if count, err := fmt.Sscanf(text, "%d%s", &n, &unit); err != nil || count != 2 || n <= 0 || n > 10_000 {
		return ""
	}
	hours := map[string]int{"d": 24, "day": 24, "days": 24, "w": 7 * 24, "week": 7 * 24, "weeks": 7 * 24}[unit]
	if hours == 0 {
		return ""
	}
	return fmt.Sprintf("; did you mean \"%dh\"?", n*hours)
}

// date checks a date.
func (r *report) date(where []string, d schema.Date) {
	if d == "" && !r.s.has(where...) {
		return
	}
	if _, err := d.Instant(); err != nil {
		r.fail(where, "%s: %v", dotted(where), err)
	}
}

// maxText bounds a pattern of an ID, a package, a licence or an identity in bytes.
const maxText = 1024

// textPattern checks a pattern in which "*" is any run of characters. A set but empty one matches nothing.
func (r *report) textPattern(where []string, pattern, such string) {
	if pattern == "" && !r.s.has(where...) {
		return
	}
	if err := plainText(pattern); err != nil {
		r.fail(where, "%s %.300q %v; want a pattern such as %q", dotted(where), pattern, err, such)
	}
}

func plainText(s string) error {
	switch {
	case s == "":
		return errors.New("is empty")
	case len(s) > maxText:
		return fmt.Errorf("has %d bytes, more than %d", len(s), maxText)
	case s != strings.TrimSpace(s):
		return errors.New("begins or ends with a space")
	case strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }):
		return errors.New("has a character that cannot be printed")
	}
	return nil
}
