// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"

	"github.com/writ-sec/writ/schema"
)

// Judge reads the image as exec.bpf.c reads it, step by step. It is there so that the bytes can be tested against
// [schema.JudgeWorkloads] without a kernel, and the kernel against both. object and parent are paths as the kernel resolves them; parent
// is "" if it is not known. The verdict has no Workloads; an open program's reason is open.
func (im *Image) Judge(object, parent schema.Path, origin schema.Origin) schema.Verdict {
	mode := im.cells[headMode]
	if mode == modeOpen {
		return schema.Verdict{Action: schema.ActionAllow, Reason: schema.ReasonOpen}
	}
	closure := schema.RuleID(im.word(headClosure))
	if origin != schema.OriginPath {
		return schema.Verdict{Action: actions[mode], Reason: schema.ReasonOrigin, Rule: closure}
	}
	l := lookup{im: im, object: string(object), parent: string(parent), seed: im.word(headSeed), mult: im.word(headMult)}
	allow, near := l.run()
	switch {
	case allow != 0:
		return schema.Verdict{Action: schema.ActionAllow, Reason: schema.ReasonRule, Rule: schema.RuleID(allow)}
	case near != 0:
		return schema.Verdict{Action: actions[mode], Reason: schema.ReasonParent, Rule: schema.RuleID(near)}
	}
	return schema.Verdict{Action: actions[mode], Reason: schema.ReasonNoRule, Rule: closure}
}

func (im *Image) word(off uint32) uint64 { return binary.LittleEndian.Uint64(im.cells[off:]) }
func (im *Image) half(off uint32) uint32 { return binary.LittleEndian.Uint32(im.cells[off:]) }

// entry is struct entry of exec.h with its whole text.
type entry struct {
	hash, rule    uint64
	parents, next uint32
	kind          uint8
	text          string
}

func (im *Image) entry(cell uint32) entry {
	at := cell * cellSize
	n := uint32(binary.LittleEndian.Uint16(im.cells[at+entryLen:]))
	return entry{
		hash: im.word(at + entryHash), rule: im.word(at + entryRule),
		parents: im.half(at + entryParents), next: im.half(at + entryNext),
		kind: im.cells[at+entryKind], text: string(im.cells[at+entryText : at+entryText+n]),
	}
}

// lookup is look_up of exec.bpf.c.
type lookup struct {
	im             *Image
	object, parent string
	seed, mult     uint64
	steps          int // the most steps that one glob took
}

// run returns the rule that allows, or the one that names the object for another caller.
func (l *lookup) run() (allow, near uint64) {
	var dirAllow, dirNear uint64
	depths, depth, h := l.im.word(headDepths), uint8(0), l.seed
	for i := range len(l.object) {
		if l.object[i] == '/' {
			if depths>>depth&1 != 0 {
				a, n := l.find(h, kindDir, l.object[:i])
				if a != 0 {
					dirAllow = a
				}
				if n != 0 {
					dirNear = n
				}
			}
			depth = min(depth+1, deepest)
		}
		h = hashByte(h, l.object[i], l.mult)
	}
	allow, near = l.find(h, kindExact, l.object)
	if allow == 0 {
		allow = dirAllow
	}
	if near == 0 {
		near = dirNear
	}
	if allow != 0 {
		return allow, near
	}
	for cell := l.im.half(headGlobs); cell != 0 && allow == 0; {
		e := l.im.entry(cell)
		cell = e.next
		if l.glob(e.text, l.object) {
			l.consider(e, &allow, &near)
		}
	}
	return allow, near
}

func (l *lookup) find(h uint64, kind uint8, key string) (allow, near uint64) {
	x, mask := finish(h, kind), l.im.half(headMask)
	for i := range l.im.half(headProbes) {
		off := cellSize + (uint32(x)+i)&mask*bucketSize
		cell := l.im.half(off + 4)
		if cell == 0 {
			break
		}
		if l.im.half(off) != uint32(x>>32) {
			continue
		}
		e := l.im.entry(cell)
		if e.hash == h && e.kind == kind && e.text == key && l.consider(e, &allow, &near) {
			break
		}
	}
	return allow, near
}

func (l *lookup) consider(e entry, allow, near *uint64) bool {
	if e.parents == 0 || l.parent != "" && l.parentIn(e.parents) {
		*allow = e.rule
		return true
	}
	if *near == 0 {
		*near = e.rule
	}
	return false
}

func (l *lookup) parentIn(cell uint32) bool {
	for cell != 0 {
		e := l.im.entry(cell)
		switch n := len(e.text); {
		case e.kind == kindExact && e.text == l.parent:
			return true
		case e.kind == kindDir && n < len(l.parent) && l.parent[n] == '/' && l.parent[:n] == e.text:
			return true
		case e.kind == kindGlob && l.glob(e.text, l.parent):
			return true
		}
		cell = e.next
	}
	return false
}

// maxSteps is MAX_STEPS of exec.bpf.c.
const maxSteps = 1 << 23

func (l *lookup) glob(pattern, path string) bool {
	g := globber{pattern: pattern, path: path}
	n := 0
	for ; n < maxSteps && !g.done; n++ {
		g.step()
	}
	l.steps = max(l.steps, n)
	return g.ok
}

// globber is struct glob and glob_step of exec.bpf.c: the matcher of schema/pattern.go, in which the search for the next segment is
// one step for each byte.
type globber struct {
	pattern, path     string
	p, s              int
	star, starS       int
	stars, starsS     int
	hasStar, hasStars bool
	seeking, done, ok bool
}

func (g *globber) step() {
	if g.seeking {
		g.seek()
		return
	}
	switch {
	case g.p >= len(g.pattern):
		if g.s >= len(g.path) {
			g.ok, g.done = true, true
			return
		}
		g.back()
	case g.atStars():
		g.p += len("/**")
		if g.p >= len(g.pattern) {
			g.ok, g.done = g.s < len(g.path), true
			return
		}
		g.stars, g.starsS, g.hasStars, g.hasStar = g.p, g.s, true, false
	case g.pattern[g.p] == '*':
		g.p++
		g.star, g.starS, g.hasStar = g.p, g.s, true
	case g.s < len(g.path) && g.pattern[g.p] == g.path[g.s]:
		if g.pattern[g.p] == '/' {
			g.hasStar = false
		}
		g.p++
		g.s++
	default:
		g.back()
	}
}

func (g *globber) atStars() bool {
	p := g.p
	return g.pattern[p] == '/' && p+3 <= len(g.pattern) && g.pattern[p+1] == '*' && g.pattern[p+2] == '*' &&
		(p+3 == len(g.pattern) || g.pattern[p+3] == '/') && (g.s >= len(g.path) || g.path[g.s] == '/')
}

func (g *globber) back() {
	switch {
	case g.hasStar && g.starS < len(g.path) && g.path[g.starS] != '/':
		g.starS++
		g.p, g.s = g.star, g.starS
	case g.hasStars:
		g.seeking = true
	default:
		g.done = true
	}
}

func (g *globber) seek() {
	g.starsS++
	if g.starsS >= len(g.path) {
		g.done = true
		return
	}
	if g.path[g.starsS] == '/' {
		g.seeking, g.hasStar = false, false
		g.p, g.s = g.stars, g.starsS
	}
}
