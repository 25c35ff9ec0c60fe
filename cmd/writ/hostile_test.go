// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/writ-sec/writ/compiler/treegen"
)

// TestHostileVet runs writ vet on policies that mean harm: it says what is wrong, and exits with 1.
func TestHostileVet(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"laughs-strings": "policy takes too much to evaluate",
		"long-sum":       "nests more than 10000 tokens",
		"link-embed":     "has the attribute @extern",
	} {
		all := treegen.HostileTrees()
		h := all[slices.IndexFunc(all, func(h treegen.Hostile) bool { return h.Name == name })]
		dir := filepath.Join(t.TempDir(), "policy")
		if err := h.Write(dir); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, self, "vet", dir)
		cmd.Env = append(os.Environ(), "WRIT_TEST_MAIN=1", "XDG_CACHE_HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !bytes.Contains(out, []byte(want)) {
			t.Errorf("writ vet on %s: %v; want exit code 1 and %q\n%.2000s", name, err, want, out)
		}
	}
}
