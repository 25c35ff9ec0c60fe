// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
)

// compileFlags say what a policy repository is compiled for. Every command that compiles one has them.
type compileFlags struct {
	cluster   string
	at        string
	admission admissionFlag
	cilium    ciliumFlag
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

// registerAdmission adds what replaces the policy's word on admission. Commands that make a bundle have them.
func (f *compileFlags) registerAdmission(c *cobra.Command) {
	c.Flags().Var(&f.admission, "admission", "make admission objects for these: "+strings.Join(schema.AdmissionWords, ", ")+" (default: as the policy says)")
	_ = c.RegisterFlagCompletionFunc("admission", cobra.FixedCompletions(schema.AdmissionWords, cobra.ShellCompDirectiveNoFileComp))
	c.Flags().VarPF(&f.cilium, "cilium", "", "make network policies for Cilium too (default: as the policy says)").NoOptDefVal = "true"
	_ = c.RegisterFlagCompletionFunc("cilium", cobra.FixedCompletions([]string{"true", "false"}, cobra.ShellCompDirectiveNoFileComp))
}

// admissionFlag is by what is enforced at admission; "": as the policy says.
type admissionFlag string

func (f *admissionFlag) String() string { return string(*f) }
func (f *admissionFlag) Type() string   { return "name" }

func (f *admissionFlag) Set(s string) error {
	if !slices.Contains(schema.AdmissionWords, s) {
		return fmt.Errorf("%q is not known; want gatekeeper, vap or both", s)
	}
	*f = admissionFlag(s)
	return nil
}

// ciliumFlag is a flag that can be set, unset, or neither.
type ciliumFlag struct{ is *bool }

func (f *ciliumFlag) Type() string { return "bool" }

func (f *ciliumFlag) String() string {
	if f.is == nil {
		return ""
	}
	return strconv.FormatBool(*f.is)
}

func (f *ciliumFlag) Set(s string) error {
	is, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("%q is not known; want true or false", s)
	}
	f.is = &is
	return nil
}

// config is for a compiler that keeps what it computed between commands.
func (f *compileFlags) config() compiler.Config {
	return compiler.Config{Cache: cacheDir(), Cluster: f.cluster, Admission: string(f.admission), Cilium: f.cilium.is}
}

// given returns the instant that --at names, or the zero Time without it.
func (f *compileFlags) given() (time.Time, error) {
	if f.at == "" {
		return time.Time{}, nil
	}
	return instantArg(f.at)
}
