// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/index"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

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
	top := worktree.Filesystem.Root()
	prefix, err := filepath.Rel(top, root)
	if err != nil {
		return bundle.Envelope{}
	}
	prefix = filepath.ToSlash(prefix)
	same, known := sameByIndex(repo, commit, top, prefix, tree)
	if !known {
		same = sameFiles(commit, prefix, tree)
	}
	if !same {
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

// sameByIndex is sameFiles by git's index, which knows the state of each file when git looked at it last. known is false where it does not say:
// when something is staged, or a file may have changed since.
func sameByIndex(repo *git.Repository, commit *object.Commit, top, prefix string, tree compiler.Tree) (same, known bool) {
	storage, ok := repo.Storer.(*filesystem.Storage)
	if !ok {
		return false, false
	}
	written, err := storage.Filesystem().Stat("index")
	if err != nil {
		return false, false
	}
	idx, err := storage.Index()
	if err != nil || idx.Cache == nil || !slices.ContainsFunc(idx.Cache.Entries, func(e index.TreeEntry) bool { return e.Path == "" && e.Hash == commit.TreeHash }) {
		return false, false
	}
	entries, policy := map[string]*index.Entry{}, 0
	for _, e := range idx.Entries {
		name, ok := e.Name, true
		if prefix != "." {
			name, ok = strings.CutPrefix(e.Name, prefix+"/")
		}
		if mode, err := e.Mode.ToOSFileMode(); ok && err == nil && compiler.Reads(name, mode.Type()) {
			entries[name] = e
			policy++
		}
	}
	if policy != len(tree.Files) {
		return false, true
	}
	for i := range tree.Files {
		f := &tree.Files[i]
		e := entries[f.Path]
		if e == nil {
			return false, true
		}
		if info, err := os.Lstat(filepath.Join(top, filepath.FromSlash(e.Name))); err == nil && unchanged(info, e, written.ModTime()) {
			continue
		}
		data, err := f.Content()
		if err != nil || e.Hash != plumbing.ComputeHash(plumbing.BlobObject, data) {
			return false, true
		}
	}
	return true, true
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
	for i := range tree.Files {
		entry, err := root.FindEntry(tree.Files[i].Path)
		if err != nil {
			return false
		}
		data, err := tree.Files[i].Content()
		if err != nil || entry.Hash != plumbing.ComputeHash(plumbing.BlobObject, data) {
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
