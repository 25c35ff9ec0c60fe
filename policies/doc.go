// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package policies is the library that policy repositories import: named sets of files, programs and peers, written in CUE and embedded in
// the binary. README.md lists them. Pod security profiles, the CIS benchmarks and bounds for a supply chain will stand here too.
//
// It holds CUE files and their tests, and Go only to embed them. It imports the standard library alone; its tests also import schema, for
// the meaning of patterns, and CUE, to embed each set in a workload as an author does.
//
// # Decisions
//
// Named sets are regular fields, never definitions: a definition would close the map that a policy adds its own rules to.
//
// Sets are literal: no references, no imports, no expressions. What a set holds can be read off the page, and whoever embeds it pays for
// no evaluation but the copying.
//
// One set is for one field (file.read, file.write, exec, or never.exec and never.egress of a bound), so a language's runtime has up to three:
// what it reads (python), what it writes (javaWrites) and its programs (pythonPrograms).
//
// Paths are those that the kernel resolves. A link stands under its target: /usr/bin/dash and not only /bin/sh, npm-cli.js and not
// npm, /usr/share/zoneinfo and not only /etc/localtime. Folders that a program lists stand beside what is below them, because dir/** does not
// name dir. Both layouts of /usr are there, because a container's image may be unpacked without the links of a merged one.
//
// Sets are made to be embedded side by side, beside rules of one's own. They meet: what libc reads, devices writes too, because each must be enough
// by itself. The compiler reports no rule that comes from a set as superfluous. A rule that two of them state is one rule.
//
// Where paths come from: the Filesystem Hierarchy Standard 3.0 for the folders; the lists of files of Debian 12's packages (libc6, libc-bin,
// libgcc-s1, tzdata, netbase, ca-certificates, python3.11, openjdk-17-jre-headless, nodejs, npm, nginx, busybox, dash, zsh, ksh93u+m, mksh,
// tcsh, fish, dnf, rpm), and what programs of them were seen to open under strace; the OCI runtime specification for devices; the clouds'
// documentation for addresses. Paths of Alpine, Fedora, SUSE and of images that are not Debian's follow those distributions' packages as
// they are known, and are not tested against them.
//
// The library is tested like code: each set is embedded into the field it is for, and what it allows and denies is stated in a table.
package policies
