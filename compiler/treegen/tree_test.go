// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package treegen

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/testneed"
)

// cue runs the cue command in a folder, without network and without the caches of the user.
func cue(t *testing.T, dir string, args ...string) (stdout []byte, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, testneed.Cue(t), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CUE_CACHE_DIR="+t.TempDir(), "CUE_REGISTRY=none")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err = cmd.Output()
	if err != nil {
		err = errors.New(err.Error() + ": " + string(stderr.Bytes()[:min(stderr.Len(), 2000)]))
	}
	return stdout, err
}

func TestDeterministic(t *testing.T) {
	cfg := Config{Folders: 6, Each: 7, Root: 8}
	tree := Tree(cfg)
	if !maps.EqualFunc(tree, Tree(cfg), bytes.Equal) {
		t.Error("two trees of one Config differ")
	}
	cfg.Seed = 1
	if maps.EqualFunc(tree, Tree(cfg), bytes.Equal) {
		t.Error("two seeds give one tree")
	}
}

func TestFiles(t *testing.T) {
	for _, c := range []struct {
		cfg              Config
		workloads, files int
	}{
		{Thousand, 1000, 200},
		{TenThousand, 10_000, 2000},
		{Config{Folders: 2, Each: 6, Root: 7}, 19, 6},
	} {
		tree, files, computed := Tree(c.cfg), 0, 0
		for name, data := range tree {
			if strings.Contains(name, "services-") || strings.Contains(name, "platform-") {
				files++
			}
			if bytes.Contains(data, []byte(`\(`)) && !strings.HasPrefix(name, "cue.mod/") {
				computed++
			}
		}
		if c.cfg.Workloads() != c.workloads || files != c.files || computed != (files+57)/100 && files >= 100 || computed == 0 {
			t.Errorf("%+v: %d workloads in %d files, of which %d compute something; want %d in %d and one in a hundred",
				c.cfg, c.cfg.Workloads(), files, computed, c.workloads, c.files)
		}
	}
}

// TestVet holds trees against CUE's own tools: they are valid, concrete and formatted.
func TestVet(t *testing.T) {
	for name, cfg := range map[string]Config{
		"usual":      {Folders: 8, Each: 12},
		"root":       {Folders: 3, Each: 5, Root: 12},
		"plain":      {Folders: 3, Each: 25, Root: 3, Plain: true},
		"few rules":  {Folders: 2, Each: 5, Rules: 12},
		"many rules": {Folders: 1, Each: 2, Rules: 400},
		"root alone": {Root: 11},
		"one":        {Folders: 1, Each: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := Write(dir, Tree(cfg)); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"vet", "-c", "./..."}, {"fmt", "--check", "./..."}} {
				if out, err := cue(t, dir, args...); err != nil {
					t.Errorf("cue %s: %v\n%s", strings.Join(args, " "), err, out)
				}
			}
			if cfg.Plain {
				for name, data := range Tree(cfg) {
					if !strings.HasPrefix(name, "cue.mod/") && regexp.MustCompile(`policies|_tools|\\\(|\bfor n in\b|\blet `).Match(data) {
						t.Errorf("%s computes something", name)
					}
				}
			}
		})
	}
}

// exported is what cue export says of a folder, as far as it is looked at here.
type exported struct {
	Workload map[string]struct {
		Match struct {
			Namespace string
			Labels    map[string]string
		}
		Exec            map[string]struct{ Parent map[string]any }
		File            struct{ Read, Write map[string]any }
		Caps            map[string]any `json:"capability"`
		Egress, Ingress map[string]struct {
			Workload, Namespace, CIDR, DNS string
			Port                           any
		}
		Image struct {
			From map[string]any
			Gate string
		}
	}
}

// export evaluates a tree with the cue command and returns each workload once.
func export(t *testing.T, cfg Config) exported {
	t.Helper()
	dir := t.TempDir()
	if err := Write(dir, Tree(cfg)); err != nil {
		t.Fatal(err)
	}
	out, err := cue(t, dir, "export", "./...")
	if err != nil {
		t.Fatal(err)
	}
	all := exported{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var one exported
		if err := d.Decode(&one); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if all.Workload == nil {
			all.Workload = one.Workload
		}
		maps.Copy(all.Workload, one.Workload)
	}
}

