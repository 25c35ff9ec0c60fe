// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package treegen generates policy repositories for tests and benchmarks: large ones as organisations have them ([Tree]), and small ones
// that mean harm ([HostileTrees]). They are valid for CUE's own tools too, which are the yardstick: the schema and the library are vendored.
package treegen

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// Config says how large a repository is.
type Config struct {
	Folders int    // folders below the root, each with a namespace and an owner of its own
	Each    int    // workloads in each folder, five to a file
	Root    int    // workloads at the root, which every folder sees
	Rules   int    // rules that a workload states; what it embeds of the library comes on top. 0 is 50, less than 10 is 10
	Seed    uint64 // other seeds make other repositories of the same size
	Plain   bool   // literals alone: no set of the library or of a team, no comprehension, no interpolation
}

// The sizes that benchmarks speak of. Each is also used with 100 workloads at the root.
var (
	Thousand    = Config{Folders: 100, Each: 10}
	TenThousand = Config{Folders: 500, Each: 20}
)

// Workloads returns how many workloads the repository has.
func (c Config) Workloads() int { return c.Folders*c.Each + c.Root }

func (c Config) rules() int {
	if c.Rules == 0 {
		return 50
	}
	return max(c.Rules, 10)
}

// perFile is how many workloads stand in one file.
const perFile = 5

// generator makes one repository. What it says of a workload depends on the seed and the workload's place alone.
type generator struct {
	Config
	files map[string][]byte
	made  int // files with workloads so far
}

// Tree returns the files of a repository by slash-separated path. The same Config gives the same bytes.
//
// Of the paths in rules 90 % are exact, 9 % dir/** and 1 % other patterns. A third of the workloads embed a set of the library, a sixth one
// that their team states as a hidden field of the folder, and one file in a hundred has a comprehension or an interpolation.
func Tree(cfg Config) map[string][]byte {
	g := &generator{Config: cfg, files: map[string][]byte{moduleFile: []byte(module)}}
	vendor(g.files)
	g.root()
	for i := range cfg.Folders {
		g.folder(i)
	}
	for start := 0; start < cfg.Root; start += perFile {
		var workloads []*workload
		for i := start; i < min(start+perFile, cfg.Root); i++ {
			workloads = append(workloads, g.workload(rootFolder, i))
		}
		g.file(fmt.Sprintf("platform-%02d.cue", start/perFile), workloads, "")
	}
	return g.files
}

func (g *generator) folder(folder int) {
	for start := 0; start < g.Each; start += perFile {
		var workloads []*workload
		for i := start; i < min(start+perFile, g.Each); i++ {
			workloads = append(workloads, g.workload(folder, i))
		}
		tools := ""
		if start == 0 && g.hasTools(folder) {
			tools = teamTools(folder)
		}
		g.file(fmt.Sprintf("%s/services-%d.cue", folderName(folder), start/perFile), workloads, tools)
	}
}

// file writes workloads, and a hidden field before them.
func (g *generator) file(name string, workloads []*workload, hidden string) {
	if g.made%100 == 42%max(1, g.fileCount()) && !g.Plain {
		workloads[0].computed = []int{comprehension, interpolation}[g.made/100%2]
	}
	g.made++
	var b bytes.Buffer
	b.WriteString("package policy\n")
	for _, w := range workloads {
		if w.set != "" {
			b.WriteString("\nimport \"github.com/writ-sec/writ/policies\"\n")
			break
		}
	}
	b.WriteString(hidden)
	for _, w := range workloads {
		w.write(&b)
	}
	g.files[name] = b.Bytes()
}

func (g *generator) fileCount() int {
	return g.Folders*((g.Each+perFile-1)/perFile) + (g.Root+perFile-1)/perFile
}

// hasTools says whether a folder's team states a set of programs of its own.
func (g *generator) hasTools(folder int) bool {
	return folder != rootFolder && !g.Plain && folder%2 == 0
}

// random returns the chance that a workload's rules are made of.
func (g *generator) random(folder, i int) *rand.Rand {
	return rand.New(rand.NewPCG(g.Seed, uint64(folder+1)<<32|uint64(i)))
}

// rootFolder stands for the root, where a folder's number is asked for.
const rootFolder = -1

func folderName(folder int) string {
	if folder == rootFolder {
		return "platform"
	}
	return fmt.Sprintf("team-%03d", folder)
}

// services are the words that workloads are called by.
var services = []string{
	"api", "web", "worker", "billing", "search", "catalogue", "checkout", "basket", "mailer", "reports",
	"auth", "gateway", "ledger", "stock", "pricing", "uploads", "exports", "sessions", "profiles", "audit",
}

// workloadName returns the name of a folder's i-th workload, unique in the repository.
func workloadName(folder, i int) string {
	name := services[i%len(services)]
	if folder == rootFolder {
		return fmt.Sprintf("platform-%s-%d", name, i/len(services))
	}
	if i >= len(services) {
		return fmt.Sprintf("%s-%03d-%d", name, folder, i/len(services))
	}
	return fmt.Sprintf("%s-%03d", name, folder)
}
