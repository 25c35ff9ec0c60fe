// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema/bundle"
)

// bench is one Reconciler with its folders, which can be stopped and started again.
type bench struct {
	t   testing.TB
	cfg Config
	out string
	r   *Reconciler
}

func newBench(t testing.TB, url string, change func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, out: filepath.Join(t.TempDir(), "bundle")}
	b.cfg = Config{URL: url, Dir: filepath.Join(t.TempDir(), "state"), Timeout: 30 * time.Second, Targets: []Target{Folder{b.out}}}
	if change != nil {
		change(&b.cfg)
	}
	b.start()
	t.Cleanup(func() { b.r.Close() })
	return b
}

func (b *bench) start() {
	b.t.Helper()
	r, err := New(b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.r = r
}

// restart is a new process with the same folders.
func (b *bench) restart(change func(*Config)) {
	b.t.Helper()
	if err := b.r.Close(); err != nil {
		b.t.Fatal(err)
	}
	if change != nil {
		change(&b.cfg)
	}
	b.start()
}

// once reconciles without an error, and checks that the folder holds what the Outcome says.
func (b *bench) once() Outcome {
	b.t.Helper()
	o := b.r.Once(b.t.Context())
	if o.Err != nil {
		b.t.Fatal(o.Err)
	}
	if got := b.inForce(); got != o.Digest {
		b.t.Fatalf("folder holds %q; want %q", got, o.Digest)
	}
	return o
}

// fails reconciles with an error that has all the words, and checks that the folder still holds the bundle.
func (b *bench) fails(digest string, words ...string) Outcome {
	b.t.Helper()
	o := b.r.Once(b.t.Context())
	if o.Err == nil {
		b.t.Fatalf("no error; want one that says %q", words)
	}
	for _, w := range words {
		if !strings.Contains(o.Err.Error(), w) {
			b.t.Errorf("error is %q; want it to say %q", o.Err, w)
		}
	}
	if got := b.inForce(); got != digest {
		b.t.Errorf("folder holds %q; want still %q", got, digest)
	}
	return o
}

func (b *bench) inForce() string {
	got, err := bundle.Read(os.DirFS(b.out))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	} else if err != nil {
		b.t.Fatal(err)
	}
	return got.Manifest.Digest
}

func TestFollowsABranch(t *testing.T) {
	o := newOrigin(t)
	first := o.push(shop, "first policy")
	b := newBench(t, o.path, nil)
	got := b.once()
	if got.Commit != first.String() || got.InForce != first.String() || got.Author != "Ada <ada@example.com>" || got.Subject != "first policy" {
		t.Errorf("outcome is %+v; want commit %s of Ada", got, first)
	}
	if !got.Time.Equal(time.Unix(1_700_000_001, 0)) || !got.Changed {
		t.Errorf("time is %v, changed %v; want the author's time, and a change", got.Time, got.Changed)
	}
	want := []Change{{Added, KindWorkload, "payments"}, {Added, KindWorkload, "web"}}
	if !slices.Equal(workloads(got.Changes), want) {
		t.Errorf("changes are %v; want %v", got.Changes, want)
	}

	again := b.once()
	if again.Changed || len(again.Changes) > 0 || again.Digest != got.Digest || again.Timings.Compile != 0 {
		t.Errorf("unchanged head: %+v; want nothing done", again)
	}

	o.push(shop.with(files{"README.md": "other words\n"}), "read me")
	readme := b.once()
	if readme.Changed || len(readme.Changes) > 0 || readme.Subject != "read me" {
		t.Errorf("README push: %+v; want the new commit in force and nothing written", readme)
	}

	next := o.push(shop.with(files{"web/web.cue": workloadFile("web", "/usr/bin/web", "/usr/bin/id"), "pay/payments.cue": ""}), "second")
	third := b.once()
	want = []Change{{Removed, KindWorkload, "payments"}, {Changed, KindWorkload, "web"}}
	if !slices.Equal(workloads(third.Changes), want) || third.InForce != next.String() || !third.Changed {
		t.Errorf("changes are %v in %s; want %v in %s", third.Changes, third.InForce, want, next)
	}
	if r := b.r.Last(); r == nil || r.Bundle.Manifest.Digest != third.Digest {
		t.Error("Last is not what is in force")
	}
}

