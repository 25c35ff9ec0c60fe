// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package reconciler brings the policy of a git repository to the places where it is put in force. It pulls, compiles, compares with what
// is in force, and applies what differs: at each poll, and at once when it is told. It may import compiler, schema, its own gitauth, and
// go-git, and logs nothing: every reconciliation ends in an [Outcome], which the caller prints.
//
// # Decisions
//
// What is in force stays. A remote that is away, a commit that does not compile, a history that was rewritten, a full disk, a damaged
// clone: each is one error in the Outcome, and no target is touched but to hold the last good bundle.
//
// A commit is recorded before it is applied. state.json (fsynced, renamed) names the commit in force before a target sees it, so whatever
// stops the process, the commit that must not be undone is known. A damaged state.json is refused, not guessed.
//
// No work tree. Policy is read from git's objects; what [compiler.Reads] says no to is not read at all. Links go to the compiler, which
// refuses them beside its other errors; submodules and names that git does not make are refused here. Each object that is read is hashed
// and compared with its name, because git verifies only what it receives.
//
// What may be undone. A commit that does not descend from the one in force is refused until it is named in AcceptCommits (or AllowRewind
// is set), and so is one of which that cannot be shown. The first commit of a folder is taken on trust. Another remote or branch in the
// same folder is held to the same rule.
//
// History is bounded. A transfer asks for 64 commits ("deepen 64"), so the clone is shallow and the commit in force is nearly always among
// them. When it is not, further requests ask for eight times as much each, up to Limits.History; beyond, the commit is refused.
// A commit of which the one in force descends is a rewind, and is known as one without more history.
//
// The clone tells the server only what it has completely: the last tip and the commit in force. A pack is added whole or not at all, and
// the shallow list is written so that history looks shorter than it is if the process dies in between, never longer.
//
// git's pack protocol is spoken with go-git's encoders and its https client, but not through its Remote: that has no bound on a transfer,
// writes the URL with its password into the clone's config, walks all references for what it has, and forgets to prune shallow commits.
// For ssh the connection is our own too: go-git's does not end with its context during the handshake and reads the user's ssh_config.
//
// A transfer is spooled to disk and measured before git's parser sees it: packed bytes, number of objects, and the unpacked size of each
// object, deltas included, because a few bytes may claim, and make, more than fits in memory.
//
// A local path is read in place. go-git's file transport starts the git program, which need not be there and refuses repositories of other
// owners (safe.directory), for the sake of hooks and configuration that may start programs. Reading objects runs nothing, needs no program and
// no copy of the whole: only the policy of a good commit is copied into the clone, so that a restart can do without the remote. The
// ancestry is walked in the repository itself.
//
// A clone wears: each transfer that brings something adds a pack. After 32 packs an idle poll clones anew, after 256 any poll does.
// The same path repairs a damaged clone: the new one is complete before it takes the place of the old one.
//
// Who the remote is and who we are to it is the part of gitauth, which learn uses too: URLs, credentials, known_hosts, and what may be printed
// of them. Credentials are read for each connection and held nowhere else.
//
// Judged once. A commit that is broken or refused is remembered, and reported at each poll without being read again. A compilation that
// takes too long is tried again, less and less often.
//
// Targets are asked at each reconciliation. One that lost the bundle gets it again although no commit came; one that holds it is not
// touched; one that fails does not stop the others.
//
// Differences are found by the digests of a bundle's files ([Diff]), also over a restart. A workload whose rule table alone differs was
// reworded: nothing that is enforced has changed.
package reconciler
