package tail

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type record struct {
	Data        string
	Offset, End int64
	Cut         int64
	CutAt       int
}

// reader opens path for reading beside the writer f.
func reader(t testing.TB, limit int) (f *os.File, r *File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	r = New(in, Kind{}, "owner", limit)
	t.Cleanup(func() { f.Close(); r.Close() })
	return f, r
}

func write(t testing.TB, f *os.File, s string) {
	t.Helper()
	if _, err := f.WriteString(s); err != nil {
		t.Fatal(err)
	}
}

func all(t testing.TB, r *File, buf *Buffer) []record {
	t.Helper()
	var out []record
	if _, err := r.Stat(); err != nil {
		t.Fatal(err)
	}
	err := r.Records(buf, func(rec Record) error {
		out = append(out, record{string(rec.Data), rec.Offset, rec.End, rec.Cut, rec.CutAt})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRecords(t *testing.T) {
	f, r := reader(t, 1<<20)
	buf := NewBuffer(16)
	if _, ok, err := r.Identify(buf); ok || err != nil {
		t.Fatalf("an empty file has an ID: %v", err)
	}
	write(t, f, "one, without its")
	if _, ok, err := r.Identify(buf); ok || err != nil {
		t.Fatalf("half a record has an ID: %v", err)
	}
	if got := all(t, r, buf); len(got) != 0 {
		t.Fatalf("half a record: %v", got)
	}
	write(t, f, " end\n\nthree\nfo")
	id, ok, err := r.Identify(buf)
	if !ok || err != nil || id != FileID("owner", []byte("one, without its end\n")) {
		t.Fatalf("ID %x, %v, %v", id, ok, err)
	}
	if got := fmt.Sprint(all(t, r, buf)); got != "[{one, without its end 0 21 0 0} { 21 22 0 0} {three 22 28 0 0}]" {
		t.Errorf("got %s", got)
	}
	write(t, f, "ur\n")
	if got := fmt.Sprint(all(t, r, buf)); got != "[{four 28 33 0 0}]" {
		t.Errorf("got %s", got)
	}
}

func TestRefusedRecordComesAgain(t *testing.T) {
	f, r := reader(t, 1<<20)
	write(t, f, "one\ntwo\n")
	buf := NewBuffer(64)
	stop := errors.New("not now")
	if _, err := r.Stat(); err != nil {
		t.Fatal(err)
	}
	err := r.Records(buf, func(rec Record) error {
		if string(rec.Data) == "two" {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if got := fmt.Sprint(all(t, r, buf)); got != "[{two 4 8 0 0}]" {
		t.Errorf("got %s", got)
	}
}

// Whatever the sizes of buffer, limit and writes are, records come whole, or
// cut by the rule.
func TestFraming(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.IntRange(4*keepEnd, 3*4*keepEnd).Draw(rt, "limit")
		lines := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 50), rapid.IntRange(limit-10, limit+10), rapid.IntRange(0, 100_000)), 1, 20).Draw(rt, "lines")
		buf := NewBuffer(rapid.IntRange(1, 20_000).Draw(rt, "buffer"))
		var text []byte
		var want []record
		for i, n := range lines {
			line := strings.Repeat(string(rune('a'+i)), n)
			if n > 10 {
				line = "<" + line[2:] + ">"
			}
			rec := record{Data: line, Offset: int64(len(text)), End: int64(len(text) + n + 1)}
			if n > limit {
				rec.Cut, rec.CutAt = int64(n-limit), limit-keepEnd
				rec.Data = line[:rec.CutAt] + line[n-keepEnd:]
			}
			want = append(want, rec)
			text = append(append(text, line...), '\n')
		}
		f, r := reader(t, limit)
		defer r.Close()
		defer f.Close()
		var got []record
		identified := false
		for len(text) > 0 {
			n := rapid.IntRange(1, len(text)).Draw(rt, "write")
			write(t, f, string(text[:n]))
			text = text[n:]
			if !identified {
				var err error
				if _, identified, err = r.Identify(buf); err != nil {
					rt.Fatal(err)
				}
			}
			got = append(got, all(t, r, buf)...)
			if _, err := r.Stat(); err != nil {
				rt.Fatal(err)
			}
		}
		if len(got) != len(want) || !identified {
			rt.Fatalf("%d records, want %d", len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				rt.Fatalf("record %d: %.60q… at %d to %d cut %d, want %.60q… at %d to %d cut %d", i, got[i].Data, got[i].Offset, got[i].End, got[i].Cut,
					want[i].Data, want[i].Offset, want[i].End, want[i].Cut)
			}
		}
		if buf.Len() > max(20_000, limit+1) {
			rt.Fatalf("buffer has grown to %d with limit %d", buf.Len(), limit)
		}
	})
}

// A record of 10 MB does not take 10 MB, and is not searched from its
// beginning again while it grows.
func TestLongRecord(t *testing.T) {
	const limit = 64 << 10
	f, r := reader(t, limit)
	buf := NewBuffer(4096)
	write(t, f, "first\n")
	chunk := strings.Repeat("x", 1<<20)
	for range 10 {
		write(t, f, chunk)
		for _, rec := range all(t, r, buf) {
			if rec.Data != "first" {
				t.Fatal("a record without its end")
			}
		}
	}
	if size := r.scanned; size != 6+10<<20 {
		t.Errorf("searched up to %d", size)
	}
	write(t, f, "END\nnext\n")
	got := all(t, r, buf)
	if len(got) != 2 || got[0].Cut != 10<<20+3-limit || !strings.HasSuffix(got[0].Data, "xEND") || len(got[0].Data) != limit || got[1].Data != "next" {
		t.Fatalf("got %d records", len(got))
	}
	if buf.Len() > limit+1 {
		t.Errorf("the buffer took %d", buf.Len())
	}
}

func TestFileID(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 5000)
	long[len(long)-1] = '\n'
	other := bytes.Clone(long)
	other[4990] = 'y' // Docker's time is at the end
	ids := map[uint64]string{}
	for name, id := range map[string]uint64{
		"short": FileID("o", []byte("a\n")), "other owner": FileID("p", []byte("a\n")),
		"other line": FileID("o", []byte("b\n")), "long": FileID("o", long), "long, other end": FileID("o", other),
	} {
		if twin, ok := ids[id]; ok {
			t.Errorf("%s and %s have one ID", name, twin)
		}
		ids[id] = name
	}
	// The IDs are on disk and in the store.
	if id := FileID("uid", []byte("2026-11-23T04:51:59Z stdout F x\n")); id != 0xb3d5fc3e31f35209 {
		t.Errorf("the rule has changed: %#x", id)
	}
}

