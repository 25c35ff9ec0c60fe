// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
)

// entry is one object of a pack that is made by hand, with the length that it claims.
type entry struct {
	kind   byte // gitformat-pack: 1 commit, 2 tree, 3 blob, 4 tag, 6 delta by offset, 7 delta by name
	claims uint64
	data   []byte
}

func makePack(count uint32, entries ...entry) []byte {
	var b bytes.Buffer
	b.WriteString("PACK")
	b.Write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 2), count))
	for _, e := range entries {
		first, rest := e.kind<<4|byte(e.claims&15), e.claims>>4
		for rest > 0 {
			b.WriteByte(first | 0x80)
			first, rest = byte(rest&0x7f), rest>>7
		}
		b.WriteByte(first)
		if e.kind == 7 {
			b.Write(make([]byte, 20))
		}
		z := zlib.NewWriter(&b)
		z.Write(e.data)
		z.Close()
	}
	sum := sha1.Sum(b.Bytes())
	return append(b.Bytes(), sum[:]...)
}

// delta begins like a delta that makes an object of target bytes.
func delta(target uint64) []byte {
	return append(binary.AppendUvarint(binary.AppendUvarint(nil, 10), target), 1, 'x')
}

func TestPacksThatAreRefused(t *testing.T) {
	lim := Config{Limits: Limits{Object: 1 << 20, Unpacked: 3 << 20}}.withDefaults().Limits
	mega := bytes.Repeat([]byte{'x'}, 1<<20)
	big := delta(1 << 40)
	tests := map[string]struct {
		pack []byte
		want string
	}{
		"empty":             {nil, "no pack"},
		"other":             {[]byte("HTTP/1.1 200 OK, this is no pack"), "no pack"},
		"too many objects":  {makePack(1 << 31), "sends 2147483648 objects"},
		"fewer than told":   {makePack(2, entry{3, 1, []byte("x")}), "damaged"},
		"claims too much":   {makePack(1, entry{3, 1 << 40, []byte("x")}), "an object of 1099511627776 bytes"},
		"claims too little": {makePack(1, entry{3, 1, mega}), "damaged"},
		"delta of a lot":    {makePack(1, entry{7, uint64(len(big)), big}), "an object of 1099511627776 bytes"},
		"all in all":        {makePack(4, entry{3, 1 << 20, mega}, entry{3, 1 << 20, mega}, entry{3, 1 << 20, mega}, entry{3, 1 << 20, mega}), "objects of more than 3145728 bytes"},
		"delta of nothing":  {makePack(1, entry{7, 0, nil}), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := openClone(filepath.Join(t.TempDir(), "clone.git"), lim)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			err = c.receive(bytes.NewReader(test.pack))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v; want one that says %q", err, test.want)
			}
			if n := c.packs(); n != 0 {
				t.Errorf("%d packs were added", n)
			}
		})
	}
}

func TestPackIsAdded(t *testing.T) {
	c, err := openClone(filepath.Join(t.TempDir(), "clone.git"), Config{}.withDefaults().Limits)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.receive(bytes.NewReader(makePack(0))); err != nil || c.packs() != 0 {
		t.Errorf("a pack of nothing: %v, %d packs; want neither", err, c.packs())
	}
	if err := c.receive(bytes.NewReader(makePack(1, entry{3, 5, []byte("hello")}))); err != nil {
		t.Fatal(err)
	}
	h := plumbing.ComputeHash(plumbing.BlobObject, []byte("hello"))
	if _, err := readObject(c.sto, plumbing.BlobObject, h, 10); err != nil {
		t.Error(err)
	}
	if _, err := readObject(c.sto, plumbing.BlobObject, h, 4); err == nil || errors.Is(err, errCorrupt) {
		t.Errorf("error is %v; want the limit", err)
	}
	if _, err := readObject(c.sto, plumbing.TreeObject, h, 10); !errors.Is(err, errCorrupt) {
		t.Errorf("error is %v; want the wrong kind", err)
	}
}

// Whatever a server sends, measuring it ends, keeps to its limits, and what it lets pass git's own parser bears.
func FuzzReceive(f *testing.F) {
	f.Add(makePack(0))
	f.Add(makePack(1, entry{3, 5, []byte("hello")}))
	f.Add(makePack(2, entry{3, 5, []byte("hello")}, entry{7, 5, delta(9)}))
	f.Add(makePack(1, entry{6, 1 << 50, []byte("x")}))
	lim := Config{Limits: Limits{Transfer: 1 << 16, Object: 1 << 16, Unpacked: 1 << 18}}.withDefaults().Limits
	c, err := openClone(filepath.Join(f.TempDir(), "clone.git"), lim)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.close)
	f.Fuzz(func(t *testing.T, pack []byte) {
		err := c.receive(bytes.NewReader(pack))
		if err == nil && !bytes.HasPrefix(pack, []byte("PACK")) {
			t.Error("what is no pack was taken")
		}
	})
}
