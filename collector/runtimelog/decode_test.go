package runtimelog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coldscope/coldscope/internal/durable"
	"github.com/coldscope/coldscope/internal/faas"
)

// records compares Records by what others see.
var records = cmpopts.IgnoreUnexported(Record{})

var at = time.Date(2026, 11, 23, 4, 51, 59, 793563646, time.UTC)

func TestCRI(t *testing.T) {
	for in, want := range map[string]Record{
		"2026-11-23T04:51:59.793563646Z stdout F hello":       {Time: at, Stream: faas.Stdout, Body: []byte("hello")},
		"2026-11-23T04:51:59.793563646Z stderr P  two  ":      {Time: at, Stream: faas.Stderr, Body: []byte(" two  "), Partial: true},
		"2026-11-23T04:51:59.793563646Z stdout F ":            {Time: at, Stream: faas.Stdout, Body: []byte{}},
		"2026-11-23T04:51:59.793563646Z stdout F":             {Time: at, Stream: faas.Stdout},
		"2026-11-23T05:51:59.793563646+01:00 stdout F:x:y hi": {Time: at, Stream: faas.Stdout, Body: []byte("hi")},
		"2026-11-23T04:51:59Z stdout F \x00\xff\r":            {Time: at.Truncate(time.Second), Stream: faas.Stdout, Body: []byte("\x00\xff\r")},
		"2026-11-23T04:51:59.79Z stdout F x":                  {Time: at.Truncate(10 * time.Millisecond), Stream: faas.Stdout, Body: []byte("x")},
	} {
		got, ok, err := NewDecoder(CRI).Decode([]byte(in), 0, 0)
		if err != nil || !ok || !cmp.Equal(got, want, records) {
			t.Errorf("%q: %v\n%s", in, err, cmp.Diff(want, got, records))
		}
	}
	for _, in := range []string{
		"", "x", "2026-11-23T04:51:59Z", "2026-11-23T04:51:59Z stdout", "2026-11-23T04:51:59Z stdout X y",
		"2026-11-23T04:51:59Z other F y", "2026-11-23T04:51:59Z stdout FF y", "2026-11-23T04:51:59.Z stdout F y",
		"2026-13-23T04:51:59Z stdout F y", "2026-11-23T04:51:59 stdout F y", "2026-11-23T04:51:59+1:00 stdout F y",
	} {
		if _, ok, err := NewDecoder(CRI).Decode([]byte(in), 0, 0); ok || !errors.Is(err, ErrRecord) {
			t.Errorf("%q: %v, %v", in, ok, err)
		}
	}
}

func TestJSONFile(t *testing.T) {
	const stamp = `"time":"2026-11-23T04:51:59.793563646Z"`
	for in, want := range map[string]Record{
		`{"log":"hello\n","stream":"stdout",` + stamp + `}`:                                   {Time: at, Stream: faas.Stdout, Body: []byte("hello")},
		`{"log":"piece","stream":"stderr",` + stamp + `}`:                                     {Time: at, Stream: faas.Stderr, Body: []byte("piece"), Partial: true},
		`{"log":"\n","stream":"stdout",` + stamp + `}`:                                        {Time: at, Stream: faas.Stdout, Body: []byte{}},
		`{"log":"a\"b\\c\/\b\f\r\t\u00e9\u0000\n","stream":"stdout",` + stamp + `}`:           {Time: at, Stream: faas.Stdout, Body: []byte("a\"b\\c/\b\f\r\té\x00")},
		`{"log":"\ud83d\ude00 \ud83d \ude00 \ufffd\n","stream":"stdout",` + stamp + `}`:       {Time: at, Stream: faas.Stdout, Body: []byte("😀 \ufffd \ufffd \ufffd")},
		`{"log":"attrs\n","stream":"stdout","attrs":{"a":"\",\"stream\":\"x"},` + stamp + `}`: {Time: at, Stream: faas.Stdout, Body: []byte("attrs")},
		` { "time" : "2026-11-23T04:51:59.793563646Z", "stream":"stdout", "log":"order\n" } `: {Time: at, Stream: faas.Stdout, Body: []byte("order")},
	} {
		got, ok, err := NewDecoder(JSONFile).Decode([]byte(in), 0, 0)
		if err != nil || !ok || !cmp.Equal(got, want, records) {
			t.Errorf("%s: %v\n%s", in, err, cmp.Diff(want, got, records))
		}
	}
	for _, in := range []string{
		"", "{}", `{"log":"x\n","stream":"stdout"}`, `{"log":"x\n","stream":"x",` + stamp + `}`,
		`{"log":"x\q","stream":"stdout",` + stamp + `}`, `{"log":"x","stream":"stdout",` + stamp,
		`{"log":"x","stream":"stdout","time":"yesterday"}`, "{\"log\":\"x\ty\",\"stream\":\"stdout\"," + stamp + "}",
	} {
		if _, ok, err := NewDecoder(JSONFile).Decode([]byte(in), 0, 0); ok || !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v, %v", in, ok, err)
		}
	}
}

