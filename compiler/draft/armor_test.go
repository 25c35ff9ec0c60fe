// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// armorRule is one rule of a KubeArmor policy, in its words.
type armorRule struct {
	Path       string              `json:"path,omitempty"`
	Dir        string              `json:"dir,omitempty"`
	Pattern    string              `json:"pattern,omitempty"`
	Recursive  bool                `json:"recursive,omitempty"`
	ReadOnly   bool                `json:"readOnly,omitempty"`
	FromSource []map[string]string `json:"fromSource,omitempty"`
	Action     string              `json:"action"`
}

// matches is the meaning of a rule's path (getting-started/security_policy_specification.md of KubeArmor). The patterns that are tested
// have a "*" in their last part alone.
func (r armorRule) matches(path string) bool {
	switch {
	case r.Path != "":
		return r.Path == path
	case r.Dir != "":
		below, ok := strings.CutPrefix(path+"/", r.Dir)
		return ok && (r.Recursive || strings.Count(below, "/") <= 1)
	}
	before, after, _ := strings.Cut(r.Pattern, "*")
	return len(path) >= len(before)+len(after) && strings.HasPrefix(path, before) && strings.HasSuffix(path, after) && !strings.Contains(path[len(before):len(path)-len(after)], "/")
}

// armorAllows says whether the rules of one section let a program do it. What is blocked is blocked; where something is allowed, all else is not.
func armorAllows(rules []armorRule, path, source string, write bool) bool {
	closed, allowed := false, false
	for _, r := range rules {
		from := len(r.FromSource) == 0
		for _, s := range r.FromSource {
			from = from || s["path"] == source
		}
		hit := r.matches(path) && from
		switch r.Action {
		case "Block":
			if hit {
				return false
			}
		case "Allow":
			closed = true
			allowed = allowed || hit && !(write && r.ReadOnly)
		}
	}
	return allowed || !closed
}

// TestArmorNeverMore drafts from random KubeArmor policies and holds that a draft allows no program and no file that the source forbids.
func TestArmorNeverMore(t *testing.T) {
	paths := []string{"/bin/sh", "/bin/ls", "/bin", "/usr/bin/sh", "/usr/lib/a/b.so", "/usr/lib/a", "/etc/passwd", "/etc/ssl/a.pem", "/srv"}
	dirs := []string{"/bin/", "/usr/", "/usr/lib/", "/etc/", "/"}
	patterns := []string{"/bin/*", "/bin/*s", "/etc/ssl/*.pem", "/usr/lib/a/b*", "/*"}
	forbidden := 0
	for seed := range uint64(2000) {
		g := rand.New(rand.NewPCG(seed, 5))
		section := func(file bool) (lists map[string][]armorRule, all []armorRule) {
			lists = map[string][]armorRule{}
			for range g.IntN(4) {
				r := armorRule{Action: []string{"Allow", "Allow", "Block", "Audit"}[g.IntN(4)]}
				list := []string{"matchPaths", "matchDirectories", "matchPatterns"}[g.IntN(3)]
				switch list {
				case "matchPaths":
					r.Path = paths[g.IntN(len(paths))]
				case "matchDirectories":
					r.Dir, r.Recursive = dirs[g.IntN(len(dirs))], g.IntN(2) == 0
				default:
					r.Pattern = patterns[g.IntN(len(patterns))]
				}
				if r.Action == "Allow" { // what only some programs must not do, or only not write, is lost
					r.ReadOnly = file && g.IntN(2) == 0
					if !file && list != "matchPatterns" && g.IntN(3) == 0 {
						r.FromSource = []map[string]string{{"path": "/bin/sh"}}
					}
				}
				lists[list], all = append(lists[list], r), append(all, r)
			}
			return lists, all
		}
		process, execs := section(false)
		file, files := section(true)
		data, err := json.Marshal(map[string]any{"apiVersion": "security.kubearmor.com/v1", "kind": "KubeArmorPolicy", "metadata": map[string]string{"name": "p"},
			"spec": map[string]any{"selector": map[string]any{"matchLabels": map[string]string{"app": "a"}}, "process": process, "file": file}})
		if err != nil {
			t.Fatal(err)
		}
		im, err := newImporter([]Source{{Path: "p.json", Data: data}})
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			for _, source := range []string{"/bin/sh", "/bin/ls"} {
				for verb, rules := range map[schema.Verb][]armorRule{schema.VerbExec: execs, schema.VerbRead: files, schema.VerbWrite: files} {
					if verb == schema.VerbExec && (path == "/bin" || path == "/usr/lib/a") {
						continue // are directories here, which nobody executes
					}
					wanted := armorAllows(rules, path, source, verb == schema.VerbWrite)
					got := len(im.order) == 0 || im.order[0].allows(verb, path, source)
					if !wanted {
						forbidden++
					}
					if got && !wanted {
						t.Fatalf("seed %d: %s of %s by %s is forbidden in the source and allowed in the draft\n%s\n%v", seed, verb, path, source, data, im.lost)
					}
				}
			}
		}
	}
	if forbidden < 1000 {
		t.Errorf("%d things are forbidden: the test says too little", forbidden)
	}
}

// allows is what the draft of one group says, were it enforced: bounds first, then rules if the plane is closed.
func (g *group) allows(verb schema.Verb, path, source string) bool {
	match := func(m map[string]reason) bool {
		for p := range m {
			if schema.MatchPath(p, path) {
				return true
			}
		}
		return false
	}
	for name, b := range g.bounds {
		if strings.HasSuffix(name, "-audit") {
			continue // is watched and not forbidden in the source
		}
		if verb == schema.VerbExec && match(b.exec) || verb != schema.VerbExec && match(b.file) {
			return false
		}
	}
	switch verb {
	case schema.VerbExec:
		for p, r := range g.exec {
			if schema.MatchPath(p, path) && (r.parents == nil || r.parents[source]) {
				return true
			}
		}
		return !g.closed[schema.PlaneExec]
	case schema.VerbRead:
		return !g.closed[schema.PlaneFile] || match(g.read) || match(g.write)
	case schema.VerbWrite:
		return !g.closed[schema.PlaneFile] || match(g.write)
	}
	panic(fmt.Sprintf("verb %s is not asked", verb))
}
