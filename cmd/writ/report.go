// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/writ-sec/writ/compiler"
)

// diagnosticForms are the output forms of commands that check a policy.
var diagnosticForms = []outputFlag{outputText, outputJSON, outputSARIF, outputGitHub}

// diagnostics prints errors and warnings: in the form of a code host on stdout, else for people on stderr. Answered warnings are for code
// hosts that keep count of them. root is the policy repository.
func (s stdio) diagnostics(out outputFlag, root string, r compiler.Report) error {
	switch out {
	case outputSARIF:
		prefix := workTreePrefix(root)
		r.Version, r.Errors, r.Warnings = versionString(), below(prefix, r.Errors), below(prefix, r.Warnings)
		r.Silenced = slices.Clone(r.Silenced)
		for i := range r.Silenced {
			r.Silenced[i].Diagnostic = below(prefix, []compiler.Diagnostic{r.Silenced[i].Diagnostic})[0]
		}
		return compiler.RenderSARIF(s.out, r)
	case outputGitHub:
		prefix := workTreePrefix(root)
		compiler.RenderGitHub(s.out, below(prefix, r.Errors))
		compiler.RenderGitHub(s.out, below(prefix, r.Warnings))
	default:
		compiler.Render(s.err, r.Errors)
		compiler.Render(s.err, r.Warnings)
	}
	return nil
}

// failedCompile prints the errors of a policy in the form of a code host. In every other form, and for every other error, main prints them.
func failedCompile(s stdio, out outputFlag, root string, err error) error {
	var errs compiler.Errors
	if out != outputSARIF && out != outputGitHub || !errors.As(err, &errs) {
		return err
	}
	if err := s.diagnostics(out, root, compiler.Report{Errors: errs}); err != nil {
		return err
	}
	return saysNo{plural(len(errs), "error")}
}

// below names files from a folder above.
func below(prefix string, ds []compiler.Diagnostic) []compiler.Diagnostic {
	moved := make([]compiler.Diagnostic, len(ds))
	for i, d := range ds {
		if d.Pos.File != "" {
			d.Pos.File = path.Join(prefix, d.Pos.File)
		}
		moved[i] = d
	}
	return moved
}

// workTreePrefix returns the way from the root of the git work tree that holds a policy repository to the repository, slash-separated: code
// hosts name files so. It is "" for the root itself, and where there is no git.
func workTreePrefix(root string) string {
	for dir := root; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			prefix, err := filepath.Rel(dir, root)
			if err != nil || prefix == "." {
				return ""
			}
			return filepath.ToSlash(prefix)
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}
