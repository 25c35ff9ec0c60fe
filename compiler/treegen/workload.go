// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package treegen

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// How a workload states some of its programs with more than literals.
const (
	comprehension = 1
	interpolation = 2
)

// computedRules is how many programs a comprehension or an interpolation states.
const computedRules = 4

// workload is one workload on its way to text. Each rule is a line without indentation.
type workload struct {
	name, namespace, owner, tier string
	mode                         string
	image                        []string
	exec, read, writes, caps     []string
	egress, ingress              []string
	set                          string // of the library, embedded into file.read; or ""
	tools                        bool   // the team's set is embedded into exec
	computed                     int
}

// workload makes a folder's i-th workload. Of 50 rules it gives 2 to the image, 11 to reading and 4 to writing, 1 or 2 to capabilities, 8 to
// connections it makes, 3 to those it accepts, and the others to programs.
func (g *generator) workload(folder, i int) *workload {
	r := g.random(folder, i)
	w := &workload{name: workloadName(folder, i), namespace: folderName(folder), owner: folderName(folder)}
	w.tier = pick(r, "frontend", "backend", "backend", "data")
	w.mode = pick(r, ` "audit"`, ` "enforce"`, ` "enforce"`, ` "learn"`, `{exec: "enforce", file: "audit", network: "audit"}`)
	w.tools = g.hasTools(folder) && i%3 == 0
	if !g.Plain && i%3 == 1 {
		w.set = pick(r, "libc", "goStatic", "caCertificates")
	}
	w.image = []string{fmt.Sprintf("from: %q: {}", "registry.example.com/"+w.namespace+"/"+services[i%len(services)]), `gate: "production"`}
	n := g.rules()
	w.read = paths(r, n*11/50, "/etc/"+w.name, "/usr/share/"+w.name)
	w.writes = paths(r, n*4/50, "/var/lib/"+w.name, "/var/cache/"+w.name)
	for _, c := range capabilities[r.IntN(3):][:1+r.IntN(2)] {
		w.caps = append(w.caps, fmt.Sprintf("%q: {}", c))
	}
	w.egress = g.peers(r, folder, i, n*8/50)
	w.ingress = g.clients(r, folder, i, n*3/50)
	rest := n - len(w.image) - len(w.read) - len(w.writes) - len(w.caps) - len(w.egress) - len(w.ingress)
	if w.tools {
		rest = max(0, rest-len(toolPaths))
	}
	w.exec = w.programs(r, rest)
	return w
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

var (
	capabilities = []string{"CAP_NET_BIND_SERVICE", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"}
	// toolPaths are the programs of a team's own set.
	toolPaths = []string{"/usr/bin/curl", "/usr/bin/jq", "/usr/bin/openssl", "/usr/bin/git"}
	verbs     = []string{"serve", "migrate", "import", "export", "index", "notify", "render", "sync", "verify", "compact"}
	words     = []string{"config", "routes", "limits", "schema", "labels", "prices", "stock", "users", "flags", "quotas"}
	reasons   = []string{"called by the scheduler at night", "part of the release", "asked for by support", "replaces the old job", "until the new pipeline is live"}
)

// paths makes n patterns below two folders: 90 % exact, 9 % dir/**, 1 % others. None covers another.
func paths(r *rand.Rand, n int, roots ...string) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("%q: %s", pattern(r, pick(r, roots...)+"/"+pick(r, words...)+fmt.Sprintf("-%02d", i)), "{}")
	}
	return lines
}

// pattern makes a pattern of a path.
func pattern(r *rand.Rand, path string) string {
	switch n := r.IntN(100); {
	case n < 90:
		return path
	case n < 99:
		return path + "/**"
	}
	return path + "/part-*/data"
}

func (w *workload) programs(r *rand.Rand, n int) []string {
	root := "/opt/" + w.name
	if n == 0 {
		return nil
	}
	lines := []string{fmt.Sprintf("%q: {}", root+"/bin/main")}
	for i := 1; i < n; i++ {
		path := pattern(r, fmt.Sprintf("%s/bin/%s-%02d", root, pick(r, verbs...), i))
		why := fmt.Sprintf("why: %q", pick(r, reasons...))
		parent := fmt.Sprintf("parent: %q: {}", root+"/bin/main")
		switch r.IntN(8) {
		case 0:
			lines = append(lines, fmt.Sprintf("%q: {%s}", path, why))
		case 1:
			lines = append(lines, fmt.Sprintf("%q: {%s, %s}", path, why, parent))
		case 2:
			lines = append(lines, fmt.Sprintf("%q: %s", path, parent))
		default:
			lines = append(lines, fmt.Sprintf("%q: {}", path))
		}
	}
	return lines
}

