// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package learn turns what workloads really do into proposals against the policy files: it folds reports into observations, says
// which rules the policy lacks for them, writes those into the CUE as a person would, and commits and pushes them to a branch.
// Nothing it does puts policy in force: a person merges, or does not. It imports schema, the compiler, CUE's parser, go-git, and of the
// reconciler only gitauth.
//
//	Store (fold) -> Propose (judge anew) -> Edit (CUE text, compiled again) -> Repository.Propose (commit, push)
//
// # Decisions
//
// Evidence. An observation is a report's key: workloads, verb, object, origin, parent, action. Folding adds counts and widens
// times, so the order of reports does not matter. A report that repeats the latest window of its observation is ignored; an
// older one that is sent twice counts twice. Allowed events are not kept. The ID of a report is computed anew, and one that does
// not fit its content is refused. So is a report of a connection or of a Pod's fields, with that reason: an observation does not hold them.
//
// Bounds. A store holds 100,000 observations, 20,000 for one set of workloads (so a container that runs programs with random
// names fills its own room only) and about 64 MiB. What finds no room is counted in Dropped. Nothing is thrown out to make room,
// because a flood would then wash real evidence away; [Store.Settle] forgets what the policy allows by now.
//
// The file is replaced as a whole, so readers need no lock. Writers hold a lock beside it. A damaged file is evidence of trouble
// and is kept aside, but learning goes on.
//
// What is proposed. Programs (exec) alone; what was seen of files, capabilities and images is kept and is a finding. Each observation is
// judged again as [schema.Judge] does under the policy at the head of the base branch, the current one, at the instant that is given, which
// decides dated modes. What was denied, or would be now, is proposed only when a person names the event. Rules are exact: a pattern
// is a person's decision. What has no path, or one that no exact rule can say (bytes that are not UTF-8, control characters, a
// "*"), is a finding, never an approximation.
//
// Bounds. What a bound forbids, or does not permit, to any container of a workload is not proposed for it, not even by name: it would not
// compile. It is a finding with the bound's position. So is what a bound or a virtual patch decided at run time, as long as that rule of it
// stands; of others nobody can tell from a report whether they hold for its container.
//
// Parents. When a rule names the program but for other callers, the caller is added to that rule if its object is exact. If it
// is a pattern, the program gets an exact rule with this caller: to add the caller to the pattern would allow it every program
// there. The constraint is never removed.
//
// Which workload gets the rule, when several select the container: the one that states the closure that the verdict names (the
// strictest; of equals the one with the lowest ID), so the line that a denial names and the proposal agree. An observation that
// a rule proposed for a part of its workloads already allows adds to that rule's evidence.
//
// Edit inserts text at positions that CUE's parser gives. Formatting is never regenerated, so nothing else moves: not comments,
// not order, not line ends, not indentation. Keys that are sorted stay sorted; in any other order new ones go last. Of the files
// in the folder that declares the workload, the one that states its exec with most of its rules is edited. Files in folders above are
// not edited, because they would declare the workload then, and files below only if the workload is open, after all others. Where no struct literal can take the rule (a
// reference, a template), the path is stated anew beside the workload, which CUE unites; so no AST has to be printed. Whatever
// the text edit did, the tree is compiled again and must mean exactly the old policy and the proposal, else the edit is refused.
//
// Untrusted bytes. Paths come from containers. In CUE they are quoted by CUE's own quoting, which escapes what is not printable,
// direction marks among it. In commit messages only letters, digits and a few marks stay, since code hosts render Markdown,
// mentions and closing keywords. The text of findings holds no untrusted bytes.
//
// Branches. One per workload, one commit for each run that has something new, deterministic for an instant. A branch goes on
// where it stands, with a person's commits on it. What was proposed there and taken out by a person is not proposed again unless
// named. When the base has taken the branch by a merge, it begins anew at the base, which is a fast-forward; by a squash or
// rebase, by a merge commit of both, because a push is never forced. The server compares and swaps; when it says that the branch
// moved, everything is done once more from the new state.
//
// The clone is temporary, bare and with the full history of the base, which tells whether a branch was merged. It bounds files
// as the compiler does, and not the history: the remote is the policy repository, whose history the reconciler reads all day.
//
// URLs and credentials mean what they mean to the reconciler, because reconciler/gitauth reads both; the reconciler itself is not imported.
// The credential should be another one than the one that reads policy. A push goes through go-git's own clients for https and ssh. The one for
// ssh is given gitauth's keys and known_hosts; it reads the host names of the user's ssh_config, and does not stop in the middle of a handshake.
package learn
