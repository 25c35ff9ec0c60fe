// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package writ_test holds the house together: which room may import which, and what every file must have. There is no code at this level.
package writ_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/writ-sec/writ"

// room is one row of the table of rooms: a folder with all below it that has no row of its own.
type room struct {
	path    string
	uses    []string // other rooms it may import
	outside []string // modules or packages that it may import beside the standard library, with all below them
	without []string // packages of the standard library that it must not import
}

// rooms is the table. An arrow that is missing here is missing on purpose: first try to do without it. If it must be, add it here and say
// why in the doc.go of the room that imports.
var rooms = []room{
	{path: "schema", without: []string{"net", "net/http", "math/rand"}},
	{path: "compiler", uses: []string{"schema", "policies"}, outside: []string{"cuelang.org/go", "sigs.k8s.io/kustomize/kyaml", "github.com/fxamacker/cbor/v2",
		"golang.org/x/sync/errgroup", "golang.org/x/sys/unix"},
		without: []string{"net", "net/http", "math/rand"}},
	{path: "reconciler", uses: []string{"schema", "compiler", "reconciler/gitauth", "reconciler/gitauth/sshdtest"},
		outside: []string{"github.com/go-git/go-git/v5", "github.com/go-git/go-billy/v5", "golang.org/x/crypto/ssh", "golang.org/x/sys/unix"}},
	{path: "reconciler/gitauth", uses: []string{"reconciler/gitauth/sshdtest"}, outside: []string{"github.com/go-git/go-git/v5", "golang.org/x/crypto/ssh"}},
	{path: "reconciler/gitauth/sshdtest", uses: []string{"schema"}, outside: []string{"golang.org/x/crypto/ssh"}},
	{path: "learn", uses: []string{"schema", "compiler", "reconciler/gitauth", "reconciler/gitauth/sshdtest"},
		outside: []string{"cuelang.org/go", "github.com/go-git/go-git/v5", "golang.org/x/sys/unix"}},
	{path: "enforcer/bpf", uses: []string{"schema", "enforcer/node/wire"},
		outside: []string{"github.com/cilium/ebpf", "golang.org/x/sys/unix"}},
	{path: "enforcer/node", uses: []string{"schema", "enforcer/bpf", "enforcer/node/wire"},
		outside: []string{"golang.org/x/sys/unix", "golang.org/x/sync"}},
	{path: "enforcer/node/wire", uses: []string{"schema"}},
	{path: "enforcer/vm", uses: []string{"schema"}},
	{path: "policies", uses: []string{"schema", "compiler"}, outside: []string{"cuelang.org/go"}}, // the tests alone, see links
	{path: "examples", uses: []string{"schema", "compiler"}},
	{path: "cmd", uses: []string{"schema", "compiler", "reconciler", "reconciler/gitauth", "learn", "enforcer/bpf", "enforcer/node", "enforcer/node/wire", "policies", "examples"},
		outside: []string{"github.com/spf13/cobra", "github.com/go-git/go-git/v5", "github.com/rogpeppe/go-internal", "golang.org/x/sync", "golang.org/x/sys/unix",
			"sigs.k8s.io/kustomize/kyaml"}}, // what functions of kustomize and kpt read and write
}

// links says what a program or room must not link, through any number of packages.
var links = map[string][]string{
	"cmd/writ-node":      {"cuelang.org/go", module + "/compiler", module + "/reconciler", module + "/learn", "github.com/go-git/go-git/v5", "github.com/aquasecurity"},
	"enforcer/node":      {"cuelang.org/go", module + "/compiler", "github.com/aquasecurity"},
	"enforcer/node/wire": {"github.com/cilium/ebpf"},
	"cmd/writ": {"github.com/cilium/ebpf", module + "/reconciler/gitauth/sshdtest", // it never is root: the kernel's part is writ-node's
		"github.com/open-policy-agent", "k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go", "sigs.k8s.io/controller-runtime", // writ-check's part
		"sigs.k8s.io/kustomize/kyaml/openapi"}, // megabytes of schemas
	"compiler": {"k8s.io/client-go"},
	"policies": {"cuelang.org/go", module + "/compiler"},
}

