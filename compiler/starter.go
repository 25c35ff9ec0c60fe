// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

// Vendor returns the files, by slash-separated path from the repository's root, that let CUE's own tools (cue vet, the language server) find
// the schema offline. They are the schema embedded in this binary.
func Vendor() map[string][]byte {
	files := map[string][]byte{}
	for name, data := range embeddedSchema() {
		files[schemaDir+"/"+name] = data
	}
	return files
}

// Init returns the files of a first policy repository, by slash-separated path: one that compiles without warnings and shows what a
// policy looks like. It includes what [Vendor] returns.
func Init() map[string][]byte {
	files := Vendor()
	files[moduleDir+"/module.cue"] = []byte(starterModule)
	files["writ.cue"] = []byte(starterRoot)
	files["apps/hello.cue"] = []byte(starterWorkload)
	return files
}

// starterModule names a module that is never published; CUE's tools want a name.
const starterModule = `module: "policy.example/policy@v0"
language: version: "v0.17.0"
`

const starterRoot = `// Everything in this repository is one CUE package. Files in a folder also see what the folders above it state.
package policy

import "github.com/writ-sec/writ/schema"

// Each workload is a set of containers and what they may do.
workload: [string]: schema.#Workload
`

const starterWorkload = `package policy

workload: hello: {
	// Which containers this is about: all Pods of the namespace with this label.
	match: {namespace: "default", labels: app: "hello"}

	// What happens to what no rule allows: "learn" and "audit" let it happen and tell, "enforce" stops it.
	mode: "audit"
	owner: "team-hello"

	// The images that may run.
	image: from: "registry.example.com/hello/*": {}

	// The programs that may run, by the path that the kernel resolves. Nothing else is implied.
	exec: {
		"/usr/bin/hello": {}
		"/usr/bin/curl": {why: "asks its neighbours how they are", parent: "/usr/bin/hello": {}}
	}
}
`
