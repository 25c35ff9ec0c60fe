// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/fxamacker/cbor/v2"

	"github.com/writ-sec/writ/compiler/admission"
	"github.com/writ-sec/writ/schema"
)

// product is what follows from a group of workloads and what they refer to. It is kept; the lowered workloads are the body beside it.
type product struct {
	_         struct{} `cbor:",toarray"`
	Warnings  []Diagnostic
	Workloads []made
	key       digest
	lowered   []schema.Workload // nil until they are needed
}

// made is what is made of one workload.
type made struct {
	_         struct{} `cbor:",toarray"`
	Name      string
	Digest    [sha256.Size]byte // of the workload without positions
	Rules     int               // how many
	IDs       []byte            // of its closures and rules, 8 bytes each, big endian
	Files     []madeFile
	Closed    cbor.RawMessage // its closures without positions, read only when two results are compared
	Admission admission.Made
	Entries   int   // predicted map entries on a node
	Bytes     int64 // and their memory
}

// madeFile is a file of the bundle. Its content is made again from the workload when it is wanted.
type madeFile struct {
	_      struct{} `cbor:",toarray"`
	Path   string
	Size   int64
	Digest [sha256.Size]byte
}

// products lowers, checks and emits all workloads that are not kept.
func (r *run) products(ctx context.Context, g *gathered) error {
	globals, err := r.globals(g.scope)
	if err != nil {
		return err
	}
	errs := make([][]Diagnostic, len(g.groups))
	err = inParallel(ctx, r.cfg.Parallel, len(g.groups), func(i int) error {
		var err error
		errs[i], err = r.product(ctx, g, g.groups[i], globals)
		return err
	})
	if err != nil {
		return err
	}
	for i, gr := range g.groups {
		r.errs = append(r.errs, errs[i]...)
		if gr.made != nil {
			r.warnings = append(r.warnings, gr.made.Warnings...)
		}
	}
	for _, s := range g.partials {
		es, _ := checkWorkload(statedOf(s), lowerWorkload(s, g.scope), g.scope)
		r.errs = append(r.errs, es...)
	}
	return nil
}

// globals digests everything that every workload may be held against.
func (r *run) globals(sc *scope) (digest, error) {
	p := *sc.policy
	r.cilium = r.admission(&p).Cilium
	p.Tests, p.Admission = nil, schema.Admission{} // tests are held against workloads, and not the other way; what admission is by, objects follow
	data, err := json.Marshal(&p)
	return contentKey("globals", data, r.cfg.At.String(), strconv.FormatBool(r.cilium)), err
}

// product makes the product of one group, or reads it. What is wrong is not kept.
func (r *run) product(ctx context.Context, g *gathered, gr *group, globals digest) ([]Diagnostic, error) {
	key := productKey(g.scope, gr, globals)
	if p := r.keptProducts[key]; p != nil {
		gr.made = p
		r.store.use(key)
		return nil, nil
	}
	p := &product{key: key}
	if data := r.store.head(key); data != nil && cborNodes.Unmarshal(data, p) == nil {
		gr.made = p
		return nil, nil
	}
	errs, err := r.makeProduct(ctx, g, gr, p)
	if err != nil || len(errs) > 0 {
		return errs, err
	}
	gr.made = p
	head, err := cbor.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode product: %w", err)
	}
	body, err := cbor.Marshal(p.lowered)
	if err != nil {
		return nil, fmt.Errorf("encode product: %w", err)
	}
	r.store.keep(key, head, body)
	if r.cfg.Cache != "" {
		p.lowered = nil // it can be had again
	}
	return nil, nil
}

