// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
)

// literalMaker writes small policies of what literals read, and some of what they must decline. Names come from few, so that statements meet.
type literalMaker struct {
	r      *rand.Rand
	level  int
	hidden []string // that were referred to
	within int      // how many hidden fields come before those that may be referred to
	unique int
	typed  bool // a root file says that entries are structs
}

// oneOf writes one of some things.
func (m *literalMaker) oneOf(writers ...func() string) string {
	return writers[m.r.IntN(len(writers))]()
}

func (m *literalMaker) pick(words ...string) string { return words[m.r.IntN(len(words))] }

func (m *literalMaker) rarely(n int) bool { return m.r.IntN(n) == 0 }

func (m *literalMaker) scalar() string {
	switch m.r.IntN(12) {
	case 0:
		return m.pick("1", "0", "-1", "443", "999999999999999999", "-7")
	case 1:
		return m.pick("true", "false", "null")
	case 2:
		return m.pick(`#"a\n\#n"b"#`, `"\u00e9\t\"\/"`, `"a\U0001F600"`, `##"a"#b"##`, `"é"`, `""`)
	case 3:
		return m.pick("\"\"\"\n\t\ta\n\t\t  b\\n\n\t\t\"\"\"", "#\"\"\"\n\ta\\n\"\n\t\"\"\"#", "\"\"\"\n\n\tx\\\n\ty\n\t\"\"\"", "\"\"\"\n\t\"\"\"")
	}
	if m.rarely(60) { // declined
		return m.pick("0x1f", "1_000", "1.5", "1e3", "1Ki", "-0", "'bytes'", "[1, 2]", "\"a\\(1)\"", "string", "1 | *2", "1 + 1", "-(1)", "+1", "_", "len(\"a\")",
			"9223372036854775808", "-99999999999999999999")
	}
	return m.pick(`"a"`, `"b"`, `"c d"`)
}

// set refers to a struct: a hidden field, or a set of the library. A hidden field refers to later ones, but rarely to any: to itself, too.
func (m *literalMaker) set() string {
	names := []string{"_a", "_b", "_c", "_d"}
	if !m.rarely(30) {
		names = names[m.within:]
	}
	if len(names) == 0 || m.rarely(4) {
		return m.pick("policies.shells", "policies.packageManagers", "policies.metadata", "policies.bounds.noLatest", "policies.pods.noCapabilities",
			"policies.bounds.podRestricted.require")
	}
	name := m.pick(names...)
	if m.rarely(80) {
		name = m.pick("_x", "_gone", "workload", "policies", "policies.nothing")
	}
	m.hidden = append(m.hidden, name)
	return name
}

// reference refers to a set, or to something in one.
func (m *literalMaker) reference() string {
	name := m.set()
	if strings.HasPrefix(name, "_") && m.rarely(2) {
		name += m.pick(".a", ".b", `."c d"`)
		if m.rarely(15) {
			name += m.pick(`["a"]`, ".missing")
		}
	}
	return name
}

func (m *literalMaker) value() string {
	m.level++
	defer func() { m.level-- }()
	if m.level > 4 {
		return m.scalar()
	}
	switch m.r.IntN(14) {
	case 0, 1, 2, 3, 4:
		return m.scalar()
	case 5:
		return m.reference()
	case 6:
		if scalar := m.scalar(); m.rarely(2) {
			return scalar + " & " + scalar
		}
		return "(" + m.structure() + " & " + m.oneOf(m.structure, m.set) + ")"
	case 7:
		return "(" + m.value() + ")"
	}
	return m.structure()
}

func (m *literalMaker) structure() string {
	m.level++
	defer func() { m.level-- }()
	var b strings.Builder
	b.WriteString("{")
	for range m.r.IntN(4) {
		b.WriteString(m.element() + m.pick("\n", ",\n", ", ", " // a comment\n"))
	}
	if m.rarely(10) {
		b.WriteString("\n// a comment\n")
	}
	return b.String() + "}"
}

func (m *literalMaker) element() string {
	switch {
	case m.rarely(14):
		return m.set()
	case m.rarely(25) && m.level < 5:
		return m.structure()
	case m.rarely(20):
		return "@note(a, b=\"c\")"
	case m.rarely(150): // declined
		return m.pick("...", "a?: 1", "b!: 1", "let L = 1", "_a: 1", "_own: 1", "#D: 1", "X=a: 1", "[string]: _", `"\("a")": 1`, "if true {a: \"a\"}", "for k, _ in {a: 1} {(k): 1}",
			"(\"a\"): 1", "a=a: 1")
	}
	return m.field()
}

