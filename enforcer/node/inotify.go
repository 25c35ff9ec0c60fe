// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// inotifyEvent is 'struct inotify_event' of include/uapi/linux/inotify.h.
type inotifyEvent struct {
	watch int
	mask  uint32
	name  string // in the watched directory; "" for the directory itself
}

// readInotify hands over events in the batches in which the kernel gives them, until the file is closed or ctx is done. The
// buffer bounds a batch, the kernel's queue (fs.inotify.max_queued_events) what waits.
func readInotify(ctx context.Context, f *os.File, out chan<- []inotifyEvent) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return nil
		} else if err != nil {
			return fmt.Errorf("watch cgroups: %w", err)
		}
		select {
		case out <- parseInotify(buf[:n]):
		case <-ctx.Done():
			return nil
		}
	}
}

// parseInotify reads whole events, which is what the kernel writes: it never splits one.
func parseInotify(buf []byte) []inotifyEvent {
	var events []inotifyEvent
	for len(buf) >= unix.SizeofInotifyEvent {
		e := inotifyEvent{watch: int(int32(binary.NativeEndian.Uint32(buf))), mask: binary.NativeEndian.Uint32(buf[4:])}
		size := int(binary.NativeEndian.Uint32(buf[12:])) // of the name with its NULs
		buf = buf[unix.SizeofInotifyEvent:]
		if size > len(buf) {
			break
		}
		name, _, _ := bytes.Cut(buf[:size], []byte{0})
		e.name = string(name)
		events = append(events, e)
		buf = buf[size:]
	}
	return events
}