func workloads(changes []Change) []Change {
	return slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.Kind != KindWorkload })
}

func TestMovedLinesAreReworded(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	b := newBench(t, o.path, nil)
	b.once()
	o.push(shop.with(files{"web/web.cue": "// a comment\n" + shop["web/web.cue"]}), "comment")
	if got := workloads(b.once().Changes); !slices.Equal(got, []Change{{Reworded, KindWorkload, "web"}}) {
		t.Errorf("changes are %v; want web reworded", got)
	}
}

func TestFollowsATag(t *testing.T) {
	o := newOrigin(t)
	first := o.push(shop, "first")
	second := o.push(shop.with(files{"web/web.cue": workloadFile("web", "/bin/two")}), "second")
	o.set("refs/tags/live", o.tag("live", first, plumbing.CommitObject))
	o.set("refs/tags/light", second)
	inner := o.tag("inner", second, plumbing.CommitObject)
	tests := map[string]struct {
		set  func()
		tag  string
		want string
	}{
		"annotated":    {func() {}, "live", first.String()},
		"lightweight":  {func() {}, "light", second.String()},
		"tag of a tag": {func() { o.set("refs/tags/outer", o.tag("outer", inner, plumbing.TagObject)) }, "outer", second.String()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.set()
			b := newBench(t, o.path, func(c *Config) { c.Tag = test.tag })
			if got := b.once(); got.InForce != test.want {
				t.Errorf("in force is %s; want %s", got.InForce, test.want)
			}
		})
	}
	t.Run("moved", func(t *testing.T) {
		b := newBench(t, o.path, func(c *Config) { c.Tag = "live" })
		b.once()
		o.set("refs/tags/live", o.tag("live", second, plumbing.CommitObject))
		if got := b.once(); got.InForce != second.String() {
			t.Errorf("in force is %s; want %s", got.InForce, second)
		}
	})
	t.Run("of a file", func(t *testing.T) {
		o.set("refs/tags/blob", o.raw(plumbing.BlobObject, "x"))
		newBench(t, o.path, func(c *Config) { c.Tag = "blob" }).fails("", "names the blob", "want a commit")
	})
}

func TestBrokenCommitThenHealed(t *testing.T) {
	o := newOrigin(t)
	first := o.push(shop, "first")
	b := newBench(t, o.path, nil)
	good := b.once()

	bad := o.push(shop.with(files{"web/web.cue": brokenFile}), "oops")
	got := b.fails(good.Digest, bad.String(), "is broken", first.String()+" stays in force", "web/web.cue:5:")
	var wrong compiler.Errors
	if !errors.As(got.Err, &wrong) || wrong[0].Pos.File != "web/web.cue" || wrong[0].Pos.Line != 5 {
		t.Errorf("error is %v; want compiler.Errors at web/web.cue:5", got.Err)
	}
	if got.Commit != bad.String() || got.InForce != first.String() || got.Changed {
		t.Errorf("outcome is of %s with %s in force; want %s and %s", got.Commit, got.InForce, bad, first)
	}
	if got.Timings.Compile == 0 {
		t.Error("a new commit was not compiled")
	}
	still := b.fails(good.Digest, bad.String(), "is broken", "web/web.cue:5:")
	if still.Timings.Compile != 0 || still.Timings.Read != 0 {
		t.Errorf("the broken commit was compiled again: %+v", still.Timings)
	}

	// After a restart what was in force comes from the clone, and the broken commit is reported.
	b.restart(nil)
	os.RemoveAll(b.out)
	b.r.Once(t.Context())
	b.fails(good.Digest, bad.String(), "is broken")
	if b.r.Last() == nil || b.r.Last().Bundle.Manifest.Digest != good.Digest {
		t.Error("Last is not what is in force")
	}

	healed := o.push(shop, "fixed")
	if got := b.once(); got.InForce != healed.String() || got.Digest != good.Digest {
		t.Errorf("in force is %s; want %s", got.InForce, healed)
	}
}

