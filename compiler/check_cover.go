// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// coverWork bounds what one entry may spend on comparing patterns, in steps of some 10 ns. Patterns that people write need some thousand
// steps for each pair. When it is spent nothing more is proven: the answer is no.
const (
	coverWork     = 20_000_000
	coverWorkRule = 20_000 // and for each of its rules
)

// covers reports whether every path that the pattern narrow matches is matched by broad. Both are valid patterns. A yes is certain; a no is
// too, but for patterns so tangled that the search is given up.
func covers(broad, narrow string) bool {
	work := coverWork
	return coversAny([]string{broad}, narrow, &work)
}

// coversAny is covers for the union of several patterns. What it does is taken from work.
func coversAny(broads []string, narrow string, work *int) bool {
	exact := schema.PatternKind(narrow) == schema.KindExact
	var open []string // those for which it is not decided at once
	for _, b := range broads {
		switch kind := schema.PatternKind(b); {
		case b == narrow || exact && schema.MatchPath(b, narrow):
			return true
		case exact || kind == schema.KindExact: // a pattern with a "*" matches more than any number of exact ones
		case kind == schema.KindDir && strings.HasPrefix(narrow, strings.TrimSuffix(b, "**")):
			return true // a pattern below the folder matches at least one more segment
		case meetsWithin(b, narrow, work):
			open = append(open, b)
		}
	}
	return len(open) > 0 && *work > 0 && newInclusion(open, narrow, work).holds()
}

// opKind is what a place in a program does.
type opKind uint8

const (
	opByte  opKind = iota // takes one byte
	opOther               // takes any byte but "/"
	opSplit               // goes on at both
	opEnd                 // the whole path is matched
)

type pathOp struct {
	kind opKind
	b    byte
	x, y int32 // where it goes on
}

// pathProgram is a pattern as an automaton, in the manner of Thompson. It matches clean paths alone: no segment is empty.
type pathProgram struct {
	ops   []pathOp
	marks []int32 // for closure: the mark of the last walk that came by
	mark  int32
}

func (p *pathProgram) add(op pathOp) int32 {
	p.ops = append(p.ops, op)
	return int32(len(p.ops) - 1)
}

func (p *pathProgram) next() int32 { return int32(len(p.ops)) }

// byte takes one byte and goes on at the next place.
func (p *pathProgram) byte(b byte) { p.add(pathOp{kind: opByte, b: b, x: p.next() + 1}) }

// run takes any number of bytes but "/".
func (p *pathProgram) run() {
	at := p.next()
	p.add(pathOp{kind: opSplit, x: at + 1, y: at + 2})
	p.add(pathOp{kind: opOther, x: at})
}

// segment takes one segment, whatever it is.
func (p *pathProgram) segment() {
	p.byte('/')
	p.add(pathOp{kind: opOther, x: p.next() + 1})
	p.run()
}

// pattern appends a pattern and returns where it begins.
func (p *pathProgram) pattern(pattern string) int32 {
	begin := p.next()
	segments := strings.Split(pattern[1:], "/")
	for i, s := range segments {
		switch {
		case s == "**" && i == len(segments)-1: // at least one segment
			again := p.next()
			p.segment()
			p.add(pathOp{kind: opSplit, x: again, y: p.next() + 1})
		case s == "**":
			again := p.add(pathOp{kind: opSplit})
			p.segment()
			p.add(pathOp{kind: opSplit, x: again, y: again})
			p.ops[again] = pathOp{kind: opSplit, x: again + 1, y: p.next()}
		case s == "*":
			p.segment()
		default:
			p.byte('/')
			for j := range len(s) {
				if s[j] == '*' {
					p.run()
				} else {
					p.byte(s[j])
				}
			}
		}
	}
	p.add(pathOp{kind: opEnd})
	return begin
}

// inclusion asks whether all that one automaton matches is matched by another. It walks the first and keeps, for what was read, the set of
// places where the second can be.
type inclusion struct {
	narrow, broad pathProgram
	start         []int32 // of broad
	seen          map[string]bool
	queue         []inclusionState
	work          *int
}

type inclusionState struct {
	at int32   // in narrow
	in []int32 // in broad, sorted, without splits
}

func newInclusion(broads []string, narrow string, work *int) *inclusion {
	c := &inclusion{seen: map[string]bool{}, work: work}
	c.narrow.pattern(narrow)
	for _, b := range broads {
		c.start = append(c.start, c.broad.pattern(b))
	}
	return c
}

