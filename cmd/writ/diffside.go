// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/learn"
)

// diffSide is one of the two policies that are compared.
type diffSide struct {
	Name   string `json:"name"`             // as the reader named it
	Commit string `json:"commit,omitempty"` // of a revision
	tree   compiler.Tree
	path   string // of the policy repository within the git repository
	empty  bool   // there is none at that commit
}

// diffSides reads what the arguments of diff name.
func diffSides(ctx context.Context, repo string, args []string) (base, head *diffSide, err error) {
	if len(args) == 2 {
		for _, dir := range args {
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				err := fmt.Errorf("%q is not a folder; want two folders, or revisions in one argument", dir)
				return nil, nil, hinted{err, fmt.Sprintf("writ diff %s..%s", printable(args[0]), printable(args[1]))}
			}
		}
		if base, err = folderSide(args[0], args[0]); err != nil {
			return nil, nil, err
		}
		head, err = folderSide(args[1], args[1])
		return base, head, err
	}
	root, err := findRoot(repo)
	if err != nil {
		return nil, nil, err
	}
	r, err := openRevisions(root)
	if err != nil {
		return nil, nil, err
	}
	return r.sides(ctx, strings.Join(args, ""))
}

// folderSide reads the policy repository that holds a folder, as it is.
func folderSide(dir, name string) (*diffSide, error) {
	root, err := findRoot(dir)
	if err != nil {
		return nil, err
	}
	tree, err := compiler.ReadDir(root, cacheDir())
	return &diffSide{Name: name, tree: tree}, err
}

// revisions reads a policy repository as it is at commits of the git repository that holds it.
type revisions struct {
	git  *git.Repository
	root string // of the policy repository, in the file system
	path string // of the policy repository, within the git repository

	texts map[plumbing.Hash][]byte // of the files read so far: most are the same on both sides
}

