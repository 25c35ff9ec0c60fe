// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// What the guest says of itself: a line with the token, a word, and what belongs to it.
const (
	sayKernel = "kernel" // release
	sayLSM    = "lsm"    // list
	sayStart  = "start"  // index of a program
	sayExit   = "exit"   // index, status
	sayDone   = "done"
)

// script is what the guest runs: every program in turn, each between two lines that start with the token.
func script(token string, programs []Program) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "say() { printf '\\n%s %%s\\n' \"$*\"; }\n", token)
	fmt.Fprintf(&b, "say %s \"$(uname -r)\"\nsay %s \"$(cat /sys/kernel/security/lsm)\"\n", sayKernel, sayLSM)
	for i, p := range programs {
		fmt.Fprintf(&b, "say %s %d\n(cd %s && exec env", sayStart, i, quote(orRoot(p.Dir)))
		for _, word := range append(append([]string{}, p.Env...), p.Args...) {
			fmt.Fprintf(&b, " %s", quote(word))
		}
		fmt.Fprintf(&b, ")\nsay %s %d $?\n", sayExit, i)
	}
	fmt.Fprintf(&b, "say %s\n", sayDone)
	return b.Bytes()
}

func orRoot(dir string) string {
	if dir == "" {
		return "/"
	}
	return dir
}

// quote makes one word of a shell of any text without a NUL.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// guest follows what a guest says. It is used by one goroutine until the guest has ended.
type guest struct {
	token    string
	programs []Program
	output   func(string)
	born     time.Time
	started  time.Time // the program that runs
	running  int       // its index, or -1
	done     bool
	result   Result
	blank    bool // an empty line is held back: it may be the one before a line of the guest's own
}

func newGuest(programs []Program, output func(string)) *guest {
	if output == nil {
		output = func(string) {}
	}
	return &guest{token: "writ-vm-" + rand.Text(), programs: programs, output: output, born: time.Now(), running: -1}
}

func (g *guest) line(line string) {
	if said, ok := strings.CutPrefix(line, g.token+" "); ok {
		g.blank = false
		g.said(strings.TrimSpace(said))
		return
	}
	if g.blank {
		g.output("")
		g.blank = false
	}
	if line == "" {
		g.blank = true
		return
	}
	g.output(line)
}

func (g *guest) said(said string) {
	word, rest, _ := strings.Cut(said, " ")
	switch word {
	case sayKernel:
		g.result.Release = rest
		g.result.Boot = time.Since(g.born)
	case sayLSM:
		g.result.LSM = rest
	case sayStart:
		g.running, _ = strconv.Atoi(rest)
		g.started = time.Now()
	case sayExit:
		index, status, _ := strings.Cut(rest, " ")
		g.exited(index, status)
	case sayDone:
		g.done = len(g.result.Exits) == len(g.programs)
	}
}

// exited notes the end of the program that runs. Anything else is no end: then the guest is never done, and Run says where it was.
func (g *guest) exited(index, status string) {
	if index != strconv.Itoa(g.running) || g.running >= len(g.programs) {
		return
	}
	number, err := strconv.Atoi(status)
	if err != nil {
		return
	}
	exit := Exit{Name: g.programs[g.running].Name, Status: number, Took: time.Since(g.started)}
	g.result.Exits = append(g.result.Exits, exit)
	g.running = -1
}

// where words how far the guest came.
func (g *guest) where() string {
	switch {
	case g.result.Release == "":
		return "before it had booted"
	case g.running >= 0 && g.running < len(g.programs):
		return fmt.Sprintf("while program %q ran (%d of %d)", g.programs[g.running].Name, g.running+1, len(g.programs))
	default:
		return fmt.Sprintf("after %d of %d programs", len(g.result.Exits), len(g.programs))
	}
}

// tail keeps the last lines of the console.
type tail struct {
	lines []string
	also  func(string)
}

// tailLines is enough for a panic's message and its call trace.
const tailLines = 60

func (t *tail) line(line string) {
	if t.also != nil {
		t.also(line)
	}
	t.lines = append(t.lines, line)
	if len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
}

func (t *tail) String() string {
	if len(t.lines) == 0 {
		return "\t(nothing)"
	}
	return "\t" + strings.Join(t.lines, "\n\t")
}

// lineReader reads lines of bounded length.
type lineReader struct{ r *bufio.Reader }

func newLineReader(r io.Reader) *lineReader { return &lineReader{bufio.NewReaderSize(r, 64<<10)} }

func (l *lineReader) next() (string, error) {
	line, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		err = nil
	}
	return string(line), err
}

// checkStatic refuses a program that needs a loader: the guest has none.
func checkStatic(name string) error {
	f, err := elf.Open(name)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%q is linked dynamically, and the guest has no libraries: give a static one", name)
		}
	}
	return nil
}