func TestResume(t *testing.T) {
	f, r := reader(t, 1<<20)
	write(t, f, "one\ntwo\nthree\n")
	if _, err := r.Stat(); err != nil {
		t.Fatal(err)
	}
	buf := NewBuffer(64)
	if err := r.Resume(5, 0); err == nil {
		t.Error("the middle of a record is taken")
	}
	if err := r.Resume(100, 0); err == nil {
		t.Error("a place behind the end is taken")
	}
	if err := r.Resume(8, 0); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(all(t, r, buf)); got != "[{three 8 14 0 0}]" {
		t.Errorf("got %s", got)
	}
}

func TestTruncation(t *testing.T) {
	for _, again := range []string{"n\n", "new content that is longer than the old one\n"} {
		f, r := reader(t, 1<<20)
		buf := NewBuffer(64)
		write(t, f, "old content\nmore\n")
		if _, err := r.Stat(); err != nil {
			t.Fatal(err)
		}
		old, _, _ := r.Identify(buf)
		all(t, r, buf)
		if _, err := r.Stat(); err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(again), 0); err != nil {
			t.Fatal(err)
		}
		_, err := r.Stat()
		if err == nil { // it has grown again
			err = r.Records(buf, func(Record) error { t.Error("a record of the new content"); return nil })
		}
		if !errors.Is(err, ErrTruncated) {
			t.Fatalf("%q: %v", again, err)
		}
		r.Restart()
		if id, ok, _ := r.Identify(buf); !ok || id == old {
			t.Error("the new content has the old ID")
		}
		if got := all(t, r, buf); len(got) != 1 || got[0].Data+"\n" != again {
			t.Errorf("got %v", got)
		}
	}
}

func TestRest(t *testing.T) {
	const limit = 4 * keepEnd
	for _, n := range []int{0, 3, limit, limit + 1, 10 * limit} {
		f, r := reader(t, limit)
		buf := NewBuffer(64)
		write(t, f, "whole\n"+strings.Repeat("r", n))
		if _, err := r.Stat(); err != nil {
			t.Fatal(err)
		}
		all(t, r, buf)
		rest, ok, err := r.Rest(buf)
		if err != nil || ok != (n > 0) {
			t.Fatalf("%d: %v, %v", n, ok, err)
		}
		if ok && (len(rest.Data) != min(n, limit) || rest.Cut != int64(max(0, n-limit)) || rest.End != int64(6+n) || !rest.Torn) {
			t.Errorf("%d: %d bytes, cut %d, end %d", n, len(rest.Data), rest.Cut, rest.End)
		}
	}
}

func TestDeleted(t *testing.T) {
	f, r := reader(t, 1<<20)
	buf := NewBuffer(64)
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	write(t, f, "after the end\n")
	state, err := r.Stat()
	if err != nil || !state.Deleted {
		t.Fatalf("%+v, %v", state, err)
	}
	if got := all(t, r, buf); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func BenchmarkRecords(b *testing.B) {
	f, r := reader(b, 1<<20)
	line := strings.Repeat("x", 199) + "\n"
	const lines = 10_000
	write(b, f, strings.Repeat(line, lines))
	buf := NewBuffer(128 << 10)
	if _, err := r.Stat(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(200)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n%lines == 0 {
			r.Skip(0)
			if err := r.Records(buf, func(Record) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
		n++
	}
}