func openRevisions(root string) (*revisions, error) {
	repo, err := git.PlainOpenWithOptions(root, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if err != nil {
		return nil, hinted{fmt.Errorf("git repository that holds %s: %w", printable(root), err), "compare two folders: writ diff DIR DIR"}
	}
	worktree, err := repo.Worktree()
	if err != nil {
		return nil, fmt.Errorf("git repository that holds %s: %w", printable(root), err)
	}
	path, err := filepath.Rel(worktree.Filesystem.Root(), root)
	if err != nil {
		return nil, fmt.Errorf("git repository that holds %s: %w", printable(root), err)
	}
	return &revisions{git: repo, root: root, path: filepath.ToSlash(path), texts: map[plumbing.Hash][]byte{}}, nil
}

// sides reads both sides of "BASE..HEAD", "BASE...HEAD" or "BASE", in the words of git-diff(1), but that "BASE.." is up to the tip.
func (r *revisions) sides(ctx context.Context, arg string) (base, head *diffSide, err error) {
	from, to, ranged := strings.Cut(arg, "..")
	if info, err := os.Stat(arg); ranged && err == nil && info.IsDir() {
		return nil, nil, hinted{fmt.Errorf("%q is a folder; want two, or a revision", arg), "writ diff DIR DIR"}
	}
	to, parted := strings.CutPrefix(to, ".")
	if from == "" {
		from = "HEAD"
	}
	if to == "" {
		to = "HEAD"
	}
	first, err := r.commit(from)
	if err != nil {
		return nil, nil, err
	}
	if !ranged {
		if base, err = r.side(ctx, from, first); err != nil {
			return nil, nil, err
		}
		head, err = folderSide(r.root, "the folder")
		return base, head, err
	}
	last, err := r.commit(to)
	if err != nil {
		return nil, nil, err
	}
	if parted {
		bases, err := last.MergeBase(first)
		if err == nil && len(bases) == 0 {
			err = errors.New("they have no common commit")
		}
		if err != nil {
			return nil, nil, r.shallow(fmt.Errorf("where %q and %q parted: %w", from, to, err))
		}
		first = bases[0]
	}
	if base, err = r.side(ctx, from, first); err != nil {
		return nil, nil, err
	}
	head, err = r.side(ctx, to, last)
	return base, head, err
}

func (r *revisions) commit(revision string) (*object.Commit, error) {
	hash, err := r.git.ResolveRevision(plumbing.Revision(revision))
	if err == nil {
		var c *object.Commit
		if c, err = r.git.CommitObject(*hash); err == nil {
			return c, nil
		}
	}
	err = fmt.Errorf("revision %q: %w", revision, err)
	if info, statErr := os.Stat(revision); statErr == nil && info.IsDir() {
		return nil, hinted{err, "it is a folder; to compare folders, name two: writ diff DIR DIR"}
	}
	return nil, r.shallow(err)
}

// shallow adds what to do if commits are missing because the clone has not all of them.
func (r *revisions) shallow(err error) error {
	if commits, listErr := r.git.Storer.Shallow(); listErr != nil || len(commits) == 0 {
		return err
	}
	return hinted{err, "the clone is shallow; fetch the rest of the history: git fetch --unshallow (fetch-depth: 0 of actions/checkout)"}
}

func (r *revisions) side(ctx context.Context, name string, c *object.Commit) (*diffSide, error) {
	s := &diffSide{Name: name, Commit: c.Hash.String(), path: r.path}
	root, err := c.Tree()
	if err == nil && r.path != "." {
		root, err = root.Tree(r.path)
	}
	if err == nil {
		_, err = root.FindEntry("cue.mod")
	}
	if errors.Is(err, object.ErrDirectoryNotFound) || errors.Is(err, object.ErrEntryNotFound) {
		s.empty = true
		return s, nil
	}
	if err == nil {
		s.tree, err = r.tree(ctx, root)
	}
	if err != nil {
		return nil, fmt.Errorf("read %q at %s: %w", r.path, name, err)
	}
	return s, nil
}

// tree reads what the compiler reads of a folder in git. Links and submodules are recorded as such, so that the compiler refuses them.
func (r *revisions) tree(ctx context.Context, root *object.Tree) (compiler.Tree, error) {
	var t compiler.Tree
	total := int64(0)
	w := object.NewTreeWalker(root, true, nil)
	defer w.Close()
	for ctx.Err() == nil {
		name, entry, err := w.Next()
		if errors.Is(err, io.EOF) {
			return t, nil
		} else if err != nil {
			return t, err
		}
		mode := learn.EntryType(entry.Mode)
		if mode.IsDir() || !compiler.Reads(name, mode) {
			continue
		}
		f := compiler.File{Path: name, Mode: mode}
		if mode.IsRegular() {
			if f.Data, err = r.text(root, entry); err != nil {
				return t, fmt.Errorf("%q: %w", name, err)
			}
			if total += int64(len(f.Data)); total > compiler.MaxTree || len(t.Files) >= compiler.MaxFiles {
				return t, fmt.Errorf("%q: with the files before it more than %d bytes or %d files", name, compiler.MaxTree, compiler.MaxFiles)
			}
		}
		t.Files = append(t.Files, f)
	}
	return t, ctx.Err()
}

// text reads a file.
func (r *revisions) text(root *object.Tree, entry object.TreeEntry) ([]byte, error) {
	if data, known := r.texts[entry.Hash]; known {
		return data, nil
	}
	blob, err := root.TreeEntryFile(&entry)
	if err != nil {
		return nil, err
	}
	if blob.Size > compiler.MaxFile {
		return nil, fmt.Errorf("more than %d bytes", compiler.MaxFile)
	}
	text, err := blob.Contents()
	if err != nil {
		return nil, err
	}
	r.texts[entry.Hash] = []byte(text)
	return r.texts[entry.Hash], nil
}

// completeRevisions completes branches and tags, also behind "..".
func completeRevisions(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	repo, err := git.PlainOpenWithOptions(".", &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	before := ""
	if i := strings.LastIndex(word, ".."); i >= 0 {
		before = word[:i+len("..")]
	}
	refs, err := repo.References()
	if err != nil {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	words := []string{before + "HEAD"}
	_ = refs.ForEach(func(ref *plumbing.Reference) error {
		if n := ref.Name(); n.IsBranch() || n.IsTag() || n.IsRemote() {
			words = append(words, before+n.Short())
		}
		return nil
	})
	return words, cobra.ShellCompDirectiveNoSpace
}