// TestMeaning holds what a tree says against what its Config promises, and against the rules that CUE does not know.
func TestMeaning(t *testing.T) {
	cfg := Config{Folders: 12, Each: 20, Root: 20}
	all := export(t, cfg)
	if len(all.Workload) != cfg.Workloads() {
		t.Errorf("%d workloads; want %d", len(all.Workload), cfg.Workloads())
	}
	setSizes := map[int]int{} // how many rules come on top: how often
	kinds := map[schema.Kind]int{}
	patterns := func(name string, keys ...string) {
		for _, key := range keys {
			if err := schema.CheckPattern(key); err != nil {
				t.Errorf("%s: %q %v", name, key, err)
			}
			if strings.Contains(key, name) {
				kinds[schema.PatternKind(key)]++
			}
		}
	}
	for name, w := range all.Workload {
		rules := len(w.Exec) + len(w.File.Read) + len(w.File.Write) + len(w.Caps) + len(w.Egress) + len(w.Ingress) + len(w.Image.From) + 1
		setSizes[rules-50]++
		if w.Match.Labels["app"] != name || w.Image.Gate != "production" {
			t.Errorf("%s: %+v", name, w.Match)
		}
		patterns(name, slices.Collect(maps.Keys(w.Exec))...)
		patterns(name, slices.Collect(maps.Keys(w.File.Read))...)
		patterns(name, slices.Collect(maps.Keys(w.File.Write))...)
		for _, e := range w.Exec {
			patterns(name, slices.Collect(maps.Keys(e.Parent))...)
		}
		for _, flows := range []map[string]struct {
			Workload, Namespace, CIDR, DNS string
			Port                           any
		}{w.Egress, w.Ingress} {
			for key, f := range flows {
				if f.Workload != "" {
					namespace, to, qualified := strings.Cut(f.Workload, "/")
					if !qualified {
						namespace, to = w.Match.Namespace, f.Workload
					}
					if all.Workload[to].Match.Namespace != namespace {
						t.Errorf("%s: %s refers to %q, which is not there", name, key, f.Workload)
					}
				}
				if p, err := netip.ParsePrefix(f.CIDR); f.CIDR != "" && (err != nil || p != p.Masked()) {
					t.Errorf("%s: %s has the range %q", name, key, f.CIDR)
				}
			}
		}
	}
	total := kinds[schema.KindExact] + kinds[schema.KindDir] + kinds[schema.KindGlob]
	for kind, share := range map[schema.Kind][2]int{schema.KindExact: {880, 920}, schema.KindDir: {70, 110}, schema.KindGlob: {3, 20}} {
		if got := kinds[kind] * 1000 / total; got < share[0] || got > share[1] {
			t.Errorf("%d per mille of %d patterns are of kind %d; want %v", got, total, kind, share)
		}
	}
	t.Logf("rules beyond 50, how many workloads: %v", setSizes)
	if plain := setSizes[0]; plain < cfg.Workloads()*60/100 || plain > cfg.Workloads()*72/100 || len(setSizes) != 4 {
		t.Errorf("rules beyond 50: %v; want none for two thirds, and those of three sets", setSizes)
	}
}

// TestCueVersion holds the cue command to the version of CUE that writ links, without which a comparison says nothing.
func TestCueVersion(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s*cuelang\.org/go (v\S+)`).FindSubmatch(mod)
	if m == nil {
		t.Fatal("go.mod names no version of cuelang.org/go")
	}
	out, err := cue(t, t.TempDir(), "version")
	if err != nil || !bytes.HasPrefix(out, []byte("cue version "+string(m[1])+"\n")) {
		t.Errorf("the command says %.100q, %v; want %s: change .ci/cue/go.mod", out, err, m[1])
	}
}

// TestHostile tries the notes on what is over at once. The others are what tests of the compiler's limits are for.
func TestHostile(t *testing.T) {
	names := map[string]bool{}
	tried := 0
	for _, h := range HostileTrees() {
		if names[h.Name] || h.Harm == "" || len(h.Files) < 4 {
			t.Errorf("%q is there twice, or says nothing", h.Name)
		}
		names[h.Name] = true
		if h.Name != "huge-file" {
			size := 0
			for _, data := range h.Files {
				size += len(data)
			}
			if size > 4<<20 {
				t.Errorf("%s has %d bytes; want less than what a limit on files refuses", h.Name, size)
			}
		}
		if !strings.Contains(h.Harm, "at once") || strings.Contains(h.Harm, "asks for") {
			continue
		}
		tried++
		dir := filepath.Join(t.TempDir(), strconv.Quote(h.Name))
		if err := h.Write(dir); err != nil {
			t.Fatal(err)
		}
		if out, err := cue(t, dir, "vet", "-c", "./..."); (err == nil) != strings.HasPrefix(h.Harm, "valid") {
			t.Errorf("%s: %v, %.500s; want: %s", h.Name, err, out, h.Harm)
		}
	}
	if tried < 15 {
		t.Errorf("%d trees were tried; want at least 15", tried)
	}
}

// TestHostileLink shows that plain CUE exports what a link out of the tree leads to.
func TestHostileLink(t *testing.T) {
	all := HostileTrees()
	h := all[slices.IndexFunc(all, func(h Hostile) bool { return h.Name == "link-embed" })]
	dir := t.TempDir()
	if err := h.Write(dir); err != nil {
		t.Fatal(err)
	}
	if out, err := cue(t, dir, "export", "./..."); err != nil || !bytes.Contains(out, []byte("root:")) {
		t.Errorf("cue export: %v\n%.500s\nwant the content of %v", err, out, h.Links)
	}
}
