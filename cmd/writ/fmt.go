// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/writ-sec/writ/compiler"
)

func newFmt(s stdio) *cobra.Command {
	f := formatter{io: s}
	c := &cobra.Command{
		Use:   "fmt [DIR|FILE...|-]",
		Short: "Format policy files",
		Long: `fmt rewrites policy files in their canonical form, and prints the names of those that change: CUE's format, with the keys of rules
sorted. Blank lines separate groups, and rules are sorted within their group; a comment stays with its rule; named sets come first. What a
policy means never changes.

A folder (default: the current one) is formatted with all below it, but for cue.mod and names that begin with "_" or ".". Links are not
followed. With "-", the file is read from stdin and its form written to stdout. A file that does not parse is reported, the others are formatted.`,
		Example:           "  writ fmt\n  writ fmt --check ./policy\n  writ fmt -d shop/payments.cue",
		ValidArgsFunction: completeCUE,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) == 1 && args[0] == "-":
				return f.stdin()
			case slices.Contains(args, "-"):
				return errors.New(`"-" stands alone: what is read from stdin is the only file`)
			case len(args) == 0:
				args = []string{"."}
			}
			return f.run(c.Context(), args)
		},
	}
	c.Flags().BoolVar(&f.check, "check", false, "write nothing, list the files that would change, and exit with 1 if there are any")
	c.Flags().BoolVarP(&f.diff, "diff", "d", false, "write nothing, and print what would change")
	return c
}

// completeCUE offers folders and policy files.
func completeCUE(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"cue"}, cobra.ShellCompDirectiveFilterFileExt
}

// formatter carries out writ fmt.
type formatter struct {
	io          stdio
	check, diff bool
}

// policyFile is one file to format.
type policyFile struct {
	root  *os.Root // what it is reached through, so that no link leads elsewhere
	path  string   // below root
	shown string   // as the person named it
	info  fs.FileInfo

	before, after []byte
	err           error
}

func (f formatter) stdin() error {
	before, err := io.ReadAll(io.LimitReader(f.io.in, compiler.MaxFile+1))
	if err != nil {
		return fmt.Errorf("read stdin: %w", err)
	}
	p := &policyFile{shown: "stdin", before: before}
	if p.after, err = compiler.Format(p.shown, before); err != nil {
		return err
	}
	if !f.check && !f.diff {
		_, err := f.io.out.Write(p.after)
		return err
	}
	return f.finish([]*policyFile{p})
}

