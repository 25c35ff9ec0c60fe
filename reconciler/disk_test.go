// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"crypto/rand"
	"encoding/hex"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/writ-sec/writ/schema/testneed"
)

// A clone on a disk that fills up keeps what is in force, says so, and goes on when there is room.
func TestRootDiskIsFull(t *testing.T) {
	testneed.Root(t)
	eachClone(t, func(t *testing.T, o *origin, url string, change func(*Config)) {
		disk := t.TempDir()
		if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=512k"); err != nil {
			testneed.Skip(t, "needs to mount a tmpfs: "+err.Error())
		}
		t.Cleanup(func() {
			if err := unix.Unmount(disk, 0); err != nil {
				t.Errorf("unmount %s: %v", disk, err)
			}
		})
		o.push(shop, "first")
		b := newBench(t, url, func(c *Config) { apply(change, c); c.Dir = filepath.Join(disk, "state") })
		t.Cleanup(func() { b.r.Close() }) // before the unmount
		good := b.once()
		noise := make([]byte, 1<<20)
		rand.Read(noise)
		next := o.push(shop.with(files{"noise.cue": "package policy\n\n// " + hex.EncodeToString(noise) + "\n"}), "large")
		for range 3 { // nothing piles up
			b.fails(good.Digest, "no space left on device", "make room")
		}
		if err := unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
			t.Fatal(err)
		}
		if got := b.once(); got.InForce != next.String() {
			t.Errorf("in force is %s; want %s", got.InForce, next)
		}
	})
}
