// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"context"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/writ-sec/writ/schema"
)

// unitHead is what others need to know of a folder. It is kept; the values of its entries are the body beside it.
type unitHead struct {
	_         struct{} `cbor:",toarray"`
	Errs      []Diagnostic
	Whole     bool
	Named     []string
	Limited   bool
	Silences  []silence
	Entries   []entryHead // in the order of the body
	Overrides []override
}

// entryHead is what others need to know of an entry without its value.
type entryHead struct {
	_          struct{} `cbor:",toarray"`
	Kind, Name string
	Partial    bool
	Pos        places
	Owner      string       // of a workload, as the rest
	Shared     bool         //
	Match      schema.Match //
	MatchSum   digest       // of Match
	MatchPos   places
	OwnerPos   places
	Planes     []schema.Plane // that it mentions, sorted
	Uses       []string       // the gates and signers that it names, as entryKey
	Refs       []string       // the workloads that its peers name
	Dated      bool           // some mode of it is planned
}

// loadedUnit is one folder of a run.
type loadedUnit struct {
	folder *folder
	key    digest
	head   unitHead
	nodes  []*node // nil until they are needed
}

// units evaluates the folders, those above first, unless what they say is kept.
func (r *run) units(ctx context.Context, folders []*folder) ([]*loadedUnit, error) {
	sums, err := r.sums(ctx, folders)
	if err != nil {
		return nil, err
	}
	if r.within != "" {
		return r.partly(ctx, folders, sums)
	}
	units, err := r.readAll(ctx, folders, sums)
	if r.read = units; err == nil {
		r.keepBriefs(folders, units)
	}
	return units, err
}

