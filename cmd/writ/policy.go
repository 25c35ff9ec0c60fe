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
	"strings"
	"time"

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

// compileDir compiles the repository that holds dir.
func compileDir(ctx context.Context, dir string, cfg compiler.Config) (*compiler.Result, string, error) {
	root, err := findRoot(dir)
	if err != nil {
		return nil, "", err
	}
	tree, err := compiler.ReadDir(root, cacheDir())
	if err != nil {
		return nil, root, err
	}
	env := headEnvelope(root, tree)
	res, err := compiler.New(cfg).Compile(ctx, tree, env)
	return res, root, err
}

// cacheDir is where what was compiled is kept between commands: writ in the user's folder for caches ($XDG_CACHE_HOME, or ~/.cache). Without
// such a folder, nothing is kept.
func cacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "writ", "compile")
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
workload in audit mode, and the schema and library of this version, so that plain cue vet and CUE's language server
work offline too. Files that exist are left as they are; if one differs, nothing is written.`,
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
		Short: "Bring the schema and library of this version into a policy repository",
		Long: `vendor writes the schema and the library that are built into this version of writ into cue.mod/pkg of the repository, where
plain cue vet and CUE's language server read them. writ itself always uses its own, and refuses a repository whose copies differ.
Run it after each upgrade, and commit what it writes.`,
		Example:           "  writ vendor && git add cue.mod && git commit -m 'policy: schema of the new writ'",
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
	var f compileFlags
	c := &cobra.Command{
		Use:   "vet [DIR]",
		Short: "Check a policy repository",
		Long: `vet checks a policy repository and prints every error and warning at once, each with its file:line:col. It exits with 1 if
there is an error; warnings alone are fine. It warns too of what ends or changes on a date that is past, or within 14 days of --at.

Without DIR it checks the whole repository that holds the current folder. With the root as DIR, too. With a folder below the root it checks
what stands there and below, and what the folders above say in themselves: fast enough to run on every save. Other folders count for
references and overlaps, and are not reported.

With -o sarif or -o github, for code hosts, files are named from the root of the git work tree that holds the repository.`,
		Example:           "  writ vet\n  writ vet shop/payments\n  writ vet -o json ./policy\n  writ vet -o sarif >writ.sarif\n  writ vet --cluster production --at 2027-01-31",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeDirs,
		RunE: func(c *cobra.Command, args []string) error {
			cfg := f.config()
			var err error
			if cfg.Now, err = instantArg(f.at); err != nil {
				return err
			}
			res, root, err := vetDir(c.Context(), args, cfg)
			return reportVet(io, out, root, res, err)
		},
	}
	f.register(c, "warn of dates as of this day or instant (default: now)")
	out.register(c, diagnosticForms...)
	return c
}

// vetDir checks the repository that holds the current folder, or the folder that is given.
func vetDir(ctx context.Context, args []string, cfg compiler.Config) (*compiler.Result, string, error) {
	if len(args) == 0 {
		return compileDir(ctx, ".", cfg)
	}
	root, err := findRoot(args[0])
	if err != nil {
		return nil, "", err
	}
	dir, err := filepath.Abs(args[0])
	if err != nil {
		return nil, "", err
	}
	within, err := filepath.Rel(root, dir)
	if err != nil {
		return nil, "", err
	}
	if within == "." {
		return compileDir(ctx, args[0], cfg)
	}
	tree, err := compiler.ReadDir(root, cacheDir())
	if err != nil {
		return nil, root, err
	}
	res, err := compiler.New(cfg).Vet(ctx, tree, filepath.ToSlash(within))
	return res, root, err
}

// vetOutput is what vet -o json prints.
type vetOutput struct {
	Errors    []compiler.Diagnostic `json:"errors"`
	Warnings  []compiler.Diagnostic `json:"warnings"`
	Silenced  []compiler.Silenced   `json:"silenced"`
	Workloads int                   `json:"workloads"`
	Rules     int                   `json:"rules"`
}

func reportVet(io stdio, out outputFlag, root string, res *compiler.Result, err error) error {
	var errs compiler.Errors
	if err != nil && !errors.As(err, &errs) {
		return err
	}
	v := vetOutput{Errors: append([]compiler.Diagnostic{}, errs...), Warnings: []compiler.Diagnostic{}, Silenced: []compiler.Silenced{}}
	if res != nil {
		v.Warnings, v.Silenced = append(v.Warnings, res.Warnings...), append(v.Silenced, res.Silenced...)
		v.Workloads, v.Rules = res.Workloads, res.Rules
	}
	if out == outputJSON {
		err = io.json(v)
	} else {
		err = io.diagnostics(out, root, compiler.Report{Errors: v.Errors, Warnings: v.Warnings, Silenced: v.Silenced})
	}
	if err != nil {
		return err
	}
	if len(errs) > 0 {
		return saysNo{plural(len(errs), "error")}
	}
	if out == outputText {
		silenced := ""
		if n := len(v.Silenced); n > 0 {
			silenced = fmt.Sprintf(", %d silenced", n)
		}
		fmt.Fprintf(io.out, "%s, %s: no errors, %s%s\n", plural(v.Workloads, "workload"), plural(v.Rules, "rule"), plural(len(v.Warnings), "warning"), silenced)
	}
	return nil
}

func newCompile(io stdio) *cobra.Command {
	var out outputFlag
	var f compileFlags
	var dest string
	var krm bool
	c := &cobra.Command{
		Use:   "compile [DIR]",
		Short: "Compile a policy repository into a bundle",
		Long: `compile checks the policy repository that holds DIR and writes its bundle into a folder: the manifest with the digest of
