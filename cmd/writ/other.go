// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

var errLinuxOnly = errors.New("this command needs Linux: policy is put in force in its kernel")

func newUp(stdio) *cobra.Command {
	return &cobra.Command{Use: "up", Short: "Keep the policy of a git repository in force on this host (Linux only)", RunE: linuxOnly}
}

func newDemo(stdio) *cobra.Command {
	return &cobra.Command{Use: "demo", Short: "Show the whole circle on this host (Linux only)", RunE: linuxOnly}
}

func linuxOnly(*cobra.Command, []string) error { return errLinuxOnly }

func (state) becomeOwner() error { return nil }

func ownsDir(string) bool { return false }