func TestTreesThatAreRefused(t *testing.T) {
	small := Limits{FileSize: 2000, Files: 4, TreeSize: 3000, Entries: 20}
	many := files{}
	for i := range 30 {
		many[fmt.Sprintf("d%d/notes.txt", i)] = "x"
	}
	tests := map[string]struct {
		files files
		want  []string
	}{
		"symbolic link":          {shop.with(files{"web/link.cue": "-> /etc/passwd"}), []string{"web/link.cue", "symbolic link"}},
		"link that is no policy": {shop.with(files{"docs/link": "-> ../../x"}), []string{"docs/link", "symbolic link"}},
		"submodule":              {shop.with(files{"sub": "@ 1234567890123456789012345678901234567890"}), []string{"sub: is a submodule"}},
		"huge file":              {shop.with(files{"web/big.cue": "// " + strings.Repeat("x", 4000)}), []string{"web/big.cue: has 4003 bytes; at most 2000"}},
		"many files": {shop.with(files{"a.cue": "package policy\n", "b.cue": "package policy\n"}),
			[]string{"more than 4 policy files"}},
		"many bytes": {shop.with(files{"a.cue": "// " + strings.Repeat("a", 1500), "b.cue": "// " + strings.Repeat("b", 1500)}),
			[]string{"at most 3000 are read"}},
		"many entries": {shop.with(many), []string{"more than 20 files and folders"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			o.push(shop, "first")
			b := newBench(t, o.path, func(c *Config) { c.Limits = small })
			good := b.once()
			o.push(test.files, "refused")
			got := b.fails(good.Digest, test.want...)
			var wrong compiler.Errors
			if !errors.As(got.Err, &wrong) {
				t.Errorf("error is %v; want compiler.Errors", got.Err)
			}
			o.push(shop.with(files{"README.md": "healed"}), "healed")
			b.once()
		})
	}
}

// Folders that CUE skips may hold anything.
func TestSkippedFolders(t *testing.T) {
	o := newOrigin(t)
	o.push(shop.with(files{"_drafts/link": "-> x", ".github/link": "-> y", "_sub": "@ 1234567890123456789012345678901234567890",
		"_drafts/bad.cue": "not cue at all {"}), "first")
	newBench(t, o.path, nil).once()
}

func TestNamesThatGitDoesNotMake(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	blob := o.raw(plumbing.BlobObject, "package policy\n")
	for name, entry := range map[string]string{"parent": "..", "slash": "a/../../b.cue", "twice": "a.cue\x00" + string(blob[:]) + "100644 a.cue"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, o.path, nil)
			good := b.once()
			before := o.head()
			tree := o.raw(plumbing.TreeObject, "100644 "+entry+"\x00"+string(blob[:]))
			o.set("refs/heads/main", o.commitTree(tree, "evil", before))
			b.fails(good.Digest, "is broken", "no name that git makes")
			o.set("refs/heads/main", before)
		})
	}
}

func TestDriftIsRepaired(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	b := newBench(t, o.path, nil)
	good := b.once()
	damage := map[string]func() error{
		"removed":   func() error { return os.RemoveAll(b.out) },
		"truncated": func() error { return os.Truncate(filepath.Join(b.out, bundle.ManifestName), 10) },
	}
	for name, do := range damage {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if got := b.once(); !got.Changed || len(got.Changes) > 0 || got.Digest != good.Digest || !got.Targets[0].Applied {
			t.Errorf("%s: %+v; want the folder written again and no change of policy", name, got)
		}
	}
}

// A folder below a file can't be written; the other one is.
func TestOneTargetFails(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	blocked := filepath.Join(t.TempDir(), "blocked")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, o.path, func(c *Config) { c.Targets = append([]Target{Folder{filepath.Join(blocked, "x")}}, c.Targets...) })
	got := b.r.Once(t.Context())
	if !errors.Is(got.Err, ErrTarget) || !strings.Contains(got.Err.Error(), blocked) {
		t.Errorf("error is %v; want ErrTarget that names %s", got.Err, blocked)
	}
	if b.inForce() != got.Digest || got.Digest == "" || got.Targets[0].Err == nil || got.Targets[1].Err != nil || !got.Changed {
		t.Errorf("outcome is %+v; want the second folder written", got)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if got := b.once(); !got.Targets[0].Applied || got.Targets[1].Applied {
		t.Errorf("targets are %+v; want the first one written now", got.Targets)
	}
}

