// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Limits of one evaluation, and of what passes through the fence.
const (
	evaluationCPU    = 10 * time.Second // of processor time
	evaluationMemory = 512 << 20        // bytes of everything that is written to; the kernel gives no more
	evaluationWall   = 60 * time.Second // of real time, on a machine that has little to give
	maxMessage       = 512 << 20        // bytes of one request or answer
)

// fenceVariable makes a program that imports this package the evaluator: it serves evaluations on its standard input and output, in a
// fence, and ends.
const fenceVariable = "WRIT_EVALUATE"

// The exit codes of an evaluator that met a limit.
const (
	exitCPU    = 93
	exitMemory = 94
	exitFence  = 95 // the fence could not be put up
)

// init makes every program that compiles policy its own evaluator, so that there is no other program to find, to check and to trust.
func init() {
	if os.Getenv(fenceVariable) == "1" {
		serveEvaluations()
	}
}

// serveEvaluations is the evaluator's life. It does not return.
func serveEvaluations() {
	debug.SetGCPercent(200)
	debug.SetMemoryLimit(evaluationMemory * 3 / 4)
	debug.SetMaxStack(evaluationMemory / 4) // it is copied when it grows, so there are one and a half of it
	libraryNodes()                          // what is read once
	if err := raiseFence(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFence)
	}
	watch := newWatch()
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		data, err := readMessage(in)
		if err != nil {
			os.Exit(0) // the compiler is done with it
		}
		var texts []text
		if err := cbor.Unmarshal(data, &texts); err != nil {
			fmt.Fprintln(os.Stderr, "request:", err)
			os.Exit(exitFence)
		}
		watch.begin()
		e := evaluate(texts)
		answer, err := cbor.Marshal(e)
		watch.end()
		if err == nil {
			err = writeMessage(out, answer)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "answer:", err)
			os.Exit(exitFence)
		}
	}
}

// readMessage reads a length of 8 bytes, big endian, and as many bytes.
func readMessage(r io.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint64(head[:])
	if n > maxMessage {
		return nil, fmt.Errorf("message has %d bytes; want at most %d", n, maxMessage)
	}
	var buf bytes.Buffer
	if _, err := io.CopyN(&buf, r, int64(n)); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func writeMessage(w *bufio.Writer, data []byte) error {
	if len(data) > maxMessage {
		return fmt.Errorf("message has %d bytes; want at most %d", len(data), maxMessage)
	}
	head := binary.BigEndian.AppendUint64(nil, uint64(len(data)))
	if _, err := w.Write(head); err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Flush()
}

// cborNodes reads what came through the fence, or from the cache: as deep as a policy may be, and no deeper.
var cborNodes = func() cbor.DecMode {
	m, err := cbor.DecOptions{MaxNestedLevels: 65535, MaxArrayElements: math.MaxInt32, MaxMapPairs: math.MaxInt32}.DecMode()
	if err != nil {
		panic(fmt.Sprintf("compiler: CBOR: %v", err)) // the options are constant
	}
	return m
}()

// cborSorted writes one form of each value: maps in the order of their keys (RFC 8949, section 4.2).
var cborSorted = func() cbor.EncMode {
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(fmt.Sprintf("compiler: CBOR: %v", err)) // the options are constant
	}
	return m
}()

// errLimit is wrapped by the error of an evaluation that met a limit. Its text is for the author of the policy.
var errLimit = errors.New("policy takes too much to evaluate")

// evaluators is a set of evaluators in the fence. Each serves one evaluation at a time and is replaced when it dies.
type evaluators struct {
	mu   sync.Mutex
	idle []*evaluator
}

// evaluator is one process in the fence.
type evaluator struct {
	cmd    *exec.Cmd
	in     *bufio.Writer
	out    *bufio.Reader
	pipe   io.Closer
	stderr *tail
}

