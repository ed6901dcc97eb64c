package read_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// written is a line that was written at a time.
func written(n int, at time.Time) schema.LogRow {
	return schema.LogRow{
		Line: &faas.Line{
			Ref:  faas.Ref{Tenant: readtest.Tenant, Namespace: "n", Function: fmt.Sprint("f", n%2), Instance: "i"},
			Time: at.Add(-100 * time.Millisecond), Stream: "stdout", Body: fmt.Sprint("line ", n), FileID: 1, Offset: uint64(n),
		},
		Attribution: "none", Revision: uint64(at.UnixNano()),
	}
}

// next gives the bodies that a tail gives at a time.
func next(t *testing.T, tail *read.Tail, now time.Time) (bodies []string, left uint64) {
	t.Helper()
	for {
		lines, gone, more, err := tail.Next(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		left += gone
		for _, l := range lines {
			body := l.Body
			if l.Corrected {
				body += " is of " + l.RequestID
			}
			bodies = append(bodies, body)
		}
		if !more {
			return bodies, left
		}
	}
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func insert(t *testing.T, conn driver.Conn, rows ...schema.LogRow) {
	t.Helper()
	readtest.Insert(t, conn, schema.Logs, rows...)
}

// TestTail: a tail gives each line once, also one that comes late or twice, and
// says what has become known of a line.
func TestTail(t *testing.T) {
	conn := readtest.DB(t)
	now := readtest.T0
	at := func(seconds float64) time.Time { return readtest.At(seconds) }
	insert(t, conn, written(1, at(-10)))
	r := read.New(conn)
	all, one := r.Tail(readtest.Tenant, read.LineFilter{}, 0, now), r.Tail(readtest.Tenant, read.LineFilter{Function: "f0"}, 0, now)
	theirs := r.Tail("other", read.LineFilter{}, 0, now)
	got, _ := next(t, all, at(0.1))
	same(t, "what was there before", got)

	insert(t, conn, written(2, at(0.2)), written(3, at(0.3)))
	got, _ = next(t, all, at(0.5))
	same(t, "new lines", got, "line 2", "line 3")
	got, _ = next(t, all, at(0.7))
	same(t, "nothing new", got)
	insert(t, conn, written(4, at(-0.5)), written(3, at(0.3)))
	got, _ = next(t, all, at(0.9))
	same(t, "a slow writer, and a line that comes twice", got, "line 4")

	corrected := written(2, at(1))
	corrected.RequestID, corrected.Attribution = "r", "window"
	insert(t, conn, corrected)
	got, _ = next(t, all, at(1.2))
	same(t, "a correction", got, "line 2 is of r")
	got, _ = next(t, all, at(1.4))
	same(t, "a correction once", got)

	got, _ = next(t, all, at(6))
	same(t, "nothing for a while", got)
	insert(t, conn, written(6, at(2)))
	got, _ = next(t, all, at(6.1))
	same(t, "a very slow writer, at first", got)
	got, _ = next(t, all, at(12))
	same(t, "a very slow writer, later", got, "line 6")
	got, _ = next(t, one, at(12.1))
	same(t, "of one function", got, "line 4", "line 2", "line 6")
	got, _ = next(t, theirs, at(12.1))
	same(t, "of another tenant", got)
}

// TestTailResume: what came while a client was away is given, all of it.
func TestTailResume(t *testing.T) {
	conn := readtest.DB(t)
	var rows []schema.LogRow
	var want []string
	for n := range 2500 { // more than one look takes, many of them of one moment
		rows = append(rows, written(n, readtest.At(float64(n/100))))
		want = append(want, fmt.Sprint("line ", n))
	}
	insert(t, conn, rows...)
	insert(t, conn, rows[:100]...)
	r := read.New(conn)
	got, left := next(t, r.Tail(readtest.Tenant, read.LineFilter{}, uint64(readtest.At(2).UnixNano())-1, readtest.At(60)), readtest.At(60))
	if left != 0 {
		t.Errorf("%d left out", left)
	}
	same(t, "all that came meanwhile", got, want...)
	got, _ = next(t, r.Tail(readtest.Tenant, read.LineFilter{}, 1, readtest.At(3600)), readtest.At(3600))
	same(t, "too long ago", got)
}

// TestTailBehind: a tail that cannot keep up leaves lines out, and says how many.
func TestTailBehind(t *testing.T) {
	conn := readtest.DB(t)
	r := read.New(conn)
	tail := r.Tail(readtest.Tenant, read.LineFilter{}, 0, readtest.T0)
	got, _ := next(t, tail, readtest.At(0.1))
	same(t, "live", got)
	var rows []schema.LogRow
	for n := range 2500 {
		rows = append(rows, written(n, readtest.At(1+float64(n)/1000)))
	}
	insert(t, conn, rows...)
	lines, left, more, err := tail.Next(t.Context(), readtest.At(2))
	if err != nil || len(lines) != 1000 || left != 0 || !more {
		t.Fatalf("%d lines, %d left, %v %v", len(lines), left, more, err)
	}
	last := lines[len(lines)-1]
	insert(t, conn, written(5000, readtest.At(40.1)))
	got, left = next(t, tail, readtest.At(40))
	if want := 2500 - 1 - last.Offset; left != want {
		t.Errorf("%d left out, not %d", left, want)
	}
	same(t, "from there on", got, "line 5000")
}
