// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Package bpf puts the exec plane in force in the kernel.
package bpf