// evaluate evaluates files in the fence. The error wraps errLimit when the policy is at fault.
func (s *evaluators) evaluate(ctx context.Context, texts []text) (evaluation, error) {
	e, err := s.take()
	if err != nil {
		return evaluation{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = e.cmd.Process.Kill() })
	overtime := time.AfterFunc(evaluationWall, func() { _ = e.cmd.Process.Kill() })
	answer, err := e.ask(texts)
	inTime := overtime.Stop()
	if stop() && err == nil && inTime {
		s.mu.Lock()
		s.idle = append(s.idle, e)
		s.mu.Unlock()
		return answer, nil
	}
	died := e.end()
	switch {
	case ctx.Err() != nil:
		return evaluation{}, ctx.Err()
	case !inTime:
		return evaluation{}, fmt.Errorf("%w: it is not done after %v; want simpler expressions", errLimit, evaluationWall)
	case err == nil:
		return answer, nil
	}
	return evaluation{}, died
}

func (s *evaluators) take() (*evaluator, error) {
	s.mu.Lock()
	if n := len(s.idle); n > 0 {
		e := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		return e, nil
	}
	s.mu.Unlock()
	return startEvaluator()
}

// close ends all idle evaluators.
func (s *evaluators) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.idle {
		_ = e.end()
	}
	s.idle = nil
}

// startEvaluator starts this very program again, without arguments, environment and open files.
func startEvaluator() (*evaluator, error) {
	self, err := selfPath()
	if err != nil {
		return nil, fmt.Errorf("start the evaluator: %w", err)
	}
	e := &evaluator{cmd: exec.Command(self), stderr: &tail{}}
	e.cmd.Env = []string{fenceVariable + "=1", "GOTRACEBACK=none", "GOMAXPROCS=2"}
	e.cmd.Dir = "/"
	e.cmd.Stderr = e.stderr
	e.cmd.SysProcAttr = fencedProcess()
	in, err := e.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the evaluator: %w", err)
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the evaluator: %w", err)
	}
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the evaluator: %w", err)
	}
	e.in, e.out, e.pipe = bufio.NewWriter(in), bufio.NewReader(out), in
	return e, nil
}

func (e *evaluator) ask(texts []text) (evaluation, error) {
	var answer evaluation
	request, err := cbor.Marshal(texts)
	if err != nil {
		return answer, err
	}
	if err := writeMessage(e.in, request); err != nil {
		return answer, err
	}
	data, err := readMessage(e.out)
	if err != nil {
		return answer, err
	}
	return answer, cborNodes.Unmarshal(data, &answer)
}

// end ends the process and says what it died of, if it was dead.
func (e *evaluator) end() error {
	_ = e.pipe.Close()
	done := time.AfterFunc(time.Second, func() { _ = e.cmd.Process.Kill() })
	defer done.Stop()
	err := e.cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("evaluator ended early: %w", err)
	}
	said := e.stderr.String()
	switch code := exit.ExitCode(); {
	case code == exitCPU:
		return fmt.Errorf("%w: it needs more than %v of processor time; want simpler expressions, or smaller folders", errLimit, evaluationCPU)
	case code == exitMemory, strings.Contains(said, "out of memory"), strings.Contains(said, "cannot allocate memory"):
		return fmt.Errorf("%w: it needs more than %d MiB of memory; want simpler expressions, or smaller folders", errLimit, evaluationMemory>>20)
	case strings.Contains(said, "stack overflow"):
		return fmt.Errorf("%w: it nests too deeply; want simpler expressions", errLimit)
	case code == exitFence:
		return fmt.Errorf("evaluator: %.300s", strings.TrimSpace(said))
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return fmt.Errorf("%w: the evaluator was killed, as the kernel does when memory runs out; want simpler expressions", errLimit)
	}
	return fmt.Errorf("evaluator ended with %s: %.300s", exit.String(), strings.TrimSpace(said))
}

// tail keeps the first bytes of what a process says, which is where Go names the cause of a crash.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := 4096 - t.buf.Len(); room > 0 {
		t.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
