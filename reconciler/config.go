// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/reconciler/gitauth"
)

// Defaults and bounds of a [Config].
const (
	DefaultInterval = 30 * time.Second
	MinInterval     = time.Second
	DefaultTimeout  = time.Minute
	// MaxBackoff is how long Run waits at most between two tries of a remote that fails, unless Interval is longer.
	MaxBackoff = 5 * time.Minute
)

// Config says where policy comes from and where it goes. URL and Dir must be set.
type Config struct {
	// URL of the policy repository: https://…, ssh://… or user@host:path, file://… or a local path. Plain http is for loopback only.
	// A user in the URL is used; so is a password, but it is taken out of the URL at once and never printed.
	URL string
	// Branch or Tag is what to follow; at most one is set. Neither: the remote's default branch.
	Branch, Tag string
	// Dir is a folder of this Reconciler alone: the clone and what is remembered over a restart. It is made when it is missing.
	Dir  string
	Auth Auth
	// Interval is the time between two polls, ±10 %. 0: DefaultInterval. At least MinInterval.
	Interval time.Duration
	// Timeout bounds each of: a transfer, a compilation, and the application to one target. 0: DefaultTimeout.
	Timeout time.Duration
	// Targets are where a good bundle goes. Their names differ.
	Targets []Target
	Limits  Limits
	// AcceptCommits are commits, 40 hexadecimal digits each, that may be put in force although they do not descend from the one in force.
	AcceptCommits []string
	// AllowRewind accepts every such commit. For tests and for repositories whose history is rewritten as a habit.
	AllowRewind bool
	Compiler    compiler.Config
}

// Auth is how a remote is told who asks.
type Auth = gitauth.Auth

// Limits bound what is taken from a remote. A zero field has the default.
type Limits struct {
	Transfer int64 // bytes of one transfer; 0: 256 MiB
	Unpacked int64 // bytes of all objects of one transfer, unpacked; 0: 2 GiB
	Object   int64 // bytes of one object, unpacked: it may be held in memory; 0: 256 MiB
	Entries  int   // files and folders of one commit, also those that are not policy; 0: 500,000
	Files    int   // policy files of one commit; 0: compiler.MaxFiles
	FileSize int64 // bytes of one policy file; 0: compiler.MaxFile
	TreeSize int64 // bytes of all policy files of one commit; 0: compiler.MaxTree
	History  int   // commits that are looked at to find the one in force among the ancestors of a new one; 0: 4,096
}

// depth is how many commits of history a transfer asks for: enough that the one in force is nearly always among them.
const depth = 64

// maxPath bounds the path of a file in the repository, in bytes, and with it the depth of folders.
const maxPath = 4096

var hexCommit = regexp.MustCompile(`^[0-9a-f]{40}$`)

func (c Config) withDefaults() Config {
	c.Interval = cmp.Or(c.Interval, DefaultInterval)
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	l := &c.Limits
	l.Transfer = cmp.Or(l.Transfer, 256<<20)
	l.Unpacked = cmp.Or(l.Unpacked, 2<<30)
	l.Object = cmp.Or(l.Object, 256<<20)
	l.Entries = cmp.Or(l.Entries, 500_000)
	l.Files = cmp.Or(l.Files, compiler.MaxFiles)
	l.FileSize = cmp.Or(l.FileSize, compiler.MaxFile)
	l.TreeSize = cmp.Or(l.TreeSize, compiler.MaxTree)
	l.History = cmp.Or(l.History, 4096)
	return c
}

func (c Config) check() error {
	switch {
	case c.Dir == "":
		return errors.New("no folder for the clone is named; want one that is kept over restarts")
	case c.Branch != "" && c.Tag != "":
		return fmt.Errorf("both branch %q and tag %q are named; want one", c.Branch, c.Tag)
	case c.Interval < MinInterval:
		return fmt.Errorf("poll interval is %v; want at least %v", c.Interval, MinInterval)
	case c.Timeout < 0:
		return fmt.Errorf("timeout is %v; want a positive one", c.Timeout)
	}
	for _, h := range c.AcceptCommits {
		if !hexCommit.MatchString(h) {
			return fmt.Errorf("commit to accept is %q; want all 40 hexadecimal digits, as the refusal prints them", h)
		}
	}
	seen := map[string]bool{}
	for _, t := range c.Targets {
		if seen[t.Name()] {
			return fmt.Errorf("two targets are named %q; want different names", t.Name())
		}
		seen[t.Name()] = true
	}
	return nil
}

// reference returns the full name of what the Config follows, and a phrase for people.
func (c Config) reference() (plumbing.ReferenceName, string, error) {
	var name plumbing.ReferenceName
	var phrase string
	switch {
	case c.Branch != "":
		name, phrase = plumbing.NewBranchReferenceName(c.Branch), fmt.Sprintf("branch %q", c.Branch)
	case c.Tag != "":
		name, phrase = plumbing.NewTagReferenceName(c.Tag), fmt.Sprintf("tag %q", c.Tag)
	default:
		return plumbing.HEAD, "the default branch", nil
	}
	if name.Validate() != nil {
		return "", "", fmt.Errorf("%s is not a name that git allows", phrase)
	}
	return name, phrase, nil
}

func (c Config) clonePath() string { return filepath.Join(c.Dir, "clone.git") }
