// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// maxPackObjects bounds the objects of one transfer: their index alone takes about 100 bytes each.
const maxPackObjects = 5_000_000

// receive adds the pack that a server sends. It is spooled and measured first, because an object of a few bytes may claim, and
// inflate to, more than fits in memory, and git's parser would do as it is told. Nothing is added unless all is well.
func (c *clone) receive(pack io.Reader) error {
	spool, err := os.CreateTemp(c.path, "tmp_receive_")
	if err != nil {
		return fmt.Errorf("spool transfer: %w", err)
	}
	defer os.Remove(spool.Name())
	defer spool.Close()
	n, err := io.Copy(spool, io.LimitReader(pack, c.lim.Transfer+1))
	switch {
	case err != nil:
		return fmt.Errorf("transfer: %w", err)
	case n > c.lim.Transfer:
		return &limitError{fmt.Sprintf("sends more than %d bytes", c.lim.Transfer)}
	}
	objects, err := measure(spool, c.lim)
	if err != nil || objects == 0 {
		return err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("spool transfer: %w", err)
	}
	return c.addPack(spool)
}

func (c *clone) addPack(pack io.Reader) error {
	w, err := c.sto.PackfileWriter()
	if err != nil {
		return fmt.Errorf("write to clone %s: %w", c.path, err)
	}
	_, err = io.Copy(w, pack)
	if err = errors.Join(err, w.Close()); err != nil {
		c.sweep()
		return fmt.Errorf("write to clone %s: %w", c.path, err)
	}
	return nil
}

// limitError says that a remote sends more than is taken.
type limitError struct{ msg string }

func (e *limitError) Error() string { return e.msg }

// measure reads a pack and returns how many objects it holds. What they take unpacked must be within the limits.
func measure(pack io.ReadSeeker, lim Limits) (int, error) {
	if _, err := pack.Seek(0, io.SeekStart); err != nil {
		return 0, fmt.Errorf("spool transfer: %w", err)
	}
	s := packfile.NewScanner(pack)
	_, objects, err := s.Header()
	if err != nil {
		return 0, fmt.Errorf("transfer is no pack: %w", err)
	}
	if objects > maxPackObjects {
		return 0, &limitError{fmt.Sprintf("sends %d objects; at most %d are taken", objects, maxPackObjects)}
	}
	var total int64
	for range objects {
		h, err := s.NextObjectHeader()
		if err != nil {
			return 0, fmt.Errorf("transfer is damaged: %w", err)
		}
		var begin prefix
		if _, _, err := s.NextObject(&begin); err != nil {
			return 0, fmt.Errorf("transfer is damaged: %w", err)
		}
		size := h.Length
		if h.Type == plumbing.OFSDeltaObject || h.Type == plumbing.REFDeltaObject {
			size = max(size, begin.deltaTarget())
		}
		if size < 0 || size > lim.Object {
			return 0, &limitError{fmt.Sprintf("sends an object of %d bytes; at most %d are taken", size, lim.Object)}
		}
		if total += size; total > lim.Unpacked {
			return 0, &limitError{fmt.Sprintf("sends objects of more than %d bytes", lim.Unpacked)}
		}
	}
	return int(objects), nil
}

// prefix keeps the first bytes of what is written to it: the two sizes that a delta begins with.
type prefix struct {
	buf [2 * binary.MaxVarintLen64]byte
	n   int
}

func (p *prefix) Write(data []byte) (int, error) {
	p.n += copy(p.buf[p.n:], data)
	return len(data), nil
}

// deltaTarget returns the size of what a delta makes, in bytes: the second number of it (gitformat-pack, "Deltified representation").
// Git's numbers are little-endian groups of seven bits, as in package binary.
func (p *prefix) deltaTarget() int64 {
	_, n := binary.Uvarint(p.buf[:p.n])
	if n <= 0 {
		return -1
	}
	target, n := binary.Uvarint(p.buf[n:p.n])
	if n <= 0 || target > 1<<62 {
		return -1
	}
	return int64(target)
}
