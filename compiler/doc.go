// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package compiler turns a policy repository into a [schema.Policy] and a bundle. It is a straight line of passes:
//
//	load   the rules about files; folders                          load.go, nesting.go, parse.go, index.go
//	lower  CUE evaluates each folder; statements; one policy        eval.go, prune.go, lower.go, merge.go, policy.go
//	check  what CUE cannot say: paths, overlaps, lock-outs          check.go, overlap.go
//	emit   rule tables, the part of the node, admission objects     emit.go, admission.go, admission.rego; write.go puts them on disk
//
// It imports schema, CUE and kyaml; it has no clock, no network and no Kubernetes client. Learning and the reconciler import it.
//
// # Decisions
//
// Nothing outside the tree is read. Instances are built from the given files with CUE's build package rather than its loader, so there is
// no module resolution, no registry and no cache of the user's, and the same tree in another folder gives the same bytes. A policy may
// import CUE's standard library (not its tool/ packages) and the schema, which is embedded in the binary. Everything else is an error,
// packages of the repository itself included: it has one package, "policy". Files that read or hide something else (@embed, @extern, @if,
// @ignore, @tag, names ending in _test.cue or _tool.cue) are errors, because CUE's own tools and writ would see different policies.
//
// In cue.mod, module.cue is for CUE's own tools and not read. The vendored schema is compared with the embedded one byte by byte.
//
// One instance for each folder: its files and those of the folders above it, as CUE does it. An instance is evaluated anew when the content
// of a file it sees has changed; all others are in memory. A workload counts in each folder whose own files speak of it. What the folders
// above say of other workloads is blanked out before evaluation where nothing can refer to it (prune.go), or each workload at the root
// would be evaluated in every folder.
//
// The folder highest up that speaks of a workload states it; all others lie below it and only add rules: match, mode, owner and shared are
// the same in all of them, or it is an error at the line below. Two folders side by side cannot state one workload.
//
// CUE decides what is valid, we say why. When an instance fails it is evaluated again with a schema that accepts everything, and the
// values are held against the shape of the schema (explain.go). So errors come all at once, at the author's line, and name what was expected.
// What that walk does not find is reported in CUE's words. Warnings have codes, see check.go; they never change their meaning.
//
// Positions come from an index of the syntax as long as a folder's files hold nothing but literal fields, else from the conjuncts of
// the values, which takes as long as the evaluation itself.
//
// The image plane is mentioned by image.from. "image: {}" names no condition and is a warning.
//
// Overlap. A workload that only a cgroup selects meets one of Kubernetes only if its pattern can match below /kubepods, where kubelets put
// Pods by default.
//
// The node part has neither positions nor reasons, so moving a line rewrites rule tables alone.
//
// Admission. One ConstraintTemplate holds all logic and no data. Constraints hold JSON strings by namespace, in shards by a stable hash, one
// set for each enforcement action: enforce is deny, audit is warn (the person who creates the Pod is told, and Gatekeeper's audit records
// it), learn is dryrun (recorded only). Each workload is a condition of its own, so shards never need each other. Workloads without a namespace
// stand in shards that see every Pod. Objects carry rule IDs and a digest of their own content, never a commit.
//
// Gatekeeper's own engine answers as schema.Judge does: the nested module gatekeepertest holds that, apart because it needs another version of
// Kubernetes. Deleting is never denied, and of a Pod that is being deleted the images it already has are not judged again.
//
// Not done here: the evaluation is not fenced by a process of its own. A policy that makes CUE compute forever outlives the context's
// deadline in the background; [Compiler.Compile] returns at the deadline all the same.
package compiler
