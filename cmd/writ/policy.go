// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema/bundle"
)

// findRoot returns the root of the policy repository that holds dir: the folder with cue.mod.
func findRoot(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return "", fmt.Errorf("policy repository: %w", err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("policy repository: %s is not a folder", abs)
	}
	for d := abs; ; d = filepath.Dir(d) {
		if info, err := os.Stat(filepath.Join(d, "cue.mod")); err == nil && info.IsDir() {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", hinted{fmt.Errorf("policy repository: neither %s nor a folder above it has a cue.mod", abs), "make one with: writ init " + dir}
		}
	}
}

// compileDir compiles the repository that holds dir. Its warnings go to stderr in text form, unless quiet.
func compileDir(ctx context.Context, dir string) (*compiler.Result, string, error) {
	root, err := findRoot(dir)
	if err != nil {
		return nil, "", err
	}
	tree, err := compiler.ReadDir(root)
	if err != nil {
		return nil, root, err
	}
	env := headEnvelope(root, tree)
	res, err := compiler.New(compiler.Config{}).Compile(ctx, tree, env)
	return res, root, err
}

// dirArg returns the folder that a command was given, or the current one.
func dirArg(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return "."
}

func newInit(io stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIR]",
		Short: "Make a policy repository",
		Long: `init makes a policy repository in DIR, which may be empty or a fresh git repository: the root file, a first
workload in audit mode, and the schema, so that plain cue vet and CUE's language server work offline too.
Files that exist are left as they are; if one differs, nothing is written.`,
		Example:           "  writ init policy\n  cd policy && writ vet",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeDirs,
		RunE: func(_ *cobra.Command, args []string) error {
			dir := dirArg(args)
			n, err := writeNew(dir, compiler.Init())
			if err != nil {
				return err
			}
			fmt.Fprintf(io.out, "%s written in %s; next: writ vet %s\n", plural(n, "file"), printable(dir), printable(dir))
			return nil
		},
	}
}

func newVendor(io stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "vendor [DIR]",
		Short: "Bring the schema of this version into a policy repository",
		Long: `vendor writes the schema that this version of writ embeds into cue.mod/pkg of the repository, where plain cue vet
and CUE's language server read it. writ itself always uses the embedded one, and refuses a repository whose copy differs.`,
		Example:           "  writ vendor && git commit -am 'policy: schema of the new writ'",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeDirs,
		RunE: func(_ *cobra.Command, args []string) error {
			root, err := findRoot(dirArg(args))
			if err != nil {
				return err
			}
			files := compiler.Vendor()
			changed := 0
			for name, data := range files {
				wrote, err := writeFile(filepath.Join(root, name), data)
				if err != nil {
					return err
				}
				if wrote {
					changed++
				}
			}
			fmt.Fprintf(io.out, "%s of %d written in %s\n", plural(changed, "file"), len(files), printable(root))
			return nil
		},
	}
}

