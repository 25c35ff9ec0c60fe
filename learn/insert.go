// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
)

// source is a CUE file as text and as what the parser makes of it.
type source struct {
	path string
	data []byte
	file *ast.File
	nl   string // how its lines end
	unit string // one level of indentation
}

// patch replaces del bytes at an offset. Patches of one edit do not overlap.
type patch struct {
	at, del int
	text    string
}

func parseSource(path string, data []byte) (*source, error) {
	f, err := parser.ParseFile(path, data, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	s := &source{path: path, data: data, file: f, nl: "\n", unit: "\t"}
	if i := bytes.IndexByte(data, '\n'); i > 0 && data[i-1] == '\r' {
		s.nl = "\r\n"
	}
	s.unit = indentUnit(data)
	return s, nil
}

// indentUnit is a tab if a line begins with one, else the least spaces that a line begins with.
func indentUnit(data []byte) string {
	spaces := 0
	for line := range bytes.Lines(data) {
		if line[0] == '\t' {
			return "\t"
		}
		n := len(line) - len(bytes.TrimLeft(line, " "))
		if n > 1 && (spaces == 0 || n < spaces) {
			spaces = n
		}
	}
	if spaces == 0 {
		return "\t"
	}
	return strings.Repeat(" ", spaces)
}

// apply returns the text with patches applied.
func (s *source) apply(patches []patch) []byte {
	patches = slices.Clone(patches)
	slices.SortStableFunc(patches, func(a, b patch) int { return cmp.Compare(a.at, b.at) })
	var b bytes.Buffer
	last := 0
	for _, p := range patches {
		b.Write(s.data[last:p.at])
		b.WriteString(p.text)
		last = p.at + p.del
	}
	b.Write(s.data[last:])
	return b.Bytes()
}

func (s *source) lineStart(at int) int { return bytes.LastIndexByte(s.data[:at], '\n') + 1 }

// lineEnd returns the offset of the line's end, before its newline.
func (s *source) lineEnd(at int) int {
	i := bytes.IndexByte(s.data[at:], '\n')
	if i < 0 {
		return len(s.data)
	}
	if i > 0 && s.data[at+i-1] == '\r' {
		i--
	}
	return at + i
}

// indent returns the white space that the line of an offset begins with.
func (s *source) indent(at int) string {
	line := s.data[s.lineStart(at):]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// leads reports whether only white space stands before an offset in its line.
func (s *source) leads(at int) bool {
	return len(bytes.TrimLeft(s.data[s.lineStart(at):at], " \t")) == 0
}

// tail looks at what follows an element in its line: whether a comma does, and whether nothing else but a comment does.
func (s *source) tail(at int) (comma, clean bool) {
	rest := bytes.TrimLeft(s.data[at:s.lineEnd(at)], " \t")
	if rest, comma = bytes.CutPrefix(rest, []byte(",")); comma {
		rest = bytes.TrimLeft(rest, " \t")
	}
	return comma, len(rest) == 0 || bytes.HasPrefix(rest, []byte("//"))
}

// block writes items as lines, each with the newline before it.
func (s *source) block(items []item, indent, end string) string {
	var b strings.Builder
	for _, it := range items {
		for _, line := range it.text() {
			text := strings.TrimLeft(line, "\t")
			b.WriteString(s.nl + indent + strings.Repeat(s.unit, len(line)-len(text)) + text)
		}
		b.WriteString(end)
	}
	return b.String()
}

func inline(items []item) string {
	ones := make([]string, len(items))
	for i, it := range items {
		ones[i] = it.one
	}
	return strings.Join(ones, ", ")
}

// after puts items behind an element: on lines of their own if nothing else follows in its line.
func (s *source) after(e element, items []item) patch {
	comma, clean := s.tail(e.end)
	if !clean {
		return patch{at: e.end, text: ", " + inline(items)}
	}
	indent, end := s.indent(e.start), ""
	if !s.leads(e.start) {
		indent += s.unit
	}
	if comma {
		end = ","
	}
	return patch{at: s.lineEnd(e.end), text: s.block(items, indent, end)}
}

// before puts items in front of an element and of the comment that belongs to it.
func (s *source) before(e element, items []item) patch {
	if !s.leads(e.start) {
		return patch{at: e.start, text: inline(items) + ", "}
	}
	at := s.lineStart(e.start)
	for at > 0 {
		above := s.lineStart(at - 1)
		if !bytes.HasPrefix(bytes.TrimLeft(s.data[above:at], " \t"), []byte("//")) {
			break
		}
		at = above
	}
	end := ""
	if comma, clean := s.tail(e.end); comma && clean {
		end = ","
	}
	text := s.block(items, s.indent(e.start), end)
	return patch{at: at, text: text[len(s.nl):] + s.nl}
}

// slots deals items out to the places before, between and after keys: in sorted order if the keys are sorted, else after the last one. An
// order that is not the alphabet's is a person's, and not to be guessed.
func slots(keys []element, items []item) [][]item {
	out := make([][]item, len(keys)+1)
	sorted := slices.IsSortedFunc(keys, func(a, b element) int { return strings.Compare(a.key, b.key) })
	i := 0
	for _, it := range items {
		for sorted && i < len(keys) && keys[i].key < it.key {
			i++
		}
		if !sorted {
			i = len(keys)
		}
		out[i] = append(out[i], it)
	}
	return out
}

func plainOf(es []element) []element {
	return slices.DeleteFunc(slices.Clone(es), func(e element) bool { return !e.plain })
}

// among puts items at their places among elements that stand in several lines, of which at least one has a key.
func (s *source) among(keys []element, items []item) []patch {
	var ps []patch
	for i, group := range slots(keys, items) {
		switch {
		case len(group) == 0:
		case i == 0:
			ps = append(ps, s.before(keys[0], group))
		default:
			ps = append(ps, s.after(keys[i-1], group))
		}
	}
	return ps
}

// intoBraces puts items into a struct with braces.
func (s *source) intoBraces(lit *ast.StructLit, items []item) []patch {
	es := elements(lit.Elts)
	keys := plainOf(es)
	begin, end := lit.Lbrace.Offset(), lit.Rbrace.Offset()
	if !bytes.Contains(s.data[begin:end], []byte("\n")) {
		return s.intoLine(es, begin, end, items)
	}
	if len(keys) > 0 {
		return s.among(keys, items)
	}
	if n := len(es); n > 0 {
		if _, open := lit.Elts[len(lit.Elts)-1].(*ast.Ellipsis); open {
			return []patch{s.before(es[n-1], items)}
		}
		return []patch{s.after(es[n-1], items)}
	}
	if !s.leads(end) {
		return []patch{{at: end, text: inline(items)}}
	}
	return []patch{{at: s.lineStart(end), text: s.block(items, s.indent(end)+s.unit, "")[len(s.nl):] + s.nl}}
}

// inlineWidth is how long a line may become before its struct is spread over several, a tab counted as 4.
const inlineWidth = 100

// intoLine puts items into a struct that stands in one line.
func (s *source) intoLine(es []element, begin, end int, items []item) []patch {
	_, clean := s.tail(end + 1)
	line := s.data[s.lineStart(begin):s.lineEnd(end)]
	width := len(line) + 3*bytes.Count(line, []byte("\t")) + len(inline(items)) + 2
	if len(es) == 0 && !clean {
		return []patch{{at: begin + 1, del: end - begin - 1, text: inline(items)}}
	}
	keys := plainOf(es)
	if !clean || len(es) > 0 && width <= inlineWidth {
		if len(keys) == 0 {
			return []patch{{at: es[len(es)-1].end, text: ", " + inline(items)}}
		}
		var ps []patch
		for i, group := range slots(keys, items) {
			if len(group) > 0 && i == 0 {
				ps = append(ps, patch{at: keys[0].start, text: inline(group) + ", "})
			} else if len(group) > 0 {
				ps = append(ps, patch{at: keys[i-1].end, text: ", " + inline(group)})
			}
		}
		return ps
	}
	return []patch{{at: begin + 1, del: end - begin - 1, text: s.block(s.merge(es, items), s.indent(begin)+s.unit, "") + s.nl + s.indent(begin)}}
}

// merge returns the elements of a one-line struct, as they are, with items at their places.
func (s *source) merge(es []element, items []item) []item {
	dealt := slots(plainOf(es), items)
	var out []item
	next := 0
	if len(dealt) > 1 {
		out, next = append(out, dealt[0]...), 1
	}
	for _, e := range es {
		out = append(out, item{key: e.key, one: string(s.data[e.start:e.end])})
		if e.plain {
			out, next = append(out, dealt[next]...), next+1
		}
	}
	if len(dealt) == 1 {
		out = append(out, dealt[0]...)
	}
	return out
}
