package runtimelog

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/internal/faas"
)

func piece(s faas.Stream, body string, partial bool) Record {
	return Record{Time: at, Stream: s, Body: []byte(body), Partial: partial}
}

// show writes a line for comparison.
func show(l Line) string {
	return fmt.Sprintf("%s@%d %q cut %d safe %d", l.Stream, l.Offset, l.Body, l.Truncated, l.Safe)
}

// feed adds records that are ten bytes each and gives the lines.
func feed(j *Joiner, records []Record) (got []string) {
	for i, rec := range records {
		_ = j.Add(rec, int64(10*i), int64(10*i+10), func(l Line) error {
			got = append(got, show(l))
			return nil
		})
	}
	return got
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func rules(t testing.TB, o JoinOptions) *Rules {
	t.Helper()
	r, err := o.Rules()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestJoin(t *testing.T) {
	compare(t, feed(NewJoiner(10, time.Second, nil), []Record{
		piece(faas.Stdout, "whole", false),
		piece(faas.Stdout, "o1", true),
		piece(faas.Stderr, "e1", true),
		piece(faas.Stdout, "o2", false),
		piece(faas.Stdout, "between", false),
		piece(faas.Stderr, "e2", false),
		piece(faas.Stderr, "0123456789", false),
		piece(faas.Stderr, "0123456789a", false),
		piece(faas.Stdout, "01234567", true),
		piece(faas.Stdout, "89abc", true),
		piece(faas.Stdout, "def", false),
		piece(faas.Stdout, "12345678é!", false),
		piece(faas.Stdout, "123456789é", false),
		piece(faas.Stdout, "\xff\xfe\xc3", true),
		piece(faas.Stdout, "\xa9", false), // a rune in two pieces
		piece(faas.Stdout, "a\x00b\rc\r", false),
	}), []string{
		`stdout@0 "whole" cut 0 safe 10`,
		`stdout@10 "o1o2" cut 0 safe 10`,
		`stdout@40 "between" cut 0 safe 10`,
		`stderr@20 "e1e2" cut 0 safe 60`,
		`stderr@60 "0123456789" cut 0 safe 70`,
		`stderr@70 "0123456789" cut 1 safe 80`,
		`stdout@80 "0123456789" cut 6 safe 110`,
		`stdout@110 "12345678é" cut 1 safe 120`,
		`stdout@120 "123456789" cut 2 safe 130`,
		`stdout@130 "��é" cut 0 safe 150`,
		`stdout@150 "a\x00b\rc\r" cut 0 safe 160`,
	})
}

func TestSplit(t *testing.T) {
	j := NewJoiner(100, time.Second, rules(t, JoinOptions{CarriageReturns: "split"}))
	cut := piece(faas.Stdout, "a\rbcd", false)
	cut.Cut, cut.CutAt = 7, 3
	compare(t, feed(j, []Record{
		piece(faas.Stdout, "plain", false),
		piece(faas.Stdout, "dos\r", false),
		piece(faas.Stdout, "", false),
		piece(faas.Stdout, "\r", false),
		piece(faas.Stdout, "\r\r", false),
		piece(faas.Stdout, "a\rb\rc", false),
		piece(faas.Stdout, "\r\ra\r\rb\r", false),
		piece(faas.Stdout, "1\r2", true),
		piece(faas.Stderr, "e", false),
		piece(faas.Stdout, "2\r", true),
		piece(faas.Stdout, "", false),
		cut,
	}), []string{
		`stdout@0 "plain" cut 0 safe 10`,
		`stdout@10 "dos" cut 0 safe 20`,
		`stdout@20 "" cut 0 safe 30`,
		`stdout@30 "" cut 0 safe 40`,
		`stdout@50 "a" cut 0 safe 50`,
		`stdout@52 "b" cut 0 safe 50`,
		`stdout@54 "c" cut 0 safe 60`,
		`stdout@62 "a" cut 0 safe 60`,
		`stdout@65 "b" cut 0 safe 70`,
		`stdout@70 "1" cut 0 safe 70`,
		`stderr@80 "e" cut 0 safe 70`,
		`stdout@72 "22" cut 0 safe 70`,
		`stdout@110 "a" cut 0 safe 110`,
		`stdout@112 "b" cut 9 safe 120`,
	})
}

// later is a record's time.
func later(r Record, by time.Duration) Record {
	r.Time = r.Time.Add(by)
	return r
}

func TestTimes(t *testing.T) {
	j := NewJoiner(100, 5*time.Second, rules(t, JoinOptions{Multiline: []string{"glog"}, Gap: 2 * time.Second}))
	const head = "I1122 00:00:00.1 x"
	compare(t, feed(j, []Record{
		piece(faas.Stderr, "part", true),
		later(piece(faas.Stdout, head, false), time.Second),
		later(piece(faas.Stdout, "more", false), 3*time.Second), // just in time
		later(piece(faas.Stdout, "late", false), 5*time.Second+1),
	}), []string{
		`stderr@0 "part" cut 0 safe 0`,
		`stdout@10 "I1122 00:00:00.1 x\nmore" cut 0 safe 30`,
		`stdout@30 "late" cut 0 safe 40`,
	})
	var got []string
	take := func(l Line) error {
		got = append(got, show(l))
		return nil
	}
	j.Reset()
	feed(j, []Record{piece(faas.Stdout, head, false), piece(faas.Stderr, "part", true)})
	_ = j.Idle(20, 4*time.Second, take)
	compare(t, got, nil)
	_ = j.Idle(20, 4*time.Second+1, take)
	compare(t, got, []string{`stdout@0 "I1122 00:00:00.1 x" cut 0 safe 0`})
	_ = j.Idle(20, 5*time.Second+1, take)
	compare(t, got[1:], []string{`stderr@10 "part" cut 0 safe 20`})
	// A piece of the entry's next line may come late with the time of the first.
	got = nil
	feed(j, []Record{piece(faas.Stdout, head, false), piece(faas.Stdout, "more", true)})
	_ = j.Idle(20, 5*time.Second, take)
	compare(t, got, nil)
	_ = j.Add(piece(faas.Stdout, "!", false), 20, 30, take)
	_ = j.Flush(30, take)
	compare(t, got, []string{`stdout@0 "I1122 00:00:00.1 x\nmore!" cut 0 safe 30`})
	stop := errors.New("stop")
	feed(j, []Record{piece(faas.Stdout, head, false)})
	if err := j.Flush(20, func(Line) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	if j.Open() || j.Safe(20) != 20 {
		t.Error("still open")
	}
}

// Who begins to read at a line's Safe gets the lines that were not yielded up
// to there, under the same names and with the same bodies, and nothing else.
func TestSafe(t *testing.T) {
	bodies := []string{
		"plain", "", "{\"a\":1}", "a\rb\r\rc", "dos\r", "\r", "I1122 00:00:00.000000 1 x.go:1] head",
		"panic: x", "goroutine 1 [running]:", "main.main()", "\t/x.go:1 +0x1", "java.lang.Error: x", "\tat a.b(C.java:1)", "Caused by: y",
		pythonHead, "  File \"x\"", "ValueError: x", "During handling of the above exception, another exception occurred:",
		"Error: x", "    at f (x.js:1:2)", "/x.js:1", "   ^", "START", "more",
	}
	gaps := []time.Duration{0, 0, 0, time.Millisecond, time.Second + 1, 7 * time.Second, -2 * time.Second}
	options := []JoinOptions{
		{},
		{CarriageReturns: "split"},
		{Multiline: []string{"traces"}},
		{Multiline: []string{"traces", "glog"}, CarriageReturns: "split"},
		{Multiline: []string{"glog"}, MaxLines: 3, MaxBytes: 60},
		{Start: "^START", CarriageReturns: "split"},
		{Continue: `^\s|^more`},
		{Start: "^[A-Z]", Continue: "^[a-z]", MaxLines: 4},
	}
	type input struct {
		Record
		before time.Duration // how long the file was quiet
	}
	type reader struct {
		lines []Line
		names map[int64]string
	}
	rapid.Check(t, func(t *rapid.T) {
		r, err := rapid.SampledFrom(options).Draw(t, "options").Rules()
		if err != nil {
			t.Fatal(err)
		}
		r.maxOverlap = rapid.SampledFrom([]int{3, maxOverlap}).Draw(t, "overlap")
		var records []input
		clock, latest := at, at
		for range rapid.IntRange(1, 60).Draw(t, "records") {
			clock = clock.Add(rapid.SampledFrom(gaps).Draw(t, "gap"))
			quiet := max(0, clock.Sub(latest))
			latest = latest.Add(quiet)
			rec := piece(joined[rapid.IntRange(0, 1).Draw(t, "stream")], rapid.SampledFrom(bodies).Draw(t, "body"),
				rapid.IntRange(0, 4).Draw(t, "partial") == 0)
			rec.Time = clock
			records = append(records, input{rec, quiet})
		}
		const size = 100 // of a record
		run := func(from int, live bool) (got reader) {
			j := NewJoiner(1000, 5*time.Second, r)
			got.names = map[int64]string{}
			take := func(l Line) error {
				if was, ok := got.names[l.Offset]; ok {
					t.Fatalf("two lines at %d: %q and %q", l.Offset, was, l.Body)
				}
				l.Body = bytes.Clone(l.Body)
				got.names[l.Offset] = string(l.Body)
				got.lines = append(got.lines, l)
				return nil
			}
			for i := from; i < len(records); i++ {
				rec := records[i]
				if live && rec.before > 0 { // who reads as it is written sees the file quiet
					_ = j.Idle(int64(i*size), rec.before, take)
				}
				_ = j.Add(rec.Record, int64(i*size), int64((i+1)*size), take)
			}
			_ = j.Flush(int64(len(records)*size), take)
			return got
		}
		first := run(0, rapid.Bool().Draw(t, "live"))
		var bytesIn, bytesOut int
		for _, rec := range records {
			bytesIn += len(bytes.ReplaceAll(rec.Body, []byte("\r"), nil))
		}
		for _, l := range first.lines {
			bytesOut += len(bytes.Map(func(r rune) rune {
				if r == '\r' || r == '\n' {
					return -1
				}
				return r
			}, l.Body))
		}
		if bytesIn != bytesOut {
			t.Fatalf("%d bytes became %d", bytesIn, bytesOut)
		}
		safe := int64(0)
		for i, l := range first.lines {
			if l.Safe < safe {
				t.Fatalf("line %d takes the offset back from %d to %d", i, safe, l.Safe)
			}
			if safe = l.Safe; safe%size != 0 {
				t.Fatalf("line %d: %d is within a record", i, safe)
			}
			again := run(int(safe)/size, rapid.Bool().Draw(t, "live again"))
			for offset, body := range again.names {
				if was, ok := first.names[offset]; !ok || was != body {
					t.Fatalf("from %d: %q at %d, which was %q", safe, body, offset, was)
				}
			}
			for _, later := range first.lines[i+1:] {
				if again.names[later.Offset] != first.names[later.Offset] {
					t.Fatalf("from %d: the line at %d is missing", safe, later.Offset)
				}
			}
		}
	})
}
