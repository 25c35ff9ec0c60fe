// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package bpf puts the exec plane in force in the kernel. It compiles workloads into images ([Compile]), loads the hooks and
// pins them ([Open]), puts images in force for cgroups ([Kernel.SetProgram], [Kernel.Bind]) and reads what the kernel refused
// ([Kernel.Read]). It knows no names of cgroups, no policy files and no clients; enforcer/node does.
//
// It may import schema, enforcer/node/wire for the words of a probe, and cilium/ebpf. It needs Linux 6.1, BTF and cgroup2.
//
// # Backends
//
// BPF LSM, hook bprm_check_security: the exec fails with EPERM. The hook runs for each step of a #! chain, so the script is
// judged and then the interpreter. Else the tracepoint sched_prepare_exec (Linux 6.10): SIGKILL before the first instruction of
// the new program; the final executable is judged, the script behind #! is not. Else the tracepoint sched_process_exec: the
// same, but the caller's program is gone by then, so rules with a parent never allow. [Probe] tells.
//
// A backend is chosen by loading a program of two instructions of its type, never by the list of security modules: where that
// list has "bpf" the load may still be refused. The reverse is caught as well: a kernel that has BPF LSM but did not switch it
// on loads and attaches LSM programs and never runs them, so the probe attaches one and sees that it runs.
//
// # What is judged, and by what
//
// A task is judged by the program of the deepest bound cgroup among its own and all above it, so children of a bound cgroup are
// covered at any depth. A slot without a program judges nothing; Bind and DeleteProgram refuse to make such a binding. ELF
// interpreters (ld.so) are not execs: running ld.so with a program as its argument is an exec of ld.so alone.
//
// # Path
//
// The kernel walks from the file's dentry up to the top of its mount tree and ignores the task's root, so chroot changes
// nothing: in a container that was set up by pivot_root the top is the container's root. The path has no symlinks, its names are
// bytes. A hard link is another path. At most 4,095 bytes; what is longer is of origin too-long, and its object is the path's
// end. A name of more than 255 bytes (a FUSE file system can have it) is too-long too.
//
// Renames during the walk: each counts up the d_seq of the dentries that it moves. The kernel walks twice and takes the path
// only if both walks meet the same dentries and mounts, with the same even counts. That needs no symbol of the kernel and no
// lock, and unlike the global rename_lock it does not care for renames elsewhere. After eight tries the origin is unknown. Moves
// of mounts have no such count: a mount that is moved there and back between two reads is not noticed; it takes CAP_SYS_ADMIN
// over the mount namespace.
//
// Origins that no rule can allow: memfd (a file on a mount of the kernel's own), deleted (no links left, or the name that was
// used is gone), foreign, too-long, unknown.
//
// # Mounts made inside the container
//
// A task has an anchor in task storage: its mount namespace and how far mounts were numbered in it, taken at its first exec
// under a bound cgroup and handed to its children at fork. An exec is foreign if the file is not in the anchor's mount
// namespace, if the task left that namespace, or if a mount on the way is newer than the anchor. Linux 6.8 numbers mounts for
// good. Before, only the root mount is known to be old: once anything was mounted or unmounted in the namespace, all else is
// foreign.
//
// Limits. A mount that the host propagates into a container later counts as made inside. Moving a mount that was there before
// (mount --move, pivot_root) makes its files appear elsewhere and is not seen; it takes CAP_SYS_ADMIN over the container's own
// mount namespace. What runs when a cgroup is bound is anchored at its next exec, with the mounts of that moment. A task that
// comes under another bound cgroup is anchored anew: a container engine that is itself under policy starts containers so; only
// who may write in the cgroup tree above a container can move it. The anchor is taken when the runtime has set the container up,
// since runc joins the cgroup without another exec; a runtime that execs itself inside the container's cgroup has that exec
// judged, as of the host's path or as memfd. Tools that make mount namespaces of their own inside a container (bubblewrap) run
// nothing there. A new version of writ anchors anew.
//
// # Parent
//
// The parent is the program that the calling process ran when it called exec, by /proc/PID/exe; it is known only if that is of
// no special origin. A process with CAP_SYS_RESOURCE or CAP_CHECKPOINT_RESTORE can change its own (PR_SET_MM_EXE_FILE).
//
// # Image
//
// A program is one array of cells of 64 bytes, the only member of a map of maps that is replaced: one update, so an exec is
// judged by the old or the new one. It holds a hash table of exact paths and directories, and lists of other patterns and of
// parents; exec.h says how. The key of the hash is random for each image, the whole path is compared before a hit counts. One
// pass over a path hashes all its directories on the way; a bitmap says at which depths to look. Bounds: 262,144 rules, 256
// patterns that are neither exact nor dir/**, 256 parents of one rule; beyond, Compile fails. A pattern takes at most
// 3*513*4,096 steps, which a test holds, and the budget is 8,388,608.
//
// [Image.Judge] reads the same bytes in Go. It equals [schema.JudgeWorkloads] on generated cases and under fuzz, and the kernel
// equals that.
//
// # Events
//
// What a rule allows is not reported. The first time of a behaviour (bound cgroup, program, object, parent, origin, action,
// reason) is sent through a ring buffer, repetitions are counted in a table, which Read empties entry by entry once in a fold
// window. The table has keyed hashes of 64 bits for the paths: two behaviours with the same hashes count as one. Each loss has a
// cause and a count ([Kernel.Lost]). A repetition that looked up an entry which Read takes meanwhile sees that the entry is gone,
// and is counted as "fold-race". That may be one too many. It is one too few only if the kernel is held up between copying an entry
// and unlinking it, under the lock of the bucket, for as long as an addition and a look-up take: no call does both at once.
//
// # Failing
//
// When an exec can't be judged (no scratch memory, no memory for the anchor, a path that does not hold still) it is denied in
// enforce and counted. Scratch memory is claimed by compare-and-swap, eight for each CPU, because LSM programs can be preempted
// by others on the same CPU. A child whose anchor could not be made is anchored at its first exec, with the mounts of that
// moment, and counted as "fork". The kernel skips a tracepoint program that is entered again on the same CPU; that is counted as
// "recursion".
//
// # Pins
//
// Maps and links are pinned in a folder that is named after the variant and a hash of the code. The same code adopts them as
// they are. Another version attaches beside them, with maps of its own; the old ones stay in force until [Kernel.Retire]. Close,
// and the death of the process, change nothing that is in force. A lock on the directory keeps a second agent away.
//
// # Generated code
//
// exec_bpfel.o and exec_bpfel.go are made from exec.bpf.c by go generate, which needs clang-19 and libbpf-dev. One object serves
// all little-endian machines, since no program reads registers.
package bpf
