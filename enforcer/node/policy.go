// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// Limits of what a generation may bring. They bound the memory of the agent, which reads input of a less trusted process.
const (
	maxNodeFile   = 16 << 20  // bytes in one file under node/: 10,000 rules take about 2 MiB
	maxGeneration = 256 << 20 // bytes in all of them
	maxName       = 253       // bytes in the name of a workload, as in the names of Kubernetes
	maxRules      = 100_000   // in one workload
	maxParents    = 64        // in one rule
	maxLabels     = 64        // labels, conditions on labels, and values of one condition, in one match
)

// generation is the part of a bundle that nodes put in force, verified and decoded. It is not changed once made.
type generation struct {
	manifest  bundle.Manifest
	workloads []*loaded // sorted by name
}

// loaded is one file under node/.
type loaded struct {
	schema.Workload
	file bundle.File
	data []byte // as it came, for the copy on disk
}

// content finds the bytes of a file, or returns nil.
type content func(bundle.File) []byte

// newGeneration verifies and decodes a bundle. Workloads that have are already decoded are taken over from it. If content lacks some,
// their paths are returned and nothing else. An error means that the bundle must not be put in force; it wraps [bundle.ErrDamaged]
// if the bundle is not what its maker made.
func newGeneration(m bundle.Manifest, have generation, find content) (generation, []string, error) {
	if err := m.Check(); err != nil {
		return generation{}, nil, err
	}
	files, err := nodeFiles(m)
	if err != nil {
		return generation{}, nil, err
	}
	known := map[string]*loaded{}
	for _, w := range have.workloads {
		known[w.file.Digest] = w
	}
	g := generation{manifest: m}
	var missing []string
	for _, f := range files {
		w, err := load(f, known[f.Digest], find)
		if err != nil {
			return generation{}, nil, err
		}
		if w == nil {
			missing = append(missing, f.Path)
			continue
		}
		g.workloads = append(g.workloads, w)
	}
	if len(missing) > 0 {
		return generation{}, missing, nil
	}
	slices.SortFunc(g.workloads, func(a, b *loaded) int { return strings.Compare(a.Name, b.Name) })
	return g, nil, checkUnique(g.workloads)
}

func nodeFiles(m bundle.Manifest) ([]bundle.File, error) {
	var files []bundle.File
	total := int64(0)
	for _, f := range m.Files {
		if !strings.HasPrefix(f.Path, bundle.NodeDir+"/") {
			continue
		}
		if path.Ext(f.Path) != ".json" {
			return nil, fmt.Errorf("the bundle has %q; this version of writ-node reads only .json files under %s/, update it", f.Path, bundle.NodeDir)
		}
		if f.Size > maxNodeFile {
			return nil, fmt.Errorf("%s has %d bytes; a node reads at most %d: split the workload", f.Path, f.Size, maxNodeFile)
		}
		if total += f.Size; total > maxGeneration {
			return nil, fmt.Errorf("the files under %s/ have more than %d bytes; a node reads no more", bundle.NodeDir, maxGeneration)
		}
		files = append(files, f)
	}
	return files, nil
}

// load returns nil without an error if the content is not at hand.
func load(f bundle.File, known *loaded, find content) (*loaded, error) {
	if known != nil && known.file.Path == f.Path {
		return known, nil
	}
	var data []byte
	if known != nil {
		data = known.data
	} else if data = find(f); data == nil {
		return nil, nil
	}
	if err := f.CheckFile(data); err != nil {
		return nil, err
	}
	w := &loaded{file: f, data: data}
	if err := decodeWorkload(data, &w.Workload); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	return w, nil
}

// decodeWorkload reads one workload strictly: what this version does not know, it could not put in force.
func decodeWorkload(data []byte, w *schema.Workload) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(w); err != nil {
		return fmt.Errorf("is not a workload that this version of writ-node reads: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("has more than one JSON value; want one workload")
	}
	if err := checkWorkload(w); err != nil {
		return fmt.Errorf("workload %q: %w", w.Name, err)
	}
	return nil
}

func checkWorkload(w *schema.Workload) error {
	if err := checkName(w.Name); err != nil {
		return err
	}
	if err := checkMatch(w.Match); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	if err := checkClosures(w.Closures); err != nil {
		return err
	}
	if len(w.Rules) > maxRules {
		return fmt.Errorf("has %d rules; at most %d are read", len(w.Rules), maxRules)
	}
	globs := 0
	for _, r := range w.Rules {
		if err := checkRule(w, r); err != nil {
			return fmt.Errorf("%s rule %q: %w", r.Plane, r.Object, err)
		}
		if r.Plane == schema.PlaneExec && schema.PatternKind(r.Object) == schema.KindGlob {
			globs++
		}
	}
	if globs > schema.MaxGlobs {
		return fmt.Errorf("has %d exec patterns that are neither exact nor dir/**; want at most %d", globs, schema.MaxGlobs)
	}
	return nil
}

