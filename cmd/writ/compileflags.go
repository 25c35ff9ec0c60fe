// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/compiler"
)

// compileFlags say what a policy repository is compiled for. Every command that compiles one has them.
type compileFlags struct {
	cluster string
	at      string
}

// register adds --cluster, and --at with what it means for the command.
func (f *compileFlags) register(c *cobra.Command, at string) {
	f.registerCluster(c)
	c.Flags().StringVar(&f.at, "at", "", at)
}

func (f *compileFlags) registerCluster(c *cobra.Command) {
	c.Flags().StringVar(&f.cluster, "cluster", "", "compile for this cluster of the policy: its folders, with its modes (default: all folders, with the modes they state)")
	_ = c.RegisterFlagCompletionFunc("cluster", cobra.NoFileCompletions)
}

// config is for a compiler that keeps what it computed between commands.
func (f *compileFlags) config() compiler.Config {
	return compiler.Config{Cache: cacheDir(), Cluster: f.cluster}
}

// given returns the instant that --at names, or the zero Time without it.
func (f *compileFlags) given() (time.Time, error) {
	if f.at == "" {
		return time.Time{}, nil
	}
	return instantArg(f.at)
}
