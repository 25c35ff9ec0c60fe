// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/writ-sec/writ/reconciler/gitauth/sshdtest"
)

type remoteTest func(t *testing.T, o *origin, url string, change func(*Config))

// eachRemote runs a test over every kind of remote. The origin is the same; what differs is the URL and how one is let in.
func eachRemote(t *testing.T, test remoteTest) {
	eachClone(t, test)
	t.Run("ssh", func(t *testing.T) {
		s := sshdtest.Start(t)
		o := newOrigin(t)
		test(t, o, s.URL+o.path, func(c *Config) { c.Auth = Auth{KeyFile: s.KeyFile, KnownHosts: s.KnownHosts} })
	})
}

// eachClone runs a test over the two kinds of clone: of a repository that is read in place, and of a server's.
func eachClone(t *testing.T, test remoteTest) {
	t.Run("file", func(t *testing.T) {
		o := newOrigin(t)
		test(t, o, "file://"+o.path, nil)
	})
	t.Run("https", func(t *testing.T) {
		o := newOrigin(t)
		url, ca := serve(t, filepath.Dir(o.path), demand)
		test(t, o, url+"/policy.git", func(c *Config) {
			c.Auth = Auth{User: "ada", PasswordFile: writeFile(t, testPassword), CAFile: ca}
		})
	})
}

func TestEachRemoteIsFollowed(t *testing.T) {
	eachRemote(t, func(t *testing.T, o *origin, url string, change func(*Config)) {
		b := newBench(t, url, change)
		b.fails("", "is empty", "push a first commit")
		for i := range 100 { // more than one transfer asks for
			o.push(shop.with(files{"README.md": fmt.Sprint(i)}), "words")
		}
		first := o.push(shop, "first")
		good := b.once()
		if got := b.once(); got.Changed || got.InForce != first.String() {
			t.Errorf("unchanged head: %+v", got)
		}
		second := o.push(shop.with(files{"web/web.cue": workloadFile("web", "/bin/two")}), "second")
		if got := b.once(); got.InForce != second.String() || got.Digest == good.Digest || !got.Changed {
			t.Errorf("outcome is %+v; want %s in force", got, second)
		}
		o.push(shop.with(files{"web/web.cue": brokenFile}), "broken")
		good = Outcome{Digest: b.inForce()}
		b.fails(good.Digest, "is broken", "web/web.cue:5:")
		b.restart(nil)
		if err := os.RemoveAll(b.out); err != nil {
			t.Fatal(err)
		}
		b.r.Once(t.Context())
		b.fails(good.Digest, "is broken", second.String()+" stays in force")

		o.set("refs/tags/v1", o.tag("v1", first, plumbing.CommitObject))
		tag := newBench(t, url, func(c *Config) { apply(change, c); c.Tag = "v1" })
		if got := tag.once(); got.InForce != first.String() {
			t.Errorf("tag puts %s in force; want %s", got.InForce, first)
		}
		newBench(t, url, func(c *Config) { apply(change, c); c.Branch = "live" }).fails("", `branch "live" does not exist; it has "main"`)
	})
}

func apply(change func(*Config), c *Config) {
	if change != nil {
		change(c)
	}
}