func checkName(name string) error {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) {
		return fmt.Errorf("has a name of %d bytes; want 1 to %d bytes of UTF-8", len(name), maxName)
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }); i >= 0 {
		return fmt.Errorf("has a control byte in its name at offset %d", i)
	}
	return nil
}

func checkMatch(m schema.Match) error {
	if m.Zero() {
		return errors.New("is empty; want a namespace, labels or a cgroup")
	}
	if len(m.Labels) > maxLabels {
		return fmt.Errorf("has %d labels; want at most %d", len(m.Labels), maxLabels)
	}
	if len(m.Expressions) > maxLabels {
		return fmt.Errorf("has conditions on %d labels; want at most %d", len(m.Expressions), maxLabels)
	}
	for key, x := range m.Expressions {
		if n := max(len(x.In), len(x.NotIn)); n > maxLabels {
			return fmt.Errorf("has %d values in the condition on label %q; want at most %d", n, key, maxLabels)
		}
	}
	if m.Cgroup != "" {
		if err := schema.CheckPattern(m.Cgroup); err != nil {
			return fmt.Errorf("cgroup %q %w", m.Cgroup, err)
		}
	}
	return nil
}

func checkClosures(cs []schema.Closure) error {
	seen := map[schema.Plane]bool{}
	for _, c := range cs {
		switch {
		case c.Plane != schema.PlaneExec && c.Plane != schema.PlaneImage:
			return fmt.Errorf("closes the plane %q; this version of writ-node knows %q and %q, update it", c.Plane, schema.PlaneExec, schema.PlaneImage)
		case seen[c.Plane]:
			return fmt.Errorf("closes the plane %q twice", c.Plane)
		case !c.Mode.Valid():
			return fmt.Errorf("has the mode %q for %s; want %q, %q or %q", c.Mode, c.Plane, schema.ModeLearn, schema.ModeAudit, schema.ModeEnforce)
		case c.ID == 0:
			return fmt.Errorf("closes the plane %q without an ID", c.Plane)
		}
		if err := checkPlanned(c); err != nil {
			return err
		}
		seen[c.Plane] = true
	}
	return nil
}

// checkPlanned holds a mode that changes on a date to what a clock can decide.
func checkPlanned(c schema.Closure) error {
	if c.Then == "" && c.After == "" {
		return nil
	}
	if !c.Then.Valid() {
		return fmt.Errorf("has the mode %q for %s after %q; want %q, %q or %q", c.Then, c.Plane, c.After, schema.ModeLearn, schema.ModeAudit, schema.ModeEnforce)
	}
	if _, err := c.After.Instant(); err != nil {
		return fmt.Errorf("has the mode %q for %s after a date: %w", c.Then, c.Plane, err)
	}
	return nil
}

func checkRule(w *schema.Workload, r schema.Rule) error {
	switch {
	case r.ID == 0:
		return errors.New("has no ID")
	case r.Verb.Plane() == "" || r.Verb.Plane() != r.Plane:
		return fmt.Errorf("has the verb %q, which this version of writ-node does not know in plane %q; update it", r.Verb, r.Plane)
	case len(r.Parents) > maxParents:
		return fmt.Errorf("has %d parents; want at most %d", len(r.Parents), maxParents)
	}
	if _, ok := w.Closure(r.Plane); !ok {
		return fmt.Errorf("stands in a workload that does not close the plane %q", r.Plane)
	}
	if r.Plane != schema.PlaneExec {
		return nil // nodes hold no condition on images
	}
	if r.Verb != schema.VerbExec || r.Peer != nil || r.Layer7() || len(r.Values) > 0 {
		return errors.New("is not of a program alone, which this version of writ-node does not know; update it")
	}
	if err := schema.CheckPattern(r.Object); err != nil {
		return err
	}
	for _, p := range r.Parents {
		if err := schema.CheckPattern(p); err != nil {
			return fmt.Errorf("parent %q %w", p, err)
		}
	}
	return nil
}

// checkUnique holds names and IDs apart over all workloads: an ID that stood for two things would name the wrong line of policy.
func checkUnique(ws []*loaded) error {
	ids := map[schema.RuleID]string{}
	claim := func(id schema.RuleID, what string) error {
		if other, ok := ids[id]; ok {
			return fmt.Errorf("the ID %s stands for %s and for %s; compile the policy anew", id, other, what)
		}
		ids[id] = what
		return nil
	}
	for i, w := range ws {
		if i > 0 && ws[i-1].Name == w.Name {
			return fmt.Errorf("%s and %s both hold the workload %q", ws[i-1].file.Path, w.file.Path, w.Name)
		}
		for _, c := range w.Closures {
			if err := claim(c.ID, fmt.Sprintf("the closing of %s of workload %q", c.Plane, w.Name)); err != nil {
				return err
			}
		}
		for _, r := range w.Rules {
			if err := claim(r.ID, fmt.Sprintf("the %s rule %q of workload %q", r.Plane, r.Object, w.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}
