// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/writ-sec/writ/enforcer/node"
)

func TestDefaultState(t *testing.T) {
	for pins, want := range map[string]string{
		node.DefaultPinDir:           node.DefaultStateDir,
		node.DefaultPinDir + "/":     node.DefaultStateDir,
		node.DefaultPinDir + "-test": "",
		"/run/pins":                  "",
	} {
		if got := defaultState(pins); got != want {
			t.Errorf("pins in %q: state %q; want %q", pins, got, want)
		}
	}
}