func TestEachRemoteIsRewound(t *testing.T) {
	eachRemote(t, func(t *testing.T, o *origin, url string, change func(*Config)) {
		var history []plumbing.Hash
		for i := range 200 {
			history = append(history, o.push(shop.with(files{"README.md": fmt.Sprint(i)}), "words"))
		}
		b := newBench(t, url, change)
		good := b.once()
		for name, h := range map[string]plumbing.Hash{
			"one back":           history[198],
			"beyond the shallow": history[10],
			"fork near":          o.commit(shop.with(files{"a.txt": "a"}), "near", history[190]),
			"fork far":           o.commit(shop.with(files{"a.txt": "b"}), "far", history[3]),
			"unrelated":          o.commit(shop.with(files{"a.txt": "c"}), "unrelated"),
		} {
			o.set("refs/heads/main", h)
			got := b.fails(good.Digest, "is refused", h.String(), "does not descend")
			if !errors.Is(got.Err, ErrRewound) {
				t.Errorf("%s: error is %v; want ErrRewound", name, got.Err)
			}
			if again := b.fails(good.Digest, "is refused"); again.Timings.Fetch > got.Timings.Fetch && again.Timings.Read > 0 {
				t.Errorf("%s: judged again: %+v", name, again.Timings)
			}
		}
		// 150 commits while nobody looked: more than one transfer asks for, and still a descendant.
		h := history[199]
		for i := range 150 {
			h = o.commit(shop.with(files{"README.md": fmt.Sprint("later", i)}), "later", h)
		}
		o.set("refs/heads/main", h)
		if got := b.once(); got.InForce != h.String() {
			t.Errorf("in force is %s; want %s", got.InForce, h)
		}
		// An old side branch is merged.
		side := o.commit(shop.with(files{"web/web.cue": workloadFile("web", "/bin/side")}), "side", history[5])
		merge := o.commit(shop.with(files{"web/web.cue": workloadFile("web", "/bin/side")}), "merge", h, side)
		o.set("refs/heads/main", merge)
		if got := b.once(); got.InForce != merge.String() || len(workloads(got.Changes)) != 1 {
			t.Errorf("outcome is %+v; want the merge %s", got, merge)
		}
		// A rewind that is accepted, to a commit that the clone may have in part.
		o.set("refs/heads/main", history[100])
		b.fails(b.inForce(), "is refused")
		b.restart(func(c *Config) { c.AcceptCommits = []string{history[100].String()} })
		if got := b.once(); got.InForce != history[100].String() {
			t.Errorf("in force is %s; want %s", got.InForce, history[100])
		}
	})
}

func TestEachRemoteGone(t *testing.T) {
	eachRemote(t, func(t *testing.T, o *origin, url string, change func(*Config)) {
		o.push(shop, "first")
		b := newBench(t, url, change)
		good := b.once()
		if err := os.Rename(o.path, o.path+".away"); err != nil {
			t.Fatal(err)
		}
		b.fails(good.Digest, "policy repository")
		b.restart(nil)
		if err := os.RemoveAll(b.out); err != nil {
			t.Fatal(err)
		}
		if got := b.r.Once(t.Context()); !errors.Is(got.Err, ErrRemote) || b.inForce() != good.Digest {
			t.Errorf("outcome is %+v; want the last good bundle from the clone", got)
		}
		if err := os.Rename(o.path+".away", o.path); err != nil {
			t.Fatal(err)
		}
		b.once()
	})
}

// damages are ways in which a clone goes bad. Each gets its folder.
var damages = map[string]func(dir string) error{
	"empty folder": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)) },
	"no HEAD":      func(dir string) error { return os.RemoveAll(filepath.Join(dir, "HEAD")) },
	"bad config": func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "config"), []byte("[core\n\x00"), 0o600)
	},
	"bad shallow":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "shallow"), []byte("x\n"), 0o600) },
	"packs removed": func(dir string) error { return each(dir, "objects/pack/*", os.Remove) },
	"index removed": func(dir string) error { return each(dir, "objects/pack/*.idx", os.Remove) },
	"packs cut": func(dir string) error {
		return each(dir, "objects/pack/*.pack", func(n string) error { return rewrite(n, cutHalf) })
	},
	"packs flipped": func(dir string) error {
		return each(dir, "objects/pack/*.pack", func(n string) error { return rewrite(n, flip) })
	},
	"index cut": func(dir string) error {
		return each(dir, "objects/pack/*.idx", func(n string) error { return rewrite(n, cutHalf) })
	},
	"index flipped": func(dir string) error {
		return each(dir, "objects/pack/*.idx", func(n string) error { return rewrite(n, flip) })
	},
}

func cutHalf(data []byte) []byte { return data[:len(data)/2] }

func flip(data []byte) []byte {
	for i := len(data) / 4; i < len(data); i += 97 {
		data[i] ^= 0x55
	}
	return data
}