// holds searches for a path that narrow matches and broad does not.
func (c *inclusion) holds() bool {
	c.visit(0, c.broad.closure(c.start))
	for len(c.queue) > 0 {
		if *c.work <= 0 {
			return false
		}
		s := c.queue[len(c.queue)-1]
		c.queue = c.queue[:len(c.queue)-1]
		op := c.narrow.ops[s.at]
		switch op.kind {
		case opEnd:
			if !c.broad.ends(s.in) {
				return false
			}
		case opByte:
			if !c.step(op.x, s.in, op.b) {
				return false
			}
		case opOther:
			// All bytes that broad does not name are alike; a pattern has no control bytes, so 1 is one of them.
			for _, b := range append(c.broad.named(s.in), 1) {
				if !c.step(op.x, s.in, b) {
					return false
				}
			}
		}
	}
	return true
}

// step goes on behind one byte. Without a place left in broad, narrow matches what broad does not: from each of its places it can end.
func (c *inclusion) step(at int32, in []int32, b byte) bool {
	next := c.broad.step(in, b)
	*c.work -= 16 + 8*len(in) + 8*len(next)
	if len(next) == 0 {
		return false
	}
	c.visit(at, next)
	return true
}

// visit notes a state, and for a split the states behind it.
func (c *inclusion) visit(at int32, in []int32) {
	for _, p := range c.narrow.closure([]int32{at}) {
		key := binary.LittleEndian.AppendUint32(nil, uint32(p))
		for _, q := range in {
			key = binary.LittleEndian.AppendUint32(key, uint32(q))
		}
		if !c.seen[string(key)] {
			c.seen[string(key)] = true
			c.queue = append(c.queue, inclusionState{p, in})
		}
	}
}

// closure follows splits, and returns the other places, sorted.
func (p *pathProgram) closure(from []int32) []int32 {
	if len(p.marks) < len(p.ops) {
		p.marks, p.mark = make([]int32, len(p.ops)), 0
	}
	p.mark++
	var out []int32
	stack := slices.Clone(from)
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if p.marks[at] == p.mark {
			continue
		}
		p.marks[at] = p.mark
		if op := p.ops[at]; op.kind == opSplit {
			stack = append(stack, op.x, op.y)
		} else {
			out = append(out, at)
		}
	}
	slices.Sort(out)
	return out
}

func (p *pathProgram) step(in []int32, b byte) []int32 {
	var next []int32
	for _, at := range in {
		switch op := p.ops[at]; {
		case op.kind == opByte && op.b == b, op.kind == opOther && b != '/':
			next = append(next, op.x)
		}
	}
	return p.closure(next)
}

func (p *pathProgram) ends(in []int32) bool {
	return slices.ContainsFunc(in, func(at int32) bool { return p.ops[at].kind == opEnd })
}

// named returns the bytes but "/" that some place takes alone.
func (p *pathProgram) named(in []int32) []byte {
	var bs []byte
	for _, at := range in {
		if op := p.ops[at]; op.kind == opByte && op.b != '/' && !slices.Contains(bs, op.b) {
			bs = append(bs, op.b)
		}
	}
	return bs
}

// meets reports whether some path is matched by both patterns. It takes at most len(a)*len(b) steps.
func meets(a, b string) bool {
	work := coverWork
	return meetsWithin(a, b, &work)
}

// meetsWithin is meets. When no work is left it says yes, which proves nothing.
func meetsWithin(a, b string, work *int) bool {
	switch {
	case schema.PatternKind(a) == schema.KindExact:
		return schema.MatchPath(b, a)
	case schema.PatternKind(b) == schema.KindExact:
		return schema.MatchPath(a, b)
	}
	la, _, _ := strings.Cut(a, "*")
	lb, _, _ := strings.Cut(b, "*")
	if n := min(len(la), len(lb)); la[:n] != lb[:n] {
		return false
	}
	if *work <= 0 {
		return true
	}
	m := meeting{as: deepSegments(a), bs: deepSegments(b), tried: map[[2]int]bool{}, work: work}
	return m.from(0, 0)
}

// deepSegments splits a pattern so that "**" is any number of segments, also none, at its end too.
func deepSegments(pattern string) []string {
	s := strings.Split(pattern[1:], "/")
	if s[len(s)-1] == "**" {
		s = append(s[:len(s)-1], "*", "**")
	}
	return s
}

type meeting struct {
	as, bs []string
	tried  map[[2]int]bool
	work   *int
}

