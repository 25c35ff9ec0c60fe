// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// Bounds of one program: the union of the workloads on one container.
const (
	MaxProgramRules = 1 << 18 // exec rules
	MaxProgramGlobs = 256     // rules whose object is neither exact nor dir/**; the kernel walks them one by one
	MaxRuleParents  = 256     // parents of one rule; the kernel walks them one by one
)

// The layout of an image, from exec.h.
const (
	cellSize       = 64
	bucketSize     = 8
	bucketsPerCell = cellSize / bucketSize
	inlineText     = 32 // bytes of a pattern that stand in its entry; the rest follows in the next cells
	imageMagic     = 0x31455257

	modeOpen, modeLearn, modeAudit, modeEnforce = 0, 1, 2, 3
	kindExact, kindDir, kindGlob                = 1, 2, 3

	// Offsets in struct header.
	headMode, headParents                                        = 4, 5
	headSeed, headMult, headClosure, headProgram                 = 8, 16, 24, 32
	headDepths, headMask, headProbes, headGlobs, headCells       = 40, 48, 52, 56, 60
	entryHash, entryRule, entryParents, entryNext                = 0, 8, 16, 20 // in struct entry
	entryLen, entryKind, entryText                               = 24, 26, 32
	deepest                                                uint8 = 63 // the last bit of depths stands for all deeper ones
)

// Image is the exec plane of the union of workloads as the bytes that the kernel reads: struct header and what follows it in exec.h.
// It does not change and may be used concurrently.
type Image struct {
	cells   []byte
	program uint64
}

// Program names what an image says, whatever its seed: the same workloads in any order have the same Program.
func (im *Image) Program() uint64 { return im.program }

// Size returns the size in bytes.
func (im *Image) Size() int { return len(im.cells) }

// Compile lowers the exec plane of a set of workloads, which act as one on a container. It is pure. The seed keys the hash of paths, so
// that nobody outside can choose paths that collide: take it from crypto/rand. Workloads that do not mention exec, or none at all,
// give an open program, which allows everything. Of a mode that changes on a date the stricter side counts. An error names the workload and
// the rule.
func Compile(ws []*schema.Workload, seed uint64) (*Image, error) {
	rules, err := collect(ws)
	if err != nil {
		return nil, err
	}
	closure, mode := unite(ws)
	if mode == modeOpen {
		rules = nil
	}
	b := newBuilder(seed, rules)
	for _, r := range rules {
		b.addRule(r)
	}
	b.cells[headMode] = mode
	b.put64(headClosure, uint64(closure))
	program := programID(ws)
	b.put64(headProgram, program)
	b.put32(headProbes, b.probes)
	b.put32(headCells, b.next())
	return &Image{cells: b.cells, program: program}, nil
}

// rule is what an image holds of a schema.Rule.
type rule struct {
	id      schema.RuleID
	kind    uint8
	object  string
	parents []string
}

// compareGlobs is schema.CompareSpecific for rules of one kind.
func compareGlobs(a, b *rule) int {
	if d := len(b.object) - len(a.object); d != 0 {
		return d
	}
	if d := strings.Compare(a.object, b.object); d != 0 {
		return d
	}
	return cmp.Compare(a.id, b.id)
}

// collect returns the exec rules of all workloads. Those of the hash table are sorted by ID, which is the order in which rules for the same
// key are tried; the table finds the most specific key by itself. Globs follow in the order in which they are tried.
func collect(ws []*schema.Workload) ([]*rule, error) {
	var keyed, globs []*rule
	for _, w := range ws {
		for _, r := range w.Rules {
			if r.Plane != schema.PlaneExec {
				continue
			}
			if err := checkRule(&r); err != nil {
				return nil, fmt.Errorf("workload %q: exec rule %q: %w", w.Name, r.Object, err)
			}
			if kind := kindOf(r.Object); kind == kindGlob {
				globs = append(globs, &rule{r.ID, kind, r.Object, r.Parents})
			} else {
				keyed = append(keyed, &rule{r.ID, kind, r.Object, r.Parents})
			}
		}
	}
	if n := len(keyed) + len(globs); n > MaxProgramRules {
		return nil, fmt.Errorf("workloads %s have %d exec rules together; want at most %d: use dir/** rules", names(ws), n, MaxProgramRules)
	}
	if len(globs) > MaxProgramGlobs {
		return nil, fmt.Errorf("workloads %s have %d exec patterns together that are neither exact nor dir/**; want at most %d",
			names(ws), len(globs), MaxProgramGlobs)
	}
	slices.SortStableFunc(keyed, func(a, b *rule) int { return cmp.Compare(a.id, b.id) })
	slices.SortFunc(globs, compareGlobs)
	return append(keyed, globs...), nil
}

