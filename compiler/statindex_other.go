// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package compiler

import "io/fs"

// statOf cannot tell the state of a file here.
func statOf(fs.FileInfo) (fileStat, bool) { return fileStat{}, false }
