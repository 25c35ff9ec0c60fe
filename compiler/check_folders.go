// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"path"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// folder checks what a folder is given.
func (r *report) folder(f *schema.Folder) {
	if !r.s.root() {
		r.fail(nil, "stands in folder %q; want it at the root, which alone says what folders may speak of", r.s.folder)
	}
	if want := folderPath(f.Path); want != "" {
		r.fail(nil, "%.200q is not the path of a folder of policies; want %s", f.Path, want)
		return
	}
	for _, n := range f.Namespaces {
		if !entryRE.MatchString(n) {
			r.fail([]string{"namespaces", n}, "namespace %.100q is not a Kubernetes namespace; want at most 63 lower-case letters, digits and \"-\"", n)
		}
	}
	for _, p := range f.Images {
		if _, err := schema.ParseImagePattern(p); err != nil {
			r.fail([]string{"images", p}, "image pattern %.200q %v", p, err)
		}
	}
	r.owner(nil, f.Owner)
	r.withinParent(f)
	if !r.sc.around[f.Path] {
		near := ""
		if n := nearest(f.Path, r.sc.folders.sorted()); n != "" && n != "." {
			near = "; did you mean \"" + n + "\"?"
		}
		r.warn(codeNoFolder, nil, "holds no policy file%s; want files there, or no such entry", near)
	}
}

// folderPath says what was expected of the path of a folder, or "".
func folderPath(name string) string {
	switch {
	case name == "" || name == ".":
		return `a folder below the root, such as "shop": the root may speak of everything`
	case strings.HasPrefix(name, "/"), strings.Contains(name, "\\"), strings.HasSuffix(name, "/"), path.Clean(name) != name, strings.HasPrefix(name, ".."):
		return `one as seen from the root, such as "shop/web"`
	case strings.Contains(name, "*"):
		return "one folder: all below it count too"
	}
	for segment := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(segment, "_") || strings.HasPrefix(segment, ".") || segment == moduleDir {
			return "one that is read: names that begin with \"_\" or \".\" are skipped"
		}
	}
	return ""
}

// withinParent checks that a folder is given nothing that the folder around it does not have.
func (r *report) withinParent(f *schema.Folder) {
	parent := r.sc.given.to(path.Dir(f.Path))
	if parent == nil {
		return
	}
	for _, n := range f.Namespaces {
		if !slices.Contains(parent.Namespaces, n) {
			r.fail([]string{"namespaces", n}, "namespace %q is not one of folder %q around it, at %s; want %s", n, parent.Path, posText(parent.Pos), oneOf(parent.Namespaces))
		}
	}
	r.imagesWithin(f, parent)
	if f.Host && !parent.Host {
		r.fail([]string{"host"}, "host is true, and folder %q around it, at %s, may not select the host; want it there too", parent.Path, posText(parent.Pos))
	}
}

// imagesWithin checks that the images of a folder are within those of the folder around it.
func (r *report) imagesWithin(f, parent *schema.Folder) {
	work := coverWork
	for _, pattern := range f.Images {
		p, err := schema.ParseImagePattern(pattern)
		within := slices.ContainsFunc(parent.Images, func(around string) bool {
			o, parseErr := schema.ParseImagePattern(around)
			return parseErr == nil && imageCovers(o, p, &work)
		})
		if err == nil && !within {
			r.fail([]string{"images", pattern}, "image pattern %.200q is not within the images of folder %q around it, at %s; want it there too", pattern, parent.Path, posText(parent.Pos))
		}
	}
}

// oneOf lists what a folder may name, for the end of a message.
func oneOf(names schema.Names) string {
	switch {
	case len(names) == 0:
		return "none: the folder is given no namespace"
	case len(names) > 5:
		return quotedList(names[:5], "or") + " or another of its namespaces"
	}
	return quotedList(names, "or")
}

// below reports whether dir is a folder or lies below it.
func below(dir, folder string) bool {
	return folder == "." || dir == folder || strings.HasPrefix(dir, folder+"/")
}

// givenFolders is what folders may speak of, by path.
type givenFolders map[string]*schema.Folder

func newGivenFolders(all []schema.Folder) givenFolders {
	g := givenFolders{}
	for i := range all {
		if f := &all[i]; folderPath(f.Path) == "" {
			g[f.Path] = f
		}
	}
	return g
}

// to returns what the files in a folder may speak of: the entry with the longest path that holds it, or nil.
func (g givenFolders) to(dir string) *schema.Folder {
	for ; dir != "." && dir != "/"; dir = path.Dir(dir) {
		if f := g[dir]; f != nil {
			return f
		}
	}
	return nil
}
