// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cuelang.org/go/cue/scanner"
	"cuelang.org/go/cue/token"
)

const (
	// nestingFree is the size in bytes up to which a file can be parsed whatever it holds. CUE's parser limits nested expressions, but
	// neither chains of fields (a: a: a:) nor of operators, and takes about a kilobyte of stack for each link; Go ends a program
	// at 1 GB of stack, and nothing can recover it.
	nestingFree = 64 << 10
	// maxOpen bounds the tokens of larger files that can be nested into each other.
	maxOpen = 10_000
)

// checkNesting refuses large files that could exhaust the parser's stack. Only what stands between two commas (CUE puts one at the end of
// a line where it can) can be a chain, so the tokens since the last comma, over all open brackets, are a bound.
//
// Strings with interpolations are refused in such files: there the parser tells the scanner where a string goes on, so scanning alone would
// not see what the parser sees.
func (p *parsed) checkNesting() {
	data := p.src.data
	if len(data) <= nestingFree {
		return
	}
	var s scanner.Scanner
	s.Init(token.NewFile(p.src.path, -1, len(data)), data, nil, 0)
	var open []int // tokens since the last comma before each open bracket
	total, here := 0, 0
	for {
		pos, tok, _ := s.Scan()
		switch tok {
		case token.EOF:
			return
		case token.INTERPOLATION:
			p.fail(pos, "has an interpolation in a file of more than %d bytes; want a smaller file: split the policy over several", nestingFree)
			return
		case token.COMMA:
			total, here = total-here, 0
		case token.LBRACE, token.LBRACK, token.LPAREN:
			open = append(open, here+1)
			total, here = total+1, 0
		case token.RBRACE, token.RBRACK, token.RPAREN:
			if len(open) > 0 {
				total, here = total-here, open[len(open)-1]
				open = open[:len(open)-1]
			}
		default:
			total, here = total+1, here+1
		}
		if total > maxOpen {
			p.fail(pos, "nests more than %d tokens; want a flatter file", maxOpen)
			return
		}
	}
}
