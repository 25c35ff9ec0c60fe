// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package schema holds the words of writ: what a policy is, what happens in a container, and what the first says of the second.
// Every other room speaks in these words. It imports the standard library only.
//
// A policy is a list of workloads; a workload selects containers and holds rules; a rule is one permission: a subject may do a verb
// to an object. [Judge] is the meaning of it all, a pure function. An enforcer is a compiled form of the same rules, and is tested
// against Judge with generated cases; explain and learning call Judge itself. Nothing else decides.
//
// # Decisions
//
// Closed by mention. A workload that mentions exec, even as an empty struct, is closed for it; one that does not is open. Image is a
// condition: each workload that names images must be satisfied.
//
// A denial names a line. What no rule allows is denied by the closing of the plane, so the closing has an ID and positions of its
// own ([Closure]). When a rule names the object but for another caller, the denial names that rule, because it is the line to change.
//
// Several workloads on one container are one: closed if one closes, the strictest mode, the union of rules.
//
// Which rule decides. Rules only ever allow, so the order in which they are tried does not change what happens, but it changes which
// rule is named. The order is [CompareSpecific]: exact, then directories from the longest, then other patterns from the longest. It is
// the order in which hash lookups in the kernel come out anyway.
//
// Path patterns have one matcher, [MatchPath], whose comment is their specification. A pattern other than an exact path or dir/** has
// at most 512 bytes (the language allows 4,095 for the others) and a workload at most 64 of them, because a kernel walks them one by
// one and must finish: one costs at most 512*4,095 steps there.
//
// Paths are bytes ([Path]). A policy file is UTF-8, so a program whose name is not can be allowed only by a pattern.
//
// Subjects. An observer knows a subject only in part: a node knows the cgroup, admission the namespace and the labels. A match holds only
// when every field it names is known and equal.
//
// Shape is CUE's (schema.cue, embedded as [CUE]); a test walks the Go types and the CUE definitions and holds them together.
package schema
