package aggregator

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/coldscope/coldscope/aggregator/correlate"
	"github.com/coldscope/coldscope/aggregator/insert"
)

// batch is what is written together, and who waits for it.
type batch struct {
	insert.Batch
	bytes   int64 // of its lines
	waiting []*submission
	packed  int // of those that wait, of which all lines are
}

// merger is the state of Run's loop. One goroutine owns it.
type merger struct {
	*Aggregator
	correlator  *correlate.Correlator
	outstanding map[*submission]bool // taken in, not answered yet

	gathering batch         // settled, not handed to the writer yet
	forgot    bool          // what was forgotten may not be in the store yet
	lastWrite time.Time     // when the writer got its last batch
	took      time.Duration // how long it took to write that before
	writing   bool
	toWriter  chan *batch
	written   chan writeResult

	owed   owed
	paying time.Duration // how long it took the last time
	looks  looks
}

type writeResult struct {
	*batch
	took time.Duration
	err  error
}

// A commit of 10 000 lines costs the engine 6 s of a processor a million, one of 20 000
// 3.7, one of 50 000 2. So where writing takes long, more is gathered for the next write:
// it takes a writeShare-th of the time at most, but nothing waits longer than longestPace
// for that, which a sender that waits for each answer feels.
const (
	writeShare  = 8
	longestPace = 400 * time.Millisecond
)

// pace is the least time between the beginnings of two writes.
func (m *merger) pace() time.Duration {
	if m.outside.Load() > 0 && m.inside.Load() <= int64(len(m.gathering.waiting)) {
		return 0 // there is no room for more until this is written
	}
	return max(m.cfg.BatchAge, min(writeShare*m.took, longestPace))
}

// Run merges and writes until ctx ends, then stores what it has taken in, for
// at most Config.Drain.
func (a *Aggregator) Run(ctx context.Context) error {
	m := &merger{
		Aggregator:  a,
		correlator:  correlate.New(a.cfg.Correlate),
		outstanding: map[*submission]bool{},
		toWriter:    make(chan *batch),
		written:     make(chan writeResult),
		looks:       newLooks(),
	}
	writeCtx, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { m.write(writeCtx) })
	helpers.Go(func() { m.look(ctx) })
	defer func() {
		stopWriting()
		close(m.toWriter)
		helpers.Wait()
	}()

	var upkeep sync.WaitGroup
	upkeep.Go(func() { a.roller.Run(ctx) })
	upkeep.Go(func() { a.janitor.Run(ctx) })
	defer upkeep.Wait()

	m.loop(ctx)
	close(a.stopped)

	drain, cancel := context.WithTimeoutCause(writeCtx, a.cfg.Drain, errStopping)
	defer cancel()
	m.drain(drain)
	for s := range m.outstanding {
		s.done <- errStopping
	}
	return nil
}

func (m *merger) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		submissions := m.submissions
		if m.full(&m.gathering) {
			submissions = nil // full: the senders wait
		}
		var due <-chan time.Time
		if wait, any := m.nextStep(); any {
			timer.Reset(wait)
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case s := <-submissions:
			m.take(ctx, m.with(s))
		case r := <-m.written:
			m.answer(r)
		case r := <-m.looks.results:
			m.looked(r, time.Now())
		case <-due:
			m.correlator.Advance(time.Now())
			m.gather()
		}
		if m.owed.due(m.paying) {
			m.pay(ctx)
		}
		m.orderLook(time.Now())
		m.hand(m.pace())
	}
}

// nextStep is when time alone makes something happen: a held line is due, or
// a batch is old enough.
func (m *merger) nextStep() (time.Duration, bool) {
	const tick = 50 * time.Millisecond
	switch {
	case m.correlator.Held() > 0, len(m.owed.spans) > 0:
		return tick, true
	case m.gathering.pending() && !m.writing:
		return max(m.pace()-time.Since(m.lastWrite), 0), true
	case len(m.looks.all) > 0 && !m.looks.running:
		return lookTick, true
	}
	return 0, false
}

// full reports whether a batch is not to grow any more.
func (m *merger) full(b *batch) bool {
	return b.Rows() >= m.cfg.BatchRows || b.bytes >= m.cfg.BatchBytes
}

func (b *batch) pending() bool { return b.Rows() > 0 || len(b.waiting) > 0 }

// with gives s and others that wait already, as many as fit a batch: what is not
// known of their instances is read in one go.
func (m *merger) with(s *submission) []*submission {
	all := []*submission{s}
	for rows, bytes := len(s.Lines), s.Bytes; rows < m.cfg.BatchRows && int64(bytes) < m.cfg.BatchBytes; {
		select {
		case s := <-m.submissions:
			all = append(all, s)
			rows, bytes = rows+len(s.Lines), bytes+s.Bytes
			continue
		default:
		}
		break
	}
	// In the order of time: what comes late has to be looked for in the store.
	slices.SortStableFunc(all, func(a, b *submission) int { return a.oldest.Compare(b.oldest) })
	return all
}

// take merges submissions.
func (m *merger) take(ctx context.Context, all []*submission) {
	for _, s := range all {
		m.outstanding[s] = true
	}
	started := time.Now()
	recalled, err := m.recall(ctx, all)
	if recalled > 0 {
		m.trace(all, "aggregator.recall", started, err, attribute.Int("instances", recalled))
	}
	for _, s := range all {
		switch {
		case err != nil:
			m.finish(s, err)
		case m.outstanding[s]: // else a batch before it could not be written
			m.merge(s)
		}
	}
}

