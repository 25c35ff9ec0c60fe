// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// files are the content of a commit, by path.
type files map[string]string

// with returns a copy with some files replaced; "" removes one.
func (f files) with(more files) files {
	all := maps.Clone(f)
	maps.Copy(all, more)
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	return all
}

const rootFile = `package policy

import "github.com/writ-sec/writ/schema"

workload: [string]: schema.#Workload
`

// workloadFile is a policy file of one workload, whose second line is the workload's.
func workloadFile(name string, programs ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "package policy\n\nworkload: %s: {\n\tmatch: cgroup: \"/%s.slice\"\n\tmode: \"enforce\"\n\texec: {\n", name, name)
	for _, p := range programs {
		fmt.Fprintf(&b, "\t\t%q: {}\n", p)
	}
	return b.String() + "\t}\n}\n"
}

// brokenFile has its error in line 5, column 2 or behind it.
const brokenFile = "package policy\n\nworkload: web: {\n\tmatch: cgroup: \"/web.slice\"\n\tmode: \"nonsense\"\n}\n"

var shop = files{
	"policy.cue":       rootFile,
	"web/web.cue":      workloadFile("web", "/usr/bin/web"),
	"pay/payments.cue": workloadFile("payments", "/usr/bin/pay", "/usr/bin/curl"),
	"README.md":        "not policy\n",
}

// origin is a bare repository, made object by object, so that it can hold what git itself would not commit.
type origin struct {
	t    testing.TB
	path string
	repo *git.Repository
	tick int
}

func newOrigin(t testing.TB) *origin {
	t.Helper()
	return originAt(t, filepath.Join(t.TempDir(), "policy.git"))
}

func originAt(t testing.TB, path string) *origin {
	t.Helper()
	repo, err := git.PlainInitWithOptions(path, &git.PlainInitOptions{
		Bare: true, InitOptions: git.InitOptions{DefaultBranch: plumbing.NewBranchReferenceName("main")}})
	if err != nil {
		t.Fatal(err)
	}
	return &origin{t: t, path: path, repo: repo}
}

func (o *origin) store(t plumbing.ObjectType, encode func(plumbing.EncodedObject) error) plumbing.Hash {
	o.t.Helper()
	obj := o.repo.Storer.NewEncodedObject()
	obj.SetType(t)
	if err := encode(obj); err != nil {
		o.t.Fatal(err)
	}
	h, err := o.repo.Storer.SetEncodedObject(obj)
	if err != nil {
		o.t.Fatal(err)
	}
	return h
}

func (o *origin) raw(t plumbing.ObjectType, data string) plumbing.Hash {
	return o.store(t, func(obj plumbing.EncodedObject) error {
		w, err := obj.Writer()
		if err != nil {
			return err
		}
		_, err = w.Write([]byte(data))
		return err
	})
}

// tree stores a folder. A value "-> x" is a symbolic link to x, "@ x" a submodule at commit x.
func (o *origin) tree(f files) plumbing.Hash {
	o.t.Helper()
	below := map[string]files{}
	t := &object.Tree{}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		data := f[name]
		dir, rest, nested := strings.Cut(name, "/")
		if nested {
			if below[dir] == nil {
				below[dir] = files{}
			}
			below[dir][rest] = data
			continue
		}
		e := object.TreeEntry{Name: name, Mode: filemode.Regular}
		if target, ok := strings.CutPrefix(data, "-> "); ok {
			e.Mode, data = filemode.Symlink, target
		}
		if sub, ok := strings.CutPrefix(data, "@ "); ok {
			e.Mode, e.Hash = filemode.Submodule, plumbing.NewHash(sub)
		} else {
			e.Hash = o.raw(plumbing.BlobObject, data)
		}
		t.Entries = append(t.Entries, e)
	}
	for dir, f := range below {
		t.Entries = append(t.Entries, object.TreeEntry{Name: dir, Mode: filemode.Dir, Hash: o.tree(f)})
	}
	slices.SortFunc(t.Entries, func(a, b object.TreeEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	return o.store(plumbing.TreeObject, t.Encode)
}

func sortName(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}

// commit stores a commit. Nothing names it yet.
func (o *origin) commit(f files, subject string, parents ...plumbing.Hash) plumbing.Hash {
	return o.commitTree(o.tree(f), subject, parents...)
}

func (o *origin) commitTree(tree plumbing.Hash, subject string, parents ...plumbing.Hash) plumbing.Hash {
	o.tick++
	who := object.Signature{Name: "Ada", Email: "ada@example.com", When: time.Unix(1_700_000_000+int64(o.tick), 0).UTC()}
	c := &object.Commit{Author: who, Committer: who, Message: subject + "\n\nbody\n", TreeHash: tree, ParentHashes: parents}
	return o.store(plumbing.CommitObject, c.Encode)
}

func (o *origin) set(ref string, h plumbing.Hash) {
	o.t.Helper()
	if err := o.repo.Storer.SetReference(plumbing.NewHashReference(plumbing.ReferenceName(ref), h)); err != nil {
		o.t.Fatal(err)
	}
}

func (o *origin) remove(ref string) {
	o.t.Helper()
	if err := o.repo.Storer.RemoveReference(plumbing.ReferenceName(ref)); err != nil {
		o.t.Fatal(err)
	}
}

func (o *origin) head() plumbing.Hash {
	ref, err := o.repo.Storer.Reference("refs/heads/main")
	if err != nil {
		return plumbing.ZeroHash
	}
	return ref.Hash()
}

// push commits on top of main.
func (o *origin) push(f files, subject string) plumbing.Hash {
	o.t.Helper()
	var parents []plumbing.Hash
	if h := o.head(); !h.IsZero() {
		parents = append(parents, h)
	}
	h := o.commit(f, subject, parents...)
	o.set("refs/heads/main", h)
	return h
}

// tag stores an annotated tag.
func (o *origin) tag(name string, target plumbing.Hash, kind plumbing.ObjectType) plumbing.Hash {
	t := &object.Tag{Name: name, Target: target, TargetType: kind, Message: "release\n",
		Tagger: object.Signature{Name: "Ada", Email: "ada@example.com", When: time.Unix(1_700_000_000, 0).UTC()}}
	return o.store(plumbing.TagObject, t.Encode)
}
