// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Command writ is the tool of people and of continuous integration: it makes, checks, compiles and explains a policy repository, puts it in
// force on this host, and proposes what workloads do as commits.
//
// It may import every room. It decides nothing about policy itself: it reads flags, calls the rooms in order and prints.
//
// # Decisions
//
// Exit codes are a contract for every command: 0 done, 1 the policy says no, 2 the work could not be done, an interrupted command among
// them. writ up, which goes on until it is asked to end, then exits with 0.
//
// writ up and privileges. Evaluating policy and learning need no privilege, so writ up gives its own up before it reads the first byte of
// policy: started as root it starts writ-node on one end of a socket pair and then becomes another user for good (--user; by default
// the user who called sudo, else the owner of the state folder, else nobody). Started as anyone else it cannot start writ-node, and says
// what to do. writ-node is its only root child; when writ up ends, writ-node ends with it, and what is pinned in the kernel stays.
//
// The state folder is all that writ up keeps, and all that learn propose and explain need: the clone, the bundle in force, the folded
// observations, and the address of the source. One state folder serves one repository.
//
// writ learn propose is its own process. It pushes with the credentials of the person who runs it, never with those that writ up
// reads policy with.
//
// A state folder belongs to one user, and root never acts on what stands in it: explain, learn status and learn propose become its owner
// first, and writ up refuses a folder of somebody else.
//
// Text from outside (paths, commit messages, error texts of peers) is quoted before it reaches a terminal.
package main