the generation, the rule tables, a program for each workload and the objects for the Kubernetes API server.

The same repository gives the same bytes on every machine. The folder changes as a whole or not at all. When DIR is a clean git checkout, the
manifest also names commit, author and time.

Objects for the Kubernetes API server stand in admission and network, and order.json says in which order they are applied. The policy says
whether they are for Gatekeeper, for ValidatingAdmissionPolicy or for both, and whether the network is Cilium's; --admission and --cilium replace it.

A bundle holds both sides of each date, and what reads it has a clock. Objects for the Kubernetes API server have none: they hold what is in
force at --at, and compile says from when on they are stale. Without --at they hold the stricter side of each date.

With --krm it is a generator for kustomize, kpt and others that run KRM functions: it writes no bundle, and adds those objects to the
ResourceList on standard input, in the order in which they are applied. The functionConfig, ` + krmKind + ` of ` + krmGroup + `
with a spec, or a ConfigMap with data, names dir, cluster, at, admission and cilium; flags and DIR come first. A relative dir begins at the
folder that the function runs in. Objects of an earlier run that the policy no longer makes are taken out; all else stays as it is.`,
		Example:           "  writ compile --bundle out\n  writ compile --cluster production --at 2027-01-31 --bundle out\n  jq -r '.stages[].objects[]' out/order.json\n  writ compile --krm <resourcelist.yaml",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeDirs,
		RunE: func(c *cobra.Command, args []string) error {
			if krm {
				return compileKRM(c.Context(), io, f, args)
			}
			cfg := f.config()
			var err error
			if cfg.At, err = f.given(); err != nil {
				return err
			}
			res, root, err := compileDir(c.Context(), dirArg(args), cfg)
			if err != nil {
				return failedCompile(io, out, root, err)
			}
			if err := io.diagnostics(out, root, compiler.Report{Warnings: res.Warnings, Silenced: res.Silenced}); err != nil {
				return err
			}
			warnOfDates(io, res)
			if err := compiler.WriteFolder(dest, res.Bundle); err != nil {
				return err
			}
			return reportCompile(io, out, dest, res)
		},
	}
	c.Flags().StringVarP(&dest, "bundle", "b", "bundle", "folder to write")
	c.Flags().BoolVar(&krm, "krm", false, "be a generator of KRM functions: read a ResourceList, write it with the objects for the Kubernetes API server")
	_ = c.MarkFlagDirname("bundle")
	f.registerAdmission(c)
	f.register(c, "day or instant at which dates are decided in objects for the Kubernetes API server (default: the stricter side of each)")
	out.register(c, diagnosticForms...)
	c.MarkFlagsMutuallyExclusive("krm", "bundle")
	c.MarkFlagsMutuallyExclusive("krm", "output")
	return c
}

// warnOfDates says what of the output depends on a date, where it has no clock of its own.
func warnOfDates(io stdio, res *compiler.Result) {
	switch {
	case res.Stricter > 0:
		fmt.Fprintf(io.err, "warning: the admission objects have the stricter side of %s; decide with --at\n", plural(res.Stricter, "planned mode"))
	case !res.Stale.IsZero():
		fmt.Fprintf(io.err, "warning: the admission objects are stale from %s on; compile again then\n", res.Stale.Format(time.RFC3339))
	}
}

func reportCompile(io stdio, out outputFlag, dest string, res *compiler.Result) error {
	m := res.Bundle.Manifest
	order, err := res.Bundle.Order()
	if err != nil {
		return err
	}
	if out == outputJSON {
		return io.json(struct {
			Bundle   string                `json:"bundle"`
			Manifest bundle.Manifest       `json:"manifest"`
			Order    bundle.Order          `json:"order"` // of the objects for the Kubernetes API server
			Warnings []compiler.Diagnostic `json:"warnings"`
			Silenced []compiler.Silenced   `json:"silenced"`
			Stale    time.Time             `json:"stale,omitzero"`     // from when on the admission objects are
			Stricter int                   `json:"stricter,omitempty"` // planned modes of which they have the stricter side
		}{dest, m, order, append([]compiler.Diagnostic{}, res.Warnings...), append([]compiler.Silenced{}, res.Silenced...), res.Stale, res.Stricter})
	}
	if out != outputText {
		return nil
	}
	fmt.Fprintf(io.out, "%s, %s -> %s (%s)\n", plural(res.Workloads, "workload"), plural(res.Rules, "rule"), printable(dest), plural(len(m.Files), "file"))
	fmt.Fprintf(io.out, "generation %s\n", m.Digest)
	if len(order.Stages) > 0 {
		fmt.Fprintf(io.out, "objects    %s\n", orderText(order))
	}
	if m.Envelope.Commit != "" {
		fmt.Fprintf(io.out, "commit     %s by %s\n", m.Envelope.Commit, printable(m.Envelope.Author))
	}
	return nil
}

// orderText says how many objects are applied in which order.
func orderText(o bundle.Order) string {
	var parts []string
	for _, s := range o.Stages {
		parts = append(parts, fmt.Sprintf("%s %d", s.Name, len(s.Objects)))
	}
	return strings.Join(parts, ", then ")
}

func completeDirs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}