// field writes a field. What names that meet stand for is mostly the same, so that statements of one entry contradict each other rarely.
func (m *literalMaker) field() string {
	var text string
	switch m.r.IntN(6) {
	case 0:
		text = m.pick("a", `"a"`, `#"a"#`, `"\u0061"`) + `: "a"`
	case 1:
		text = m.pick("b", `"b"`) + ": 443"
	case 2:
		text = `"c d": ` + m.pick(`"é"`, `"\u00e9"`, "#\"é\"#")
	case 3, 4:
		text = m.pick("e", "f", `"/bin/*"`, `"_a"`, `"#D"`, "in", "policies") + ": " + m.oneOf(m.structure, m.structure, m.set)
	default:
		m.unique++
		text = fmt.Sprintf("k%d: %s", m.unique, m.value())
	}
	if m.rarely(100) { // likely to contradict
		text = m.pick("a", "b", "e") + ": " + m.value()
	}
	if m.rarely(10) {
		text = m.pick("g", "h", `"/bin/*"`) + ": " + text
	}
	if m.rarely(15) {
		text += " @why(x)"
	}
	return text
}

func (m *literalMaker) entry() string {
	if m.typed || !m.rarely(4) {
		return m.structure()
	}
	return m.value()
}

// file writes one file.
func (m *literalMaker) file() string {
	var b strings.Builder
	m.hidden = nil
	for range 1 + m.r.IntN(3) {
		name := m.pick("one", "two", `"two"`, "three", `"four four"`)
		switch m.r.IntN(7) {
		case 0:
			fmt.Fprintf(&b, "workload: {%s: %s, %s: %s}\n", name, m.entry(), m.pick("one", "five"), m.entry())
		case 1:
			fmt.Fprintf(&b, "bound: %s: %s\n", name, m.structure())
		case 2:
			fmt.Fprintf(&b, "budget: %s\n", m.structure())
		case 3:
			fmt.Fprintf(&b, "\"workload\": %s: %s\n", name, m.field())
		default:
			fmt.Fprintf(&b, "workload: %s: %s\n", name, m.structure())
		}
	}
	for i, name := range []string{"_a", "_b", "_c", "_d"} {
		m.within = i + 1
		if slices.Contains(m.hidden, name) && !m.rarely(40) || m.rarely(8) {
			value := `{a: "a", b: 443, "c d": "é"} & ` + m.structure()
			if m.rarely(40) {
				value = m.value()
			}
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	m.within = 0
	if m.rarely(60) {
		b.WriteString(m.pick("#D: {a: 1}\n", "let L = 1\n", "workload: [string]: {a: 1}\n", "workload: {...}\n", "_a: {}, _b: _a\n", "policies: 1\n", "_e=_f: 1\n", "if true {workload: one: a: \"a\"}\n",
			"workload: one?: b: 1\n", "workload: {(\"one\"): {}}\n"))
	}
	text := b.String()
	head := "package policy\n\n"
	if strings.Contains(text, "policies.") != m.rarely(200) {
		head += m.pick("import \"github.com/writ-sec/writ/policies\"\n\n", "import (\n\tpolicies \"github.com/writ-sec/writ/policies\"\n)\n\n")
	}
	return head + text
}

// tree writes one to three files in one or two folders.
func (m *literalMaker) tree() map[string]string {
	m.typed = m.rarely(3)
	files := map[string]string{"a.cue": m.file()}
	if m.rarely(2) {
		files[m.pick("b.cue", "x/b.cue")] = m.file()
	}
	if m.rarely(3) {
		files["x/c.cue"] = m.file()
	}
	if m.typed {
		files["root.cue"] = "package policy\n\nimport \"github.com/writ-sec/writ/schema\"\n\nworkload: [string]: schema.#Workload\nbudget: schema.#Budget\n"
	}
	return files
}

// literalOutcome counts entries.
type literalOutcome struct {
	read, declined int
	compared       int  // of those read
	alone          bool // no folder needed CUE
}

// holdLiteral holds what is read without CUE against what CUE says. Files that are refused before anything is read say nothing.
func holdLiteral(t *testing.T, tree Tree) (o literalOutcome, valid bool) {
	folders, errs := load(tree)
	if len(errs) > 0 {
		return o, false
	}
	files := map[*source]*parsed{}
	o.alone = true
	for _, f := range folders {
		r := &folderReader{folder: f}
		for _, s := range f.seen {
			if files[s] == nil {
				files[s] = parseFile(s)
			}
			if len(files[s].errs) > 0 {
				return o, false
			}
			r.seen = append(r.seen, files[s])
			if files[s].dir() == f.dir {
				r.ownFiles = append(r.ownFiles, files[s])
			}
		}
		r.lits = newLiterals(r.seen)
		values, declined := r.literal()
		alone := len(declined) == 0 && !r.needsCUE()
		o.read, o.declined, o.alone = o.read+len(values), o.declined+len(declined), o.alone && alone
		var texts []text
		regular := false
		for _, p := range r.seen {
			texts = append(texts, text{p.src.path, p.src.data})
			regular = regular || len(p.index.fields) > 0
		}
		e := evaluate(texts)
		if len(declined) > 0 && r.prunable() && len(e.Problems) > 0 { // what CUE stops at may hide the rest
			for i, p := range r.seen {
				texts[i].Data = p.prune(func(e *namedEntry) bool { return values[entryKey(e.kind, e.name)] != nil })
			}
			e = evaluate(texts)
		}
		if alone && !regular && f.dir == "." && (len(e.Problems) > 0 || e.Root == nil) {
			t.Errorf("folder %q is read without CUE, which says %+v", f.dir, e.Problems)
		}
		if e.Root != nil {
			o.compared += holdValues(t, values, e)
		}
	}
	return o, true
}

// holdValues returns how many values it compared.
func holdValues(t *testing.T, values map[string]*node, e evaluation) (compared int) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		kindName, name, _ := strings.Cut(key, "\x00")
		at := []string{kindName, name}
		if k, _ := kindNamed(kindName); k.single {
			at = at[:1]
		}
		got := e.Root.get(at...)
		if around := e.Root.get(kindName); got == nil && (around == nil && e.Root.Kind == nodeBottom || around != nil && around.Kind == nodeBottom) {
			continue // CUE stopped at something else, and says so
		}
		compared++
		if got == nil || !equalValues(values[key], got) {
			t.Errorf("%q is read as %s; CUE says %s", at, dump(values[key]), dump(got))
		}
		for _, p := range e.Problems {
			if hasPrefix(p.Path, at) {
				t.Errorf("%q is read as %s; CUE says %q", at, dump(values[key]), p.Msg)
			}
		}
	}
	return compared
}

