// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux || (!amd64 && !arm64)

package compiler

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

func selfPath() (string, error) { return os.Executable() }

func fencedProcess() *syscall.SysProcAttr { return nil }

// raiseFence has nothing to raise here: the evaluator is a process of its own that can be killed, and that is all.
func raiseFence() error { return nil }

// watch ends the process when an evaluation takes more memory than it may, or more real time than processor time.
type watch struct{ timer *time.Timer }

func newWatch() *watch { return &watch{} }

func (w *watch) begin() {
	runtime.GC()
	w.timer = time.AfterFunc(evaluationCPU, func() { os.Exit(exitCPU) })
}

func (w *watch) end() { w.timer.Stop() }
