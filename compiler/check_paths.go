// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// maxParents is how many parents a kernel walks for one rule (MaxRuleParents of enforcer/bpf).
const maxParents = 256

// globCount counts the patterns that a kernel must walk one by one.
type globCount map[string]bool

// path checks a path pattern. what is how messages call it.
func (r *report) path(where []string, what, pattern string, globs globCount) bool {
	if err := schema.CheckPattern(pattern); err != nil {
		r.fail(where, "%s %.200q %v", what, pattern, err)
		return false
	}
	if schema.PatternKind(pattern) == schema.KindGlob {
		globs[pattern] = true
	}
	return true
}

// tooMany checks the number of patterns that are neither exact nor dir/**.
func (r *report) tooMany(where []string, globs globCount, also string) {
	if len(globs) > schema.MaxGlobs {
		r.fail(where, "%s has %d patterns that are neither exact paths nor \"dir/**\"; want at most %d%s: name the programs, or their folder",
			dotted(where), len(globs), schema.MaxGlobs, also)
	}
}

func (c *workloadCheck) exec() {
	globs := globCount{}
	enforced := c.enforced(schema.PlaneExec)
	for _, rule := range c.rules[schema.PlaneExec] {
		where := []string{"exec", rule.Object}
		if c.path(where, "exec path", rule.Object, globs) {
			c.doubt(where, "exec path", rule.Object, true)
			if enforced && len(rule.Parents) == 0 && everyPath(rule.Object) {
				c.warn(codeEverything, where, "exec %q allows every program, in mode \"enforce\"; want the programs, or their folder", rule.Object)
			}
		}
		if len(rule.Parents) > maxParents {
			c.fail(way(where, "parent"), "exec %q has %d parents; want at most %d: name their folder", rule.Object, len(rule.Parents), maxParents)
		}
		for _, parent := range rule.Parents {
			what := fmt.Sprintf("exec %q: parent", rule.Object)
			if c.path(way(where, "parent", parent), what, parent, globs) {
				c.doubt(way(where, "parent", parent), what, parent, true)
			}
		}
		c.ruleReason(where, rule.Object, rule.Why)
	}
	c.tooMany([]string{"exec"}, globs, ", parents included")
	c.shadowedExec()
}

func (c *workloadCheck) files() {
	globs := globCount{}
	enforced := c.enforced(schema.PlaneFile)
	for _, rule := range c.rules[schema.PlaneFile] {
		where := []string{"file", string(rule.Verb), rule.Object}
		what := "file." + string(rule.Verb) + " path"
		if c.path(where, what, rule.Object, globs) {
			c.doubt(where, what, rule.Object, false)
			if enforced && everyPath(rule.Object) {
				c.warn(codeEverything, where, "file.%s %q allows every file, in mode \"enforce\"; want the files, or their folder", rule.Verb, rule.Object)
			}
		}
		c.ruleReason(where, rule.Object, rule.Why)
	}
	c.tooMany([]string{"file"}, globs, "")
	c.shadowedFiles()
}

// everyPath reports whether a pattern matches every path.
func everyPath(pattern string) bool {
	return strings.Trim(pattern, "/*") == "" && covers(pattern, "/**")
}

// doubt warns of a valid pattern that most likely does not mean what its author wants.
func (r *report) doubt(where []string, what, pattern string, program bool) {
	if why, want := neverMatches(pattern, program); why != "" {
		r.warn(codeNoMatch, where, "%s %q matches nothing that occurs: %s; want %s", what, pattern, why, want)
		return
	}
	for segment := range strings.SplitSeq(pattern[1:], "/") {
		if special := foreignSyntax(segment, program); special != "" {
			r.warn(codeLiteral, where, "%s %q has %s, which is literal here; want \"*\" for any characters of a name, or each path", what, pattern, special)
			return
		}
	}
}