func TestRewind(t *testing.T) {
	o := newOrigin(t)
	first := o.push(shop, "first")
	second := o.push(shop.with(files{"web/web.cue": workloadFile("web", "/bin/two")}), "second")
	b := newBench(t, o.path, nil)
	good := b.once()

	o.set("refs/heads/main", first)
	got := b.fails(good.Digest, first.String(), second.String(), "is refused", "--accept-commit "+first.String())
	if !errors.Is(got.Err, ErrRewound) || errors.Is(got.Err, ErrRemote) {
		t.Errorf("error is %v; want ErrRewound", got.Err)
	}
	b.restart(nil) // the refusal is remembered over a restart
	b.fails(good.Digest, "is refused")

	fork := o.commit(shop.with(files{"web/web.cue": workloadFile("web", "/bin/fork")}), "fork", first)
	o.set("refs/heads/main", fork)
	b.fails(good.Digest, fork.String(), "does not descend")

	b.restart(func(c *Config) { c.AcceptCommits = []string{fork.String()} })
	if got := b.once(); got.InForce != fork.String() || !got.Changed {
		t.Errorf("in force is %s; want the accepted %s", got.InForce, fork)
	}
	b.restart(func(c *Config) { c.AcceptCommits = nil })
	merge := o.commit(shop, "merge", second, fork)
	o.set("refs/heads/main", merge)
	if got := b.once(); got.InForce != merge.String() {
		t.Errorf("in force is %s; want the merge %s, which descends by its second parent", got.InForce, merge)
	}
	o.set("refs/heads/main", first)
	b.restart(func(c *Config) { c.AllowRewind = true })
	if got := b.once(); got.InForce != first.String() {
		t.Errorf("in force is %s; want %s", got.InForce, first)
	}
}

func TestHistoryBeyondTheLimit(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	b := newBench(t, o.path, func(c *Config) { c.Limits.History = 5 })
	good := b.once()
	for i := range 8 {
		o.push(shop.with(files{"README.md": fmt.Sprint(i)}), "more")
	}
	got := b.fails(good.Digest, "is refused", "not among the last 5 commits")
	if !errors.Is(got.Err, ErrRewound) {
		t.Errorf("error is %v; want ErrRewound", got.Err)
	}
}

func TestRemoteGoneAndBack(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	b := newBench(t, o.path, nil)
	good := b.once()
	away := o.path + ".away"
	if err := os.Rename(o.path, away); err != nil {
		t.Fatal(err)
	}
	got := b.fails(good.Digest, o.path, "the folder is not there", "bring it back")
	if !errors.Is(got.Err, ErrRemote) || got.InForce == "" || got.Commit != got.InForce {
		t.Errorf("outcome is %+v; want ErrRemote and what is in force", got)
	}

	// A restart without the remote puts the last good commit in force from the clone.
	b.restart(nil)
	if err := os.RemoveAll(b.out); err != nil {
		t.Fatal(err)
	}
	got = b.r.Once(t.Context())
	if !errors.Is(got.Err, ErrRemote) || !got.Changed || b.inForce() != good.Digest || got.Subject != "first" {
		t.Errorf("outcome is %+v with %q in the folder; want %q from the clone", got, b.inForce(), good.Digest)
	}

	if err := os.Rename(away, o.path); err != nil {
		t.Fatal(err)
	}
	next := o.push(shop.with(files{"web/web.cue": workloadFile("web", "/bin/two")}), "second")
	if got := b.once(); got.InForce != next.String() {
		t.Errorf("in force is %s; want %s", got.InForce, next)
	}
}

