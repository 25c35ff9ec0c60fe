// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// relation is what is known of a commit and an earlier one.
type relation int

const (
	unknown  relation = iota // history ends, here or at the limit, before the earlier commit is found
	descends                 // the earlier commit is the commit itself or among its ancestors
	diverged                 // the earlier commit is not among its ancestors
)

// ancestry looks for from among the ancestors of commit, at most limit commits far. Commits in shallow have parents that are not here.
func ancestry(ctx context.Context, s storer.EncodedObjectStorer, shallow map[plumbing.Hash]bool, commit, from plumbing.Hash, limit int,
) (relation, error) {
	seen := map[plumbing.Hash]bool{commit: true}
	cut := false
	for queue := []plumbing.Hash{commit}; len(queue) > 0; queue = queue[1:] {
		h := queue[0]
		if h == from {
			return descends, nil
		}
		if shallow[h] {
			cut = true
			continue
		}
		if err := ctx.Err(); err != nil {
			return unknown, err
		}
		c, err := readCommit(s, h)
		if err != nil {
			return unknown, fmt.Errorf("walk history: %w", err)
		}
		for _, p := range c.ParentHashes {
			if p == from {
				return descends, nil
			}
			if seen[p] {
				continue
			}
			if len(seen) >= limit {
				return unknown, nil
			}
			seen[p] = true
			queue = append(queue, p)
		}
	}
	if cut {
		return unknown, nil
	}
	return diverged, nil
}
