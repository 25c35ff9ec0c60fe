// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package vm runs programs on a kernel of our choice: in a QEMU guest whose root is an initramfs that it makes. The tests of the kernel
// backends use it to meet kernels and hooks that the host does not have. It is no part of the product and imports the standard library
// only; its tests may also import schema/testneed.
//
// # Decisions
//
// One boot runs all programs of one kernel. A boot under emulation costs about ten seconds, a test binary far less.
//
// Emulation only (TCG). It works on every machine, and a kernel test wants the same result everywhere more than it wants speed. The
// CPU is "max,-cx16": with cmpxchg16b the guest's kernel dies under emulation.
//
// The root is a tmpfs, not the initramfs itself. Nothing can be pivoted away from an initramfs, and the path of a file on it is resolved
// through a mount without a parent, which no container has; so /init copies everything into a tmpfs and switches to it.
//
// The archive is not compressed. An emulated CPU unpacks slower than QEMU loads: with 50 MB of programs a boot took 5.4-6.8 s plain and
// 7.2-11.4 s with gzip -1.
//
// Two serial lines. The kernel's console is ttyS0; what the programs print, and what the guest says about them, goes over ttyS1. So a
// kernel warning cannot split a line of test output. Lines of the guest's own start with a random token that is new in each boot: no
// output of a program passes for the end of that program.
//
// Every way to end is told apart. A program that exits has its status in [Exit]. A guest that panics, powers off early or says nothing
// until [Config.Timeout] is an error that names the program that ran last and shows the end of the console. QEMU never outlives the
// call, nor the process that made it.
package vm