func TestRemotesThatCannotBeRead(t *testing.T) {
	empty := newOrigin(t)
	full := newOrigin(t)
	full.push(shop, "first")
	full.set("refs/tags/v1", full.head())
	plain := t.TempDir()
	damaged := newOrigin(t)
	h := damaged.push(shop, "first").String()
	if err := os.Truncate(filepath.Join(damaged.path, "objects", h[:2], h[2:]), 3); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		url    string
		change func(*Config)
		want   []string
	}{
		"missing folder": {filepath.Join(plain, "none"), nil, []string{"the folder is not there", "correct the path"}},
		"no repository":  {plain, nil, []string{"is no git repository", "git init"}},
		"empty":          {empty.path, nil, []string{"is empty", "push a first commit"}},
		"empty, branch":  {"file://" + empty.path, func(c *Config) { c.Branch = "main" }, []string{"is empty"}},
		"missing branch": {full.path, func(c *Config) { c.Branch = "live" }, []string{`branch "live" does not exist`, `it has "main"`}},
		"missing tag":    {full.path, func(c *Config) { c.Tag = "v2" }, []string{`tag "v2" does not exist`, `it has "v1"`}},
		"damaged":        {damaged.path, nil, []string{"cannot be read as a whole", "git fsck"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, test.url, test.change)
			got := b.fails("", append(test.want, strings.TrimPrefix(test.url, "file://"))...)
			if !errors.Is(got.Err, ErrRemote) || strings.Contains(got.Err.Error(), "\n") {
				t.Errorf("error is %q; want ErrRemote in one line", got.Err)
			}
		})
	}
	t.Run("deleted branch", func(t *testing.T) {
		b := newBench(t, full.path, func(c *Config) { c.Branch = "main" })
		good := b.once()
		full.set("refs/heads/other", full.head())
		full.remove("refs/heads/main")
		b.fails(good.Digest, `branch "main" does not exist`, `"other"`)
	})
}

