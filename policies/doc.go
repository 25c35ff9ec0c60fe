// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package policies is the room of the library that policy repositories import: named sets of programs and files (a libc, a shell, a
// language's runtime), pod security profiles, the CIS benchmarks and bounds for a supply chain, written in CUE and embedded in the binary.
//
// It will hold CUE files and their tests, and Go only to embed them. It imports the standard library alone.
//
// # Decisions
//
// Named sets are regular fields, never definitions: a definition would close the map that a policy adds its own rules to.
//
// The library is tested like code: each set compiles, and what it allows and denies is stated in a table beside it.
package policies
