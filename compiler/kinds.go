// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"

	"github.com/writ-sec/writ/policies"
	"github.com/writ-sec/writ/schema"
)

// kind is one of the words that a policy may state at the top level.
type kind struct {
	name       string
	definition string // of the schema
	single     bool   // one value, not a struct of named entries
}

// workloadKind is the kind that everything else serves.
const workloadKind = "workload"

// kinds lists what may stand at the top level of a policy, in the order in which it is listed to people.
var kinds = []kind{
	{workloadKind, "#Workload", false}, {"folder", "#Folder", false}, {"bound", "#Bound", false}, {"gate", "#Gate", false},
	{"exception", "#Exception", false}, {"signer", "#Signer", false}, {"registry", "#Registry", false}, {"response", "#Response", false},
	{"notify", "#Notify", false}, {"benchmark", "#Benchmark", false}, {"check", "#Check", false}, {"cluster", "#Cluster", false},
	{"test", "#Test", false}, {"admission", "#Admission", true}, {"budget", "#Budget", true},
}

func kindNamed(name string) (kind, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		return kind{}, false
	}
	return kinds[i], true
}

func kindNames() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// library is a CUE package that a policy may import beside CUE's standard library. It is embedded in the binary.
type library struct {
	importPath string
	files      embed.FS
}

// libraries lists them; the schema is the first.
var libraries = []library{{schema.ImportPath, schema.CUE}, {policies.ImportPath, policies.CUE}}

func libraryAt(importPath string) (library, bool) {
	i := slices.IndexFunc(libraries, func(l library) bool { return l.importPath == importPath })
	if i < 0 {
		return library{}, false
	}
	return libraries[i], true
}

// sources returns the CUE files of a library by name.
func (l library) sources() map[string][]byte {
	files := map[string][]byte{}
	names, err := fs.Glob(l.files, "*.cue")
	if err != nil {
		panic(fmt.Sprintf("compiler: embedded %s: %v", l.importPath, err)) // the pattern is constant
	}
	for _, name := range names {
		data, err := l.files.ReadFile(name)
		if err != nil {
			panic(fmt.Sprintf("compiler: embedded %s: %v", l.importPath, err)) // it was just listed
		}
		files[name] = data
	}
	return files
}