// from reports whether what is left of both, from some segment of each, meets.
func (m *meeting) from(i, j int) bool {
	if i == len(m.as) && j == len(m.bs) {
		return true
	}
	key := [2]int{i, j}
	if m.tried[key] {
		return false
	}
	m.tried[key] = true
	aDeep, bDeep := i < len(m.as) && m.as[i] == "**", j < len(m.bs) && m.bs[j] == "**"
	switch {
	case aDeep && m.from(i+1, j), bDeep && m.from(i, j+1):
		return true
	case i == len(m.as) || j == len(m.bs):
		return false
	case aDeep && bDeep:
		return false // one of the two takes none, which was tried
	case aDeep:
		return m.from(i, j+1)
	case bDeep:
		return m.from(i+1, j)
	}
	return m.segments(m.as[i], m.bs[j]) && m.from(i+1, j+1)
}

// segments reports whether two segments meet.
func (m *meeting) segments(a, b string) bool {
	*m.work -= 16
	switch {
	case a == "*" || b == "*":
		return true
	case !strings.Contains(a, "*") && !strings.Contains(b, "*"):
		return a == b
	case a[0] != '*' && b[0] != '*' && a[0] != b[0]:
		return false
	}
	*m.work -= 2 * len(a) * len(b)
	_, both := segmentWitness(a, b)
	return both
}

// segmentWitness returns a name that two segments match, in which "*" is any run of bytes, if there is one.
func segmentWitness(a, b string) (string, bool) {
	// can[i][j]: whether what is left of a from byte i meets what is left of b from byte j.
	can := make([][]bool, len(a)+1)
	for i := len(a); i >= 0; i-- {
		can[i] = make([]bool, len(b)+1)
		for j := len(b); j >= 0; j-- {
			aMore, bMore := i < len(a), j < len(b)
			switch {
			case !aMore && !bMore:
				can[i][j] = true
			case aMore && a[i] == '*':
				can[i][j] = can[i+1][j] || bMore && can[i][j+1]
			case bMore && b[j] == '*':
				can[i][j] = can[i][j+1] || aMore && can[i+1][j]
			case aMore && bMore && a[i] == b[j]:
				can[i][j] = can[i+1][j+1]
			}
		}
	}
	if !can[0][0] {
		return "", false
	}
	var out []byte
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && a[i] == '*' && can[i+1][j]:
			i++
		case j < len(b) && b[j] == '*' && can[i][j+1]:
			j++
		case i < len(a) && a[i] == '*': // it takes what b names
			out, j = append(out, b[j]), j+1
		case j < len(b) && b[j] == '*':
			out, i = append(out, a[i]), i+1
		default:
			out, i, j = append(out, a[i]), i+1, j+1
		}
	}
	if len(out) == 0 {
		out = []byte{'x'} // no name is empty
	}
	return string(out), true
}

// patternIndex finds, among many path patterns, one that covers or meets another, without trying all where exact paths and folders are
// concerned.
type patternIndex struct {
	patterns []string
	at       map[string]int // the first of each pattern
	dirs     map[string]int // the first of each dir/**, by dir
	globs    []int
}

func newPatternIndex(patterns []string) *patternIndex {
	x := &patternIndex{patterns: patterns, at: make(map[string]int, len(patterns)), dirs: map[string]int{}}
	for i, p := range patterns {
		if _, dup := x.at[p]; dup {
			continue
		}
		x.at[p] = i
		switch schema.PatternKind(p) {
		case schema.KindDir:
			x.dirs[strings.TrimSuffix(p, "/**")] = i
		case schema.KindGlob:
			x.globs = append(x.globs, i)
		}
	}
	return x
}

// covering returns the first pattern that covers another by itself and that ok accepts, or -1: the same one, then folders from the innermost,
// then the rest.
func (x *patternIndex) covering(pattern string, work *int, ok func(i int) bool) int {
	if i, same := x.at[pattern]; same && ok(i) {
		return i
	}
	literal, _, _ := strings.Cut(pattern, "*")
	for i := strings.LastIndexByte(literal, '/'); i >= 0 && len(x.dirs) > 0; i = strings.LastIndexByte(literal[:i], '/') {
		// A final "**" matches at least one segment, as does every pattern below the folder.
		if n, found := x.dirs[literal[:i]]; found && ok(n) {
			return n
		}
	}
	for _, i := range x.globs {
		if x.patterns[i] != pattern && ok(i) && coversAny(x.patterns[i:i+1], pattern, work) {
			return i
		}
	}
	return -1
}

// meeting returns the first pattern that has a path in common with another, or -1.
func (x *patternIndex) meeting(pattern string, work *int) int {
	if i := x.covering(pattern, work, func(int) bool { return true }); i >= 0 || schema.PatternKind(pattern) == schema.KindExact {
		return i
	}
	return slices.IndexFunc(x.patterns, func(p string) bool { return meetsWithin(p, pattern, work) })
}
