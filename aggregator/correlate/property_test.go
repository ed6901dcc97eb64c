package correlate

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/internal/faas"
)

// fact is a line or an event of a generated schedule, with the request that a
// line really belongs to.
type fact struct {
	line  *faas.Line
	event *faas.Event
	truth string
}

func (f *fact) time() time.Time {
	if f.line != nil {
		return f.line.Time
	}
	return f.event.Time
}

const testFile = "00000000000000f1"

// serialSchedule draws the life of an instance that serves one request at a
// time: its start, requests with lines in them, lines after their end.
func serialSchedule(t *rapid.T) []fact {
	var facts []fact
	now, offset := 0, uint64(0)
	event := func(d faas.Data) {
		facts = append(facts, fact{event: &faas.Event{
			ID: strconv.Itoa(len(facts)), Source: "test", Time: at(now), Ref: testRef, Data: d,
		}})
	}
	step := func() { now += rapid.IntRange(1, 50).Draw(t, "step") }
	lines := func(most int, truth string) {
		for range rapid.IntRange(0, most).Draw(t, "lines") {
			step()
			offset++
			facts = append(facts, fact{truth: truth, line: &faas.Line{
				Ref: testRef, Time: at(now), Stream: faas.Stdout, Body: fmt.Sprint("line ", offset), FileID: 1, Offset: offset,
			}})
		}
	}
	event(faas.Demanded{RequestID: "request-0", Initialization: faas.OnDemand})
	lines(3, "request-0")
	step()
	event(faas.Ready{})
	for n := range rapid.IntRange(1, 5).Draw(t, "requests") {
		id := fmt.Sprint("request-", n)
		step()
		started := at(now)
		event(faas.InvocationStarted{RequestID: id, QueuedAt: at(0)})
		lines(5, id)
		step()
		told := int64(rapid.IntRange(0, 1).Draw(t, "told"))
		event(faas.InvocationEnded{RequestID: id, StartedAt: started, Status: faas.StatusOK, MemoryPeak: 500 * told})
		event(faas.InvocationUsage{RequestID: id, StartedAt: started, MemoryPeak: 900, CPUTime: 0.9})
		lines(2, id)
		event(faas.Ledger{FileID: testFile, From: at(0), To: at(now), Bytes: 1 + int64(offset), Lines: int64(offset)})
		event(faas.Gap{FileID: testFile, Offset: int64(n), From: at(now), To: at(now), Reason: faas.GapTruncated})
	}
	event(faas.Ledger{FileID: testFile, From: at(0), To: at(now), Bytes: 1 + int64(offset), Lines: int64(offset), Complete: true})
	return facts
}

// TestSerialInstance: whatever the order and however often facts arrive, and
// wherever the aggregator is restarted in between, in the end each line is
// there once with its true request.
func TestSerialInstance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := serialSchedule(t)
		arrivals := slices.Clone(facts)
		for range rapid.IntRange(0, 4).Draw(t, "duplicates") {
			arrivals = append(arrivals, facts[rapid.IntRange(0, len(facts)-1).Draw(t, "twice")])
		}
		if rapid.Bool().Draw(t, "shuffled") {
			arrivals = rapid.Permutation(arrivals).Draw(t, "arrivals")
		}
		now := at(0)
		c, s := New(DefaultConfig()), newStore()
		for i := range arrivals {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "pause")) * time.Millisecond)
			c.Advance(now)
			if f := &arrivals[i]; f.line != nil {
				c.Line(f.line, i, now)
			} else {
				c.Event(f.event, now)
			}
			s.add(c.Take())
			// A restart loses what was held, and who sent it sends it again.
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				c = s.restart(DefaultConfig(), now)
				for n := range arrivals[:i+1] {
					if l := arrivals[n].line; l != nil && s.released[n] == 0 {
						c.Line(l, n, now)
					}
				}
				s.add(c.Take())
			}
		}
		c.Advance(now.Add(time.Hour))
		s.add(c.Take())
		compare(t, facts, s)
	})
}

