// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import "embed"

// ImportPath is what a policy repository imports the CUE schema as.
const ImportPath = "github.com/writ-sec/writ/schema"

// CUE holds the CUE schema: the files of package schema at [ImportPath].
//
//go:embed *.cue
var CUE embed.FS
