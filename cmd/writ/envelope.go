// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema/bundle"
)

// headEnvelope returns the commit that a folder is a checkout of, or nothing if it is not one or if a policy file differs from it: a bundle
// must not claim a commit that it was not made from.
func headEnvelope(root string, tree compiler.Tree) bundle.Envelope {
	repo, err := git.PlainOpenWithOptions(root, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if err != nil {
		return bundle.Envelope{}
	}
	head, err := repo.Head()
	if err != nil {
		return bundle.Envelope{}
	}
	commit, err := repo.CommitObject(head.Hash())
	if err != nil {
		return bundle.Envelope{}
	}
	worktree, err := repo.Worktree()
	if err != nil {
		return bundle.Envelope{}
	}
	prefix, err := filepath.Rel(worktree.Filesystem.Root(), root)
	if err != nil || !sameFiles(commit, filepath.ToSlash(prefix), tree) {
		return bundle.Envelope{}
	}
	subject, _, _ := strings.Cut(commit.Message, "\n")
	return bundle.Envelope{
		Commit:  commit.Hash.String(),
		Author:  fmt.Sprintf("%s <%s>", commit.Author.Name, commit.Author.Email),
		Time:    commit.Author.When.UTC(),
		Subject: subject,
	}
}

// sameFiles reports whether the commit holds exactly the policy files of the tree.
func sameFiles(commit *object.Commit, prefix string, tree compiler.Tree) bool {
	root, err := commit.Tree()
	if err != nil {
		return false
	}
	if prefix != "." {
		if root, err = root.Tree(prefix); err != nil {
			return false
		}
	}
	for _, f := range tree.Files {
		entry, err := root.FindEntry(f.Path)
		if err != nil || entry.Hash != plumbing.ComputeHash(plumbing.BlobObject, f.Data) {
			return false
		}
	}
	return countPolicyFiles(root) == len(tree.Files)
}

// countPolicyFiles counts the files of a commit that compiler.ReadDir would read.
func countPolicyFiles(root *object.Tree) int {
	n := 0
	walker := object.NewTreeWalker(root, true, nil)
	defer walker.Close()
	for {
		name, entry, err := walker.Next()
		if err != nil {
			return n
		}
		mode, err := entry.Mode.ToOSFileMode()
		if err == nil && !mode.IsDir() && compiler.Reads(name, mode.Type()) {
			n++
		}
	}
}
