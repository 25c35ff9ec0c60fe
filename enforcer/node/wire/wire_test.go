// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema/bundle"
)

func TestRoundTrip(t *testing.T) {
	b := bundle.New(map[string][]byte{"node/a.json": {0, 0xff, '\n'}}, bundle.Envelope{Subject: "a <b> & c"})
	reqs := []Request{
		{Apply: &Apply{Manifest: b.Manifest}}, {Put: &Put{Files: map[string][]byte{"node/a.json": []byte("{}\n")}}}, {Status: &Empty{}}, {Watch: &Empty{}}, {Unload: &Empty{}},
	}
	var buf bytes.Buffer
	enc := NewEncoder(&buf)
	for _, r := range reqs {
		if err := enc.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if n := bytes.Count(buf.Bytes(), []byte("\n")); n != len(reqs) {
		t.Fatalf("%d lines for %d messages", n, len(reqs))
	}
	dec := NewDecoder(&buf)
	for _, want := range reqs {
		var got Request
		if err := dec.Decode(&got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	if err := dec.Decode(&Request{}); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestDecodeBadInput(t *testing.T) {
	tests := map[string]string{
		"not JSON":       "apply\n",
		"unknown field":  `{"drop":{}}` + "\n",
		"wrong type":     `{"apply":[]}` + "\n",
		"truncated":      `{"apply":{"manifest":`,
		"unknown nested": `{"apply":{"manifest":{"format":1,"more":2}}}` + "\n",
	}
	for name, in := range tests {
		if err := NewDecoder(strings.NewReader(in)).Decode(&Request{}); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, want an error", name, err)
		}
	}
}

// endless is a peer that never sends a newline.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.n += int64(len(p))
	return len(p), nil
}

func TestDecodeIsBounded(t *testing.T) {
	var peer endless
	err := NewDecoder(&peer).Decode(&Request{})
	if err == nil || !strings.Contains(err.Error(), "more than") {
		t.Fatalf("Decode: %v", err)
	}
	if peer.n > MaxMessage+1<<20 {
		t.Errorf("read %d bytes of a message without end; the limit is %d", peer.n, MaxMessage)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"apply":{"manifest":{"format":1,"digest":"","files":[]}}}` + "\n" + `{"status":{}}` + "\n"))
	f.Add([]byte(`{"put":{"files":{"node/a.json":"YQ=="}}}`))
	f.Add([]byte("\n\n{}\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dec := NewDecoder(bytes.NewReader(data))
		for range len(data) + 2 { // each message takes a byte at least
			var got Request
			err := dec.Decode(&got)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				return
			}
			var buf bytes.Buffer
			if err := NewEncoder(&buf).Encode(got); err != nil {
				t.Fatalf("what was decoded can't be encoded: %v", err)
			}
			var again Request
			if err := NewDecoder(&buf).Decode(&again); err != nil {
				t.Fatalf("what was encoded can't be decoded: %v", err)
			}
		}
		t.Fatal("the decoder does not end")
	})
}
