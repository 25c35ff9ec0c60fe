// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package treegen

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/writ-sec/writ/policies"
	"github.com/writ-sec/writ/schema"
)

const (
	moduleFile = "cue.mod/module.cue"
	module     = "module: \"policy.example/policy@v0\"\nlanguage: version: \"v0.17.0\"\n"
)

// vendor adds the schema and the library where CUE's own tools look for them.
func vendor(files map[string][]byte) {
	for importPath, dir := range map[string]fs.FS{schema.ImportPath: schema.CUE, policies.ImportPath: policies.CUE} {
		names, err := fs.Glob(dir, "*.cue")
		if err != nil {
			panic(fmt.Sprintf("treegen: embedded files: %v", err)) // the pattern is constant
		}
		for _, name := range names {
			data, err := fs.ReadFile(dir, name)
			if err != nil {
				panic(fmt.Sprintf("treegen: embedded files: %v", err)) // it was just listed
			}
			files["cue.mod/pkg/"+importPath+"/"+name] = data
		}
	}
}

// Write writes files, by slash-separated path, into a folder, which may exist.
func Write(dir string, files map[string][]byte) error {
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func writeLinks(dir string, links map[string]string) error {
	for name, target := range links {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(target, path); err != nil {
			return err
		}
	}
	return nil
}
