// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// checkProgram is writ-check, built once. The folder is removed when the tests end.
var checkProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "writ-check-")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "writ-check")
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir = filepath.Join("..", "writ-check")
	if out, err := cmd.CombinedOutput(); err != nil {
		return string(out), err
	}
	return program, nil
})

func builtCheck(t testing.TB) string {
	t.Helper()
	program, err := checkProgram()
	if err != nil {
		t.Fatalf("build writ-check: %v\n%s", err, program)
	}
	return program
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCheckScript runs the transcripts of writ check, with the real writ-check.
func TestCheckScript(t *testing.T) {
	program := builtCheck(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/check",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(env *testscript.Env) error {
			env.Setenv(engineVariable, program)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
	})
}
