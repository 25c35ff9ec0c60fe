// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

// Vendor returns the files, by slash-separated path from the repository's root, that let CUE's own tools (cue vet, the language server) find
// the schema and the library offline. They are those embedded in this binary.
func Vendor() map[string][]byte {
	files := map[string][]byte{}
	for name, data := range vendored() {
		files[vendorDir+name] = data
	}
	return files
}

// Init returns the files of a first policy repository, by slash-separated path: one that compiles without warnings and shows what a
// policy looks like. It includes what [Vendor] returns.
func Init() map[string][]byte {
	files := Vendor()
	files[moduleDir+"/module.cue"] = []byte(starterModule)
	files["writ.cue"] = []byte(starterRoot)
	files["bounds.cue"] = []byte(starterBounds)
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

// What the repository states, and the type of each: plain cue vet and editors check the files against these lines.
workload: [string]:  schema.#Workload
folder: [string]:    schema.#Folder
bound: [string]:     schema.#Bound
gate: [string]:      schema.#Gate
exception: [string]: schema.#Exception
signer: [string]:    schema.#Signer
registry: [string]:  schema.#Registry
response: [string]:  schema.#Response
notify: [string]:    schema.#Notify
benchmark: [string]: schema.#Benchmark
check: [string]:     schema.#Check
cluster: [string]:   schema.#Cluster
test: [string]:      schema.#Test
admission: schema.#Admission
budget:    schema.#Budget
`

const starterBounds = `package policy

import "github.com/writ-sec/writ/policies"

// What no workload may go beyond, from the library. Each is reported until its mode is "enforce": look at the reports first.
// https://github.com/writ-sec/writ/tree/main/policies says what each stops, and which others there are.
bound: "no-shells": {policies.bounds.noShells, mode: "audit", owner: "team-platform"}
bound: "no-metadata": {policies.bounds.noMetadata, mode: "audit", owner: "team-platform"}
bound: "no-latest": {policies.bounds.noLatest, mode: "audit", owner: "team-platform"}
`

const starterWorkload = `package policy

workload: hello: {
	// Which containers this is about: all Pods of the namespace with this label.
	match: {namespace: "default", labels: app: "hello"}

	// What happens to what no rule allows: "learn" and "audit" let it happen and tell, "enforce" stops it.
	mode:  "audit"
	owner: "team-hello"

	// The images that may run.
	image: from: "registry.example.com/hello/*": {}

	// The programs that may run, by the path that the kernel resolves. Nothing else is implied.
	exec: {
		"/usr/bin/curl": {why: "asks its neighbours how they are", parent: "/usr/bin/hello": {}}
		"/usr/bin/hello": {}
	}
}

// What must be so, whoever changes what above: writ test says.
test: "nobody else starts curl": {in: "hello", exec: "/usr/bin/curl", parent: "/bin/sh", is: "audited"}
`
