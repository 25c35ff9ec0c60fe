// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/writ-sec/writ/schema"
)

// vendorDir is where a policy repository keeps the schema and the library, so that CUE's own tools find them offline.
const vendorDir = moduleDir + "/pkg/"

// maxPathBytes bounds a file's path. It is PATH_MAX; git knows no limit.
const maxPathBytes = 4096

// source is one policy file that passed the rules about files.
type source struct {
	path  string
	data  []byte
	above bool // some folder below sees it, too
	file  *File
}

// load reads the content if it was not read before.
func (s *source) load() error {
	if s.data != nil {
		return nil
	}
	data, err := s.file.Content()
	s.data = data
	return err
}

// folder is one place where policy stands, and what CUE sees there: the files of the folder and of all folders above it.
type folder struct {
	dir  string    // "." is the root
	own  []*source // sorted by path
	seen []*source // own ones included, sorted by path
}

// isWithin reports whether dir is the folder above or lies below it.
func isWithin(dir, above string) bool {
	return above == "." || dir == above || strings.HasPrefix(dir, above+"/")
}

// loader applies the rules about the files of a repository, before any is parsed.
type loader struct {
	errs    []Diagnostic
	sources []*source
	vendor  map[string][]byte // files of the vendored packages, by path below vendorDir
}

// load sorts the files of a tree into folders. The result depends on paths and content alone, not on the order of the files.
func load(t Tree) ([]*folder, []Diagnostic) {
	l := &loader{vendor: map[string][]byte{}}
	files := slices.Clone(t.Files)
	slices.SortStableFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	total, count := 0, 0
	for i, f := range files {
		if fs.ValidPath(f.Path) && !Reads(f.Path, f.Mode.Type()) {
			continue
		}
		total += int(f.size())
		if count++; count > MaxFiles || total > MaxTree {
			l.fail("", "holds more than %d files or %d bytes of policy; want a repository of policy alone", MaxFiles, MaxTree)
			return nil, l.errs
		}
		if i > 0 && files[i-1].Path == f.Path {
			l.fail(f.Path, "is given twice; want each file once")
			continue
		}
		l.add(f)
	}
	l.checkVendor()
	if len(l.sources) == 0 && len(l.errs) == 0 {
		l.fail("", "holds no policy: there is no .cue file outside %s; `writ init` makes a first one", moduleDir)
	}
	return folders(l.sources), l.errs
}

func (l *loader) fail(file, format string, args ...any) {
	d := Diagnostic{Pos: schema.Pos{File: file}, Msg: fmt.Sprintf(format, args...)}
	if file == "" {
		d.Path = "repository"
	}
	l.errs = append(l.errs, d)
}

// add accepts a file or says what is wrong with it.
func (l *loader) add(f File) {
	switch {
	case !fs.ValidPath(f.Path) || f.Path == "." || len(f.Path) > maxPathBytes || !printable(f.Path):
		l.errs = append(l.errs, Diagnostic{Path: "repository",
			Msg: fmt.Sprintf("has the path %.200q; want a clean, relative, printable path of at most %d bytes", f.Path, maxPathBytes)})
	case f.Mode&fs.ModeSymlink != 0:
		l.fail(f.Path, "is a symbolic link; want a regular file, because a link reads differently elsewhere")
	case f.Mode.Type() != 0:
		l.fail(f.Path, "is a %s; want a regular file", kindOf(f.Mode))
	case f.size() > MaxFile:
		l.fail(f.Path, "has more than %d bytes; want a smaller file: split the policy over several", MaxFile)
	case strings.HasPrefix(f.Path, moduleDir+"/"):
		l.addModuleFile(f)
	case path.Base(path.Dir(f.Path)) == moduleDir || strings.Contains(f.Path, "/"+moduleDir+"/"):
		l.fail(f.Path, "is in a second %s; want one, at the root of the repository", moduleDir)
	case f.kept == nil && !utf8.Valid(f.Data):
		line, col := place(f.Data, invalidUTF8(f.Data))
		l.errs = append(l.errs, Diagnostic{Pos: schema.Pos{File: f.Path, Line: line, Col: col}, Msg: "is not UTF-8; want UTF-8 text"})
	case strings.HasSuffix(f.Path, "_tool.cue") || strings.HasSuffix(f.Path, "_test.cue"):
		l.fail(f.Path, "has a name that CUE's tools leave out; want a name that ends in neither _tool.cue nor _test.cue")
	default:
		l.sources = append(l.sources, &source{path: f.Path, data: f.Data, file: &f})
	}
}

// addModuleFile takes a file of cue.mod. Only the vendored packages matter here; the module file serves CUE's own tools.
func (l *loader) addModuleFile(f File) {
	rest, vendored := strings.CutPrefix(f.Path, vendorDir)
	if _, ours := libraryAt(path.Dir(rest)); vendored && ours {
		l.vendor[rest] = f.Data
		return
	}
	if f.Path != moduleDir+"/module.cue" && strings.HasSuffix(f.Path, ".cue") {
		l.fail(f.Path, "is not known in %s; want module.cue and what `writ vendor` writes alone, because nothing else can be imported", moduleDir)
	}
}

// checkVendor holds the vendored packages against those in this binary. A repository may have none, or only some.
func (l *loader) checkVendor() {
	want := vendored()
	maps.DeleteFunc(want, func(name string, _ []byte) bool {
		for have := range l.vendor {
			if path.Dir(have) == path.Dir(name) {
				return false
			}
		}
		return true
	})
	names := maps.Clone(l.vendor)
	maps.Copy(names, want)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if got, ok := l.vendor[name]; !ok || want[name] == nil || !bytes.Equal(got, want[name]) {
			l.errs = append(l.errs, Diagnostic{Pos: schema.Pos{File: vendorDir + name},
				Msg:  "differs from the schema and library of this version of writ; want the very same files",
				Hint: "run `writ vendor`"})
		}
	}
}

// vendored returns the files of all embedded packages, by path below vendorDir.
func vendored() map[string][]byte {
	files := map[string][]byte{}
	for _, lib := range libraries {
		for name, data := range lib.sources() {
			files[lib.importPath+"/"+name] = data
		}
	}
	return files
}

// folders groups sources, which are sorted by path.
func folders(sources []*source) []*folder {
	byDir := map[string]*folder{}
	for _, s := range sources {
		dir := path.Dir(s.path)
		if byDir[dir] == nil {
			byDir[dir] = &folder{dir: dir}
		}
		byDir[dir].own = append(byDir[dir].own, s)
	}
	var all []*folder
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		f := byDir[dir]
		for d := dir; ; d = path.Dir(d) {
			if above := byDir[d]; above != nil {
				f.seen = append(f.seen, above.own...)
				for _, s := range above.own {
					s.above = s.above || above != f
				}
			}
			if d == "." {
				break
			}
		}
		slices.SortFunc(f.seen, func(a, b *source) int { return strings.Compare(a.path, b.path) })
		all = append(all, f)
	}
	return all
}

func kindOf(m fs.FileMode) string {
	switch m.Type() {
	case fs.ModeDir:
		return "folder"
	case fs.ModeNamedPipe:
		return "named pipe"
	case fs.ModeSocket:
		return "socket"
	}
	return "special file"
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) < 0
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8.
func invalidUTF8(data []byte) int {
	i := 0
	for i < len(data) {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n <= 1 {
			break
		}
		i += n
	}
	return i
}

// place returns line and column of an offset, both from 1, the column in bytes.
func place(data []byte, offset int) (line, col int) {
	before := data[:min(offset, len(data))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}
