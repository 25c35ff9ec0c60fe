// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package examples holds complete policy repositories. Each is compiled by the tests, and payments is what writ demo runs. It imports nothing.
package examples

import "embed"

// FS holds the example repositories, one folder each.
//
//go:embed all:payments
var FS embed.FS