// readAll evaluates some folders, those above first, unless what they say is kept.
func (r *run) readAll(ctx context.Context, folders []*folder, sums map[*source]digest) ([]*loadedUnit, error) {
	all := map[*folder]*loadedUnit{}
	limited := map[string]bool{}
	for _, group := range byDepth(folders) {
		units := make([]*loadedUnit, len(group))
		err := inParallel(ctx, r.cfg.Parallel, len(group), func(i int) error {
			var err error
			units[i], err = r.unit(ctx, group[i], sums, limited)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i, u := range units {
			all[group[i]] = u
			if u.head.Limited {
				limited[u.folder.dir] = true
			}
		}
	}
	ordered := make([]*loadedUnit, len(folders))
	for i, f := range folders {
		ordered[i] = all[f]
		r.errs = append(r.errs, ordered[i].head.Errs...)
	}
	return ordered, nil
}

// sums digests all files.
func (r *run) sums(ctx context.Context, folders []*folder) (map[*source]digest, error) {
	var sources []*source
	for _, f := range folders {
		sources = append(sources, f.own...)
	}
	all := make([]digest, len(sources))
	err := inParallel(ctx, r.cfg.Parallel, len(sources), func(i int) error {
		if s := sources[i]; s.file != nil && s.file.kept != nil {
			all[i] = s.file.kept.sum
		} else {
			all[i] = sumOf(s.path, s.data)
		}
		return nil
	})
	sums := make(map[*source]digest, len(sources))
	for i, s := range sources {
		sums[s] = all[i]
	}
	return sums, err
}

// unitKey digests what a folder follows from.
func (r *run) unitKey(f *folder, sums map[*source]digest) digest {
	parts := []any{"unit", r.version, f.dir}
	for _, s := range f.seen {
		parts = append(parts, sums[s])
	}
	return contentKey(parts...)
}

// unit returns what a folder says. Below a folder that takes too much to evaluate nothing is tried: it holds the same files.
func (r *run) unit(ctx context.Context, f *folder, sums map[*source]digest, limited map[string]bool) (*loadedUnit, error) {
	u := &loadedUnit{folder: f, key: r.unitKey(f, sums)}
	if h := r.keptUnits[u.key]; h != nil {
		u.head = *h
		r.store.use(u.key)
		return u, nil
	}
	if data := r.store.head(u.key); data != nil && cborNodes.Unmarshal(data, &u.head) == nil {
		return u, nil
	}
	for dir := range limited {
		if isWithin(f.dir, dir) {
			u.head.Limited = true
			return u, nil
		}
	}
	return u, r.evaluateInto(ctx, u, false)
}

// evaluateInto evaluates a folder and keeps what it says; again, because what was kept is lost.
func (r *run) evaluateInto(ctx context.Context, u *loadedUnit, again bool) error {
	seen := make([]*parsed, len(u.folder.seen))
	for i, s := range u.folder.seen {
		var err error
		if seen[i], err = r.parse(s); err != nil {
			return err
		}
	}
	v, err := readFolder(ctx, u.folder, seen, &r.evaluators)
	if err != nil {
		return err
	}
	r.evaluated.Add(1)
	u.head = unitHead{Errs: v.Errs, Whole: v.Whole, Named: v.Named, Limited: v.Limited, Silences: v.Silences, Overrides: v.Overrides}
	for i := range v.Stated {
		s := &v.Stated[i]
		u.head.Entries = append(u.head.Entries, entryHeadOf(s))
		u.nodes = append(u.nodes, s.Node)
	}
	if u.head.Limited {
		return nil // the machine may have been busy
	}
	head, err := cbor.Marshal(u.head)
	if err != nil {
		return fmt.Errorf("encode folder %q: %w", u.folder.dir, err)
	}
	body, err := cbor.Marshal(u.nodes)
	if err != nil {
		return fmt.Errorf("encode folder %q: %w", u.folder.dir, err)
	}
	r.store.keep(u.key, head, body)
	if r.cfg.Cache != "" && !again {
		u.nodes = nil // they can be had again, and all together are much
	}
	return nil
}

// parse reads a file once. Files of a folder without folders below it are read once anyway, and not remembered.
func (r *run) parse(s *source) (*parsed, error) {
	if !s.above {
		if err := s.load(); err != nil {
			return nil, err
		}
		return parseFile(s), nil
	}
	r.mu.Lock() // several folders may want it at the same time
	defer r.mu.Unlock()
	if p := r.parsed[s]; p != nil {
		return p, nil
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	r.parsed[s] = parseFile(s)
	return r.parsed[s], nil
}

func entryHeadOf(s *statement) entryHead {
	h := entryHead{Kind: s.Kind, Name: s.Name, Partial: s.Partial, Pos: s.Node.places()}
	if s.Kind != workloadKind {
		return h
	}
	decode(s.Node.get("match"), &h.Match)
	if data, err := cborSorted.Marshal(h.Match); err == nil { // strings, maps and bools always encode
		h.MatchSum = contentKey(data)
	}
	h.Owner, h.Shared, h.MatchPos, h.OwnerPos = s.Node.text("owner"), s.Node.truth("shared"), s.Node.at("match"), s.Node.at("owner")
	h.Dated = slices.ContainsFunc(modesOf(s.Node.get("mode")), func(m schema.PlaneMode) bool { return m.Then != "" })
	for _, p := range schema.Planes {
		if _, _, mentioned := mention(s.Node, p); mentioned {
			h.Planes = append(h.Planes, p)
		}
	}
	slices.Sort(h.Planes)
	for _, plane := range []string{"egress", "ingress"} {
		rules := s.Node.get(plane)
		if rules == nil {
			continue
		}
		for _, f := range rules.Fields {
			if ref := f.Node.text("workload"); ref != "" {
				h.Refs = append(h.Refs, ref)
			}
		}
	}
	if gate := s.Node.text("image", "gate"); gate != "" {
		h.Uses = append(h.Uses, entryKey("gate", gate))
	}
	for _, signer := range s.Node.get("image", "signedBy").names() {
		h.Uses = append(h.Uses, entryKey("signer", signer))
	}
	slices.Sort(h.Refs)
	h.Refs = slices.Compact(h.Refs)
	return h
}

// values returns the values of a unit's entries. What was kept and is damaged now is evaluated anew.
func (r *run) values(ctx context.Context, u *loadedUnit) ([]*node, error) {
	if u.nodes != nil || len(u.head.Entries) == 0 {
		return u.nodes, nil
	}
	if data := r.store.body(u.key); data != nil && cborNodes.Unmarshal(data, &u.nodes) == nil && len(u.nodes) == len(u.head.Entries) {
		return u.nodes, nil
	}
	return u.nodes, r.evaluateInto(ctx, u, true)
}

// statement returns one entry of a unit.
func (r *run) statement(ctx context.Context, u *loadedUnit, i int) (*statement, error) {
	nodes, err := r.values(ctx, u)
	if err != nil {
		return nil, err
	}
	if i >= len(nodes) {
		return nil, fmt.Errorf("folder %q changed while it was compiled", u.folder.dir)
	}
	h := &u.head.Entries[i]
	return &statement{Kind: h.Kind, Name: h.Name, Folder: u.folder.dir, Partial: h.Partial, Node: nodes[i], Overrides: u.head.Overrides}, nil
}

// withoutSilenced applies what the author silences. For a cluster, a silence without a warning is not reported: the warning may be one of the
// modes or folders of another cluster, and the repository is the same for all.
func (r *run) withoutSilenced(units []*loadedUnit, ws []Diagnostic) ([]Diagnostic, []Silenced) {
	var all []silence
	for _, u := range units {
		all = append(all, u.head.Silences...)
	}
	left, answered := silenced(ws, all)
	if r.cfg.Cluster != "" {
		left = slices.DeleteFunc(left, func(d Diagnostic) bool { return d.Code == codeSilence })
	}
	return left, answered
}