// peers makes n rules for connections: half of them to other workloads, the rest to ranges of addresses and to names, in turn. Some speak of
// layer 7.
func (g *generator) peers(r *rand.Rand, folder, i, n int) []string {
	lines := make([]string, n)
	for k := range lines {
		port := 8000 + k
		switch k % 4 {
		case 0, 1:
			to := g.otherWorkload(r, folder, i, k)
			extra := ""
			if r.IntN(5) == 0 {
				extra = fmt.Sprintf(`, http: "GET /v1/%s/*": {}, l4: "accept"`, pick(r, words...))
			}
			lines[k] = fmt.Sprintf("%q: {workload: %q, port: %d%s}", fmt.Sprintf("peer-%d", k), to, port, extra)
		case 2:
			lines[k] = fmt.Sprintf("\"database-%d\": {cidr: \"10.%d.%d.0/24\", port: 5432}", k, r.IntN(256), r.IntN(256))
		default:
			extra := ""
			if r.IntN(3) == 0 {
				extra = `, tls: true, l4: "accept"`
			}
			lines[k] = fmt.Sprintf("\"partner-%d\": {dns: \"%s-%d.example.com\", port: 443%s}", k, pick(r, words...), r.IntN(1000), extra)
		}
	}
	return lines
}

// otherWorkload returns a reference to another workload: of the folder by its bare name, or of any by namespace and name.
func (g *generator) otherWorkload(r *rand.Rand, folder, i, k int) string {
	switch {
	case k%4 == 0 && folder != rootFolder && g.Each > 1:
		return workloadName(folder, (i+1+r.IntN(g.Each-1))%g.Each)
	case g.Root > 0 && (k == 1 || g.Folders == 0):
		return "platform/" + workloadName(rootFolder, r.IntN(g.Root))
	case g.Folders > 0 && g.Each > 0:
		to := r.IntN(g.Folders)
		return folderName(to) + "/" + workloadName(to, r.IntN(g.Each))
	}
	return workloadName(folder, i)
}

// clients makes n rules for connections that are accepted.
func (g *generator) clients(r *rand.Rand, folder, i, n int) []string {
	lines := make([]string, n)
	for k := range lines {
		switch k % 3 {
		case 0:
			lines[k] = fmt.Sprintf("\"client-%d\": {workload: %q, port: %d}", k, g.otherWorkload(r, folder, i, k), 8000+k)
		case 1:
			lines[k] = fmt.Sprintf("\"metrics-%d\": {namespace: \"monitoring\", port: %d}", k, 9100+k)
		default:
			lines[k] = fmt.Sprintf("\"office-%d\": {cidr: \"10.%d.0.0/16\", port: %d}", k, r.IntN(256), 8443+k)
		}
	}
	return lines
}

func teamTools(folder int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n// What every program of %s may call.\n_tools: {\n", folderName(folder))
	for _, path := range toolPaths {
		fmt.Fprintf(&b, "\t%q: {}\n", path)
	}
	b.WriteString("}\n")
	return b.String()
}

// write writes the workload as an author would.
func (w *workload) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "\nworkload: %q: {\n", w.name)
	fmt.Fprintf(b, "\tmatch: {namespace: %q, labels: {app: %q, tier: %q}}\n", w.namespace, w.name, w.tier)
	fmt.Fprintf(b, "\tmode: %s\n\towner: %q\n", w.mode, w.owner)
	block(b, "image", "\t", w.image)
	exec := w.exec
	if w.tools {
		exec = append([]string{"_tools"}, exec...)
	}
	block(b, "exec", "\t", w.compute(exec))
	b.WriteString("\tfile: {\n")
	read := w.read
	if w.set != "" {
		read = append([]string{"policies." + w.set}, read...)
	}
	block(b, "read", "\t\t", read)
	block(b, "write", "\t\t", w.writes)
	b.WriteString("\t}\n")
	block(b, "capability", "\t", w.caps)
	block(b, "egress", "\t", w.egress)
	block(b, "ingress", "\t", w.ingress)
	b.WriteString("}\n")
}

// compute states the last programs by what CUE has to evaluate.
func (w *workload) compute(exec []string) []string {
	if w.computed == 0 || len(exec) < computedRules+1 {
		return exec
	}
	exec = exec[:len(exec)-computedRules]
	if w.computed == comprehension {
		return append(exec, fmt.Sprintf("for n in [\"a\", \"b\", \"c\", \"d\"] {\"/opt/%s/shards/\\(n)\": {}}", w.name))
	}
	exec = append([]string{"let release = \"2026.10\""}, exec...)
	for i := range computedRules {
		exec = append(exec, fmt.Sprintf("\"/opt/%s/\\(release)/%s\": {}", w.name, verbs[i]))
	}
	return exec
}

// block writes lines in braces, or nothing.
func block(b *bytes.Buffer, name, indent string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "%s%s: {\n", indent, name)
	for _, line := range lines {
		fmt.Fprintf(b, "%s\t%s\n", indent, line)
	}
	fmt.Fprintf(b, "%s}\n", indent)
}
