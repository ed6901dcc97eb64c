package tail

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// open reads path in a way.
func open(t testing.TB, path string, kind Kind) *File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	r := New(f, kind, "owner", 1<<20)
	t.Cleanup(func() { r.Close() })
	if _, err := r.Stat(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCompressed(t *testing.T) {
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "line %d %x\n", i, rand.Uint64())
	}
	plain := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(plain, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var zip bytes.Buffer
	w := gzip.NewWriter(&zip)
	_, _ = w.Write([]byte(text.String()))
	w.Close()
	whole := plain + ".gz"
	if err := os.WriteFile(whole, zip.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	buf := NewBuffer(4096)
	p, z := open(t, plain, Kind{}), open(t, whole, Kind{Compressed: true})
	want, _, _ := p.Identify(buf)
	if id, ok, err := z.Identify(buf); id != want || !ok || err != nil {
		t.Errorf("ID %x of the compressed file, %x of the plain one, %v", id, want, err)
	}
	if err := z.Measure(0); err != nil || z.state.Size != int64(text.Len()) {
		t.Errorf("measured %d of %d: %v", z.state.Size, text.Len(), err)
	}
	// It goes on where the plain one was left.
	lines := strings.SplitAfter(text.String(), "\n")
	offset := int64(len(strings.Join(lines[:10_000], "")))
	if err := z.Resume(offset, 0); err != nil {
		t.Fatal(err)
	}
	got := all(t, z, buf)
	if len(got) != 10_000 || got[0].Data+"\n" != lines[10_000] || got[9_999].End != int64(text.Len()) {
		t.Errorf("%d records", len(got))
	}
	if err := z.Resume(int64(text.Len())+1, 0); err == nil {
		t.Error("a place behind the end is taken")
	}

	half := plain + ".half.gz"
	if err := os.WriteFile(half, zip.Bytes()[:zip.Len()/2], 0o600); err != nil {
		t.Fatal(err)
	}
	h := open(t, half, Kind{Compressed: true})
	if id, ok, _ := h.Identify(buf); !ok || id != want {
		t.Error("half of a file has the same head")
	}
	if err := h.Measure(0); err == nil {
		t.Error("half of a file is taken for all of it")
	}
	if err := h.Measure(int64(text.Len())); err == nil {
		t.Error("half of a file is taken for a consumed one")
	}
	if err := z.Measure(int64(text.Len())); err != nil {
		t.Error(err)
	}
	bad := plain + ".bad.gz"
	if err := os.WriteFile(bad, []byte("this is no gzip file at all\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := open(t, bad, Kind{Compressed: true}).Identify(buf); err == nil {
		t.Error("any file is taken for a compressed one")
	}
}

func TestSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "saved")
	if err := os.WriteFile(path, []byte("header\nthree\nfour\nfi"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := open(t, path, Kind{Saved: true, Header: 7, Base: 8})
	buf := NewBuffer(16)
	if got := fmt.Sprint(all(t, r, buf)); got != "[{three 8 14 0 0} {four 14 19 0 0}]" {
		t.Errorf("got %s", got)
	}
	if rest, ok, err := r.Rest(buf); !ok || err != nil || string(rest.Data) != "fi" || rest.Offset != 19 {
		t.Errorf("rest %+v %v %v", rest, ok, err)
	}
	r = open(t, path, Kind{Saved: true, Header: 7, Base: 8})
	if err := r.Resume(14, 0); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(all(t, r, buf)); got != "[{four 14 19 0 0}]" {
		t.Errorf("got %s", got)
	}
}

func frame(payload string) []byte {
	n := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	return append(append(append([]byte(nil), n...), payload...), n...)
}

func TestPrefixed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	var text []byte
	var want []string
	for i := range 500 {
		p := strings.Repeat(fmt.Sprint(i, "\n"), 1+i%40)
		want = append(want, p)
		text = append(text, frame(p)...)
	}
	cut := len(text)
	text = append(text, frame("the last one")...)
	if err := os.WriteFile(path, text[:cut+7], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{16, 100, 64 << 10} {
		r := open(t, path, Kind{Framing: Prefixed})
		buf := NewBuffer(size)
		if id, ok, err := r.Identify(buf); !ok || err != nil || id != FileID("owner", []byte(want[0])) {
			t.Fatalf("%x %v %v", id, ok, err)
		}
		got := all(t, r, buf)
		if len(got) != len(want) {
			t.Fatalf("%d records of %d", len(got), len(want))
		}
		for i, g := range got {
			if g.Data != want[i] {
				t.Fatalf("record %d: %q, want %q", i, g.Data, want[i])
			}
		}
		if rest, ok, err := r.Rest(buf); !ok || err != nil || rest.Offset != int64(cut) || len(rest.Data) != 7 {
			t.Errorf("rest %+v", rest)
		}
	}
}

// What a crash of the writer left in between costs itself and nothing else.
// TestPrefixedGrows: a file that goes on after its first record was read is the
// same one, whatever the record's length; one that was truncated is not.
func TestPrefixedGrows(t *testing.T) {
	for _, n := range []int{1, 30, headBytes - 1, headBytes, headBytes + 1, headBytes + 2*word, 5000} {
		path := filepath.Join(t.TempDir(), "log")
		write := func(record string) {
			f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.Write(frame(record)); err != nil {
				t.Fatal(err)
			}
		}
		write(strings.Repeat("a", n))
		r := open(t, path, Kind{Framing: Prefixed})
		buf := NewBuffer(4096)
		if _, ok, err := r.Identify(buf); !ok || err != nil {
			t.Fatalf("first of %d bytes: %v", n, err)
		}
		write("second")
		if _, err := r.Stat(); err != nil {
			t.Errorf("first of %d bytes, a second one came: %v", n, err)
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		write(strings.Repeat("b", n))
		write("second and third")
		if _, err := r.Stat(); !errors.Is(err, ErrTruncated) {
			t.Errorf("first of %d bytes, truncated: %v", n, err)
		}
	}
}

func TestPrefixedDamage(t *testing.T) {
	for name, damage := range map[string][]byte{
		"torn": frame("torn by a crash")[:9], "zeros": make([]byte, 100), "text": []byte("no record at all, and long enough to be one"),
		"huge": {0xff, 0xff, 0xff, 0xff, 1, 2, 3},
	} {
		path := filepath.Join(t.TempDir(), "log")
		text := append(append(frame("before"), damage...), append(frame("behind"), frame("and on")...)...)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r := open(t, path, Kind{Framing: Prefixed})
		var good []string
		var bad int64
		err := r.Records(NewBuffer(16), func(rec Record) error {
			if rec.Torn {
				bad += rec.End - rec.Offset
			} else {
				good = append(good, string(rec.Data))
			}
			return nil
		})
		if err != nil || strings.Join(good, ",") != "before,behind,and on" || bad != int64(len(damage)) {
			t.Errorf("%s: %q, %d bytes are no records, want %d, %v", name, good, bad, len(damage), err)
		}
	}
}

func TestGuard(t *testing.T) {
	f, r := reader(t, 1<<20)
	write(t, f, "one\n"+strings.Repeat("x", 200)+"\nthree\n")
	if _, err := r.Stat(); err != nil {
		t.Fatal(err)
	}
	guard, err := Guard(f, 205)
	if err != nil || guard == 0 {
		t.Fatal(guard, err)
	}
	if err := r.Resume(205, guard); err != nil {
		t.Error(err)
	}
	if err := r.Resume(205, guard+1); err == nil {
		t.Error("another file's guard is taken")
	}
}

func FuzzPrefixed(f *testing.F) {
	f.Add(append(frame("a"), frame("bc")...), 16)
	f.Add([]byte{0, 0, 0, 1, 'x', 0, 0, 0, 2, 0, 0, 0, 0}, 5)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r := open(t, path, Kind{Framing: Prefixed})
		var at int64
		err := r.Records(NewBuffer(1+size&0xfff), func(rec Record) error {
			if rec.Offset != at || rec.End <= at {
				t.Fatalf("record at %d-%d, expected one at %d", rec.Offset, rec.End, at)
			}
			at = rec.End
			return nil
		})
		if err != nil || at > int64(len(text)) {
			t.Fatal(err, at)
		}
	})
}

func FuzzCompressed(f *testing.F) {
	var zip bytes.Buffer
	w := gzip.NewWriter(&zip)
	_, _ = w.Write([]byte("one\ntwo\n"))
	w.Close()
	f.Add(zip.Bytes())
	f.Add([]byte("no gzip"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "log.gz")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r := open(t, path, Kind{Compressed: true})
		buf := NewBuffer(64)
		_, _, _ = r.Identify(buf) // must not hang or panic
		if r.Measure(0) == nil {
			_ = r.Records(buf, func(Record) error { return nil })
		}
	})
}