// writeNew writes files that do not exist. If one exists with another content, nothing is written.
func writeNew(dir string, files map[string][]byte) (int, error) {
	for name, data := range files {
		old, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && string(old) != string(data) {
			return 0, hinted{fmt.Errorf("%s exists and is not what would be written; nothing was written", filepath.Join(dir, name)), "give an empty folder, or move the file away"}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	n := 0
	for name, data := range files {
		wrote, err := writeFile(filepath.Join(dir, name), data)
		if err != nil {
			return n, err
		}
		if wrote {
			n++
		}
	}
	return n, nil
}

// writeFile writes data unless the file has it already, and reports whether it wrote.
func writeFile(name string, data []byte) (bool, error) {
	if old, err := os.ReadFile(name); err == nil && string(old) == string(data) {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return false, err
	}
	return true, os.WriteFile(name, data, 0o644)
}

func newVet(io stdio) *cobra.Command {
	var out outputFlag
	c := &cobra.Command{
		Use:   "vet [DIR]",
		Short: "Check a policy repository",
		Long: `vet checks the whole policy repository that holds DIR (default: the current folder) and prints every error and warning
at once, each with its file:line:col. It exits with 1 if there is an error; warnings alone are fine.`,
		Example:           "  writ vet\n  writ vet -o json ./policy",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeDirs,
		RunE: func(c *cobra.Command, args []string) error {
			res, _, err := compileDir(c.Context(), dirArg(args))
			return reportVet(io, out, res, err)
		},
	}
	out.register(c)
	return c
}

// vetOutput is what vet -o json prints.
type vetOutput struct {
	Errors    []compiler.Diagnostic `json:"errors"`
	Warnings  []compiler.Diagnostic `json:"warnings"`
	Workloads int                   `json:"workloads"`
	Rules     int                   `json:"rules"`
}

func reportVet(io stdio, out outputFlag, res *compiler.Result, err error) error {
	var errs compiler.Errors
	if err != nil && !errors.As(err, &errs) {
		return err
	}
	v := vetOutput{Errors: append([]compiler.Diagnostic{}, errs...), Warnings: []compiler.Diagnostic{}}
	if res != nil {
		v.Warnings = append(v.Warnings, res.Warnings...)
		v.Workloads, v.Rules = countRules(res)
	}
	if out == outputJSON {
		if err := io.json(v); err != nil {
			return err
		}
	} else {
		compiler.Render(io.err, v.Errors)
		compiler.Render(io.err, v.Warnings)
	}
	if len(errs) > 0 {
		return saysNo{plural(len(errs), "error")}
	}
	if out == outputText {
		fmt.Fprintf(io.out, "%s, %s: no errors, %s\n", plural(v.Workloads, "workload"), plural(v.Rules, "rule"), plural(len(v.Warnings), "warning"))
	}
	return nil
}

func countRules(res *compiler.Result) (workloads, rules int) {
	for _, w := range res.Policy.Workloads {
		rules += len(w.Rules)
	}
	return len(res.Policy.Workloads), rules
}

func newCompile(io stdio) *cobra.Command {
	var out outputFlag
	var dest string
	c := &cobra.Command{
		Use:   "compile [DIR]",
		Short: "Compile a policy repository into a bundle",
		Long: `compile checks the policy repository that holds DIR and writes its bundle into a folder: the manifest with the digest of
the generation, the rule tables, a program for each workload and the objects for the Kubernetes API server.

The same repository gives the same bytes on every machine. The folder changes as a whole or not at all. When DIR is a clean git checkout, the
manifest also names commit, author and time.`,
		Example:           "  writ compile --bundle out\n  kubectl apply --server-side -f out/admission",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeDirs,
		RunE: func(c *cobra.Command, args []string) error {
			res, _, err := compileDir(c.Context(), dirArg(args))
			if err != nil {
				return err
			}
			compiler.Render(io.err, res.Warnings)
			if err := compiler.WriteFolder(dest, res.Bundle); err != nil {
				return err
			}
			return reportCompile(io, out, dest, res)
		},
	}
	c.Flags().StringVarP(&dest, "bundle", "b", "bundle", "folder to write")
	_ = c.MarkFlagDirname("bundle")
	out.register(c)
	return c
}

func reportCompile(io stdio, out outputFlag, dest string, res *compiler.Result) error {
	m := res.Bundle.Manifest
	if out == outputJSON {
		return io.json(struct {
			Bundle   string                `json:"bundle"`
			Manifest bundle.Manifest       `json:"manifest"`
			Warnings []compiler.Diagnostic `json:"warnings"`
		}{dest, m, append([]compiler.Diagnostic{}, res.Warnings...)})
	}
	workloads, rules := countRules(res)
	fmt.Fprintf(io.out, "%s, %s -> %s (%s)\n", plural(workloads, "workload"), plural(rules, "rule"), printable(dest), plural(len(m.Files), "file"))
	fmt.Fprintf(io.out, "generation %s\n", m.Digest)
	if m.Envelope.Commit != "" {
		fmt.Fprintf(io.out, "commit     %s by %s\n", m.Envelope.Commit, printable(m.Envelope.Author))
	}
	return nil
}

func completeDirs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}
