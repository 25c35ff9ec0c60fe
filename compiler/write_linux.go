// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// exchange swaps two folders in one step where the file system can (renameat2(2), RENAME_EXCHANGE).
func exchange(next, dir string) error {
	err := unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return exchangeByTwo(next, dir)
	}
	if err != nil {
		return fmt.Errorf("exchange %s and %s: %w", next, dir, err)
	}
	return nil
}
