// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/reconciler"
)

// authFlags are how a command proves to a remote who it is.
type authFlags struct {
	user, passwordFile, passwordEnv string
	bearer                          bool
	caFile, keyFile, knownHosts     string
}

func (a *authFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&a.user, "git-user", "", "https and ssh: user (default: the URL's)")
	fl.StringVar(&a.passwordFile, "git-password-file", "", "https: file that holds the token or password; read anew for each connection")
	fl.StringVar(&a.passwordEnv, "git-password-env", "", "https: environment variable that holds the token or password")
	fl.BoolVar(&a.bearer, "git-bearer", false, "https: send the token as Authorization: Bearer")
	fl.StringVar(&a.caFile, "git-ca-file", "", "https: PEM certificates to trust besides the system's")
	fl.StringVar(&a.keyFile, "git-key-file", "", "ssh: private key (default: the agent's)")
	fl.StringVar(&a.knownHosts, "git-known-hosts", "", "ssh: known_hosts file (default: the user's and the system's)")
	c.MarkFlagsMutuallyExclusive("git-password-file", "git-password-env")
}

// credentials is what the flags say, for the reconciler and for learn, whose Auth is the same.
func (a *authFlags) credentials() reconciler.Auth {
	return reconciler.Auth{
		User: a.user, PasswordFile: a.passwordFile, PasswordEnv: a.passwordEnv, Bearer: a.bearer,
		CAFile: a.caFile, KeyFile: a.keyFile, KnownHosts: a.knownHosts,
	}
}
