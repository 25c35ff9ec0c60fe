// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/compiler/draft"
)

func newImport(s stdio) *cobra.Command {
	var i importCommand
	c := &cobra.Command{
		Use:   "import FILE|DIR|-...",
		Short: "Draft policy from manifests of a cluster",
		Long: `import reads Kubernetes NetworkPolicies, KubeArmor policies (KubeArmorPolicy, KubeArmorHostPolicy), NeuVector rules (NvSecurityRule,
NvClusterSecurityRule, NvGroupDefinition) and the Pod Security labels of Namespaces, as YAML or JSON, and drafts workloads and bounds from them.
Of a folder it reads .yaml, .yml and .json files, with all below; "-" is stdin.

Every draft is in mode audit, whatever its source did. What could not be carried over is told on stderr, each with its file:line:col and why;
a draft never allows more than its source without saying so. Deployments and the like beside NeuVector's rules tell the labels of its services.

Drafts are printed, or written into the folder --out, which is best one of a policy repository. A file that exists is never overwritten.`,
		Example: `  kubectl get networkpolicies -A -o yaml | writ import - --out policy/imported
  writ import manifests/ -o json
  writ import kubearmor.yaml neuvector.yaml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return i.run(s, args) },
	}
	c.Flags().StringVar(&i.out, "out", "", "folder to write the drafts into")
	c.Flags().StringVarP(&i.namespace, "namespace", "n", "default", "namespace of objects that name none")
	_ = c.MarkFlagDirname("out")
	i.form.register(c)
	return c
}

// importCommand carries out writ import.
type importCommand struct {
	out, namespace string
	form           outputFlag
}

// importOutput is what import -o json prints.
type importOutput struct {
	Files   map[string]string `json:"files"` // the drafts in CUE, by name
	Out     string            `json:"out,omitempty"`
	Lost    []draft.Note      `json:"lost"`
	Skipped map[string]int    `json:"skipped"` // objects that are no policy, by kind
}

func (i importCommand) run(s stdio, args []string) error {
	sources, err := i.sources(s, args)
	if err != nil {
		return err
	}
	r, err := draft.Import(sources)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	if i.out != "" {
		if err := writeDrafts(i.out, r.Files); err != nil {
			return err
		}
	}
	if err := i.report(s, r); err != nil {
		return err
	}
	if len(r.Files) == 0 {
		return hinted{errors.New("import: nothing was drafted"),
			"want NetworkPolicies, KubeArmorPolicies, NvSecurityRules or Namespaces with Pod Security labels"}
	}
	return nil
}

// sources reads what the arguments name.
func (i importCommand) sources(s stdio, args []string) ([]draft.Source, error) {
	var all []draft.Source
	add := func(name string, r io.Reader) error {
		data, err := io.ReadAll(io.LimitReader(r, draft.MaxSource+1))
		all = append(all, draft.Source{Path: name, Data: data, Namespace: i.namespace})
		return err
	}
	total := 0
	addFile := func(name string) error {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := add(name, f); err != nil {
			return err
		}
		if total += len(all[len(all)-1].Data); total > draft.MaxTotal {
			return fmt.Errorf("%s: all files have more than %d bytes; want fewer at once", printable(name), draft.MaxTotal)
		}
		return nil
	}
	for _, arg := range args {
		if arg == "-" {
			if err := add("stdin", s.in); err != nil {
				return nil, fmt.Errorf("read stdin: %w", err)
			}
			continue
		}
		names, err := manifests(arg)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if err := addFile(name); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// manifests lists the files that an argument names, sorted. In a folder, links and names that begin with "." are passed over.
func manifests(arg string) (names []string, err error) {
	info, err := os.Stat(arg)
	if err != nil || !info.IsDir() {
		return []string{arg}, err
	}
	err = filepath.WalkDir(arg, func(name string, d fs.DirEntry, err error) error {
		hidden := name != arg && strings.HasPrefix(d.Name(), ".")
		switch {
		case err != nil:
			return err
		case d.IsDir() && hidden:
			return fs.SkipDir
		case d.Type().IsRegular() && !hidden && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)):
			names = append(names, name)
		}
		return nil
	})
	if err == nil && len(names) == 0 {
		err = &fs.PathError{Op: "read", Path: printable(arg), Err: errors.New("holds no .yaml, .yml or .json file")}
	}
	return names, err
}

// writeDrafts writes files that do not exist, all or none: what exists is not touched, also where it is a link.
func writeDrafts(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		if _, err := root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return hinted{fmt.Errorf("%s exists; nothing was written", printable(filepath.Join(dir, name))), "give another folder with --out, or move the file away"}
		}
	}
	for i, name := range names {
		if err := writeDraft(root, name, files[name]); err != nil {
			err = fmt.Errorf("write %s: %w", printable(filepath.Join(dir, name)), err)
			for _, written := range names[:i] {
				err = errors.Join(err, root.Remove(written))
			}
			return err
		}
	}
	return nil
}

func writeDraft(root *os.Root, name string, data []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// report prints the drafts, unless they are written, and what is lost.
func (i importCommand) report(s stdio, r *draft.Result) error {
	if i.form == outputJSON {
		o := importOutput{Files: map[string]string{}, Out: i.out, Lost: append([]draft.Note{}, r.Lost...), Skipped: r.Skipped}
		for name, data := range r.Files {
			o.Files[name] = string(data)
		}
		return s.json(o)
	}
	names := slices.Sorted(maps.Keys(r.Files))
	for _, name := range names {
		switch {
		case i.out != "":
			fmt.Fprintln(s.out, printable(filepath.Join(i.out, name)))
		case len(names) > 1:
			fmt.Fprintf(s.out, "-- %s --\n%s", name, r.Files[name])
		default:
			fmt.Fprintf(s.out, "%s", r.Files[name])
		}
	}
	for _, n := range r.Lost {
		fmt.Fprintln(s.err, n)
	}
	fmt.Fprintf(s.err, "%s drafted in mode audit, %s on what was not carried over\n", plural(len(names), "file"), plural(len(r.Lost), "note"))
	if len(r.Skipped) > 0 {
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(r.Skipped)) {
			if kind == "" {
				kinds = append(kinds, fmt.Sprintf("%d without a kind", r.Skipped[kind]))
				continue
			}
			kinds = append(kinds, fmt.Sprintf("%d %s", r.Skipped[kind], printable(kind)))
		}
		fmt.Fprintf(s.err, "objects that are no policy: %s\n", strings.Join(kinds, ", "))
	}
	return nil
}
