// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/index"
)

// grain is more than the grain of a file system's times: the kernel's tick is at most 10 ms.
const grain = 20 * time.Millisecond

// unchanged reports whether a file is as it was when git wrote its index. Of one that changed just before that, the times do not tell
// (git's Documentation/technical/racy-git.txt).
func unchanged(info fs.FileInfo, e *index.Entry, written time.Time) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && uint32(info.Size()) == e.Size && info.ModTime().Equal(e.ModifiedAt) &&
		time.Unix(st.Ctim.Unix()).Equal(e.CreatedAt) && uint32(st.Ino) == e.Inode && e.CreatedAt.Add(grain).Before(written)
}