func TestWorkTreeAsRemote(t *testing.T) {
	git := gitBinary(t)
	dir := t.TempDir()
	for name, data := range shop {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(data), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	git(dir, "init", "-q", "-b", "main")
	git(dir, "add", ".")
	git(dir, "commit", "-q", "-m", "first")
	b := newBench(t, dir, nil)
	first := b.once()
	git(dir, "gc", "-q") // packs and packed references from now on
	git(dir, "worktree", "add", "-q", "-b", "live", filepath.Join(t.TempDir(), "live"))
	if got := b.once(); got.Changed || got.Digest != first.Digest {
		t.Errorf("after gc: %+v; want nothing new", got)
	}
	b.restart(func(c *Config) { c.Branch = "live" })
	if got := b.once(); got.Digest != first.Digest {
		t.Errorf("branch of a linked worktree: %+v", got)
	}
}

func TestFolderIsLocked(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	b := newBench(t, o.path, nil)
	b.once()
	second, err := New(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := second.Once(t.Context()); got.Err == nil || !strings.Contains(got.Err.Error(), "in use by another writ") {
		t.Errorf("error is %v; want the folder in use", got.Err)
	}
	b.r.Close()
	defer second.Close()
	if got := second.Once(t.Context()); got.Err != nil {
		t.Error(got.Err)
	}
}

func TestDamagedState(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	b := newBench(t, o.path, nil)
	good := b.once()
	for name, data := range map[string]string{"truncated": "{", "other format": `{"format": -1}`, "no format": `{}`, "no commit": `{"format": 2, "commit": "x"}`,
		"no commit of the format before": `{"format": 1, "commit": "x"}`} {
		b.restart(nil)
		if err := os.WriteFile(statePath(b.cfg.Dir), []byte(data), 0o600); err != nil {
			t.Fatal(name, err)
		}
		b.fails(good.Digest, "state.json", "is damaged", "remove it")
	}
	if err := os.Remove(statePath(b.cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	b.once()
}

// TestStateOfAnotherVersion reads what the version before wrote, of which only what has come and gone can be told, and refuses what a later one did.
func TestStateOfAnotherVersion(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	b := newBench(t, o.path, nil)
	good := b.once()
	b.restart(nil)
	s, err := readState(b.cfg.Dir)
	if err != nil || s.Format != stateFormat || s.Layout != bundle.Format {
		t.Fatalf("state %+v, %v", s, err)
	}
	var files []string
	for i, f := range s.Files { // another form of what stays, without the rest
		if f.Path == "rules/web.json" || f.Path == "node/web.json" {
			files = append(files, fmt.Sprintf(`{"path": %q, "size": 1, "sha256": "%064x"}`, f.Path, i))
		}
	}
	old := fmt.Sprintf(`{"format": 1, "remote": %q, "ref": %q, "commit": %q, "digest": "%064x", "files": [%s]}`, s.Remote, s.Ref, s.Commit, 1, strings.Join(files, ","))
	if err := os.WriteFile(statePath(b.cfg.Dir), []byte(old), 0o600); err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	got := b.once()
	if got.Err != nil || got.Digest != good.Digest || slices.ContainsFunc(got.Changes, func(c Change) bool { return c.Action != Added || c.Name == "web" }) || len(got.Changes) == 0 {
		t.Errorf("changes %v, %v; want that others than web were added", got.Changes, got.Err)
	}
	if s, err = readState(b.cfg.Dir); err != nil || s.Layout != bundle.Format || len(s.Files) <= len(files) {
		t.Errorf("state %+v, %v; want it in this version's form", s, err)
	}
	b.restart(nil)
	if err := os.WriteFile(statePath(b.cfg.Dir), []byte(`{"format": 3}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b.fails(good.Digest, "state.json", "written by a later version of writ", "format 3", "run that version")
}

func TestAnotherRemoteInTheSameFolder(t *testing.T) {
	o, other := newOrigin(t), newOrigin(t)
	o.push(shop, "first")
	h := other.push(shop.with(files{"web/web.cue": workloadFile("web", "/bin/other")}), "elsewhere")
	b := newBench(t, o.path, nil)
	good := b.once()
	b.restart(func(c *Config) { c.URL = other.path })
	b.fails(good.Digest, h.String(), "is refused", good.InForce)
	b.restart(func(c *Config) { c.AcceptCommits = []string{h.String()} })
	if got := b.once(); got.InForce != h.String() {
		t.Errorf("in force is %s; want %s", got.InForce, h)
	}
}

func TestCancelled(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	b := newBench(t, o.path, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := b.r.Once(ctx); !errors.Is(got.Err, context.Canceled) {
		t.Errorf("error is %v; want context.Canceled", got.Err)
	}
	b.once()
}

func TestConfigsThatAreRefused(t *testing.T) {
	full := func(change func(*Config)) Config {
		c := Config{URL: "/policy", Dir: "/state"}
		change(&c)
		return c
	}
	tests := map[string]struct {
		cfg  Config
		want string
	}{
		"no URL":         {full(func(c *Config) { c.URL = "" }), "no policy repository is named"},
		"no folder":      {full(func(c *Config) { c.Dir = "" }), "no folder for the clone"},
		"both":           {full(func(c *Config) { c.Branch, c.Tag = "a", "b" }), "want one"},
		"branch name":    {full(func(c *Config) { c.Branch = "a..b" }), "not a name that git allows"},
		"short commit":   {full(func(c *Config) { c.AcceptCommits = []string{"abc"} }), "40 hexadecimal digits"},
		"interval":       {full(func(c *Config) { c.Interval = time.Millisecond }), "at least 1s"},
		"same targets":   {full(func(c *Config) { c.Targets = []Target{Folder{"/a"}, Folder{"/a"}} }), "different names"},
		"plain http":     {full(func(c *Config) { c.URL = "http://git.example.com/x" }), "plain http"},
		"scheme":         {full(func(c *Config) { c.URL = "ftp://git.example.com/x" }), `scheme "ftp"`},
		"file host":      {full(func(c *Config) { c.URL = "file://host/x" }), "file:///path"},
		"ssh password":   {full(func(c *Config) { c.URL = "ssh://git:geheim@host/x" }), "key file or an agent"},
		"unreadable URL": {full(func(c *Config) { c.URL = "https://u:geheim@host:port/x" }), "cannot be read"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := New(test.cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("error is %v; want one that says %q and no password", err, test.want)
			}
		})
	}
}
