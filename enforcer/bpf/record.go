// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"fmt"
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

// The layouts of struct fold_key, struct fold and struct event of exec.h, in bytes.
const (
	foldKeySize = 40
	eventSize   = 88
)

// foldKey is struct fold_key: what makes two events the same behaviour. It is compared whole and never taken apart.
type foldKey [foldKeySize]byte

// sealed is SEALED: the count of such an entry is told as lost already.
const sealed = 1 << 63

// fold is struct fold. Times are nanoseconds of CLOCK_BOOTTIME.
type fold struct{ Count, First, Last uint64 }

// The words of exec.h, by number.
var (
	actions = [...]schema.Action{schema.ActionAllow, schema.ActionLearn, schema.ActionAudit, schema.ActionDeny}
	reasons = [...]schema.Reason{"", schema.ReasonNoRule, schema.ReasonParent, schema.ReasonOrigin}
	origins = [...]schema.Origin{
		schema.OriginPath, schema.OriginMemfd, schema.OriginDeleted, schema.OriginForeign, schema.OriginTooLong, schema.OriginUnknown,
	}
)

// decode reads one record of the ring buffer: struct event, the object, the parent. folded tells whether repetitions are counted under
// the key. boot is the instant at which CLOCK_BOOTTIME was 0.
func decode(raw []byte, boot time.Time) (r Record, key foldKey, folded bool, err error) {
	if len(raw) < eventSize {
		return r, key, false, fmt.Errorf("event record has %d bytes; want at least %d", len(raw), eventSize)
	}
	le := binary.LittleEndian
	object, parent := int(le.Uint16(raw[76:])), int(le.Uint16(raw[78:]))
	if len(raw) < eventSize+object+parent {
		return r, key, false, fmt.Errorf("event record has %d bytes; want %d for paths of %d and %d bytes",
			len(raw), eventSize+object+parent, object, parent)
	}
	action, reason, origin := raw[36], raw[37], raw[38]
	if action == 0 || int(action) >= len(actions) || reason == 0 || int(reason) >= len(reasons) || int(origin) >= len(origins) {
		return r, key, false, fmt.Errorf("event record has action %d, reason %d, origin %d; they are not all known", action, reason, origin)
	}
	copy(key[:], raw)
	at := boot.Add(time.Duration(le.Uint64(raw[40:]))).UTC()
	paths := raw[eventSize:]
	return Record{
		Program: le.Uint64(raw), Bound: le.Uint64(raw[8:]), Slot: le.Uint32(raw[32:]),
		Action: actions[action], Reason: reasons[reason], Origin: origins[origin],
		Cgroup: le.Uint64(raw[48:]), Rule: schema.RuleID(le.Uint64(raw[56:])),
		PID: int(le.Uint32(raw[64:])), PPID: int(le.Uint32(raw[68:])), UID: le.Uint32(raw[72:]),
		Object: schema.Path(paths[:object]), Parent: schema.Path(paths[object : object+parent]),
		Count: 1, First: at, Last: at,
	}, key, raw[80] != 0, nil
}
