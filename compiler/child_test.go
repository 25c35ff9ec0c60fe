// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"os"
	"os/exec"
	"testing"
)

// childVariable makes this test binary do one of children instead of its tests.
const childVariable = "WRIT_TEST_CHILD"

// children are what a process of its own is needed for: to be measured, or to be fenced in. Each reads its standard input and ends the process.
var children = map[string]func(){}

func TestMain(m *testing.M) {
	if child := children[os.Getenv(childVariable)]; child != nil {
		child()
	}
	os.Exit(m.Run())
}

// childCommand runs this test binary again as one of children.
func childCommand(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = []string{childVariable + "=" + name}
	return cmd
}