// testOutside may be imported by the tests of every room.
var testOutside = []string{"github.com/rogpeppe/go-internal"}

// folders are those at the top. Folders whose name begins with a dot are free.
var folders = []string{
	"schema", "compiler", "reconciler", "enforcer", "learn", "examples", "policies", "cmd",
	"docs", "LICENSES",
	"bin", "out", // made by make, not in git
}

// roomOf returns the row with the longest path that holds the package in dir.
func roomOf(dir string) (room, bool) {
	var found room
	for _, r := range rooms {
		if within(dir, r.path) && len(r.path) > len(found.path) {
			found = r
		}
	}
	return found, found.path != ""
}

// within says whether a slash-separated path is root or below it.
func within(name, root string) bool { return name == root || strings.HasPrefix(name, root+"/") }

func anyWithin(name string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return within(name, root) })
}

func TestImports(t *testing.T) {
	for _, file := range goFiles(t) {
		dir := path.Dir(file.path)
		if dir == "." {
			continue
		}
		r, ok := roomOf(dir)
		if !ok {
			t.Errorf("%s is in no room: give its folder a row in the table of rooms in house_test.go", file.path)
			continue
		}
		for _, spec := range file.ast.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := r.refuses(name, strings.HasSuffix(file.path, "_test.go")); wrong != "" {
				t.Errorf("%s imports %q: %s. Do without it, or change the table of rooms in house_test.go and say why in %s/doc.go",
					file.path, name, wrong, r.path)
			}
		}
	}
}

// refuses says why the room may not import a package, or "".
func (r room) refuses(name string, test bool) string {
	switch first, _, _ := strings.Cut(name, "/"); {
	case within(name, module):
		to, ok := roomOf(strings.TrimPrefix(name, module+"/"))
		if !ok || (to.path != r.path && !slices.Contains(r.uses, to.path)) {
			return "the room " + r.path + " may import " + list(r.uses) + " of this module"
		}
	case !strings.Contains(first, "."):
		if slices.Contains(r.without, name) && !test {
			return "the room " + r.path + " does without " + list(r.without)
		}
	case !anyWithin(name, r.outside) && (!test || !anyWithin(name, testOutside)):
		return "the room " + r.path + " may import " + list(r.outside) + " of other modules"
	}
	return ""
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

func TestRefuses(t *testing.T) {
	node := rooms[slices.IndexFunc(rooms, func(r room) bool { return r.path == "enforcer/node" })]
	learn := rooms[slices.IndexFunc(rooms, func(r room) bool { return r.path == "learn" })]
	schema := rooms[0]
	for _, c := range []struct {
		room room
		name string
		test bool
		ok   bool
	}{
		{node, module + "/schema/bundle", false, true},
		{node, module + "/enforcer/node/any", false, true},
		{node, module + "/compiler", false, false},
		{node, module + "/compiler", true, false},
		{node, module + "/nowhere", false, false},
		{node, "cuelang.org/go/cue", false, false},
		{node, "golang.org/x/sys/unix", false, true},
		{node, "golang.org/x/sys/unixx", false, false},
		{node, "github.com/rogpeppe/go-internal/txtar", true, true},
		{node, "github.com/rogpeppe/go-internal/txtar", false, false},
		{learn, module + "/reconciler/gitauth", false, true},
		{learn, module + "/reconciler", false, false},
		{schema, "net/netip", false, true},
		{schema, "net", false, false},
		{schema, module + "/compiler", false, false},
	} {
		if got := c.room.refuses(c.name, c.test); (got == "") != c.ok {
			t.Errorf("%s imports %s (test %v): got %q, want allowed %v", c.room.path, c.name, c.test, got, c.ok)
		}
	}
}

func TestLinks(t *testing.T) {
	for dir, forbidden := range links {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{.ImportPath}}", "./"+dir)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("go list -deps ./%s: %v\n%s", dir, err, stderr.String())
			continue
		}
		for name := range strings.FieldsSeq(string(out)) {
			if anyWithin(name, forbidden) {
				t.Errorf("%s links %s. See why: go list -deps -json=ImportPath,Imports ./%s", dir, name, dir)
			}
		}
	}
}