func TestJournal(t *testing.T) {
	rec := durable.AppendRecord(nil, []byte(`{"specversion":"1.0"}`))
	got, ok, err := NewDecoder(Journal).Decode(bytes.TrimSuffix(rec, []byte("\n")), 0, 0)
	if err != nil || !ok || string(got.Body) != `{"specversion":"1.0"}` || got.Stream != faas.Platform {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
	head := durable.AppendRecord(nil, []byte("# head"))
	if _, ok, err := NewDecoder(Journal).Decode(bytes.TrimSuffix(head, []byte("\n")), 0, 0); ok || err != nil {
		t.Errorf("the segment's header: %v, %v", ok, err)
	}
	rec[12] ^= 1
	if _, ok, err := NewDecoder(Journal).Decode(bytes.TrimSuffix(rec, []byte("\n")), 0, 0); ok || !errors.Is(err, ErrRecord) {
		t.Errorf("a damaged record: %v, %v", ok, err)
	}
}

// A record over the limit comes as its two ends.
func TestCut(t *testing.T) {
	long := strings.Repeat("é\\\"x", 2000)
	quoted, _ := json.Marshal(long + "\n")
	rec := fmt.Sprintf(`{"log":%s,"stream":"stderr","time":"2026-11-23T04:51:59.793563646Z"}`, quoted)
	for cutAt := 8; cutAt < 60; cutAt++ {
		end := len(rec) - 200
		data := rec[:cutAt] + rec[end:]
		got, ok, err := NewDecoder(JSONFile).Decode([]byte(data), int64(end-cutAt), cutAt)
		if err != nil || !ok || got.Partial || got.Stream != faas.Stderr || !got.Time.Equal(at) {
			t.Fatalf("cut at %d: %+v, %v", cutAt, got, err)
		}
		var line Line
		_ = NewJoiner(1<<20, time.Second, nil).Add(got, 0, 1, func(l Line) error {
			line = l
			return nil
		})
		if !strings.HasPrefix(long, string(line.Body)) || len(line.Body) < (cutAt-20)/2 || line.Truncated == 0 {
			t.Fatalf("cut at %d: body %q, truncated %d", cutAt, line.Body, line.Truncated)
		}
	}
	cri := "2026-11-23T04:51:59.793563646Z stdout P "
	got, ok, err := NewDecoder(CRI).Decode([]byte(cri+"aaabbb"), 100, len(cri)+3)
	if err != nil || !ok || got.Cut != 100 || got.CutAt != 3 || !got.Partial {
		t.Errorf("%+v, %v", got, err)
	}
}

var seeds = []string{
	"2026-11-23T04:51:59.793563646Z stdout F hello",
	"2026-11-23T04:51:59Z stderr P \xff\x00",
	"2026-11-23T04:51:59.1+01:30 stdout F",
	`{"log":"a\"b\\c\u00e9\ud83d\ude00\n","stream":"stdout","time":"2026-11-23T04:51:59.793563646Z"}`,
	`{"log":"x","stream":"stderr","attrs":{"a":"b"},"time":"2026-11-23T04:51:59Z"}`,
	"{\"log\":\"\xff\xc3\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-23T04:51:59Z\"}",
	`01234567 {"specversion":"1.0"}`,
}

func FuzzCRI(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), 0, uint16(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, cutAt int, cut uint16) {
		rec, ok, err := NewDecoder(CRI).Decode(data, int64(cut), max(0, min(cutAt, len(data))))
		if ok != (err == nil) {
			t.Fatalf("%v and %v", ok, err)
		}
		if !ok {
			return
		}
		head, _, _ := strings.Cut(string(data), " ")
		if want, err := time.Parse(time.RFC3339Nano, head); err == nil && !want.Equal(rec.Time) {
			t.Errorf("%s is read as %s", head, rec.Time)
		}
		if !bytes.HasSuffix(data, rec.Body) {
			t.Errorf("body %q", rec.Body)
		}
		join(t, rec, int64(cut))
	})
}

