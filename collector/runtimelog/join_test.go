package runtimelog

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

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

func TestJoin(t *testing.T) {
	j := NewJoiner(10)
	var got []string
	for i, rec := range []Record{
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
	} {
		if l, ok := j.Add(rec, int64(10*i), int64(10*i+10)); ok {
			got = append(got, show(l))
		}
	}
	want := []string{
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
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

func TestFlush(t *testing.T) {
	j := NewJoiner(100)
	j.Add(piece(faas.Stderr, "e", true), 0, 10)
	late := piece(faas.Stdout, "o", true)
	late.Time = at.Add(time.Minute)
	j.Add(late, 10, 20)
	var got []string
	take := func(l Line) error {
		got = append(got, show(l))
		return nil
	}
	_ = j.Flush(20, at, take)
	if len(got) != 0 || !j.Open() {
		t.Fatalf("too early: %v", got)
	}
	_ = j.Flush(20, at.Add(time.Second), take)
	if g := strings.Join(got, "\n"); g != `stderr@0 "e" cut 0 safe 0` {
		t.Errorf("got %s", g)
	}
	stop := errors.New("stop")
	if err := j.Flush(20, at.Add(time.Hour), func(Line) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	if j.Open() || j.Safe(20) != 20 {
		t.Error("still open")
	}
}

// Who begins to read at a line's Safe gets the lines that were not yielded up
// to there, under the same names and with the same bodies, and nothing else.
func TestSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		streams := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 60).Draw(t, "records")
		records := make([]Record, len(streams))
		for i, k := range streams {
			records[i] = piece(joined[k%2], fmt.Sprintf("%d,", i), k >= 2)
		}
		run := func(from int) (lines []Line, bodies map[int64]string) {
			j := NewJoiner(1000)
			bodies = map[int64]string{}
			for i := from; i < len(records); i++ {
				if l, ok := j.Add(records[i], int64(i), int64(i+1)); ok {
					lines = append(lines, l)
					bodies[l.Offset] = string(l.Body)
				}
			}
			return lines, bodies
		}
		lines, bodies := run(0)
		safe := int64(0)
		for i, l := range lines {
			if l.Safe < safe {
				t.Fatalf("line %d takes the offset back from %d to %d", i, safe, l.Safe)
			}
			safe = l.Safe
			_, again := run(int(safe))
			for offset, body := range again {
				if bodies[offset] != body {
					t.Fatalf("from %d: %q at %d, which was %q", safe, body, offset, bodies[offset])
				}
			}
			for _, later := range lines[i+1:] {
				if again[later.Offset] != bodies[later.Offset] {
					t.Fatalf("from %d: the line at %d is missing", safe, later.Offset)
				}
			}
		}
	})
}
