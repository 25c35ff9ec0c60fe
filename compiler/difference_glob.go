// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import "strings"

// diffGlobKind is what wildcards of a pattern mean.
type diffGlobKind int

const (
	globPath diffGlobKind = iota // of paths: "*" stays within a segment, "**" is any number of them; see schema.MatchPath
	globLine                     // of names: "*" is any run of bytes
	globURI                      // of identities: "*" is any run of bytes but "/"
)

// diffGlob is a pattern as a machine that reads a path byte by byte. State 2*i waits for token i; state 2*i+1 is within the segments that
// token i, a "**", has begun to take.
type diffGlob struct {
	kind   diffGlobKind
	tokens []diffGlobToken
}

type diffGlobToken struct {
	op   diffGlobOp
	byte byte
}

type diffGlobOp int

const (
	takesByte     diffGlobOp = iota // this byte
	takesRun                        // any bytes but "/"
	takesAny                        // any bytes
	takesSegments                   // nothing, or "/" and any bytes
)

func newDiffGlob(pattern string, kind diffGlobKind) *diffGlob {
	g := &diffGlob{kind: kind}
	for i := 0; i < len(pattern); i++ {
		rest := pattern[i:]
		switch {
		case kind == globPath && rest == "/**":
			g.tokens = append(g.tokens, diffGlobToken{takesByte, '/'}, diffGlobToken{op: takesAny})
			return g
		case kind == globPath && strings.HasPrefix(rest, "/**/"):
			g.tokens = append(g.tokens, diffGlobToken{op: takesSegments})
			i += len("**")
		case rest[0] == '*' && kind == globLine:
			g.tokens = append(g.tokens, diffGlobToken{op: takesAny})
		case rest[0] == '*':
			g.tokens = append(g.tokens, diffGlobToken{op: takesRun})
		default:
			g.tokens = append(g.tokens, diffGlobToken{takesByte, rest[0]})
		}
	}
	return g
}

// otherByte stands for every byte that no pattern names.
const otherByte = -1

// next returns the states that follow a state on a symbol, before [glob.reach].
func (g *diffGlob) next(state, symbol int) (int, bool) {
	i, inside := state/2, state%2 == 1
	switch {
	case i == len(g.tokens):
		return 0, false
	case inside:
		return state, true
	}
	switch t := g.tokens[i]; t.op {
	case takesByte:
		return 2 * (i + 1), symbol == int(t.byte)
	case takesRun:
		return state, symbol != '/'
	case takesSegments:
		return state + 1, symbol == '/'
	default:
		return state, true
	}
}

// skips reports whether a state may pass to the one that waits for the next token without reading anything.
func (g *diffGlob) skips(state int) bool {
	i := state / 2
	return i < len(g.tokens) && (state%2 == 1 || g.tokens[i].op != takesByte)
}

func (g *diffGlob) accepts(state int) bool { return state == 2*len(g.tokens) }

// diffGlobSet is a set of states.
type diffGlobSet []uint64

func (g *diffGlob) newSet() diffGlobSet { return make(diffGlobSet, len(g.tokens)*2/64+1) }

func (s diffGlobSet) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// reach adds a state and those that it passes to.
func (g *diffGlob) reach(s diffGlobSet, state int) {
	for !s.has(state) {
		s[state/64] |= 1 << (state % 64)
		if !g.skips(state) {
			return
		}
		state = 2 * (state/2 + 1)
	}
}

// step returns the set that follows on a symbol.
func (g *diffGlob) step(s diffGlobSet, symbol int) diffGlobSet {
	out := g.newSet()
	for state := 0; state <= 2*len(g.tokens); state++ {
		if s.has(state) {
			if next, ok := g.next(state, symbol); ok {
				g.reach(out, next)
			}
		}
	}
	return out
}

func (s diffGlobSet) key() string {
	b := make([]byte, 0, len(s)*8)
	for _, w := range s {
		for range 8 {
			b = append(b, byte(w))
			w >>= 8
		}
	}
	return string(b)
}

// includes reports whether g matches whatever n matches. It walks n and, in parallel, all that g can be in, which takes exponential time
// on patterns that are made for it: it gives up with false when steps, of about a microsecond each, are used up.
func (g *diffGlob) includes(n *diffGlob, steps *int) bool {
	type place struct {
		state int
		empty bool // the path has just passed a "/"
		set   diffGlobSet
	}
	start := g.newSet()
	g.reach(start, 0)
	seen := map[string]bool{}
	var todo []place
	push := func(p place) {
		key := string([]byte{byte(p.state), byte(p.state >> 8), bit(p.empty)}) + p.set.key()
		if !seen[key] {
			seen[key] = true
			todo = append(todo, p)
		}
	}
	push(place{0, false, start})
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		clean := n.kind != globPath || !p.empty // a clean path has no empty segment
		if n.accepts(p.state) && clean && !p.set.has(2*len(g.tokens)) {
			return false
		}
		if n.skips(p.state) {
			push(place{2 * (p.state/2 + 1), p.empty, p.set})
		}
		for _, symbol := range globSymbols(n, g, p.state) {
			next, ok := n.next(p.state, symbol)
			if !ok || symbol == '/' && !clean {
				continue
			}
			if *steps--; *steps < 0 {
				return false
			}
			push(place{next, symbol == '/', g.step(p.set, symbol)})
		}
	}
	return true
}

// globSymbols returns those on which a state of n may move, one for each group that neither pattern tells apart.
func globSymbols(n, g *diffGlob, state int) []int {
	if i := state / 2; i == len(n.tokens) {
		return nil
	} else if state%2 == 0 && n.tokens[i].op == takesByte {
		return []int{int(n.tokens[i].byte)}
	}
	var named [256]bool
	named['/'] = true
	for _, t := range g.tokens {
		if t.op == takesByte {
			named[t.byte] = true
		}
	}
	out := []int{otherByte}
	for b, is := range named {
		if is {
			out = append(out, b)
		}
	}
	return out
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
