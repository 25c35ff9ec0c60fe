// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package gitauth says who a git remote is, and who we are to it: it parses the URL of a policy repository, and turns what a person named into
// the credentials of one visit. The reconciler, which reads policy, and learn, which pushes proposals, both use it, so that a URL or a flag
// means the same to both. It may import go-git and golang.org/x/crypto/ssh, and no other package of this module; its tests and
// those of its users start a real sshd with sshdtest, which no program links.
//
// # Decisions
//
// A URL is stripped of its password at once. [Address] prints without it, and no error of this package repeats it. A URL that cannot be parsed
// and has an "@" is not explained by the parser's words, which may quote a part of the password.
//
// Plain http is for loopback only, for reading too: anybody on the way could change what is read.
//
// A password stands in one place. One in the URL and another that is named is an error, as is any for ssh.
//
// Files are read for each visit, bounded, and nothing is kept, so a rotated credential needs no restart.
//
// Host keys are always checked against known_hosts; there is no way to go without. Only the algorithms of the keys that stand there are asked
// for, because a server that has several keys may otherwise show one that is not known.
//
// What others wrote (a server, a library) is put into a message by [Secrets.Scrub] or [Foreign] only: one line, bounded, without control
// characters, and without every form in which a secret travels.
package gitauth
