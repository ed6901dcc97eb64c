package correlate

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/coldscope/coldscope/internal/faas"
)

// forgetful remembers two lines of an instance.
func forgetful() Config {
	cfg := DefaultConfig()
	cfg.InstanceLines = 2
	return cfg
}

func tell(c *Correlator, ms int, d faas.Data) {
	c.Event(&faas.Event{ID: fmt.Sprint(ms, d), Source: "s", Time: at(ms), Ref: testRef, Data: d}, at(ms))
}

func say(c *Correlator, ms int) {
	c.Line(&faas.Line{Ref: testRef, Time: at(ms), Stream: faas.Stdout, Body: strconv.Itoa(ms), FileID: 1, Offset: uint64(ms)}, ms, at(ms))
}

// TestOutlinesInside: a request that was served between two lines of another one
// changes the lines that lie between them, though not these two.
func TestOutlinesInside(t *testing.T) {
	c, s := New(forgetful()), newStore()
	tell(c, 0, faas.InvocationStarted{RequestID: "a"})
	for ms := 10; ms <= 90; ms += 10 {
		say(c, ms)
	}
	s.take(c)
	i := c.instances[KeyOf(testRef)]
	if len(i.lines) != 2 || len(i.outlines) != 1 || !i.dropped.IsZero() {
		t.Fatalf("%d lines, %d outlines, dropped up to %v", len(i.lines), len(i.outlines), i.dropped)
	}
	tell(c, 45, faas.InvocationStarted{RequestID: "b"})
	tell(c, 55, faas.InvocationEnded{RequestID: "b", StartedAt: at(45), Status: faas.StatusOK})
	s.take(c)
	for ms := 10; ms <= 90; ms += 10 {
		want := faas.AttributionWindow
		if ms == 50 {
			want = faas.AttributionAmbiguous
		}
		if r := s.lines[lineID{1, uint64(ms)}]; r.Attribution != want {
			t.Errorf("line at %d ms: %s, want %s", ms, r.Attribution, want)
		}
	}
	if s.corrected != 1 {
		t.Errorf("%d corrections", s.corrected)
	}
}

// TestOutlinesSpareReading: of an instance whose facts come in their order, and
// some of them late, lines are asked for in the store only if they change.
func TestOutlinesSpareReading(t *testing.T) {
	c := New(forgetful())
	for n := range 1000 {
		begin := n * 5000
		d := faas.InvocationStarted{RequestID: strconv.Itoa(n)}
		tell(c, begin, d)
		for ms := range 20 {
			say(c, begin+ms)
		}
		tell(c, begin+30, faas.InvocationEnded{RequestID: strconv.Itoa(n), StartedAt: at(begin), Status: faas.StatusOK})
		if n >= 100 { // told again, long after its lines are forgotten
			tell(c, begin-100*5000, faas.InvocationStarted{RequestID: strconv.Itoa(n - 100)})
		}
		if out := c.Take(); len(out.Overdue) != 0 {
			t.Fatalf("request %d: overdue: %+v", n, out.Overdue)
		}
	}
	// A request beside one of these: the lines of that one are asked for, and no others.
	tell(c, 900*5000+5, faas.InvocationStarted{RequestID: "late"})
	tell(c, 900*5000+15, faas.InvocationEnded{RequestID: "late", StartedAt: at(900*5000 + 5), Status: faas.StatusOK})
	out := c.Take()
	if len(out.Overdue) != 1 || out.Overdue[0].From.Before(at(900*5000)) || out.Overdue[0].To.After(at(900*5000).Add(maxOutline)) {
		t.Errorf("overdue: %+v", out.Overdue)
	}
}

// TestOutlinesAreBounded: what is kept of forgotten lines is three eighths
// of the memory at most; behind that they are read again as a whole.
func TestOutlinesAreBounded(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Memory = 1 << 20
	c := New(cfg)
	tell(c, 0, faas.InvocationStarted{RequestID: "a"})
	for ms := range 100_000 {
		l := faas.Line{Ref: testRef, Time: at(ms), Stream: faas.Stdout, Named: []string{fmt.Sprint("names-", ms)}, FileID: 1, Offset: uint64(ms)}
		c.Line(&l, nil, at(ms))
		if ms%100 == 0 {
			c.Take()
			if c.outlined > cfg.Memory/8*3 || c.memory > cfg.Memory {
				t.Fatalf("%d bytes, %d of them outlines", c.memory, c.outlined)
			}
		}
	}
	i := c.instances[KeyOf(testRef)]
	if len(i.outlines) < 500 || i.dropped.IsZero() || i.dropped.After(i.outlines[0].from) {
		t.Fatalf("%d outlines, dropped up to %v", len(i.outlines), i.dropped)
	}
	tell(c, 10, faas.InvocationStarted{RequestID: "b"})
	out := c.Take()
	covers := func(s Span) bool { return s.From.Equal(at(10)) && !s.To.Before(i.dropped) }
	if len(out.Overdue) > 2 || !slices.ContainsFunc(out.Overdue, covers) {
		t.Errorf("overdue: %+v, dropped up to %v", out.Overdue, i.dropped)
	}
}
