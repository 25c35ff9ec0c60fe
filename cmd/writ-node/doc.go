// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Command writ-node puts compiled policy in force in the kernel of one host. It is the only process of writ that runs as root: it reads
// no policy language and talks to one unix socket.
//
// It imports enforcer/node, enforcer/bpf and schema, never the compiler. Everything it decides is written in enforcer/node.
//
// Exit codes are those of every command of writ: 0 done, 1 the policy says no, 2 the work could not be done. writ-node judges no policy
// by itself, so it never exits with 1.
package main