// dump writes a value for a message.
func dump(n *node) string {
	if n == nil {
		return "nothing"
	}
	if n.Kind != nodeStruct {
		return fmt.Sprintf("%d:%q", n.Kind, n.Text)
	}
	var fields []string
	for _, f := range n.Fields {
		fields = append(fields, fmt.Sprintf("%q: %s", f.Name, dump(f.Node)))
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// TestLiteralEqualsCUE makes policies and holds what is read without CUE against CUE. What is declined is right by itself, so it must not be much.
func TestLiteralEqualsCUE(t *testing.T) {
	const trees = 2500
	all, whole, read, declined, compared := 0, 0, 0, 0, 0
	for i := range trees {
		m := &literalMaker{r: rand.New(rand.NewPCG(16, uint64(i)))}
		files := m.tree()
		o, valid := holdLiteral(t, treeOf(files))
		if t.Failed() {
			t.Fatalf("tree %d:\n%s", i, showFiles(files))
		}
		if !valid {
			continue
		}
		all++
		read, declined, compared = read+o.read, declined+o.declined, compared+o.compared
		if o.declined == 0 {
			whole++
		}
	}
	t.Logf("%d of %d trees are valid so far; %d read whole; %d entries read, %d of them compared, %d declined", all, trees, whole, read, compared, declined)
	if all < trees*9/10 || whole < all*6/10 || declined < all/20 || compared < read*8/10 {
		t.Errorf("of %d trees %d parse and %d are read whole, with %d entries declined and %d compared; want nearly all, 60 %%, some, and 80 %% of %d",
			trees, all, whole, declined, compared, read)
	}
}

// TestLibraryIsRead holds that the whole library is read without CUE: what is embedded costs its author nothing.
func TestLibraryIsRead(t *testing.T) {
	for _, lib := range libraries[1:] {
		read := libraryNodes()[lib.importPath]
		entries := 0
		for name, data := range lib.sources() {
			f, err := parser.ParseFile(name, data)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls[1:] {
				field := d.(*ast.Field)
				name, _ := label(field.Label)
				of, ok := field.Value.(*ast.StructLit)
				if n := read.get(name); n == nil || !ok || len(n.Fields) == 0 {
					t.Errorf("%s of %s is not read", name, lib.importPath)
					continue
				}
				for _, e := range of.Elts {
					if inner, ok := e.(*ast.Field); ok {
						key, _ := label(inner.Label)
						if read.get(name, key) == nil {
							t.Errorf("%s.%s of %s is not read", name, key, lib.importPath)
						}
						entries++
					}
				}
			}
		}
		if entries < 100 || read.get("bounds", "noShells", "never", "exec", "/bin/sh") == nil {
			t.Errorf("%d entries of %s are read", entries, lib.importPath)
		}
	}
}

func showFiles(files map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "-- %s --\n%s", name, files[name])
	}
	return b.String()
}

// FuzzLiteral holds what is read of any two files without CUE against CUE.
func FuzzLiteral(f *testing.F) {
	for i := range 40 {
		m := &literalMaker{r: rand.New(rand.NewPCG(17, uint64(i)))}
		f.Add(m.file(), m.file())
	}
	f.Fuzz(func(t *testing.T, root, below string) {
		if len(root)+len(below) > 2048 {
			t.Skip("CUE itself takes long on large inputs of random constructs")
		}
		holdLiteral(t, treeOf(map[string]string{"a.cue": root, "x/b.cue": below}))
	})
}
