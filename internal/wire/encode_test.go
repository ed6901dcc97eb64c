package wire_test

import (
	"bytes"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/internal/wire"
)

// TestEncodeAsLoki: what is appended piece by piece is, byte for byte, what
// Loki's own types marshal, and is read back by them.
func TestEncodeAsLoki(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want push.PushRequest
		var got []byte
		for range rapid.IntRange(0, 4).Draw(t, "streams") {
			file := rapid.Uint64().Draw(t, "file")
			s := push.Stream{Labels: rapid.String().Draw(t, "labels")}
			var entries []byte
			for range rapid.IntRange(0, 5).Draw(t, "entries") {
				at := time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "sec"), rapid.Int64Range(0, 999_999_999).Draw(t, "nsec")).UTC()
				line := rapid.SliceOf(rapid.Byte()).Draw(t, "line")
				if rapid.Bool().Draw(t, "long") {
					line = bytes.Repeat(append(line, 'x'), 300)
				}
				offset := rapid.Int64Range(0, math.MaxInt64).Draw(t, "offset")
				truncated := rapid.Int64Range(0, 3).Draw(t, "truncated")
				e := push.Entry{Timestamp: at, Line: string(line), StructuredMetadata: wire.Position(file, uint64(offset))}
				if truncated > 0 {
					e.StructuredMetadata = append(e.StructuredMetadata, push.LabelAdapter{Name: wire.MetaTruncated, Value: strconv.FormatInt(truncated, 10)})
				}
				s.Entries = append(s.Entries, e)
				before := len(entries)
				entries = wire.AppendEntry(entries, at, line, wire.FileMetadata(file), offset, truncated)
				if n := len(entries) - before; n > len(line)+wire.EntryOverhead {
					t.Fatalf("%d bytes for a line of %d", n, len(line))
				}
			}
			want.Streams = append(want.Streams, s)
			before := len(got)
			got = wire.AppendStream(got, wire.StreamHead(s.Labels), entries)
			if n := wire.StreamSize(wire.StreamHead(s.Labels), len(entries)); n != len(got)-before {
				t.Fatalf("StreamSize says %d, but there are %d", n, len(got)-before)
			}
		}
		theirs, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, theirs) {
			t.Fatalf("got  %x\nwant %x", got, theirs)
		}
		back, err := wire.DecodeRaw(got)
		if err != nil {
			t.Fatal(err)
		}
		clear(got) // nothing of it is kept
		if diff := cmp.Diff(&want, back); diff != "" {
			t.Fatal(diff)
		}
	})
}

// Whatever time a line has, the batch that it is in can be read.
func TestEncodeAnyTime(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(math.MinInt64, 0), time.Unix(math.MaxInt64, 5), time.Unix(253402300800, 0), time.Unix(0, 0), time.Unix(-1, 1)} {
		raw := wire.AppendStream(nil, wire.StreamHead("{}"), wire.AppendEntry(nil, at, []byte("x"), wire.FileMetadata(1), 7, 0))
		req, err := wire.DecodeRaw(raw)
		if err != nil {
			t.Errorf("%v: %v", at, err)
			continue
		}
		if got := req.Streams[0].Entries[0].Timestamp; at.Year() >= 1 && at.Year() <= 9999 && at.Unix() >= -62135596800 && at.Unix() < 253402300800 && !got.Equal(at) {
			t.Errorf("%v became %v", at, got)
		}
	}
}

func BenchmarkAppendEntry(b *testing.B) {
	line, file := bytes.Repeat([]byte("x"), 200), wire.FileMetadata(7)
	buf := make([]byte, 0, 64<<10)
	b.SetBytes(200)
	b.ReportAllocs()
	offset := int64(1 << 20)
	for b.Loop() {
		if len(buf) > 63<<10 {
			buf = buf[:0]
		}
		buf = wire.AppendEntry(buf, when, line, file, offset, 0)
		offset += 200
	}
}
