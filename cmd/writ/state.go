// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// state is the folder that one writ up keeps: see the package comment.
type state struct{ dir string }

// source is the repository that a state folder belongs to.
type source struct {
	URL    string `json:"url"`
	Branch string `json:"branch,omitempty"`
	Tag    string `json:"tag,omitempty"`
}

func (s state) clone() string        { return filepath.Join(s.dir, "source") }
func (s state) bundle() string       { return filepath.Join(s.dir, "bundle") }
func (s state) observations() string { return filepath.Join(s.dir, "observations.json") }
func (s state) sourceFile() string   { return filepath.Join(s.dir, "source.json") }

// systemState is where writ up keeps its state when it was started as root.
const systemState = "/var/lib/writ"

// defaultState is systemState for root and for the user that writ up became there, and a folder of the XDG base directory specification for
// everyone else.
func defaultState() string {
	if os.Geteuid() == 0 || ownsDir(systemState) {
		return systemState
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "writ")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), fmt.Sprintf("writ-%d", os.Getuid()))
	}
	return filepath.Join(home, ".local", "state", "writ")
}

func (s *state) register(c *cobra.Command) {
	c.Flags().StringVar(&s.dir, "state", defaultState(), "folder that writ up keeps its state in")
	_ = c.MarkFlagDirname("state")
}

// setSource binds the folder to a repository. A folder that belongs to another repository is refused.
func (s state) setSource(src source) error {
	old, err := s.source()
	if err == nil && old.URL != src.URL {
		return hinted{fmt.Errorf("state folder %s belongs to the repository %s", s.dir, old.URL), "give another folder with --state, or remove this one"}
	}
	data, err := json.Marshal(src)
	if err != nil {
		return err
	}
	tmp := s.sourceFile() + ".new"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, s.sourceFile())
}

// source reads what setSource wrote.
func (s state) source() (source, error) {
	var src source
	data, err := os.ReadFile(s.sourceFile())
	if errors.Is(err, fs.ErrNotExist) {
		return src, hinted{fmt.Errorf("state folder %s holds nothing", s.dir), "start writ up first, or name its folder with --state"}
	} else if err != nil {
		return src, err
	}
	if err := json.Unmarshal(data, &src); err != nil {
		return src, fmt.Errorf("%s: %w", s.sourceFile(), err)
	}
	return src, nil
}