// links are paths that are always symbolic links, as proc(5) and null(4) have them; a kernel resolves them before anything is judged.
var links = []struct{ path, why, want string }{
	{"/proc/self", "the kernel resolves it to /proc/<pid>", `"/proc/*/…"`},
	{"/proc/thread-self", "the kernel resolves it to /proc/<pid>/task/<tid>", `"/proc/*/task/*/…"`},
	{"/proc/mounts", "the kernel resolves it to /proc/<pid>/mounts", `"/proc/*/mounts"`},
	{"/proc/net", "the kernel resolves it to /proc/<pid>/net", `"/proc/*/net/…"`},
	{"/dev/fd", "the kernel resolves it to /proc/<pid>/fd, and further to the file that is open", "the path of that file"},
	{"/dev/stdin", "the kernel resolves it to the file that is open", "the path of that file"},
	{"/dev/stdout", "the kernel resolves it to the file that is open", "the path of that file"},
	{"/dev/stderr", "the kernel resolves it to the file that is open", "the path of that file"},
}

// neverMatches says why a pattern matches nothing, and what to write, or "".
func neverMatches(pattern string, program bool) (why, want string) {
	for _, l := range links {
		if pattern == l.path || strings.HasPrefix(pattern, l.path+"/") {
			return l.why, l.want
		}
	}
	if program {
		switch {
		case pattern == "/*":
			return "programs lie in folders, and \"*\" stands for no \"/\"", `"/**" for all, or their folder`
		case strings.HasPrefix(pattern, "/dev/") && !strings.HasPrefix(pattern, "/dev/shm/"):
			return "devices are not programs", "the path of a program"
		case strings.HasPrefix(pattern, "/proc/"), strings.HasPrefix(pattern, "/sys/"):
			return "no program lies there; of /proc/<pid>/exe the kernel resolves the program itself", "the path of that program"
		}
	}
	for segment := range strings.SplitSeq(pattern[1:], "/") {
		if segment != strings.TrimSpace(segment) {
			return fmt.Sprintf("the name %q begins or ends with a space", segment), fmt.Sprintf("%q", strings.TrimSpace(segment))
		}
	}
	return "", ""
}

// foreignSyntax finds in a segment what other pattern languages read as more than itself, or "". "[" alone is a program.
func foreignSyntax(segment string, program bool) string {
	open, brace := strings.IndexByte(segment, '['), strings.IndexByte(segment, '{')
	switch {
	case strings.Contains(segment, "?"):
		return `"?"`
	case open >= 0 && strings.IndexByte(segment[open:], ']') > 1:
		return `"[…]"`
	case brace >= 0 && strings.Contains(segment[brace:], "}"):
		return `"{…}"`
	case strings.HasPrefix(segment, "$"), strings.HasPrefix(segment, "~"):
		return fmt.Sprintf("%q", segment[:1])
	case program && segment == ".*":
		return `"." before "*"`
	}
	return ""
}

// capabilityNames are the capabilities of Linux (include/uapi/linux/capability.h of 6.12).
var capabilityNames = strings.Fields(`
CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_LINUX_IMMUTABLE
CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT
CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE
CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ
CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE`)

func (c *workloadCheck) capabilities() {
	for _, rule := range c.rules[schema.PlaneCapability] {
		where := []string{"capability", rule.Object}
		c.capability(where, "capability", rule.Object)
		c.ruleReason(where, rule.Object, rule.Why)
	}
}

// capability checks the name of a capability.
func (r *report) capability(where []string, what, name string) {
	err := schema.CheckCapability(name)
	if err == nil {
		return
	}
	near := ""
	if !strings.Contains(err.Error(), "did you mean") {
		near = r.nearCapability(name)
	}
	r.fail(where, "%s %.100q %v%s", what, name, err, near)
}

// nearCapability says which capability a name may stand for, for the end of a message: most lack "CAP_" or are in lower case.
func (r *report) nearCapability(name string) string {
	better := strings.ToUpper(name)
	if !strings.HasPrefix(better, "CAP_") {
		better = "CAP_" + better
	}
	if !slices.Contains(capabilityNames, better) {
		if r.guessed++; r.guessed > maxGuesses {
			return ""
		}
		if better = nearest(better, capabilityNames); better == "" {
			return ""
		}
	}
	return fmt.Sprintf("; did you mean %q?", better)
}
