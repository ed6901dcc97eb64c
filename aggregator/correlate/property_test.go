package correlate

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/internal/faas"
)

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
			s.take(c)
			// A restart loses what was held, and who sent it sends it again.
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				c = s.restart(DefaultConfig(), now)
				for n := range arrivals[:i+1] {
					if l := arrivals[n].line; l != nil && s.released[n] == 0 {
						c.Line(l, n, now)
					}
				}
				s.take(c)
			}
		}
		c.Advance(now.Add(time.Hour))
		s.take(c)
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

// TestWorlds: of whatever happens on several instances, by one request at a
// time or several, with retries, crashes and second lives, in whatever order it
// is told and however often, wherever the aggregator is restarted, and however
// little it remembers: every line is stored once; one of an instance with one request at a time has its true
// request; no line ever has a wrong one by its own word or by a window, and an
// ambiguous one names its true request among the candidates; and every attempt
// has the outcome that the platform told, else that which its instance's end tells.
func TestWorlds(t *testing.T) {
	for n := range 10 {
		t.Run(strconv.Itoa(n), func(t *testing.T) { rapid.Check(t, checkWorld) })
	}
}

func checkWorld(t *rapid.T) {
	w := drawWorld(t)
	slices.SortStableFunc(w.facts, func(a, b fact) int { return cmp.Compare(a.arrives, b.arrives) })
	cfg := DefaultConfig()
	if rapid.IntRange(0, 3).Draw(t, "remembers few lines") == 0 {
		cfg.InstanceLines = 2
	}
	if w.offset == 0 && rapid.IntRange(0, 3).Draw(t, "remembers little") == 0 {
		cfg.Memory = rapid.IntRange(1, 16).Draw(t, "KiB") << 10
	}
	c, s := New(cfg), newStore()
	// What is overdue is read later, in pages, with what else has become so.
	s.patient = rapid.Bool().Draw(t, "patient")
	now := at(0)
	for i := range w.facts {
		f := &w.facts[i]
		now = at(f.arrives)
		if s.patient && rapid.IntRange(0, 9).Draw(t, "pay") == 0 {
			s.pay(c)
		}
		c.Advance(now)
		s.take(c)
		if f.line != nil {
			s.recall(c, f.line.Ref, f.line.Time, now)
			c.Line(f.line, i, now)
		} else {
			s.recall(c, f.event.Ref, f.event.Time, now)
			c.Event(f.event, now)
		}
		s.take(c)
		// A restart loses what was held, and who sent it sends it again. Whose
		// clock is ahead is learned anew then, so that is left out.
		if w.offset == 0 && rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
			s.pay(c)
			c = s.restart(cfg, now)
			for n := range w.facts[:i+1] {
				if l := w.facts[n].line; l != nil && s.released[n] == 0 {
					s.recall(c, l.Ref, l.Time, now)
					c.Line(l, n, now)
				}
			}
			s.take(c)
		}
	}
	c.Advance(now.Add(time.Hour))
	s.take(c)
	s.pay(c)
	for i := range w.facts {
		f := &w.facts[i]
		if f.line == nil {
			continue
		}
		if s.released[i] != 1 {
			t.Fatalf("fact %d was released %d times", i, s.released[i])
		}
		if err := w.lineIsRight(f, s); err != nil {
			t.Fatalf("%v\n%s%s", err, s.startsText(), s)
		}
	}
	if len(s.lines) != int(w.lines) {
		t.Fatalf("%d lines are stored, %d were written", len(s.lines), w.lines)
	}
	if err := w.outcomes(s); err != nil {
		t.Fatalf("%v\n%s%s", err, s.startsText(), s)
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

// TestMemoryIsBounded: whatever comes in masses, what is remembered stays within
// the limit, is counted right, and takes about as much memory as is counted.
func TestMemoryIsBounded(t *testing.T) {
	line := func(c *Correlator, ref faas.Ref, n int, body string) {
		c.Line(&faas.Line{Ref: ref, Time: at(n), Stream: faas.Stdout, Body: body, Named: named(body), FileID: 1, Offset: uint64(n)}, n, at(n))
	}
	event := func(c *Correlator, ref faas.Ref, n int, d faas.Data) {
		c.Event(&faas.Event{ID: strconv.Itoa(n), Source: "s", Time: at(n), Ref: ref, Data: d}, at(n))
	}
	instance := func(n int) faas.Ref {
		ref := testRef
		ref.Instance = strconv.Itoa(n)
		return ref
	}
	for name, flood := range map[string]func(c *Correlator, n int){
		"instances": func(c *Correlator, n int) {
			event(c, instance(n/4), n, faas.InvocationStarted{RequestID: strconv.Itoa(n)})
			line(c, instance(n/4), n, strings.Repeat("x", 200))
		},
		"lines":       func(c *Correlator, n int) { line(c, testRef, n, strings.Repeat("x", 20+n%5000)) },
		"lines alike": func(c *Correlator, n int) { line(c, instance(n%50), 1, strings.Repeat("x", 100)) },
		"request IDs": func(c *Correlator, n int) {
			line(c, testRef, n, strings.Repeat(fmt.Sprintf("request_id=%0120d ", n), 5))
		},
		"open invocations": func(c *Correlator, n int) {
			event(c, testRef, n, faas.InvocationStarted{RequestID: strconv.Itoa(n)})
			line(c, testRef, n, "x")
		},
		"open invocations of many": func(c *Correlator, n int) {
			event(c, instance(n%100), n, faas.InvocationStarted{RequestID: strconv.Itoa(n)})
			line(c, instance(n%100), n, "x")
		},
		"lives": func(c *Correlator, n int) {
			event(c, instance(n/1000), n, [...]faas.Data{faas.Demanded{Initialization: faas.OnDemand}, faas.Ready{}, faas.Stopped{}}[n%3])
		},
		"phases": func(c *Correlator, n int) {
			event(c, testRef, n, faas.PhaseDone{Name: faas.PhasePull, Start: at(n), End: at(n)})
		},
		"clocks": func(c *Correlator, n int) {
			for _, observed := range []bool{true, false} {
				for m, d := range []faas.Data{faas.Demanded{Initialization: faas.OnDemand}, faas.Ready{}} {
					source := fmt.Sprint(observed, n)
					c.Event(&faas.Event{ID: source, Source: source, Observed: observed, Time: at(n + m), Ref: instance(n), Data: d}, at(n))
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.Memory = 4 << 20
			c := New(cfg)
			before := heap()
			for n := range 60_000 {
				flood(c, n)
				if n%10 == 0 {
					c.Take()
					if c.memory > cfg.Memory {
						t.Fatalf("%d bytes after %d facts", c.memory, n)
					}
				}
			}
			c.Take()
			if grown := heap() - before; grown > 2*int64(cfg.Memory) {
				t.Errorf("%d bytes are counted, %d are used", c.memory, grown)
			}
			for _, i := range c.instances {
				c.settleAll(i)
				c.forget(i)
			}
			if c.memory != 0 || c.state != 0 || c.recent.Len() != 0 || c.held != 0 {
				t.Errorf("%d bytes are counted for nothing", c.memory)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestOneCorrection: a correction of an instance with thousands of lines gives
// out those that it changes, and no other.
func TestOneCorrection(t *testing.T) {
	c := New(DefaultConfig())
	event := func(ms int, d faas.Data) {
		c.Event(&faas.Event{ID: strconv.Itoa(ms), Source: "s", Time: at(ms), Ref: testRef, Data: d}, at(ms))
	}
	event(0, faas.InvocationStarted{RequestID: "a"})
	for n := range 4000 {
		c.Line(&faas.Line{Ref: testRef, Time: at(1 + n), Stream: faas.Stdout, FileID: 1, Offset: uint64(n)}, n, at(n))
	}
	c.Take()
	event(3901, faas.InvocationEnded{RequestID: "a", StartedAt: at(0), Status: faas.StatusOK})
	if out := c.Take(); out.Corrected != 99 || len(out.Logs) != 100 {
		t.Errorf("%d corrections in %d rows", out.Corrected, len(out.Logs))
	}
}

// BenchmarkLine is the steady state: instances that have served requests and
// serve one, whose lines come in runs, as collectors ship them.
func BenchmarkLine(b *testing.B) {
	const instances, run, before = 2000, 20, 50
	c := New(DefaultConfig())
	now := at(0)
	refs := make([]faas.Ref, instances)
	for n := range refs {
		ref := testRef
		ref.Instance = fmt.Sprintf("4f5c2b7e9d10-%d", n)
		refs[n] = ref
		event := func(d faas.Data, at time.Time) {
			c.Event(&faas.Event{ID: "1", Source: "b", Time: at, Ref: ref, Data: d}, now)
		}
		event(faas.Demanded{Initialization: faas.OnDemand}, now)
		event(faas.Ready{}, now)
		for v := range before {
			id := fmt.Sprintf("3c9e1f5a-7b7d-4c52-8f6e-%012d", n*before+v)
			event(faas.InvocationStarted{RequestID: id}, at(2*v))
			if v < before-1 {
				event(faas.InvocationEnded{RequestID: id, StartedAt: at(2 * v), Status: faas.StatusOK}, at(2*v+1))
			}
		}
		c.Take()
	}
	l := faas.Line{Stream: faas.Stdout, FileID: 1, Body: strings.Repeat("a line of a usual length, ", 8)}
	now = at(1000)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		l.Ref, l.Time, l.Offset = refs[n/run%instances], now.Add(time.Duration(n)), uint64(n)
		c.Line(&l, nil, now)
		if n%1000 == 0 {
			c.Take()
		}
	}
	b.StopTimer()
	if c.held > 0 || len(c.instances) < instances {
		b.Fatalf("%d lines are held, %d instances known", c.held, len(c.instances))
	}
}
