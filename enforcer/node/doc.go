// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package node is the agent that puts compiled policy in force on one host: it takes generations over a socket, selects the processes of
// each workload by their cgroup, writes programs and bindings into the kernel through enforcer/bpf, and reports what the kernel refused.
// It is the one part of writ that runs as root.
//
// It may import schema, enforcer/bpf and its own subpackage wire, never the compiler or CUE. The socket's other side needs wire alone.
//
// # Which path a program has
//
// A rule names a program by a path, and a container can do much to paths. What counts is decided here; enforcer/bpf does it, and its
// documentation has the details of each kernel.
//
//   - The path is the one that the container sees: from the file up to the top of the mount tree that the container was started in. For a
//     process outside every container it is the host's path.
//   - chroot changes nothing: the path goes up past the new root. A program at /jail/bin/sh is that, also for who is rooted in /jail.
//   - Symbolic links are resolved by the kernel before anything is judged. The target's name counts, the link's never.
//   - Hard links are names of equal rank. The one that was used counts, so a link made in a directory that no rule allows is denied,
//     and a link made where dir/** allows is allowed: who may write there may run there.
//   - Bind mounts that the runtime made have the path inside the container. Mounts made inside the container, after it was started,
//     are foreign: nothing on them has a path that a rule could allow. The same holds for mount namespaces entered or made after the
//     start. On kernels before 6.8 any change of the mounts leaves only the root mount allowed.
//   - Scripts: under BPF LSM the script and its interpreter are judged, each by its own path, each step of a chain. Under tracing the final
//     executable alone is seen, so the interpreter counts and the script is not enforceable; probe and status say so.
//   - memfd programs and deleted files have no name that could be allowed: denied where exec is closed.
//   - Multi-call programs (busybox) have the path of the real file. Which applet runs is an argument, and not seen: allowing one
//     applet by symbolic link allows them all, by hard links or copies each has its own path.
//   - A dynamic loader that is run with a program as its argument (ld.so PROGRAM) is an exec of the loader alone. Do not allow it.
//   - Names have up to 255 bytes, paths up to 4,095 and a NUL. What is longer is denied where exec is closed.
//   - Paths are bytes, compared whole after a hash with a random key for each program. Upper and lower case, and two encodings of one
//     character, are different names.
//   - When the path does not hold still while the kernel reads it, or can't be found out, the origin is unknown: denied where exec is closed.
//
// # Which processes a workload has
//
// A node knows the cgroup of a process and nothing of Kubernetes yet. A workload that matches by cgroup alone selects each cgroup that its
// pattern matches, and all below. One that matches by namespace or labels, with or without a cgroup, selects nothing here: a match holds only
// if every field is known to hold. The status says so for each workload. Paths count from the root of the cgroup2 hierarchy, which
// must be the true root, not that of a cgroup namespace.
//
// Each cgroup that more workloads select than the one above it is bound to the program of its whole set, their union. Sets only
// grow downwards, so everything below has the set of the nearest bound cgroup, which is what the kernel looks up.
//
// New cgroups are found by inotify, on the directories below which a pattern could still match. A directory is watched before it is
// read, so none is missed; if the kernel's queue overflows, the hierarchy is read again. Between the making of a cgroup and its binding
// lies a gap of about a millisecond in which an exec there is judged by the cgroup above, or not at all. A runtime that makes the cgroup, then
// sets up the container, then starts it takes far longer, but nothing guarantees it; a hook on cgroup_mkdir in the kernel is to close it.
// A cgroup below one that is bound already has no gap. What runs in a cgroup when it is bound goes on; its next exec is judged.
//
// Limits, each told in the status when met: 64 levels, 65,536 directories, 4,096 programs, and the kernel's limits of inotify; what can't
// be watched is read every 5 s.
//
// # Dates
//
// A mode that changes on a date is decided here, by this host's clock: the node's files carry both modes and the date, and a program is compiled
// with the one of the moment. Each second the agent looks whether that is still the one, and if not puts the programs of the workloads
// concerned in force anew, with the steps of an apply. A stricter mode comes 5 s before its date, a weaker one never before it, so what is
// late is stricter. A date that passes while no agent runs is decided at the next start; until then what is pinned stays in force. A clock
// that is set back takes a change back. A date that does not parse is refused, with the generation.
//
// # What Apply guarantees
//
// Everything is verified before anything changes: the manifest, each file's digest, the JSON (strictly: a field that this version does not
// know is an error), names, patterns, modes, that IDs are unique, that each program compiles. A bundle that fails changes nothing.
//
// Then the steps of a plan (plan.go) are taken, each atomic in the kernel: new programs into empty slots, cgroups over to them one by one, removals last.
// At every moment each cgroup is judged by its old or by its new program. Programs that did not change keep their slot and are not touched.
// If a step fails before the removals, the steps before it are undone and the old generation is in force; if undoing fails too, the error
// says that parts of both are. A removal that fails leaves a program that nobody is under, is told in the status and tried again.
//
// The generation is written to disk before the first step and takes its name after the last. If that fails it is in force all the same,
// and the status warns that a restart would begin with the one before.
//
// # Life of the process
//
// What is in force is pinned, and stays when the process ends, however it ends. A start takes over the pins without a gap, verifies the saved
// generation and puts it in force before the socket answers; where nothing has changed no program is written. If the saved generation is damaged,
// what is pinned stays in force as it is, with a warning, until the next apply. Only Unload takes it out, and forgets it on disk too.
//
// One process has a pin directory, a state directory and a socket at a time: locks that end with the process keep a second one away. A socket
// whose lock is free is a dead one's and is replaced.
//
// One goroutine changes the kernel's maps (the owner, in agent.go). Peers and the reader of events never wait for each other: each watcher has a
// queue of 4,096 messages, and what finds it full is counted and told as lost, with the cause "watcher".
//
// # Trust
//
// Who can write to the socket decides what runs: root, or one user given by --allow-uid, checked by SO_PEERCRED on each connection besides the
// mode of the socket. Their input is still bounded and strictly read. Who can write into the cgroup hierarchy above a container can
// move it out of its workload; delegate no more than a container's own subtree.
//
// # Reports
//
// Standard output has one [wire.Message] on each line, with report or lost, as watchers get them. The paths in them are chosen by those who are
// judged: whoever prints them to a terminal must quote them.
package node
