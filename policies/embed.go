// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package policies

import "embed"

// ImportPath is what a policy repository imports the library as.
const ImportPath = "github.com/writ-sec/writ/policies"

// CUE holds the library: the files of package policies at [ImportPath]. They import nothing.
//
//go:embed *.cue
var CUE embed.FS