func names(ws []*schema.Workload) string {
	var ns []string
	for _, w := range ws {
		ns = append(ns, fmt.Sprintf("%q", w.Name))
	}
	return strings.Join(ns, ", ")
}

func checkRule(r *schema.Rule) error {
	if r.ID == 0 {
		return fmt.Errorf("has the ID zero, which names nothing; want the ID that the compiler gave it")
	}
	if err := schema.CheckPattern(r.Object); err != nil {
		return fmt.Errorf("the path %w", err)
	}
	if len(r.Parents) > MaxRuleParents {
		return fmt.Errorf("has %d parents; want at most %d: use dir/** parents", len(r.Parents), MaxRuleParents)
	}
	for _, p := range r.Parents {
		if err := schema.CheckPattern(p); err != nil {
			return fmt.Errorf("the parent %q %w", p, err)
		}
	}
	return nil
}

func kindOf(pattern string) uint8 {
	switch schema.PatternKind(pattern) {
	case schema.KindExact:
		return kindExact
	case schema.KindDir:
		return kindDir
	}
	return kindGlob
}

// unite returns the closure that decides, the strictest and then the one with the lowest ID, and its mode.
func unite(ws []*schema.Workload) (schema.RuleID, uint8) {
	var id schema.RuleID
	mode := uint8(modeOpen)
	for _, w := range ws {
		c, ok := w.Closure(schema.PlaneExec)
		if !ok {
			continue
		}
		m := uint8(modeEnforce) // an unknown mode denies, as in schema.Judge
		switch modeOf(c) {
		case schema.ModeLearn:
			m = modeLearn
		case schema.ModeAudit:
			m = modeAudit
		}
		if m > mode || m == mode && c.ID < id {
			id, mode = c.ID, m
		}
	}
	return id, mode
}

// modeOf returns the mode of a closure. There is no clock here, so of two modes with a date between them it is the stricter; who has a clock
// decides the date before, and hands over the one mode that is left.
func modeOf(c schema.Closure) schema.Mode {
	if c.Then == "" {
		return c.Mode
	}
	return schema.Strictest(c.Mode, c.Then)
}

