// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package compiler

func exchange(next, dir string) error { return exchangeByTwo(next, dir) }