// productKey digests what a group follows from.
func productKey(sc *scope, gr *group, globals digest) digest {
	b := append([]byte("product\x00"), globals[:]...)
	add := func(name string, refs []string) {
		b = append(append(b, name...), 0)
		for _, ref := range refs {
			b = append(append(b, ref...), 0)
			if h := sc.workloadNamed(ref); h != nil {
				b = append(append(append(b, h.name...), 0), h.matchSum[:]...)
			}
		}
		b = append(b, 0)
	}
	if gr.merged != nil {
		for _, u := range gr.units {
			b = append(b, u.key[:]...)
		}
		h := entryHeadOf(gr.merged)
		add(h.Name, h.Refs)
		return sha256.Sum256(b)
	}
	b = append(b, gr.unit.key[:]...)
	for _, i := range gr.which {
		add(gr.unit.head.Entries[i].Name, gr.unit.head.Entries[i].Refs)
	}
	return sha256.Sum256(b)
}

// statements returns the group's entries with their values.
func (r *run) statements(ctx context.Context, gr *group) ([]*statement, error) {
	if gr.merged != nil {
		return []*statement{gr.merged}, nil
	}
	all := make([]*statement, len(gr.which))
	for n, i := range gr.which {
		s, err := r.statement(ctx, gr.unit, i)
		if err != nil {
			return nil, err
		}
		all[n] = s
	}
	return all, nil
}

// makeProduct lowers, checks and emits the workloads of a group.
func (r *run) makeProduct(ctx context.Context, g *gathered, gr *group, p *product) ([]Diagnostic, error) {
	statements, err := r.statements(ctx, gr)
	if err != nil {
		return nil, err
	}
	var errs []Diagnostic
	for _, s := range statements {
		w := lowerWorkload(s, g.scope)
		es, ws := checkWorkload(statedOf(s), w, g.scope)
		errs, p.Warnings = append(errs, es...), append(p.Warnings, ws...)
		if len(es) > 0 {
			continue
		}
		m, err := r.make(w)
		if err != nil {
			return nil, err
		}
		p.Workloads, p.lowered = append(p.Workloads, m), append(p.lowered, *w)
	}
	if gr.unit != nil && r.cfg.Cache != "" {
		gr.unit.nodes = nil // they can be had again
	}
	return errs, nil
}

func (r *run) make(w *schema.Workload) (made, error) {
	m := made{Name: w.Name, Rules: len(w.Rules)}
	var err error
	if m.Digest, err = meaningDigest(w); err != nil {
		return m, err
	}
	for _, c := range w.Closures {
		m.IDs = binary.BigEndian.AppendUint64(m.IDs, uint64(c.ID))
	}
	for _, rule := range w.Rules {
		m.IDs = binary.BigEndian.AppendUint64(m.IDs, uint64(rule.ID))
	}
	if m.Closed, err = cbor.Marshal(schema.Unplaced(w.Closures)); err != nil {
		return m, err
	}
	for path, data := range emitWorkload(w) {
		m.Files = append(m.Files, madeFile{Path: path, Size: int64(len(data)), Digest: sha256.Sum256(data)})
	}
	slices.SortFunc(m.Files, func(a, b madeFile) int { return compareStrings(a.Path, b.Path) })
	m.Entries, m.Bytes = workloadCost(w)
	m.Admission, err = admission.Make(w, r.cfg.At, r.cilium)
	return m, err
}

// meaningDigest is over everything of a workload but its positions.
func meaningDigest(w *schema.Workload) ([sha256.Size]byte, error) {
	data, err := cborSorted.Marshal(schema.Unplaced(*w))
	return sha256.Sum256(data), err
}

// lower returns the lowered workloads of a group, in the order of its product. What was kept and is damaged now is made anew.
func (r *run) lower(ctx context.Context, g *gathered, gr *group) ([]schema.Workload, error) {
	p := gr.made
	if len(p.lowered) == len(p.Workloads) {
		return p.lowered, nil
	}
	var all []schema.Workload
	if data := r.store.body(p.key); data != nil && cborNodes.Unmarshal(data, &all) == nil && len(all) == len(p.Workloads) {
		return all, nil
	}
	again := &product{key: p.key}
	if _, err := r.makeProduct(ctx, g, gr, again); err != nil {
		return nil, err
	}
	if len(again.lowered) != len(p.Workloads) {
		return nil, fmt.Errorf("folder %q changed while it was compiled", gr.heads[0].folder)
	}
	return again.lowered, nil
}