// programID hashes what the exec plane of the workloads says, and their names, which a verdict carries.
func programID(ws []*schema.Workload) uint64 {
	var sums [][sha256.Size]byte
	for _, w := range ws {
		var buf []byte
		text := func(s string) { buf = append(binary.LittleEndian.AppendUint32(buf, uint32(len(s))), s...) }
		text(w.Name)
		if c, ok := w.Closure(schema.PlaneExec); ok {
			buf = binary.LittleEndian.AppendUint64(buf, uint64(c.ID))
			text(string(modeOf(c)))
		}
		for _, r := range w.Rules {
			if r.Plane != schema.PlaneExec {
				continue
			}
			buf = binary.LittleEndian.AppendUint64(buf, uint64(r.ID))
			text(r.Object)
			buf = binary.LittleEndian.AppendUint32(buf, uint32(len(r.Parents)))
			for _, p := range r.Parents {
				text(p)
			}
		}
		sums = append(sums, sha256.Sum256(buf))
	}
	slices.SortFunc(sums, func(a, b [sha256.Size]byte) int { return slices.Compare(a[:], b[:]) })
	h := sha256.New()
	for _, s := range sums {
		h.Write(s[:])
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// builder appends entries to the cells of an image.
type builder struct {
	cells      []byte
	seed, mult uint64
	mask       uint32
	probes     uint32 // the longest run of buckets from a key's place to its entry, and one more
	lastGlob   uint32 // cell of the last glob; 0: none yet
}

func newBuilder(seed uint64, rules []*rule) *builder {
	buckets := max(bucketsPerCell, 1<<bits.Len(uint(2*len(rules)))) // at most half full, so that runs stay short
	b := &builder{seed: seed, mult: mult(seed), mask: uint32(buckets - 1), probes: 1}
	size := cellSize + buckets*bucketSize
	whole := size
	for _, r := range rules {
		whole += entrySize(r.object)
		for _, p := range r.parents {
			whole += entrySize(p)
		}
	}
	b.cells = make([]byte, size, whole)
	b.put32(0, imageMagic)
	b.put64(headSeed, seed)
	b.put64(headMult, b.mult)
	b.put32(headMask, b.mask)
	return b
}

func (b *builder) put32(off uint32, v uint32) { binary.LittleEndian.PutUint32(b.cells[off:], v) }
func (b *builder) put64(off uint32, v uint64) { binary.LittleEndian.PutUint64(b.cells[off:], v) }

func (b *builder) next() uint32 { return uint32(len(b.cells) / cellSize) }

// entrySize returns the bytes that the entry of a text takes: whole cells.
func entrySize(text string) int {
	return (entryText + max(len(text), inlineText) + cellSize - 1) / cellSize * cellSize
}

// addEntry appends an entry and returns its cell.
func (b *builder) addEntry(pattern string, kind uint8, id schema.RuleID) uint32 {
	text := pattern
	if kind == kindDir {
		text = strings.TrimSuffix(pattern, "/**")
	}
	at := b.next()
	b.cells = append(b.cells, make([]byte, entrySize(text))...)
	e := b.cells[at*cellSize:]
	binary.LittleEndian.PutUint64(e[entryHash:], hashText(text, b.seed, b.mult))
	binary.LittleEndian.PutUint64(e[entryRule:], uint64(id))
	binary.LittleEndian.PutUint16(e[entryLen:], uint16(len(text)))
	e[entryKind] = kind
	copy(e[entryText:], text)
	return at
}

func (b *builder) addRule(r *rule) {
	at := b.addEntry(r.object, r.kind, r.id)
	link := at*cellSize + entryParents // where the cell of the next parent goes
	for _, p := range r.parents {
		cell := b.addEntry(p, kindOf(p), 0)
		b.put32(link, cell)
		link = cell*cellSize + entryNext
		b.cells[headParents] = 1
	}
	if r.kind == kindGlob {
		link = headGlobs
		if b.lastGlob != 0 {
			link = b.lastGlob*cellSize + entryNext
		}
		b.put32(link, at)
		b.lastGlob = at
		return
	}
	if r.kind == kindDir {
		depth := min(deepest, uint8(min(strings.Count(r.object, "/")-1, int(deepest))))
		b.put64(headDepths, binary.LittleEndian.Uint64(b.cells[headDepths:])|1<<depth)
	}
	b.insert(at, r.kind)
}

// insert puts an entry into the first empty bucket of its run. Entries of one key so stand in the order in which they came.
func (b *builder) insert(at uint32, kind uint8) {
	x := finish(binary.LittleEndian.Uint64(b.cells[at*cellSize+entryHash:]), kind)
	for i := uint32(0); ; i++ {
		off := cellSize + (uint32(x)+i)&b.mask*bucketSize
		if binary.LittleEndian.Uint32(b.cells[off+4:]) != 0 {
			continue
		}
		b.put32(off, uint32(x>>32))
		b.put32(off+4, at)
		b.probes = max(b.probes, i+2)
		return
	}
}

// mult derives the odd multiplier of the hash from the seed (the output function of splitmix64).
func mult(seed uint64) uint64 {
	x := seed + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return (x ^ x>>31) | 1
}

// hashByte, hashText and finish are hash_byte, hash_path and finish of exec.bpf.c.
func hashByte(h uint64, b byte, mult uint64) uint64 {
	h = (h ^ uint64(b)) * mult
	return h ^ h>>32
}

func hashText(s string, seed, mult uint64) uint64 {
	h := seed
	for i := range len(s) {
		h = hashByte(h, s[i], mult)
	}
	return h
}

func finish(h uint64, kind uint8) uint64 {
	h = (h ^ uint64(kind)) * 0xbf58476d1ce4e5b9
	h ^= h >> 29
	h *= 0x94d049bb133111eb
	return h ^ h>>32
}