func join(t *testing.T, rec Record, cut int64) {
	j := NewJoiner(100, time.Second, nil)
	var l Line
	n := 0
	take := func(got Line) error {
		l, n = got, n+1
		return nil
	}
	_ = j.Add(rec, 0, 10, take)
	if (n > 0) == rec.Partial {
		t.Fatalf("partial %v, and %d lines", rec.Partial, n)
	}
	if _ = j.Flush(10, take); n != 1 {
		t.Fatalf("%d lines", n)
	}
	if !utf8.Valid(l.Body) || len(l.Body) > 100 || l.Truncated < cut {
		t.Errorf("body %q, truncated %d", l.Body, l.Truncated)
	}
	if l.Truncated == 0 && string(l.Body) != string(appendValid(nil, rec.Body)) {
		t.Errorf("body %q becomes %q", rec.Body, l.Body)
	}
}

// FuzzJSONFile holds the fast way against encoding/json.
func FuzzJSONFile(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.IndexByte(data, '\n') >= 0 {
			return
		}
		d := NewDecoder(JSONFile)
		var fast, slow Record
		if !d.jsonFast(data, &fast) {
			_, _, _ = d.Decode(data, 0, 0)
			return
		}
		if err := NewDecoder(JSONFile).jsonSlow(data, &slow); err != nil {
			t.Fatalf("%q is read as %+v, but %v", data, fast, err)
		}
		endOfLine(&slow)
		if !fast.Time.Equal(slow.Time) || fast.Stream != slow.Stream || fast.Partial != slow.Partial ||
			!bytes.Equal(appendValid(nil, fast.Body), slow.Body) || fast.ascii && !isASCII(fast.Body) {
			t.Errorf("%q: %+v, not %+v", data, fast, slow)
		}
	})
}

// FuzzScan holds this machine's way of marking a block against the general one.
func FuzzScan(f *testing.F) {
	f.Add([]byte("a\\b\"c\x1f \x7f\x80\xff]#[!"))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = append(data, bytes.Repeat([]byte{' '}, block-len(data)%block)...)
		got, want := make([]marks, len(data)/block), make([]marks, len(data)/block)
		control, wide := scan(&data[0], got)
		wantControl, wantWide := scanWords(data, want)
		if !slices.Equal(got, want) || (control != 0) != (wantControl != 0) || (wide != 0) != (wantWide != 0) {
			t.Errorf("%q: %x %x %x, not %x %x %x", data, got, control, wide, want, wantControl, wantWide)
		}
	})
}

func isASCII(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

func FuzzJSONCut(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), 20, uint16(9))
	}
	f.Fuzz(func(t *testing.T, data []byte, cutAt int, cut uint16) {
		rec, ok, err := NewDecoder(JSONFile).Decode(data, int64(cut)+1, max(0, min(cutAt, len(data))))
		if ok != (err == nil) {
			t.Fatalf("%v and %v", ok, err)
		}
		if ok {
			join(t, rec, int64(cut)+1)
		}
	})
}

func FuzzJournal(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Add([]byte("00000000 "))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, ok, _ := NewDecoder(Journal).Decode(data, 0, 0)
		if ok && !bytes.HasSuffix(data, rec.Body) {
			t.Errorf("body %q", rec.Body)
		}
	})
}