func (f formatter) run(ctx context.Context, args []string) error {
	var files []*policyFile
	named := map[string]bool{} // a file may be named twice, by itself and by its folder
	for _, arg := range args {
		root, found, err := findPolicyFiles(arg)
		if err != nil {
			return err
		}
		defer root.Close()
		for _, p := range found {
			if abs, err := filepath.Abs(p.shown); err != nil || !named[abs] {
				named[abs] = true
				files = append(files, p)
			}
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range files {
		g.Go(func() error {
			p.format()
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return f.finish(files)
}

// findPolicyFiles lists the files that an argument names, sorted.
func findPolicyFiles(arg string) (*os.Root, []*policyFile, error) {
	abs, err := filepath.Abs(arg)
	if err != nil {
		return nil, nil, err
	}
	if slices.Contains(strings.Split(filepath.ToSlash(abs), "/"), "cue.mod") {
		return nil, nil, hinted{fmt.Errorf("%s is in cue.mod, whose files stay as they are", printable(arg)), "writ vendor writes them"}
	}
	info, err := os.Lstat(arg)
	if err != nil {
		return nil, nil, err
	}
	dir := arg
	switch {
	case info.Mode().IsRegular() && strings.HasSuffix(arg, ".cue"):
		dir = filepath.Dir(arg)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, nil, fmt.Errorf("%s is a symbolic link, which is not followed; want a folder or a .cue file", printable(arg))
	case !info.IsDir():
		return nil, nil, fmt.Errorf("%s is neither a folder nor a .cue file", printable(arg))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	if !info.IsDir() {
		return root, []*policyFile{{root: root, path: filepath.Base(arg), shown: arg, info: info}}, nil
	}
	files, err := walkPolicyFiles(root, arg)
	if err != nil {
		root.Close()
	}
	return root, files, err
}

func walkPolicyFiles(root *os.Root, arg string) (files []*policyFile, err error) {
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		base := filepath.Base(name)
		hidden := name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_"))
		switch {
		case err != nil:
			return err
		case d.IsDir() && (hidden || base == "cue.mod"):
			return fs.SkipDir
		case hidden || !d.Type().IsRegular() || !strings.HasSuffix(name, ".cue"):
			return nil
		case len(files) == compiler.MaxFiles:
			return fmt.Errorf("%s holds more than %d policy files; is it a policy repository?", printable(arg), compiler.MaxFiles)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files = append(files, &policyFile{root: root, path: filepath.FromSlash(name), shown: filepath.Join(arg, filepath.FromSlash(name)), info: info})
		return nil
	})
	return files, err
}

// format reads a file and formats it. Of a file that stays as it is nothing is kept.
func (p *policyFile) format() {
	if p.before, p.err = p.read(); p.err != nil {
		return
	}
	p.after, p.err = compiler.Format(p.shown, p.before)
	if p.err != nil || !p.changes() {
		p.before, p.after = nil, nil
	}
}

func (p *policyFile) changes() bool { return !bytes.Equal(p.before, p.after) }

// read reads the file if it still is the one that was found.
func (p *policyFile) read() ([]byte, error) {
	file, err := p.root.Open(p.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(info, p.info) {
		return nil, fmt.Errorf("%s was replaced while it was read", printable(p.shown))
	}
	p.info = info
	return io.ReadAll(io.LimitReader(file, compiler.MaxFile+1))
}

// finish writes or shows what changes, and says what could not be done.
func (f formatter) finish(files []*policyFile) error {
	var policy compiler.Errors
	var failed []error
	changed := 0
	for _, p := range files {
		var errs compiler.Errors
		switch {
		case errors.As(p.err, &errs):
			policy = append(policy, errs...)
		case p.err != nil:
			failed = append(failed, p.err)
		case p.changes():
			changed++
			if err := f.show(p); err != nil {
				failed = append(failed, err)
			}
		}
	}
	if len(failed) > 0 {
		compiler.Render(f.io.err, policy)
		return errors.Join(failed...)
	}
	if len(policy) > 0 {
		return policy
	}
	if f.check && changed > 0 {
		return saysNo{plural(changed, "file") + " not formatted"}
	}
	return nil
}

func (f formatter) show(p *policyFile) error {
	switch {
	case f.diff:
		text := string(diff.Diff(p.shown+".orig", p.before, p.shown, p.after))
		if styleFor(f.io.out).on {
			text = visible(text)
		}
		_, err := io.WriteString(f.io.out, text)
		return err
	case !f.check:
		if err := p.replace(); err != nil {
			return fmt.Errorf("write %s: %w", printable(p.shown), err)
		}
	}
	_, err := fmt.Fprintln(f.io.out, printable(p.shown))
	return err
}

// visible shows, on a terminal, a dot for each character that would control it.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) && r != '\t' && r != '\n' {
			return '·'
		}
		return r
	}, s)
}

// replace puts the formatted file in the place of the old one, whole, with its mode and owner. A file that has changed meanwhile is left alone.
func (p *policyFile) replace() error {
	temporary := filepath.Join(filepath.Dir(p.path), fmt.Sprintf(".%s.writ-fmt-%d", filepath.Base(p.path), os.Getpid()))
	file, err := p.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer p.root.Remove(temporary) // there only if something failed
	_, err = file.Write(p.after)
	if err == nil {
		err = file.Chmod(p.info.Mode().Perm())
	}
	if err == nil {
		err = keepOwner(file, p.info)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	now, err := p.root.Lstat(p.path)
	if err != nil {
		return err
	}
	if !os.SameFile(now, p.info) || now.Size() != p.info.Size() || !now.ModTime().Equal(p.info.ModTime()) {
		return errors.New("the file has changed meanwhile; it is left as it is")
	}
	return p.root.Rename(temporary, p.path)
}

// keepOwner gives a new file to the owner of the old one, if that is another: root may format what others own. Another group alone is kept
// where that is permitted.
func keepOwner(file *os.File, old fs.FileInfo) error {
	was, ok1 := old.Sys().(*syscall.Stat_t)
	info, err := file.Stat()
	if err != nil {
		return err
	}
	is, ok2 := info.Sys().(*syscall.Stat_t)
	if !ok1 || !ok2 || was.Uid == is.Uid && was.Gid == is.Gid {
		return nil
	}
	if err := file.Chown(int(was.Uid), int(was.Gid)); was.Uid != is.Uid {
		return err
	}
	return nil
}