func (m *merger) merge(s *submission) {
	now := time.Now()
	lines := len(s.Lines)
	// Events first: they are what the lines beside them wait for.
	for i := range s.Events {
		m.correlator.Event(&s.Events[i], now)
		if !correlate.Apart(&s.Events[i]) {
			m.touch(s.Events[i].Ref, s.Events[i].Time, now)
		}
		m.metrics.events.WithLabelValues(string(s.Events[i].Type())).Inc()
	}
	for i := range s.Lines {
		m.correlator.Line(&s.Lines[i], s, now)
		m.touch(s.Lines[i].Ref, s.Lines[i].Time, now)
	}
	s.Lines, s.Events = nil, nil
	m.owed.add(m.gather(), s)
	if s.span.IsRecording() {
		m.trace([]*submission{s}, "aggregator.merge", now, nil, attribute.Int("lines", lines), attribute.Int("held", s.left-1))
	}
	m.settled(s)
}

// flush writes all that was gathered, and waits for it. Only what has been
// forgotten and comes again at once needs that.
func (m *merger) flush(ctx context.Context) error {
	for m.hand(0); m.writing; m.hand(0) {
		select {
		case r := <-m.written:
			m.answer(r)
		case <-ctx.Done():
			return fmt.Errorf("waiting for the store before a recall: %w", ctx.Err())
		}
	}
	m.forgot = false
	return nil
}

// gather moves what is settled into the batch that is being gathered, and gives
// what is to be rechecked.
func (m *merger) gather() []correlate.Span {
	out := m.correlator.Take()
	b := &m.gathering
	for n := range out.Logs {
		b.bytes += int64(len(out.Logs[n].Body) + len(out.Logs[n].Raw))
	}
	b.Logs = append(b.Logs, out.Logs...)
	b.Invocations = append(b.Invocations, out.Invocations...)
	b.ColdStarts = append(b.ColdStarts, out.ColdStarts...)
	b.Phases = append(b.Phases, out.Phases...)
	b.Layers = append(b.Layers, out.Layers...)
	b.Ledgers = append(b.Ledgers, out.Ledgers...)
	b.Gaps = append(b.Gaps, out.Gaps...)
	m.forgot = m.forgot || out.Forgotten > 0
	m.metrics.observe(&out)
	for _, t := range out.Released {
		m.settled(t.(*submission)) // all our tickets are submissions
	}
	if m.writer.Pack(&b.Batch) {
		for _, s := range b.waiting[b.packed:] {
			s.stay.packed()
		}
		b.packed = len(b.waiting)
	}
	return out.Overdue
}

// settled counts down what a submission waits for. When nothing is left, the
// batch that is being gathered holds the last of it.
func (m *merger) settled(s *submission) {
	if s.left--; s.left == 0 && m.outstanding[s] {
		m.gathering.waiting = append(m.gathering.waiting, s)
	}
}

// hand gives the gathered batch to the writer if that is idle and the last
// write is at least interval ago or the batch is full.
func (m *merger) hand(interval time.Duration) {
	if m.writing || !m.gathering.pending() ||
		time.Since(m.lastWrite) < interval && !m.full(&m.gathering) {
		return
	}
	b := m.gathering
	m.gathering = batch{}
	m.writing, m.lastWrite = true, time.Now()
	m.toWriter <- &b
}

func (m *merger) write(ctx context.Context) {
	for b := range m.toWriter {
		started := time.Now()
		err := m.writer.Write(ctx, &b.Batch)
		took := time.Since(started)
		if err == nil {
			m.metrics.wrote(b, took)
		}
		m.trace(b.waiting, "aggregator.insert", started, err, attribute.Int("rows", b.Rows()), attribute.Int("pushes", len(b.waiting)))
		select {
		case m.written <- writeResult{b, took, err}:
		case <-ctx.Done():
			return
		}
	}
}

// answer tells who waited for a batch how it went. After a failure all that
// the correlator believes to be stored is in doubt: it forgets everything, the
// senders send again, and the store says what is there.
func (m *merger) answer(r writeResult) {
	m.writing, m.took = false, r.took
	for _, s := range r.waiting {
		if s.owed > 0 && r.err == nil {
			s.stored = true
			s.free() // or those that wait for what they owe would let nobody else in
			continue
		}
		m.finish(s, r.err)
	}
	if r.err == nil {
		return
	}
	m.metrics.insertFailures.Inc()
	m.logger.Error("a batch could not be written; its senders will send it again", "rows", r.Rows(), "error", r.err)
	m.correlator = correlate.New(m.cfg.Correlate)
	m.gathering, m.owed = batch{}, owed{}
	for s := range m.outstanding {
		m.finish(s, fmt.Errorf("an earlier batch could not be written: %w", r.err))
	}
}

func (m *merger) finish(s *submission, err error) {
	if m.outstanding[s] {
		delete(m.outstanding, s)
		s.done <- err
	}
}

// drain settles what is held and writes until nothing is left or ctx ends.
func (m *merger) drain(ctx context.Context) {
	m.correlator.Advance(time.Now().Add(m.cfg.Correlate.Hold))
	m.gather()
	m.pay(ctx)
	for m.hand(0); m.writing; m.hand(0) {
		select {
		case r := <-m.written:
			m.answer(r)
		case <-ctx.Done():
			m.logger.Warn("stopped before all was stored; the senders keep what is missing",
				"rows", m.gathering.Rows(), "submissions", len(m.outstanding), "error", context.Cause(ctx))
			return
		}
	}
}
