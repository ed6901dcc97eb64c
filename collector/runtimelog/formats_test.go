package runtimelog

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/coldscope/coldscope/internal/faas"
)

// metadata writes partial and partial_log_metadata.
func metadata(last bool) []byte {
	m := protowire.AppendTag(nil, metadataLast, protowire.VarintType)
	m = protowire.AppendVarint(m, protowire.EncodeBool(last))
	m = protowire.AppendTag(m, metadataID, protowire.BytesType)
	m = protowire.AppendString(m, "6f3a")
	m = protowire.AppendTag(m, metadataOrdinal, protowire.VarintType)
	m = protowire.AppendVarint(m, 1)
	b := protowire.AppendTag(nil, entryPartial, protowire.VarintType)
	b = protowire.AppendVarint(b, 1)
	b = protowire.AppendTag(b, entryMetadata, protowire.BytesType)
	return protowire.AppendBytes(b, m)
}

func TestLocal(t *testing.T) {
	unknown := protowire.AppendTag(nil, 9, protowire.Fixed64Type)
	unknown = protowire.AppendFixed64(unknown, 1)
	for name, test := range map[string]struct {
		in   []byte
		want Record
	}{
		"line":    {entry("stdout", at, "a\r\x00\xff"), Record{Time: at, Stream: faas.Stdout, Body: []byte("a\r\x00\xff")}},
		"empty":   {entry("stderr", at, ""), Record{Time: at, Stream: faas.Stderr, Body: []byte{}}},
		"piece":   {entry("stdout", at, "a", metadata(false)...), Record{Time: at, Stream: faas.Stdout, Body: []byte("a"), Partial: true}},
		"last":    {entry("stdout", at, "b", metadata(true)...), Record{Time: at, Stream: faas.Stdout, Body: []byte("b")}},
		"unknown": {entry("stdout", at, "c", unknown...), Record{Time: at, Stream: faas.Stdout, Body: []byte("c")}},
	} {
		got, ok, err := NewDecoder(Local).Decode(test.in, 0, 0)
		if err != nil || !ok || !cmp.Equal(got, test.want, records) {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff(test.want, got, records))
		}
	}
	whole := entry("stdout", at, "hello", metadata(false)...)
	for n := range whole { // cut short
		if rec, ok, err := NewDecoder(Local).Decode(whole[:n], 0, 0); err == nil && string(rec.Body) != "hello" && rec.Body != nil {
			t.Errorf("%d of %d bytes: %+v, %v", n, len(whole), rec, ok)
		}
	}
	wrong := protowire.AppendVarint(protowire.AppendTag(nil, entryLine, protowire.VarintType), 1)
	for _, in := range [][]byte{
		nil, []byte("text"), entry("other", at, "x"), entry("stdout", at, "x", wrong...),
		protowire.AppendString(protowire.AppendTag(nil, entrySource, protowire.BytesType), "stdout"), // no time
	} {
		if _, ok, err := NewDecoder(Local).Decode(in, 0, 0); ok || !errors.Is(err, ErrRecord) {
			t.Errorf("%q: %v, %v", in, ok, err)
		}
	}
}

func FuzzLocal(f *testing.F) {
	f.Add(entry("stdout", at, "hello", metadata(false)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, ok, err := NewDecoder(Local).Decode(data, 0, 0)
		if ok != (err == nil) || err != nil && !errors.Is(err, ErrRecord) {
			t.Fatalf("%v and %v", ok, err)
		}
		if ok && (!bytes.Contains(data, rec.Body) || rec.Stream == "") {
			t.Errorf("%+v", rec)
		}
	})
}

func TestPlain(t *testing.T) {
	read := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	tokyo := time.FixedZone("", 9*3600)
	day := func(h, m, s, ns int) time.Time { return time.Date(2026, 11, 23, h, m, s, ns, time.UTC) }
	for in, want := range map[string]time.Time{
		"2026-11-23T04:51:59.793563646Z hello":    at,
		"2026-11-23T05:51:59.793563646+01:00 x":   at,
		"2026-11-23 04:51:59.793563646+0000 x":    at,
		"[2026-11-23T04:51:59Z] x":                day(4, 51, 59, 0),
		"2026-11-23 04:51:59,123 INFO x":          day(4, 51, 59, 123e6),
		"2026-11-23 04:51:59.5":                   day(4, 51, 59, 5e8),
		"2026-11-23 04:51:59":                     day(4, 51, 59, 0),
		"2026-11-23 04:51:59, he said":            day(4, 51, 59, 0),
		"2026/11/23 04:51:59 package log":         day(4, 51, 59, 0),
		"I1123 04:51:59.793563 10004 x.go:1] msg": day(4, 51, 59, 793563e3),
		"E0101 00:00:01.000000 1 x.go:1] new":     time.Date(2027, 1, 1, 0, 0, 1, 0, time.UTC),
		"W0731 00:00:00.0 1 x.go:1]":              time.Date(2026, 7, 31, 0, 0, 0, 0, time.UTC),
		"":                                        {}, "hello": {}, "2026-13-23 04:51:59 x": {}, "2026-11-23_04:51:59": {}, "I9923 04:51:59.7 x": {}, "F0229 00:00:00.0 x": {},
		"2026-11-23T04:51": {}, "20261123T045159": {}, "\xff\x00\r": {},
	} {
		d := NewDecoder(Plain)
		d.SetTime(read)
		got, ok, err := d.Decode([]byte(in), 0, 0)
		guessed := want.IsZero()
		if guessed {
			want = read
		}
		if err != nil || !ok || !got.Time.Equal(want) || got.Guessed != guessed || string(got.Body) != in || got.Stream != faas.Stdout || got.Partial {
			t.Errorf("%q: %+v, %v; not %s", in, got, err, want)
		}
	}
	d := NewDecoder(Plain)
	d.SetTime(read)
	d.Plain(PlainOptions{Zone: tokyo})
	if rec, _, _ := d.Decode([]byte("2026-11-23 13:51:59"), 0, 0); !rec.Time.Equal(day(4, 51, 59, 0)) {
		t.Error(rec.Time)
	}
	if rec, _, _ := d.Decode([]byte("2026-11-23T04:51:59Z"), 0, 0); !rec.Time.Equal(day(4, 51, 59, 0)) {
		t.Error(rec.Time)
	}
	d.Plain(PlainOptions{IgnoreTimes: true})
	if rec, _, _ := d.Decode([]byte("2026-11-23 04:51:59"), 0, 0); !rec.Time.Equal(read) || !rec.Guessed {
		t.Error(rec.Time)
	}
	if rec, _, _ := d.Decode([]byte("abcdef"), 7, 3); rec.Cut != 7 || rec.CutAt != 3 {
		t.Errorf("%+v", rec)
	}
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte("2026-11-23 04:51:59,123 INFO x"))
	f.Add([]byte("[2026-11-23T04:51:59.1+01:00] x"))
	f.Add([]byte("I1123 04:51:59.793563 10004 x.go:1] msg"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := NewDecoder(Plain)
		d.SetTime(at)
		first, ok, err := d.Decode(data, 0, 0)
		if !ok || err != nil || !bytes.Equal(first.Body, data) {
			t.Fatalf("%+v, %v, %v", first, ok, err)
		}
		d.SetTime(at.Add(100 * 24 * time.Hour)) // read again later
		if again, _, _ := d.Decode(data, 0, 0); !first.Guessed && !again.Time.Equal(first.Time) && !glogHeader(bytes.TrimPrefix(data, []byte("["))) {
			t.Errorf("%q is of %s, and then of %s", data, first.Time, again.Time)
		}
	})
}
