// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"slices"

	"github.com/writ-sec/writ/schema"
)

// delegation reports what folders speak of beyond what the root gives them. A repository without a folder entry delegates nothing: all of it
// belongs to one team. In others the root speaks of everything, and every other folder of what the entry with the longest path gives it.
// heads are all workloads; of returns an entry as it is stated.
func delegation(heads []*head, p *schema.Policy, of func(kind, name string) stated) []Diagnostic {
	if len(p.Folders) == 0 {
		return nil
	}
	d := &delegated{p: p, given: newGivenFolders(p.Folders), heads: heads}
	for _, h := range heads {
		d.workload(h)
	}
	for i := range p.Bounds {
		d.bound(of("bound", p.Bounds[i].Name), &p.Bounds[i])
	}
	for i := range p.Exceptions {
		d.exception(of("exception", p.Exceptions[i].Name), &p.Exceptions[i])
	}
	for i := range p.Responses {
		d.response(of("response", p.Responses[i].Name), &p.Responses[i])
	}
	for i := range p.Checks {
		d.check(of("check", p.Checks[i].Name), &p.Checks[i])
	}
	for i := range p.Benchmarks {
		d.rootOnly(of("benchmark", p.Benchmarks[i].Name), "it is held against every node or cluster")
	}
	for i := range p.Clusters {
		d.rootOnly(of("cluster", p.Clusters[i].Name), "it changes the modes of every folder")
	}
	return d.errs
}

type delegated struct {
	p     *schema.Policy
	given givenFolders
	heads []*head
	errs  []Diagnostic
}

// fail reports an error at a place in the entry's own folder.
func (d *delegated) fail(s stated, at []schema.Pos, format string, args ...any) {
	d.errs = append(d.errs, s.fail(inFolder(s.folder, at, d.places(s)), format, args...))
}

// places are where an entry is stated.
func (d *delegated) places(s stated) []schema.Pos {
	if i := slices.IndexFunc(d.heads, func(h *head) bool { return s.kind == workloadKind && h.name == s.name }); i >= 0 {
		return d.heads[i].pos
	}
	return s.at()
}

// limit returns what an entry's folder may speak of. Of the root, which may speak of everything, it returns nil and false. A folder that no
// entry holds may speak of nothing, which is reported.
func (d *delegated) limit(s stated, at []schema.Pos) (*schema.Folder, bool) {
	if s.root() {
		return nil, false
	}
	f := d.given.to(s.folder)
	if f == nil {
		d.fail(s, at, "stands in folder %q, which the root gives nothing; want an entry folder: %q there, or it at the root", s.folder, s.folder)
		return nil, false
	}
	return f, true
}

// namespace checks that what an entry speaks of lies in the namespaces of its folder.
func (d *delegated) namespace(s stated, f *schema.Folder, at []schema.Pos, field, namespace string) {
	switch {
	case namespace == "":
		d.fail(s, at, "%s names no namespace, and folder %q may speak of its own alone (%s); want %s", field, f.Path, posText(f.Pos), oneOf(f.Namespaces))
	case !slices.Contains(f.Namespaces, namespace):
		d.fail(s, at, "%s is %q, which is not one of folder %q (%s); want %s", field, namespace, f.Path, posText(f.Pos), oneOf(f.Namespaces))
	}
}

func (d *delegated) workload(h *head) {
	s := h.stated()
	f, limited := d.limit(s, h.pos)
	if !limited || h.match.Zero() {
		return
	}
	if h.match.Host {
		if !f.Host {
			d.fail(s, h.matchPos, "match.host selects the host, which folder %q may not (%s); want it at the root, or host: true in that entry", f.Path, posText(f.Pos))
		}
	} else {
		d.namespace(s, f, h.matchPos, "match.namespace", h.match.Namespace)
	}
	if f.Owner != "" && h.owner != "" && h.owner != f.Owner {
		d.fail(s, h.ownerPos, "owner is %q, and folder %q belongs to %q (%s); want that, or no owner", h.owner, f.Path, f.Owner, posText(f.Pos))
	}
}

func (d *delegated) bound(s stated, b *schema.Bound) {
	f, limited := d.limit(s, b.Pos)
	switch {
	case !limited:
	case b.Match.Host:
		if !f.Host {
			d.fail(s, s.at("match", "host"), "match.host selects the host, which folder %q may not (%s); want it at the root, or host: true in that entry", f.Path, posText(f.Pos))
		}
	default:
		d.namespace(s, f, s.at("match", "namespace"), "match.namespace", b.Match.Namespace)
	}
}

// exception checks that an exception below the root speaks of images that the root gives the folder: it suppresses findings wherever they run,
// so what the folder's own workloads name is no measure.
func (d *delegated) exception(s stated, x *schema.Exception) {
	f, limited := d.limit(s, x.Pos)
	if !limited {
		return
	}
	var given []schema.ImagePattern
	for _, pattern := range f.Images {
		if p, err := schema.ParseImagePattern(pattern); err == nil {
			given = append(given, p)
		}
	}
	work := coverWork
	for _, pattern := range x.Images {
		p, err := schema.ParseImagePattern(pattern)
		if err != nil {
			continue // an error of its own
		}
		if !slices.ContainsFunc(given, func(o schema.ImagePattern) bool { return imageCovers(o, p, &work) }) {
			d.fail(s, s.at("images", pattern), "image pattern %.200q is not within the images of folder %q (%s); want %s", pattern, f.Path, posText(f.Pos),
				oneOfImages(f.Images))
		}
	}
}

func oneOfImages(patterns schema.Names) string {
	switch {
	case len(patterns) == 0:
		return "the exception at the root, or images in that entry"
	case len(patterns) > 5:
		return "what " + quotedList(patterns[:5], "or") + " or another of its images includes"
	}
	return "what " + quotedList(patterns, "or") + " includes"
}

// response checks that a response below the root acts on a workload of its own folder.
func (d *delegated) response(s stated, r *schema.Response) {
	f, limited := d.limit(s, r.Pos)
	if !limited {
		return
	}
	name := bareName(r.On.Workload)
	if !slices.ContainsFunc(d.heads, func(h *head) bool { return h.name == name && below(h.folder, f.Path) }) {
		d.fail(s, s.at("on", "workload"), "on.workload is %q, and folder %q may act on its own workloads alone; want one of them, or the response at the root", r.On.Workload, f.Path)
	}
}

func (d *delegated) check(s stated, c *schema.Check) {
	if f, limited := d.limit(s, c.Pos); limited {
		d.namespace(s, f, s.at("of", "namespace"), "of.namespace", c.Of.Namespace)
	}
}

func (d *delegated) rootOnly(s stated, why string) {
	if !s.root() {
		d.errs = append(d.errs, s.fail(nil, "stands in folder %q; want it at the root: %s", s.folder, why))
	}
}
