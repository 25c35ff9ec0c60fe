// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package compiler turns a policy repository into a [schema.Policy] and a bundle. It is a straight line of passes:
//
//	load      the rules about files; folders                           tree.go, load.go, nesting.go, parse.go, index.go
//	units     what each folder says, as a tree of nodes                units.go, unit.go, literal.go, eval.go, fence.go, node.go
//	          held against the shape of the schema                     shape.go, explain.go
//	gather    the folders put together; what is no workload lowered    gather.go, merge.go, lower_kinds.go, scope.go
//	products  workload by workload: lower, check, emit                 products.go, lower.go, check_workload.go and others, emit.go, cost.go
//	link      checks over all, objects of Kubernetes, the bundle       link.go, network.go, check_kinds.go and others; package admission
//
// write.go puts a bundle on disk. What reads a policy afterwards stands beside the passes: difference.go and others compare two policies,
// policytest.go runs the tests of one, consider.go explains a verdict, claims.go says where it is enforced, format.go formats files. Package
// kubeyaml reads manifests, draft makes first drafts from them, package treegen makes policy trees for tests and benchmarks.
//
// It imports schema, policies, CUE, kyaml, and cbor for what passes through the fence and into the cache: its reader bounds depth and lengths as we
// say. It has no clock, no network and no Kubernetes client. Learning and the reconciler import it. From policies it takes the library, which
// is embedded as the schema is.
//
// # Decisions
//
// Nothing outside the tree is read. Instances are built from the given files with CUE's build package rather than its loader, so there is
// no module resolution, no registry and no cache of the user's, and the same tree in another folder gives the same bytes. A policy may
// import CUE's standard library (not its tool/ packages), the schema and the library. Everything else is an error, packages of the repository
// itself included: it has one package, "policy". Files that read or hide something else (@embed, @extern, @if, @ignore, @tag, names ending in
// _test.cue or _tool.cue) are errors, because CUE's own tools and writ would see different policies.
//
// In cue.mod, module.cue is for CUE's own tools and not read. The vendored schema and library are compared with the embedded ones byte by byte.
//
// Folders. One instance for each folder: its files and those of the folders above it, as CUE does it. An entry counts in each folder whose own
// files speak of it. What the folders above say of other entries is blanked out before evaluation where nothing can refer to it, or each
// workload at the root would be evaluated in every folder.
//
// Literals. Most of a policy is written out: structs, scalars, and sets that are referred to by name. That is read in Go (literal.go), in time in
// proportion to the text. It is no second meaning: whatever is more than that, or contradicts itself, is declined, and CUE decides. A test holds
// what is read against what CUE says of the same files.
//
// The fence. CUE evaluates what is declined in a child process that has neither network nor files nor the parent's environment, and that is ended
// beyond its processor time and memory; then the folder is an error of the policy, and so is nothing below it. The child is the same program:
// init looks at one variable of the environment and serves evaluations instead of starting. So there is no other program to find, to check
// and to trust, and every program that imports this package, a test too, can compile. The answer is a tree of nodes with all positions.
//
// Shape is decided in Go. CUE's definitions are read as syntax (shape.go) and held against the nodes (explain.go), so errors come all at once, at the
// author's line, and name what was expected, where CUE would name a line of the schema or every branch of a disjunction. For that, evaluation sees
// a schema that accepts everything. That both decide the same is held by a test. It also types kinds for which the root file states no pattern, and
// finds misspelt ones. What CUE itself cannot unify is reported in its words.
//
// Merging. The folder highest up that speaks of a workload states it; all others lie below it and only add rules, if it is open, on planes that it
// closes. Everything else of it is the same in all of them, or it is an error at the line below: match, mode, owner, shared and open; image
// and pod, which are conditions, so that one more pattern is one more image that may run; a plane that it leaves open, which a first rule
// would close; and each rule of a folder above, whole: one more parent, request or name is a rule with a key of its own. Patterns,
// comprehensions and overridden defaults are ways to state something. A hidden field that a folder states anew counts for what that folder
// speaks of, and never for a workload that it does not. Folders side by side that add to the same key merge as CUE does it. Two of them cannot
// state one workload, and nothing of any other kind is stated twice.
//
// Delegation (check_delegation.go). A repository without folder entries belongs to one team. Else the entry with the longest path counts, and lies
// within the one around it. Below the root, workloads and bounds select in the namespaces of the folder alone, exceptions are for images that the
// root gives the folder, since they suppress findings wherever these run, responses act on its workloads, checks look into its namespaces; benchmarks,
// clusters and folders stand at the root, because they hold for everybody.
//
// What is kept. The head of a folder, its nodes, and the products of its workloads are kept by the digest of everything that they were computed from,
// the compiler's version included, in memory or in a folder that processes may share (store.go). What is damaged is not there. A change in one
// file evaluates its folder and those below it, and nothing else; positions are part of what is kept, and no part of the bundle's programs.
//
// The files themselves are read only where their state differs from the one they had when they were read before (statindex.go, as git's index
// does it), and the heads of a whole run lie together, because a thousand files take longer to open than to read. Vet of one folder (vet.go)
// knows of all others only the names, namespaces and selectors of their workloads, and reads those that meet it. A test holds that it says of
// the folder what Compile says.
//
// A bundle on disk holds content by digest (write.go), so a change writes what changed; of a result, content is made when somebody asks for it.
//
// Warnings have codes that never change their meaning (check_codes.go). What an author silences is matched by line. A silence without a warning is
// a warning, but not where the warning depends on a date or belongs to another cluster. A rule that a set of the library brings is not reported as
// shadowed: its author cannot take it out.
//
// Bounds are compared with every workload that can select a container which the bound selects, since labels are not known before. A yes of the
// comparison is certain, so an error is never wrong; patterns that take too much work to compare are an error that says so. What two workloads or two
// patterns have in common is shown by an example.
//
// Clusters. The workloads of the folders that a cluster lists are in force, with its modes. Of all other kinds what stands in these folders counts,
// and what stands above them: what an organisation bounds holds for its teams everywhere. What does not count is read and can be referred to;
// its meaning is not checked. A cluster that the policy does not state is not the policy's fault alone, so the error is one of its own.
//
// Dates. Both sides of a date are in the bundle, where what reads it has a clock. Admission objects have none: they hold one side, and the result
// says from when on they would be others. [Config] has the instants: Now for warnings, At for admission objects.
//
// Positions come from the labels of fields. A rule of the library has the line that embeds its set.
//
// The image plane is mentioned by each of its conditions. "image: {}" names none and is a warning.
//
// Overlap. A workload that only a cgroup selects meets one of Kubernetes only if its pattern can match below /kubepods, where kubelets put
// Pods by default.
//
// The bundle. On disk content stands under its digest and is never changed, and the manifest is exchanged in one step, so a reader sees one bundle or
// the other. The node part has neither positions nor reasons, so moving a line rewrites rule tables alone. Files are made when they are read.
//
// Admission. Package admission makes the objects and says how they are laid out. What follows from one workload is made with its other products and
// kept; linking puts it together with the bounds. Objects carry rule IDs, lines and a digest of their own content, never a commit: moving a line
// rewrites them, because a denial names it.
//
// Policies of the network. Each workload's is made with its product, in every form that it may have; which one it has, or none, is decided here
// over all workloads (network.go), by the same comparison of selectors that reports overlap. It is a secondary enforcer, so what package
// admission says of it holds: it never denies what schema.Judge allows. On disk the objects stand by name beside the admission objects, and a
// digest of them all tells that nothing changed.
//
// Gatekeeper's own engine answers as schema.Judge does: the nested module gatekeepertest holds that, apart because it needs another version of
// Kubernetes. Deleting is never denied, and of what is being deleted the images and values that it already has are not judged again.
//
// Cost. Of exec the layout on a node is predicted exactly, and a test compares it with the enforcer's; a plane without an enforcer counts one entry
// for each rule, and the result says so.
//
// Difference. Two policies are compared by what they cover, rule by rule and around each workload that changed. Where cover cannot be decided the
// change counts as widened: of two mistakes it is the one that a reviewer sees. A property test compares the answer with [schema.Judge].
package compiler