// TestClock holds what the meaning of a policy must not depend on.
func TestClock(t *testing.T) {
	for _, file := range goFiles(t) {
		if !within(file.path, "schema") && !within(file.path, "compiler") || strings.HasSuffix(file.path, "_test.go") {
			continue
		}
		ast.Inspect(file.ast, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := selector.X.(*ast.Ident)
			if ok && pkg.Name == "time" && slices.Contains([]string{"Now", "Since", "Until"}, selector.Sel.Name) {
				t.Errorf("%s reads the clock with time.%s: take the instant as an argument", file.at(n), selector.Sel.Name)
			}
			return true
		})
	}
}

func TestRoomsSayWhatTheyAre(t *testing.T) {
	documented := map[string]bool{}
	packages := map[string]bool{}
	for _, file := range goFiles(t) {
		dir := path.Dir(file.path)
		packages[dir] = true
		if file.ast.Doc != nil {
			documented[dir] = true
		}
		if name := strings.TrimSuffix(file.ast.Name.Name, "_test"); slices.Contains(empty, name) {
			t.Errorf("%s: package %s says nothing of what it provides: name it for that", file.path, name)
		}
	}
	for dir := range packages {
		if !documented[dir] {
			t.Errorf("package %s has no package comment: say what it is for", dir)
		}
		if _, inside := roomOf(path.Dir(dir)); inside {
			continue // a room within a room says it in its package comment
		}
		if r, ok := roomOf(dir); ok && r.path == dir {
			if _, err := os.Stat(filepath.Join(dir, "doc.go")); err != nil {
				t.Errorf("room %s has no doc.go: say what it is for, what it may import and what was decided in it", dir)
			}
		}
	}
}

// empty are names that hold anything, and so soon do.
var empty = []string{"util", "utils", "common", "types", "pkg", "manager", "helper", "helpers", "impl", "misc"}

func TestFolders(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") && !slices.Contains(folders, entry.Name()) {
			t.Errorf("folder %q stands at the top, where only %s may: put it into the room it belongs to", entry.Name(), list(folders))
		}
	}
}

// headers are the licences of a source file, by the end of its name.
var headers = map[string]string{
	".go": "Apache-2.0", ".sh": "Apache-2.0", ".awk": "Apache-2.0", ".cue": "Apache-2.0", ".yaml": "Apache-2.0", "Makefile": "Apache-2.0",
	".c": "GPL-2.0 OR BSD-2-Clause", ".h": "GPL-2.0 OR BSD-2-Clause",
}

var licence = regexp.MustCompile(`SPDX-License-Identifier: (.*?)(?: \*/)?\n`)

func TestHeaders(t *testing.T) {
	for _, name := range sourceFiles(t) {
		want := headers[path.Ext(name)]
		if path.Base(name) == "Makefile" {
			want = headers["Makefile"]
		}
		if want == "" || strings.Contains("/"+name, "/testdata/") || strings.Contains(name, "/cue.mod/") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		head := string(data[:min(len(data), 1000)])
		if generated.MatchString(head) {
			continue
		}
		if m := licence.FindStringSubmatch(head); m == nil || m[1] != want {
			t.Errorf("%s lacks the line %q near its top", name, "SPDX-License-Identifier: "+want)
		}
		if !strings.Contains(head, "SPDX-FileCopyrightText: The writ authors\n") && !strings.Contains(head, "SPDX-FileCopyrightText: The writ authors */\n") {
			t.Errorf("%s lacks the line %q near its top", name, "SPDX-FileCopyrightText: The writ authors")
		}
	}
}

