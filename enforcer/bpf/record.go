// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"time"

	"github.com/writ-sec/writ/schema"
)

// Record is one behaviour that the kernel saw and no rule allows: the first time it happens, and then, once in each fold
// window, how often it happened again. Nothing is said of execs that a rule allows.
type Record struct {
	Cgroup  uint64 // id of the cgroup of the process
	Bound   uint64 // id of the bound cgroup that decided: Cgroup, or one above it
	Slot    uint32 // of the program that decided
	Program uint64 // [Image.Program] of the program that decided

	Object schema.Path   // the program; if Origin is too-long, the end of its path
	Origin schema.Origin // how Object was reached
	Parent schema.Path   // the program that the caller ran; "" if not known

	Action schema.Action
	Reason schema.Reason
	Rule   schema.RuleID // the rule or closure that decides

	PID  int    // thread group id of the caller in the host's PID namespace, the first of these
	PPID int    // of PID's parent process
	UID  uint32 // real user ID of PID in the host's user namespace

	Count uint64    // how often since the last Record of the same behaviour; at least 1
	First time.Time // of these Count times, UTC
	Last  time.Time // of these Count times, UTC
}
