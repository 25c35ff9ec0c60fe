// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// storeFormat is the version of the file that this package reads and writes:
//
//	{"format":1,"dropped":0,"observations":[
//	{…},
//	{…}]}
//
// The fields stand in this order.
const storeFormat = 1

// errDamaged is wrapped by what is wrong with the content of a file.
var errDamaged = errors.New("evidence is damaged")

// Read reads a store's file while another process may write it. The error wraps [fs.ErrNotExist] when nothing was saved yet.
func Read(path string, cfg StoreConfig) (Snapshot, error) {
	snap, err := readFile(path, cfg.withDefaults())
	if err != nil {
		return Snapshot{}, fmt.Errorf("read evidence: %w", err)
	}
	return snap, nil
}

func readFile(path string, cfg StoreConfig) (Snapshot, error) {
	f, err := os.Open(path)
	if err != nil {
		return Snapshot{}, err
	}
	defer f.Close()
	snap, err := decodeStore(f, cfg)
	var io *fs.PathError
	if errors.As(err, &io) { // the file can't be read, which says nothing of what it holds
		return Snapshot{}, err
	} else if err != nil {
		return Snapshot{}, fmt.Errorf("%w: %q: %w", errDamaged, path, err)
	}
	return snap, nil
}

// limitReader fails after n bytes, where io.LimitReader would make a long file look like a short one.
type limitReader struct {
	r io.Reader
	n int64
}

func (l *limitReader) Read(p []byte) (int, error) {
	if l.n <= 0 {
		return 0, errors.New("the file is larger than the store's limit")
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.n)])
	l.n -= int64(n)
	return n, err
}

// decodeStore reads observations one by one, so that what it takes is bounded by the limits and not by what the file claims.
func decodeStore(r io.Reader, cfg StoreConfig) (Snapshot, error) {
	d := storeDecoder{json.NewDecoder(&limitReader{r, cfg.MaxBytes + 1<<20})}
	d.DisallowUnknownFields()
	var format int
	var snap Snapshot
	err := errors.Join(d.want(json.Delim('{')), d.field("format", &format))
	if err == nil && format != storeFormat {
		return snap, fmt.Errorf("it has format %d; this version reads %d", format, storeFormat)
	}
	if err := errors.Join(err, d.field("dropped", &snap.Dropped), d.want("observations"), d.want(json.Delim('['))); err != nil {
		return snap, err
	}
	seen := map[string]bool{}
	for d.More() {
		var o Observation
		if err := d.Decode(&o); err != nil {
			return snap, err
		}
		if err := o.check(); err != nil {
			return snap, fmt.Errorf("observation %d %w", len(snap.Observations), err)
		}
		if seen[o.ID] || len(seen) >= cfg.MaxObservations {
			return snap, fmt.Errorf("observation %d is a repetition, or beyond the limit of %d", len(seen), cfg.MaxObservations)
		}
		seen[o.ID] = true
		snap.Observations = append(snap.Observations, o)
	}
	return snap, errors.Join(d.want(json.Delim(']')), d.want(json.Delim('}')), d.end())
}

type storeDecoder struct{ *json.Decoder }

func (d storeDecoder) want(want json.Token) error {
	got, err := d.Token()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("offset %d: %v where %v must stand", d.InputOffset(), got, want)
	}
	return nil
}

func (d storeDecoder) field(name string, v any) error {
	if err := d.want(name); err != nil {
		return err
	}
	return d.Decode(v)
}

func (d storeDecoder) end() error {
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("offset %d: more than one JSON value", d.InputOffset())
	}
	return nil
}

// encodeStore writes what decodeStore reads.
func encodeStore(w io.Writer, snap Snapshot) error {
	b := bufio.NewWriter(w)
	b.WriteString(`{"format":` + strconv.Itoa(storeFormat) + `,"dropped":` + strconv.FormatUint(snap.Dropped, 10) + `,"observations":[`)
	for i, o := range snap.Observations {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		data, err := json.Marshal(o)
		if err != nil {
			return err
		}
		b.Write(data)
	}
	b.WriteString("]}\n")
	return b.Flush() // a bufio.Writer keeps its first error
}

// writeFile replaces the file as a whole: a temporary file beside it, synced, renamed, and the folder synced.
func writeFile(path string, snap Snapshot) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".tmp-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	err = errors.Join(encodeStore(f, snap), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