// generated is Go's own mark (https://go.dev/s/generatedcode).
var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// maxLines is well above what a file that holds one thing needs (about 400), so that nobody cuts one to please a test. Tests may be longer:
// their cases are.
const maxLines = 550

// unfinished finds what must not be left behind: notes of work to do, and the marks of a merge.
var unfinished = regexp.MustCompile(`(?m)\b(?:TODO|FIXME|XXX)\b|^(?:<<<<<<<|>>>>>>>) `)

func TestFilesAreFinished(t *testing.T) {
	for _, name := range sourceFiles(t) {
		if _, isSource := headers[path.Ext(name)]; !isSource || name == "house_test.go" || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if generated.Match(data[:min(len(data), 1000)]) {
			continue
		}
		if lines := strings.Count(string(data), "\n"); lines > maxLines && !strings.HasSuffix(name, "_test.go") {
			t.Errorf("%s has %d lines, more than %d: does it still hold one thing?", name, lines, maxLines)
		}
		if found := unfinished.Find(data); found != nil {
			t.Errorf("%s holds %q: finish it", name, found)
		}
	}
}

// TestMakeRunsEverything holds the Makefile against the tree: a nested module it does not know would never be tested, and a target that
// runs no test would always pass.
func TestMakeRunsEverything(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^NESTED_MODULES := (.*)$`).FindStringSubmatch(string(makefile))
	if m == nil {
		t.Fatal("Makefile has no NESTED_MODULES")
	}
	for _, name := range sourceFiles(t) {
		if dir := path.Dir(name); path.Base(name) == "go.mod" && dir != "." && !slices.Contains(strings.Fields(m[1]), dir) {
			t.Errorf("NESTED_MODULES in the Makefile lacks %s", dir)
		}
	}
	for _, c := range []struct{ target, root, prefix string }{
		{"test-root and test-vm", "enforcer/bpf", "TestRoot"},
		{"test-root and test-vm", "enforcer/node", "TestRoot"},
		{"e2e", "cmd", "TestE2E"},
		{"e2e", "enforcer/cluster", "TestE2E"},
		{"soak", "enforcer", "TestSoak"},
		{"bench", "enforcer", "Benchmark"},
		{"bench", "cmd", "TestBench"},
		{"bench", "enforcer/cluster", "TestBench"},
		{"fuzz", "schema", "Fuzz"},
	} {
		if !slices.ContainsFunc(sourceFiles(t), func(name string) bool { return within(name, c.root) && tests(t, name, c.prefix) }) {
			t.Errorf("no test below %s is called %s..., so make %s runs nothing there", c.root, c.prefix, c.target)
		}
	}
}

// goFile is a parsed file of this module.
type goFile struct {
	path string // slash-separated
	ast  *ast.File
	set  *token.FileSet
}

func (f goFile) at(n ast.Node) string { return f.set.Position(n.Pos()).String() }

// tests says whether a file, of a nested module too, has a test whose name begins with prefix.
func tests(t *testing.T, name, prefix string) bool {
	t.Helper()
	if !strings.HasSuffix(name, "_test.go") {
		return false
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^func ` + prefix).Match(data)
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	for _, name := range sourceFiles(t) {
		if path.Ext(name) != ".go" || inNestedModule(name) || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, goFile{name, file, set})
	}
	return files
}

// inNestedModule says whether a folder between the file and the root has a go.mod of its own.
func inNestedModule(name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return true
		}
	}
	return false
}

// sourceFiles returns the files of the tree, slash-separated, but for what make makes and folders whose name begins with a dot.
func sourceFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != "." && (strings.HasPrefix(entry.Name(), ".") || name == "bin" || name == "out") {
			return fs.SkipDir
		}
		if entry.Type().IsRegular() {
			files = append(files, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