func rewrite(name string, change func([]byte) []byte) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return errors.Join(os.Remove(name), os.WriteFile(name, change(data), 0o600))
}

func each(dir, pattern string, do func(string) error) error {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		return errors.Join(err, fmt.Errorf("nothing is like %s", pattern))
	}
	for _, n := range names {
		err = errors.Join(err, do(n))
	}
	return err
}

// A damaged clone is made anew, whether it is found at a start, at an unchanged or at a new head; what is in force stays.
func TestDamagedClone(t *testing.T) {
	eachClone(t, func(t *testing.T, o *origin, url string, change func(*Config)) {
		o.push(shop, "first")
		for name, damage := range damages {
			b := newBench(t, url, change)
			good := b.once()
			b.restart(nil)
			if err := damage(b.cfg.clonePath()); err != nil {
				t.Fatal(name, err)
			}
			if got := b.once(); got.Digest != good.Digest {
				t.Errorf("%s: %+v; want what was in force", name, got)
			}
			if err := damage(b.cfg.clonePath()); err != nil { // while it is open
				t.Fatal(name, err)
			}
			next := o.push(shop.with(files{"web/web.cue": workloadFile("web", "/bin/"+name[:3])}), name)
			if got := b.once(); got.InForce != next.String() {
				t.Errorf("%s: in force is %s; want %s", name, got.InForce, next)
			}
			b.restart(nil)
			o.push(shop.with(files{"web/web.cue": brokenFile}), "broken")
			if err := damage(b.cfg.clonePath()); err != nil {
				t.Fatal(name, err)
			}
			b.fails(b.inForce(), "is broken")
			o.push(shop, "healed")
			b.once()
		}
	})
}

func TestCloneIsMadeAnewWhenWorn(t *testing.T) {
	eachClone(t, func(t *testing.T, o *origin, url string, change func(*Config)) {
		o.push(shop, "first")
		b := newBench(t, url, change)
		b.once()
		for i := range manyPacks + 2 {
			o.push(shop.with(files{"web/web.cue": workloadFile("web", fmt.Sprintf("/bin/%d", i))}), "more")
			b.once()
		}
		if n := b.r.clone.packs(); n <= manyPacks {
			t.Fatalf("%d packs; want more than %d", n, manyPacks)
		}
		good := b.once()
		if n := b.r.clone.packs(); n > 2 {
			t.Errorf("%d packs after an idle poll; want a new clone", n)
		}
		if err := os.Rename(o.path, o.path+".away"); err != nil {
			t.Fatal(err)
		}
		b.restart(nil)
		b.fails(good.Digest, "policy repository")
		if b.r.Last() == nil {
			t.Error("the new clone does not hold what is in force")
		}
	})
}

// Whenever the exchange of clones stops, one of them can be opened.
func TestInterruptedExchange(t *testing.T) {
	o := newOrigin(t)
	o.push(shop, "first")
	b := newBench(t, o.path, nil)
	good := b.once()
	clone := b.cfg.clonePath()
	for name, stop := range map[string]func() error{
		"before": func() error { return os.CopyFS(clone+".new", os.DirFS(clone)) },
		"between": func() error {
			return errors.Join(os.CopyFS(clone+".new", os.DirFS(clone)), os.Rename(clone, clone+".old"))
		},
		"after": func() error { return os.CopyFS(clone+".old", os.DirFS(clone)) },
	} {
		b.restart(nil)
		if err := stop(); err != nil {
			t.Fatal(name, err)
		}
		away := o.path + ".away"
		if err := os.Rename(o.path, away); err != nil {
			t.Fatal(err)
		}
		b.fails(good.Digest, "bring it back")
		if b.r.Last() == nil {
			t.Errorf("%s: what was in force is not in the clone", name)
		}
		if err := os.Rename(away, o.path); err != nil {
			t.Fatal(err)
		}
		left, _ := filepath.Glob(clone + ".*")
		if len(left) > 0 {
			t.Errorf("%s: left are %q", name, left)
		}
	}
}
