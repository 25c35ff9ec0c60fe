// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package treegen

import (
	"bytes"
	"fmt"
)

// root writes the files at the root, but for the workloads there: the patterns of all kinds, what folders may speak of, and what the
// organisation states for everybody.
func (g *generator) root() {
	g.files["writ.cue"] = []byte(rootPatterns)
	g.files["supply.cue"] = []byte(rootSupply)
	g.files["targets.cue"] = []byte(rootTargets)
	if g.Plain {
		g.files["bounds.cue"] = []byte(rootBoundsPlain)
	} else {
		g.files["bounds.cue"] = []byte(rootBounds)
	}
	if g.Folders > 0 {
		g.files["folders.cue"] = g.folders()
	}
	if g.Folders > 0 && g.Each > 0 {
		g.files["exceptions.cue"] = []byte(fmt.Sprintf(rootExceptions, folderName(0), workloadName(0, 0)))
	}
}

func (g *generator) folders() []byte {
	var b bytes.Buffer
	b.WriteString("package policy\n\nfolder: {\n")
	for i := range g.Folders {
		name := folderName(i)
		fmt.Fprintf(&b, "\t%q: {namespaces: %q: {}, owner: %q}\n", name, name, name)
	}
	b.WriteString("}\n")
	return b.Bytes()
}

const rootPatterns = `// What the containers of the organisation may do. Every file is of this one package; a folder also sees what the folders above it state.
package policy

import "github.com/writ-sec/writ/schema"

folder: [string]:    schema.#Folder
workload: [string]:  schema.#Workload
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

const rootSupply = `package policy

gate: production: {
	at: {build: true, registry: true, admission: true}
	deny: {
		vulnerability: {
			worst: severity: "CRITICAL"
			fixable: {severity: "HIGH", fixable: true}
		}
		secret: any: {}
		licence: copyleft: name: "AGPL-3.0*"
		image: {old: olderThan: "4320h", unsigned: signed: false}
	}
	grace:   "168h"
	fresh:   "24h"
	stale:   "warn"
	missing: "deny"
	owner:   "platform"
}

signer: {
	release: {
		key: """
			-----BEGIN PUBLIC KEY-----
			MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKxOdfl7ivAYsUM5JLr200nZPZFrG
			JteFanzfXunzMt0ppAk5yQzKQunYhW3hV/80IgzgPReUBWSGVbaWKcnXyg==
			-----END PUBLIC KEY-----
			"""
		owner: "platform"
	}
	ci: keyless: {
		issuer:   "https://token.actions.example.com"
		identity: "https://git.example.com/*/.github/workflows/release.yaml@refs/heads/main"
	}
}

registry: main: {
	host: "registry.example.com"
	repositories: "team-*/*": tags: "v*": {}
	every: "6h"
	gate:  "production"
}
`

const rootTargets = `package policy

cluster: {
	staging: {mode: "audit", owner: "platform"}
	prod: owner: "platform"
}

notify: oncall: {
	kind:     "webhook"
	to:       "https://alerts.example.com/writ"
	secret:   "writ-oncall"
	severity: "HIGH"
	limit:    60
}

response: shell: {
	on: {bound: "no-shells", count: 3, within: "10m"}
	do: {notify: oncall: {}, capture: "60s"}
	mode:  "enforce"
	owner: "platform"
}

benchmark: cis: {
	profile: "cis-kubernetes"
	level:   1
	every:   "24h"
	owner:   "platform"
}

check: replicas: {
	of: {apiVersion: "apps/v1", kind: "Deployment"}
	must: "spec.template.spec.automountServiceAccountToken": equals: false
	severity:    "LOW"
	remediation: "set automountServiceAccountToken: false"
	owner:       "platform"
}
`

// rootBounds forbids with exact paths and few patterns, as the workloads' own patterns would otherwise be cut into, which is a warning for each.
const rootBounds = `package policy

import "github.com/writ-sec/writ/policies"

bound: {
	"no-shells": {
		why:  "who needs a shell in production opens a debug container"
		mode: "enforce"
		never: exec: policies.shells
		owner: "platform"
	}
	"no-metadata": {
		mode: "enforce"
		never: egress: policies.metadata
		owner: "platform"
	}
` + rootBoundsRest

// rootBoundsPlain is the same without the library.
const rootBoundsPlain = `package policy

bound: {
	"no-shells": {
		why:  "who needs a shell in production opens a debug container"
		mode: "enforce"
		never: exec: {
			"/bin/sh": {}
			"/bin/bash": {}
			"/usr/bin/dash": {}
			"/usr/bin/bash": {}
		}
		owner: "platform"
	}
	"no-metadata": {
		mode: "enforce"
		never: egress: metadata: {cidr: "169.254.169.254/32", port: 80}
		owner: "platform"
	}
` + rootBoundsRest

const rootBoundsRest = `	"no-runtime-sockets": {
		mode: "enforce"
		never: file: {
			"/run/docker.sock": {}
			"/run/containerd/**": {}
			"/run/crio/crio.sock": {}
		}
		owner: "platform"
	}
	"frontend-capabilities": {
		match: labels: tier: "frontend"
		mode: "enforce"
		never: capability: {
			CAP_SYS_ADMIN: {}
			CAP_SYS_PTRACE: {}
			CAP_NET_RAW: {}
		}
		owner: "platform"
	}
	complete: {
		require: {owner: true, image: true, gate: true}
		owner: "platform"
	}
}
`

// rootExceptions wants the name of a folder and of a workload there.
const rootExceptions = `package policy

exception: {
	"xml-parser": {
		finding: "CVE-2026-12345": {}
		images: "registry.example.com/%[1]s/*": {}
		why:     "not reachable: the parser is not linked"
		owner:   "%[1]s"
		expires: "2099-12-31"
		patch: exec: "/usr/bin/xmllint": {}
	}
	"old-zlib": {
		finding: {
			"CVE-2026-20001": {}
			"CVE-2026-20002": {}
		}
		images: "registry.example.com/%[1]s/*": {}
		why:     "fixed in the next base image"
		owner:   "%[1]s"
		expires: "2099-12-31"
	}
}

test: {
	"no shell": {in: "%[2]s", exec: "/usr/bin/dash", is: "denied", by: "no-shells"}
	"no credentials of the node": {
		in: "%[2]s"
		connect: {address: "169.254.169.254", port: 80}
		is: "denied"
		by: "no-metadata"
	}
}
`
