// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package policies is the library that policy repositories import: named sets of files, programs, peers and values of Pods, whole bounds, and
// values for the pod of a workload, written in CUE and embedded in the binary. README.md lists them.
//
//	files.cue programs.cue peers.cue admission.cue  named sets
//	bounds.cue                                      bounds: pod security, supply chain, closed namespaces, what must not start or be reached
//	pods.cue                                        values for pod
//	docs/NAME.md                                    a page for each bound and value, with a policy, its tests, and what writ vet refuses
//	docs/NAME/*.yaml                                manifests, each with the verdict that is expected and the rule that decides
//
// It holds CUE files and their tests, and Go only to embed them. It imports the standard library alone; its tests also import schema, for
// the meaning of patterns and of manifests, CUE, to embed each set as an author does, and the compiler, to compile the pages and run their tests.
//
// # Decisions
//
// Named sets are regular fields, never definitions: a definition would close the map that a policy adds its own rules to.
//
// Sets are literal: no references, no imports, no expressions. What a set holds can be read off the page, and whoever embeds it pays for
// no evaluation but the copying. Bounds and values for pod name sets, and are literal but for that.
//
// A bound states what it forbids or requires, and nothing else: the mode (audit, unless its author says another), the owner, the match and the
// reason for the whole are its author's. So it is adopted by one line, in audit first, and several stand in one entry without a
// contradiction, but for the least profile that they require. Reasons stand at single values, where they are the same in each bound.
//
// A rule that comes from a bound of the library has the place of the entry that embeds it: that is the line to change.
//
// What a bound cannot say is left out and stands on its page, rather than being said by half: a bound names fields of Pods that authors may
// name, so the profiles' own fields (hostProcess, SELinux, procMount, probes) are judged where require.profile makes a workload state the level.
//
// One set is for one field (file.read, file.write, exec, or one of a bound's never: exec, file, egress, image, pod.hostPaths and so on), so a language's runtime has up to three:
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
// The library is tested like code: each set is embedded into the field it is for, and what it allows and denies is stated in a table. Each
// page is a repository: it compiles without warnings, its tests pass as it stands and with every mode and verdict turned from audit to enforce, and
// its manifests are judged by schema.Judge under both, by the very rule that they name.
package policies