func compare(t *rapid.T, facts []fact, s *store) {
	slices.SortStableFunc(facts, func(a, b fact) int { return cmp.Compare(a.time().UnixNano(), b.time().UnixNano()) })
	n := 0
	for i := range facts {
		l := facts[i].line
		if l == nil {
			continue
		}
		n++
		row, ok := s.lines[lineID{1, l.Offset}]
		if !ok {
			t.Fatalf("line %d is missing", l.Offset)
		}
		if row.Body != l.Body || row.RequestID != facts[i].truth {
			t.Fatalf("line %d at %d ms: got %s %s %q, want %s\n%s", l.Offset, ms(l.Time), row.Attribution, row.RequestID, row.Body, facts[i].truth, s)
		}
	}
	if len(s.lines) != n {
		t.Fatalf("%d lines stored, %d sent", len(s.lines), n)
	}
	compareAccounts(t, facts, s)
	if !strings.Contains(s.String(), "request-0 cold=true") {
		t.Fatalf("the request that demanded the instance is not cold:\n%s", s)
	}
}

// compareAccounts holds the ledger that says most, every gap, and who told what
// an invocation used against what was sent.
func compareAccounts(t *rapid.T, facts []fact, s *store) {
	gaps, last := 0, faas.Ledger{}
	for i := range facts {
		e := facts[i].event
		if e == nil {
			continue
		}
		switch d := e.Data.(type) {
		case faas.Gap:
			gaps++
		case faas.Ledger:
			if d.Bytes > last.Bytes || d.Complete {
				last = d
			}
		case faas.InvocationEnded:
			v := s.invocations[attemptID{testRef.Instance, d.RequestID, d.StartedAt.UnixNano()}]
			if (v.MemoryPeak != nil) != (d.MemoryPeak > 0) || v.UsageMemoryPeak == nil || *v.UsageMemoryPeak != 900 || v.CPUTimeNS != nil {
				t.Fatalf("%s: %s", d.RequestID, used(&v))
			}
		}
	}
	if len(s.gaps) != gaps {
		t.Fatalf("%d gaps stored, %d sent", len(s.gaps), gaps)
	}
	if got := s.ledgers[testFile]; !got.Complete || got.Bytes != last.Bytes || got.Lines != last.Lines {
		t.Fatalf("the ledger %+v, want %+v", got, last)
	}
}

// TestMemoryIsBounded: however many instances, invocations and lines come, what
// is remembered stays within the limit, and is counted right.
func TestMemoryIsBounded(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Memory = 1 << 20
	c := New(cfg)
	for n := range 20_000 {
		ref := testRef
		ref.Instance = strconv.Itoa(n / 4)
		now := at(n)
		c.Event(&faas.Event{ID: strconv.Itoa(n), Source: "s", Time: now, Ref: ref, Data: faas.InvocationStarted{RequestID: strconv.Itoa(n)}}, now)
		c.Line(&faas.Line{Ref: ref, Time: now, Stream: faas.Stdout, Body: strings.Repeat("x", 200), FileID: 1, Offset: uint64(n)}, n, now)
		c.Take()
		if c.memory > cfg.Memory {
			t.Fatalf("%d bytes after %d facts", c.memory, n)
		}
	}
	if len(c.instances) < 100 || len(c.instances) > 2000 || c.recent.Len() != len(c.instances) {
		t.Errorf("%d instances are remembered", len(c.instances))
	}
	for _, i := range c.instances {
		c.forget(i)
	}
	if c.memory != 0 {
		t.Errorf("%d bytes are counted for nothing", c.memory)
	}
}

// FuzzIDs: any text may be a line.
func FuzzIDs(f *testing.F) {
	f.Add(`{"request_id":"b3f0-1234-abcd"}`)
	f.Add("X-Scf-Request-Id: 0123456789")
	f.Add("request id = 'abcdefgh'")
	f.Fuzz(func(t *testing.T, body string) {
		for _, id := range idsIn(body) {
			if len(id) < minID || len(id) > maxID || !strings.Contains(body, id) {
				t.Errorf("%q from %q", id, body)
			}
		}
	})
}

func BenchmarkLine(b *testing.B) {
	c := New(DefaultConfig())
	now := at(0)
	for _, d := range []faas.Data{faas.Demanded{Initialization: faas.OnDemand}, faas.Ready{}, faas.InvocationStarted{RequestID: "request-1"}} {
		c.Event(&faas.Event{ID: "1", Source: "b", Time: now, Ref: testRef, Data: d}, now)
	}
	l := faas.Line{Ref: testRef, Stream: faas.Stdout, FileID: 1, Body: strings.Repeat("a line of a usual length, ", 8)}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		l.Time, l.Offset = now.Add(time.Duration(n)), uint64(n)
		c.Line(&l, nil, now)
		if n%1000 == 0 {
			c.Take()
		}
	}
}
