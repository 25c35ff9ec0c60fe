// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -tags linux -go-package bpf -no-global-types exec exec.bpf.c -- -O2 -g -mcpu=v3 -Wall -Werror
