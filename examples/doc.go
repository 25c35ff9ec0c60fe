// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package examples holds complete policy repositories:
//
//	payments  two workloads, a Pod and a service of a host; what writ demo runs, and what README.md shows
//	shop      a small shop that uses the whole language: folders that are delegated to teams, every plane, bounds, gates, exceptions, clusters, tests
//
// It imports nothing. Its tests import the compiler: they compile each example, run the tests that it states, hold it to its canonical form
// and to CUE's own tools, and compile every policy that README.md and docs show.
package examples

import "embed"

// FS holds the example repositories, one folder each.
//
//go:embed all:payments all:shop
var FS embed.FS
